//! The queue: what is pending for whom. The one place that decides about messages: tokens, limits,
//! replace, clear, expiry, levels. Pure: it says which rows to write, and writes none.

mod ahead;
mod answer;
mod batches;
mod command;
mod decide;
mod enrolments;
mod fates;
mod leaving;
mod limits;
mod names;
mod pending;
mod rates;
mod registrations;
mod restore;
mod rows;
mod shares;
mod state;
mod tracking;

pub use answer::{
    Admission, Answer, Broadcast, Channel, Code, DeviceState, Devices, Enrolled, EnrolledDevice, Enrolment,
    Event, MessageState, Page, PendingMessage, Refusal, Registered, Registration, Sent, Status,
};
pub use command::{Address, Command, Holder, Notify, Repeat, Submission};
pub use decide::{Decision, Listing, Wanted};
pub use limits::{Limits, MESSAGE_BYTES_MAX};
pub use rates::{Buckets, Rate, Rates};
pub use restore::{Restore, RestoreError};
pub use rows::{Batch, JournalRow, Key, KeyBytes, Place, RowError, read_message};
pub use state::{Counts, Queue};
