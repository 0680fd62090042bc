//! The products on burn's CPU tensors: borrow the slices, call [`crate::cpu`], wrap the result.

use burn::{
    backend::{
        Flex, TensorMetadata,
        ops::IntTensorOps,
        tensor::{FloatTensor, IntTensor},
    },
    tensor::{Bytes, DType, IntDType, Shape},
};
use burn_flex::{FlexTensor, Layout};
use glm_quant::PackedLayout;
use half::{bf16, f16};

use crate::{
    cpu::{
        self, Activations, PackedView,
        half_rows::{Rows, matmul_rows},
    },
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

    fn packed_linear(
        x: FloatTensor<Self>,
        codes: IntTensor<Self>,
        scales: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        layout: PackedLayout,
        activations: Activations,
    ) -> FloatTensor<Self> {
        let (x, bias) = (x.to_contiguous(), bias.to_contiguous());
        let (codes, scales) = (codes.to_contiguous(), scales.to_contiguous());
        let [m, _] = x.shape().dims();
        let mut y = vec![0.0; m * layout.rows];
        let bias = bias.storage::<f32>();
        cpu::packed_linear(
            x.storage(),
            m,
            PackedView::new(layout, codes.storage(), scales.storage()),
            (!bias.is_empty()).then_some(bias),
            activations,
            &mut y,
        );
        float_tensor(y, [m, layout.rows])
    }

    fn packed_rows(
        codes: IntTensor<Self>,
        scales: FloatTensor<Self>,
        ids: IntTensor<Self>,
        layout: PackedLayout,
    ) -> FloatTensor<Self> {
        let (codes, scales) = (codes.to_contiguous(), scales.to_contiguous());
        let weight = PackedView::new(layout, codes.storage(), scales.storage());
        let ids = Flex::int_cast(ids, IntDType::I64).to_contiguous();
        let ids = ids.storage::<i64>();
        let mut rows = vec![0.0; ids.len() * layout.cols];
        for (id, row) in ids.iter().zip(rows.chunks_exact_mut(layout.cols)) {
            let id = usize::try_from(*id).unwrap_or(usize::MAX); // Refused below, as any other id out of range.
            cpu::packed_row(weight, id, row);
        }
        float_tensor(rows, [ids.len(), layout.cols])
    }

    fn packed_dequantize(
        codes: IntTensor<Self>,
        scales: FloatTensor<Self>,
        layout: PackedLayout,
    ) -> FloatTensor<Self> {
        let (codes, scales) = (codes.to_contiguous(), scales.to_contiguous());
        let weight = PackedView::new(layout, codes.storage(), scales.storage());
        let mut out = vec![0.0; layout.rows * layout.cols];
        cpu::packed_dequantize(weight, &mut out);
        float_tensor(out, [layout.rows, layout.cols])
    }
}

/// `x [m, k]` times `n` weight rows → `[m, n]`.
fn product(x: FlexTensor, n: usize, rows: Rows<'_>) -> FlexTensor {
    let x = x.to_contiguous();
    let [m, k] = x.shape().dims();
    float_tensor(matmul_rows(x.storage(), m, k, n, rows), [m, n])
}

/// A new contiguous f32 tensor.
pub(crate) fn float_tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> FlexTensor {
    FlexTensor::new(
        Bytes::from_elems(values),
        Layout::contiguous(Shape::from(shape)),
        DType::F32,
    )
}
