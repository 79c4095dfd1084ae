//! Bytes to messages and back, one module a wire; beside them what serves both, how JSON objects are read,
//! and the code that brings a device to its server. No state, no I/O, no clock; what a message leads to is
//! not known here.

pub mod broadcast;
pub mod enrolment_code;
pub mod object;
pub mod wire0;
pub mod wire1;

/// What can be spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Wire {
    /// What deployed phones speak.
    Zero,
    /// Compact binary frames.
    One,
}
