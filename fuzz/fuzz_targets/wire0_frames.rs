//! Frames of wire 0: `fuzz/checks/wire0_frames.rs`, with what libFuzzer makes up.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| checks::wire0_frames::check(input));
