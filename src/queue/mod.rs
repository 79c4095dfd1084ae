//! The queue: what is pending for whom. The one place that decides about messages: tokens, limits,
//! replace, clear, expiry, levels. Pure: it says which rows to write, and writes none.

mod command;
mod decide;
mod limits;
mod names;
mod pending;
mod registrations;
mod restore;
mod rows;
mod state;

pub use command::{
    Address, Answer, Broadcast, Channel, Command, Event, Notify, Page, PendingMessage, Refusal,
};
pub use decide::{Decision, Listing, Wanted};
pub use limits::{Limits, MESSAGE_BYTES_MAX};
pub use restore::{Restore, RestoreError};
pub use rows::{Batch, Key, RowError, read_message};
pub use state::{Counts, Queue};
