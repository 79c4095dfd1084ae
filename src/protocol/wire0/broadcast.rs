//! What of a channel a device still has to get, and packing it into BROADCAST frames. How live
//! broadcasts are kept, and what a device was sent before, is not known here: a device's level says it all.

use bytes::Bytes;

use super::object::each_entry;
use super::server_message::Broadcast;
use super::{FRAME_BODY_BYTES_MAX, ProtocolError, SHARED_PAYLOAD_BYTES_MAX, ServerMessage};
use crate::base::{ChannelId, Level, Payload};

/// Most bytes of a system BROADCAST around its payloads: everything but them, their commas and the level, and
/// 20 digits of level.
const AROUND_BYTES: usize = r#"{"T":"broadcast","ChanId":"0","TopLevel":,"Payloads":[]}"#.len() + 20;

/// How much of a channel a device lacks. Devices that lack the same and run the same image get the
/// same frame, so this is what to share frames by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Missing {
    /// Nothing that is live.
    Nothing,
    /// The last so many of the live broadcasts; at least one.
    Last(usize),
    /// The device is ahead of the channel. It gets the last live broadcast, if there is one, and in
    /// any case a BROADCAST that takes it back to the channel's level.
    StepBack,
}

impl Missing {
    /// What a device at level `device` lacks of a channel with the level `top` and so many `live`
    /// (unexpired) broadcasts. A negative level stands for a device that wants all there is.
    pub fn of(device: Level, top: Level, live: usize) -> Missing {
        let behind = top.0.saturating_sub(device.0);
        match usize::try_from(behind) {
            Err(_) => Missing::StepBack,
            Ok(behind) if behind.min(live) == 0 => Missing::Nothing,
            Ok(behind) => Missing::Last(behind.min(live)),
        }
    }

    /// How many of the `live` broadcasts, counted from the last.
    fn count(self, live: usize) -> usize {
        match self {
            Missing::Nothing => 0,
            Missing::Last(count) => count.min(live),
            Missing::StepBack => live.min(1),
        }
    }
}

/// The first of what a device lacks, as one frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BroadcastPart {
    /// The whole frame.
    pub frame: Bytes,
    /// The device's level once it has acked the frame: what the frame says as `TopLevel`.
    pub reached: Level,
}

/// Packs the first BROADCAST of the system channel for a device that lacks `missing`. `live` are the payloads of
/// all live broadcasts, oldest first, as many as `missing` was computed with; only those for the
/// device's `image` are sent. `None` if there is nothing to send: then the device counts as being
/// at `top`.
///
/// This needs no memory of earlier parts. After the ack the device is at [`BroadcastPart::reached`],
/// and the next part is the first of what is [`Missing::of`] a device at that level: a part that is
/// not the last one carries `top` less the number of live broadcasts, for whatever image, that
/// follow its last payload, and exactly those are then missing. The same holds if the device
/// stops between two parts and comes back later.
///
/// # Panics
/// If a payload is longer than [`super::PAYLOAD_BYTES_MAX`] and does not fit a frame.
pub fn encode_broadcast<'a>(
    missing: Missing,
    top: Level,
    live: impl IntoIterator<Item = &'a Payload>,
    image: &str,
) -> Option<BroadcastPart> {
    let live: Vec<&Payload> = live.into_iter().collect();
    let lacking = &live[live.len() - missing.count(live.len())..];
    let (payloads, after) = pack(lacking, image);
    if payloads.is_empty() && missing != Missing::StepBack {
        return None;
    }
    let reached = Level(top.0 - after as i64);
    let message = ServerMessage::Broadcast(Broadcast {
        app_id: String::new(),
        channel: ChannelId::SYSTEM,
        top_level: reached,
        payloads: (!payloads.is_empty()).then_some(payloads),
    });
    let frame = message.encode().expect("one payload within PAYLOAD_BYTES_MAX always fits a frame");
    Some(BroadcastPart { frame, reached })
}

/// The first of `lacking` that are for `image` and share a frame; and how many of `lacking` the next
/// part has to look at, 0 if no next part is needed.
fn pack(lacking: &[&Payload], image: &str) -> (Vec<Payload>, usize) {
    let mut payloads: Vec<Payload> = Vec::new();
    let mut after = lacking.len();
    let mut payload_bytes = 0;
    for (index, payload) in lacking.iter().enumerate() {
        if !is_for_image(payload, image) {
            continue;
        }
        payload_bytes += payload.len();
        let commas = payloads.len();
        let fits = payload_bytes <= SHARED_PAYLOAD_BYTES_MAX
            && payload_bytes + commas + AROUND_BYTES <= FRAME_BODY_BYTES_MAX;
        if !fits && !payloads.is_empty() {
            return (payloads, after);
        }
        payloads.push((*payload).clone());
        after = lacking.len() - index - 1;
    }
    (payloads, 0)
}

/// Whether a system broadcast is for devices that run `image` (`<channel>/<model>`): its payload is
/// an object with that key, whatever the value.
pub fn is_for_image(payload: &Payload, image: &str) -> bool {
    let Ok(json) = std::str::from_utf8(payload.as_bytes()) else { return false };
    let mut found = false;
    let read = each_entry(json, ProtocolError::NotAnObject, |key, _| {
        found |= key == image;
        Ok(())
    });
    found && read.is_ok()
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
    fn a_device_lacks_the_last_of_the_live_ones_by_its_level() {
        let cases = [
            (0, 0, 0, Missing::Nothing),
            (3, 3, 2, Missing::Nothing),
            (2, 3, 2, Missing::Last(1)),
            (0, 3, 2, Missing::Last(2)),
            (-1, 3, 2, Missing::Last(2)),
            (i64::MIN, i64::MAX, 5, Missing::Last(5)),
            (0, 3, 0, Missing::Nothing),
            (4, 3, 2, Missing::StepBack),
            (1, 0, 0, Missing::StepBack),
            (i64::MAX, 0, 0, Missing::StepBack),
        ];
        for (device, top, live, missing) in cases {
            assert_eq!(Missing::of(Level(device), Level(top), live), missing, "{device} {top} {live}");
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

    #[test]
    fn only_a_top_level_key_names_the_image() {
        let cases: [(&str, bool); 7] = [
            (r#"{"img1/m1":[1,2]}"#, true),
            (r#"{"a":0,"img1\/m1":null}"#, true),
            (r#"{"IMG1/m1":1}"#, false),
            (r#"{"a":{"img1/m1":1}}"#, false),
            (r#""img1/m1""#, false),
            (r#"["img1/m1"]"#, false),
            ("{}", false),
        ];
        for (json, expected) in cases {
            let payload = Payload::from_json(json.as_bytes()).expect("JSON");
            assert_eq!(is_for_image(&payload, IMAGE), expected, "{json}");
        }
    }
}
