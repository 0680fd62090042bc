//! glm-bench
fn main() {}
