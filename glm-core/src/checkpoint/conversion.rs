//! Reads a checkpoint tensor by tensor and gives each in the form that the model uses it in.
//!
//! A thread reads the next tensor while this one is converted. At no time more of the files is in memory than these two,
//! so that a model of 13 GB becomes INT4 in a machine that could never hold it.

use std::{collections::HashMap, sync::mpsc, thread};

use glm_quant::{PackedLayout, PackedMatrix};
use glm_tokenizer::phrase;
use xxhash_rust::xxh3::xxh3_128;

use crate::{
    checkpoint::{
        check::{check_tensors, wrong_type},
        files::{CheckpointFiles, TensorInfo, WeightDType},
        names::{ExpectedTensor, Role, is_embedding, is_head, model_tensors},
        precision::{Form, Forms},
        prepacked::PrepackedFile,
        stored_tensor::{StoredTensor, requantize, to_halves},
        weight::Weight,
    },
    config::ModelConfig,
    error::{Error, Result},
};

/// A checkpoint whose files were found to fit its configuration, and what becomes of it.
#[derive(Debug)]
pub(super) struct Conversion<'files> {
    files: Files<'files>,
    stored: Forms,
    forms: Forms,
    /// In the order of reading: the embedding and the head first, since the two are compared.
    tensors: Vec<Step>,
    /// Of each tensor among them.
    positions: HashMap<String, usize>,
    /// Whether a head that equals the embedding is given all the same.
    keeps_equal_head: bool,
}

/// Where tensors come from.
#[derive(Debug, Clone, Copy)]
enum Files<'files> {
    Checkpoint(&'files CheckpointFiles),
    Prepacked(&'files PrepackedFile),
}

/// One tensor of the model, and what is stored of it.
#[derive(Debug, Clone)]
struct Step {
    tensor: ExpectedTensor,
    stored: TensorInfo,
    /// Of a matrix that is stored as codes with one scale a row.
    scales: Option<TensorInfo>,
    /// Bytes in the files, with the scales.
    stored_bytes: u64,
}

/// What was read for one step.
enum Read<'step> {
    Stored {
        weight: StoredTensor<'step>,
        scales: Option<StoredTensor<'step>>,
    },
    /// In the form of the model already.
    Ready(Weight),
}

impl<'files> Conversion<'files> {
    /// Checks that the files hold exactly the tensors of `config`, `stored` as it was found, in shapes and types that
    /// can be used. Reads none.
    ///
    /// # Errors
    /// Of names, shapes and types; see [`LoadOptions::load`](super::LoadOptions::load).
    pub(super) fn new(
        files: &'files CheckpointFiles,
        config: &ModelConfig,
        stored: Forms,
        forms: Forms,
    ) -> Result<Self> {
        check_tensors(files, config)?;
        let mut tensors = Vec::new();
        for tensor in model_tensors(config) {
            let Some(info) = files.get(&tensor.name) else {
                continue; // A head that is left out: the check lets nothing else be missing.
            };
            let scales = files.get(&format!("{}_scale", tensor.name));
            let is_matrix = tensor.role == Role::Matrix && scales.is_none();
            if is_matrix && Form::of_blocks(info) != stored.of(&tensor) {
                return Err(wrong_type(
                    info,
                    phrase!("type-of-others", "the type of the other matrices"),
                ));
            }
            let stored_bytes = info.stored_len() + scales.map_or(0, TensorInfo::stored_len);
            tensors.push(Step {
                tensor,
                stored: info.clone(),
                scales: scales.cloned(),
                stored_bytes,
            });
        }
        Ok(Self::of_steps(
            Files::Checkpoint(files),
            stored,
            forms,
            tensors,
        ))
    }

    /// The tensors of a prepacked file, which opening has checked.
    pub(super) fn of_prepacked(file: &'files PrepackedFile, forms: Forms) -> Self {
        let tensors = model_tensors(file.config()).into_iter();
        let tensors = tensors.filter_map(|tensor| {
            let (stored, stored_bytes) = file.tensor(&tensor)?;
            Some(Step {
                tensor,
                stored,
                scales: None,
                stored_bytes,
            })
        });
        Self::of_steps(
            Files::Prepacked(file),
            file.forms(),
            forms,
            tensors.collect(),
        )
    }

