//! Where enrolled devices are told to reach the HTTP API, if the configuration does not say it.

use super::Config;
use crate::protocol::wire1::API_BYTES_MAX;

/// What can be told from where the API listens. Their credentials go over TLS, or stay on this machine: a
/// plain API that listens to more is not for them, and one whose port the system chooses is not known.
pub(super) fn reached(config: &Config) -> Option<String> {
    let addr = config.http_addr;
    let url = match config.http_certificate {
        _ if addr.port() == 0 => None,
        Some(_) => Some(format!("https://{}:{}", config.delivery_domain, addr.port())),
        None if addr.ip().is_loopback() => Some(format!("http://{addr}")),
        None => None,
    };
    url.filter(|url| url.len() <= API_BYTES_MAX)
}
