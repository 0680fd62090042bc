//! Where speed and exactness differ, and which of the two is wanted.

pub use glm_backends::{Activations, CachePrecision};

use crate::setters::setters;

/// How a model computes. The default is the fast way; how much it differs is measured in `docs/numerics.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
#[non_exhaustive]
pub struct Numerics {
    /// How the kernels take the input of a quantised weight. Float weights always take it as it is.
    #[cfg_attr(feature = "serde", serde(with = "crate::serde_names::ActivationsName"))]
    pub activations: Activations,
    /// How keys and values are stored.
    #[cfg_attr(
        feature = "serde",
        serde(with = "crate::serde_names::CachePrecisionName")
    )]
    pub kv_cache: CachePrecision,
}

setters!(Numerics {
    with_activations: activations = Activations,
    with_kv_cache: kv_cache = CachePrecision,
});

impl Numerics {
    /// Nothing is rounded that the official code does not round: what `parity` compares with.
    pub const EXACT: Self = Self {
        activations: Activations::Float32,
        kv_cache: CachePrecision::F32,
    };
}

impl Default for Numerics {
    fn default() -> Self {
        Self {
            activations: Activations::Int8,
            kv_cache: CachePrecision::Int16,
        }
    }
}
