//! Quantised matrices: those of a checkpoint (`dequant_*`), and the quantiser itself (`mI.*`). All equal to the last bit.

use glm_core::{
    checkpoint::{CheckpointFiles, TensorInfo},
    config::{ModelConfig, QuantizationBit},
};
use glm_quant::{Int4Matrix, Int8Matrix, half::f16};
use serde::Deserialize;

use crate::{
    array::Array,
    check::{Recorder, equal},
    error::{Error, Result},
    expected::Expected,
};

/// An entry of `matrices` in `expected.json`.
#[derive(Deserialize)]
struct Entry {
    index: usize,
}

/// A matrix in either width.
enum Matrix {
    Int8(Int8Matrix),
    Int4(Int4Matrix),
}

impl Matrix {
    fn dequantize(&self) -> Vec<f32> {
        match self {
            Self::Int8(matrix) => matrix.dequantize(),
            Self::Int4(matrix) => matrix.dequantize(),
        }
    }

    fn dequantize_f16(&self) -> Vec<f32> {
        let halves = match self {
            Self::Int8(matrix) => matrix.dequantize_f16(),
            Self::Int4(matrix) => matrix.dequantize_f16(),
        };
        halves.into_iter().map(f16::to_f32).collect()
    }

    fn codes(&self) -> Vec<i64> {
        match self {
            Self::Int8(matrix) => matrix.codes().iter().copied().map(i64::from).collect(),
            Self::Int4(matrix) => matrix.codes().into_iter().map(i64::from).collect(),
        }
    }

    /// The codes as a checkpoint stores them, in signed bytes.
    fn packed(&self) -> Vec<i64> {
        match self {
            Self::Int8(_) => self.codes(),
            Self::Int4(matrix) => matrix
                .packed()
                .iter()
                .map(|byte| i64::from(byte.cast_signed()))
                .collect(),
        }
    }

    fn scales(&self) -> Vec<f32> {
        let scales = match self {
            Self::Int8(matrix) => matrix.scales(),
            Self::Int4(matrix) => matrix.scales(),
        };
        scales.iter().map(|scale| scale.to_f32()).collect()
    }
}

/// `dequant_f32.NAME` and `dequant_f16.NAME` of a quantised checkpoint.
pub(crate) fn check_checkpoint(
    files: &CheckpointFiles,
    config: &ModelConfig,
    expected: &Expected,
    recorder: &mut Recorder<'_>,
) -> Result<()> {
    let Some(bits) = config.quantization_bit() else {
        return Ok(());
    };
    for kind in ["dequant_f32", "dequant_f16"] {
        for name in expected.names_under(&format!("{kind}.")) {
            let tensor = format!("{kind}.{name}");
            let wanted = expected.floats(&tensor)?;
            let (shape, matrix) = read_matrix(files, name, bits)?;
            let values = match kind {
                "dequant_f32" => matrix.dequantize(),
                _ => matrix.dequantize_f16(),
            };
            recorder.record(&tensor, kind, equal(&Array { shape, values }, &wanted));
        }
    }
    Ok(())
}

/// A weight and its scales: the shape `[out, in]` and the matrix.
fn read_matrix(
    files: &CheckpointFiles,
    name: &str,
    bits: QuantizationBit,
) -> Result<(Vec<usize>, Matrix)> {
    let info: &TensorInfo = files
        .get(name)
        .ok_or_else(|| glm_core::Error::MissingTensor {
            path: files.path().to_path_buf(),
            tensor: name.to_owned(),
        })?;
    let [rows, stored] = *info.shape else {
        return Err(Error::Tensor {
            path: info.file.clone(),
            tensor: name.to_owned(),
            expected: "a matrix".to_owned(),
            found: format!("of shape {:?}", info.shape),
        });
    };
    let codes = files.read(name)?;
    let scales = files.read(&format!("{name}_scale"))?;
    let wrong = |source| Error::Quantised {
        path: info.file.clone(),
        tensor: name.to_owned(),
        source,
    };
    Ok(match bits {
        QuantizationBit::Int8 => {
            let matrix =
                Int8Matrix::from_checkpoint(rows, stored, codes, &scales).map_err(wrong)?;
            (vec![rows, stored], Matrix::Int8(matrix))
        }
        QuantizationBit::Int4 => {
            // Two codes in a stored byte.
            let columns = stored.saturating_mul(2);
            let matrix =
                Int4Matrix::from_checkpoint(rows, columns, codes, &scales).map_err(wrong)?;
            (vec![rows, columns], Matrix::Int4(matrix))
        }
    })
}

