//! Bugs that can be switched in at the seams of the simulation, to show that it would find them.

use std::collections::BTreeMap;

use lomiri_push::queue::Command;
use lomiri_push::service::{MAILBOX_FOLDER, SHADE_FILE};

/// A mistake that somebody could make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// Posts are answered before what they wrote is durable.
    AckBeforeCommit,
    /// Devices forget at each start which messages are gone from their mailbox.
    ForgetSeenIds,
    /// Replace tags are lost on the way to the queue.
    ReplaceKeepsBoth,
    /// The server's idea of the time is behind its clock.
    ExpiredDelivered,
    /// Devices forget at each start how far they have followed the channel.
    LevelStepsBack,
    /// Devices ack what came, answer apps and show notifications before what these stand on is durable.
    WriteBehind,
    /// Devices forget at each start which notifications stay.
    ForgetShade,
}

impl Bug {
    pub const ALL: [Bug; 7] = [
        Bug::AckBeforeCommit,
        Bug::ForgetSeenIds,
        Bug::ReplaceKeepsBoth,
        Bug::ExpiredDelivered,
        Bug::LevelStepsBack,
        Bug::WriteBehind,
        Bug::ForgetShade,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Bug::AckBeforeCommit => "ack-before-commit",
            Bug::ForgetSeenIds => "forget-seen-ids",
            Bug::ReplaceKeepsBoth => "replace-keeps-both",
            Bug::ExpiredDelivered => "expired-delivered",
            Bug::LevelStepsBack => "level-steps-back",
            Bug::WriteBehind => "write-behind",
            Bug::ForgetShade => "forget-shade",
        }
    }
}

/// [`Bug::ReplaceKeepsBoth`], on the way to the queue.
pub fn forget_tags(command: &mut Command) {
    match command {
        Command::Notify(notify) => notify.replace_tag = None,
        Command::Send(submissions) => {
            submissions.iter_mut().for_each(|submission| submission.notify.replace_tag = None);
        }
        _ => {}
    }
}

/// [`Bug::ForgetSeenIds`], in what a device finds at its start.
pub fn forget_seen_ids(files: &mut BTreeMap<String, Vec<u8>>) {
    files.remove(&format!("{MAILBOX_FOLDER}/seen.json"));
}

/// [`Bug::ForgetShade`], in what a device finds at its start.
pub fn forget_shade(files: &mut BTreeMap<String, Vec<u8>>) {
    files.remove(SHADE_FILE);
}

/// [`Bug::LevelStepsBack`], in what a device finds at its start.
pub fn forget_levels(files: &mut BTreeMap<String, Vec<u8>>) {
    for contents in files.values_mut() {
        let text = String::from_utf8_lossy(contents).into_owned();
        if let Some((others, _)) = text.split_once("\"levels\"") {
            *contents = format!("{others}\"levels\":{{}}}}").into();
        }
        if text.contains("\"broadcast\"") {
            contents.clear();
        }
    }
}
