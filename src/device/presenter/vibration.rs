//! Lets a phone vibrate: by Lomiri's service for that, else by the one of other Linux phones.

use std::collections::HashMap;

use zbus::zvariant::Value;

use super::peers::{Peer, Peers, Unanswered};
use crate::base::AppId;
use crate::service::notification::Vibration;

const VIBRATOR: Peer<'static> =
    Peer { service: "com.lomiri.hfd", path: "/com/lomiri/hfd", interface: "com.lomiri.hfd.Vibrator" };
/// feedbackd: sounds, lights and vibrations by what has happened.
pub(super) const FEEDBACK: Peer<'static> = Peer {
    service: "org.sigxcpu.Feedback",
    path: "/org/sigxcpu/Feedback",
    interface: "org.sigxcpu.Feedback",
};
/// Two short ones, in milliseconds: on and off in turn.
const DEFAULT_PATTERN_MS: [u32; 2] = [100, 100];
const DEFAULT_REPEAT: u32 = 2;

/// Vibrates. False if nothing here does.
pub(super) fn vibrate(session: &mut Peers, system: &mut Peers, app: &AppId, vibration: &Vibration) -> bool {
    let (durations_ms, repeat) = match vibration {
        Vibration::Default => (&DEFAULT_PATTERN_MS[..], DEFAULT_REPEAT),
        Vibration::Pattern { durations_ms, repeat } => (&durations_ms[..], *repeat),
    };
    match system.call(VIBRATOR, "vibratePattern", &(durations_ms, repeat)) {
        Ok(_) => true,
        Err(Unanswered::Absent) => by_feedback(session, app, vibration),
        Err(Unanswered::Failed) => false,
    }
}

/// A pattern is felt as it is where feedbackd is new enough; everything else as the arrival of a message.
fn by_feedback(session: &mut Peers, app: &AppId, vibration: &Vibration) -> bool {
    if let Vibration::Pattern { durations_ms, repeat } = vibration {
        let haptic = Peer { interface: "org.sigxcpu.Feedback.Haptic", ..FEEDBACK };
        match session.call(haptic, "Vibrate", &(app.as_str(), strengths(durations_ms, *repeat))) {
            Ok(_) => return true,
            Err(Unanswered::Absent) => return false,
            Err(Unanswered::Failed) => {}
        }
    }
    // The quiet profile vibrates, and makes no sound.
    let hints: HashMap<&str, Value<'_>> = [("profile", Value::from("quiet"))].into();
    let event = (app.as_str(), "message-new-instant", hints, -1);
    session.call(FEEDBACK, "TriggerFeedback", &event).is_ok()
}

/// The pattern as feedbackd has it: how strong, and for how many milliseconds.
fn strengths(durations_ms: &[u32], repeat: u32) -> Vec<(f64, u32)> {
    let once = durations_ms.iter().enumerate().map(|(step, duration_ms)| match step % 2 {
        0 => (1.0, *duration_ms),
        _ => (0.0, *duration_ms),
    });
    let rounds = repeat.try_into().unwrap_or(usize::MAX);
    std::iter::repeat_n(once, rounds).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::strengths;

    #[test]
    fn each_round_of_a_pattern_begins_with_vibrating() {
        let twice = strengths(&[100, 50, 20], 2);
        assert_eq!(twice[..4], [(1.0, 100), (0.0, 50), (1.0, 20), (1.0, 100)]);
        assert_eq!(twice.len(), 6);
    }
}
