//! Rules for the next token and cancelling, in everything that writes: both reach chats, samples, searches, infilling, code
//! and conversations, and cancelling works while a prompt is read.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use glm_core::{
    GenerationOptions, GlmTokenizer, Model, Result, TokenId,
    chat::{ChatOptions, Conversation, ResponseRules},
    code::{CodeOptions, Cursor, Until},
    generate::{
        BatchGenerator, BeamSearchOptions, CancelToken, FinishReason, Generator, LogitsProcessor,
        Sequence, beam_search, beam_search_until, generate_batch,
    },
    prefix_cache::Prefix,
};

#[path = "support/codegeex2.rs"]
mod codegeex2;

/// Tokens of every answer here.
const NEW: usize = 3;

fn golden(name: &str) -> PathBuf {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    golden.join(name)
}

/// The demonstration model, a ChatGLM-6B.
fn chatglm() -> (GlmTokenizer, Model) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/mini-model/chatglm-mini");
    (
        GlmTokenizer::from_dir(&folder).unwrap(),
        glm_core::load(&folder).unwrap(),
    )
}

/// A tiny ChatGLM2-6B with a tokenizer.
fn chatglm2() -> (GlmTokenizer, Model) {
    let file = golden("ggml/chatglm2-tiny.q4_0.bin");
    (
        glm_core::load_tokenizer(&file).unwrap(),
        glm_core::load(&file).unwrap(),
    )
}

/// A tiny CodeGeeX2.
fn codegeex2() -> (GlmTokenizer, Model) {
    let folder = codegeex2::folder(&golden(""));
    (
        glm_core::load_tokenizer(folder.path()).unwrap(),
        glm_core::load(folder.path()).unwrap(),
    )
}

/// Every token is `self.token`.
#[derive(Debug)]
struct Only {
    token: TokenId,
}

impl LogitsProcessor for Only {
    fn process(&self, scores: &mut [f32], _: Sequence<'_>) -> Result<()> {
        scores.fill(f32::NEG_INFINITY);
        scores[self.token as usize] = 0.0;
        Ok(())
    }
}

/// A rule that lets only one token be written, a letter, and the answer of `NEW` tokens that comes of it.
fn one_letter((tokenizer, model): &(GlmTokenizer, Model)) -> (Arc<dyn LogitsProcessor>, String) {
    let written = |token: TokenId| tokenizer.decode(&[token; NEW], Default::default());
    let is_letters = |text: &str| {
        text.len() == NEW
            && text
                .chars()
                .all(|character| character.is_ascii_alphabetic())
    };
    let mut tokens = 0..model.vocab_size() as TokenId;
    let token = tokens.find(|&token| is_letters(&written(token))).unwrap();
    (Arc::new(Only { token }), written(token))
}

fn short() -> GenerationOptions {
    GenerationOptions::greedy().with_max_new_tokens(NEW)
}

fn chat_options(generation: GenerationOptions) -> ChatOptions {
    ChatOptions::from(generation).with_response(ResponseRules::Raw)
}

fn code_options(generation: GenerationOptions) -> CodeOptions {
    CodeOptions::default()
        .with_generation(generation)
        .with_until(Until::End)
}

