//! What the queue answers and tells: to the API, the storage thread and the shards. Plain data.

use std::sync::Arc;
use std::time::Duration;

use crate::base::{
    AppId, CodeSecret, Credential, DeviceId, Level, MessageId, Payload, Seq, SessionId, Token, Urgency,
    UserId, Wall,
};

#[cfg(doc)]
use super::command::Command;

/// The queue's word on one command, in the order of the commands.
#[derive(Debug)]
pub enum Answer {
    /// It holds, and is on disk.
    Done,
    /// One for each message, in their order.
    Sent(Vec<Result<Sent, Refusal>>),
    /// What is known of the message.
    State(MessageState),
    /// The app's tokens; on disk.
    Registered(Registered),
    /// All of the device's, in the order of their app ids.
    Registrations(Vec<Registration>),
    /// Whether to let a device in.
    Admission(Admission),
    /// What came of a code.
    Enrolment(Enrolment),
    /// A new code; its digest is on disk.
    Code(Code),
    /// Some of the devices.
    Devices(Devices),
    /// The app's new key; its digest is on disk.
    AppKey(Credential),
    /// All apps that are bound to a key, in the order of their ids.
    BoundApps(Vec<AppId>),
    /// What is pending, in order.
    Page(Page),
    /// It does not hold, and nothing has changed.
    Refused(Refusal),
}

/// Why the queue refuses a command.
#[derive(Clone, Debug, PartialEq)]
pub enum Refusal {
    /// No such token, or no longer.
    UnknownToken,
    /// The token belongs to another app.
    Unauthorized,
    /// The credential is not that device's, or there is no such device.
    NotThisDevice,
    /// The app is bound to a key, and it was not given.
    AppKeyNeeded,
    /// No message by this id whose state is kept, or not for whoever asks.
    UnknownMessage,
    /// No such enrolment code, or it was used, or it has expired.
    UnknownCode,
    /// No such device is enrolled.
    UnknownDevice,
    /// No such user has a device or a code.
    UnknownUser,
    /// The user has as many devices as one may have.
    TooManyDevices,
    /// Another request was made under the same idempotency key.
    AnotherRequest,
    /// More than its rate allows.
    TooManyRequests {
        /// After how long it would be taken; whole seconds, at least 1.
        retry_after: Duration,
    },
    /// No such channel.
    UnknownChannel,
    /// The expiry passed between the API's check and the queue's.
    PastExpiration,
    /// As many as allowed are pending for this app and device; with the newest of them, except in the
    /// answer to [`Command::Send`]. Of several devices the first one's.
    TooManyPending(Option<Payload>),
    /// The queue as a whole is at a bound, the disk is at its floor, the store has failed, or the
    /// system's clock is so far behind the last time stored that this command may be in time or not.
    Unavailable,
}

/// A message that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Its id, on each device.
    pub id: MessageId,
    /// What became of it at once, by device: one for a device token. At least one is
    /// [`Status::Queued`].
    pub devices: Vec<(DeviceId, Status)>,
}

/// What became of a message on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It is pending.
    Queued,
    /// The device has it in its mailbox.
    Delivered,
    /// The user was shown a notification.
    Shown,
    /// The user opened it, or the app fetched it.
    Opened,
    /// It expired, on the server or on the device.
    Expired,
    /// A later message with its tag took its place.
    Replaced,
    /// A later message cleared all that was pending.
    Cleared,
    /// The device had no use for it.
    Refused,
    /// It was never queued: as many as allowed were pending.
    TooManyPending,
    /// It was never queued: the queue had no room left for it.
    NoRoom,
    /// The device was revoked before it had it.
    Revoked,
}

/// What is known of a message that was sent by [`Command::Send`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageState {
    /// Which.
    pub id: MessageId,
    /// For which app.
    pub app: AppId,
    /// When it was taken.
    pub sent: Wall,
    /// What became of it, by device.
    pub devices: Vec<DeviceState>,
}

/// What is known of a message on one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceState {
    /// Which.
    pub device: DeviceId,
    /// The latest.
    pub status: Status,
    /// Since when.
    pub since: Wall,
    /// When the device had it in its mailbox, if it had.
    pub delivered: Option<Wall>,
}

