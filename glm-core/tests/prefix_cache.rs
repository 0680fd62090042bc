//! What was read before: how much of it can be reused, that nothing changes by it, and what a cache of it keeps.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{path::Path, sync::Arc, thread};

use glm_core::{
    CachePrecision, GenerationOptions, Model, Numerics, TokenId,
    chat::{ChatOptions, Conversation},
    config::PositionRules,
    generate::{CancelToken, Generator},
    prefix_cache::{Prefix, PrefixCache, PrefixCacheStatistics},
};
use proptest::prelude::*;
use serde::Deserialize;

#[derive(Deserialize)]
struct Expected {
    generate: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    input_ids: Vec<Vec<TokenId>>,
    kwargs: Arguments,
    output_ids: Vec<Vec<TokenId>>,
}

#[derive(Deserialize)]
struct Arguments {
    repetition_penalty: Option<f64>,
}

/// The special tokens of the tiny ChatGLM-6B.
const GMASK: TokenId = 621;
const SOP: TokenId = 624;

fn golden(name: &str) -> Model {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    glm_core::load(golden.join(name)).unwrap()
}

fn expected(name: &str) -> Expected {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let json = std::fs::read(golden.join(name).join("expected.json")).unwrap();
    serde_json::from_slice(&json).unwrap()
}

fn greedy(max_new_tokens: usize) -> GenerationOptions {
    GenerationOptions::greedy().with_max_new_tokens(max_new_tokens)
}

/// The official answers, from a beginning of any length; of other texts only what they share with the prompt counts.
#[test]
fn official_answers_come_from_any_beginning() {
    let mut cases = 0;
    for name in ["chatglm2-tiny", "chatglm2-tiny-int4", "codegeex2-tiny"] {
        let model = golden(name).with_numerics(Numerics::EXACT);
        for case in expected(name).generate {
            let [prompt] = &case.input_ids[..] else {
                continue;
            };
            let answer = &case.output_ids[0][prompt.len()..];
            let options = greedy(answer.len())
                .with_repetition_penalty(case.kwargs.repetition_penalty.unwrap_or(1.0));
            for len in (1..prompt.len() + 3).step_by(3.max(prompt.len() / 16)) {
                let shared = len.min(prompt.len());
                let other = [&prompt[..shared], &[7, 8, 9]].concat();
                let prefix = Prefix::read(&model, &other).unwrap();
                let generator = Generator::new(&model, prompt, &options).unwrap();
                let mut generator = generator.with_prefix(prefix);
                assert_eq!(generator.cached_tokens(), shared.min(prompt.len() - 1));
                let tokens: Result<Vec<_>, _> = generator.by_ref().collect();
                let tokens = tokens.unwrap();
                // The token that ends an answer is officially part of it.
                assert!(tokens.len() + 1 >= answer.len());
                assert_eq!(tokens, answer[..tokens.len()], "{name}, {len} tokens");
                let read = [prompt, &tokens[..]].concat();
                let prefix = generator.into_prefix().unwrap();
                assert!(prefix.tokens().len() + 1 >= read.len());
                assert_eq!(prefix.tokens(), &read[..prefix.tokens().len()]);
                cases += 1;
            }
        }
    }
    assert!(cases > 30, "{cases}");
}

#[test]
fn guesses_ahead_and_cancelling_leave_what_was_read() {
    let model = golden("chatglm2-tiny");
    let prompt = [508, 510, 361, 312, 223, 391, 422, 409, 323];
    let plain: Result<Vec<_>, _> = Generator::new(&model, &prompt, &greedy(20))
        .unwrap()
        .collect();
    let plain = plain.unwrap();
    let options = greedy(20).with_prompt_lookup_num_tokens(5);
    for taken in 0..20 {
        let cancel = CancelToken::new();
        let mut generator = Generator::new(&model, &prompt, &options)
            .unwrap()
            .with_cancel(cancel.clone());
        for token in generator.by_ref().take(taken) {
            token.unwrap();
        }
        cancel.cancel();
        assert!(generator.next().is_none());
        let Some(prefix) = generator.into_prefix() else {
            assert_eq!(taken, 0, "nothing was read before the first token");
            continue;
        };
        let again = Generator::new(&model, &prompt, &options).unwrap();
        let again = again.with_prefix(prefix);
        assert_eq!(again.cached_tokens(), prompt.len() - 1);
        let again: Result<Vec<_>, _> = again.collect();
        assert_eq!(again.unwrap(), plain);
    }
}

