//! The durable queue on a real disk: damaged files, full disks, second processes.

mod damage;
mod files;
mod full;
mod load;
mod small_disk;
