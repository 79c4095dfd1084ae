//! Both sides of a conversation in memory, on each wire.

mod enrolment;
mod wire0;
mod wire1;
