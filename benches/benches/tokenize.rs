//! Text to ids, in bytes of text per second.

use std::{hint::black_box, path::PathBuf};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use glm_tokenizer::{DecodeOptions, GlmTokenizer};

fn bench(criterion: &mut Criterion) {
    let texts: Vec<String> = mini_corpus::generate()
        .train
        .into_iter()
        .map(|example| example.response)
        .collect();
    let bytes: usize = texts.iter().map(String::len).sum();
    let mini = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../examples/mini-model/chatglm-mini"
    );
    let mut folders = vec![("chatglm-mini", PathBuf::from(mini))];
    if let Some(folder) = std::env::var_os("GLM_TEST_TOKENIZERS") {
        folders.push(("chatglm-6b", PathBuf::from(folder).join("chatglm-6b")));
    }
    for (name, folder) in folders {
        let tokenizer = match GlmTokenizer::from_dir(&folder) {
            Ok(tokenizer) => tokenizer,
            Err(error) => {
                eprintln!("skipping {name}: {error}");
                continue;
            }
        };
        for text in &texts {
            // The rules of NFKC apply on the way in: only texts that it leaves alone come back to the letter.
            if text.is_ascii() {
                let ids = tokenizer.encode(text);
                assert_eq!(&tokenizer.decode(&ids, DecodeOptions::default()), text);
            }
        }
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function("encode", |bencher| {
            bencher.iter(|| {
                texts
                    .iter()
                    .map(|text| tokenizer.encode(black_box(text)).len())
                    .sum::<usize>()
            });
        });
        group.finish();
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
