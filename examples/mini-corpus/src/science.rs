//! Simple science that does not change: planets, elements, and facts about nature.

use crate::{
    Language::{Chinese, English},
    intent::Intent,
    phrasing::Phrasing::Question,
};

const TOPIC: &str = "science";

/// The planets from the Sun outwards: Chinese name, Chinese ordinal, English name, ordinal.
#[rustfmt::skip]
const PLANETS: &[[&str; 4]] = &[
    ["水星", "一", "Mercury", "first"],
    ["金星", "二", "Venus", "second"],
    ["地球", "三", "Earth", "third"],
    ["火星", "四", "Mars", "fourth"],
    ["木星", "五", "Jupiter", "fifth"],
    ["土星", "六", "Saturn", "sixth"],
    ["天王星", "七", "Uranus", "seventh"],
    ["海王星", "八", "Neptune", "eighth"],
];
const PLANET_CHINESE: &[&str] = &[
    "太阳系的第N颗行星是什么",
    "离太阳第N近的行星是哪个",
    "第N颗行星叫什么",
    "从太阳数起第N颗行星是哪颗",
];
const PLANET_ENGLISH: &[&str] = &[
    "What is the {n} planet from the Sun",
    "Which planet is {n} from the Sun",
    "What is the {n} planet",
    "What is the name of the {n} planet",
];

/// Elements with their symbols.
#[rustfmt::skip]
const ELEMENTS: &[[&str; 3]] = &[
    ["氢", "hydrogen", "H"],
    ["氧", "oxygen", "O"],
    ["碳", "carbon", "C"],
    ["氮", "nitrogen", "N"],
    ["铁", "iron", "Fe"],
    ["金", "gold", "Au"],
    ["银", "silver", "Ag"],
    ["铜", "copper", "Cu"],
    ["钠", "sodium", "Na"],
    ["氦", "helium", "He"],
];
const ELEMENT_CHINESE: &[&str] = &[
    "{e}的元素符号是什么",
    "{e}元素的符号是什么",
    "{e}的化学符号是什么",
    "{e}用什么符号表示",
    "{e}怎么用符号写",
];
const ELEMENT_ENGLISH: &[&str] = &[
    "What is the symbol of {e}",
    "What is the chemical symbol of {e}",
    "What is the symbol for {e}",
    "Which symbol stands for {e}",
    "How do you write {e} as a symbol",
];

