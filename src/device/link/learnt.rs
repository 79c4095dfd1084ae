//! What a link has learnt about networks, in a file between its runs. Losing it costs some lost connections,
//! no message, so nothing is synced and nothing fails.

use std::fs;
use std::path::{Path, PathBuf};

use log::{debug, warn};

use crate::device::keepalive::Learner;

/// The file, and what it is written as.
const FILE: &str = "keepalive.json";
const UNFINISHED: &str = "keepalive.json.new";

/// The file, and what it holds.
#[derive(Debug)]
pub(super) struct Learnt {
    folder: Option<PathBuf>,
    stored: Learner,
}

impl Learnt {
    /// What lies in `folder`, if that is given; nothing if it is damaged.
    pub fn read(folder: Option<PathBuf>) -> Learnt {
        let stored = folder.as_deref().and_then(read).unwrap_or_default();
        Learnt { folder, stored }
    }

    /// What is in the file.
    pub fn learner(&self) -> &Learner {
        &self.stored
    }

    /// Writes what is new in `learner`.
    pub fn note(&mut self, learner: &Learner) {
        if self.stored == *learner {
            return;
        }
        self.stored = learner.clone();
        if let Some(folder) = &self.folder
            && let Err(error) = write(folder, learner)
        {
            warn!("{}: {error}", folder.join(FILE).display());
        }
    }
}

fn read(folder: &Path) -> Option<Learner> {
    let text = fs::read(folder.join(FILE)).ok()?;
    let learner: Result<Learner, _> = serde_json::from_slice(&text);
    learner.inspect_err(|error| debug!("{FILE} is damaged: {error}")).ok().map(Learner::sanitized)
}

fn write(folder: &Path, learner: &Learner) -> std::io::Result<()> {
    let text = serde_json::to_vec_pretty(learner)?;
    let unfinished = folder.join(UNFINISHED);
    fs::write(&unfinished, text)?;
    fs::rename(unfinished, folder.join(FILE))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::device::keepalive::Observation;

    #[test]
    fn what_was_learnt_survives_and_what_is_damaged_is_forgotten() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let place = Some(folder.path().to_owned());
        let mut learnt = Learnt::read(place.clone());
        let mut learner = learnt.learner().clone();
        learner.observe("home", Observation::Survived(Duration::from_secs(480)));
        learnt.note(&learner);
        assert_eq!(Learnt::read(place.clone()).learner(), &learner);
        fs::write(folder.path().join(FILE), "{").expect("writable");
        assert_eq!(Learnt::read(place).learner(), &Learner::default());
    }

    #[test]
    fn what_is_known_already_is_not_written_again() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut learnt = Learnt::read(Some(folder.path().to_owned()));
        learnt.note(&Learner::default());
        assert!(!folder.path().join(FILE).exists());
    }
}
