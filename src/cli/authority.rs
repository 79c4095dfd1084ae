//! `--ca`: whom else to believe.

use std::fs;
use std::path::Path;

use super::Failure;
use crate::tls::Trust;

/// Believes servers by the certificates in `file`.
pub fn named(file: &Path) -> Result<Trust, Failure> {
    let unreadable = |error| Failure::Usage(format!("--ca {}: cannot be read: {error}", file.display()));
    fs::read(file).map(Trust::CaPem).map_err(unreadable)
}
