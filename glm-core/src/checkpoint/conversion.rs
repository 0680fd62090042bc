//! Reads a checkpoint tensor by tensor and gives each in the form that the model uses it in.
//!
//! A thread reads the next tensor while this one is converted. At no time more of the files is in memory than these two,
//! so that a model of 13 GB becomes INT4 in a machine that could never hold it.

use std::{sync::mpsc, thread};

use crate::{
    checkpoint::{
        check::check_tensors,
        files::{CheckpointFiles, TensorInfo, WeightDType},
        names::{ExpectedTensor, LM_HEAD, Role, WORD_EMBEDDINGS, model_tensors},
        precision::{Form, Forms},
        stored_tensor::StoredTensor,
        weight::Weight,
    },
    config::ChatGlmConfig,
    error::{Error, Result},
};
use xxhash_rust::xxh3::xxh3_128;

/// A checkpoint whose files were found to fit its configuration, and what becomes of it.
#[derive(Debug)]
pub(super) struct Conversion<'files> {
    files: &'files CheckpointFiles,
    forms: Forms,
    /// In the order of reading: the embedding and the head first, since the two are compared.
    tensors: Vec<Step<'files>>,
}

/// One tensor of the model, and where it comes from.
#[derive(Debug)]
struct Step<'files> {
    tensor: ExpectedTensor,
    stored: &'files TensorInfo,
    /// Of a matrix that is stored as codes.
    scales: Option<&'files TensorInfo>,
}

/// What was read for one step.
struct Read<'files> {
    weight: StoredTensor<'files>,
    scales: Option<StoredTensor<'files>>,
}

impl<'files> Conversion<'files> {
    /// Checks that the files hold exactly the tensors of `config`, in shapes and types that can be used. Reads none.
    ///
    /// # Errors
    /// Of names, shapes and types; see [`LoadOptions::load`](super::LoadOptions::load).
    pub(super) fn new(
        files: &'files CheckpointFiles,
        config: &ChatGlmConfig,
        forms: Forms,
    ) -> Result<Self> {
        check_tensors(files, config)?;
        let mut tensors = Vec::new();
        for tensor in model_tensors(config) {
            let Some(stored) = files.get(&tensor.name) else {
                continue; // A head that is left out: the check lets nothing else be missing.
            };
            let scales = files.get(&format!("{}_scale", tensor.name));
            tensors.push(Step {
                tensor,
                stored,
                scales,
            });
        }
        tensors.sort_by_key(|step| match step.tensor.name.as_str() {
            WORD_EMBEDDINGS => 0,
            LM_HEAD => 1,
            _ => 2,
        });
        Ok(Self {
            files,
            forms,
            tensors,
        })
    }

    pub(super) fn forms(&self) -> Forms {
        self.forms
    }

    /// The type that a tensor is stored in; `None` for a head that is left out.
    pub(super) fn stored_type(&self, name: &str) -> Option<WeightDType> {
        let step = self.tensors.iter().find(|step| step.tensor.name == name)?;
        Some(step.stored.dtype)
    }

    /// Bytes that are read in all.
    pub(super) fn bytes_to_read(&self) -> u64 {
        self.tensors.iter().map(Step::stored_bytes).sum()
    }

    /// Bytes of the largest tensor in the files.
    pub(super) fn largest_read(&self) -> u64 {
        self.tensors
            .iter()
            .map(Step::stored_bytes)
            .max()
            .unwrap_or(0)
    }

    /// Bytes of the model in memory. A head is not counted when `tied`: it is expected to be the embedding again.
    pub(super) fn model_bytes(&self, tied: bool) -> u64 {
        self.tensors
            .iter()
            .filter(|step| !(tied && step.tensor.name == LM_HEAD))
            .map(|step| self.model_bytes_of(step))
            .sum()
    }

    fn model_bytes_of(&self, step: &Step<'_>) -> u64 {
        let elements: u64 = step.tensor.shape.iter().map(|&n| n as u64).product();
        match (step.tensor.role, self.form(&step.tensor), matrix(step)) {
            (Role::Vector, ..) => 4 * elements,
            (_, Form::Packed { .. }, Some((rows, cols))) => self
                .form(&step.tensor)
                .layout(rows, cols)
                .map_or(0, |layout| layout.byte_len() as u64),
            _ => step.stored.byte_len(),
        }
    }

    fn form(&self, tensor: &ExpectedTensor) -> Form {
        self.forms.of(tensor)
    }

    /// Reads everything. `sink` is given each tensor in turn with the bytes that were read for it; for a head that
    /// equals the embedding it is given no tensor.
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
                    reason: format!("cannot start a thread: {error}"),
                })?;

            let mut embedding = None;
            for (step, read) in self.tensors.iter().zip(receiver) {
                let read = read?;
                let mut is_copy = false;
                if [WORD_EMBEDDINGS, LM_HEAD].contains(&step.tensor.name.as_str()) {
                    let scales = read.scales.as_ref().map(|scales| xxh3_128(&scales.bytes));
                    let digest = Some((step.stored.dtype, xxh3_128(&read.weight.bytes), scales));
                    is_copy = digest == embedding;
                    embedding = digest;
                }
                let weight = match is_copy {
                    true => None,
                    false => Some(self.convert(step, read)?),
                };
                sink(&step.tensor, weight, step.stored_bytes())?;
            }
            Ok(())
        })
    }

    fn read(&self, step: &Step<'files>) -> Result<Read<'files>> {
        let read = |info: &'files TensorInfo| {
            let bytes = self.files.read(&info.name)?;
            Ok::<_, Error>(StoredTensor { info, bytes })
        };
        Ok(Read {
            weight: read(step.stored)?,
            scales: step.scales.map(read).transpose()?,
        })
    }

    fn convert(&self, step: &Step<'_>, read: Read<'_>) -> Result<Weight> {
        if step.tensor.role == Role::Vector {
            return read.weight.widened().map(Weight::Float);
        }
        let layout =
            matrix(step).and_then(|(rows, cols)| self.form(&step.tensor).layout(rows, cols));
        match (layout, read.scales) {
            (None, _) => read.weight.float().map(Weight::Float),
            (Some(layout), None) => read.weight.quantize(layout).map(Weight::packed),
            (Some(layout), Some(scales)) => read.weight.repack(layout, scales).map(Weight::packed),
        }
    }
}

impl Step<'_> {
    fn stored_bytes(&self) -> u64 {
        self.stored.byte_len() + self.scales.map_or(0, TensorInfo::byte_len)
    }
}

/// Rows and columns of a matrix.
fn matrix(step: &Step<'_>) -> Option<(usize, usize)> {
    match *step.tensor.shape {
        [rows, cols] => Some((rows, cols)),
        _ => None,
    }
}
