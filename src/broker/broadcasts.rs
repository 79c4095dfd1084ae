//! The system channel as a shard sees it, and its frames, each encoded once for all devices that get
//! the same. Which devices there are is not known here.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::base::{Level, Payload, Wall};
use crate::protocol::broadcast::Missing;
use crate::protocol::{Wire, wire0, wire1};
use crate::queue::{Broadcast, Channel};

/// How many distinct frames are kept. Devices at the channel's usual levels share a handful; beyond
/// this the level or the image is somebody's invention, and forgetting all of them costs little.
const FRAMES_MAX: usize = 256;

/// What devices share a frame by.
type Same = (Wire, Missing, Arc<str>);

/// The channel, and the frames that devices were sent since it last changed.
#[derive(Debug)]
pub(super) struct Broadcasts {
    top: Level,
    live: Vec<Arc<Broadcast>>,
    /// From this time on one of `live` has expired.
    live_until: Wall,
    frames: HashMap<Same, Option<(Bytes, Level)>>,
}

/// What is next for a device.
#[derive(Debug, PartialEq)]
pub(super) enum Next {
    /// This frame.
    Frame {
        /// The whole frame.
        frame: Bytes,
        /// The device's level once it has acked.
        reached: Level,
    },
    /// Nothing: the device counts as being at this level, the channel's.
    UpToDate(Level),
}

impl Broadcasts {
    pub(super) fn new(channel: &Channel) -> Broadcasts {
        let mut broadcasts = Broadcasts {
            top: channel.top,
            live: channel.live.clone(),
            live_until: Wall(u64::MAX),
            frames: HashMap::new(),
        };
        broadcasts.changed();
        broadcasts
    }

    /// The next broadcasts for a device that speaks `wire`, is at `level` and runs `image`.
    pub(super) fn next(&mut self, wire: Wire, level: Level, image: &Arc<str>, now: Wall) -> Next {
        if level == self.top {
            return Next::UpToDate(self.top);
        }
        self.drop_expired(now);
        match self.frame(wire, Missing::of(level, self.top, self.live.len()), image) {
            Some((frame, reached)) => Next::Frame { frame: frame.clone(), reached: *reached },
            None => Next::UpToDate(self.top),
        }
    }

    fn frame(&mut self, wire: Wire, missing: Missing, image: &Arc<str>) -> &Option<(Bytes, Level)> {
        if self.frames.len() >= FRAMES_MAX {
            self.frames.clear();
        }
        let Broadcasts { top, live, frames, .. } = self;
        let payloads = || live.iter().map(|broadcast| &broadcast.payload);
        frames
            .entry((wire, missing, image.clone()))
            .or_insert_with(|| encode(wire, missing, *top, payloads(), image))
    }

    fn drop_expired(&mut self, now: Wall) {
        if now >= self.live_until {
            self.live.retain(|broadcast| broadcast.expires > now);
            self.changed();
        }
    }

    fn changed(&mut self) {
        self.frames.clear();
        let first_expiry = self.live.iter().map(|broadcast| broadcast.expires).min();
        self.live_until = first_expiry.unwrap_or(Wall(u64::MAX));
    }
}

fn encode<'a>(
    wire: Wire,
    missing: Missing,
    top: Level,
    live: impl IntoIterator<Item = &'a Payload>,
    image: &str,
) -> Option<(Bytes, Level)> {
    match wire {
        Wire::Zero => {
            wire0::encode_broadcast(missing, top, live, image).map(|part| (part.frame, part.reached))
        }
        Wire::One => wire1::encode_broadcast(missing, top, live, image),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broadcast(level: i64, expires: u64) -> Arc<Broadcast> {
        let payload = Payload::from_json(format!(r#"{{"i/m":{level}}}"#).as_bytes()).expect("JSON");
        Arc::new(Broadcast { level: Level(level), expires: Wall(expires), payload })
    }

    fn channel() -> Channel {
        Channel { top: Level(5), live: vec![broadcast(4, 1_000), broadcast(5, 2_000)] }
    }

    fn frame_of(next: Next) -> Bytes {
        match next {
            Next::Frame { frame, .. } => frame,
            Next::UpToDate(level) => panic!("nothing to send at {level}"),
        }
    }

    #[test]
    fn devices_that_lack_the_same_share_one_frame() {
        let mut broadcasts = Broadcasts::new(&channel());
        let (image, same): (Arc<str>, Arc<str>) = ("i/m".into(), "i/m".into());
        let first = frame_of(broadcasts.next(Wire::Zero, Level(0), &image, Wall(0)));
        let second = frame_of(broadcasts.next(Wire::Zero, Level(-1), &same, Wall(0)));
        assert_eq!(first.as_ptr(), second.as_ptr());
        assert_ne!(first, frame_of(broadcasts.next(Wire::Zero, Level(4), &image, Wall(0))));
    }

    #[test]
    fn an_expired_broadcast_is_in_no_frame_any_more() {
        let mut broadcasts = Broadcasts::new(&channel());
        let image: Arc<str> = "i/m".into();
        let both = frame_of(broadcasts.next(Wire::Zero, Level(0), &image, Wall(999)));
        let one = frame_of(broadcasts.next(Wire::Zero, Level(0), &image, Wall(1_000)));
        assert!(both.len() > one.len());
        assert_eq!(broadcasts.next(Wire::Zero, Level(0), &image, Wall(2_000)), Next::UpToDate(Level(5)));
    }

    #[test]
    fn invented_images_do_not_pile_up() {
        let mut broadcasts = Broadcasts::new(&channel());
        for number in 0..10 * FRAMES_MAX {
            broadcasts.next(Wire::Zero, Level(0), &format!("i/{number}").into(), Wall(0));
        }
        assert!(broadcasts.frames.len() <= FRAMES_MAX);
    }
}
