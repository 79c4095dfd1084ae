//! The servers that turned out to know wire 0 alone, in a file between a link's runs. Losing it costs two
//! connections that are cut off, so nothing fails.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use log::{debug, warn};

use crate::base::Wall;
use crate::files::write_whole;

/// The file.
const FILE: &str = "wire0-servers.json";
const FILE_MODE: u32 = 0o600;
/// A server may be updated, and a device does not hear of that: so long after it was found to know wire 0
/// alone, it is tried on wire 1 again when the device next connects. That costs two connections a day.
const HOLDS: Duration = Duration::from_secs(24 * 3_600);
/// More are not remembered: a device has one or two.
const SERVERS_MAX: usize = 16;

/// The file, and what it holds.
#[derive(Debug)]
pub(super) struct PlainServers {
    path: Option<PathBuf>,
    /// By the server's name: when that turned out, in milliseconds since 1970.
    since_ms: BTreeMap<String, u64>,
}

impl PlainServers {
    /// What lies in `folder`, if that is given; nothing if it is damaged.
    pub fn read(folder: Option<&Path>) -> PlainServers {
        let path = folder.map(|folder| folder.join(FILE));
        let since_ms = path.as_deref().and_then(read).unwrap_or_default();
        PlainServers { path, since_ms }
    }

    /// Whether the server of this name is to be spoken to on wire 0.
    pub fn holds(&self, name: &str, now: Wall) -> bool {
        // A time that lies ahead was told by a clock that was wrong.
        let since = self.since_ms.get(name).map(|since| Wall(*since)).filter(|since| *since <= now);
        since.is_some_and(|since| now < since + HOLDS)
    }

    /// The server of this name has turned out to know wire 0 alone. What holds already begins not anew.
    pub fn note(&mut self, name: &str, now: Wall) {
        if self.holds(name, now) {
            return;
        }
        if self.since_ms.len() >= SERVERS_MAX {
            self.since_ms.clear();
        }
        self.since_ms.insert(name.to_owned(), now.0);
        self.write();
    }

    /// The server of this name knows wire 1.
    pub fn forget(&mut self, name: &str) {
        if self.since_ms.remove(name).is_some() {
            self.write();
        }
    }

    fn write(&self) {
        let text = serde_json::to_vec_pretty(&self.since_ms).expect("text and numbers are JSON");
        if let Some(path) = &self.path
            && let Err(error) = write_whole(path, &text, FILE_MODE)
        {
            warn!("{}: {error}", path.display());
        }
    }
}

fn read(path: &Path) -> Option<BTreeMap<String, u64>> {
    let text = fs::read(path).ok()?;
    let since_ms = serde_json::from_slice(&text);
    since_ms.inspect_err(|error| debug!("{FILE} is damaged: {error}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Wall = Wall(1_800_000_000_000);
    const NAME: &str = "push.example.org";

    #[test]
    fn what_turned_out_holds_for_a_day_over_restarts() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut servers = PlainServers::read(Some(folder.path()));
        assert!(!servers.holds(NAME, NOW));
        servers.note(NAME, NOW);
        let later = NOW + (HOLDS - Duration::from_secs(1));
        servers.note(NAME, later);
        let servers = PlainServers::read(Some(folder.path()));
        assert!(servers.holds(NAME, later));
        assert!(!servers.holds("other.example.org", NOW));
        assert!(!servers.holds(NAME, NOW + HOLDS), "it did not begin anew");
        assert!(!servers.holds(NAME, Wall(0)), "the clock was wrong");
    }

    #[test]
    fn what_knows_wire_1_now_or_is_damaged_is_forgotten() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut servers = PlainServers::read(Some(folder.path()));
        servers.note(NAME, NOW);
        servers.forget(NAME);
        assert!(!PlainServers::read(Some(folder.path())).holds(NAME, NOW));
        servers.note(NAME, NOW);
        fs::write(folder.path().join(FILE), "{").expect("writable");
        assert!(!PlainServers::read(Some(folder.path())).holds(NAME, NOW));
    }

    #[test]
    fn no_more_servers_are_remembered_than_a_device_can_have() {
        let mut servers = PlainServers::read(None);
        (0..100).for_each(|number| servers.note(&format!("{number}.example.org"), NOW));
        assert!(servers.since_ms.len() <= SERVERS_MAX);
    }
}
