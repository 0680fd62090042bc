//! The measurements with one number of threads.
//!
//! A machine that others use changes its speed from one second to the next. So whatever is to be divided is measured in
//! turns, a fraction of a second apart, and the medians are taken of the quotients.

use std::time::{Duration, Instant};

use burn::tensor::Tensor;
use glm_backends::{
    LargePages,
    cpu::{
        CpuLevel,
        machine_peak::{dot_product_peak, read_bandwidth},
    },
};
use glm_core::{Model, TokenId, model::DecodeState, random_model::prefill_with_copies};

use crate::{
    Error,
    arguments::Arguments,
    calendar,
    machine::{Machine, commit},
    matrices::Matrices,
    peak_memory::peak_memory,
    random_prompt::random_prompt,
    report::{Decode, Prefill, Product, Report},
    statistics::Spread,
};

/// The shortest prompt: `[gMASK] <sop>`.
const SHORTEST_PROMPT: usize = 2;

/// Tokens from one look at plain reading and the products to the next.
const TOKENS_PER_LOOK: usize = 4;

/// Measures everything that `arguments` ask for, with `threads` threads. Once in a process: the number of threads cannot
/// be changed.
///
/// # Errors
/// For a model that cannot be loaded or measured, and threads that cannot be set.
pub fn measure(arguments: &Arguments, threads: usize) -> Result<Report, Error> {
    CpuLevel::check_variable()?;
    glm_core::set_cpu_threads(threads)?;
    let (layers, head) = arguments.precisions();
    let start = Instant::now();
    let model = arguments.model.open(layers, head)?;
    let load_seconds = start.elapsed().as_secs_f64();
    let matrices = Matrices::of(&model)?;

    let start = Instant::now();
    let (logits, _) = model.prefill(&[&random_prompt(SHORTEST_PROMPT, model.config())?])?;
    most_likely(logits);
    let first_pass_seconds = start.elapsed().as_secs_f64();
    let peak_before = peak_memory();

    // Written, so that it is memory of its own.
    let bytes = arguments.read_buffer << 20;
    let mut read_buffer =
        LargePages::zeroed(bytes).map_err(|source| Error::ReadBuffer { bytes, source })?;
    read_buffer.fill(1);
    let session = Session {
        model: &model,
        matrices: &matrices,
        repeat: arguments.repeat,
        read_buffer,
    };
    let mut decode = Vec::new();
    let mut first: Option<Writing<'_>> = None;
    for &context in &arguments.context {
        let mut writing = session.start(context, arguments.r#gen)?;
        decode.push(session.decode(&mut writing, first.as_mut())?);
        first.get_or_insert(writing);
    }
    drop(first);
    let prefill = arguments
        .prompt
        .iter()
        .map(|&prompt| session.prefill(prompt))
        .collect::<Result<_, _>>()?;
    let buffer_bytes = session.read_buffer.len() as u64;
    let peak_after = peak_memory().map(|peak| peak.saturating_sub(buffer_bytes));

    Ok(Report {
        date: calendar::today(),
        commit: commit(),
        command: command_line(&arguments.for_threads(threads)),
        machine: Machine::this(),
        model: arguments.model.to_string(),
        precision: layers.to_string(),
        head: head.to_string(),
        threads,
        load_seconds,
        first_pass_seconds,
        weight_bytes: matrices.bytes(),
        cache_bytes_per_token: model.cache_bytes_per_token() as u64,
        peak_memory_bytes: peak_before.max(peak_after),
        prefill,
        decode,
    })
}

struct Session<'a> {
    model: &'a Model,
    matrices: &'a Matrices,
    repeat: usize,
    read_buffer: LargePages,
}

impl Session<'_> {
    /// Everything for writing `generated` tokens behind `context` of them.
    fn start(&self, context: usize, generated: usize) -> Result<Writing<'_>, Error> {
        let context = context.max(SHORTEST_PROMPT);
        let prompt = random_prompt(context, self.model.config())?;
        let (logits, state) = prefill_with_copies(self.model, &prompt, context + generated)?;
        let first = most_likely(logits);
        Ok(Writing {
            model: self.model,
            context,
            generated,
            state,
            first,
            token: first,
        })
    }

    /// Times `writing`, in turns with steps of `other` if there is one.
    fn decode(
        &self,
        writing: &mut Writing<'_>,
        mut other: Option<&mut Writing<'_>>,
    ) -> Result<Decode, Error> {
        let Writing {
            context, generated, ..
        } = *writing;
        let inputs = self.matrices.inputs(1, 1);
        let cache_bytes = (context + generated / 2) * self.model.cache_bytes_per_token();
        let bytes_per_token = self.matrices.bytes() + cache_bytes as u64;
        let gb_per_second = |step: Duration| bytes_per_token as f64 / step.as_secs_f64() / 1e9;

        let mut runs = Vec::new();
        let mut rates = Vec::new();
        let mut read_rates = Vec::new();
        let mut quotients = Vec::new();
        let mut looks = Looks::default();
        for _ in 0..self.repeat {
            writing.restart();
            let mut run = Duration::ZERO;
            for index in 0..generated {
                let step = writing.step()?;
                run += step;
                rates.push(gb_per_second(step));
                if index % TOKENS_PER_LOOK == 0 {
                    let read_rate = read_bandwidth(&self.read_buffer) / 1e9;
                    read_rates.push(read_rate);
                    looks.machine_shares.push(gb_per_second(step) / read_rate);
                    looks.products(step, self.matrices.multiply(&inputs));
                    if let Some(other) = &mut other {
                        other.restart();
                        let of_other = other.step()?;
                        let step = writing.again()?;
                        quotients.push(of_other.as_secs_f64() / step.as_secs_f64());
                    }
                }
            }
            runs.push(generated as f64 / run.as_secs_f64());
        }
        Ok(Decode {
            context,
            generated,
            tokens_per_second: Spread::of(runs),
            share_of_first: (!quotients.is_empty()).then(|| Spread::of(quotients).median),
            bytes_per_token,
            gb_per_second: Spread::of(rates),
            read_gb_per_second: Spread::of(read_rates),
            read_share: looks.machine_share(),
            outside_share: looks.outside_share(),
            products: looks.by_matrix(self.matrices, 1),
        })
    }

    fn prefill(&self, tokens: usize) -> Result<Prefill, Error> {
        let prompt = random_prompt(tokens, self.model.config())?;
        let inputs = self
            .matrices
            .inputs(tokens, self.model.config().tokens_at_once(tokens));
        let operations = self.matrices.operations(tokens);

        let mut times = Vec::new();
        let mut peaks = Vec::new();
        let mut looks = Looks::default();
        for _ in 0..self.repeat {
            let before = dot_product_peak();
            let start = Instant::now();
            let (logits, _) = self.model.prefill(&[&prompt])?;
            most_likely(logits);
            let time = start.elapsed();
            let after = dot_product_peak();
            let rate = operations as f64 / time.as_secs_f64();
            looks
                .machine_shares
                .push(rate / f64::midpoint(before, after));
            looks.products(time, self.matrices.multiply(&inputs));
            times.push(time.as_secs_f64());
            peaks.extend([before / 1e9, after / 1e9]);
        }
        Ok(Prefill {
            prompt: tokens,
            first_token_seconds: Spread::of(times.iter().copied()),
            tokens_per_second: Spread::of(times.iter().map(|time| tokens as f64 / time)),
            operations,
            gop_per_second: Spread::of(times.iter().map(|time| operations as f64 / time / 1e9)),
            peak_gop_per_second: Spread::of(peaks),
            int8_share: looks.machine_share(),
            outside_share: looks.outside_share(),
            products: looks.by_matrix(self.matrices, tokens),
        })
    }
}

