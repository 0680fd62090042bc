//! The training loop: AdamW, warm-up and cosine, a state on disk to resume from.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use burn::{
    module::Module,
    nn::loss::CrossEntropyLossConfig,
    optim::{AdamWConfig, GradientsParams, ModuleOptimizer},
    store::ModuleRecord,
    tensor::{Device, Int, Tensor, TensorData},
};
use glm_core::{
    GlmTokenizer,
    chat::PromptStyle,
    checkpoint::save_f16,
    config::ModelConfig,
    kv_cache::KvCache,
    model::{Model, PaddingSide},
    network::Network,
};
use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};

use crate::{
    Result, TrainArgs,
    dataset::{Draws, Row, batches, read_pairs, rows},
};

/// Steps between two lines of progress where there is no terminal for a bar.
const LOG_EVERY: usize = 100;

/// How far a run is, beside the weights and the optimiser's state.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Progress {
    step: usize,
    total_steps: usize,
    seconds: f64,
}

/// What one pass over the corpus reads.
#[derive(Default)]
struct Epoch {
    rows: Vec<Row>,
    batches: Vec<Vec<usize>>,
}

struct Run {
    network: Network,
    optimizer: ModuleOptimizer,
    progress: Progress,
}

pub(crate) fn train(args: &TrainArgs) -> Result<()> {
    if args.batch_size == 0 || args.epochs == 0 || args.save_every == 0 {
        return Err("--batch-size, --epochs and --save-every must be at least 1".into());
    }
    if let Some(threads) = args.threads {
        glm_core::set_cpu_threads(threads)?;
    }
    let model_folder = args.folders.model();
    let config = ModelConfig::from_dir(&model_folder)?;
    let tokenizer = GlmTokenizer::from_dir(&model_folder)?;
    let pairs = read_pairs(&args.folders.data.join("train.jsonl"))?;
    let steps_per_epoch = pairs.len().div_ceil(args.batch_size);
    let total_steps = steps_per_epoch * args.epochs;
    let draws = Draws {
        seed: args.seed,
        random_turns: args.random_turns,
        // The chat keeps the last quarter free for the answer.
        max_length: config.max_sequence_length() / 4 * 3,
    };

    let device = Device::flex();
    device.seed(args.seed);
    let device = device.autodiff();
    let folder = args.run();
    let mut run = Run::start_or_resume(args, &folder, &config, total_steps, &device)?;
    eprintln!(
        "{} pairs, {} parameters, {total_steps} steps",
        pairs.len(),
        run.network.num_params()
    );

    let stop = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&stop);
    ctrlc::set_handler(move || asked.store(true, Ordering::Relaxed))?;

    let bar = ProgressBar::new(total_steps as u64).with_style(ProgressStyle::with_template(
        "{bar:30} {pos}/{len} steps  {msg}  {elapsed} gone, {eta} left",
    )?);
    bar.set_position(run.progress.step as u64);
    bar.reset_eta();

    let first_step = run.progress.step;
    let mut average_loss = None;
    let (mut seen_tokens, started) = (0usize, Instant::now());
    let seconds_before = run.progress.seconds;
    let mut current = Epoch::default();
    while run.progress.step < total_steps {
        let (epoch, index) = (
            run.progress.step / steps_per_epoch,
            run.progress.step % steps_per_epoch,
        );
        if index == 0 || current.batches.is_empty() {
            let rows = rows(&pairs, &tokenizer, PromptStyle::of(&config), draws, epoch);
            let batches = batches(&rows, args.batch_size, draws, epoch);
            current = Epoch { rows, batches };
        }
        let batch: Vec<&Row> = current.batches[index]
            .iter()
            .map(|&row| &current.rows[row])
            .collect();
        let loss = run.step(
            &batch,
            &config,
            learning_rate(args, run.progress.step, total_steps),
            &device,
        )?;

        let smooth = average_loss.map_or(loss, |average: f32| 0.98 * average + 0.02 * loss);
        average_loss = Some(smooth);
        seen_tokens += batch.iter().map(|row| row.ids.len()).sum::<usize>();
        let seconds = started.elapsed().as_secs_f64();
        run.progress.seconds = seconds_before + seconds;
        bar.set_message(format!(
            "loss {smooth:.4}  {:.0} tokens/s",
            seen_tokens as f64 / seconds
        ));
        bar.inc(1);

        if bar.is_hidden() && run.progress.step.is_multiple_of(LOG_EVERY) {
            eprintln!(
                "step {}/{total_steps}  loss {smooth:.4}  {:.0} tokens/s",
                run.progress.step,
                seen_tokens as f64 / seconds
            );
        }
        let stopping = stop.load(Ordering::Relaxed)
            || args
                .max_steps
                .is_some_and(|max| run.progress.step - first_step >= max);
        if stopping || run.progress.step.is_multiple_of(args.save_every) {
            run.save(&folder)?;
        }
        if stopping {
            bar.abandon();
            eprintln!(
                "stopped at step {}; run the same command to go on",
                run.progress.step
            );
            return Ok(());
        }
    }
    bar.finish();
    run.save(&folder)?;
    let model = Model::new(config, run.network.valid(), Device::flex());
    save_f16(&model, &model_folder)?;
    eprintln!(
        "{} steps in {:.0} s; wrote {}",
        run.progress.step,
        run.progress.seconds,
        model_folder.join("model.safetensors").display()
    );
    Ok(())
}

