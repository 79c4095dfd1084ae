//! What holds for broadcasts on either wire: a device that has seen none of the live ones catches up,
//! frame after frame, with exactly those that are for its image.

use lomiri_push::base::{Level, Payload};
use lomiri_push::protocol::broadcast::{Missing, is_for_image};

/// The image of the device that broadcasts are packed for.
pub const IMAGE: &str = "img1/m1";

/// One frame, read: what it brings, and the level that it says.
pub struct Part {
    pub payloads: Vec<Payload>,
    pub reached: Level,
}

/// Panics unless a device catches up with `live`, of a channel that stands at `top` or as high as
/// `live` takes it. `pack` makes the first frame of what is missing, and reads it.
pub fn check(live: &[Payload], top: Level, pack: impl Fn(Missing, Level) -> Option<Part>) {
    let top = Level(top.0.max(live.len() as i64));
    let mut level = Level(top.0 - live.len() as i64);
    let mut caught_up = Vec::new();
    while let Some(part) = pack(Missing::of(level, top, live.len()), top) {
        assert!(part.reached > level && part.reached <= top, "every frame leads on");
        level = part.reached;
        caught_up.extend(part.payloads);
    }
    let is_wanted = |payload: &&Payload| is_for_image(payload, IMAGE);
    assert_eq!(caught_up, live.iter().filter(is_wanted).cloned().collect::<Vec<_>>());
}
