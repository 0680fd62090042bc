//! A line of `--stdio`.
#![no_main]
#![allow(dead_code)] // What is read is the program's to use.

#[path = "../../src/line.rs"]
mod line;

use line::Line;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    match Line::parse(bytes) {
        Ok(Line::Complete(request)) => assert!(request.id.is_string() || request.id.is_number()),
        Ok(Line::Cancel(_)) => {}
        Err(refusal) => assert!(!refusal.reason.is_empty()),
    }
});
