//! What a helper wrote: an error, or an output that keeps to all limits, whose texts D-Bus can carry, whose
//! message is compact JSON, and which reads the same when it is spelled otherwise.
//!
//! An input is the output.

use lomiri_push::base::Payload;
use lomiri_push::service::notification::{Card, Notification, Output, Sound, Vibration};
use lomiri_push::service::output::{
    ACTIONS_MAX, BODY_BYTES_MAX, OUTPUT_BYTES_MAX, PATTERN_ENTRIES_MAX, PATTERN_ENTRY_MS_MAX, REPEAT_MAX,
    SUMMARY_BYTES_MAX, TAG_BYTES_MAX, URL_BYTES_MAX,
};
use serde_json::{Value, json};

/// Panics unless all of this holds for `input`.
pub fn check(input: &[u8]) {
    let Ok(output) = Output::parse(input) else { return };
    assert!(input.len() <= OUTPUT_BYTES_MAX);
    if let Some(message) = &output.message {
        assert_eq!(Payload::from_json(message.as_bytes()).as_ref(), Ok(message), "compact JSON");
    }
    output.notification.iter().for_each(check_notification);
    check_spelled_otherwise(output);
}

fn check_notification(notification: &Notification) {
    check_text(&notification.tag, TAG_BYTES_MAX);
    notification.card.iter().for_each(check_card);
    if let Some(Sound::File(path)) = &notification.sound {
        assert!(!path.is_empty());
        check_text(path, URL_BYTES_MAX);
    }
    if let Some(Vibration::Pattern { durations_ms, repeat }) = &notification.vibration {
        assert!((1..=PATTERN_ENTRIES_MAX).contains(&durations_ms.len()) && (1..=REPEAT_MAX).contains(repeat));
        assert!(durations_ms.iter().all(|duration| *duration <= PATTERN_ENTRY_MS_MAX));
    }
}

fn check_card(card: &Card) {
    check_text(&card.summary, SUMMARY_BYTES_MAX);
    check_text(&card.body, BODY_BYTES_MAX);
    check_text(&card.icon, URL_BYTES_MAX);
    assert!(card.actions.len() <= ACTIONS_MAX);
    card.actions.iter().for_each(|action| check_text(action, URL_BYTES_MAX));
}

fn check_text(text: &str, bytes_max: usize) {
    assert!(text.len() <= bytes_max && !text.contains('\0'));
}

/// With all its keys, in capitals, and unknown ones around them, it is the same. The message is left out: it
/// may be deeper than what this is spelled with.
fn check_spelled_otherwise(output: Output) {
    let notification = output.notification.as_ref().map(spelled);
    let spelled =
        json!({"Message_": [{}], "NOTIFICATION": notification, "unknown": {"message": 1}}).to_string();
    // What is escaped is longer, and may be too long.
    if spelled.len() <= OUTPUT_BYTES_MAX {
        assert_eq!(Output::parse(spelled.as_bytes()), Ok(Output { message: None, ..output }), "{spelled}");
    }
}

fn spelled(notification: &Notification) -> Value {
    let sound = notification.sound.as_ref().map(|sound| match sound {
        Sound::Default => json!(true),
        Sound::File(path) => json!(path),
    });
    let vibration = notification.vibration.as_ref().map(|vibration| match vibration {
        Vibration::Default => json!(true),
        Vibration::Pattern { durations_ms, repeat } => json!({"PATTERN": durations_ms, "REPEAT": repeat}),
    });
    let card = notification.card.as_ref().map(|card| {
        json!({"SUMMARY": card.summary, "BODY": card.body, "ACTIONS": card.actions, "ICON": card.icon,
               "TIMESTAMP": card.timestamp, "PERSIST": card.persist, "POPUP": card.popup})
    });
    let emblem = notification.emblem.map(|emblem| json!({"COUNT": emblem.count, "VISIBLE": emblem.visible}));
    json!({"TAG": notification.tag, "CARD": card, "SOUND": sound, "VIBRATE": vibration, "EMBLEM-COUNTER": emblem})
}
