//! A quantised weight as burn tensors, in the layout that the kernels read.

use burn::{
    backend::Dispatch,
    module::{Module, Param, ParamId},
    tensor::{DType, Device, Int, Tensor, TensorData},
};
use glm_quant::{PackedLayout, PackedMatrix};

use crate::{
    cpu::Activations,
    large_pages::LargePages,
    linear_ops::{LinearOps, by_rows, has_own_kernels},
    portable,
};

/// A weight `[rows, cols]` of INT4 or INT8 codes with scales per row or group; see [`glm_quant::PackedMatrix`] for what
/// the words mean. Codes and scales are ordinary tensors, so they can lie in a mapped file and move between devices.
#[derive(Module, Debug)]
pub struct PackedWeight {
    codes: Param<Tensor<3, Int>>, // [row_blocks, steps, 16], u32
    scales: Param<Tensor<3>>,     // [row_blocks, groups, 16], f16
    #[module(skip)]
    layout: PackedLayout,
}

impl PackedWeight {
    /// A weight of these tensors.
    ///
    /// # Shapes
    /// - `codes`: `[row_blocks, steps, 16]` of the layout, u32
    /// - `scales`: `[row_blocks, groups, 16]`, f16
    ///
    /// # Panics
    /// If a tensor does not have the shape or type that the layout asks for.
    #[must_use]
    pub fn new(layout: PackedLayout, codes: Tensor<3, Int>, scales: Tensor<3>) -> Self {
        assert_eq!(codes.dims(), codes_shape(&layout), "the shape of the codes");
        assert_eq!(
            scales.dims(),
            scales_shape(&layout),
            "the shape of the scales"
        );
        assert_eq!(codes.dtype(), DType::U32, "the type of the codes");
        assert_eq!(scales.dtype(), DType::F16, "the type of the scales");
        Self {
            codes: Param::initialized(ParamId::new(), codes),
            scales: Param::initialized(ParamId::new(), scales).set_require_grad(false),
            layout,
        }
    }

    /// A matrix on a device; on the CPU in [`LargePages`].
    #[must_use]
    pub fn from_matrix(matrix: PackedMatrix, device: &Device) -> Self {
        let layout = *matrix.layout();
        let (codes, scales) = matrix.into_parts();
        let mut data = [
            TensorData::new(codes, codes_shape(&layout)),
            TensorData::new(scales, scales_shape(&layout)),
        ];
        if has_own_kernels(device) {
            data = LargePages::move_to(data);
        }
        let [codes, scales] = data;
        Self::from_data(layout, codes, scales, device)
    }

    /// Codes and scales that lie in memory or in a mapped file; on the CPU they are used in place.
    ///
    /// # Panics
    /// As [`PackedWeight::new`].
    #[must_use]
    pub fn from_data(
        layout: PackedLayout,
        codes: TensorData,
        scales: TensorData,
        device: &Device,
    ) -> Self {
        // With the type said, burn takes the bytes as they are.
        Self::new(
            layout,
            Tensor::from_data(codes, (device, DType::U32)),
            Tensor::from_data(scales, (device, DType::F16)),
        )
    }

    /// Shape and format.
    #[must_use]
    pub fn layout(&self) -> &PackedLayout {
        &self.layout
    }

    /// The words of codes `[row_blocks, steps, 16]`, u32.
    #[must_use]
    pub fn codes(&self) -> Tensor<3, Int> {
        self.codes.val()
    }

    /// The scales `[row_blocks, groups, 16]`, f16.
    #[must_use]
    pub fn scales(&self) -> Tensor<3> {
        self.scales.val()
    }

    /// `x · weightᵀ + bias`.
    ///
    /// On the CPU `activations` says whether `x` is used as it is or rounded to int8 in groups; other devices, and
    /// tensors that track gradients, use it as it is.
    ///
    /// # Shapes
    /// - `x`: `[..., cols]`, f32
    /// - `bias`: `[rows]`, f32
    /// - result: `[..., rows]`, f32
    ///
    /// # Panics
    /// If the shapes do not fit together.
    #[must_use]
    pub fn linear<const D: usize>(
        &self,
        x: Tensor<D>,
        bias: Option<Tensor<1>>,
        activations: Activations,
    ) -> Tensor<D> {
        by_rows(x, self.layout.rows, |x| {
            let device = x.device();
            if !has_own_kernels(&device) {
                let y = x.matmul(self.dequantize().transpose());
                return match bias {
                    Some(bias) => y + bias.unsqueeze(),
                    None => y,
                };
            }
            let bias = bias.unwrap_or_else(|| Tensor::zeros([0], &device));
            Tensor::from_dispatch(Dispatch::packed_linear(
                x.into_dispatch(),
                self.codes().into_dispatch(),
                self.scales().into_dispatch(),
                bias.into_dispatch(),
                self.layout,
                activations,
            ))
        })
    }

    /// The rows with these numbers, dequantised: the lookup of a token embedding.
    ///
    /// # Shapes
    /// - `ids`: `[n]`
    /// - result: `[n, cols]`, f32
    ///
    /// # Panics
    /// If an id is not below `rows`.
    #[must_use]
    pub fn select_rows(&self, ids: Tensor<1, Int>) -> Tensor<2> {
        if !has_own_kernels(&ids.device()) {
            return self.dequantize().select(0, ids);
        }
        Tensor::from_dispatch(Dispatch::packed_rows(
            self.codes().into_dispatch(),
            self.scales().into_dispatch(),
            ids.into_dispatch(),
            self.layout,
        ))
    }

    /// The whole weight `[rows, cols]` in f32.
    #[must_use]
    pub fn dequantize(&self) -> Tensor<2> {
        if has_own_kernels(&self.codes.device()) {
            Tensor::from_dispatch(Dispatch::packed_dequantize(
                self.codes().into_dispatch(),
                self.scales().into_dispatch(),
                self.layout,
            ))
        } else {
            portable::packed_dequantize(self.codes(), self.scales(), &self.layout)
        }
    }
}

/// The shape of the codes of a [`PackedWeight`].
fn codes_shape(layout: &PackedLayout) -> [usize; 3] {
    [layout.row_blocks(), layout.steps(), glm_quant::BLOCK_ROWS]
}

/// The shape of the scales of a [`PackedWeight`].
fn scales_shape(layout: &PackedLayout) -> [usize; 3] {
    [layout.row_blocks(), layout.groups(), glm_quant::BLOCK_ROWS]
}
