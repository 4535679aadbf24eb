//! Times and durations as people write them.

use std::time::Duration;

use bellwire_model::Timestamp;
use chrono::{DateTime, NaiveDate, NaiveDateTime};

/// A time: RFC 3339; `2013-12-02 21:15:00` with or without a fraction, and `2013-12-02`, in UTC; or
/// seconds, milliseconds, microseconds or nanoseconds since 1970, told apart by their size as in payloads.
pub(crate) fn time(text: &str) -> Option<Timestamp> {
    let at = if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        epoch(text)?
    } else if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        at.timestamp_micros()
    } else {
        let day = || NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0);
        let formats = ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M"];
        let read = |format| NaiveDateTime::parse_from_str(text, format).ok();
        formats.into_iter().find_map(read).or_else(day)?.and_utc().timestamp_micros()
    };
    // Earlier readings are never stored.
    (at >= 0).then(|| Timestamp::from_micros(at))
}

/// Microseconds. The borders are those of a payload's `ts`: the year 5138 in each unit.
fn epoch(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let number: i64 = whole.parse().ok()?;
    let (times, over) = match number {
        n if n < 100_000_000_000 => (1_000_000, 1),
        n if n < 100_000_000_000_000 => (1_000, 1),
        n if n < 100_000_000_000_000_000 => (1, 1),
        _ => (1, 1_000),
    };
    let part = match fraction {
        "" => 0.0,
        // Digits only: a second point would not be read.
        _ => format!("0.{fraction}").parse::<f64>().ok()? * f64::from(times),
    };
    #[expect(clippy::cast_possible_truncation, reason = "below a million")]
    Some(number.checked_mul(i64::from(times))? / over + part as i64)
}

/// `2013-12-02T21:15:00.000000Z`, as everywhere in the API.
pub(crate) fn rfc3339(at: Timestamp) -> String {
    let text = |at: DateTime<chrono::Utc>| at.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string();
    DateTime::from_timestamp_micros(at.as_micros()).map_or_else(|| at.to_string(), text)
}

/// `2013-12-02 21:15:00`, in UTC, with a fraction where there is one.
pub(crate) fn plain(at: Timestamp) -> String {
    let text = |at: DateTime<chrono::Utc>| at.format("%Y-%m-%d %H:%M:%S%.f").to_string();
    DateTime::from_timestamp_micros(at.as_micros()).map_or_else(|| at.to_string(), text)
}

const UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// A duration such as `90s`, `5m`, `1h30m`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut millis: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).filter(|end| *end > 0)?;
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (_, unit) = UNITS.into_iter().find(|(name, _)| *name == &rest[..end])?;
        millis = millis.checked_add(number.checked_mul(unit)?)?;
        rest = &rest[end..];
    }
    (!text.is_empty()).then(|| Duration::from_millis(millis))
}

/// A duration in its two largest units: `2d3h`, `1m30s`; `0s` for none.
pub(crate) fn show(duration: Duration) -> String {
    let mut millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    // Fractions of a second matter only where there is nothing else.
    if millis >= 1_000 {
        millis -= millis % 1_000;
    }
    let mut shown = String::new();
    let mut n_units = 0;
    for (name, unit) in UNITS {
        let number = millis / unit;
        millis %= unit;
        if n_units > 0 || number > 0 {
            n_units += 1;
            if number > 0 {
                shown += &format!("{number}{name}");
            }
        }
        if n_units == 2 {
            break;
        }
    }
    if shown.is_empty() { "0s".to_owned() } else { shown }
}

/// A part of 1 as a percentage: `12 %`, `0.3 %`.
pub(crate) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent == 0.0 || percent >= 9.95 {
        format!("{percent:.0} %")
    } else {
        format!("{percent:.1} %")
    }
}

/// `1 rule`, `3 rules`.
pub(crate) fn count(n: u64, word: &str) -> String {
    match n {
        1 => format!("1 {word}"),
        _ => format!("{} {word}s", thousands(n)),
    }
}

/// `43,200,000`
pub(crate) fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut shown = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_may_be_written_in_many_ways() {
        let at = Timestamp::from_secs(1_386_018_900);
        for text in [
            "2013-12-02 21:15:00",
            "2013-12-02 21:15",
            "2013-12-02T21:15:00",
            "2013-12-02T21:15:00Z",
            "2013-12-02T22:15:00+01:00",
            "1386018900",
            "1386018900000",
            "1386018900000000",
            "1386018900000000000",
            "1386018900.0",
        ] {
            assert_eq!(time(text), Some(at), "{text}");
        }
        let half = at + Duration::from_millis(500);
        assert_eq!(time("1386018900.5"), Some(half));
        assert_eq!(time("2013-12-02 21:15:00.5"), Some(half));
        assert_eq!(time("2013-12-02"), Some(Timestamp::from_secs(1_385_942_400)));
        for wrong in
            ["", "now", "2013-13-02", "1.2.3", ".", "-5", "1969-01-01", "99999999999999999999"]
        {
            assert_eq!(time(wrong), None, "{wrong}");
        }
        assert_eq!(rfc3339(half), "2013-12-02T21:15:00.500000Z");
        assert_eq!((plain(at), plain(half)).0, "2013-12-02 21:15:00");
    }

    #[test]
    fn durations_read_back() {
        for (text, secs) in [("90s", 90), ("5m", 300), ("1h30m", 5_400), ("2d", 172_800), ("0s", 0)]
        {
            assert_eq!(duration(text), Some(Duration::from_secs(secs)), "{text}");
        }
        assert_eq!(duration("500ms"), Some(Duration::from_millis(500)));
        for wrong in ["", "5", "m", "5 m", "5x", "1.5h", "-5m", "99999999999999999999d"] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
        for (millis, text) in [
            (0, "0s"),
            (250, "250ms"),
            (1_500, "1s"),
            (90_000, "1m30s"),
            (3_600_000, "1h"),
            (3_605_000, "1h"),
            (183_600_000, "2d3h"),
        ] {
            assert_eq!(show(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn numbers_are_shown_short() {
        assert_eq!((percent(0.0).as_str(), percent(0.034).as_str()), ("0 %", "3.4 %"));
        assert_eq!((percent(0.5).as_str(), count(1, "rule").as_str()), ("50 %", "1 rule"));
        assert_eq!(
            (thousands(999).as_str(), thousands(43_200_000).as_str()),
            ("999", "43,200,000")
        );
    }
}
