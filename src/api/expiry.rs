//! Times as RFC 3339 writes them, to points on the wall clock and back.

use jiff::Timestamp;
use jiff::fmt::temporal::Pieces;

use crate::base::Wall;

/// Reads a date and time with its offset, down to the millisecond. What lies before 1970 becomes the
/// clock's zero, and what lies beyond jiff's last day (9999-12-30) becomes that day. None if the text
/// is of another form or names no day.
pub(super) fn parse(text: &str) -> Option<Wall> {
    // jiff reads a family of formats of which RFC 3339 is one.
    if !is_rfc3339(text) {
        return None;
    }
    let pieces = Pieces::parse(text).ok()?;
    let (time, offset) = (pieces.time()?, pieces.to_numeric_offset()?);
    let timestamp = offset.to_timestamp(pieces.date().to_datetime(time)).unwrap_or(Timestamp::MAX);
    Some(Wall(u64::try_from(timestamp.as_millisecond()).unwrap_or(0)))
}

/// As text in UTC, down to the millisecond; what lies beyond jiff's last day becomes that day.
pub(super) fn format(at: Wall) -> String {
    let millis = i64::try_from(at.0).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX).to_string()
}

fn is_rfc3339(text: &str) -> bool {
    let Some((date_time, rest)) = text.split_at_checked("0000-00-00T00:00:00".len()) else { return false };
    let offset = match rest.strip_prefix('.') {
        Some(fraction) if fraction.starts_with(|c: char| c.is_ascii_digit()) => {
            fraction.trim_start_matches(|c: char| c.is_ascii_digit())
        }
        _ => rest,
    };
    has_form(date_time, "0000-00-00T00:00:00")
        && ["Z", "+00:00", "-00:00"].iter().any(|form| has_form(offset, form))
}

/// Whether `text` has a digit wherever `form` has a zero, and agrees with it elsewhere.
fn has_form(text: &str, form: &str) -> bool {
    let agrees = |(byte, formed): (u8, u8)| match formed {
        b'0' => byte.is_ascii_digit(),
        _ => byte.eq_ignore_ascii_case(&formed),
    };
    text.len() == form.len() && text.bytes().zip(form.bytes()).all(agrees)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_3339_is_read_to_the_millisecond() {
        let cases = [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01T00:00:01.5Z", 1_500),
            ("1970-01-01t00:00:01.123456789z", 1_123),
            ("1970-01-01T01:00:01+01:00", 1_000),
            ("1970-01-01T00:00:01-00:30", 1_801_000),
            ("2038-01-19T03:14:08Z", 2_147_483_648_000),
            ("2036-02-29T12:00:00+00:00", 2_087_899_200_000),
        ];
        for (text, millis) in cases {
            assert_eq!(parse(text), Some(Wall(millis)), "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for at in [Wall(0), Wall(1_123), Wall(1_767_225_600_000)] {
            assert_eq!(parse(&format(at)), Some(at));
        }
        assert_eq!(format(Wall(1_500)), "1970-01-01T00:00:01.5Z");
        assert!(parse(&format(Wall(u64::MAX))).is_some());
    }

    #[test]
    fn the_ends_of_time_are_read_as_very_early_and_very_late() {
        assert_eq!(parse("0000-01-01T00:00:00Z"), Some(Wall(0)));
        assert_eq!(parse("1969-12-31T23:59:59Z"), Some(Wall(0)));
        let end = parse("9999-12-31T23:59:59-12:00").expect("readable");
        assert!(end > parse("9999-12-29T00:00:00Z").expect("readable"));
    }

    #[test]
    fn other_forms_are_refused() {
        for bad in [
            "",
            "tomorrow",
            "2036-01-01",
            "2036-01-01T00:00:00",
            "2036-01-01 00:00:00Z",
            "2036-01-01T00:00Z",
            "2036-01-01T00:00:00.Z",
            "2036-01-01T00:00:00+0100",
            "2036-01-01T00:00:00+01",
            "2036-01-01T00:00:00+01:00:30",
            "2036-01-01T00:00:00Z[Europe/Berlin]",
            "+012036-01-01T00:00:00Z",
            "2036-02-30T00:00:00Z",
            "2037-02-29T00:00:00Z",
            "2036-01-01T25:00:00Z",
            " 2036-01-01T00:00:00Z",
            "2036-01-01T00:00:0é",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
