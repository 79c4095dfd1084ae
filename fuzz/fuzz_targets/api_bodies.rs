//! The bodies of API requests: `fuzz/checks/api_bodies.rs`, with what libFuzzer makes up.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| checks::api_bodies::check(input));
