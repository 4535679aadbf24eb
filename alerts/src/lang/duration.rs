//! Durations as people write them: `30s`, `5m`, `1h30m`, `1.5h`.

use std::fmt::Write as _;
use std::time::Duration;

/// The units, longest first, in microseconds.
const UNITS: [(&str, f64); 6] =
    [("w", 604_800e6), ("d", 86_400e6), ("h", 3_600e6), ("m", 60e6), ("s", 1e6), ("ms", 1e3)];

/// The longest duration a rule may name: 400 days.
pub(crate) const MAX: Duration = Duration::from_hours(400 * 24);

/// Reads all of `text`.
///
/// # Errors
/// A sentence fragment saying what is wrong.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let mut micros = 0.0;
    let mut rest = text;
    while !rest.is_empty() || text.is_empty() {
        let digits = span(rest, |c| c.is_ascii_digit() || c == '.');
        let (number, after) = rest.split_at(digits);
        let letters = span(after, char::is_alphabetic);
        let (unit, after) = after.split_at(letters);
        let Ok(number) = number.parse::<f64>() else {
            return Err(format!("`{text}` is not a duration"));
        };
        let Some((_, size)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(match unit {
                "" => format!("the duration `{text}` lacks a unit"),
                _ => format!("unknown unit `{unit}` in the duration `{text}`"),
            });
        };
        micros += number * size;
        rest = after;
    }
    let duration = Duration::from_micros(micros.round() as u64);
    if duration > MAX {
        return Err(format!("the duration `{text}` is longer than 400 days"));
    }
    Ok(duration)
}

/// What a duration should look like.
pub(crate) const HELP: &str =
    "a duration is a number and a unit of `ms`, `s`, `m`, `h`, `d`, `w`: `30s`, `5m`, `1h30m`";

fn span(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|c| !belongs(c)).unwrap_or(text.len())
}

/// Writes it the way [`parse`] reads it, rounded to milliseconds: `1h30m`.
pub(crate) fn format(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (unit, millis) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)] {
        let n = rest / millis;
        rest %= millis;
        if n > 0 {
            let _ = write!(text, "{n}{unit}");
        }
    }
    if rest > 0 {
        let _ = write!(text, "{rest}ms");
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_write_them() {
        for (text, seconds) in
            [("30s", 30.0), ("5m", 300.0), ("1h30m", 5400.0), ("1.5h", 5400.0), ("250ms", 0.25)]
        {
            assert_eq!(parse(text), Ok(Duration::from_secs_f64(seconds)), "{text}");
        }
        assert_eq!(parse("2w"), Ok(Duration::from_hours(14 * 24)));
        assert_eq!(parse("0s"), Ok(Duration::ZERO));
    }

    #[test]
    fn what_is_no_duration_says_why() {
        for (text, why) in [
            ("", "`` is not a duration"),
            ("5", "the duration `5` lacks a unit"),
            ("5 m", "the duration `5 m` lacks a unit"),
            ("5min", "unknown unit `min` in the duration `5min`"),
            ("-5m", "`-5m` is not a duration"),
            ("1.2.3s", "`1.2.3s` is not a duration"),
            ("60w", "the duration `60w` is longer than 400 days"),
        ] {
            assert_eq!(parse(text), Err(why.to_owned()));
        }
    }

    #[test]
    fn a_duration_reads_back() {
        for text in ["2m", "1h30m", "1d1ms", "0s"] {
            assert_eq!(parse(text).map(format), Ok(text.to_owned()));
        }
    }
}
