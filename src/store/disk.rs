//! The store on disk, over sled: all that the rest of the server need not know about that engine.
//!
//! ```text
//! db, conf, blobs/, snap.*   sled's own: the log with all rows, its form, nothing (see below), where reading starts
//! written                    which batch was durable last; its lock keeps other processes out
//! ballast                    room to give up when the disk is full
//! damaged.snap.*             snapshots that sled could not read, moved aside
//! ```
//!
//! What sled 0.34 asks of its user, and where it is answered here:
//! - Its `flush` ends in `sync_file_range`, which promises nothing after a power cut: [`Disk::apply`]
//!   syncs the file itself. sled's own flusher stays on, since it alone collects garbage.
//! - A page of rows beyond 128 KiB goes to a file in `blobs` that is never synced, and a page takes up
//!   to 17 rows, or 20 for a moment: the queue's `MESSAGE_BYTES_MAX` keeps it from getting there, and the
//!   journal's `ROW_BYTES_MAX`.
//! - A crash or a full disk while it writes a snapshot leaves a file on which every later open fails:
//!   `remove_unfinished_snapshots`.
//! - On damaged files it returns an error, panics, or goes on without a part of the data: panics are
//!   caught, `open_engine` tries once without the snapshot, and what is missing is noticed by the
//!   queue's checksums and census, and by the `written` file.
//! - On a full disk it cannot be opened: `ballast`.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock, statvfs};
use rustix::io::Errno;

use crate::queue::{Batch, Key};

use super::ballast::{BALLAST_BYTES, Ballast};
use super::guarded::guarded;
use super::written::Written;
use super::{Store, StoreError, TakeRow};

/// sled's page cache. More made no difference with a million rows: new rows lie together at the end,
/// and those that are read are mostly among them.
const CACHE_BYTES: u64 = 32 << 20;

/// sled's lock is waited for so often, with such a pause: for five seconds, where it takes some
/// milliseconds.
const LOCK_ATTEMPTS_MAX: u32 = 500;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// Rows on disk, in a directory of their own.
#[derive(Debug)]
pub struct Disk {
    engine: sled::Db,
    /// sled's data file, opened by us for the sync that sled leaves out. It also hears of write
    /// errors that sled's background flusher only logs.
    data: File,
    written: Written,
    batches_written: u64,
    files: Files,
}

impl Disk {
    /// Opens the rows in `dir`, which is made if need be and is for its owner alone. Only one
    /// process can have it open. Files damaged or missing are an error that names them.
    pub fn open(dir: &Path) -> Result<Disk, StoreError> {
        let files = Files { dir: dir.into(), data: dir.join("db") };
        files.make_dir().map_err(files.failed("make", dir))?;
        let (written, batches_written) = files.open_written()?;
        files.check_present(batches_written)?;
        let engine = files.open_engine()?;
        let data = File::open(&files.data).map_err(files.failed("open", &files.data))?;
        files.sync_dir().map_err(files.failed("sync", dir))?;
        let disk = Disk { engine, data, written, batches_written, files };
        disk.files.ballast().take(disk.free_disk_bytes()?).unwrap_or_else(|error| {
            log::warn!("no ballast against a full disk in {}: {error}", disk.files.dir.display());
        });
        Ok(disk)
    }

    /// A call of the engine.
    fn call<T>(
        &self,
        action: &'static str,
        call: impl FnOnce(&sled::Db) -> Result<T, sled::Error>,
    ) -> Result<T, StoreError> {
        self.files.call(action, || call(&self.engine))
    }
}

impl Store for Disk {
    fn apply(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let mut rows = sled::Batch::default();
        for (key, value) in &batch.puts {
            rows.insert(key.encode().as_slice(), value.as_slice());
        }
        for key in &batch.deletes {
            rows.remove(key.encode().as_slice());
        }
        self.call("write", |engine| {
            engine.apply_batch(rows)?;
            engine.flush()
        })?;
        self.data.sync_data().map_err(self.files.failed("sync", &self.files.data))?;
        self.batches_written = batch.number;
        self.written.note(batch.number).map_err(self.files.failed("write", &self.files.written()))
    }

