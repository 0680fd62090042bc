//! Tensors of a checkpoint to layers: checks all of them first, then reads one at a time.

use std::path::PathBuf;

use burn::{
    module::{Param, ParamId},
    nn::LayerNorm,
    tensor::{DType, Device, FloatDType, Int, Tensor, TensorData},
};

use crate::{
    checkpoint::{
        LoadProgress,
        files::{CheckpointFiles, TensorInfo, WeightDType},
        memory,
        names::{
            ExpectedTensor, LM_HEAD, Role, WORD_EMBEDDINGS, expected_tensors, is_recomputed,
            layer_of,
        },
    },
    config::{ChatGlmConfig, QuantizationBit},
    error::{Error, Result},
    layers::linear::GlmLinear,
};

/// Reads the tensors of one checkpoint onto one device.
pub(super) struct WeightReader<'files, 'progress> {
    files: &'files CheckpointFiles,
    device: Device,
    quantization: Option<QuantizationBit>,
    progress: Option<Box<dyn FnMut(LoadProgress) + 'progress>>,
    bytes: LoadProgress,
}

impl<'files, 'progress> WeightReader<'files, 'progress> {
    /// Checks that the files hold exactly the tensors of `config`, in shapes and types that can be used, and that
    /// memory will hold them. Reads no tensor.
    pub(super) fn new(
        files: &'files CheckpointFiles,
        config: &ChatGlmConfig,
        device: Device,
        progress: Option<Box<dyn FnMut(LoadProgress) + 'progress>>,
    ) -> Result<Self> {
        refuse_unsupported(files, config)?;
        let expected = expected_tensors(config);
        let mut bytes_total = 0;
        let mut largest = 0;
        for tensor in &expected {
            match files.get(&tensor.name) {
                Some(info) => {
                    check(tensor, info)?;
                    bytes_total += stored_bytes(info);
                    largest = largest.max(stored_bytes(info));
                }
                // The official files always have it; ours and others leave out what is the embedding again.
                None if tensor.name == LM_HEAD && config.tie_word_embeddings => {}
                None => {
                    return Err(Error::MissingTensor {
                        path: files.path().to_path_buf(),
                        tensor: tensor.name.clone(),
                    });
                }
            }
        }
        for info in files.tensors() {
            let known = expected.iter().any(|tensor| tensor.name == info.name);
            if !known && !is_recomputed(&info.name) {
                return Err(Error::UnexpectedTensor {
                    path: info.file.clone(),
                    tensor: info.name.clone(),
                });
            }
        }
        // Expected to be dropped as a copy of the embedding; if it is not, there is one large tensor more.
        let head = files
            .get(LM_HEAD)
            .filter(|_| config.tie_word_embeddings)
            .map_or(0, stored_bytes);
        memory::check_fits(files.path(), bytes_total - head + largest)?;
        Ok(Self {
            files,
            device,
            quantization: config.quantization_bit,
            progress,
            bytes: LoadProgress {
                bytes_read: 0,
                bytes_total,
            },
        })
    }

    pub(super) fn device(&self) -> &Device {
        &self.device
    }

    /// The embedding, and the head when it is another matrix.
    pub(super) fn embedding_and_head(
        &mut self,
        embedding_name: &str,
        head_name: &str,
    ) -> Result<(Tensor<2>, Option<GlmLinear>)> {
        let embedding = self.read(embedding_name)?;
        let head = match self.files.get(head_name) {
            None => None,
            Some(_) => Some(self.read(head_name)?).filter(|head| {
                head.info.dtype != embedding.info.dtype || head.bytes != embedding.bytes
            }),
        };
        let head = match head {
            None => None,
            Some(head) => Some(GlmLinear::float(self.float_tensor(head)?, None)),
        };
        Ok((self.float_tensor(embedding)?, head))
    }

    /// A linear layer, float or quantised as the checkpoint is.
    pub(super) fn linear(&mut self, module: &str) -> Result<GlmLinear> {
        let bias = Some(self.vector(&format!("{module}.bias"))?);
        let weight = self.read(&format!("{module}.weight"))?;
        let Some(bits) = self.quantization else {
            return Ok(GlmLinear::float(self.float_tensor(weight)?, bias));
        };
        let codes = weight.data(match bits {
            QuantizationBit::Int8 => DType::I8,
            QuantizationBit::Int4 => DType::U8,
        });
        let dtype = codes.dtype();
        let codes = Tensor::<2, Int>::from_data(codes, (&self.device, dtype));
        let scales = self.read(&format!("{module}.weight_scale"))?;
        let scales = self.float_tensor::<1>(scales)?.cast(FloatDType::F16);
        Ok(match bits {
            QuantizationBit::Int8 => GlmLinear::int8(codes, scales, bias),
            QuantizationBit::Int4 => GlmLinear::int4(codes, scales, bias),
        })
    }

    /// Fills a fresh layer norm.
    pub(super) fn layer_norm(&mut self, module: &str, mut norm: LayerNorm) -> Result<LayerNorm> {
        let param = |tensor| Param::initialized(ParamId::new(), tensor);
        norm.gamma = param(self.vector(&format!("{module}.weight"))?);
        norm.beta = Some(param(self.vector(&format!("{module}.bias"))?));
        Ok(norm)
    }

    /// A vector in f32, whatever it is stored in.
    fn vector(&mut self, name: &str) -> Result<Tensor<1>> {
        let stored = self.read(name)?;
        Ok(self.float_tensor::<1>(stored)?.cast(FloatDType::F32))
    }