/// `mI.weight` through the quantiser, and every byte through the unpacker.
pub(crate) fn check_quantizer(expected: &Expected, recorder: &mut Recorder<'_>) -> Result<()> {
    let entries: Vec<Entry> = expected.json("matrices")?;
    for Entry { index } in entries {
        let name = format!("m{index}");
        let weight = expected.floats(&format!("{name}.weight"))?;
        let [rows, columns] = *weight.shape else {
            return Err(expected.wrong_tensor(
                &format!("{name}.weight"),
                "a matrix",
                format!("{:?}", weight.shape),
            ));
        };
        let halves: Vec<f16> = weight
            .values
            .iter()
            .map(|&value| f16::from_f32(value))
            .collect();
        let path = || std::path::PathBuf::from("expected.safetensors");
        let wrong = |source| Error::Quantised {
            path: path(),
            tensor: format!("{name}.weight"),
            source,
        };
        let (halves, floats) = (halves.as_slice(), weight.values.as_slice());
        for (width, matrix, float_division) in [
            (
                "int8",
                Matrix::Int8(Int8Matrix::quantize_f16(rows, columns, halves).map_err(wrong)?),
                Matrix::Int8(Int8Matrix::quantize_f32(rows, columns, floats).map_err(wrong)?),
            ),
            (
                "int4",
                Matrix::Int4(Int4Matrix::quantize_f16(rows, columns, halves).map_err(wrong)?),
                Matrix::Int4(Int4Matrix::quantize_f32(rows, columns, floats).map_err(wrong)?),
            ),
        ] {
            check_matrix(
                expected,
                &format!("{name}.{width}"),
                &matrix,
                &float_division,
                recorder,
            )?;
        }
    }
    if expected.has("all_bytes.packed") {
        let (_, packed) = expected.bytes("all_bytes.packed")?;
        let wanted = expected.integers("all_bytes.int4_unpacked")?;
        let values = packed
            .values
            .iter()
            .flat_map(|&byte| <[i8; 2]>::from(Int4Matrix::unpack(byte)).map(i64::from))
            .collect();
        let found = Array {
            shape: wanted.shape.clone(),
            values,
        };
        recorder.record(
            "all_bytes.int4_unpacked",
            "int4 unpacked",
            equal(&found, &wanted),
        );
    }
    Ok(())
}

/// `mI.int8.*` or `mI.int4.*`.
fn check_matrix(
    expected: &Expected,
    prefix: &str,
    matrix: &Matrix,
    float_division: &Matrix,
    recorder: &mut Recorder<'_>,
) -> Result<()> {
    // The width alone names the quantity: `int8.codes`.
    let quantity = |part: &str| {
        let width = prefix.rsplit('.').next().unwrap_or(prefix);
        format!("{width}.{part}")
    };
    for (part, values) in [
        ("codes", matrix.codes()),
        ("packed", matrix.packed()),
        ("codes_float_division", float_division.codes()),
    ] {
        let tensor = format!("{prefix}.{part}");
        if expected.has(&tensor) {
            let wanted = expected.integers(&tensor)?;
            let found = Array {
                shape: wanted.shape.clone(),
                values,
            };
            recorder.record(&tensor, quantity(part), equal(&found, &wanted));
        }
    }
    for (part, values) in [
        ("scale", matrix.scales()),
        ("dequant_f32", matrix.dequantize()),
        ("dequant_f16", matrix.dequantize_f16()),
    ] {
        let tensor = format!("{prefix}.{part}");
        if expected.has(&tensor) {
            let wanted = expected.floats(&tensor)?;
            let found = Array {
                shape: wanted.shape.clone(),
                values,
            };
            recorder.record(&tensor, quantity(part), equal(&found, &wanted));
        }
    }
    Ok(())
}