    fn read(&self, key: Key) -> Result<Option<Vec<u8>>, StoreError> {
        let value = self.call("read", |engine| engine.get(key.encode()))?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn scan(&self, take: &mut TakeRow) -> Result<(), StoreError> {
        let mut rows = self.engine.iter();
        while let Some((key, value)) = self.call("read", |_| rows.next().transpose())? {
            take(&key, &value).map_err(|error| self.damaged(error))?;
        }
        Ok(())
    }

    fn free_disk_bytes(&self) -> Result<u64, StoreError> {
        let stat = statvfs(&self.files.dir)
            .map_err(io::Error::from)
            .map_err(self.files.failed("look at the disk of", &self.files.dir))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn batches_written(&self) -> u64 {
        self.batches_written
    }

    fn file(&self) -> &Path {
        &self.files.data
    }
}

/// The files of one store, before and beside the engine.
#[derive(Debug)]
struct Files {
    dir: PathBuf,
    data: PathBuf,
}

impl Files {
    fn written(&self) -> PathBuf {
        self.dir.join("written")
    }

    fn ballast(&self) -> Ballast {
        Ballast::new(self.dir.join("ballast"))
    }

    fn make_dir(&self) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
        fs::set_permissions(&self.dir, Permissions::from_mode(0o700))
    }

    /// New files survive a power cut only when their directory does, and it in its own.
    fn sync_dir(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()?;
        File::open(self.dir.join(".."))?.sync_all()
    }

    fn open_written(&self) -> Result<(Written, u64), StoreError> {
        let path = self.written();
        let written = Written::open(&path).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => StoreError::InUse { file: path.clone() },
            _ => self.failed("open", &path)(error),
        })?;
        let batch = written.batch().map_err(self.failed("read", &path))?;
        if batch.is_none() {
            log::warn!("{} does not say which batch was the last", path.display());
        }
        Ok((written, batch.unwrap_or(0)))
    }

    /// sled would start empty where its file is gone.
    fn check_present(&self, batches_written: u64) -> Result<(), StoreError> {
        let bytes = match fs::metadata(&self.data) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(self.failed("look at", &self.data)(error)),
        };
        if bytes == 0 && batches_written > 0 {
            return Err(self
                .damaged(format!("it is missing or empty, though {batches_written} batches were written")));
        }
        Ok(())
    }

    fn open_engine(&self) -> Result<sled::Db, StoreError> {
        match self.try_open_engine() {
            Err(StoreError::Io { source, .. }) if is_full(&source) => self.open_engine_without_ballast(),
            Err(StoreError::Damaged { reason, .. }) => self.open_engine_without_snapshot(reason),
            result => result,
        }
    }

    /// While there is no room the engine's word that files are damaged counts for nothing.
    fn open_engine_without_ballast(&self) -> Result<sled::Db, StoreError> {
        let ballast = self.ballast();
        if ballast.give_up().map_err(self.failed("clear ballast in", &self.dir))? {
            log::warn!("the disk is full: gave up the ballast in {}", self.dir.display());
        }
        let retried = match self.try_open_engine() {
            Err(StoreError::Damaged { reason, .. }) => self.open_engine_without_snapshot(reason),
            result => result,
        };
        let needed_mib = BALLAST_BYTES >> 20;
        retried.map_err(|_| StoreError::Full { file: self.data.clone(), needed_mib })
    }

    /// The snapshot only shortens the start: all rows are in the data file.
    fn open_engine_without_snapshot(&self, reason: String) -> Result<sled::Db, StoreError> {
        let moved = self.move_snapshots_aside().map_err(self.failed("move snapshots in", &self.dir))?;
        if moved == 0 {
            return Err(self.damaged(reason));
        }
        log::warn!("{}: {reason}; trying without its snapshot", self.data.display());
        self.try_open_engine()
    }

    fn try_open_engine(&self) -> Result<sled::Db, StoreError> {
        self.remove_unfinished_snapshots().map_err(self.failed("clear snapshots in", &self.dir))?;
        self.await_engine_lock().map_err(self.failed("lock", &self.data))?;
        self.call("open", || sled::Config::new().path(&self.dir).cache_capacity(CACHE_BYTES).open())
    }

    /// An attempt that failed leaves threads of sled's behind, which hold its lock for a moment. Nobody
    /// else can: `written` is locked by us. If it lasts, sled's own attempt tells.
    fn await_engine_lock(&self) -> io::Result<()> {
        let data = match File::open(&self.data) {
            Ok(data) => data,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        for _ in 0..LOCK_ATTEMPTS_MAX {
            match flock(&data, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(()),
                Err(Errno::WOULDBLOCK) => std::thread::sleep(LOCK_PAUSE),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn remove_unfinished_snapshots(&self) -> io::Result<()> {
        for path in self.snapshots()? {
            let is_unfinished = path.extension() == Some(OsStr::new("generating"));
            if is_unfinished || fs::metadata(&path)?.len() == 0 {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    fn move_snapshots_aside(&self) -> io::Result<usize> {
        let snapshots = self.snapshots()?;
        for path in &snapshots {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            fs::rename(path, self.dir.join(format!("damaged.{name}")))?;
        }
        Ok(snapshots.len())
    }

    fn snapshots(&self) -> io::Result<Vec<PathBuf>> {
        let paths: Vec<PathBuf> = fs::read_dir(&self.dir)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()?;
        let is_snapshot = |path: &PathBuf| {
            path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"snap."))
        };
        Ok(paths.into_iter().filter(is_snapshot).collect())
    }

    /// A call of the engine, its errors and panics told apart.
    fn call<T>(
        &self,
        action: &'static str,
        call: impl FnOnce() -> Result<T, sled::Error>,
    ) -> Result<T, StoreError> {
        match guarded(call) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(sled::Error::Io(source))) => Err(self.failed(action, &self.data)(source)),
            Ok(Err(error)) => Err(self.damaged(error.to_string())),
            Err(panic) => Err(self.damaged(panic)),
        }
    }

    fn damaged(&self, reason: String) -> StoreError {
        StoreError::Damaged { file: self.data.clone(), reason }
    }

    fn failed(&self, action: &'static str, file: &Path) -> impl FnOnce(io::Error) -> StoreError + use<> {
        let file = file.to_owned();
        move |source| StoreError::Io { action, file, source }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
