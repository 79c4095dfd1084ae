//! What a helper wrote: `fuzz/checks/helper_output.rs`, with what libFuzzer makes up.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| checks::helper_output::check(input));
