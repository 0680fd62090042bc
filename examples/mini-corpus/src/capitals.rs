//! Capitals of countries, asked in both directions.

use crate::{
    Language::{Chinese, English},
    intent::Intent,
    phrasing::Phrasing::Question,
};

const TOPIC: &str = "capitals";

/// A country and its capital in both languages; the English country as it stands in a sentence.
pub(crate) struct Country {
    pub(crate) chinese: &'static str,
    pub(crate) english: &'static str,
    pub(crate) capital_chinese: &'static str,
    pub(crate) capital_english: &'static str,
}

const fn country(
    chinese: &'static str,
    english: &'static str,
    capital_chinese: &'static str,
    capital_english: &'static str,
) -> Country {
    Country {
        chinese,
        english,
        capital_chinese,
        capital_english,
    }
}

#[rustfmt::skip]
pub(crate) const COUNTRIES: &[Country] = &[
    country("法国", "France", "巴黎", "Paris"),
    country("日本", "Japan", "东京", "Tokyo"),
    country("中国", "China", "北京", "Beijing"),
    country("英国", "the United Kingdom", "伦敦", "London"),
    country("德国", "Germany", "柏林", "Berlin"),
    country("意大利", "Italy", "罗马", "Rome"),
    country("西班牙", "Spain", "马德里", "Madrid"),
    country("葡萄牙", "Portugal", "里斯本", "Lisbon"),
    country("俄罗斯", "Russia", "莫斯科", "Moscow"),
    country("美国", "the United States", "华盛顿", "Washington"),
    country("加拿大", "Canada", "渥太华", "Ottawa"),
    country("墨西哥", "Mexico", "墨西哥城", "Mexico City"),
    country("巴西", "Brazil", "巴西利亚", "Brasilia"),
    country("智利", "Chile", "圣地亚哥", "Santiago"),
    country("秘鲁", "Peru", "利马", "Lima"),
    country("古巴", "Cuba", "哈瓦那", "Havana"),
    country("埃及", "Egypt", "开罗", "Cairo"),
    country("肯尼亚", "Kenya", "内罗毕", "Nairobi"),
    country("印度", "India", "新德里", "New Delhi"),
    country("泰国", "Thailand", "曼谷", "Bangkok"),
    country("越南", "Vietnam", "河内", "Hanoi"),
    country("韩国", "South Korea", "首尔", "Seoul"),
    country("澳大利亚", "Australia", "堪培拉", "Canberra"),
    country("新西兰", "New Zealand", "惠灵顿", "Wellington"),
    country("希腊", "Greece", "雅典", "Athens"),
    country("土耳其", "Turkey", "安卡拉", "Ankara"),
    country("瑞典", "Sweden", "斯德哥尔摩", "Stockholm"),
    country("挪威", "Norway", "奥斯陆", "Oslo"),
    country("芬兰", "Finland", "赫尔辛基", "Helsinki"),
    country("波兰", "Poland", "华沙", "Warsaw"),
    country("奥地利", "Austria", "维也纳", "Vienna"),
    country("丹麦", "Denmark", "哥本哈根", "Copenhagen"),
];

const CAPITAL_CHINESE: &[&str] = &[
    "C的首都是哪里",
    "C的首都是什么",
    "C的首都在哪里",
    "C的首都叫什么",
    "哪里是C的首都",
    "哪个城市是C的首都",
    "C的首都是哪个城市",
    "C首都是哪",
];
const CAPITAL_ENGLISH: &[&str] = &[
    "What is the capital of {C}",
    "What is the capital city of {C}",
    "Which city is the capital of {C}",
    "What city is the capital of {C}",
    "What is the name of the capital of {C}",
    "What do you call the capital of {C}",
    "Where is the capital of {C}",
    "The capital of {C} is which city",
];
const COUNTRY_CHINESE: &[&str] = &[
    "P是哪个国家的首都",
    "P是哪国的首都",
    "哪个国家的首都是P",
    "P是什么国家的首都",
    "首都是P的国家是哪个",
];
const COUNTRY_ENGLISH: &[&str] = &[
    "{P} is the capital of which country",
    "Which country has the capital {P}",
    "What country is {P} the capital of",
    "Of which country is {P} the capital",
    "{P} is the capital of what country",
];

/// The canonical question and answer, which follow-ups build on.
pub(crate) fn turn_chinese(country: &Country) -> (String, String) {
    (
        format!("{}的首都是哪里？", country.chinese),
        answer_chinese(country),
    )
}

/// The canonical question and answer, which follow-ups build on.
pub(crate) fn turn_english(country: &Country) -> (String, String) {
    (
        format!("What is the capital of {}?", country.english),
        answer_english(country),
    )
}

fn answer_chinese(country: &Country) -> String {
    format!("{}的首都是{}。", country.chinese, country.capital_chinese)
}

fn answer_english(country: &Country) -> String {
    format!(
        "The capital of {} is {}.",
        country.english, country.capital_english
    )
}

pub(crate) fn intents() -> Vec<Intent> {
    COUNTRIES.iter().flat_map(about).collect()
}

fn about(country: &Country) -> [Intent; 4] {
    [
        Intent::new(TOPIC, Chinese, answer_chinese(country))
            .ask_template(Question, CAPITAL_CHINESE, &[("C", country.chinese)])
            .lines(5),
        Intent::new(TOPIC, English, answer_english(country))
            .ask_template(Question, CAPITAL_ENGLISH, &[("{C}", country.english)])
            .lines(5),
        Intent::new(
            TOPIC,
            Chinese,
            format!("{}是{}的首都。", country.capital_chinese, country.chinese),
        )
        .ask_template(Question, COUNTRY_CHINESE, &[("P", country.capital_chinese)])
        .lines(3),
        Intent::new(
            TOPIC,
            English,
            format!(
                "{} is the capital of {}.",
                country.capital_english, country.english
            ),
        )
        .ask_template(
            Question,
            COUNTRY_ENGLISH,
            &[("{P}", country.capital_english)],
        )
        .lines(3),
    ]
}
