//! Questions that make sense only after an earlier turn.

use crate::{
    Language::{self, Chinese, English},
    calendar, capitals, colours,
    intent::Intent,
    phrasing::Phrasing::{FollowUp, Remark, Request},
    translation,
};

const TOPIC: &str = "follow_up";

/// A question and its answer.
type Turn = (String, String);

const AND_THIS_CHINESE: &[&str] = &["那{s}呢", "{s}呢", "那么{s}呢", "换成{s}呢"];
const AND_THIS_ENGLISH: &[&str] = &[
    "And {s}",
    "What about {s}",
    "How about {s}",
    "And what about {s}",
];

pub(crate) fn intents() -> Vec<Intent> {
    [
        same_question(),
        next_in_cycle(),
        go_on_counting(),
        say_again(),
        what_did_i_ask(),
        translate_that(),
        another_one(),
        my_name(),
    ]
    .concat()
}

/// "法国的首都是哪里？" - "那日本呢？": capitals, colours and words, after one or two turns.
fn same_question() -> Vec<Intent> {
    let capitals_chinese: Vec<(&str, Turn)> = capitals::COUNTRIES
        .iter()
        .map(|country| (country.chinese, capitals::turn_chinese(country)))
        .collect();
    let capitals_english: Vec<(&str, Turn)> = capitals::COUNTRIES
        .iter()
        .map(|country| (country.english, capitals::turn_english(country)))
        .collect();
    let colours_chinese: Vec<(&str, Turn)> = colours::THINGS
        .iter()
        .map(|thing| (thing.chinese, colours::turn_chinese(thing)))
        .collect();
    let colours_english: Vec<(&str, Turn)> = colours::THINGS
        .iter()
        .map(|thing| (thing.english, colours::turn_english(thing)))
        .collect();
    let words: Vec<&(&str, &str)> = translation::WORDS.iter().step_by(7).collect();
    let words_chinese: Vec<(&str, Turn)> = words
        .iter()
        .map(|word| (word.0, translation::turn_chinese(word)))
        .collect();
    let words_english: Vec<(&str, Turn)> = words
        .iter()
        .map(|word| (word.1, translation::turn_english(word)))
        .collect();
    [
        (Chinese, capitals_chinese),
        (English, capitals_english),
        (Chinese, colours_chinese),
        (English, colours_english),
        (Chinese, words_chinese),
        (English, words_english),
    ]
    .iter()
    .flat_map(|(language, subjects)| elliptical(*language, subjects))
    .collect()
}

/// For each subject: the elliptical question after one other turn, and after two.
fn elliptical(language: Language, subjects: &[(&str, Turn)]) -> Vec<Intent> {
    let templates = match language {
        Chinese => AND_THIS_CHINESE,
        English => AND_THIS_ENGLISH,
    };
    let count = subjects.len();
    let at = |index: usize| subjects.get(index % count);
    let mut intents = Vec::new();
    for index in 0..count {
        let (Some((subject, turn)), Some((_, near)), Some((_, far))) =
            (at(index), at(index + 3), at(index + count / 2))
        else {
            continue;
        };
        for history in [vec![near], vec![far, near]] {
            let history = history.into_iter().cloned();
            intents.push(
                Intent::new(TOPIC, language, turn.1.as_str())
                    .after(history)
                    .ask_template(FollowUp, templates, &[("{s}", subject)])
                    .lines(1),
            );
        }
    }
    intents
}

/// "星期一后面是星期几？" - "再后面呢？"
fn next_in_cycle() -> Vec<Intent> {
    calendar::CYCLES
        .iter()
        .flat_map(|cycle| {
            let templates: &[&str] = match cycle.language() {
                Chinese => &["再后面呢", "那再后面呢", "再下一个呢", "然后呢"],
                English => &[
                    "And after that",
                    "And the next one",
                    "What comes next",
                    "And then",
                ],
            };
            (0..cycle.names.len()).map(move |index| {
                Intent::new(TOPIC, cycle.language(), cycle.next_turn(index + 1).1)
                    .after([cycle.next_turn(index)])
                    .ask_template(FollowUp, templates, &[])
                    .lines(2)
            })
        })
        .collect()
}