/// Tokens that are written one by one behind a context.
struct Writing<'a> {
    model: &'a Model,
    context: usize,
    generated: usize,
    state: DecodeState,
    /// The token behind the context.
    first: TokenId,
    /// The last token that was written.
    token: TokenId,
}

impl Writing<'_> {
    /// Back to the end of the context.
    fn restart(&mut self) {
        self.state.truncate(self.context);
        self.token = self.first;
    }

    /// The time that the next token takes.
    fn step(&mut self) -> Result<Duration, Error> {
        let start = Instant::now();
        self.token = most_likely(self.model.decode(&mut self.state, &[self.token])?);
        Ok(start.elapsed())
    }

    /// The time that another token takes in place of the last one.
    fn again(&mut self) -> Result<Duration, Error> {
        self.state.truncate(self.state.len() - 1);
        self.step()
    }
}

/// What was measured beside passes of the model.
#[derive(Default)]
struct Looks {
    machine_shares: Vec<f64>,
    outside_shares: Vec<f64>,
    products: Vec<Vec<Duration>>, // [looks][matrices]
}

impl Looks {
    /// The products of a pass, measured right after one that took `pass`.
    fn products(&mut self, pass: Duration, products: Vec<Duration>) {
        let inside: Duration = products.iter().sum();
        self.outside_shares
            .push(1.0 - inside.as_secs_f64() / pass.as_secs_f64());
        self.products.push(products);
    }

    fn machine_share(&self) -> f64 {
        Spread::of(self.machine_shares.iter().copied()).median
    }

    fn outside_share(&self) -> f64 {
        Spread::of(self.outside_shares.iter().copied()).median
    }

    /// The products with the matrices of one name taken together, for a pass over `tokens`.
    fn by_matrix(&self, matrices: &Matrices, tokens: usize) -> Vec<Product> {
        let mut products: Vec<Product> = Vec::new();
        for matrix in matrices.iter() {
            if products.iter().any(|product| product.matrix == matrix.name) {
                continue;
            }
            let same = |other: &&crate::matrices::Matrix| other.name == matrix.name;
            let seconds = self.products.iter().map(|look| {
                let all = matrices.iter().zip(look);
                all.filter(|(other, _)| other.name == matrix.name)
                    .map(|(_, time)| time.as_secs_f64())
                    .sum()
            });
            products.push(Product {
                matrix: matrix.name.to_owned(),
                seconds: Spread::of(seconds).median,
                bytes: matrices.iter().filter(same).map(|m| m.bytes).sum(),
                operations: matrices
                    .iter()
                    .filter(same)
                    .map(|m| m.operations(tokens))
                    .sum(),
            });
        }
        products
    }
}

/// The id with the largest logit of the first row; the work that ends every step.
fn most_likely(logits: Tensor<2>) -> TokenId {
    let data = logits.into_data();
    let logits = data.as_slice::<f32>().unwrap_or_default();
    let best = (0..).zip(logits).max_by(|(_, a), (_, b)| a.total_cmp(b));
    best.map_or(0, |(id, _)| id)
}

/// The command as a shell would take it.
fn command_line(arguments: &[String]) -> String {
    let mut command = "glm-bench".to_owned();
    for argument in arguments {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.,:/=+".contains(c);
        command.push(' ');
        if !argument.is_empty() && argument.chars().all(plain) {
            command.push_str(argument);
        } else {
            command.push_str(&format!("'{}'", argument.replace('\'', r"'\''")));
        }
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_survives_a_shell() {
        let arguments = ["--model", "a b/it's", "--prompt", "1,2"].map(str::to_owned);
        assert_eq!(
            command_line(&arguments),
            r"glm-bench --model 'a b/it'\''s' --prompt 1,2"
        );
    }
}
