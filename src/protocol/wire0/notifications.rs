//! Packs the messages that wait for a device into NOTIFICATIONS frames, as many as fit. Which
//! messages wait is not known here.

use bytes::Bytes;

use super::frame::FrameWriter;
use super::server_message::{NOTIFICATIONS_START, write_notification};
use super::{FRAME_BODY_BYTES_MAX, SHARED_PAYLOAD_BYTES_MAX};
use crate::base::{AppId, MessageId, Payload};

/// What a notification counts for beside its payload and app id, as deployed servers count: a message
/// id in base64, and the JSON around the three.
const OVERHEAD_BYTES: usize = 24 + 22;
const END: &str = "]}";

/// The first of what waited, as one frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotificationsPart {
    /// The whole frame.
    pub frame: Bytes,
    /// How many of the messages are in it, at least 1.
    pub count: usize,
}

/// Packs as many of the messages `next` as share a frame, in their order: up to
/// [`SHARED_PAYLOAD_BYTES_MAX`] by the count of the spec (protocol-spec/wire0.md, "Splitting"), and
/// never beyond a frame, whatever escaping adds. `None` if there are none.
///
/// # Panics
/// If the first payload is longer than [`super::PAYLOAD_BYTES_MAX`] and does not fit a frame.
pub fn encode_notifications<'a>(
    next: impl IntoIterator<Item = (&'a AppId, MessageId, &'a Payload)>,
) -> Option<NotificationsPart> {
    let mut packer = Packer::default();
    for (app, id, payload) in next {
        if !packer.add(app, id, payload) {
            break;
        }
    }
    packer.finish()
}

/// A NOTIFICATIONS frame that is being filled.
#[derive(Default)]
struct Packer {
    frame: Option<FrameWriter>,
    counted_bytes: usize,
    count: usize,
}

impl Packer {
    /// Adds one message, or leaves the frame as it was and returns false.
    fn add(&mut self, app: &AppId, id: MessageId, payload: &Payload) -> bool {
        let cost_bytes = payload.len() + app.as_str().len() + OVERHEAD_BYTES;
        if self.count > 0 && self.counted_bytes + cost_bytes > SHARED_PAYLOAD_BYTES_MAX {
            return false;
        }
        let frame = self.frame.get_or_insert_with(|| FrameWriter::with_capacity(cost_bytes + 64));
        let before = frame.body_bytes();
        frame.json(if self.count == 0 { NOTIFICATIONS_START } else { "," });
        write_notification(frame, app, id, payload);
        if self.count > 0 && frame.body_bytes() + END.len() > FRAME_BODY_BYTES_MAX {
            frame.truncate(before);
            return false;
        }
        self.counted_bytes += cost_bytes;
        self.count += 1;
        true
    }

    fn finish(self) -> Option<NotificationsPart> {
        let mut frame = self.frame?;
        frame.json(END);
        let frame = frame.finish().expect("one payload within PAYLOAD_BYTES_MAX always fits a frame");
        Some(NotificationsPart { frame, count: self.count })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Seq;
    use crate::protocol::wire0::{Notification, PAYLOAD_BYTES_MAX, ServerMessage, split_frame};

    fn notification(app: &str, payload_bytes: usize) -> Notification {
        Notification {
            app: app.parse().expect("valid"),
            id: MessageId::new(Seq(1), [0xff; 8]),
            payload: Payload::from_json(format!("\"{}\"", "x".repeat(payload_bytes - 2)).as_bytes())
                .expect("JSON"),
        }
    }

    /// Packs all of them, part after part; returns the counts, having checked the bytes.
    fn pack(all: &[Notification]) -> Vec<usize> {
        let mut counts = Vec::new();
        let mut rest = all;
        while let Some(part) = encode_notifications(rest.iter().map(|n| (&n.app, n.id, &n.payload))) {
            let (sent, after) = rest.split_at(part.count);
            assert_eq!(Ok(&part.frame), ServerMessage::Notifications(sent.to_vec()).encode().as_ref());
            let (body, used) = split_frame(&part.frame).expect("whole");
            assert_eq!(used, part.frame.len());
            assert_eq!(ServerMessage::decode(body), Ok(ServerMessage::Notifications(sent.to_vec())));
            counts.push(part.count);
            rest = after;
        }
        counts
    }

    #[test]
    fn nothing_waiting_makes_no_frame() {
        assert_eq!(encode_notifications([]), None);
    }

    #[test]
    fn what_counts_for_62_kib_shares_a_frame_and_one_byte_more_does_not() {
        let half = (62 * 1024 - 2 * (4 + 24 + 22)) / 2;
        assert_eq!(pack(&[notification("app1", half), notification("app2", half)]), [2]);
        assert_eq!(pack(&[notification("app1", half), notification("app2", half + 1)]), [1, 1]);
        assert_eq!(pack(&vec![notification("app", 16 * 1024); 7]), [3, 3, 1]);
    }

    #[test]
    fn app_ids_that_grow_in_escaping_do_not_burst_the_frame() {
        let app = "\u{1}".repeat(255);
        assert_eq!(pack(&vec![notification(&app, 100); 100]), [39, 39, 22]);
    }

    #[test]
    fn the_longest_payload_with_the_longest_app_id_fits() {
        assert_eq!(pack(&[notification(&"\u{1}".repeat(255), PAYLOAD_BYTES_MAX)]), [1]);
    }
}