/// "2+3=?" - "再加1呢？": the answer so far is in the earlier turn.
fn go_on_counting() -> Vec<Intent> {
    let mut intents = Vec::new();
    for a in 0..=8_usize {
        for b in 1..=8_usize {
            let sum = a + b;
            let history = [(format!("{a}+{b}=?"), format!("{a}+{b}={sum}"))];
            // One step up or down, small enough to stay in the table of sums.
            let step = (a + 2 * b) % 4 + 1;
            let adds = (a + b) % 3 != 0 && sum + step <= 20 && sum <= 10;
            let takes = (a + b) % 3 == 0 && sum >= step && sum <= 10;
            let step_text = step.to_string();
            let values = [("{n}", step_text.as_str())];
            let (response, chinese, english): (String, [&str; 4], [&str; 4]) = if adds {
                (
                    format!("{sum}+{step}={}", sum + step),
                    ["再加{n}呢", "再加{n}等于几", "再加上{n}呢", "然后加{n}呢"],
                    [
                        "And plus {n}",
                        "Plus {n}",
                        "And if you add {n}",
                        "Now add {n}",
                    ],
                )
            } else if takes {
                (
                    format!("{sum}-{step}={}", sum - step),
                    ["再减{n}呢", "再减{n}等于几", "再减去{n}呢", "然后减{n}呢"],
                    [
                        "And minus {n}",
                        "Minus {n}",
                        "And if you take away {n}",
                        "Now take away {n}",
                    ],
                )
            } else {
                continue;
            };
            for (language, templates) in [(Chinese, chinese), (English, english)] {
                intents.push(
                    Intent::new(TOPIC, language, response.as_str())
                        .after(history.clone())
                        .ask_template(FollowUp, &templates, &values)
                        .lines(2),
                );
            }
        }
    }
    intents
}

/// Canonical turns that later turns refer to.
fn turns(language: Language) -> Vec<Turn> {
    let countries = capitals::COUNTRIES.iter().step_by(3);
    let things = colours::THINGS.iter().step_by(2);
    let words = translation::WORDS.iter().step_by(16);
    match language {
        Chinese => countries
            .map(capitals::turn_chinese)
            .chain(things.map(colours::turn_chinese))
            .chain(words.map(translation::turn_chinese))
            .collect(),
        English => countries
            .map(capitals::turn_english)
            .chain(things.map(colours::turn_english))
            .chain(words.map(translation::turn_english))
            .collect(),
    }
}

/// "再说一遍": the last answer, word for word.
fn say_again() -> Vec<Intent> {
    about_last_turn(
        |(_, answer), _| answer.clone(),
        &["再说一遍", "请再说一次", "重复一遍", "我没听清，再说一遍"],
        &[
            "Say that again",
            "Repeat that",
            "Please say it again",
            "Say it once more",
        ],
    )
}

/// "我刚才问了什么": the last question, word for word.
fn what_did_i_ask() -> Vec<Intent> {
    about_last_turn(
        |(question, _), language| match language {
            Chinese => format!("你刚才问：{question}"),
            English => format!("You asked: {question}"),
        },
        &[
            "我刚才问了什么",
            "我刚刚问了什么",
            "我问了什么",
            "我刚才的问题是什么",
        ],
        &[
            "What did I just ask",
            "What did I ask",
            "What was my question",
            "What was my last question",
        ],
    )
}

fn about_last_turn(
    response: fn(&Turn, Language) -> String,
    chinese: &[&str],
    english: &[&str],
) -> Vec<Intent> {
    [(Chinese, chinese), (English, english)]
        .into_iter()
        .flat_map(|(language, templates)| {
            turns(language).into_iter().map(move |turn| {
                Intent::new(TOPIC, language, response(&turn, language))
                    .after([turn])
                    .ask_template(FollowUp, templates, &[])
                    .lines(1)
            })
        })
        .collect()
}

/// "翻译成英语": the last answer in the other language.
fn translate_that() -> Vec<Intent> {
    let capitals = capitals::COUNTRIES.iter().map(|country| {
        (
            capitals::turn_chinese(country),
            capitals::turn_english(country),
        )
    });
    let colours = colours::THINGS
        .iter()
        .map(|thing| (colours::turn_chinese(thing), colours::turn_english(thing)));
    capitals
        .chain(colours)
        .flat_map(|(chinese, english)| {
            [
                Intent::new(TOPIC, English, english.1.as_str())
                    .after([chinese.clone()])
                    .ask_template(
                        Request,
                        &[
                            "Translate that into English",
                            "Say that in English",
                            "Translate it into English",
                        ],
                        &[],
                    )
                    .lines(1),
                Intent::new(TOPIC, Chinese, chinese.1.as_str())
                    .after([english.clone()])
                    .ask_template(
                        Request,
                        &["翻译成中文", "用中文说一遍", "把它翻译成中文"],
                        &[],
                    )
                    .lines(1),
                Intent::new(TOPIC, Chinese, english.1)
                    .after([chinese])
                    .ask_template(
                        Request,
                        &["翻译成英语", "用英语说一遍", "把它翻译成英语"],
                        &[],
                    )
                    .lines(1),
            ]
        })
        .collect()
}

/// Language, ways to ask for the first thing, ways to ask for one more, things in their order.
type List = (
    Language,
    [&'static str; 3],
    &'static [&'static str],
    &'static [&'static str],
);

