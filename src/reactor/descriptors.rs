//! How many descriptors the process may hold, and who gets them: what the API, the store and the
//! loops need is set aside first, so that a crowd of devices never starves them.

/// Connections of the API: more than the app servers of one machine keep open, and few enough to
/// leave 19 of 20 descriptors to devices.
pub(super) const API_CONNECTIONS_MAX: usize = 512;
/// The store's files: its data, its log, a snapshot in the making, with room to spare.
const STORE_DESCRIPTORS: usize = 64;
/// Standard streams, certificates while they are read again, what libraries open in passing.
const OTHER_DESCRIPTORS: usize = 64;
/// Each loop has its selector, its waker and its listener.
const DESCRIPTORS_PER_LOOP: usize = 3;

/// The process may not have enough descriptors to serve a single device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "only {allowed} open files are allowed, and at least {needed} are needed: raise the limit (ulimit -n)"
)]
pub struct TooFewDescriptors {
    /// How many it may have.
    pub allowed: usize,
    /// How many it needs at least.
    pub needed: usize,
}

/// Whether `descriptors` suffice for one device beside everything else.
pub fn check_descriptors(descriptors: usize, shards: usize) -> Result<(), TooFewDescriptors> {
    match device_connections(descriptors, shards) {
        0 => Err(TooFewDescriptors { allowed: descriptors, needed: set_aside(shards) + 1 }),
        _ => Ok(()),
    }
}

/// How many connections of devices `descriptors` allow beside everything else; 0 if not even that fits.
pub fn device_connections(descriptors: usize, shards: usize) -> usize {
    descriptors.saturating_sub(set_aside(shards))
}

fn set_aside(shards: usize) -> usize {
    API_CONNECTIONS_MAX + STORE_DESCRIPTORS + OTHER_DESCRIPTORS + DESCRIPTORS_PER_LOOP * (shards + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_get_19_of_20_thousand_descriptors() {
        assert!(device_connections(20_000, 64) >= 19_000);
        assert_eq!(device_connections(500, 2), 0);
    }

    #[test]
    fn who_has_too_few_descriptors_learns_how_many_suffice_for_one_device() {
        let problem = check_descriptors(500, 2).expect_err("too few");
        assert_eq!(device_connections(problem.needed, 2), 1);
        assert_eq!(check_descriptors(problem.needed, 2), Ok(()));
        assert!(check_descriptors(problem.needed - 1, 2).is_err());
    }
}
