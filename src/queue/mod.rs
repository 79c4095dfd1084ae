//! The queue: what is pending for whom. The one place that decides about messages: tokens, limits,
//! replace, clear, expiry, levels. Pure: it says which rows to write, and writes none.

mod command;

pub use command::{
    Address, Answer, Broadcast, Channel, Command, Event, Notify, Page, PendingMessage, Refusal,
};
