//! The parts that the models are made of.

pub mod embedding;
pub mod linear;
pub mod rotary;
