//! See `entries/oci.rs`.
#![no_main]

#[path = "../entries/oci.rs"]
mod entries;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| entries::reference(bytes));
