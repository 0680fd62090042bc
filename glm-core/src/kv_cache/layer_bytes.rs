//! Keys and values as bytes: what a file holds of a cache.

use burn::tensor::{Tensor, TensorData, s};
use glm_backends::{CachePrecision, cpu::KvBuffers};

use super::{KvCache, LayerCache};
use crate::{error::Result, host::to_host};

impl KvCache {
    /// How keys and values are stored: as asked for in the kernels of the CPU, in f32 on every other device.
    pub(crate) fn stored_precision(&self) -> CachePrecision {
        match self.layers.first() {
            Some(Some(LayerCache::Tensors(_))) => CachePrecision::F32,
            _ => self.precision,
        }
    }

    /// The keys and the values of every layer, layer after layer, little-endian: `[batch, heads, len, head_dim]` each.
    ///
    /// # Errors
    /// [`Error::Execution`](crate::Error::Execution) when the device fails.
    pub(crate) fn layers_to_le_bytes(&self) -> impl Iterator<Item = Result<Vec<u8>>> {
        let layers = self.layers.iter().flatten();
        layers.map(|layer| match layer {
            LayerCache::Kernels(buffers) => {
                let exact = buffers.first_tokens(self.len, self.len);
                Ok(exact.slices().map(|slice| slice.to_le_bytes()).concat())
            }
            LayerCache::Tensors(tensors) => {
                let mut bytes = Vec::new();
                for tensor in tensors.iter() {
                    let tokens = tensor.clone().slice(s![.., .., 0..self.len, ..]);
                    for value in to_host(tokens)? {
                        bytes.extend(value.to_le_bytes());
                    }
                }
                Ok(bytes)
            }
        })
    }

    /// A cache of the same model, device and batch, with `len` tokens: `read` gives the bytes of layer after layer, as many
    /// as it is asked for.
    ///
    /// # Errors
    /// Those of `read`.
    pub(crate) fn read_le_bytes(
        &self,
        len: usize,
        mut read: impl FnMut(usize) -> Result<Vec<u8>>,
    ) -> Result<Self> {
        let layer = |layer: &Option<LayerCache>| {
            Ok(match layer {
                None => None,
                Some(LayerCache::Kernels(like)) => {
                    let shape = [like.batch(), like.heads(), len, like.head_dim()];
                    let mut buffers = KvBuffers::new(self.precision, shape);
                    let bytes = read(buffers.byte_len())?;
                    let halves = bytes.split_at(bytes.len() / 2);
                    let [keys, values] = buffers.slices_mut();
                    keys.copy_from_le_bytes(halves.0);
                    values.copy_from_le_bytes(halves.1);
                    Some(LayerCache::Kernels(buffers))
                }
                Some(LayerCache::Tensors(like)) => {
                    let [keys, _] = &**like;
                    let [batch, heads, _, head_dim] = keys.dims();
                    let shape = [batch, heads, len, head_dim];
                    let count: usize = shape.iter().product();
                    let bytes = read(2 * count * size_of::<f32>())?;
                    let (values, _) = bytes.as_chunks();
                    let values: Vec<f32> = values.iter().copied().map(f32::from_le_bytes).collect();
                    let (key_values, value_values) = values.split_at(count);
                    let pair = [key_values, value_values].map(|values| {
                        let data = TensorData::new(values.to_vec(), shape);
                        Tensor::from_data(data, &keys.device())
                    });
                    Some(LayerCache::Tensors(Box::new(pair)))
                }
            })
        };
        Ok(Self {
            layers: self.layers.iter().map(layer).collect::<Result<_>>()?,
            len,
            capacity: len,
            ..*self
        })
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Distribution};

    use super::*;

    /// Of a device without kernels; those of the CPU are tested with whole models.
    #[test]
    fn tensors_become_bytes_and_tensors_again() {
        let random =
            || Tensor::<4>::random([1, 2, 5, 3], Distribution::Default, &Device::default());
        let mut cache = KvCache::new(2, CachePrecision::F16, 9);
        for layer in 0..2 {
            cache.append(layer, random(), random());
        }
        cache.advance(5);
        cache.truncate(4);
        assert_eq!(cache.stored_precision(), CachePrecision::F32);

        let bytes: Vec<Vec<u8>> = cache.layers_to_le_bytes().collect::<Result<_>>().unwrap();
        assert!(bytes.iter().all(|layer| layer.len() == 2 * 2 * 4 * 3 * 4));
        let mut layers = bytes.clone().into_iter();
        let read = |len| Ok(layers.next().filter(|layer| layer.len() == len).unwrap());
        let mut again = cache.read_le_bytes(4, read).unwrap();
        assert_eq!(again.len(), 4);
        let next = random();
        for layer in 0..2 {
            let found = again.append(layer, next.clone(), next.clone());
            let expected = cache.append(layer, next.clone(), next.clone());
            assert_eq!(found.0.into_data(), expected.0.into_data());
            assert_eq!(found.1.into_data(), expected.1.into_data());
        }
    }
}
