//! train-mini
fn main() {}
