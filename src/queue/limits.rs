//! How much the queue takes: every bound on what others can make it keep, with its reason.
//! Bounds on single requests (sizes of bodies and payloads) are the API's.

use std::time::Duration;

use super::fates::Tracked;
use super::rates::Rates;
use crate::base::Wall;

/// Longest tag and payload together, in bytes. The engine keeps some twenty rows in a page, and a page
/// beyond 128 KiB in a file of its own that is never synced: so that many of the longest rows stay below.
pub const MESSAGE_BYTES_MAX: usize = 6 * 1024;

/// How long a request under an idempotency key is known again: as long as the message's fate, and at
/// least a day.
const REPEAT_KNOWN_FOR: Duration = Duration::from_secs(24 * 3600);

/// What the queue may hold and hand out. All of them are inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Live messages pending for one app on one device; a message counts only those that are at least as
    /// urgent as itself. A device that is away for long should come back to what is new, not to hundreds of
    /// stale notifications.
    pub messages_per_app_max: usize,
    /// Messages pending for one device, whatever the app: what it has to take in when it comes back, and
    /// what goes in one decision when it is revoked.
    pub messages_per_device_max: usize,
    /// Messages pending for one user, on all devices together: as many as fill two of them, and a fiftieth of the
    /// whole queue, so that no user's full devices are in everybody's way.
    pub messages_per_user_max: usize,
    /// Messages pending in all: each costs some 200 bytes of memory beside its device's name.
    pub messages_max: usize,
    /// Bytes of all pending rows: about two thirds of what the database takes on disk.
    pub bytes_max: u64,
    /// Free bytes on the disk below which nothing new is taken. A store that meets a full disk can
    /// neither write nor delete until it is opened again, so the queue stops well before.
    pub free_disk_min_bytes: u64,
    /// Registrations in all: each costs some 150 bytes of memory beside its device's name.
    pub registrations_max: usize,
    /// Apps registered on one device: more than anyone installs.
    pub registrations_per_device_max: usize,
    /// Devices that are enrolled: each costs some 200 bytes of memory.
    pub devices_max: usize,
    /// Devices of one user. A message to all of them is written once for each.
    pub devices_per_user_max: usize,
    /// Enrolment codes that can still be used.
    pub codes_max: usize,
    /// Apps that are bound to a key.
    pub bound_apps_max: usize,
    /// Messages whose fate is kept; beyond, those without an idempotency key are forgotten first, and of them
    /// and then of the others the oldest of the app that has most: refusing what is posted under a key instead
    /// would end an app's posts for a day, and a repetition comes within minutes. Each costs some 300 bytes
    /// of memory, and 100 more for each device.
    pub tracked_max: usize,
    /// For how long a message's fate is kept.
    pub tracked_for: Duration,
    /// How often may be posted.
    pub rates: Rates,
    /// Rows of revoked devices and erased users that are taken away in one turn. The engine takes some 50 µs
    /// for each, and everybody's posts wait for that.
    pub taken_away_per_turn_max: usize,
    /// Broadcasts that have not expired. A device that was away gets all of them at once, and every
    /// shard keeps them in memory.
    pub broadcasts_live_max: usize,
    /// Devices in one answer to the operator.
    pub page_devices_max: usize,
    /// Messages in one page. A page is read in one go by the one storage thread.
    pub page_messages_max: usize,
    /// Bytes of rows in one page; a page holds at least one message, whatever its size.
    pub page_bytes_max: usize,
}

impl Limits {
    /// When a tracked message is to be forgotten.
    pub(super) fn tracked_until<D, A, U>(&self, tracked: &Tracked<D, A, U>) -> Wall {
        let least = if tracked.repeat.is_some() { REPEAT_KNOWN_FOR } else { Duration::ZERO };
        tracked.sent + self.tracked_for.max(least)
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            messages_per_app_max: 100,
            messages_per_device_max: 10_000,
            messages_per_user_max: 20_000,
            messages_max: 1_000_000,
            bytes_max: 2 << 30,
            free_disk_min_bytes: 256 << 20,
            registrations_max: 1_000_000,
            registrations_per_device_max: 1_000,
            devices_max: 1_000_000,
            devices_per_user_max: 32,
            codes_max: 10_000,
            bound_apps_max: 10_000,
            tracked_max: 100_000,
            tracked_for: Duration::from_secs(24 * 3600),
            rates: Rates::default(),
            taken_away_per_turn_max: 500,
            broadcasts_live_max: 100,
            page_devices_max: 100,
            page_messages_max: 64,
            page_bytes_max: 128 << 10,
        }
    }
}
