//! Durations as Go writes them: what wire 0 carries and the configuration is written in.
//! Negative ones have no meaning here and are refused.

use std::time::Duration;

/// Why a text is not a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Not of the form number, unit, number, unit, …
    #[error("not a duration: write it like 500ms, 0.5s or 1m30s")]
    Form,
    /// Longer than Go's durations reach.
    #[error("a duration beyond 292 years")]
    TooLong,
}

/// The longest duration, in nanoseconds: Go counts them in an `i64`.
const NANOS_MAX: u128 = i64::MAX as u128;

const UNITS: [(&str, u128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000), // U+00B5, the micro sign
    ("μs", 1_000), // U+03BC, the Greek letter
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Reads `500ms`, `0.5s`, `1m30s`, `.5h` or `0`. Digits below a nanosecond are dropped.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    if text.is_empty() {
        return Err(DurationError::Form);
    }
    let mut rest = text;
    let mut nanos: u128 = 0;
    while !rest.is_empty() {
        let (part, after) = parse_part(rest)?;
        nanos = nanos.checked_add(part).filter(|&sum| sum <= NANOS_MAX).ok_or(DurationError::TooLong)?;
        rest = after;
    }
    Ok(Duration::from_nanos(u64::try_from(nanos).expect("at most NANOS_MAX")))
}

/// One number with its unit from the front of `text`: its nanoseconds, and what follows.
fn parse_part(text: &str) -> Result<(u128, &str), DurationError> {
    let (whole, rest) = take_digits(text);
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(after) => take_digits(after),
        None => ("", rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return Err(DurationError::Form);
    }
    let unit_end = rest.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(unit_end);
    let (_, unit_nanos) = UNITS.iter().find(|(name, _)| *name == unit).ok_or(DurationError::Form)?;
    let whole: u128 = match whole {
        "" => 0,
        digits => digits.parse().map_err(|_| DurationError::TooLong)?,
    };
    let nanos = whole.checked_mul(*unit_nanos).ok_or(DurationError::TooLong)?;
    Ok((nanos.saturating_add(fraction_of(*unit_nanos, fraction)), rest))
}

fn take_digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// `0.digits` of a unit. An hour has 13 digits of nanoseconds, so more than 15 digits say nothing.
fn fraction_of(unit_nanos: u128, digits: &str) -> u128 {
    let digits = &digits[..digits.len().min(15)];
    let value: u128 = digits.parse().unwrap_or(0);
    value * unit_nanos / 10u128.pow(digits.len() as u32)
}

/// Writes `duration` in Go's canonical form: `500ms`, `10s`, `1m0s`, `1h0m0.5s`, `0s`.
pub fn format_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    match nanos {
        0 => "0s".into(),
        1..1_000 => format!("{nanos}ns"),
        1_000..1_000_000 => decimal(nanos, 1_000) + "µs",
        1_000_000..1_000_000_000 => decimal(nanos, 1_000_000) + "ms",
        _ => format_seconds(nanos),
    }
}

fn format_seconds(nanos: u128) -> String {
    const MINUTE: u128 = 60_000_000_000;
    let seconds = decimal(nanos % MINUTE, 1_000_000_000) + "s";
    match (nanos / MINUTE / 60, nanos / MINUTE % 60) {
        (0, 0) => seconds,
        (0, minutes) => format!("{minutes}m{seconds}"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}"),
    }
}

/// `nanos / unit` with as many decimals as it has.
fn decimal(nanos: u128, unit: u128) -> String {
    let width = unit.ilog10() as usize;
    let fraction = format!("{:0width$}", nanos % unit);
    match fraction.trim_end_matches('0') {
        "" => format!("{}", nanos / unit),
        digits => format!("{}.{digits}", nanos / unit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_durations_are_read_and_written_in_canonical_form() {
        let cases = [
            ("0", "0s"),
            ("0s", "0s"),
            ("1ns", "1ns"),
            ("1500ns", "1.5µs"),
            ("2us", "2µs"),
            ("2µs", "2µs"),
            ("2μs", "2µs"),
            ("500ms", "500ms"),
            ("0.5s", "500ms"),
            (".5s", "500ms"),
            ("5.s", "5s"),
            ("10s", "10s"),
            ("60s", "1m0s"),
            ("1m30s", "1m30s"),
            ("1h0m0.5s", "1h0m0.5s"),
            ("1.5h", "1h30m0s"),
            ("1s1s", "2s"),
            ("0.0000000001s", "0s"),
            ("2562047h47m16.854775807s", "2562047h47m16.854775807s"),
        ];
        for (given, canonical) in cases {
            let duration = parse_duration(given).unwrap_or_else(|e| panic!("{given}: {e}"));
            assert_eq!(format_duration(duration), canonical, "{given}");
            assert_eq!(parse_duration(canonical), Ok(duration), "{canonical}");
        }
    }

    #[test]
    fn what_is_not_a_duration_is_refused() {
        for bad in ["", "5", "s", ".s", "1x", "-1s", "+1s", "1 s", "1s ", "1.2.3s", "１s"] {
            assert_eq!(parse_duration(bad), Err(DurationError::Form), "{bad:?}");
        }
        for bad in [
            "2562047h47m16.854775808s",
            "9999999999999999999999999999999999999999s",
            "99999999999999999999999999999999999999h",
        ] {
            assert_eq!(parse_duration(bad), Err(DurationError::TooLong), "{bad:?}");
        }
    }
}
