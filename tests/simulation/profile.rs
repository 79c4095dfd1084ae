//! What sorts of devices there are.

use lomiri_push::base::Urgency;
use lomiri_push::protocol::Wire;
use lomiri_push::service::mailbox::BYTES_PER_APP_MAX;

use super::dice::Dice;

/// How it connects.
#[derive(Clone, Copy)]
pub struct Profile {
    pub wire: Wire,
    pub window: usize,
    pub least: Urgency,
    /// The longest that its disk takes for a write, but for the worst of times.
    pub sync_ms: u64,
    pub bytes_per_app_max: usize,
}

impl Profile {
    pub fn draw(dice: &mut Dice) -> Profile {
        Profile {
            wire: dice.of(&[Wire::Zero, Wire::One, Wire::One]),
            window: dice.of(&[1, 2, 5, 64]),
            least: dice.of(&[Urgency::VeryLow, Urgency::VeryLow, Urgency::Normal, Urgency::High]),
            sync_ms: dice.of(&[1, 20, 300]),
            bytes_per_app_max: dice.of(&[1_000, BYTES_PER_APP_MAX]),
        }
    }
}