#[rustfmt::skip]
const NAMEABLE: &[List] = &[
    (Chinese, ["说一种颜色", "告诉我一种颜色", "给我一种颜色"], &["再说一种", "再来一种", "换一种", "还有别的吗"], &["红色。", "蓝色。", "绿色。", "黄色。"]),
    (Chinese, ["说一种动物", "告诉我一种动物", "给我一种动物"], &["再说一种", "再来一种", "换一种", "还有别的吗"], &["熊猫。", "老虎。", "大象。", "猴子。"]),
    (Chinese, ["说一种水果", "告诉我一种水果", "给我一种水果"], &["再说一种", "再来一种", "换一种", "还有别的吗"], &["苹果。", "香蕉。", "葡萄。", "西瓜。"]),
    (Chinese, ["说一个国家", "告诉我一个国家", "给我一个国家"], &["再说一个", "再来一个", "换一个", "还有别的吗"], &["中国。", "法国。", "日本。", "巴西。"]),
    (English, ["Tell me a colour", "Name a colour", "Give me a colour"], &["Tell me another one", "Another one", "One more", "Tell me another colour"], &["Red.", "Blue.", "Green.", "Yellow."]),
    (English, ["Tell me an animal", "Name an animal", "Give me an animal"], &["Tell me another one", "Another one", "One more", "Tell me another animal"], &["Panda.", "Tiger.", "Elephant.", "Monkey."]),
    (English, ["Tell me a fruit", "Name a fruit", "Give me a fruit"], &["Tell me another one", "Another one", "One more", "Tell me another fruit"], &["Apple.", "Banana.", "Grape.", "Watermelon."]),
    (English, ["Tell me a country", "Name a country", "Give me a country"], &["Tell me another one", "Another one", "One more", "Tell me another country"], &["China.", "France.", "Japan.", "Brazil."]),
];

/// "说一种颜色" - "再说一种": the next of a fixed list.
fn another_one() -> Vec<Intent> {
    let mut intents = Vec::new();
    for &(language, openings, more, names) in NAMEABLE {
        if let Some(&first) = names.first() {
            intents.push(
                Intent::new(TOPIC, language, first)
                    .ask(Request, openings)
                    .lines(8),
            );
        }
        for (k, pair) in names.windows(2).enumerate() {
            // The list may be continued twice; a third time would make long histories.
            let (true, Some(&next)) = (k < 2, pair.last()) else {
                continue;
            };
            for (j, opening) in openings.into_iter().enumerate() {
                // The turns up to here: the opening, then "more" as often as there are names.
                let history = names.iter().take(k + 1).enumerate().map(|(turn, &said)| {
                    let question = match turn {
                        0 => opening,
                        _ => more
                            .get((j + turn) % more.len())
                            .copied()
                            .unwrap_or_default(),
                    };
                    (question, said)
                });
                intents.push(
                    Intent::new(TOPIC, language, next)
                        .after(history)
                        .ask(FollowUp, more.iter().copied())
                        .lines(2),
                );
            }
        }
    }
    intents
}

#[rustfmt::skip]
const NAMES: &[(Language, &[&str])] = &[
    (Chinese, &["小明", "小红", "小华", "小丽", "小刚", "小芳", "小林", "小雨", "小雪", "小云", "小龙", "小兰", "小杰", "小美", "小军", "小文"]),
    (English, &["Tom", "Anna", "Ben", "Lucy", "Max", "Emma", "Jack", "Mary", "Sam", "Alice", "Peter", "Rose", "David", "Kate", "Paul", "Lily"]),
];

/// The user says a name, and asks for it one or two turns later.
fn my_name() -> Vec<Intent> {
    let mut intents = Vec::new();
    for &(language, names) in NAMES {
        for (index, name) in names.iter().enumerate() {
            let values = [("{n}", *name)];
            let (greeting, reply, introductions, questions): (_, _, [&str; 4], [&str; 4]) =
                match language {
                    Chinese => (
                        format!("你好，{name}！很高兴认识你。"),
                        format!("你叫{name}。"),
                        ["我叫{n}", "我的名字是{n}", "你好，我叫{n}", "我是{n}"],
                        [
                            "我叫什么名字",
                            "我叫什么",
                            "我的名字是什么",
                            "你记得我的名字吗",
                        ],
                    ),
                    English => (
                        format!("Hello, {name}! Nice to meet you."),
                        format!("Your name is {name}."),
                        [
                            "My name is {n}",
                            "I am {n}",
                            "Hello, my name is {n}",
                            "Hi, I am {n}",
                        ],
                        [
                            "What is my name",
                            "Who am I",
                            "What am I called",
                            "Do you know my name",
                        ],
                    ),
                };
            intents.push(
                Intent::new(TOPIC, language, greeting.as_str())
                    .ask_template(Remark, &introductions, &values)
                    .lines(3),
            );
            let introduction = introductions
                .get(index % introductions.len())
                .map(|template| crate::intent::fill(template, &values))
                .unwrap_or_default();
            let told = (introduction, greeting);
            let between = turns(language).into_iter().nth(index * 2);
            for history in [
                vec![told.clone()],
                [told].into_iter().chain(between).collect(),
            ] {
                intents.push(
                    Intent::new(TOPIC, language, reply.as_str())
                        .after(history)
                        .ask_template(FollowUp, &questions, &[])
                        .lines(1),
                );
            }
        }
    }
    intents
}
