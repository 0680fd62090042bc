//! The parts that the models are made of.

pub(crate) mod attention;
pub mod embedding;
pub mod layer_norm;
pub mod linear;
pub mod rms_norm;
pub mod rotary;

/// Standard deviation of the weights of a model to be trained.
pub(crate) const INIT_STD: f64 = 0.02;

/// A place in a network whose output [`Network::hidden_states`](crate::network::Network::hidden_states) shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The token embeddings.
    Embedding,
    /// The n-th block, from 0, before the final norm.
    Layer(usize),
    /// The final norm, which the head reads.
    FinalLayerNorm,
}
