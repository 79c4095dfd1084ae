//! Who a swarm's devices are: names where nobody has to prove anything, or devices that the operator's key lets be made,
//! which a file keeps for later runs.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::{Credential, DeviceId};
use crate::cli::Failure;
use crate::files::write_whole;
use crate::swarm::{Halt, Identity, Member, Run};

/// Nobody else may read credentials.
const MODE: u32 = 0o600;

#[derive(clap::Args)]
pub struct MemberArguments {
    /// What devices' ids begin with, or with --operator-key their users' names
    #[arg(long, value_name = "TEXT", default_value = "swarm-")]
    prefix: String,
    /// The file with the operator's key (operator-key in the server's data_dir): enrol devices where they must prove
    /// themselves, and broadcast
    #[arg(long, value_name = "FILE")]
    operator_key: Option<PathBuf>,
    /// Keep enrolled devices in this file, and use those that are in it
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    device: String,
    credential: String,
}

impl MemberArguments {
    /// Whether the devices prove who they are.
    pub fn are_enrolled(&self) -> bool {
        self.operator_key.is_some() || self.state.is_some()
    }

    /// Whether codes may have to be had.
    pub fn needs_codes(&self) -> bool {
        self.operator_key.is_some()
    }

    /// The operator's key.
    pub fn operator_key(&self) -> Result<Option<String>, Failure> {
        let Some(file) = &self.operator_key else { return Ok(None) };
        let refuse = |why: String| Failure::Usage(format!("--operator-key {}: {why}", file.display()));
        let text = fs::read_to_string(file).map_err(|error| refuse(format!("cannot be read: {error}")))?;
        let key: Credential = text.trim().parse().map_err(|error| refuse(format!("{error}")))?;
        Ok(Some(key.reveal()))
    }

    /// Puts so many devices into a run; those that are missing are enrolled first. What has ended it early, if that is
    /// no failure of its own.
    pub fn add_to(&self, run: &mut Run<'_>, devices: usize, address: &str) -> Result<Option<Halt>, Failure> {
        if !self.are_enrolled() {
            for number in 0..devices {
                run.add(Identity::Device(self.name(number)?, None));
            }
            return Ok(None);
        }
        let mut members = self.state.as_deref().map_or(Ok(Vec::new()), load)?;
        let missing = devices.saturating_sub(members.len());
        if missing > 0 && self.operator_key.is_none() {
            return Err(Failure::Usage(format!(
                "--state: {} devices are in it, and {devices} are wanted: give --operator-key to enrol more, for {address}",
                members.len()
            )));
        }
        let outcome = run.enrol(missing, &self.prefix, &mut members);
        if let Some(file) = self.state.as_deref().filter(|_| missing > 0) {
            store(file, &members)?;
        }
        for (device, credential) in members.into_iter().take(devices) {
            run.add(Identity::Device(device, Some(credential)));
        }
        Ok(outcome.err())
    }

    fn name(&self, number: usize) -> Result<DeviceId, Failure> {
        let id = format!("{}{number}", self.prefix).parse();
        id.map_err(|error| Failure::Usage(format!("--prefix: {error}")))
    }
}

fn load(file: &Path) -> Result<Vec<Member>, Failure> {
    let refuse = |why: String| Failure::Usage(format!("--state {}: {why}", file.display()));
    let text = match fs::read(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        text => text.map_err(|error| refuse(format!("cannot be read: {error}")))?,
    };
    let kept: Vec<Kept> = serde_json::from_slice(&text).map_err(|_| refuse("is damaged".into()))?;
    let member = |Kept { device, credential }| Some((device.parse().ok()?, credential.parse().ok()?));
    let members: Option<Vec<Member>> = kept.into_iter().map(member).collect();
    members.ok_or_else(|| refuse("is damaged".into()))
}

fn store(file: &Path, members: &[Member]) -> Result<(), Failure> {
    let kept = |(device, credential): &Member| Kept {
        device: device.as_str().into(),
        credential: credential.reveal(),
    };
    let kept: Vec<Kept> = members.iter().map(kept).collect();
    let text = serde_json::to_vec(&kept).expect("it is JSON");
    write_whole(file, &text, MODE)
        .map_err(|error| Failure::Run(format!("--state {}: {error}", file.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_kept_and_what_is_no_file_of_devices_is_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("state");
        assert!(load(&file).expect("none yet").is_empty());
        let member = ("swarm-1".parse().expect("an id"), Credential::new([7; 32]));
        store(&file, std::slice::from_ref(&member)).expect("writable");
        let loaded = load(&file).expect("written");
        assert_eq!((loaded.len(), loaded[0].0.as_str(), loaded[0].1.as_bytes()), (1, "swarm-1", &[7; 32]));
        fs::write(&file, "{").expect("writable");
        assert!(load(&file).is_err());
    }
}
