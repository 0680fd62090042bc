//! Sums, differences and products of numbers up to ten.
//!
//! The answer repeats the question as a formula ("3+5=8") in both languages, so that every
//! phrasing of a fact teaches the same string.

use crate::{
    Language::{Chinese, English},
    intent::Intent,
    phrasing::Phrasing::{Question, Verbatim},
};

const TOPIC: &str = "arithmetic";

const NUMERALS_CHINESE: [&str; 11] = [
    "零", "一", "二", "三", "四", "五", "六", "七", "八", "九", "十",
];
const NUMERALS_ENGLISH: [&str; 11] = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
];

/// An operation with its phrasings: `a`, `b` are digits, `A`, `B` the numbers as words.
struct Operation {
    sign: char,
    result: fn(usize, usize) -> Option<usize>,
    chinese: &'static [&'static str],
    english: &'static [&'static str],
    symbols: &'static [&'static str],
}

#[rustfmt::skip]
const OPERATIONS: &[Operation] = &[
    Operation {
        sign: '+',
        result: |a, b| Some(a + b),
        chinese: &[
            "{a}加{b}等于几", "{a}加{b}等于多少", "{a}加上{b}是多少", "{a}+{b}等于几", "{a}与{b}的和是多少",
            "{A}加{B}等于几", "{A}加{B}是多少",
        ],
        english: &[
            "What is {a} plus {b}", "What is {a} + {b}", "How much is {a} plus {b}", "What is the sum of {a} and {b}",
            "What do you get when you add {a} and {b}", "What is {A} plus {B}", "How much is {A} and {B}",
        ],
        symbols: &["{a}+{b}=?", "{a}+{b}=", "{a}+{b}", "{a} + {b} = ?", "{a} + {b}"],
    },
    Operation {
        sign: '-',
        result: |a, b| a.checked_sub(b),
        chinese: &[
            "{a}减{b}等于几", "{a}减{b}等于多少", "{a}减去{b}是多少", "{a}-{b}等于几", "{a}与{b}的差是多少",
            "{A}减{B}等于几", "{A}减{B}是多少",
        ],
        english: &[
            "What is {a} minus {b}", "What is {a} - {b}", "How much is {a} minus {b}", "What is the difference of {a} and {b}",
            "What do you get when you take {b} from {a}", "What is {A} minus {B}", "How much is {A} minus {B}",
        ],
        symbols: &["{a}-{b}=?", "{a}-{b}=", "{a}-{b}", "{a} - {b} = ?", "{a} - {b}"],
    },
    Operation {
        sign: '×',
        result: |a, b| Some(a * b),
        chinese: &[
            "{a}乘{b}等于几", "{a}乘以{b}等于多少", "{a}乘{b}是多少", "{a}×{b}等于几", "{a}与{b}的积是多少",
            "{A}乘{B}等于几", "{A}乘以{B}是多少",
        ],
        english: &[
            "What is {a} times {b}", "What is {a} × {b}", "How much is {a} times {b}", "What is the product of {a} and {b}",
            "What do you get when you multiply {a} by {b}", "What is {A} times {B}", "How much is {A} times {B}",
        ],
        symbols: &["{a}×{b}=?", "{a}×{b}=", "{a}×{b}", "{a}*{b}=?", "{a} * {b}"],
    },
];

pub(crate) fn intents() -> Vec<Intent> {
    OPERATIONS
        .iter()
        .flat_map(|operation| {
            (0..NUMERALS_CHINESE.len())
                .flat_map(move |a| (0..NUMERALS_CHINESE.len()).map(move |b| (a, b)))
                .flat_map(move |(a, b)| facts(operation, a, b))
        })
        .collect()
}

fn facts(operation: &Operation, a: usize, b: usize) -> Vec<Intent> {
    let Some(result) = (operation.result)(a, b) else {
        return Vec::new();
    };
    let response = format!("{a}{}{b}={result}", operation.sign);
    let (a_digits, b_digits) = (a.to_string(), b.to_string());
    let digits = [("{a}", a_digits.as_str()), ("{b}", b_digits.as_str())];
    let with_words = |numerals: &[&'static str; 11]| {
        let word = |n: usize| numerals.get(n).copied().unwrap_or_default();
        [digits.as_slice(), &[("{A}", word(a)), ("{B}", word(b))]].concat()
    };
    // Formulas belong to no language; count them to each in turn.
    let of_symbols = if (a + b).is_multiple_of(2) {
        Chinese
    } else {
        English
    };
    vec![
        Intent::new(TOPIC, Chinese, response.as_str())
            .ask_template(Question, operation.chinese, &with_words(&NUMERALS_CHINESE))
            .lines(2),
        Intent::new(TOPIC, English, response.as_str())
            .ask_template(Question, operation.english, &with_words(&NUMERALS_ENGLISH))
            .lines(2),
        Intent::new(TOPIC, of_symbols, response.as_str())
            .ask_template(Verbatim, operation.symbols, &digits)
            .lines(1),
    ]
}
