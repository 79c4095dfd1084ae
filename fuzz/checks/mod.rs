//! What must hold whatever comes in: one file a fuzz target, each with one function `check` that panics
//! where it does not. The fuzz targets call them with what libFuzzer makes up, `tests/fuzz.rs` with
//! the seeds and with every file of `fuzz/corpus`.

pub mod api_bodies;
mod catch_up;
pub mod device_session;
pub mod helper_output;
pub mod http;
mod script;
pub mod seeds;
pub mod server_session;
pub mod stored_rows;
pub mod tls_records;
pub mod wire0_frames;
pub mod wire1_frames;

/// One fuzz target.
pub struct Target {
    /// Its name, which its corpus has too.
    pub name: &'static str,
    /// Panics unless all that must hold does so for an input.
    pub check: fn(&[u8]),
}

/// All of them.
pub const TARGETS: [Target; 9] = [
    Target { name: "wire0_frames", check: wire0_frames::check },
    Target { name: "wire1_frames", check: wire1_frames::check },
    Target { name: "server_session", check: server_session::check },
    Target { name: "device_session", check: device_session::check },
    Target { name: "http", check: http::check },
    Target { name: "api_bodies", check: api_bodies::check },
    Target { name: "helper_output", check: helper_output::check },
    Target { name: "stored_rows", check: stored_rows::check },
    Target { name: "tls_records", check: tls_records::check },
];
