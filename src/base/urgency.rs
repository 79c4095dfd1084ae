//! How much a message hurries, in the words of RFC 8030 section 5.3. What waits for what is the
//! broker's business.

use std::str::FromStr;

/// From the least to the most urgent. A message without one is [`Urgency::Normal`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Urgency {
    /// On power and Wi-Fi: advertisements.
    VeryLow,
    /// On either power or Wi-Fi: topic updates.
    Low,
    /// On neither: chat and calendar messages.
    #[default]
    Normal,
    /// Even on a low battery: an incoming call, a time-critical alert.
    High,
}

/// The text names no urgency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an urgency is very-low, low, normal or high")]
pub struct UrgencyError;

impl Urgency {
    /// All, from the least to the most urgent: each stands at its [code](Urgency::code).
    pub const ALL: [Urgency; 4] = [Urgency::VeryLow, Urgency::Low, Urgency::Normal, Urgency::High];

    /// Its number on wire 1 and in stored rows, 0 to 3.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The urgency with this number.
    pub fn from_code(code: u8) -> Option<Urgency> {
        Urgency::ALL.get(usize::from(code)).copied()
    }

    /// Its name in RFC 8030.
    pub fn name(self) -> &'static str {
        match self {
            Urgency::VeryLow => "very-low",
            Urgency::Low => "low",
            Urgency::Normal => "normal",
            Urgency::High => "high",
        }
    }
}

impl FromStr for Urgency {
    type Err = UrgencyError;
    fn from_str(name: &str) -> Result<Urgency, UrgencyError> {
        Urgency::ALL.into_iter().find(|urgency| urgency.name() == name).ok_or(UrgencyError)
    }
}

impl std::fmt::Display for Urgency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_codes_stand_for_the_same_and_are_in_order() {
        for (code, urgency) in (0..).zip(Urgency::ALL) {
            assert_eq!(urgency.code(), code);
            assert_eq!(Urgency::from_code(code), Some(urgency));
            assert_eq!(urgency.name().parse(), Ok(urgency));
        }
        assert!(Urgency::ALL.is_sorted());
        assert_eq!(Urgency::from_code(4), None);
        for bad in ["", "Normal", "medium"] {
            assert_eq!(bad.parse::<Urgency>(), Err(UrgencyError), "{bad:?}");
        }
    }
}
