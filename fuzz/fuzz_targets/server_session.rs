//! The server's side of a conversation: `fuzz/checks/server_session.rs`, with what libFuzzer makes up.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| checks::server_session::check(input));