#[test]
fn a_chatglm_6b_reuses_the_whole_context_or_nothing() {
    let model = golden("chatglm-6b-tiny");
    let prompt = [5, 6, 7, GMASK, SOP];
    let answered = [&prompt[..], &[8, 9, 10]].concat();
    let prefix = Prefix::read(&model, &answered).unwrap();
    assert_eq!(prefix.reusable_len(&model, &prompt), 4);
    assert_eq!(
        prefix.reusable_len(&model, &[&prompt[..], &[8, 11, 12]].concat()),
        6
    );
    for other in [
        &[5, 6, 7, 8, GMASK, SOP][..],
        &[5, 6, GMASK, SOP],
        &[4, 6, 7, GMASK, SOP],
        &[5, 6, 7, GMASK],
        &[5, 6, 7],
        &[],
    ] {
        assert_eq!(prefix.reusable_len(&model, other), 0, "{other:?}");
    }
}

/// Officially, a token of these models does not stand at the same place when it is read with the prompt and when it is
/// read behind it.
#[test]
fn models_whose_answers_move_reuse_nothing() {
    let tiny = golden("chatglm-6b-tiny");
    for model in [
        golden("chatglm-6b-tiny-no2d"),
        tiny.with_position_rules(PositionRules::Early),
    ] {
        let prompt = [5, 6, 7, GMASK, SOP];
        let prefix = Prefix::read(&model, &prompt).unwrap();
        assert_eq!(prefix.reusable_len(&model, &prompt), 0);
    }
}

#[test]
fn what_another_model_has_read_is_not_reused() {
    let model = golden("chatglm2-tiny");
    let prompt = [1, 2, 3, 4];
    let prefix = Prefix::read(&model, &prompt).unwrap();
    assert_eq!(prefix.reusable_len(&model.clone(), &prompt), 3);
    let exact = model.with_numerics(Numerics::EXACT);
    for other in [golden("chatglm2-tiny"), golden("chatglm2-tiny-int4"), exact] {
        assert_eq!(prefix.reusable_len(&other, &prompt), 0);
    }
}

#[test]
fn without_a_budget_nothing_is_kept() {
    let model = golden("chatglm2-tiny");
    let prefix = Prefix::read(&model, &[1, 2, 3, 4]).unwrap();
    for budget in [0, prefix.first_tokens(4).bytes() - 1] {
        let cache = PrefixCache::new(budget);
        cache.insert(&prefix);
        assert!(cache.find_longer(&model, &[1, 2, 3, 4], 0).is_none());
        let mut expected = PrefixCacheStatistics::default();
        expected.misses = 1;
        assert_eq!(cache.statistics(), expected);
    }
}

#[test]
fn conversations_share_what_one_of_them_has_read() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let file = golden.join("ggml/chatglm2-tiny.q4_0.bin");
    let model = glm_core::load(&file).unwrap();
    let tokenizer = glm_core::load_tokenizer(&file).unwrap();
    let options = ChatOptions::default().with_generation(greedy(8));
    let document = &"a long text ".repeat(12);
    let shortest_hit = document.len() / 4;
    let cache = Arc::new(PrefixCache::new(1 << 20));
    let converse = |name: usize, cache: Arc<PrefixCache>| {
        let conversation = Conversation::new(model.clone(), tokenizer.clone());
        let mut conversation = conversation
            .with_options(options.clone())
            .with_prefix_cache(cache);
        let mut cached = Vec::new();
        for query in [&format!("{document}{name}"), "b"] {
            let expected = model
                .chat_with(&tokenizer, query, conversation.history(), &options)
                .unwrap();
            let reply = conversation.ask(query).unwrap().run().unwrap();
            assert_eq!(reply.response, expected.response);
            cached.push(reply.cached_tokens);
        }
        cached
    };
    let off = converse(0, Arc::new(PrefixCache::new(0)));
    let first = converse(0, Arc::clone(&cache));
    assert_eq!(off, first, "nothing to share yet");
    assert_eq!(first[0], 0);
    thread::scope(|scope| {
        for name in 1..4 {
            let (cache, converse) = (Arc::clone(&cache), &converse);
            scope.spawn(move || assert!(converse(name, cache)[0] > shortest_hit));
        }
    });
    let statistics = cache.statistics();
    assert_eq!((statistics.hits, statistics.evictions), (3, 0));
    assert!(statistics.tokens_saved > 3 * shortest_hit);
}

/// What is done to a cache.
#[derive(Debug, Clone)]
enum Step {
    Insert(Vec<TokenId>),
    Find(Vec<TokenId>, usize),
}

/// A cache as a list of texts, what was used last at the end.
struct Naive {
    entries: Vec<Vec<TokenId>>,
    budget: usize,
    /// Bytes of a token.
    token_bytes: usize,
    /// The token that ends what a model sees as a whole.
    sop: Option<TokenId>,
}

impl Naive {
    fn reusable_len(&self, entry: &[TokenId], prompt: &[TokenId]) -> usize {
        if let Some(sop) = self.sop {
            let context = prompt.split_inclusive(|&id| id == sop).next().unwrap();
            if !entry.starts_with(context) {
                return 0;
            }
        }
        let common = |len: &usize| entry.starts_with(&prompt[..*len]);
        (0..prompt.len()).rev().find(common).unwrap()
    }

