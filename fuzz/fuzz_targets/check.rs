//! See `entries/plan.rs`.
#![no_main]

#[path = "../entries/plan.rs"]
mod entries;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| entries::check(bytes));
