//! random-checkpoint
fn main() {}