/// Phrasings and answer, in Chinese and in English.
type Fact = ([&'static [&'static str]; 2], [&'static str; 2]);

#[rustfmt::skip]
const FACTS: &[Fact] = &[
    ([&["太阳系最大的行星是哪个", "最大的行星是什么", "哪颗行星最大", "哪个行星最大", "太阳系里哪颗行星最大"],
      &["What is the largest planet", "Which planet is the largest", "Which planet is the biggest", "What is the biggest planet", "What is the largest planet in the solar system"]],
     ["最大的行星是木星。", "The largest planet is Jupiter."]),
    ([&["哪颗行星是红色的", "红色的行星是哪个", "哪颗行星被称为红色星球", "红色星球是什么"],
      &["Which planet is red", "What is the red planet", "Which planet is called the red planet", "What planet is known as the red planet"]],
     ["红色的行星是火星。", "The red planet is Mars."]),
    ([&["太阳系有几颗行星", "太阳系有多少颗行星", "一共有几颗行星", "行星有几颗"],
      &["How many planets are there", "How many planets are in the solar system", "How many planets does the solar system have", "What is the number of planets"]],
     ["太阳系有八颗行星。", "There are eight planets in the solar system."]),
    ([&["太阳是什么", "太阳是行星吗", "太阳是恒星吗", "太阳是一颗什么星"],
      &["What is the Sun", "Is the Sun a star", "Is the Sun a planet", "What kind of star is the Sun"]],
     ["太阳是一颗恒星。", "The Sun is a star."]),
    ([&["月亮自己会发光吗", "月亮会发光吗", "月亮为什么亮", "月光是从哪里来的"],
      &["Does the Moon shine by itself", "Why does the Moon shine", "Does the Moon make light", "Where does moonlight come from"]],
     ["月亮不发光，它反射太阳的光。", "The Moon makes no light. It reflects the light of the Sun."]),
    ([&["太阳从哪边升起", "太阳从哪个方向升起", "太阳在哪边升起", "日出在哪个方向"],
      &["Where does the Sun rise", "In which direction does the Sun rise", "On which side does the Sun rise", "Where is the sunrise"]],
     ["太阳从东边升起。", "The Sun rises in the east."]),
    ([&["太阳从哪边落下", "太阳从哪个方向落下", "太阳在哪边落下", "日落在哪个方向"],
      &["Where does the Sun set", "In which direction does the Sun set", "On which side does the Sun set", "Where is the sunset"]],
     ["太阳从西边落下。", "The Sun sets in the west."]),
    ([&["水多少度结冰", "水在多少度会结冰", "水几度结冰", "水的冰点是多少", "水什么时候结冰"],
      &["At what temperature does water freeze", "When does water freeze", "What is the freezing point of water", "How cold must water be to freeze"]],
     ["水在零度结冰。", "Water freezes at zero degrees Celsius."]),
    ([&["水多少度沸腾", "水在多少度会沸腾", "水几度烧开", "水的沸点是多少", "水什么时候沸腾"],
      &["At what temperature does water boil", "When does water boil", "What is the boiling point of water", "How hot must water be to boil"]],
     ["水在一百度沸腾。", "Water boils at one hundred degrees Celsius."]),
    ([&["冰是什么", "冰是由什么变成的", "冰是怎么来的", "冰是什么做的"],
      &["What is ice", "What is ice made of", "How is ice made", "Where does ice come from"]],
     ["冰是冻住的水。", "Ice is frozen water."]),
    ([&["世界上最大的动物是什么", "最大的动物是什么", "哪种动物最大", "地球上最大的动物是哪种"],
      &["What is the largest animal", "Which animal is the largest", "Which animal is the biggest", "What is the biggest animal in the world"]],
     ["最大的动物是蓝鲸。", "The largest animal is the blue whale."]),
    ([&["世界上最高的动物是什么", "最高的动物是什么", "哪种动物最高", "地球上最高的动物是哪种"],
      &["What is the tallest animal", "Which animal is the tallest", "Which animal has the longest neck", "What is the tallest animal in the world"]],
     ["最高的动物是长颈鹿。", "The tallest animal is the giraffe."]),
    ([&["跑得最快的动物是什么", "哪种动物跑得最快", "什么动物跑得最快", "陆地上最快的动物是什么"],
      &["What is the fastest land animal", "Which animal runs fastest", "Which land animal is the fastest", "What animal can run the fastest"]],
     ["跑得最快的动物是猎豹。", "The fastest land animal is the cheetah."]),
    ([&["世界上最高的山是什么", "最高的山是哪座", "哪座山最高", "世界最高峰是什么"],
      &["What is the highest mountain", "Which mountain is the highest", "What is the tallest mountain in the world", "What is the highest mountain in the world"]],
     ["最高的山是珠穆朗玛峰。", "The highest mountain is Mount Everest."]),
    ([&["世界上最大的海洋是什么", "最大的海洋是哪个", "哪个海洋最大", "最大的洋是什么"],
      &["What is the largest ocean", "Which ocean is the largest", "Which ocean is the biggest", "What is the biggest ocean in the world"]],
     ["最大的海洋是太平洋。", "The largest ocean is the Pacific Ocean."]),
    ([&["世界上有几个大洲", "地球有几大洲", "一共有多少个大洲", "大洲有几个"],
      &["How many continents are there", "How many continents does the Earth have", "What is the number of continents", "How many continents are on the Earth"]],
     ["世界上有七个大洲。", "There are seven continents."]),
    ([&["光和声音哪个快", "声音和光哪个快", "光快还是声音快", "光比声音快吗", "先看到闪电还是先听到雷声"],
      &["Which is faster, light or sound", "Is light faster than sound", "Is sound faster than light", "What is faster, sound or light"]],
     ["光比声音快。", "Light is faster than sound."]),
    ([&["植物需要什么", "植物生长需要什么", "植物靠什么生长", "花草生长需要什么"],
      &["What do plants need", "What do plants need to grow", "What does a plant need", "What helps plants grow"]],
     ["植物需要水和阳光。", "Plants need water and sunlight."]),
    ([&["蜂蜜是谁做的", "谁酿蜂蜜", "什么动物酿蜂蜜", "蜂蜜从哪里来"],
      &["Who makes honey", "Which animal makes honey", "Where does honey come from", "What insect makes honey"]],
     ["蜂蜜是蜜蜂酿的。", "Honey is made by bees."]),
    ([&["心脏有什么用", "心脏的作用是什么", "心脏做什么", "心脏是做什么的"],
      &["What does the heart do", "What is the heart for", "Why do we need a heart", "What is the job of the heart"]],
     ["心脏让血液流动。", "The heart pumps blood."]),
    ([&["三角形有几条边", "三角形有多少条边", "一个三角形有几条边", "三角形的边有几条"],
      &["How many sides does a triangle have", "How many sides has a triangle", "What number of sides does a triangle have", "How many sides are in a triangle"]],
     ["三角形有三条边。", "A triangle has three sides."]),
    ([&["正方形有几条边", "正方形有多少条边", "一个正方形有几条边", "正方形的边有几条"],
      &["How many sides does a square have", "How many sides has a square", "What number of sides does a square have", "How many sides are in a square"]],
     ["正方形有四条边。", "A square has four sides."]),
    ([&["英语有多少个字母", "英文字母有几个", "英语字母有多少个", "一共有多少个英文字母"],
      &["How many letters are in the English alphabet", "How many letters does English have", "How many letters are there in English", "How many letters does the alphabet have"]],
     ["英语有二十六个字母。", "English has twenty-six letters."]),
    ([&["人有几只手", "一个人有几只手", "人有多少只手", "人长着几只手"],
      &["How many hands does a person have", "How many hands do people have", "How many hands do you count on a person", "How many hands has a person"]],
     ["人有两只手。", "A person has two hands."]),
    ([&["一只手有几根手指", "手有几根手指", "一只手有多少根手指", "人的一只手有几个手指"],
      &["How many fingers are on one hand", "How many fingers does a hand have", "How many fingers are on a hand", "How many fingers has one hand"]],
     ["一只手有五根手指。", "A hand has five fingers."]),
];

pub(crate) fn intents() -> Vec<Intent> {
    let planets = PLANETS
        .iter()
        .flat_map(|&[chinese, nth, english, ordinal]| {
            [
                Intent::new(TOPIC, Chinese, format!("第{nth}颗行星是{chinese}。"))
                    .ask_template(Question, PLANET_CHINESE, &[("N", nth)])
                    .lines(5),
                Intent::new(
                    TOPIC,
                    English,
                    format!("The {ordinal} planet from the Sun is {english}."),
                )
                .ask_template(Question, PLANET_ENGLISH, &[("{n}", ordinal)])
                .lines(5),
            ]
        });
    let elements = ELEMENTS.iter().flat_map(|&[chinese, english, symbol]| {
        [
            Intent::new(TOPIC, Chinese, format!("{chinese}的元素符号是 {symbol}。"))
                .ask_template(Question, ELEMENT_CHINESE, &[("{e}", chinese)])
                .lines(5),
            Intent::new(
                TOPIC,
                English,
                format!("The symbol of {english} is {symbol}."),
            )
            .ask_template(Question, ELEMENT_ENGLISH, &[("{e}", english)])
            .lines(5),
        ]
    });
    let facts = FACTS.iter().flat_map(|&([chinese, english], answers)| {
        [
            Intent::new(TOPIC, Chinese, answers[0])
                .ask(Question, chinese.iter().copied())
                .lines(6),
            Intent::new(TOPIC, English, answers[1])
                .ask(Question, english.iter().copied())
                .lines(6),
        ]
    });
    planets.chain(elements).chain(facts).collect()
}
