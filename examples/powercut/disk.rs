//! A disk whose power can be cut: ext4 in a file. Its shutdown ioctl throws away what was not synced,
//! the journal's tail included.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const IMAGE_BYTES: u64 = 2 << 30;
/// `EXT4_IOC_SHUTDOWN`, which is `_IOR('X', 125, __u32)`, and `EXT4_GOING_FLAGS_NOLOGFLUSH`.
const SHUTDOWN: &str = "0x8004587d";
const NO_LOG_FLUSH: &str = "2";

/// The mounted disk. It is unmounted and its file removed when it goes.
pub struct Disk {
    dir: tempfile::TempDir,
    is_mounted: bool,
}

impl Disk {
    /// Makes the file system and mounts it; the error says what is missing.
    pub fn new() -> Result<Disk, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("only root may mount and cut the power of a disk".into());
        }
        let dir = tempfile::tempdir().map_err(|error| format!("no temporary directory: {error}"))?;
        let mut disk = Disk { dir, is_mounted: false };
        disk.make().map_err(|error| format!("no disk image: {error}"))?;
        run(Command::new("mkfs.ext4").arg("-q").arg("-F").arg(disk.image()))?;
        disk.mount()?;
        Ok(disk)
    }

    /// Where files go.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("mounted")
    }

    fn image(&self) -> PathBuf {
        self.dir.path().join("image")
    }

    fn make(&self) -> io::Result<()> {
        std::fs::create_dir(self.path())?;
        File::create(self.image())?.set_len(IMAGE_BYTES)
    }

    /// Whoever writes now gets errors, and what was not synced is gone.
    pub fn cut_power(&self) -> Result<(), String> {
        let script = format!(
            "my $how = pack('L', {NO_LOG_FLUSH}); open(D, '<', $ARGV[0]) or die $!; ioctl(D, {SHUTDOWN}, $how) or die $!"
        );
        run(Command::new("perl").arg("-e").arg(script).arg(self.path()))
    }

    /// The power comes back: ext4 recovers from its journal.
    pub fn restore_power(&mut self) -> Result<(), String> {
        self.unmount()?;
        self.mount()
    }

    fn mount(&mut self) -> Result<(), String> {
        run(Command::new("mount").args(["-o", "loop"]).arg(self.image()).arg(self.path()))?;
        self.is_mounted = true;
        Ok(())
    }

    fn unmount(&mut self) -> Result<(), String> {
        run(Command::new("umount").arg(self.path()))?;
        self.is_mounted = false;
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.is_mounted
            && let Err(error) = self.unmount()
        {
            eprintln!("{} stays mounted: {error}", self.path().display());
        }
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let name = Path::new(command.get_program()).display().to_string();
    match command.stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(error) => Err(format!("{name}: {error}")),
    }
}
