//! Reads `ts`: seconds, milliseconds, microseconds or RFC 3339.

use bellwire_model::Timestamp;
use chrono::{DateTime, NaiveDateTime};

use crate::mapping::TextTime;

/// Below it a number is seconds: the year 5138.
const SECONDS_BELOW: f64 = 1e11;
/// Below it a number is milliseconds.
const MILLIS_BELOW: f64 = 1e14;
/// Below it a number is microseconds; beyond it is no time.
const MICROS_BELOW: f64 = 1e17;

/// A number as a time: its size says its unit. `None` if it is negative, not finite or absurd.
#[expect(clippy::cast_possible_truncation, reason = "checked to lie in 0..1e17")]
pub(super) fn from_number(number: f64) -> Option<Timestamp> {
    let micros = match number {
        n if !(0.0..MICROS_BELOW).contains(&n) => return None,
        n if n < SECONDS_BELOW => n * 1e6,
        n if n < MILLIS_BELOW => n * 1e3,
        n => n,
    };
    Some(Timestamp::from_micros(micros.round() as i64))
}

/// A whole number as a time, exact to the microsecond.
pub(super) fn from_integer(number: u64) -> Option<Timestamp> {
    let number = i64::try_from(number).ok()?;
    match number {
        n if n < 100_000_000_000 => Some(Timestamp::from_secs(n)),
        n if n < 100_000_000_000_000 => Some(Timestamp::from_millis(n)),
        n if n < 100_000_000_000_000_000 => Some(Timestamp::from_micros(n)),
        _ => None,
    }
}

/// What a text says of a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextRead {
    /// This one.
    Time(Timestamp),
    /// One on a clock of which nobody knows where it stands.
    Unplaced,
    /// None.
    NoTime,
}

/// A text as a time: RFC 3339 with its offset, from 1970 on; without one as `without` says.
pub(super) fn read_text(text: &str, without: TextTime) -> TextRead {
    let time = match DateTime::parse_from_rfc3339(text) {
        Ok(time) => time,
        Err(_) => match (without, local(text)) {
            (TextTime::Refuse, _) | (_, None) => return TextRead::NoTime,
            (TextTime::Unknown, Some(_)) => return TextRead::Unplaced,
            (TextTime::Offset(offset), Some(time)) => {
                match time.and_local_timezone(offset).single() {
                    Some(time) => time,
                    None => return TextRead::NoTime,
                }
            }
        },
    };
    match time.timestamp_micros() {
        micros if micros >= 0 => TextRead::Time(Timestamp::from_micros(micros)),
        _ => TextRead::NoTime,
    }
}

/// Date and time of a day, as RFC 3339 has them, without the offset.
fn local(text: &str) -> Option<NaiveDateTime> {
    let formats = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"];
    formats.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: i64 = 1_700_000_000_123_456;

    #[test]
    fn the_size_of_a_number_says_its_unit() {
        assert_eq!(from_integer(1_700_000_000), Some(Timestamp::from_secs(1_700_000_000)));
        assert_eq!(
            from_integer(1_700_000_000_123),
            Some(Timestamp::from_millis(1_700_000_000_123))
        );
        assert_eq!(from_integer(1_700_000_000_123_456), Some(Timestamp::from_micros(NOON)));
        assert_eq!(from_number(1_700_000_000.5), Some(Timestamp::from_millis(1_700_000_000_500)));
        assert_eq!(from_integer(0), Some(Timestamp::EPOCH));
    }

    fn from_text(text: &str) -> Option<Timestamp> {
        match read_text(text, TextTime::Refuse) {
            TextRead::Time(at) => Some(at),
            TextRead::Unplaced | TextRead::NoTime => None,
        }
    }

    #[test]
    fn a_local_time_needs_to_be_told_where_it_is() {
        let berlin = TextTime::Offset("+01:00".parse().expect("an offset"));
        let noon = TextRead::Time(Timestamp::from_micros(NOON));
        assert_eq!(read_text("2023-11-14T23:13:20.123456", berlin), noon);
        assert_eq!(read_text("2023-11-14 23:13:20.123456", berlin), noon);
        assert_eq!(read_text("2023-11-14T22:13:20.123456Z", berlin), noon);
        let unknown = TextTime::Unknown;
        assert_eq!(read_text("2023-11-14T23:13:20", unknown), TextRead::Unplaced);
        assert_eq!(read_text("now", unknown), TextRead::NoTime);
    }

    #[test]
    fn texts_need_an_offset() {
        assert_eq!(from_text("2023-11-14T22:13:20.123456Z"), Some(Timestamp::from_micros(NOON)));
        assert_eq!(
            from_text("2023-11-14T23:13:20.123456+01:00"),
            from_text("2023-11-14T22:13:20.123456Z")
        );
        assert_eq!(from_text("2023-11-14T22:13:20"), None);
        assert_eq!(from_text("1969-01-01T00:00:00Z"), None);
    }

    #[test]
    fn absurd_numbers_are_no_times() {
        for number in [-1.0, 1e17, 1e300, f64::NAN, f64::INFINITY] {
            assert_eq!(from_number(number), None, "{number}");
        }
        assert_eq!(from_integer(u64::MAX), None);
    }
}