    fn find(&mut self, prompt: &[TokenId], known: usize) -> Option<usize> {
        let lengths = self.entries.iter();
        let lengths: Vec<usize> = lengths.map(|e| self.reusable_len(e, prompt)).collect();
        let longest = *lengths.iter().max().filter(|&&len| len > known)?;
        let place = lengths.iter().rposition(|&len| len == longest).unwrap();
        let used = self.entries.remove(place);
        self.entries.push(used);
        Some(longest)
    }

    fn insert(&mut self, tokens: &[TokenId]) {
        let longer = self.entries.iter().rposition(|e| e.starts_with(tokens));
        if let Some(place) = longer {
            let used = self.entries.remove(place);
            return self.entries.push(used);
        }
        if tokens.len() * self.token_bytes > self.budget {
            return;
        }
        self.entries.retain(|entry| !tokens.starts_with(entry));
        self.entries.push(tokens.to_vec());
        while self.bytes() > self.budget {
            self.entries.remove(0);
        }
    }

    fn bytes(&self) -> usize {
        self.entries.concat().len() * self.token_bytes
    }
}

/// Steps with texts that often begin alike: of a ChatGLM-6B with a context before `<sop>`.
fn steps(is_causal: bool) -> impl Strategy<Value = Vec<Step>> {
    let text = |len: std::ops::Range<usize>| prop::collection::vec(5_u32..7, len);
    let tokens = (text(1..5), text(0..5)).prop_map(move |(before, behind)| match is_causal {
        true => [before, behind].concat(),
        false => [before, vec![GMASK, SOP], behind].concat(),
    });
    let step = prop_oneof![
        tokens.clone().prop_map(Step::Insert),
        (tokens, 0..4_usize).prop_map(|(tokens, known)| Step::Find(tokens, known)),
    ];
    prop::collection::vec(step, 1..40)
}

fn check(model: &Model, sop: Option<TokenId>, budget: usize, steps: &[Step]) {
    let token_bytes = model.cache_bytes_per_token() + size_of::<TokenId>();
    let budget = budget * token_bytes;
    let cache = PrefixCache::new(budget);
    let mut naive = Naive {
        entries: Vec::new(),
        budget,
        token_bytes,
        sop,
    };
    let (mut hits, mut misses, mut saved) = (0, 0, 0);
    for step in steps {
        match step {
            Step::Insert(tokens) => {
                cache.insert(&Prefix::read(model, tokens).unwrap());
                naive.insert(tokens);
            }
            Step::Find(prompt, known) => {
                let expected = naive.find(prompt, *known);
                let found = cache.find_longer(model, prompt, *known);
                match (found, expected) {
                    (None, None) => misses += 1,
                    (Some(prefix), Some(len)) => {
                        assert_eq!(prefix.tokens(), &prompt[..len]);
                        hits += 1;
                        saved += len - known;
                        let options = greedy(3).with_logprobs(0);
                        let answer = |mut generator: Generator<'_>| {
                            let ended = generator.by_ref().try_for_each(|token| token.map(drop));
                            ended.unwrap();
                            generator.into_generated()
                        };
                        let generator = Generator::new(model, prompt, &options).unwrap();
                        let seed = generator.seed();
                        let reusing = Generator::new(model, prompt, &options).unwrap();
                        let reusing = reusing.with_prefix(prefix);
                        assert_eq!(reusing.cached_tokens(), len);
                        // To the bit, as the log-probabilities show.
                        let mut found = answer(reusing);
                        found.seed = seed;
                        assert_eq!(found, answer(generator));
                    }
                    other => panic!("found or not found: {other:?}"),
                }
            }
        }
        let statistics = cache.statistics();
        assert!(statistics.bytes <= budget);
        assert_eq!(statistics.bytes, naive.bytes());
        assert_eq!(statistics.entries, naive.entries.len());
        assert_eq!(
            (statistics.hits, statistics.misses, statistics.tokens_saved),
            (hits, misses, saved)
        );
    }
    cache.clear();
    assert_eq!(cache.statistics().bytes, 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_cache_is_a_list_of_texts(budget in 0..40_usize, steps in steps(true)) {
        for kv_cache in [CachePrecision::F32, CachePrecision::F16, CachePrecision::Int16, CachePrecision::Int8] {
            let numerics = Numerics::default().with_kv_cache(kv_cache);
            check(&golden("chatglm2-tiny-int4").with_numerics(numerics), None, budget, &steps);
        }
    }

    #[test]
    fn a_cache_of_contexts_is_a_list_of_them(budget in 0..40_usize, steps in steps(false)) {
        let model = golden("chatglm-6b-tiny");
        check(&model, Some(SOP), budget, &steps);
    }
}
