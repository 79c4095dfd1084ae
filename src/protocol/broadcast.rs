//! What of a channel a device still has to get, and which of it shares a frame. Both wires pack their
//! broadcasts by it. How live broadcasts are kept, and what a device was sent before, is not known
//! here: a device's level says it all.

use super::object::each_entry;
use crate::base::{ChannelId, Level, Payload};

/// Most payload bytes that share a frame: 62 KiB, which leaves the rest for what is around them.
pub const SHARED_PAYLOAD_BYTES_MAX: usize = 62 * 1024;

/// News of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broadcast {
    /// Of which.
    pub channel: ChannelId,
    /// Where the device stands once it has stored this.
    pub level: Level,
    /// What came, oldest first; none if the device was too far ahead and steps back.
    pub payloads: Vec<Payload>,
}

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

/// The first of what a device lacks: what fits one frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Oldest first; none only for a device that steps back.
    pub payloads: Vec<Payload>,
    /// The device's level once it has stored them: what the frame says.
    pub reached: Level,
}

/// What a wire puts around payloads.
#[derive(Clone, Copy, Debug)]
pub struct Framing {
    /// Bytes of a body that payloads, each with its framing, may take.
    pub room: usize,
    /// Bytes beside a payload of so many bytes.
    pub beside: fn(usize) -> usize,
}

/// Finds the first part of the system channel for a device that lacks `missing`. `live` are the payloads of
/// all live broadcasts, oldest first, as many as `missing` was computed with; only those for the
/// device's `image` are sent. `None` if there is nothing to send: then the device counts as being
/// at `top`.
///
/// This needs no memory of earlier parts. After the ack the device is at [`Part::reached`],
/// and the next part is the first of what is [`Missing::of`] a device at that level: a part that is
/// not the last one carries `top` less the number of live broadcasts, for whatever image, that
/// follow its last payload, and exactly those are then missing. The same holds if the device
/// stops between two parts and comes back later.
pub fn first_part<'a>(
    missing: Missing,
    top: Level,
    live: impl IntoIterator<Item = &'a Payload>,
    image: &str,
    framing: Framing,
) -> Option<Part> {
    let live: Vec<&Payload> = live.into_iter().collect();
    let lacking = &live[live.len() - missing.count(live.len())..];
    let (payloads, after) = pack(lacking, image, framing);
    if payloads.is_empty() && missing != Missing::StepBack {
        return None;
    }
    Some(Part { payloads, reached: Level(top.0 - after as i64) })
}

/// The first of `lacking` that are for `image` and share a frame; and how many of `lacking` the next
/// part has to look at, 0 if no next part is needed.
fn pack(lacking: &[&Payload], image: &str, framing: Framing) -> (Vec<Payload>, usize) {
    let mut payloads: Vec<Payload> = Vec::new();
    let mut after = lacking.len();
    let (mut payload_bytes, mut framed_bytes) = (0, 0);
    for (index, payload) in lacking.iter().enumerate() {
        if !is_for_image(payload, image) {
            continue;
        }
        payload_bytes += payload.len();
        framed_bytes += payload.len() + (framing.beside)(payload.len());
        let fits = payload_bytes <= SHARED_PAYLOAD_BYTES_MAX && framed_bytes <= framing.room;
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
    let read = each_entry(json, (), |key, _| {
        found |= key == image;
        Ok(())
    });
    found && read.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: &str = "img1/m1";

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
