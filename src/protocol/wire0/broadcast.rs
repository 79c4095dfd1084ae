//! Packing what a device lacks of the system channel into BROADCAST frames.

use bytes::Bytes;

use super::{Broadcast, FRAME_BODY_BYTES_MAX, ServerMessage};
use crate::base::{ChannelId, Level, Payload};
use crate::protocol::broadcast::{Framing, Missing, first_part};

/// Most bytes of a system BROADCAST around its payloads: everything but them, their commas and the level, and
/// 20 digits of level.
const AROUND_BYTES: usize = r#"{"T":"broadcast","ChanId":"0","TopLevel":,"Payloads":[]}"#.len() + 20;
/// A comma beside each payload but one.
const FRAMING: Framing = Framing { room: FRAME_BODY_BYTES_MAX - AROUND_BYTES + 1, beside: |_| 1 };

/// One BROADCAST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BroadcastPart {
    /// The whole frame.
    pub frame: Bytes,
    /// The device's level once it has acked the frame: what the frame says as `TopLevel`.
    pub reached: Level,
}

/// The [first part](first_part) of what a device lacks, as a frame.
///
/// # Panics
/// If a payload is longer than [`super::PAYLOAD_BYTES_MAX`] and does not fit a frame.
pub fn encode_broadcast<'a>(
    missing: Missing,
    top: Level,
    live: impl IntoIterator<Item = &'a Payload>,
    image: &str,
) -> Option<BroadcastPart> {
    let part = first_part(missing, top, live, image, FRAMING)?;
    let message = ServerMessage::Broadcast(Broadcast {
        app_id: String::new(),
        channel: ChannelId::SYSTEM,
        top_level: part.reached,
        payloads: (!part.payloads.is_empty()).then_some(part.payloads),
    });
    let frame = message.encode().expect("one payload within PAYLOAD_BYTES_MAX always fits a frame");
    Some(BroadcastPart { frame, reached: part.reached })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::wire0::split_frame;

    const IMAGE: &str = "img1/m1";

    /// A payload for `image` of exactly `bytes`.
    fn payload(image: &str, bytes: usize) -> Payload {
        let around = format!("{{\"{image}\":\"\"}}").len();
        let json = format!("{{\"{image}\":\"{}\"}}", "x".repeat(bytes - around));
        Payload::from_json(json.as_bytes()).expect("JSON")
    }

    fn decode(part: &BroadcastPart) -> Broadcast {
        let (body, used) = split_frame(&part.frame).expect("whole");
        assert_eq!(used, part.frame.len());
        match ServerMessage::decode(body) {
            Ok(ServerMessage::Broadcast(broadcast)) => {
                assert_eq!(broadcast.top_level, part.reached);
                broadcast
            }
            other => panic!("{other:?}"),
        }
    }

    /// All that a device at `level` gets, part after part, as (level reached, payloads).
    fn catch_up(mut level: i64, top: i64, live: &[Payload]) -> Vec<(i64, Vec<Payload>)> {
        let mut parts = Vec::new();
        loop {
            let missing = Missing::of(Level(level), Level(top), live.len());
            let Some(part) = encode_broadcast(missing, Level(top), live, IMAGE) else { return parts };
            level = part.reached.0;
            parts.push((level, decode(&part).payloads.unwrap_or_default()));
        }
    }

    #[test]
    fn one_frame_takes_a_device_to_the_top() {
        let live = [payload(IMAGE, 20), payload(IMAGE, 30)];
        assert_eq!(catch_up(1, 7, &live), [(7, live.to_vec())]);
        assert_eq!(catch_up(6, 7, &live), [(7, live[1..].to_vec())]);
        assert_eq!(catch_up(7, 7, &live), []);
    }

    #[test]
    fn broadcasts_for_other_images_are_skipped() {
        let (ours, other) = (payload(IMAGE, 20), payload("img2/m1", 20));
        assert_eq!(catch_up(0, 3, &[other.clone(), ours.clone(), other.clone()]), [(3, vec![ours])]);
        assert_eq!(catch_up(0, 1, &[other]), []);
    }

    #[test]
    fn a_device_too_far_ahead_steps_back_with_the_last_one_or_with_none() {
        let (ours, other) = (payload(IMAGE, 20), payload("img2/m1", 20));
        assert_eq!(catch_up(9, 3, &[ours.clone(), ours.clone()]), [(3, vec![ours.clone()])]);
        for live in [&[ours, other][..], &[]] {
            let part = encode_broadcast(Missing::StepBack, Level(3), live, IMAGE).expect("always sent");
            let expected = br#"{"T":"broadcast","ChanId":"0","TopLevel":3,"Payloads":null}"#;
            assert_eq!(&part.frame[2..], expected);
        }
    }

    #[test]
    fn parts_carry_the_level_that_resumes_right_behind_them() {
        let ours = payload(IMAGE, 30 * 1024);
        let other = payload("img2/m1", 20);
        let (o, x) = (ours.clone(), other.clone());
        let live = [o.clone(), x.clone(), o.clone(), x.clone(), x.clone(), o.clone(), x];
        assert_eq!(catch_up(0, 10, &live), [(6, vec![o.clone(), o.clone()]), (10, vec![o])]);
        assert_eq!(catch_up(6, 10, &live).len(), 1);
    }

    #[test]
    fn what_has_62_kib_shares_a_frame_and_one_byte_more_does_not() {
        let half = payload(IMAGE, 31 * 1024);
        let more = payload(IMAGE, 31 * 1024 + 1);
        assert_eq!(catch_up(0, 2, &[half.clone(), half.clone()]).len(), 1);
        assert_eq!(catch_up(0, 2, &[half, more]).len(), 2);
    }

    #[test]
    fn many_short_payloads_do_not_burst_the_frame() {
        // The shortest payload for an image `?/?` is 9 bytes and a comma, so that the frame is the
        // bound before the payloads are: 65,535 / 10 < 62 KiB / 9.
        let short = Payload::from_json(br#"{"?/?":1}"#).expect("JSON");
        let live = vec![short; 7_000];
        let part = encode_broadcast(Missing::Last(7_000), Level(i64::MAX), &live, "?/?").expect("some");
        assert!(part.frame.len() > FRAME_BODY_BYTES_MAX - 30);
        assert!(decode(&part).payloads.is_some_and(|payloads| payloads.len() > 6_500));
    }
}
