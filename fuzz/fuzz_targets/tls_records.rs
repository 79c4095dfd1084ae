//! Records after a handshake: `fuzz/checks/tls_records.rs`, with what libFuzzer makes up.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| checks::tls_records::check(input));
