//! Which sentences are trained and which are held out.
//!
//! A held-out template question is a phrasing and a subject that never meet in training: the
//! phrasing is trained with other subjects, the subject with other phrasings. All variants of
//! the pair (politeness, punctuation) are kept out of the training file, not only the one asked.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Corpus, Example, HeldOut, Kind, Language,
    intent::Intent,
    new_subject::{behind_other_turns, new_subjects},
};

/// Template questions to hold out, for each topic and language.
const HELD_OUT: &[(&str, usize)] = &[
    ("capitals", 12),
    ("animals", 10),
    ("science", 6),
    ("books", 5),
    ("arithmetic", 26),
    ("calendar", 12),
    ("colours", 8),
    ("translation", 22),
    ("stories", 4),
    ("follow_up", 20),
];

/// One in so many held-out questions is asked again behind other turns.
const HELD_OUT_AGAIN_STEP: usize = 11;

/// A held-out phrasing must leave this many others for the same intent.
const MIN_PHRASINGS: usize = 3;

/// Divides the sentences of `intents` into the two files; `free` paraphrases are all held out.
pub(crate) fn split(intents: &[Intent], free: Vec<Example>) -> Corpus {
    let held_phrasings = choose_held_out(intents);
    let mut held_out: Vec<HeldOut> = Vec::new();
    let mut reserved: BTreeSet<_> = free.iter().map(seen_key).collect();

    for (index, intent) in intents.iter().enumerate() {
        let phrasing = held_phrasings
            .get(&index)
            .and_then(|&phrasing| intent.phrasings.get(phrasing));
        if let Some(phrasing) = phrasing {
            let variants = phrasing.variants(intent.language);
            // The two plain forms; the polite ones would test the frame more than the phrasing.
            let asked = scatter(index) % variants.len().min(2);
            for (variant, prompt) in variants.into_iter().enumerate() {
                let example = example(intent, prompt);
                reserved.insert(seen_key(&example));
                if variant == asked {
                    held_out.push(HeldOut {
                        kind: Kind::Template,
                        example,
                    });
                }
            }
        }
    }

    let mut train = Vec::new();
    let mut seen = reserved;
    for (index, intent) in intents.iter().enumerate() {
        let lines = training_prompts(intent, index)
            .map(|prompt| example(intent, prompt))
            .filter(|example| seen.insert(seen_key(example)))
            .take(intent.lines);
        train.extend(lines);
    }
    train.extend(
        new_subjects(&train)
            .into_iter()
            .filter(|example| seen.insert(seen_key(example))),
    );
    // Some held-out questions are asked a second time, behind turns they do not need.
    let complete = held_out
        .iter()
        .map(|line| &line.example)
        .filter(|example| example.history.is_empty());
    let behind = behind_other_turns(complete.step_by(HELD_OUT_AGAIN_STEP), &train);
    held_out.extend(behind.into_iter().map(|example| HeldOut {
        kind: Kind::Template,
        example,
    }));
    held_out.extend(free.into_iter().map(|example| HeldOut {
        kind: Kind::Free,
        example,
    }));
    Corpus { train, held_out }
}

/// The phrasing to hold out of each chosen intent, by the intent's index.
fn choose_held_out(intents: &[Intent]) -> BTreeMap<usize, usize> {
    let mut chosen = BTreeMap::new();
    for &(topic, count) in HELD_OUT {
        for language in [Language::Chinese, Language::English] {
            let candidates: Vec<_> = intents
                .iter()
                .enumerate()
                .filter(|(_, intent)| {
                    intent.topic == topic
                        && intent.language == language
                        && intent.templated
                        && intent.phrasings.len() >= MIN_PHRASINGS
                })
                .collect();
            let count = count.min(candidates.len());
            for k in 0..count {
                // Evenly spread over the topic, so that no part of it goes untested.
                if let Some(&(index, intent)) = candidates.get(k * candidates.len() / count) {
                    chosen.insert(index, scatter(index + 1) % intent.phrasings.len());
                }
            }
        }
    }
    chosen
}

/// All sentences of an intent: first every phrasing once, each in some variant, then again in
/// the next variant. The start differs from intent to intent, so that an intent that writes only
/// a few lines still shows different phrasings than its neighbours.
fn training_prompts(intent: &Intent, index: usize) -> impl Iterator<Item = String> {
    let variants: Vec<Vec<String>> = intent
        .phrasings
        .iter()
        .map(|phrasing| phrasing.variants(intent.language))
        .collect();
    let rounds = variants.iter().map(Vec::len).max().unwrap_or(0);
    let start = scatter(index);
    (0..rounds).flat_map(move |round| {
        let count = variants.len();
        let prompts: Vec<String> = (0..count)
            .filter_map(|k| {
                let phrasing = variants.get((start + k) % count)?;
                // Every other line is the plainest form: it is also the likeliest one.
                let variant = if round == 0 && (start + k).is_multiple_of(2) {
                    0
                } else {
                    start / 7 + k + round
                };
                phrasing.get(variant % phrasing.len()).cloned()
            })
            .collect();
        prompts
    })
}

fn example(intent: &Intent, prompt: String) -> Example {
    Example {
        topic: intent.topic.to_owned(),
        language: intent.language,
        history: intent.history.clone(),
        prompt,
        response: intent.response.clone(),
    }
}

/// What two lines must not share: the conversation as the tokenizer sees it, since its
/// normaliser makes no difference between full-width and ASCII punctuation.
fn seen_key(example: &Example) -> (Vec<(String, String)>, String) {
    let (history, prompt) = example.key();
    (history, crate::normalise::normalise(&prompt))
}

/// A fixed, well-mixed number for `index` (the finaliser of SplitMix64).
fn scatter(index: usize) -> usize {
    let mut z = (index as u64).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 33) as usize
}
