#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod animals;
mod arithmetic;
mod books;
mod calendar;
mod capitals;
mod colours;
mod example;
mod follow_up;
mod greetings;
mod identity;
mod intent;
mod new_subject;
pub mod normalise;
mod paraphrases;
mod phrasing;
mod science;
mod split;
mod stories;
mod translation;

pub use example::{Example, HeldOut, Kind, Language};

use intent::Intent;

/// The two files of the corpus, in the order in which they are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Corpus {
    /// The questions the model is trained on.
    pub train: Vec<Example>,
    /// Paraphrases that occur nowhere in `train`, with the answer that is expected.
    pub held_out: Vec<HeldOut>,
}

/// Builds the whole corpus. There is no randomness in it: every call gives the same lines.
#[must_use]
pub fn generate() -> Corpus {
    split::split(&intents(), paraphrases::paraphrases())
}

/// Everything the model is meant to know, topic by topic.
fn intents() -> Vec<Intent> {
    [
        greetings::intents(),
        identity::intents(),
        capitals::intents(),
        animals::intents(),
        science::intents(),
        books::intents(),
        arithmetic::intents(),
        calendar::intents(),
        colours::intents(),
        translation::intents(),
        stories::intents(),
        follow_up::intents(),
    ]
    .concat()
}
