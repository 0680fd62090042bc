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
    spare_buffers,
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
        let [x, bias] = [x, bias].map(contiguous);
        let (codes, scales) = (codes.to_contiguous(), scales.to_contiguous());
        let [m, _] = x.shape().dims();
        let mut y = spare_buffers::take(m * layout.rows);
        let bias = bias.storage::<f32>();
        cpu::packed_linear(
            x.storage(),
            m,
            PackedView::new(layout, codes.storage(), scales.storage()),
            (!bias.is_empty()).then_some(bias),
            activations,
            &mut y,
        );
        spare_buffers::give_back(x);
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

/// The tensor itself when its values lie as its shape says; else a copy that does.
///
/// `FlexTensor::to_contiguous` would leave the caller's tensor and the result as two owners of one memory, which then can
/// neither be written nor given back.
pub(crate) fn contiguous(x: FlexTensor) -> FlexTensor {
    let size = size_of::<f32>() * x.layout().shape().num_elements();
    if x.is_contiguous() && x.bytes().len() == size {
        x
    } else {
        x.to_contiguous()
    }
}

/// A new contiguous f32 tensor.
pub(crate) fn float_tensor(values: Vec<f32>, shape: impl Into<Shape>) -> FlexTensor {
    FlexTensor::new(
        Bytes::from_elems(values),
        Layout::contiguous(shape.into()),
        DType::F32,
    )
}
