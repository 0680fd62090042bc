//! Tensors in host memory, and the ways from a device and from `expected.safetensors` to them.

use burn::tensor::{Bool, Int, Tensor, TensorData};
use glm_core::Phrase;

use crate::error::{Error, Result};

/// A tensor in host memory, row-major.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Array<T> {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<T>,
}

impl<T: Clone> Array<T> {
    /// An array of one axis.
    pub(crate) fn vector(values: Vec<T>) -> Self {
        Self {
            shape: vec![values.len()],
            values,
        }
    }

    /// Element `index` of the first axis, without what lies before `from` on the next one; `None` outside the array.
    pub(crate) fn get(&self, index: usize, from: usize) -> Option<Self> {
        let (&outer, inner) = self.shape.split_first()?;
        let (&rows, rest) = inner.split_first()?;
        if index >= outer || from > rows {
            return None;
        }
        let row = rest.iter().product::<usize>();
        let start = (index * rows + from) * row;
        let end = (index + 1) * rows * row;
        let mut shape = vec![rows - from];
        shape.extend(rest);
        Some(Self {
            shape,
            values: self.values.get(start..end)?.to_vec(),
        })
    }

    /// These columns of a matrix; `None` for another number of axes, and outside the matrix.
    pub(crate) fn columns(&self, columns: &[usize]) -> Option<Self> {
        let &[rows, width] = self.shape.as_slice() else {
            return None;
        };
        let mut values = Vec::with_capacity(rows * columns.len());
        for row in self.values.chunks(width.max(1)) {
            for &column in columns {
                values.push(row.get(column)?.clone());
            }
        }
        Some(Self {
            shape: vec![rows, columns.len()],
            values,
        })
    }

    /// The last `rows` of a matrix; all when it has no more.
    pub(crate) fn last_rows(mut self, rows: usize) -> Self {
        if let &[all, width] = self.shape.as_slice() {
            let rest = all.saturating_sub(rows);
            self.values.drain(..rest * width);
            self.shape = vec![all - rest, width];
        }
        self
    }

    /// These rows of a matrix; `None` for another number of axes, and outside the matrix.
    pub(crate) fn rows(&self, rows: &[usize]) -> Option<Self> {
        let &[_, width] = self.shape.as_slice() else {
            return None;
        };
        let mut values = Vec::with_capacity(rows.len() * width);
        for row in rows {
            values.extend_from_slice(self.values.get(row * width..(row + 1) * width)?);
        }
        Some(Self {
            shape: vec![rows.len(), width],
            values,
        })
    }

    /// The same values without an outermost axis of length one, where there is one.
    pub(crate) fn without_batch(mut self) -> Self {
        if self.shape.first() == Some(&1) {
            self.shape.remove(0);
        }
        self
    }

    /// The same values with only so many axes, as far as those before the last one are of length one.
    pub(crate) fn with_axes(mut self, axes: usize) -> Self {
        while self.shape.len() > axes {
            let before_last = self.shape.len().saturating_sub(2);
            if self.shape.get(before_last) != Some(&1) {
                break;
            }
            self.shape.remove(before_last);
        }
        self
    }
}

/// A float tensor of the device.
pub(crate) fn floats<const D: usize>(tensor: Tensor<D>) -> Result<Array<f32>> {
    let shape = tensor.dims().to_vec();
    let values = read(tensor.try_into_data(), |data| data.try_into_vec::<f32>())?;
    Ok(Array { shape, values })
}

/// An integer tensor of the device.
pub(crate) fn integers<const D: usize>(tensor: Tensor<D, Int>) -> Result<Array<i64>> {
    let shape = tensor.dims().to_vec();
    let values = read(tensor.try_into_data(), |data| data.try_into_vec_as::<i64>())?;
    Ok(Array { shape, values })
}

/// A boolean tensor of the device, as 0 and 1.
pub(crate) fn booleans<const D: usize>(tensor: Tensor<D, Bool>) -> Result<Array<i64>> {
    let shape = tensor.dims().to_vec();
    let values = read(tensor.try_into_data(), |data| {
        data.try_into_vec_as::<bool>()
    })?;
    Ok(Array {
        shape,
        values: values.into_iter().map(i64::from).collect(),
    })
}

fn read<T, E: ToString, F: ToString>(
    data: std::result::Result<TensorData, E>,
    convert: impl FnOnce(TensorData) -> std::result::Result<Vec<T>, F>,
) -> Result<Vec<T>> {
    let failed = |reason: String| {
        let reason = Phrase::verbatim(reason);
        Error::Model(glm_core::Error::Execution { reason })
    };
    convert(data.map_err(|error| failed(error.to_string()))?)
        .map_err(|error| failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn rows_behind_the_padding() {
        let array = Array {
            shape: vec![2, 3, 2],
            values: (0..12).collect::<Vec<i64>>(),
        };
        let row = array.get(1, 2).unwrap();
        assert_eq!((row.shape, row.values), (vec![1, 2], vec![10, 11]));
        assert_eq!(array.get(0, 3).unwrap().shape, [0, 2]);
        assert_eq!(array.get(2, 0), None);
        assert_eq!(array.get(0, 4), None);
        assert_eq!(Array::vector(vec![1]).get(0, 0), None);
    }

    #[test]
    fn columns_and_last_rows_of_a_matrix() {
        let matrix = Array {
            shape: vec![2, 3],
            values: (0..6).collect::<Vec<i64>>(),
        };
        let columns = matrix.columns(&[2, 0]).unwrap();
        assert_eq!(
            (columns.shape, columns.values),
            (vec![2, 2], vec![2, 0, 5, 3])
        );
        assert_eq!(matrix.columns(&[3]), None);
        assert_eq!(Array::vector(vec![1]).columns(&[0]), None);
        let last = matrix.clone().last_rows(1);
        assert_eq!((last.shape, last.values), (vec![1, 3], vec![3, 4, 5]));
        assert_eq!(matrix.clone().last_rows(5), matrix);
    }

    #[test]
    fn a_batch_of_one_is_taken_off_and_no_other() {
        let of = |shape: &[usize]| Array {
            shape: shape.to_vec(),
            values: vec![0; shape.iter().product()],
        };
        assert_eq!(of(&[1, 2, 3]).without_batch().shape, [2, 3]);
        assert_eq!(of(&[2, 3]).without_batch().shape, [2, 3]);
    }
}
