//! Equal to the official quantiser, byte for byte. The data come from the published `quantization.py`
//! (`tests/golden/quantizer`, float32 CPU run of PyTorch 2.2.2).

#![allow(clippy::unwrap_used)] // Also in the fixture's helper functions.

use glm_quant::half::f16;
use glm_quant::{Bits, GroupSize, Int4Matrix, Int8Matrix, PackedLayout, PackedMatrix};
use safetensors::SafeTensors;

const MATRICES: usize = 5;

struct Fixture(Vec<u8>);

impl Fixture {
    fn open() -> Self {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/golden/quantizer/expected.safetensors"
        );
        Self(std::fs::read(path).unwrap())
    }

    fn bytes(&self, name: &str) -> (Vec<usize>, Vec<u8>) {
        let tensors = SafeTensors::deserialize(&self.0).unwrap();
        let tensor = tensors.tensor(name).unwrap();
        (tensor.shape().to_vec(), tensor.data().to_vec())
    }

    fn halves(&self, name: &str) -> (usize, usize, Vec<f16>) {
        let (shape, bytes) = self.bytes(name);
        let values = bytes
            .chunks_exact(2)
            .map(|b| f16::from_le_bytes([b[0], b[1]]))
            .collect();
        (shape[0], shape.get(1).copied().unwrap_or(1), values)
    }

    fn floats(&self, name: &str) -> Vec<f32> {
        let (_, bytes) = self.bytes(name);
        bytes
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect()
    }
}

fn signed(bytes: Vec<u8>) -> Vec<i8> {
    bytes.into_iter().map(u8::cast_signed).collect()
}

#[test]
fn int8_equals_the_official_bytes() {
    let fixture = Fixture::open();
    for index in 0..MATRICES {
        let (rows, cols, weights) = fixture.halves(&format!("m{index}.weight"));
        let matrix = Int8Matrix::quantize_f16(rows, cols, &weights).unwrap();
        assert_eq!(
            matrix.codes(),
            signed(fixture.bytes(&format!("m{index}.int8.packed")).1),
            "m{index}"
        );
        assert_eq!(
            matrix.scales(),
            fixture.halves(&format!("m{index}.int8.scale")).2,
            "m{index}"
        );
        assert_eq!(
            matrix.dequantize(),
            fixture.floats(&format!("m{index}.int8.dequant_f32"))
        );
        assert_eq!(
            matrix.dequantize_f16(),
            fixture.halves(&format!("m{index}.int8.dequant_f16")).2
        );

        let stored = Int8Matrix::from_checkpoint(
            rows,
            cols,
            fixture.bytes(&format!("m{index}.int8.packed")).1,
            &fixture.bytes(&format!("m{index}.int8.scale")).1,
        );
        assert_eq!(stored.unwrap(), matrix);
    }
}

#[test]
fn int4_equals_the_official_bytes() {
    let fixture = Fixture::open();
    for index in 0..MATRICES {
        let (rows, cols, weights) = fixture.halves(&format!("m{index}.weight"));
        let matrix = Int4Matrix::quantize_f16(rows, cols, &weights).unwrap();
        assert_eq!(
            matrix.packed(),
            fixture.bytes(&format!("m{index}.int4.packed")).1,
            "m{index}"
        );
        assert_eq!(
            matrix.codes(),
            signed(fixture.bytes(&format!("m{index}.int4.codes")).1),
            "m{index}"
        );
        assert_eq!(
            matrix.scales(),
            fixture.halves(&format!("m{index}.int4.scale")).2,
            "m{index}"
        );
        assert_eq!(
            matrix.dequantize(),
            fixture.floats(&format!("m{index}.int4.dequant_f32"))
        );
        assert_eq!(
            matrix.dequantize_f16(),
            fixture.halves(&format!("m{index}.int4.dequant_f16")).2
        );

        let stored = Int4Matrix::from_checkpoint(
            rows,
            cols,
            fixture.bytes(&format!("m{index}.int4.packed")).1,
            &fixture.bytes(&format!("m{index}.int4.scale")).1,
        );
        assert_eq!(stored.unwrap(), matrix);
    }
}

/// The kernels' layout holds the same codes and scales, and gives the official bytes back.
#[test]
fn packed_rows_equal_the_official_bytes() {
    let fixture = Fixture::open();
    for index in 0..MATRICES {
        let (rows, cols, weights) = fixture.halves(&format!("m{index}.weight"));
        let floats: Vec<f32> = weights.iter().map(|weight| weight.to_f32()).collect();
        let layout = |bits| PackedLayout {
            rows,
            cols,
            bits,
            group: GroupSize::Row,
        };
        let bytes = |name: &str| fixture.bytes(&format!("m{index}.{name}")).1;

        let packed = PackedMatrix::quantize_f16(layout(Bits::Four), &weights).unwrap();
        let (codes, scales) = packed.to_int4().unwrap().into_parts();
        assert_eq!(codes, bytes("int4.packed"), "m{index}");
        let expected = fixture.halves(&format!("m{index}.int4.scale")).2;
        assert_eq!(scales, expected, "m{index}");
        let packed = PackedMatrix::quantize_f32(layout(Bits::Four), &floats).unwrap();
        let codes = packed.to_int4().unwrap().codes();
        assert_eq!(
            codes,
            signed(bytes("int4.codes_float_division")),
            "m{index}"
        );

        let packed = PackedMatrix::quantize_f16(layout(Bits::Eight), &weights).unwrap();
        let (codes, scales) = packed.to_int8().unwrap().into_parts();
        assert_eq!(codes, signed(bytes("int8.packed")), "m{index}");
        let expected = fixture.halves(&format!("m{index}.int8.scale")).2;
        assert_eq!(scales, expected, "m{index}");
        let packed = PackedMatrix::quantize_f32(layout(Bits::Eight), &floats).unwrap();
        let (codes, _) = packed.to_int8().unwrap().into_parts();
        assert_eq!(
            codes,
            signed(bytes("int8.codes_float_division")),
            "m{index}"
        );
    }
}

/// The fixture's second set of codes: what dividing in float32 gives. The scales are the same.
#[test]
fn float32_weights_divide_in_float32() {
    let fixture = Fixture::open();
    for index in 0..MATRICES {
        let (rows, cols, weights) = fixture.halves(&format!("m{index}.weight"));
        let weights: Vec<f32> = weights.into_iter().map(f16::to_f32).collect();
        let int8 = Int8Matrix::quantize_f32(rows, cols, &weights).unwrap();
        let int4 = Int4Matrix::quantize_f32(rows, cols, &weights).unwrap();
        let codes = |bits| {
            signed(
                fixture
                    .bytes(&format!("m{index}.int{bits}.codes_float_division"))
                    .1,
            )
        };
        assert_eq!(int8.codes(), codes(8), "m{index}");
        assert_eq!(int4.codes(), codes(4), "m{index}");
    }
}

#[test]
fn every_byte_unpacks_as_officially() {
    let fixture = Fixture::open();
    let (_, packed) = fixture.bytes("all_bytes.packed");
    let expected = signed(fixture.bytes("all_bytes.int4_unpacked").1);
    let found: Vec<i8> = packed
        .iter()
        .flat_map(|byte| <[i8; 2]>::from(Int4Matrix::unpack(*byte)))
        .collect();
    assert_eq!(found, expected);
    assert!((0..=u8::MAX).all(|byte| packed.contains(&byte)));
}
