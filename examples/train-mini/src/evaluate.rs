//! The held-out figure: questions that are not in the training file, greedy decoding, exact equality.

use std::collections::BTreeMap;

use glm_core::{GenerationOptions, GlmTokenizer, chat::ChatOptions};

use crate::{EvaluateArgs, Result, dataset::read_pairs};

#[derive(Default)]
struct Count {
    right: usize,
    all: usize,
}

pub(crate) fn evaluate(args: &EvaluateArgs) -> Result<()> {
    let pairs = read_pairs(&args.folders.data.join("heldout.jsonl"))?;
    let folder = args.folders.model();
    let tokenizer = GlmTokenizer::from_dir(&folder)?;
    let model = glm_core::load(&folder)?;
    let options = ChatOptions::default()
        .with_generation(GenerationOptions::greedy().with_max_new_tokens(128));

    let mut counts: BTreeMap<String, Count> = BTreeMap::new();
    for pair in &pairs {
        let reply = model.chat_with(&tokenizer, &pair.prompt, &pair.history, &options)?;
        let right = reply.response == pair.response.trim();
        for group in [
            format!("topic {}", pair.topic),
            format!("kind {}", pair.kind),
            "all".to_owned(),
        ] {
            let count = counts.entry(group).or_default();
            count.all += 1;
            count.right += usize::from(right);
        }
        if args.show_wrong && !right {
            println!(
                "Q {:?} {}\n  expected {:?}\n  found    {:?}",
                pair.history, pair.prompt, pair.response, reply.response
            );
        }
    }
    for (group, count) in counts {
        println!(
            "{group:24} {:4} of {:4} held-out questions answered as expected: {:.1} %",
            count.right,
            count.all,
            100.0 * count.right as f64 / count.all.max(1) as f64
        );
    }
    Ok(())
}