/// The tokens of an app on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registered {
    /// For this device.
    pub token: Token,
    /// For all devices of its user that have the app registered; none if the device is no user's.
    pub user_token: Option<Token>,
}

/// An app that is registered on a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// Which.
    pub app: AppId,
    /// Its tokens.
    pub tokens: Registered,
}

/// Whether to let a device in.
#[derive(Debug, PartialEq, Eq)]
pub struct Admission {
    /// Who it says it is.
    pub device: DeviceId,
    /// Who asked.
    pub session: SessionId,
    /// Whether its credential is right.
    pub is_admitted: bool,
}

/// What came of a code.
#[derive(Debug)]
pub struct Enrolment {
    /// Who asked.
    pub session: SessionId,
    /// The new device, or why there is none: [`Refusal::UnknownCode`], [`Refusal::TooManyDevices`] or
    /// [`Refusal::Unavailable`].
    pub outcome: Result<Enrolled, Refusal>,
}

/// A device that has just become a user's.
#[derive(Clone, Debug)]
pub struct Enrolled {
    /// Its id, random.
    pub device: DeviceId,
    /// What it proves itself with from now on; only its digest is on disk.
    pub credential: Credential,
}

/// A one-time code.
#[derive(Debug)]
pub struct Code {
    /// Its secret.
    pub secret: CodeSecret,
    /// When it can no longer be used.
    pub expires: Wall,
}

/// Some devices.
#[derive(Debug, PartialEq, Eq)]
pub struct Devices {
    /// In the order of their ids.
    pub devices: Vec<EnrolledDevice>,
    /// Whether there are more after them.
    pub more: bool,
}

/// A device as the operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrolledDevice {
    /// Which.
    pub device: DeviceId,
    /// Whose.
    pub user: UserId,
    /// Since when.
    pub enrolled: Wall,
    /// How many apps are registered on it.
    pub apps: usize,
    /// How many messages are pending for it.
    pub pending: usize,
}

/// A bounded part of what is pending for one device.
#[derive(Debug)]
pub struct Page {
    /// For whom.
    pub device: DeviceId,
    /// Who asked.
    pub session: SessionId,
    /// In order of arrival, all after the asked [`Seq`]; live when read. None if nothing was as urgent
    /// as asked.
    pub messages: Vec<Arc<PendingMessage>>,
    /// Whether there was more when this was read.
    pub more: bool,
    /// The newest message of the device when this was read: whoever has this one has had them all.
    /// [`Seq`] 0 if it has none; never less than the asked `after`.
    pub newest: Seq,
}

/// A message that waits for its device's ack.
#[derive(Debug, PartialEq)]
pub struct PendingMessage {
    /// Its id; its [`Seq`] is in it.
    pub id: MessageId,
    /// For which app.
    pub app: AppId,
    /// When it is no longer worth showing.
    pub expires: Wall,
    /// How much it hurries.
    pub urgency: Urgency,
    /// What the app's helper gets.
    pub payload: Payload,
}

/// A broadcast that has not expired.
#[derive(Debug, PartialEq)]
pub struct Broadcast {
    /// The channel's level with this broadcast: the first has 1.
    pub level: Level,
    /// When it is no longer worth showing.
    pub expires: Wall,
    /// What the devices get.
    pub payload: Payload,
}

/// A channel as it stands: shards hold the newest and share it.
#[derive(Debug, Default, PartialEq)]
pub struct Channel {
    /// How many broadcasts there ever were.
    pub top: Level,
    /// Those that had not expired when this was made, oldest first.
    pub live: Vec<Arc<Broadcast>>,
}

/// What shards are told after a batch is durable.
#[derive(Clone, Debug)]
pub enum Event {
    /// A message was queued: for the device's home shard.
    Queued {
        /// Whose.
        device: DeviceId,
        /// The message.
        message: Arc<PendingMessage>,
    },
    /// A device is no longer trusted: its home shard ends its session.
    Revoked {
        /// Which.
        device: DeviceId,
    },
    /// The system channel has changed: for every shard.
    Channel(Arc<Channel>),
}
