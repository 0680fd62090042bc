//! From the memory of a device to that of the host.

use burn::tensor::Tensor;

use crate::error::{Error, Result};

/// The values of a tensor of f32.
///
/// # Errors
/// [`Error::Execution`] when the device fails, now or in what it still had to do.
pub(crate) fn to_host<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>> {
    let failed = |reason: String| Error::Execution { reason };
    tensor
        .try_into_data()
        .map_err(|error| failed(error.to_string()))?
        .try_to_vec::<f32>()
        .map_err(|error| failed(error.to_string()))
}
