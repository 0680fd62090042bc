//! Days of the week, months and seasons, and how many of them there are.

use crate::{
    Language::{self, Chinese, English},
    intent::{Intent, fill},
    phrasing::Phrasing::Question,
};

const TOPIC: &str = "calendar";

/// A cycle of names, with the ways to ask for the next and the previous one.
pub(crate) struct Cycle {
    language: Language,
    pub(crate) names: &'static [&'static str],
    next: (&'static [&'static str], &'static str),
    previous: (&'static [&'static str], &'static str),
}

#[rustfmt::skip]
pub(crate) const CYCLES: &[Cycle] = &[
    Cycle {
        language: Chinese,
        names: &["星期一", "星期二", "星期三", "星期四", "星期五", "星期六", "星期日"],
        next: (
            &["{n}后面是星期几", "{n}的后一天是星期几", "{n}之后是星期几", "{n}的下一天是星期几", "{n}过后是星期几", "今天是{n}，明天是星期几"],
            "{n}的后一天是{a}。",
        ),
        previous: (
            &["{n}前面是星期几", "{n}的前一天是星期几", "{n}之前是星期几", "{n}的上一天是星期几", "今天是{n}，昨天是星期几"],
            "{n}的前一天是{a}。",
        ),
    },
    Cycle {
        language: English,
        names: &["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"],
        next: (
            &["What day comes after {n}", "Which day comes after {n}", "What is the day after {n}", "Which day follows {n}", "What day is after {n}", "Today is {n}, what day is tomorrow"],
            "The day after {n} is {a}.",
        ),
        previous: (
            &["What day comes before {n}", "Which day comes before {n}", "What is the day before {n}", "Which day is just before {n}", "What day is before {n}", "Today is {n}, what day was yesterday"],
            "The day before {n} is {a}.",
        ),
    },
    Cycle {
        language: Chinese,
        names: &["一月", "二月", "三月", "四月", "五月", "六月", "七月", "八月", "九月", "十月", "十一月", "十二月"],
        next: (
            &["{n}后面是几月", "{n}的下一个月是几月", "{n}之后是几月", "{n}过后是哪个月"],
            "{n}的下一个月是{a}。",
        ),
        previous: (
            &["{n}前面是几月", "{n}的上一个月是几月", "{n}之前是几月", "{n}前面是哪个月"],
            "{n}的上一个月是{a}。",
        ),
    },
    Cycle {
        language: English,
        names: &["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"],
        next: (
            &["What month comes after {n}", "Which month comes after {n}", "What is the month after {n}", "Which month follows {n}"],
            "The month after {n} is {a}.",
        ),
        previous: (
            &["What month comes before {n}", "Which month comes before {n}", "What is the month before {n}", "Which month is just before {n}"],
            "The month before {n} is {a}.",
        ),
    },
    Cycle {
        language: Chinese,
        names: &["春天", "夏天", "秋天", "冬天"],
        next: (
            &["{n}后面是什么季节", "{n}的下一个季节是什么", "{n}之后是什么季节", "{n}过后是哪个季节"],
            "{n}过后是{a}。",
        ),
        previous: (
            &["{n}前面是什么季节", "{n}的上一个季节是什么", "{n}之前是什么季节", "{n}前面是哪个季节"],
            "{n}之前是{a}。",
        ),
    },
    Cycle {
        language: English,
        names: &["spring", "summer", "autumn", "winter"],
        next: (
            &["What season comes after {n}", "Which season comes after {n}", "What is the season after {n}", "Which season follows {n}"],
            "The season after {n} is {a}.",
        ),
        previous: (
            &["What season comes before {n}", "Which season comes before {n}", "What is the season before {n}", "Which season is just before {n}"],
            "The season before {n} is {a}.",
        ),
    },
];