/// The rule is one of the options: nothing else is said.
#[test]
fn a_rule_of_the_options_holds_in_everything_that_writes() {
    let never = CancelToken::new();
    for both in [chatglm(), chatglm2()] {
        let (rule, letters) = one_letter(&both);
        let (tokenizer, model) = both;
        let generation = short().with_processor(rule);
        let options = chat_options(generation.clone());
        let chat = model.chat_with(&tokenizer, "a", &[], &options).unwrap();
        assert_eq!(chat.response, letters);
        let samples = model
            .chat_samples(&tokenizer, "a", &[], &options, 2, &never)
            .unwrap();
        assert!(samples.iter().all(|sample| sample.response == letters));
        // The other beams have nothing that is possible.
        let beams = BeamSearchOptions::default().with_num_beams(2);
        let best = model
            .chat_beams(&tokenizer, "a", &[], &options, &beams, &never)
            .unwrap();
        assert_eq!(best[0].response, letters);
        let mut conversation =
            Conversation::new(model.clone(), tokenizer.clone()).with_options(options.clone());
        for question in ["a", "b"] {
            let reply = conversation.ask(question).unwrap().run().unwrap();
            assert_eq!(reply.response, letters);
        }

        let prompt = tokenizer.with_special_tokens(tokenizer.encode("a"));
        let text = |tokens: &[TokenId]| tokenizer.decode(tokens, Default::default());
        let alone = Generator::new(&model, &prompt, &generation).unwrap();
        assert_eq!(text(&alone.run().unwrap().tokens), letters);
        let batch = generate_batch(&model, &[&prompt, &prompt], &generation).unwrap();
        assert!(batch.iter().all(|row| text(&row.tokens) == letters));
        let found = beam_search(&model, &[&prompt], &generation, &beams).unwrap();
        assert_eq!(text(&found[0][0].tokens), letters);
    }
    let both = chatglm();
    let (rule, letters) = one_letter(&both);
    let options = chat_options(short().with_processor(rule));
    let infilled = both.1.infill(&both.0, "a [MASK] b [sMASK].", &options);
    let filled = format!("a {letters} b {letters}.");
    assert_eq!(infilled.unwrap().text, filled);
    let both = codegeex2();
    let (rule, letters) = one_letter(&both);
    let options = code_options(short().with_processor(rule));
    let code = both.1.stream_code(&both.0, &Cursor::new("a"), &options);
    assert_eq!(code.unwrap().run().unwrap().text, letters);
}

/// The rule is one of this answer, and the options know nothing of it.
#[test]
fn a_rule_of_one_answer_holds_for_it_alone() {
    for both in [chatglm(), chatglm2()] {
        let (rule, letters) = one_letter(&both);
        let (tokenizer, model) = both;
        let options = chat_options(short());
        let stream = model.stream_chat(&tokenizer, "a", &[], &options).unwrap();
        let reply = stream.with_processor(Arc::clone(&rule)).run().unwrap();
        assert_eq!(reply.response, letters);
        let free = model.chat_with(&tokenizer, "a", &[], &options).unwrap();
        assert_ne!(free.response, letters);
        let mut conversation =
            Conversation::new(model.clone(), tokenizer.clone()).with_options(options);
        let turn = conversation.ask("a").unwrap();
        assert_eq!(turn.with_processor(rule).run().unwrap().response, letters);
        let again = conversation.regenerate().unwrap().run().unwrap();
        assert_eq!(again.response, free.response);
    }
    let both = chatglm();
    let (rule, letters) = one_letter(&both);
    let text = "a [MASK] b [sMASK].";
    let stream = both.1.stream_infill(&both.0, text, &chat_options(short()));
    let infilled = stream.unwrap().with_processor(rule).run().unwrap();
    assert_eq!(infilled.text, format!("a {letters} b {letters}."));
    let both = codegeex2();
    let (rule, letters) = one_letter(&both);
    let options = code_options(short());
    let stream = both.1.stream_code(&both.0, &Cursor::new("a"), &options);
    let code = stream.unwrap().with_processor(rule).run().unwrap();
    assert_eq!(code.text, letters);
}

#[test]
fn the_error_of_a_rule_is_told_and_nothing_more_is_written() {
    /// Refuses the second token.
    #[derive(Debug)]
    struct Refuse;

    impl LogitsProcessor for Refuse {
        fn process(&self, _: &mut [f32], sequence: Sequence<'_>) -> Result<()> {
            match sequence.generated().len() {
                0 => Ok(()),
                _ => Err(glm_core::Error::NoCacheDir),
            }
        }
    }

    let (tokenizer, model) = chatglm();
    let options = chat_options(short().with_processor(Arc::new(Refuse)));
    let chat = model.chat_with(&tokenizer, "a", &[], &options);
    assert!(matches!(chat, Err(glm_core::Error::NoCacheDir)));
    let mut stream = model.stream_chat(&tokenizer, "a", &[], &options).unwrap();
    let errors = stream.by_ref().filter(Result::is_err).count();
    assert_eq!(errors, 1);
    assert_eq!(stream.into_reply().completion_tokens, 1);
}

/// Options are equal only if their rules are the same ones.
#[test]
fn options_with_rules_are_compared_by_identity() {
    let rule: Arc<dyn LogitsProcessor> = Arc::new(Only { token: 1 });
    let options = short().with_processor(Arc::clone(&rule));
    assert_eq!(options, options.clone());
    assert_eq!(options, short().with_processor(rule));
    assert_ne!(options, short());
    assert_ne!(options, short().with_processor(Arc::new(Only { token: 1 })));
}