    fn of_steps(files: Files<'files>, stored: Forms, forms: Forms, mut tensors: Vec<Step>) -> Self {
        tensors.sort_by_key(|step| match step.tensor.name.as_str() {
            name if is_embedding(name) => 0,
            name if is_head(name) => 1,
            _ => 2,
        });
        let names = tensors.iter().map(|step| step.tensor.name.clone());
        let positions = names.zip(0..).collect();
        Self {
            files,
            stored,
            forms,
            tensors,
            positions,
            keeps_equal_head: false,
        }
    }

    /// Gives the head as a tensor of its own, be it the embedding again or left out in the files: for a layout of this
    /// `config`, which may not be able to say that the two are one.
    pub(super) fn with_head_of(mut self, config: &ModelConfig) -> Self {
        if config.tie_word_embeddings() {
            return self;
        }
        let head = model_tensors(config)
            .into_iter()
            .find(|tensor| is_head(&tensor.name));
        if let (false, Some(tensor), Some(embedding)) =
            (self.has_head(), head, self.tensors.first())
        {
            let stored = embedding.clone();
            self.tensors.push(Step { tensor, ..stored });
        }
        Self {
            keeps_equal_head: true,
            ..Self::of_steps(self.files, self.stored, self.forms, self.tensors)
        }
    }

    pub(super) fn forms(&self) -> Forms {
        self.forms
    }

    /// Whether the files have a head, be it the embedding again.
    pub(super) fn has_head(&self) -> bool {
        self.tensors.iter().any(|step| is_head(&step.tensor.name))
    }

    /// The type that a matrix has when it stays float, or becomes so; `None` for a head that is left out.
    pub(super) fn float_type(&self, name: &str) -> Option<WeightDType> {
        let step = self.tensors.get(*self.positions.get(name)?)?;
        Some(match self.stored_layout(step) {
            None => step.stored.dtype,
            Some(_) => WeightDType::F16,
        })
    }

    /// Bytes that are read in all.
    pub(super) fn bytes_to_read(&self) -> u64 {
        self.tensors.iter().map(|step| step.stored_bytes).sum()
    }

    /// Bytes of the largest tensor in the files.
    pub(super) fn largest_read(&self) -> u64 {
        let bytes = self.tensors.iter().map(|step| step.stored_bytes);
        bytes.max().unwrap_or(0)
    }

    /// Bytes that it takes to convert one tensor after the other: the one that is read, the one before it, and what
    /// becomes of that.
    pub(super) fn bytes_at_once(&self) -> u64 {
        let result = self.tensors.iter().map(|step| self.model_bytes_of(step));
        2 * self.largest_read() + result.max().unwrap_or(0)
    }

    /// Bytes of the model in memory. A head is not counted when `tied`: it is expected to be the embedding again.
    pub(super) fn model_bytes(&self, tied: bool) -> u64 {
        self.tensors
            .iter()
            .filter(|step| !(tied && is_head(&step.tensor.name)))
            .map(|step| self.model_bytes_of(step))
            .sum()
    }

    fn model_bytes_of(&self, step: &Step) -> u64 {
        let elements: u64 = step.tensor.shape.iter().map(|&n| n as u64).product();
        match (
            step.tensor.role,
            self.layout(step),
            self.stored_layout(step),
        ) {
            (Role::Vector, ..) => 4 * elements,
            (_, Some(layout), _) => layout.byte_len() as u64,
            (_, None, Some(_)) => 2 * elements,
            (_, None, None) => step.stored.byte_len(),
        }
    }

    /// What a matrix becomes; `None` for floats.
    fn layout(&self, step: &Step) -> Option<PackedLayout> {
        let (rows, cols) = matrix(step)?;
        self.forms.of(&step.tensor).layout(rows, cols)
    }

    /// What a matrix is stored as; `None` for floats.
    fn stored_layout(&self, step: &Step) -> Option<PackedLayout> {
        let (rows, cols) = matrix(step)?;
        self.stored.of(&step.tensor).layout(rows, cols)
    }

