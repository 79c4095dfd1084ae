//! The `lomiri-push` binary. All of it lives in the library's `cli`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    lomiri_push::cli::run()
}