/// A switch that goes on when it is looked at for the `n`-th time, and how often it was looked at.
fn at_look(n: usize) -> (CancelToken, Arc<AtomicUsize>) {
    let looks = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&looks);
    let cancel = CancelToken::when(move || seen.fetch_add(1, Ordering::Relaxed) + 1 >= n);
    (cancel, looks)
}

/// Between two layers of the prompt, whatever is written: nothing is, and the model is not asked again.
#[test]
fn a_prompt_is_given_up_between_two_layers() {
    for (tokenizer, model) in [chatglm(), chatglm2()] {
        let options = chat_options(short());
        let prompt = tokenizer.with_special_tokens(tokenizer.encode("a"));
        // One look before the prompt, and one at each of the first layers.
        for n in 2..=3 {
            let (cancel, looks) = at_look(n);
            let stream = model.stream_chat(&tokenizer, "a", &[], &options).unwrap();
            let reply = stream.with_cancel(cancel).run().unwrap();
            assert_eq!(reply.finish_reason, FinishReason::Cancelled);
            assert_eq!((reply.completion_tokens, &*reply.response), (0, ""));
            assert_eq!(looks.load(Ordering::Relaxed), n);

            let (cancel, _) = at_look(n);
            let generator = Generator::new(&model, &prompt, &options.generation).unwrap();
            let mut generator = generator.with_cancel(cancel);
            assert!(generator.next().is_none());
            assert_eq!(generator.finish_reason(), Some(FinishReason::Cancelled));
            assert!(generator.next().is_none());
            assert!(generator.into_prefix().is_none(), "no chunk was read whole");

            let (cancel, _) = at_look(n);
            let batch = BatchGenerator::new(&model, &[&prompt, &prompt], &options.generation);
            let rows = batch.unwrap().with_cancel(cancel).run().unwrap();
            for row in rows {
                assert_eq!(row.finish_reason, FinishReason::Cancelled);
                assert!(row.tokens.is_empty());
            }

            let (cancel, _) = at_look(n);
            let samples = model
                .chat_samples(&tokenizer, "a", &[], &options, 2, &cancel)
                .unwrap();
            assert_eq!(samples.len(), 2);
            assert!(samples.iter().all(|sample| sample.completion_tokens == 0));

            let beams = BeamSearchOptions::default().with_num_return_sequences(2);
            let (cancel, _) = at_look(n);
            let prompts = [&prompt[..], &prompt];
            let found = beam_search_until(&model, &prompts, &options.generation, &beams, &cancel);
            for answers in found.unwrap() {
                assert_eq!(answers.len(), 1);
                assert!(answers[0].tokens.is_empty());
                assert_eq!(answers[0].finish_reason, FinishReason::Cancelled);
            }

            let (cancel, looks) = at_look(n);
            assert!(model.prefill_until(&prompts, 0, &cancel).unwrap().is_none());
            assert_eq!(looks.load(Ordering::Relaxed), n);
        }
    }
    let (tokenizer, model) = chatglm();
    let text = "a [MASK] b [sMASK].";
    let stream = model.stream_infill(&tokenizer, text, &chat_options(short()));
    let infilled = stream.unwrap().with_cancel(at_look(2).0).run().unwrap();
    assert_eq!((&*infilled.text, infilled.pieces.len()), (text, 0));
    let (tokenizer, model) = codegeex2();
    let stream = model
        .stream_code(&tokenizer, &Cursor::new("a"), &code_options(short()))
        .unwrap();
    let code = stream.with_cancel(at_look(2).0).run().unwrap();
    assert_eq!(code.finish_reason, FinishReason::Cancelled);
    assert_eq!(code.completion_tokens, 0);
}

