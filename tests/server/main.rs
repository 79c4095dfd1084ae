//! A whole server in this process, over real sockets: what only sockets, threads and TLS can get wrong.
#![cfg(feature = "server")]

mod api;
mod device;
mod enrolment;
mod faults;
mod limits;
mod lines;
#[cfg(feature = "device")]
mod link;
mod lives;
mod openssl;
mod peers;
mod rig;
mod sessions;
mod slow_disk;
mod v1;
