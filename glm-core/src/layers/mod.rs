//! The parts that the models are made of.

pub(crate) mod attention;
pub mod embedding;
pub mod layer_norm;
pub mod linear;
pub mod rotary;
