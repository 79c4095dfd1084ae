//! Small file systems that tests fill to the last byte. Mounting needs root: where a test may not, it
//! steps aside, unless the tools are insisted on.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Set where it is an error, and no reason to step aside, that a test lacks its tools or its rights.
const REQUIRE_TOOLS: &str = "LOMIRI_PUSH_REQUIRE_TOOLS";

/// A mounted file system that goes with its directory.
pub struct SmallDisk {
    dir: tempfile::TempDir,
    /// What the file system is in, if not in memory.
    _image: Option<tempfile::NamedTempFile>,
}

impl SmallDisk {
    /// A file system in memory.
    pub fn in_memory(mib: u32) -> Option<SmallDisk> {
        SmallDisk::mount(&["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"], None)
    }

    /// The file system of most machines, in a file. It keeps no room back for root.
    pub fn ext4(mib: u64) -> Option<SmallDisk> {
        let image = tempfile::NamedTempFile::new().expect("a file");
        image.as_file().set_len(mib << 20).expect("a sparse file");
        let name = image.path().to_str().expect("temporary paths are UTF-8").to_owned();
        match run(Command::new("mkfs.ext4").args(["-q", "-m", "0", "-F", &name])) {
            true => SmallDisk::mount(&["-o", "loop", &name], Some(image)),
            false => step_aside("mkfs.ext4 does not work here"),
        }
    }

    fn mount(arguments: &[&str], image: Option<tempfile::NamedTempFile>) -> Option<SmallDisk> {
        let dir = tempfile::tempdir().expect("a directory");
        match run(Command::new("mount").args(arguments).arg(dir.path())) {
            true => Some(SmallDisk { dir, _image: image }),
            false => step_aside("a small disk can only be mounted by root"),
        }
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Where a test keeps its queue.
    pub fn queue_dir(&self) -> PathBuf {
        self.path().join("queue")
    }

    /// Lets other files take all the room that there is, to the last byte.
    pub fn fill(&self) -> PathBuf {
        let path = self.path().join("filler");
        let mut file = File::create(&path).expect("a file takes no room yet");
        for piece_bytes in [1 << 20, 512] {
            while file.write_all(&vec![1; piece_bytes]).is_ok() {}
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("--lazy").arg(self.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "{} stays mounted", self.path().display());
    }
}

fn run(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

fn step_aside(why: &str) -> Option<SmallDisk> {
    assert!(std::env::var_os(REQUIRE_TOOLS).is_none(), "{why}");
    println!("stepping aside: {why}");
    None
}
