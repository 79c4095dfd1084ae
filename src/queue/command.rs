//! What the queue is asked by the API and the shards. Plain data.

use std::time::Duration;

use crate::base::{
    AppId, CodeSecret, Credential, DeviceId, Digest, MessageId, Payload, Seq, SessionId, Token, Urgency,
    UserId, Wall,
};
use crate::protocol::wire1::Receipt;

#[cfg(doc)]
use super::answer::Answer;

/// Something for the queue to decide. Each command but [`Command::Acked`], [`Command::Stored`] and
/// [`Command::Receipt`] is answered once, after what it changed is durable.
#[derive(Debug)]
pub enum Command {
    /// An app server posts a message. Answered by [`Answer::Done`] if at least one device is to get it.
    Notify(Notify),
    /// An app server posts messages whose states are to be kept. Answered by [`Answer::Sent`], with one
    /// answer to each.
    Send(Vec<Submission>),
    /// What became of a message of [`Command::Send`]? Answered by [`Answer::State`].
    Query {
        /// Which.
        message: MessageId,
        /// What gives the right to ask.
        by: Holder,
    },
    /// The operator posts a broadcast. Answered by [`Answer::Done`].
    Broadcast {
        /// The channel's name in the API, `system`.
        channel: String,
        /// When it is no longer worth showing.
        expires: Wall,
        /// What the devices get.
        payload: Payload,
    },
    /// A device asks for the tokens of an app. Answered by [`Answer::Registered`]: the same ones as long
    /// as the registration lives.
    Register {
        /// Whose.
        device: DeviceId,
        /// For which app.
        app: AppId,
        /// What proves the device; none where devices are believed (open mode).
        credential: Option<Credential>,
    },
    /// The app goes; its token dies. Answered by [`Answer::Done`], registered or not.
    Unregister {
        /// Whose.
        device: DeviceId,
        /// Which app.
        app: AppId,
        /// As for [`Command::Register`].
        credential: Option<Credential>,
    },
    /// Which apps are registered? Answered by [`Answer::Registrations`].
    Registrations {
        /// Whose.
        device: DeviceId,
        /// As for [`Command::Register`].
        credential: Option<Credential>,
    },
    /// Is this device who it says? Answered by [`Answer::Admission`].
    Admit {
        /// Who it says it is.
        device: DeviceId,
        /// The session that asks; comes back with the answer.
        session: SessionId,
        /// What it proves itself with; empty or of any length, as it came.
        credential: Vec<u8>,
    },
    /// A device would like to become a user's, by a one-time code. Answered by [`Answer::Enrolment`].
    Enrol {
        /// The session that asks; comes back with the answer.
        session: SessionId,
        /// The code's secret.
        code: CodeSecret,
    },
    /// The operator makes a one-time code for a user. Answered by [`Answer::Code`].
    MakeCode {
        /// For whom; need not have a device yet.
        user: UserId,
        /// For how long it can be used.
        valid_for: Duration,
    },
    /// Which devices are enrolled? Answered by [`Answer::Devices`], in the order of their ids.
    Devices {
        /// Those after this one.
        after: Option<DeviceId>,
        /// Only this user's.
        user: Option<UserId>,
        /// Most of them; at least 1.
        devices_max: usize,
    },
    /// A device is no longer trusted: its credential and its tokens die, and nothing more is delivered to it.
    /// Answered by [`Answer::Done`]; what is stored of it is then taken away, a part in each turn. A device that
    /// is not enrolled but has registered apps loses them and what is pending for it.
    Revoke {
        /// Which.
        device: DeviceId,
    },
    /// A user goes with all that is stored of them. Answered by [`Answer::Done`] when all rights have ended and
    /// it is on disk that the rest is to go; that is then taken away, a part in each turn. Until it is gone
    /// [`Command::MakeCode`] for the same user is refused with
    /// [`Refusal::Unavailable`](super::answer::Refusal::Unavailable).
    EraseUser {
        /// Who.
        user: UserId,
    },
    /// The user token of an app dies. The next registration makes another. Answered by [`Answer::Done`].
    RevokeUserToken {
        /// Whose.
        user: UserId,
        /// Which app's.
        app: AppId,
    },
    /// From now on posts for this app need a key, a new one. Answered by [`Answer::AppKey`].
    BindApp {
        /// Which.
        app: AppId,
    },
    /// Posts for this app need no key any more. Answered by [`Answer::Done`], bound or not.
    UnbindApp {
        /// Which.
        app: AppId,
    },
    /// Which apps are bound to a key? Answered by [`Answer::BoundApps`].
    BoundApps,
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
    /// A device says what became of a message. Rides along with the next batch, unanswered.
    Receipt {
        /// Who.
        device: DeviceId,
        /// Which message, and what.
        receipt: Receipt,
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

impl Command {
    /// How many decisions it asks for: each message of a [`Command::Send`] is one.
    pub fn decisions(&self) -> usize {
        match self {
            Command::Send(submissions) => submissions.len(),
            _ => 1,
        }
    }
}

/// A message as an app server submits it.
#[derive(Debug)]
pub struct Notify {
    /// For whom.
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
    /// The app's key, needed if the app is bound to one.
    pub app_key: Option<Credential>,
}

/// A message whose state is to be kept.
#[derive(Debug)]
pub struct Submission {
    /// The message. By a token; [`Address::Device`] is refused.
    pub notify: Notify,
    /// By what its sender knows it again.
    pub repeat: Option<Repeat>,
}

/// What tells a request that is made again from a new one; both of the same token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeat {
    /// Of the sender's idempotency key.
    pub key: Digest,
    /// Of all that the request says.
    pub request: Digest,
}

/// What gives the right to know what became of a message.
#[derive(Debug)]
pub enum Holder {
    /// A token for the message's app, which the message was posted to.
    Token(Token),
    /// The key of the message's app.
    AppKey(Credential),
}

/// How an app server names the one to be told.
#[derive(Debug)]
pub enum Address {
    /// By a token from [`Command::Register`]: one device, or all of a user's that have the app.
    Token(Token),
    /// By the device's id, registered or not (open mode).
    Device(DeviceId),
}
