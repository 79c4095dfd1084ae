//! Hostile peers at every listener of the real server. Each attack states how much memory it may cost,
//! by the server's own peak, and each ends with a look at those who behave: they are served.
#![cfg(all(feature = "server", feature = "device"))]

mod crowds;
mod frames;
mod guesses;
mod http;
mod phone;
mod tls;
mod victim;
