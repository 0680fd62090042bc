//! Questions that have nothing to do with what was said before.
//!
//! From its second turn on, a conversation has a history whether or not the question needs it, so
//! the model must also see complete questions behind earlier turns, and answer them as before.

use crate::{Example, Language};

/// The topic written to the corpus.
const TOPIC: &str = "new_subject";

/// Small talk turns up anywhere in a conversation: one such line in seven gets a copy.
const SMALL_TALK: ([&str; 2], usize) = (["greetings", "identity"], 7);
/// Of the other lines, one in 29. The topics list Chinese and English in turn, so an even step
/// would pick one language only.
const OTHER_STEP: usize = 29;

/// Earlier answers are kept short: long ones cost training time and teach nothing here.
const MAX_EARLIER_CHARACTERS: usize = 40;

/// Copies of some of the complete questions in `train`, each behind one or two unrelated turns.
pub(crate) fn new_subjects(train: &[Example]) -> Vec<Example> {
    let (small_talk, others): (Vec<&Example>, Vec<&Example>) = train
        .iter()
        .filter(|example| example.history.is_empty())
        .partition(|example| SMALL_TALK.0.contains(&example.topic.as_str()));
    let chosen = small_talk.into_iter().step_by(SMALL_TALK.1);
    let chosen = chosen.chain(others.into_iter().step_by(OTHER_STEP));
    behind_other_turns(chosen, train)
}

/// Copies of `questions`, each behind one or two turns taken from `train`.
pub(crate) fn behind_other_turns<'a>(
    questions: impl Iterator<Item = &'a Example>,
    train: &[Example],
) -> Vec<Example> {
    let earlier = |language| -> Vec<&Example> {
        let is_short = |example: &&Example| {
            example.history.is_empty()
                && example.language == language
                && example.response.chars().count() <= MAX_EARLIER_CHARACTERS
        };
        train.iter().filter(is_short).collect()
    };
    let chinese = earlier(Language::Chinese);
    let english = earlier(Language::English);
    questions
        .enumerate()
        .map(|(index, question)| {
            let turns = match question.language {
                Language::Chinese => &chinese,
                Language::English => &english,
            };
            // Two primes walk through the earlier turns without following the topics' order.
            let history = [index * 389 + 7, index * 1021 + 13]
                .into_iter()
                .take(if index % 5 == 4 { 2 } else { 1 })
                .filter_map(|at| turns.get(at % turns.len().max(1)))
                .map(|turn| (turn.prompt.clone(), turn.response.clone()))
                .collect();
            Example {
                topic: TOPIC.to_owned(),
                history,
                ..question.clone()
            }
        })
        .collect()
}
