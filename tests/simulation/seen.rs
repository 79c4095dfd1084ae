//! What happens on a device, in the order in which it does: for the world and its model.

use lomiri_push::base::{AppId, DeviceId, Level, MessageId, Now, Payload};
use lomiri_push::service::shade::BubbleId;
use lomiri_push::service::{CallId, Reply};

use super::around::Noted;
use super::daemon::Why;
use super::mail::Mail;

/// A notification in the shade: whose, its tag, and by what the notification server knows it.
pub type Listed = (AppId, String, Option<BubbleId>);

/// Something that has happened.
pub enum Seen {
    /// It has become a device.
    Enrolled(DeviceId),
    /// Its code was refused, or it is no device any more.
    Refused,
    Connected,
    /// A message has come in, double or not; sent then at the earliest.
    Came {
        id: MessageId,
        app: AppId,
        payload: Payload,
        sent: Now,
    },
    /// A message came too late, and was dropped.
    Late(MessageId),
    /// News have come in, double or not.
    News(Mail),
    /// Something new is in the mailbox, for good.
    Stored(Mail),
    /// It has left the mailbox, for good.
    Left(Mail, Why),
    /// It was leaving the mailbox when the service ended.
    Leaving(Mail),
    /// The service starts.
    Started,
    /// It is in the mailbox at a start.
    Held(Mail),
    /// All that is held was told; and these notifications are in the shade.
    Restored(Vec<Listed>),
    /// All that was done is on disk.
    Written,
    /// Something is about to be shown.
    Presenting(Mail),
    /// A notification was presented.
    Noticed {
        note: Noted,
        is_shown: bool,
        is_listed: bool,
    },
    /// The user has opened a notification.
    Clicked(BubbleId),
    Dismissed(BubbleId),
    /// The service has taken a bubble away.
    Withdrawn(BubbleId),
    PopAsked(CallId, AppId),
    ListAsked(CallId, AppId),
    ClearAsked(CallId, AppId, Vec<String>),
    /// An app has got an answer.
    Replied(CallId, Reply),
    /// It stands here, for good.
    Level(Level),
    /// It gives up its connection.
    HungUp(u64),
}