    fn read(&mut self, name: &str) -> Result<Stored<'files>> {
        let info = self.files.get(name).ok_or_else(|| Error::MissingTensor {
            path: self.files.path().to_path_buf(),
            tensor: name.to_owned(),
        })?;
        let bytes = self.files.read(name)?;
        self.bytes.bytes_read += bytes.len() as u64;
        if let Some(progress) = &mut self.progress {
            progress(self.bytes);
        }
        Ok(Stored { info, bytes })
    }

    fn float_tensor<const D: usize>(&self, stored: Stored<'_>) -> Result<Tensor<D>> {
        let dtype = match stored.info.dtype {
            WeightDType::F32 => DType::F32,
            WeightDType::F16 => DType::F16,
            WeightDType::BF16 => DType::BF16,
            _ => return Err(wrong_type(stored.info, "f32, f16 or bf16")),
        };
        stored.check_finite()?;
        Ok(Tensor::from_data(stored.data(dtype), (&self.device, dtype)))
    }
}

/// The bytes of one tensor on their way to the device.
struct Stored<'files> {
    info: &'files TensorInfo,
    bytes: Vec<u8>,
}

impl Stored<'_> {
    fn data(self, dtype: DType) -> TensorData {
        TensorData::from_bytes_vec(self.bytes, self.info.shape.clone(), dtype)
    }

    /// NaN and infinity are the values whose exponent bits are all ones.
    fn check_finite(&self) -> Result<()> {
        let finite = match self.info.dtype {
            WeightDType::F32 => all_finite::<4>(&self.bytes, |b| {
                u32::from_le_bytes(b) & 0x7f80_0000 != 0x7f80_0000
            }),
            WeightDType::F16 => {
                all_finite::<2>(&self.bytes, |b| u16::from_le_bytes(b) & 0x7c00 != 0x7c00)
            }
            WeightDType::BF16 => {
                all_finite::<2>(&self.bytes, |b| u16::from_le_bytes(b) & 0x7f80 != 0x7f80)
            }
            _ => true,
        };
        if finite {
            return Ok(());
        }
        Err(Error::NonFinite {
            path: self.info.file.clone(),
            tensor: self.info.name.clone(),
            layer: layer_of(&self.info.name),
        })
    }
}

fn all_finite<const N: usize>(bytes: &[u8], is_finite: impl Fn([u8; N]) -> bool) -> bool {
    let (values, _) = bytes.as_chunks::<N>();
    // Without an early exit inside a block the loop becomes SIMD.
    values.chunks(4096).all(|block| {
        block
            .iter()
            .fold(true, |all, &value| all & is_finite(value))
    })
}

fn stored_bytes(info: &TensorInfo) -> u64 {
    info.shape.iter().product::<usize>() as u64 * info.dtype.size() as u64
}

/// Checkpoints that are known and not supported yet, by name rather than as missing tensors.
fn refuse_unsupported(files: &CheckpointFiles, config: &ChatGlmConfig) -> Result<()> {
    let refuse = |path: PathBuf, found: &str| {
        Err(Error::UnsupportedModel {
            path,
            found: found.to_owned(),
        })
    };
    let holds = |prefix: &str| files.tensors().find(|info| info.name.starts_with(prefix));
    if let Some(info) = holds("transformer.prefix_encoder.") {
        return refuse(info.file.clone(), "a P-Tuning v2 prefix");
    }
    if config.quantization_embeddings
        && files
            .get("transformer.word_embeddings.weight_scale")
            .is_some()
    {
        return refuse(
            files.path().to_path_buf(),
            "an int4 checkpoint with quantised embeddings",
        );
    }
    if files.get(WORD_EMBEDDINGS).is_none()
        && let Some(info) = holds("transformer.encoder.")
    {
        return refuse(
            info.file.clone(),
            "weights of ChatGLM2-6B beside a config.json of ChatGLM-6B",
        );
    }
    Ok(())
}

fn check(expected: &ExpectedTensor, info: &TensorInfo) -> Result<()> {
    if info.shape != expected.shape {
        return Err(Error::TensorShape {
            path: info.file.clone(),
            tensor: info.name.clone(),
            expected: expected.shape.clone(),
            found: info.shape.clone(),
        });
    }
    let float = matches!(
        info.dtype,
        WeightDType::F32 | WeightDType::F16 | WeightDType::BF16
    );
    match expected.role {
        Role::Matrix | Role::Vector | Role::Scales if !float => {
            Err(wrong_type(info, "f32, f16 or bf16"))
        }
        Role::Codes if info.dtype != WeightDType::I8 => Err(wrong_type(info, "i8")),
        _ => Ok(()),
    }
}

fn wrong_type(info: &TensorInfo, expected: &str) -> Error {
    Error::TensorType {
        path: info.file.clone(),
        tensor: info.name.clone(),
        expected: expected.to_owned(),
        found: format!("{:?}", info.dtype).to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};

    use super::*;

    #[test]
    fn every_non_finite_half_is_found_and_no_finite_one() {
        let info = |dtype| TensorInfo {
            name: "transformer.layers.7.attention.dense.weight".to_owned(),
            dtype,
            shape: vec![3],
            file: PathBuf::from("x.bin"),
        };
        for bits in 0..=u16::MAX {
            for (dtype, finite) in [
                (WeightDType::F16, f16::from_bits(bits).is_finite()),
                (WeightDType::BF16, bf16::from_bits(bits).is_finite()),
            ] {
                let bytes = [[0, 0], bits.to_le_bytes(), [0, 0]].concat();
                let result = Stored {
                    info: &info(dtype),
                    bytes,
                }
                .check_finite();
                assert_eq!(result.is_ok(), finite, "{bits:#06x} as {dtype:?}");
                if let Err(error) = result {
                    assert!(matches!(error, Error::NonFinite { layer: Some(7), .. }));
                }
            }
        }
    }
}
