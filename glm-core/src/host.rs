//! From the memory of a device to that of the host.

use burn::tensor::Tensor;
use glm_tokenizer::Phrase;

use crate::error::{Error, Result};

/// The values of a tensor of f32.
///
/// # Errors
/// [`Error::Execution`] when the device fails, now or in what it still had to do.
pub(crate) fn to_host<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>> {
    tensor
        .try_into_data()
        .map_err(failed)?
        .try_to_vec::<f32>()
        .map_err(failed)
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Execution {
        reason: Phrase::verbatim(error),
    }
}
