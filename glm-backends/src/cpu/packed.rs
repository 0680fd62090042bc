//! Matrix products with packed weights ([`glm_quant::PackedMatrix`]), and their rows in f32.
//!
//! # The arithmetic
//!
//! Every instruction set, every number of threads and every batch size gives the same bits: row `i` of a batch is, bit
//! for bit, that row alone. Checking several drafted tokens at once, or answering several conversations at once, then
//! changes no answer. So the order of every rounding is fixed here, and the kernels follow it.
//!
//! [`Activations::Int8`]. The columns of `x` are cut into groups of 32 for [`GroupSize::G32`], else of 128; the last may
//! be shorter. For each group, with `amax` the largest magnitude in it:
//!
//! ```text
//! scale = amax / 127        q = round_half_even(x · (127 / amax))
//! dot   = Σ q · code                                          exact, in i32
//! acc   = fma(f32(dot), weight_scale · scale, acc)            G32, G128
//! acc   = fma(f32(dot), scale, acc)                           Row
//! ```
//!
//! over the groups in order, from `acc = 0`. Then `y = acc` or, for Row, `y = acc · row_scale`; and `y + bias`.
//! A group so small that `127 / amax` overflows (below 3.8e-37) counts as zero: `scale = 0`, `q = 0`. A group that holds
//! a NaN or an infinity has `scale = NaN`, so that every output of that row of `x` is NaN; other rows are not touched.
//!
//! [`Activations::Float32`]. For each group of the weight (128 columns for Row), the products of even columns are one
//! chain of fma in column order, from zero, and those of odd columns another:
//!
//! ```text
//! even  = fma(code, x, even)        odd = fma(code, x, odd)
//! acc   = fma(even + odd, weight_scale, acc)                  G32, G128
//! acc   = acc + (even + odd)                                  Row
//! ```
//!
//! then as above. Every output is within about 1e-6 of `Σ |x · weight|` of the exact sum.

mod activation;
#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512_vnni;
mod dequantize;
#[cfg(target_arch = "aarch64")]
mod neon;
mod product;
mod scalar;
mod tile;

use glm_quant::{PackedLayout, PackedMatrix};
use half::f16;

use super::{CpuLevel, pool::Pool, prefetch::Reading};
pub use dequantize::{packed_dequantize, packed_row};
use tile::Kernels;

/// How the activations enter the product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Activations {
    /// As they are: the result differs from exact arithmetic by f32 rounding only.
    Float32,
    /// Rounded to 8 bits in groups of 32 or 128 columns, and multiplied in integers: several times faster.
    Int8,
}

/// A packed weight that someone else owns: a [`PackedMatrix`], a tensor, a mapped file.
#[derive(Debug, Clone, Copy)]
pub struct PackedView<'a> {
    layout: PackedLayout,
    codes: &'a [u32],  // [row_blocks, steps, 16]
    scales: &'a [f16], // [row_blocks, groups, 16]
}

impl<'a> PackedView<'a> {
    /// A weight of these words and scales.
    ///
    /// # Panics
    /// If a slice does not have the length that the layout asks for.
    #[must_use]
    pub fn new(layout: PackedLayout, codes: &'a [u32], scales: &'a [f16]) -> Self {
        assert_eq!(
            codes.len(),
            layout.words(),
            "the packed codes do not fit {layout:?}"
        );
        assert_eq!(
            scales.len(),
            layout.scales(),
            "the scales do not fit {layout:?}"
        );
        Self {
            layout,
            codes,
            scales,
        }
    }

    /// Shape and format.
    #[must_use]
    pub fn layout(&self) -> &PackedLayout {
        &self.layout
    }
}

impl<'a> From<&'a PackedMatrix> for PackedView<'a> {
    fn from(matrix: &'a PackedMatrix) -> Self {
        Self::new(*matrix.layout(), matrix.codes(), matrix.scales())
    }
}

/// `out = x · weightᵀ + bias`, with the instructions of [`CpuLevel::active`].
///
/// # Shapes
/// - `x`: `[m, cols]`
/// - `weight`: `[rows, cols]`
/// - `bias`: `[rows]`
/// - `out`: `[m, rows]`, overwritten
///
/// # Panics
/// If a slice does not have the length that its shape asks for.
pub fn packed_linear(
    x: &[f32],
    m: usize,
    weight: PackedView<'_>,
    bias: Option<&[f32]>,
    activations: Activations,
    out: &mut [f32],
) {
    packed_linear_at(CpuLevel::active(), x, m, weight, bias, activations, out);
}

/// [`packed_linear`] with the instructions of `level`, for tests and measurements.
///
/// # Panics
/// As [`packed_linear`], and if this CPU lacks the level.
pub fn packed_linear_at(
    level: CpuLevel,
    x: &[f32],
    m: usize,
    weight: PackedView<'_>,
    bias: Option<&[f32]>,
    activations: Activations,
    out: &mut [f32],
) {
    let PackedLayout { rows, cols, .. } = weight.layout;
    let lengths = m.checked_mul(cols).zip(m.checked_mul(rows));
    assert_eq!(
        lengths,
        Some((x.len(), out.len())),
        "{m} rows of activations times a weight [{rows}, {cols}]"
    );
    if let Some(bias) = bias {
        assert_eq!(bias.len(), rows, "the bias has one value a row");
    }
    product::linear(
        Pool::global(),
        Kernels::of(level, activations, m),
        x,
        m,
        weight,
        bias,
        activations,
        Reading::of_this_cpu(),
        out,
    );
}