impl Run {
    fn start_or_resume(
        args: &TrainArgs,
        folder: &Path,
        config: &ModelConfig,
        total_steps: usize,
        device: &Device,
    ) -> Result<Self> {
        let mut network = Network::random(config, device);
        if args.from_model {
            let model = glm_core::load(args.folders.model())?;
            let weights = model.network().clone().into_record();
            // From f16 as stored to the f32 of the random weights: a step is too small for f16.
            network = network.load_record(weights.cast_to_module_dtype());
        }
        let mut run = Self {
            network,
            optimizer: AdamWConfig::new()
                .with_weight_decay(0.01)
                .with_beta_2(0.98)
                .init(),
            progress: Progress {
                step: 0,
                total_steps,
                seconds: 0.0,
            },
        };
        let old = folder.with_extension("old");
        if !folder.exists() && old.exists() {
            // Stopped between the two renames of `save`: this is the last whole state.
            std::fs::rename(&old, folder)?;
        }
        let progress = folder.join("progress.json");
        if !progress.exists() {
            std::fs::create_dir_all(folder)?;
            return Ok(run);
        }
        run.progress = serde_json::from_str(&std::fs::read_to_string(&progress)?)?;
        if run.progress.total_steps != total_steps {
            return Err(format!(
                "{} is of a run of {} steps, not {total_steps}; give the same flags, or another --run",
                folder.display(),
                run.progress.total_steps
            )
            .into());
        }
        run.network = run
            .network
            .load_record(ModuleRecord::load(folder.join("weights.bpk"))?);
        run.optimizer = run.optimizer.load(folder.join("optimizer.bpk"))?;
        eprintln!("going on at step {}", run.progress.step);
        Ok(run)
    }

    /// Writes into a folder beside and swaps it in, so that a crash leaves one whole state.
    fn save(&self, folder: &Path) -> Result<()> {
        let partial = folder.with_extension("partial");
        if partial.exists() {
            std::fs::remove_dir_all(&partial)?;
        }
        std::fs::create_dir_all(&partial)?;
        self.network
            .clone()
            .into_record()
            .save(partial.join("weights.bpk"))?;
        self.optimizer.save(partial.join("optimizer.bpk"))?;
        std::fs::write(
            partial.join("progress.json"),
            serde_json::to_string(&self.progress)?,
        )?;
        let old = folder.with_extension("old");
        if old.exists() {
            std::fs::remove_dir_all(&old)?;
        }
        std::fs::rename(folder, &old)?;
        std::fs::rename(&partial, folder)?;
        Ok(std::fs::remove_dir_all(&old)?)
    }

    /// One optimiser step; returns the mean loss per predicted token.
    fn step(
        &mut self,
        batch: &[&Row],
        config: &ModelConfig,
        learning_rate: f64,
        device: &Device,
    ) -> Result<f32> {
        let loss = batch_loss(&self.network, batch, config, device)?;
        let value = loss.clone().into_scalar::<f32>();
        let gradients = GradientsParams::from_grads(loss.backward(), &self.network);
        self.network = self
            .optimizer
            .step(learning_rate, self.network.clone(), gradients);
        self.progress.step += 1;
        Ok(value)
    }
}

/// Mean cross entropy over the labels of the batch, logits shifted by one.
fn batch_loss(
    network: &Network,
    batch: &[&Row],
    config: &ModelConfig,
    device: &Device,
) -> Result<Tensor<1>> {
    let ids: Vec<&[u32]> = batch.iter().map(|row| row.ids.as_slice()).collect();
    let model = Model::new(config.clone(), network.clone(), device.clone());
    let input = model.input(&ids, &model.layouts(&ids)?, PaddingSide::Right);
    let [rows, len] = input.input_ids.dims();

    let hidden_states = network.hidden_states(
        input.input_ids,
        input.position_ids,
        &input.attention_mask,
        &mut KvCache::disabled(config.num_layers()),
        |_, _| {},
    );
    // Only the positions that predict a label go through the head.
    let mut positions: Vec<i64> = Vec::new();
    let mut labels: Vec<i64> = Vec::new();
    for (index, row) in batch.iter().enumerate() {
        for label in row.first_label..row.ids.len() {
            positions.push((index * len + label - 1) as i64);
            labels.push(i64::from(row.ids[label]));
        }
    }
    let count = labels.len();
    let int =
        |values: Vec<i64>| Tensor::<1, Int>::from_data(TensorData::new(values, [count]), device);
    let predicting = hidden_states
        .reshape([rows * len, config.hidden_size()])
        .select(0, int(positions))
        .unsqueeze::<3>(); // [1, count, hidden_size]
    let logits = network.logits(predicting).squeeze_dim::<2>(0); // [count, vocab_size]
    Ok(CrossEntropyLossConfig::new()
        .init(device)
        .forward(logits, int(labels)))
}

fn learning_rate(args: &TrainArgs, step: usize, total_steps: usize) -> f64 {
    let warmup = args.warmup.min(total_steps / 2).max(1);
    if step < warmup {
        return args.learning_rate * (step + 1) as f64 / warmup as f64;
    }
    let done = (step - warmup) as f64 / (total_steps - warmup).max(1) as f64;
    let cosine = 0.5 * (1.0 + (std::f64::consts::PI * done).cos());
    args.learning_rate * (0.1 + 0.9 * cosine)
}