    /// Reads everything. `sink` is given each tensor in turn with the bytes that were read for it; for a head that
    /// equals the embedding it is given no tensor, except after [`Self::with_head_of`].
    ///
    /// # Errors
    /// The first of reading, converting, and `sink`.
    pub(super) fn run(
        &self,
        mut sink: impl FnMut(&ExpectedTensor, Option<Weight>, u64) -> Result<()>,
    ) -> Result<()> {
        thread::scope(|scope| {
            // Without room for a finished tensor, the reader is never more than one ahead.
            let (sender, receiver) = mpsc::sync_channel(0);
            let read_all = move || {
                for step in &self.tensors {
                    let read = self.read(step);
                    let failed = read.is_err();
                    // When no one listens, the other side has failed and says so.
                    if sender.send(read).is_err() || failed {
                        return;
                    }
                }
            };
            thread::Builder::new()
                .name("checkpoint".to_owned())
                .spawn_scoped(scope, read_all)
                .map_err(|error| Error::Execution {
                    reason: phrase!(
                        "no-thread",
                        "cannot start a thread: {reason}",
                        reason = error
                    ),
                })?;

            let mut embedding = None;
            for (step, read) in self.tensors.iter().zip(receiver) {
                let read = read?;
                let mut is_copy = false;
                if is_embedding(&step.tensor.name) || is_head(&step.tensor.name) {
                    let digest = Some((step.stored.dtype, read.digest()));
                    is_copy = digest == embedding && !self.keeps_equal_head;
                    embedding = digest;
                }
                let weight = match is_copy {
                    true => None,
                    false => Some(self.convert(step, read)?),
                };
                sink(&step.tensor, weight, step.stored_bytes)?;
            }
            Ok(())
        })
    }

    fn read<'step>(&self, step: &'step Step) -> Result<Read<'step>> {
        let files = match self.files {
            Files::Checkpoint(files) => files,
            Files::Prepacked(file) => return file.weight(&step.stored.name).map(Read::Ready),
        };
        let read = |info: &'step TensorInfo| {
            let bytes = files.read_stored(&info.name)?;
            Ok::<_, Error>(StoredTensor { info, bytes })
        };
        Ok(Read::Stored {
            weight: read(&step.stored)?,
            scales: step.scales.as_ref().map(read).transpose()?,
        })
    }

    fn convert(&self, step: &Step, read: Read<'_>) -> Result<Weight> {
        let (layout, stored) = (self.layout(step), self.stored_layout(step));
        let (weight, scales) = match read {
            Read::Ready(weight) if step.tensor.role == Role::Vector || layout == stored => {
                return Ok(weight);
            }
            Read::Ready(Weight::Packed {
                layout: stored,
                codes,
                scales,
            }) => {
                let matrix = Weight::matrix(stored, &codes, &scales);
                let matrix = matrix.map_err(|source| Error::Quantize {
                    path: step.stored.file.clone(),
                    tensor: step.tensor.name.clone(),
                    source,
                })?;
                return fit(&step.stored, matrix, layout);
            }
            Read::Ready(Weight::Float { bytes, .. }) => {
                let bytes = bytes.to_vec();
                let info = &step.stored;
                (StoredTensor { info, bytes }, None)
            }
            Read::Stored { weight, scales } => (weight, scales),
        };
        if step.tensor.role == Role::Vector {
            return weight.widened();
        }
        let matrix = match (stored, step.stored.blocks, scales) {
            (Some(stored), Some(block), _) => weight.pack(block, stored.rows, stored.cols)?,
            (Some(stored), None, Some(scales)) => weight.repack(stored, scales)?,
            _ => {
                return match layout {
                    None => weight.float(),
                    Some(layout) => weight.quantize(layout).map(Weight::packed),
                };
            }
        };
        fit(&step.stored, matrix, layout)
    }
}

impl Read<'_> {
    /// Of everything that was read.
    fn digest(&self) -> (u128, Option<u128>) {
        match self {
            Self::Stored { weight, scales } => {
                let scales = scales.as_ref().map(|scales| xxh3_128(&scales.bytes));
                (xxh3_128(&weight.bytes), scales)
            }
            Self::Ready(Weight::Float { bytes, .. }) => (xxh3_128(bytes), None),
            Self::Ready(Weight::Packed { codes, scales, .. }) => {
                (xxh3_128(codes), Some(xxh3_128(scales)))
            }
        }
    }
}

/// A matrix of codes as it is to be: as it is, rounded to f16, or with other codes. `info` is what it was read from.
fn fit(info: &TensorInfo, matrix: PackedMatrix, layout: Option<PackedLayout>) -> Result<Weight> {
    match layout {
        Some(layout) if layout == *matrix.layout() => Ok(Weight::packed(matrix)),
        Some(layout) => requantize(info, &matrix, layout).map(Weight::packed),
        None => to_halves(info, &matrix),
    }
}

/// Rows and columns of a matrix.
fn matrix(step: &Step) -> Option<(usize, usize)> {
    match (step.tensor.role, step.tensor.shape.as_slice()) {
        (Role::Matrix, &[rows, cols]) => Some((rows, cols)),
        _ => None,
    }
}
