//! The queue's rows in a store: `fuzz/checks/stored_rows.rs`, with what libFuzzer makes up.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| checks::stored_rows::check(input));
