//! HTTP conversations: `fuzz/checks/http.rs`, with what libFuzzer makes up.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| checks::http::check(input));
