//! What helpers write, and what is made of it.

use serde_json::json;

use super::*;

fn parse(json: &str) -> Result<Output, OutputError> {
    Output::parse(json.as_bytes())
}

fn notification_of(json: &str) -> Notification {
    parse(json).expect("an output").notification.expect("a notification")
}

fn message_of(json: &str) -> Option<String> {
    let message = parse(json).expect("an output").message?;
    Some(String::from_utf8(message.as_bytes().to_vec()).expect("JSON is UTF-8"))
}

/// An output whose card has this value under this key.
fn with_card(key: &str, value: serde_json::Value) -> String {
    json!({"notification": {"card": {key: value}}}).to_string()
}

#[test]
fn everything_that_a_helper_can_say_is_understood() {
    let output = parse(
        r#"{"message": {"id": 7}, "notification": {
            "tag": "chat", "sound": "bell.ogg", "vibrate": {"pattern": [200, 100], "repeat": 2},
            "card": {"summary": "Alice", "body": "Hello", "actions": ["appid://chatter"], "icon": "face",
                     "timestamp": 1700000000, "persist": true, "popup": true},
            "emblem-counter": {"count": 3, "visible": true}}}"#,
    );
    let card = Card {
        summary: "Alice".into(),
        body: "Hello".into(),
        actions: vec!["appid://chatter".into()],
        icon: "face".into(),
        timestamp: 1_700_000_000,
        persist: true,
        popup: true,
    };
    let notification = Notification {
        tag: "chat".into(),
        card: Some(card),
        sound: Some(Sound::File("bell.ogg".into())),
        vibration: Some(Vibration::Pattern { durations_ms: vec![200, 100], repeat: 2 }),
        emblem: Some(Emblem { count: 3, visible: true }),
    };
    let message = Payload::from_json(br#"{"id":7}"#).expect("JSON");
    assert_eq!(output, Ok(Output { message: Some(message), notification: Some(notification) }));
}

