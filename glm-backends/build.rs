//! Tells the kernels whether they are optimised.
//!
//! Their loops are written in small `#[inline(always)]` functions, so that all of a kernel is compiled for the
//! instructions of one level. Without optimisation every variable has a place of its own on the stack, those of inlined
//! functions too, which made frames of a megabyte: there, under the cfg `unoptimised`, they stay functions.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(loom)");
    println!("cargo::rustc-check-cfg=cfg(unoptimised)");
    if std::env::var("OPT_LEVEL").is_ok_and(|level| level == "0") {
        println!("cargo::rustc-cfg=unoptimised");
    }
}
