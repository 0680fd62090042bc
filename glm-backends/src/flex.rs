//! The products on burn's CPU tensors: borrow the slices, call [`crate::cpu`], wrap the result.

use burn::{
    backend::{
        Flex, TensorMetadata,
        tensor::{FloatTensor, IntTensor},
    },
    tensor::{Bytes, DType, Shape},
};
use burn_flex::{FlexTensor, Layout};
use half::{bf16, f16};

use crate::{
    cpu::half_rows::{Rows, matmul_rows},
    linear_ops::LinearOps,
};

impl LinearOps for Flex {
    fn half_linear(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        let weight = weight.to_contiguous();
        let n = weight.shape()[0];
        if weight.dtype() == DType::F16 {
            product(x, n, Rows::F16(weight.storage::<f16>()))
        } else {
            assert_eq!(weight.dtype(), DType::BF16, "a half weight is f16 or bf16");
            product(x, n, Rows::BF16(weight.storage::<bf16>()))
        }
    }

    fn int8_linear(
        x: FloatTensor<Self>,
        codes: IntTensor<Self>,
        scales: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let (codes, scales) = (codes.to_contiguous(), scales.to_contiguous());
        let rows = Rows::Int8 {
            codes: codes.storage(),
            scales: scales.storage(),
        };
        product(x, codes.shape()[0], rows)
    }

    fn int4_linear(
        x: FloatTensor<Self>,
        packed: IntTensor<Self>,
        scales: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let (packed, scales) = (packed.to_contiguous(), scales.to_contiguous());
        let rows = Rows::Int4 {
            packed: packed.storage(),
            scales: scales.storage(),
        };
        product(x, packed.shape()[0], rows)
    }
}

/// `x [m, k]` times `n` weight rows → `[m, n]`.
fn product(x: FlexTensor, n: usize, rows: Rows<'_>) -> FlexTensor {
    let x = x.to_contiguous();
    let [m, k] = x.shape().dims();
    let y = matmul_rows(x.storage(), m, k, n, rows);
    FlexTensor::new(
        Bytes::from_elems(y),
        Layout::contiguous(Shape::from([m, n])),
        DType::F32,
    )
}