/// Phrasings and answer.
#[rustfmt::skip]
const COUNTS: &[(Language, &[&str], &str)] = &[
    (Chinese, &["一年有几个月", "一年有多少个月", "一年几个月", "一年里有几个月"], "一年有十二个月。"),
    (English, &["How many months are in a year", "How many months does a year have", "How many months are there in a year", "How many months has a year"], "A year has twelve months."),
    (Chinese, &["一个星期有几天", "一周有几天", "一个星期有多少天", "一周有多少天"], "一个星期有七天。"),
    (English, &["How many days are in a week", "How many days does a week have", "How many days are there in a week", "How many days has a week"], "A week has seven days."),
    (Chinese, &["一天有几个小时", "一天有多少个小时", "一天有多少小时", "一天几小时"], "一天有二十四个小时。"),
    (English, &["How many hours are in a day", "How many hours does a day have", "How many hours are there in a day", "How many hours has a day"], "A day has twenty-four hours."),
    (Chinese, &["一个小时有多少分钟", "一小时有几分钟", "一小时有多少分钟", "一个小时有几分钟"], "一个小时有六十分钟。"),
    (English, &["How many minutes are in an hour", "How many minutes does an hour have", "How many minutes are there in an hour", "How many minutes has an hour"], "An hour has sixty minutes."),
    (Chinese, &["一分钟有多少秒", "一分钟有几秒", "一分钟是多少秒", "一分钟等于多少秒"], "一分钟有六十秒。"),
    (English, &["How many seconds are in a minute", "How many seconds does a minute have", "How many seconds are there in a minute", "How many seconds has a minute"], "A minute has sixty seconds."),
    (Chinese, &["一年有几个季节", "一年有多少个季节", "一年有几季", "季节有几个"], "一年有四个季节。"),
    (English, &["How many seasons are in a year", "How many seasons does a year have", "How many seasons are there", "How many seasons are there in a year"], "A year has four seasons."),
    (Chinese, &["一年有哪些季节", "四季是什么", "四个季节叫什么", "有哪四个季节"], "四季是春天、夏天、秋天和冬天。"),
    (English, &["What are the four seasons", "What are the seasons called", "What are the names of the seasons", "Which seasons are there"], "The seasons are spring, summer, autumn and winter."),
    (Chinese, &["一年有多少天", "一年有几天", "一年是多少天", "平年有多少天"], "一年有三百六十五天。"),
    (English, &["How many days are in a year", "How many days does a year have", "How many days are there in a year", "How many days has a year"], "A year has 365 days."),
    (Chinese, &["一年的第一个月是几月", "一年从几月开始", "哪个月是一年的第一个月", "第一个月是几月"], "一年的第一个月是一月。"),
    (English, &["What is the first month of the year", "Which month is the first", "Which month starts the year", "In which month does the year begin"], "The first month of the year is January."),
    (Chinese, &["最冷的季节是什么", "哪个季节最冷", "什么季节最冷", "一年中什么时候最冷"], "最冷的季节是冬天。"),
    (English, &["What is the coldest season", "Which season is the coldest", "Which season is coldest", "When is it coldest"], "The coldest season is winter."),
    (Chinese, &["最热的季节是什么", "哪个季节最热", "什么季节最热", "一年中什么时候最热"], "最热的季节是夏天。"),
    (English, &["What is the hottest season", "Which season is the hottest", "Which season is hottest", "When is it hottest"], "The hottest season is summer."),
];

impl Cycle {
    pub(crate) fn language(&self) -> Language {
        self.language
    }

    /// The plainest question for the name after the one at `index`, and its answer.
    pub(crate) fn next_turn(&self, index: usize) -> (String, String) {
        let name = self.name(index);
        let question = self.next.0.first().copied().unwrap_or_default();
        let mark = match self.language {
            Chinese => "？",
            English => "?",
        };
        let question = fill(question, &[("{n}", name)]) + mark;
        (question, self.answer(self.next.1, index, index + 1))
    }

    fn name(&self, index: usize) -> &'static str {
        self.names
            .get(index % self.names.len())
            .copied()
            .unwrap_or_default()
    }

    fn answer(&self, template: &str, of: usize, is: usize) -> String {
        fill(template, &[("{n}", self.name(of)), ("{a}", self.name(is))])
    }
}

pub(crate) fn intents() -> Vec<Intent> {
    let cycles = CYCLES.iter().flat_map(|cycle| {
        (0..cycle.names.len()).flat_map(move |index| {
            let values = [("{n}", cycle.name(index))];
            let before = index + cycle.names.len() - 1;
            [
                Intent::new(
                    TOPIC,
                    cycle.language,
                    cycle.answer(cycle.next.1, index, index + 1),
                )
                .ask_template(Question, cycle.next.0, &values)
                .lines(4),
                Intent::new(
                    TOPIC,
                    cycle.language,
                    cycle.answer(cycle.previous.1, index, before),
                )
                .ask_template(Question, cycle.previous.0, &values)
                .lines(4),
            ]
        })
    });
    let counts = COUNTS.iter().map(|&(language, phrasings, response)| {
        Intent::new(TOPIC, language, response)
            .ask(Question, phrasings.iter().copied())
            .lines(6)
    });
    cycles.chain(counts).collect()
}
