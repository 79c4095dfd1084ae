//! What the queue is asked, and what it answers and tells: the words between the API, the storage
//! thread and the shards. Plain data.

use std::sync::Arc;

use crate::base::{AppId, DeviceId, Level, MessageId, Payload, Seq, SessionId, Token, Urgency, Wall};

/// Something for the queue to decide. Each command but [`Command::Acked`] and
/// [`Command::Stored`] is answered once, after what it changed is durable.
#[derive(Debug)]
pub enum Command {
    /// An app server posts a message. Answered by [`Answer::Done`].
    Notify(Notify),
    /// The operator posts a broadcast. Answered by [`Answer::Done`].
    Broadcast {
        /// The channel's name in the API, `system`.
        channel: String,
        /// When it is no longer worth showing.
        expires: Wall,
        /// What the devices get.
        payload: Payload,
    },
    /// A device asks for the token of an app. Answered by [`Answer::Token`]: the same one as long
    /// as the registration lives.
    Register {
        /// Whose.
        device: DeviceId,
        /// For which app.
        app: AppId,
    },
    /// The app goes; its token dies. Answered by [`Answer::Done`], registered or not.
    Unregister {
        /// Whose.
        device: DeviceId,
        /// Which app.
        app: AppId,
    },
    /// A device has these messages in its mailbox. Rides along with the next batch, unanswered.
    Acked {
        /// Who.
        device: DeviceId,
        /// Which. Ones that are gone already are no error.
        seqs: Vec<Seq>,
    },
    /// A device that connects has these messages in its mailbox, though their acks may never have
    /// come: as good as [`Command::Acked`] for those that are pending under the whole id.
    Stored {
        /// Who.
        device: DeviceId,
        /// Which. The device may have them from another server, or have made them up.
        ids: Vec<MessageId>,
    },
    /// A session wants what is pending after `after`. Answered by [`Answer::Page`].
    Fetch {
        /// Whose messages.
        device: DeviceId,
        /// Who asks; comes back with the page.
        session: SessionId,
        /// The last message that the session has already had; [`Seq`] 0 for none.
        after: Seq,
        /// Unless something of this urgency or more is pending, the page is to be empty.
        least: Urgency,
        /// Most messages that the session takes now; at least 1.
        messages_max: usize,
    },
    /// Would any message be taken now? Answered by [`Answer::Done`] or the refusal some would meet.
    Probe,
}

/// A message as an app server submits it.
#[derive(Debug)]
pub struct Notify {
    /// For which app on which device.
    pub to: Address,
    /// The app, as the app server names it; must be the token's.
    pub app: AppId,
    /// When it is no longer worth showing.
    pub expires: Wall,
    /// What the app's helper gets.
    pub payload: Payload,
    /// How much it hurries.
    pub urgency: Urgency,
    /// Drop all that is pending for this app on this device first.
    pub clear_pending: bool,
    /// Drop what is pending for this app and device under the same tag first.
    pub replace_tag: Option<String>,
}

/// How an app server names the one to be told.
#[derive(Debug)]
pub enum Address {
    /// By a token from [`Command::Register`].
    Token(Token),
    /// By the device's id, registered or not (open mode).
    Device(DeviceId),
}

/// The queue's word on one command, in the order of the commands.
#[derive(Debug)]
pub enum Answer {
    /// It holds, and is on disk.
    Done,
    /// The app's token on that device; on disk.
    Token(Token),
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
    /// No such channel.
    UnknownChannel,
    /// The expiry passed between the API's check and the queue's.
    PastExpiration,
    /// As many as allowed are pending for this app and device; with the newest of them.
    TooManyPending(Payload),
    /// The queue as a whole is at a bound, the disk is at its floor, the store has failed, or the
    /// system's clock is so far behind the last time stored that this command may be in time or not.
    Unavailable,
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
    /// The system channel has changed: for every shard.
    Channel(Arc<Channel>),
}
