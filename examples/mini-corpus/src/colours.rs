//! Colours of things, and what comes of mixing paints.

use crate::{
    Language::{Chinese, English},
    intent::{Intent, capitalised},
    phrasing::Phrasing::Question,
};

const TOPIC: &str = "colours";

/// A thing and its colour in both languages.
pub(crate) struct Thing {
    pub(crate) chinese: &'static str,
    colour_chinese: &'static str,
    /// With article, and "is" or "are" after it.
    pub(crate) english: &'static str,
    verb: &'static str,
    colour_english: &'static str,
}

const fn thing(
    chinese: &'static str,
    colour_chinese: &'static str,
    english: &'static str,
    verb: &'static str,
    colour_english: &'static str,
) -> Thing {
    Thing {
        chinese,
        colour_chinese,
        english,
        verb,
        colour_english,
    }
}

#[rustfmt::skip]
pub(crate) const THINGS: &[Thing] = &[
    thing("天空", "蓝色", "the sky", "is", "blue"),
    thing("草", "绿色", "grass", "is", "green"),
    thing("树叶", "绿色", "leaves", "are", "green"),
    thing("雪", "白色", "snow", "is", "white"),
    thing("牛奶", "白色", "milk", "is", "white"),
    thing("血", "红色", "blood", "is", "red"),
    thing("番茄", "红色", "tomatoes", "are", "red"),
    thing("香蕉", "黄色", "bananas", "are", "yellow"),
    thing("柠檬", "黄色", "lemons", "are", "yellow"),
    thing("煤", "黑色", "coal", "is", "black"),
    thing("乌鸦", "黑色", "crows", "are", "black"),
    thing("大海", "蓝色", "the sea", "is", "blue"),
    thing("大象", "灰色", "elephants", "are", "grey"),
    thing("胡萝卜", "橙色", "carrots", "are", "orange"),
    thing("巧克力", "棕色", "chocolate", "is", "brown"),
    thing("黄瓜", "绿色", "cucumbers", "are", "green"),
];
const THING_CHINESE: &[&str] = &[
    "{t}是什么颜色的",
    "{t}是什么颜色",
    "{t}的颜色是什么",
    "{t}什么颜色",
    "{t}是哪种颜色",
];
const THING_ENGLISH: &[&str] = &[
    "What colour {v} {t}",
    "Which colour {v} {t}",
    "What is the colour of {t}",
    "What colour do you think {t} {v}",
    "What color {v} {t}",
    "What is the color of {t}",
];

/// Two colours and their mixture in Chinese, then in English.
#[rustfmt::skip]
const MIXTURES: &[[&str; 6]] = &[
    ["红色", "黄色", "橙色", "red", "yellow", "orange"],
    ["蓝色", "黄色", "绿色", "blue", "yellow", "green"],
    ["红色", "蓝色", "紫色", "red", "blue", "purple"],
    ["红色", "白色", "粉色", "red", "white", "pink"],
    ["黑色", "白色", "灰色", "black", "white", "grey"],
    ["红色", "绿色", "棕色", "red", "green", "brown"],
];
const MIXTURE_CHINESE: &[&str] = &[
    "{a}加{b}是什么颜色",
    "{a}和{b}混合是什么颜色",
    "{a}和{b}混在一起是什么颜色",
    "{a}加{b}变成什么颜色",
    "把{a}和{b}混合会变成什么颜色",
    "{b}加{a}是什么颜色",
    "{b}和{a}混合是什么颜色",
];
const MIXTURE_ENGLISH: &[&str] = &[
    "What do {a} and {b} make",
    "What colour do {a} and {b} make",
    "What is {a} mixed with {b}",
    "What do you get when you mix {a} and {b}",
    "Which colour comes from {a} and {b}",
    "What do {b} and {a} make",
    "What colour do {b} and {a} make",
];

/// The canonical question and answer, which follow-ups build on.
pub(crate) fn turn_chinese(thing: &Thing) -> (String, String) {
    (
        format!("{}是什么颜色的？", thing.chinese),
        answer_chinese(thing),
    )
}

/// The canonical question and answer, which follow-ups build on.
pub(crate) fn turn_english(thing: &Thing) -> (String, String) {
    (
        format!("What colour {} {}?", thing.verb, thing.english),
        answer_english(thing),
    )
}

fn answer_chinese(thing: &Thing) -> String {
    format!("{}是{}的。", thing.chinese, thing.colour_chinese)
}

fn answer_english(thing: &Thing) -> String {
    let thing_first = capitalised(thing.english);
    format!("{thing_first} {} {}.", thing.verb, thing.colour_english)
}

pub(crate) fn intents() -> Vec<Intent> {
    let things = THINGS.iter().flat_map(|thing| {
        [
            Intent::new(TOPIC, Chinese, answer_chinese(thing))
                .ask_template(Question, THING_CHINESE, &[("{t}", thing.chinese)])
                .lines(5),
            Intent::new(TOPIC, English, answer_english(thing))
                .ask_template(
                    Question,
                    THING_ENGLISH,
                    &[("{t}", thing.english), ("{v}", thing.verb)],
                )
                .lines(5),
        ]
    });
    let mixtures = MIXTURES
        .iter()
        .flat_map(|&[a, b, mixed, first, second, mixture]| {
            [
                Intent::new(TOPIC, Chinese, format!("{a}加{b}是{mixed}。"))
                    .ask_template(Question, MIXTURE_CHINESE, &[("{a}", a), ("{b}", b)])
                    .lines(7),
                Intent::new(
                    TOPIC,
                    English,
                    format!("{} and {second} make {mixture}.", capitalised(first)),
                )
                .ask_template(
                    Question,
                    MIXTURE_ENGLISH,
                    &[("{a}", first), ("{b}", second)],
                )
                .lines(7),
            ]
        });
    things.chain(mixtures).collect()
}
