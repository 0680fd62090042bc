//! cargo run --release -p glm-tokenizer --example throughput -- CHECKPOINT_FOLDER TEXT_FILE
//!
//! Prints how long the tokenizer takes to load, and how fast it encodes and decodes the lines of a text,
//! on one thread.

use std::error::Error;
use std::time::{Duration, Instant};

use glm_tokenizer::{DecodeOptions, GlmTokenizer};

/// The best of these counts, as the others measure what else the machine does.
const REPEATS: usize = 7;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(folder), Some(text_file)) = (arguments.next(), arguments.next()) else {
        return Err("usage: throughput CHECKPOINT_FOLDER TEXT_FILE".into());
    };
    let text = std::fs::read_to_string(text_file)?;
    let lines: Vec<&str> = text.lines().collect();

    let (load_time, tokenizer) = fastest(|| GlmTokenizer::from_dir(&folder));
    let tokenizer = tokenizer?;
    let (encode_time, ids) = fastest(|| {
        lines
            .iter()
            .map(|line| tokenizer.encode(line))
            .collect::<Vec<_>>()
    });
    let (decode_time, decoded) = fastest(|| {
        let decode = |ids: &Vec<u32>| tokenizer.decode(ids, DecodeOptions::default());
        ids.iter().map(decode).collect::<Vec<_>>()
    });

    let bytes: usize = lines.iter().map(|line| line.len()).sum();
    let tokens: usize = ids.iter().map(Vec::len).sum();
    let characters: usize = decoded.iter().map(|line| line.chars().count()).sum();
    println!("load    {:.1} ms", load_time.as_secs_f64() * 1e3);
    println!(
        "encode  {:.1} MB/s ({bytes} bytes, {tokens} tokens)",
        bytes as f64 / encode_time.as_secs_f64() / 1e6
    );
    println!(
        "decode  {:.1} million tokens/s ({characters} characters)",
        tokens as f64 / decode_time.as_secs_f64() / 1e6
    );
    Ok(())
}

fn fastest<T>(mut run: impl FnMut() -> T) -> (Duration, T) {
    let mut timed = || {
        let start = Instant::now();
        let result = run();
        (start.elapsed(), result)
    };
    (1..REPEATS).fold(timed(), |best, _| {
        let next = timed();
        if next.0 < best.0 { next } else { best }
    })
}
