//! The two files through which a helper gets a payload and gives its output, in a folder of their own for
//! each run. Who reads and writes them, it does not know.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{Mode, OFlags, open};

use super::run::RunError;
use crate::base::Payload;
use crate::service::output::OUTPUT_BYTES_MAX;

/// Holds the folders of runs, in the cache of each package: what is there after a crash is known by it.
const RUNS_FOLDER: &str = "lomiri-push-helper";

/// The folder of one run, which goes with this.
#[derive(Debug)]
pub struct Exchange {
    folder: PathBuf,
}

impl Exchange {
    /// A folder for a run in `cache`, which is made if there is none, with the payload in it.
    pub fn new(cache: &Path, payload: &Payload) -> io::Result<Exchange> {
        static RUNS: AtomicU64 = AtomicU64::new(0);
        let number = RUNS.fetch_add(1, Ordering::Relaxed);
        let runs = cache.join(RUNS_FOLDER);
        DirBuilder::new().recursive(true).mode(0o700).create(&runs)?;
        let folder = runs.join(format!("{}-{number}", process::id()));
        DirBuilder::new().mode(0o700).create(&folder)?;
        let exchange = Exchange { folder };
        create(&exchange.infile())?.write_all(payload.as_bytes())?;
        create(&exchange.outfile())?;
        Ok(exchange)
    }

    /// Holds all that a helper may write.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Holds the payload.
    pub fn infile(&self) -> PathBuf {
        self.folder.join("in.json")
    }

    /// Is there, and empty.
    pub fn outfile(&self) -> PathBuf {
        self.folder.join("out.json")
    }

    /// What was written. What a helper may have put in the file's place, such as a link to a file of
    /// another app, is not followed.
    pub fn output(&self) -> Result<Vec<u8>, RunError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = open(self.outfile(), flags, Mode::empty()).map(File::from);
        let file = file.map_err(|error| RunError::Unreadable(error.into()))?;
        let is_file = file.metadata().map_err(RunError::Unreadable)?.is_file();
        let mut output = Vec::new();
        if is_file {
            let longest = OUTPUT_BYTES_MAX as u64 + 1;
            file.take(longest).read_to_end(&mut output).map_err(RunError::Unreadable)?;
        }
        if output.len() > OUTPUT_BYTES_MAX { Err(RunError::TooMuchOutput) } else { Ok(output) }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            log::warn!("{}: {error}", self.folder.display());
        }
    }
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Removes what a process that was killed had no time to remove.
pub fn remove_leftovers(cache_home: &Path) {
    let caches = fs::read_dir(cache_home).into_iter().flatten().flatten();
    for runs in caches.map(|cache| cache.path().join(RUNS_FOLDER)) {
        match fs::remove_dir_all(&runs) {
            Err(error)
                if ![io::ErrorKind::NotFound, io::ErrorKind::NotADirectory].contains(&error.kind()) =>
            {
                log::warn!("{}: {error}", runs.display());
            }
            _ => {}
        }
    }
}