#[test]
fn nothing_must_be_said() {
    assert_eq!(parse("{}"), Ok(Output::default()));
    assert_eq!(parse(r#"{"notification": null, "other": [{"message": 1}]}"#), Ok(Output::default()));
    assert_eq!(notification_of(r#"{"notification": {}}"#), Notification::default());
    let empty = r#"{"notification": {"card": {"summary": null, "actions": null}, "emblem-counter": {}}}"#;
    let notification = notification_of(empty);
    assert_eq!(notification.card, Some(Card::default()));
    assert_eq!(notification.emblem, Some(Emblem { count: 0, visible: false }));
}

#[test]
fn a_message_is_kept_byte_for_byte_but_for_the_space_between_its_tokens() {
    let kept = message_of(r#"{"message": { "n" : 1.50e+2, "s":"\u003c é \ud800", "n": 2 }}"#);
    assert_eq!(kept.as_deref(), Some(r#"{"n":1.50e+2,"s":"\u003c é \ud800","n":2}"#));
    assert_eq!(message_of(r#"{"message": "x"}"#).as_deref(), Some(r#""x""#));
    assert_eq!(message_of(r#"{"message": null}"#).as_deref(), Some("null"));
}

#[test]
fn keys_match_whatever_their_case_and_the_last_counts() {
    assert_eq!(message_of(r#"{"MESSAGE": 1, "Message": 2}"#).as_deref(), Some("2"));
    assert_eq!(message_of(r#"{"message": 1, "mess\u0041ge": 2}"#).as_deref(), Some("2"));
    let given = r#"{"notification": {"Emblem-Counter": {"COUNT": 3}, "tag": "a", "TAG": "b", "tag": null}}"#;
    let notification = notification_of(given);
    assert_eq!(notification.emblem, Some(Emblem { count: 3, visible: false }));
    assert_eq!(notification.tag, "b", "null takes nothing back");
}

#[test]
fn a_sound_is_the_users_or_a_file_and_nothing_else() {
    let sound = |value: &str| {
        notification_of(&format!(r#"{{"notification": {{"sound": {value}, "tag": "kept"}}}}"#)).sound
    };
    assert_eq!(sound("true"), Some(Sound::Default));
    assert_eq!(sound(r#""a/b.ogg""#), Some(Sound::File("a/b.ogg".into())));
    for malformed in ["false", "1", "{}", "[true]", r#""""#] {
        assert_eq!(sound(malformed), None, "{malformed}");
    }
    let long = format!("{:?}", "a".repeat(URL_BYTES_MAX + 1));
    assert_eq!(sound(&long), None);
}

#[test]
fn a_vibration_is_the_devices_or_a_pattern_and_nothing_else() {
    let vibration = |value: &str| {
        notification_of(&format!(r#"{{"notification": {{"vibrate": {value}, "tag": "kept"}}}}"#)).vibration
    };
    assert_eq!(vibration("true"), Some(Vibration::Default));
    let once = Vibration::Pattern { durations_ms: vec![100], repeat: 1 };
    for pattern in [r#"{"pattern": [100]}"#, r#"{"Pattern": [100], "repeat": 0, "x": {}}"#] {
        assert_eq!(vibration(pattern), Some(once.clone()), "{pattern}");
    }
    let many = format!(r#"{{"pattern": [{}1]}}"#, "1,".repeat(PATTERN_ENTRIES_MAX));
    let malformed = [
        "false",
        "1",
        "[100]",
        "{}",
        r#"{"pattern": []}"#,
        r#"{"pattern": [-1]}"#,
        r#"{"pattern": [1.5]}"#,
        r#"{"pattern": [10001]}"#,
        r#"{"pattern": [100], "repeat": 21}"#,
        r#"{"pattern": [100], "repeat": "x"}"#,
        &many,
    ];
    for malformed in malformed {
        assert_eq!(vibration(malformed), None, "{malformed}");
    }
}

#[test]
fn what_is_no_json_object_is_no_output() {
    let deep = "[".repeat(OUTPUT_BYTES_MAX);
    for bad in ["", "null", "[]", "{", "{} {}", "{\"a\": 1,}", "'x'", &deep] {
        assert_eq!(parse(bad), Err(OutputError::NotAnObject), "{bad:.20}");
    }
    assert_eq!(Output::parse(b"{\"message\": \"\xff\"}"), Err(OutputError::NotAnObject));
}

#[test]
fn a_wrong_type_makes_the_whole_output_an_error() {
    let cases = [
        (r#"{"notification": 1}"#, "notification"),
        (r#"{"notification": []}"#, "notification"),
        (r#"{"notification": {"tag": 1}}"#, "tag"),
        (r#"{"notification": {"card": "x"}}"#, "card"),
        (r#"{"notification": {"card": {"summary": {}}}}"#, "summary"),
        (r#"{"notification": {"card": {"actions": "x"}}}"#, "actions"),
        (r#"{"notification": {"card": {"actions": [1]}}}"#, "actions"),
        (r#"{"notification": {"card": {"timestamp": 1.5}}}"#, "timestamp"),
        (r#"{"notification": {"card": {"popup": 1}}}"#, "popup"),
        (r#"{"notification": {"emblem-counter": {"count": 2147483648}}}"#, "count"),
        (r#"{"notification": {"emblem-counter": 1}}"#, "emblem-counter"),
    ];
    for (json, key) in cases {
        assert_eq!(parse(json), Err(OutputError::WrongType(key)), "{json}");
    }
    let deep = format!(r#"{{"notification": {}{}}}"#, "[".repeat(20_000), "]".repeat(20_000));
    assert_eq!(parse(&deep), Err(OutputError::WrongType("notification")));
}

#[test]
fn a_message_may_be_deeper_than_any_stack() {
    let deep = "[".repeat(30_000) + &"]".repeat(30_000);
    assert_eq!(message_of(&format!(r#"{{"message": {deep}}}"#)), Some(deep));
}

#[test]
fn an_output_has_at_most_64_kib() {
    let of_bytes = |bytes: usize| format!("{{}}{}", " ".repeat(bytes - 2));
    assert_eq!(parse(&of_bytes(OUTPUT_BYTES_MAX)), Ok(Output::default()));
    assert_eq!(parse(&of_bytes(OUTPUT_BYTES_MAX + 1)), Err(OutputError::TooMuch));
}

#[test]
fn what_people_read_is_cut_between_two_characters() {
    let card = |key: &str| notification_of(&with_card(key, "é".repeat(BODY_BYTES_MAX).into())).card;
    assert_eq!(card("summary").expect("a card").summary, "é".repeat(SUMMARY_BYTES_MAX / 2));
    assert_eq!(card("body").expect("a card").body, "é".repeat(BODY_BYTES_MAX / 2));
    let odd = format!("x{}", "é".repeat(SUMMARY_BYTES_MAX));
    let summary = notification_of(&with_card("summary", odd.into())).card.expect("a card").summary;
    assert_eq!(summary, format!("x{}", "é".repeat(SUMMARY_BYTES_MAX / 2 - 1)));
    let many = vec!["u"; ACTIONS_MAX + 1];
    assert_eq!(notification_of(&with_card("actions", json!(many))).card.expect("a card").actions.len(), 8);
}

#[test]
fn what_stands_for_something_is_not_cut_but_refused() {
    let long = "a".repeat(URL_BYTES_MAX + 1);
    assert_eq!(parse(&with_card("icon", json!(long))), Err(OutputError::TooLong("icon")));
    assert_eq!(parse(&with_card("actions", json!([long]))), Err(OutputError::TooLong("actions")));
    let tag = |bytes: usize| json!({"notification": {"tag": "a".repeat(bytes)}}).to_string();
    assert_eq!(parse(&tag(TAG_BYTES_MAX + 1)), Err(OutputError::TooLong("tag")));
    assert_eq!(notification_of(&tag(TAG_BYTES_MAX)).tag.len(), TAG_BYTES_MAX);
}

#[test]
fn what_dbus_cannot_carry_is_left_out_of_texts() {
    let given = r#"{"notification": {"card": {"summary": "a\u0000b", "body": "\ud83d!"}}}"#;
    let card = notification_of(given).card.expect("a card");
    assert_eq!(card.summary, "ab");
    assert_eq!(card.body.trim_start_matches('\u{fffd}'), "!");
}