/// A cache whose last pass was broken off in the middle of the layers is as good as it was before.
#[test]
fn what_was_read_before_a_prompt_was_given_up_is_known() {
    let (tokenizer, model) = chatglm2();
    let long: Vec<TokenId> = tokenizer.encode(&"a b c ".repeat(600));
    assert!(long.len() > 1200, "{}", long.len());
    let prompt = tokenizer.with_special_tokens(long[..1200].to_vec());
    let options = short().with_max_length(4000);
    let plain = Generator::new(&model, &prompt, &options).unwrap();
    let plain = plain.run().unwrap().tokens;
    let mut known = Vec::new();
    for n in 1.. {
        let (cancel, _) = at_look(n);
        let generator = Generator::new(&model, &prompt, &options).unwrap();
        let mut generator = generator.with_cancel(cancel);
        generator.next();
        if generator.finish_reason() != Some(FinishReason::Cancelled) {
            break;
        }
        let prefix = generator.into_prefix();
        let len = prefix.as_ref().map_or(0, |prefix| prefix.tokens().len());
        known.push(len);
        let mut again = Generator::new(&model, &prompt, &options).unwrap();
        if let Some(prefix) = prefix {
            assert_eq!(prefix.tokens(), &prompt[..len]);
            again = again.with_prefix(prefix);
        }
        assert_eq!(again.cached_tokens(), len);
        assert_eq!(again.run().unwrap().tokens, plain);
    }
    known.dedup();
    assert_eq!(known, [0, 512, 1024], "a chunk is known once it was read");
}

/// The same for tokens that are read behind others.
#[test]
fn a_continuation_is_given_up_and_read_again() {
    let model = glm_core::load(golden("chatglm2-tiny")).unwrap();
    let (first, rest): (Vec<TokenId>, Vec<TokenId>) = ((4..40).collect(), (40..90).collect());
    let (_, mut state) = model.prefill(&[&first]).unwrap();
    let expected = {
        let mut state = state.first_tokens(first.len());
        model.append(&mut state, &rest).unwrap()
    };
    for n in 1..=2 {
        let logits = model
            .append_until(&mut state, &rest, &at_look(n).0)
            .unwrap();
        assert!(logits.is_none());
        assert_eq!(state.len(), first.len());
        assert_eq!(state.cache().len(), first.len());
    }
    let logits = model.append_until(&mut state, &rest, &CancelToken::new());
    assert_eq!(
        logits.unwrap().unwrap().into_data(),
        expected.into_data(),
        "to the bit"
    );
    assert_eq!(state.len(), first.len() + rest.len());
}

#[test]
fn a_conversation_goes_on_after_a_question_that_was_given_up() {
    for (tokenizer, model) in [chatglm(), chatglm2()] {
        let options = chat_options(short());
        let start = || Conversation::new(model.clone(), tokenizer.clone());
        let mut plain = start().with_options(options.clone());
        let mut disturbed = start().with_options(options.clone());
        for question in ["a", "b", "c"] {
            let history = disturbed.history().to_vec();
            for n in 1..=3 {
                let turn = disturbed.ask(question).unwrap().with_cancel(at_look(n).0);
                let reply = turn.run().unwrap();
                assert_eq!(reply.finish_reason, FinishReason::Cancelled);
                assert_eq!(disturbed.history(), history);
            }
            let reply = disturbed.ask(question).unwrap().run().unwrap();
            let expected = plain.ask(question).unwrap().run().unwrap();
            assert_eq!(reply.response, expected.response);
            assert_eq!(disturbed.history(), plain.history());
        }
        let prefixes = [&plain, &disturbed].map(|conversation| conversation.prefix());
        let [plain, disturbed] = prefixes.map(|prefix| prefix.map(Prefix::tokens));
        assert_eq!(plain, disturbed);
    }
}

/// The way of a server: the answer is written by a thread, and ends when nobody reads it any more.
#[test]
fn an_answer_is_written_by_a_thread_and_ends_with_its_reader() {
    let (tokenizer, model) = chatglm();
    let options = chat_options(
        GenerationOptions::greedy()
            .with_eos_token_ids(vec![])
            .with_max_length(100_000),
    );
    let cancel = CancelToken::new();
    let (send, pieces) = std::sync::mpsc::sync_channel(1);
    let writer = {
        let cancel = cancel.clone();
        std::thread::spawn(move || {
            let mut stream = model
                .stream_chat(&tokenizer, "a", &[], &options)?
                .with_cancel(cancel);
            for piece in &mut stream {
                if send.send(piece?).is_err() {
                    break;
                }
            }
            Result::Ok(stream.into_reply())
        })
    };
    let guard = cancel.cancel_on_drop();
    let first = pieces.recv().unwrap();
    drop((pieces, guard));
    let reply = writer.join().unwrap().unwrap();
    assert_eq!(reply.finish_reason, FinishReason::Cancelled);
    assert!(reply.response.starts_with(&first));
}
