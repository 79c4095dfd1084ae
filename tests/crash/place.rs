//! Where a server keeps its data, from its first start to its last.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;

use tempfile::TempDir;

use super::small_disk::SmallDisk;

pub enum Place {
    /// A folder on the disk of temporary files.
    Folder(TempDir),
    /// A file system that others can fill, and the file that fills it.
    Disk(SmallDisk, Mutex<Option<PathBuf>>),
}

impl Place {
    pub fn folder() -> Place {
        Place::Folder(new_folder())
    }

    pub fn disk(disk: SmallDisk) -> Place {
        Place::Disk(disk, Mutex::default())
    }

    /// What the server's files are in.
    pub fn path(&self) -> PathBuf {
        match self {
            Place::Folder(folder) => folder.path().into(),
            Place::Disk(disk, _) => disk.queue_dir(),
        }
    }

    /// Others take all the room that there is.
    ///
    /// # Panics
    /// If it has no disk of its own.
    pub fn fill(&self) {
        let Place::Disk(disk, filler) = self else { panic!("the disk is not ours to fill") };
        *filler.lock().expect("nobody panics with it in hand") = Some(disk.fill());
    }

    /// Others make the room that they had taken.
    pub fn empty(&self) {
        let Place::Disk(_, filler) = self else { return };
        if let Some(filler) = filler.lock().expect("nobody panics with it in hand").take() {
            fs::remove_file(filler).expect("ours");
        }
    }

    /// A folder with all that is here, for whoever looks for what went wrong.
    pub fn keep(self) -> PathBuf {
        match self {
            Place::Folder(folder) => folder.keep(),
            Place::Disk(disk, _) => {
                let folder = new_folder().keep();
                // Without a copy there is only less to look at.
                let _ = Command::new("cp").arg("-a").arg(disk.queue_dir()).arg(&folder).status();
                folder
            }
        }
    }
}

pub fn new_folder() -> TempDir {
    tempfile::Builder::new().prefix("lomiri-push-crash-").tempdir().expect("a temporary folder")
}
