//! Writes a checkpoint with random weights in the official sharded layout.
//!
//! ```sh
//! cargo run --release -p random-checkpoint -- --out /tmp/chatglm-6b-random
//! ```

mod normal;
mod torch_zip;

use std::{
    collections::BTreeMap,
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Parser;
use glm_core::{
    checkpoint::{ExpectedTensor, Role, expected_tensors},
    config::ModelConfig,
};
use half::f16;
use indicatif::{ProgressBar, ProgressStyle};
use normal::NormalF16;
use torch_zip::{StorageType, TorchZip};

/// `config.json` of the published ChatGLM-6B.
const CHATGLM_6B: &str = include_str!("../chatglm-6b.json");

/// Standard deviation of the weights.
const STD: f32 = 0.02;

/// Write a checkpoint of ChatGLM-6B or ChatGLM2-6B with random weights in the official layout.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    /// Folder to write; made when missing
    #[arg(long)]
    out: PathBuf,
    /// config.json of another size or family (default: the published ChatGLM-6B)
    #[arg(long)]
    config: Option<PathBuf>,
    /// Largest shard in bytes
    #[arg(long, default_value_t = 1_900_000_000)]
    shard_bytes: u64,
    /// Seed of the weights
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    match write(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write(cli: &Cli) -> Result<(), Box<dyn Error>> {
    let (json, path) = match &cli.config {
        None => (CHATGLM_6B.to_owned(), Path::new("chatglm-6b.json")),
        Some(path) => (
            fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?,
            path.as_path(),
        ),
    };
    let config = ModelConfig::from_json(path, json.as_bytes())?;
    let tensors = expected_tensors(&config);
    let shards = shards(&tensors, cli.shard_bytes);
    fs::create_dir_all(&cli.out)?;

    let bar =
        ProgressBar::new(tensors.iter().map(bytes).sum()).with_style(ProgressStyle::with_template(
            "{bar:30} {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left",
        )?);
    let mut weight_map = BTreeMap::new();
    for (index, shard) in shards.iter().enumerate() {
        let name = format!("pytorch_model-{:05}-of-{:05}.bin", index + 1, shards.len());
        let mut file = TorchZip::create(&cli.out.join(&name))?;
        file.begin(shard.iter().map(|tensor| {
            let storage = if tensor.role == Role::Codes {
                StorageType::Char
            } else {
                StorageType::Half
            };
            (tensor.name.as_str(), tensor.shape.as_slice(), storage)
        }))?;
        for tensor in shard {
            file.storage(&values(tensor, cli.seed))?;
            weight_map.insert(tensor.name.clone(), name.clone());
            bar.inc(bytes(tensor));
        }
        file.finish()?;
    }
    bar.finish();
    let total_size: u64 = tensors.iter().map(bytes).sum();
    let index =
        serde_json::json!({ "metadata": { "total_size": total_size }, "weight_map": weight_map });
    fs::write(
        cli.out.join("pytorch_model.bin.index.json"),
        serde_json::to_string_pretty(&index)?,
    )?;
    fs::write(cli.out.join("config.json"), json)?;
    eprintln!(
        "wrote {} tensors, {:.2} GB, to {}",
        tensors.len(),
        total_size as f64 / 1e9,
        cli.out.display()
    );
    Ok(())
}

/// Tensors in order, as many per file as fit.
fn shards(tensors: &[ExpectedTensor], limit: u64) -> Vec<Vec<&ExpectedTensor>> {
    let mut shards: Vec<Vec<&ExpectedTensor>> = Vec::new();
    let mut filled = 0;
    for tensor in tensors {
        match shards.last_mut() {
            Some(shard) if filled + bytes(tensor) <= limit => {
                shard.push(tensor);
                filled += bytes(tensor);
            }
            _ => {
                shards.push(vec![tensor]);
                filled = bytes(tensor);
            }
        }
    }
    shards
}

fn bytes(tensor: &ExpectedTensor) -> u64 {
    let size = if tensor.role == Role::Codes { 1 } else { 2 };
    tensor.shape.iter().product::<usize>() as u64 * size
}

/// The bytes of one tensor. The head equals the embedding, as in the published files, so its stream is the same.
fn values(tensor: &ExpectedTensor, seed: u64) -> Vec<u8> {
    let count: usize = tensor.shape.iter().product();
    let name = if tensor.name == "lm_head.weight" {
        "transformer.word_embeddings.weight"
    } else {
        &tensor.name
    };
    let mut normal = NormalF16::new(seed, name, STD);
    match tensor.role {
        Role::Codes => normal.bytes(count),
        // What the quantiser gives for normal weights of this deviation: the largest of a row is some 4 of them.
        Role::Scales => normal.constant(count, f16::from_f32(4.0 * STD / 127.0)),
        Role::Vector if tensor.name.ends_with("layernorm.weight") => normal.around(count, 1.0),
        Role::Vector | Role::Matrix => normal.around(count, 0.0),
    }
}
