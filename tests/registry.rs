//! Compares the tables of `protocol-spec/wire1.md` with the code. A row is known by its first two cells;
//! what else a table says is for people.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use lomiri_push::base::Urgency;
use lomiri_push::protocol::wire1::{
    API_BYTES_MAX, APPS_MAX, CREDENTIAL_BYTES_MAX, DEVICE_BODY_BYTES_MAX, EXPIRY_SECONDS_MAX,
    IMAGE_BYTES_MAX, LEVELS_MAX, Outcome, PAYLOAD_BYTES_MAX, Reason, SERVER_BODY_BYTES_MAX, STORED_MAX,
    WINDOW_BYTES_MAX, WINDOW_MAX, kinds,
};

/// The limits of the wire that a second implementation has to share, by their names in the spec.
const LIMITS: [(&str, u64); 12] = [
    ("API_BYTES_MAX", API_BYTES_MAX as u64),
    ("DEVICE_BODY_BYTES_MAX", DEVICE_BODY_BYTES_MAX as u64),
    ("SERVER_BODY_BYTES_MAX", SERVER_BODY_BYTES_MAX as u64),
    ("PAYLOAD_BYTES_MAX", PAYLOAD_BYTES_MAX as u64),
    ("CREDENTIAL_BYTES_MAX", CREDENTIAL_BYTES_MAX as u64),
    ("IMAGE_BYTES_MAX", IMAGE_BYTES_MAX as u64),
    ("LEVELS_MAX", LEVELS_MAX as u64),
    ("STORED_MAX", STORED_MAX as u64),
    ("WINDOW_MAX", WINDOW_MAX as u64),
    ("WINDOW_BYTES_MAX", WINDOW_BYTES_MAX as u64),
    ("APPS_MAX", APPS_MAX as u64),
    ("EXPIRY_SECONDS_MAX", EXPIRY_SECONDS_MAX),
];

/// The cells of every table row, without their quotes.
fn rows() -> Vec<Vec<String>> {
    let spec = Path::new(env!("CARGO_MANIFEST_DIR")).join("protocol-spec/wire1.md");
    let text = fs::read_to_string(spec).expect("the spec is part of the source");
    let cells = |row: &str| row.split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect();
    text.lines().filter_map(|line| line.strip_prefix('|')).map(cells).collect()
}

/// The rows whose first cell is a hexadecimal number: that, and the name behind it.
fn numbered() -> BTreeSet<(u64, String)> {
    let entry = |row: Vec<String>| Some((hexadecimal(&row[0])?, row.get(1)?.clone()));
    rows().into_iter().filter_map(entry).collect()
}

fn hexadecimal(cell: &str) -> Option<u64> {
    u64::from_str_radix(cell.strip_prefix("0x")?, 16).ok()
}

/// A decimal number; commas may part its thousands.
fn decimal(cell: &str) -> Option<u64> {
    cell.replace(',', "").parse().ok()
}

/// Frames have names in capitals, reasons in small letters.
fn is_frame((_, name): &(u64, String)) -> bool {
    name.bytes().all(|byte| byte.is_ascii_uppercase())
}

#[test]
fn spec_and_code_have_the_same_frames() {
    let told: BTreeSet<_> = numbered().into_iter().filter(is_frame).collect();
    assert_eq!(told, kinds::ALL.map(|(kind, name, _)| (kind.into(), name.into())).into());
}

#[test]
fn spec_and_code_have_the_same_reasons() {
    let told: BTreeSet<_> = numbered().into_iter().filter(|entry| !is_frame(entry)).collect();
    assert_eq!(told, Reason::ALL.map(|reason| (reason.code(), reason.name().into())).into());
}

#[test]
fn the_spec_says_who_sends_a_frame() {
    let rows = rows();
    for (_, name, sender) in kinds::ALL {
        let row = rows.iter().find(|row| hexadecimal(&row[0]).is_some() && row[1] == name);
        assert_eq!(row.map(|row| row[2].as_str()), Some(sender), "{name}");
    }
}

#[test]
fn the_spec_has_the_codes_of_urgencies_and_outcomes() {
    let rows = rows();
    let entry = |row: &Vec<String>| Some((decimal(&row[0])?, row.get(1)?.clone()));
    let told: BTreeSet<(u64, String)> = rows.iter().filter_map(entry).collect();
    let urgencies = Urgency::ALL.map(|urgency| (urgency.code(), urgency.name()));
    let outcomes = Outcome::ALL.map(|outcome| (outcome.code(), outcome.name()));
    for (code, name) in urgencies.into_iter().chain(outcomes) {
        assert!(told.contains(&(code.into(), name.to_owned())), "{code} {name}");
    }
}

#[test]
fn the_spec_has_the_limits_of_the_code() {
    let rows = rows();
    for (name, value) in LIMITS {
        let row = rows.iter().find(|row| row[0] == name);
        assert_eq!(row.and_then(|row| decimal(&row[1])), Some(value), "{name}");
    }
}
