//! TLS 1.2 and 1.3 without sockets: records in and out of byte slices, and nothing kept in between
//! but a record that is not complete yet. Knows neither what the bytes mean nor where they come from.

mod certificates;
mod config;
mod connection;
mod shared_tickets;
mod slim;
#[cfg(test)]
mod tests;
mod tickets;
mod trust;

pub use certificates::Certificates;
pub use config::{
    ConfigError, DeviceOptions, Resuming, ServerOptions, Versions, device_config, server_config,
};
pub use connection::{Status, Tls, TlsError};
pub use rustls::pki_types::ServerName;
pub use rustls::{ClientConfig, ServerConfig};
pub use shared_tickets::SharedTickets;
pub use slim::RecordError;
pub use tickets::{ROTATION, TicketKeys, Tickets};
pub use trust::{Trust, pin_of};
