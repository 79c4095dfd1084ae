//! Frames of wire 1: `fuzz/checks/wire1_frames.rs`, with what libFuzzer makes up.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| checks::wire1_frames::check(input));
