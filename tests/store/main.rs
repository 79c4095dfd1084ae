//! The durable queue on a real disk: damaged files, full disks, second processes.
#![cfg(feature = "server")]

mod damage;
mod files;
mod full;
mod load;
