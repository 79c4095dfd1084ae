//! The authorities that the system believes, for servers with a public certificate.

use log::debug;

use crate::tls::Trust;

/// Believes servers as the system's other programs do.
pub fn of_the_system() -> Trust {
    let found = rustls_native_certs::load_native_certs();
    found.errors.iter().for_each(|error| debug!("the system's authorities: {error}"));
    Trust::Authorities(found.certs)
}
