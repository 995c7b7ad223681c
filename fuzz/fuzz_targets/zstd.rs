//! See `entries/layer.rs`.
#![no_main]

#[allow(dead_code, reason = "one target of several")]
#[path = "../entries/layer.rs"]
mod entries;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| entries::zstd(bytes));
