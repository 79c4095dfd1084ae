//! Bytes to messages and back, one module a wire. No state, no I/O, no clock; what a message leads
//! to is not known here.

pub mod broadcast;
pub mod wire0;
pub mod wire1;
