//! See `entries/inspect.rs`.
#![no_main]

#[path = "../entries/inspect.rs"]
mod entries;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| entries::scripts(bytes));
