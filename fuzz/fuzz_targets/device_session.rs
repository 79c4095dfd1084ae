//! The device's side of a conversation: `fuzz/checks/device_session.rs`, with what libFuzzer makes up.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| checks::device_session::check(input));
