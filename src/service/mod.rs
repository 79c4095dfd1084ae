//! What the push service on a device decides, without touching the world: what waits in the mailbox for its
//! apps, and what becomes of a message. Time comes in as an argument.

pub mod app;
pub mod mailbox;
pub mod notification;
