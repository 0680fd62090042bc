//! mini-corpus
fn main() {}
