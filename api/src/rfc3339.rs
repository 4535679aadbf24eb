//! Times as the API writes and reads them: RFC 3339 in UTC with microseconds.

use std::fmt;

use bellwire_model::Timestamp;
use chrono::DateTime;
use serde::{Serialize, Serializer};

/// 9999-12-31T23:59:59.999999Z: the format has no later instant.
const LATEST_MICROS: i64 = 253_402_300_799_999_999;
/// 0000-01-01T00:00:00Z: nor an earlier one.
const EARLIEST_MICROS: i64 = -62_167_219_200_000_000;

/// Shows an instant as `2024-05-01T12:00:00.000000Z`, always 27 bytes. Instants before year 0 or
/// after year 9999 show as the nearest the format can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rfc3339(pub(crate) Timestamp);

impl Rfc3339 {
    /// Year, month and day of a day counted from 1970-01-01.
    /// Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is small")]
    const fn civil(days: i64) -> (u32, u32, u32) {
        // From 400 years earlier on, and up to the year 9999, all of it is small and has no sign.
        let z = (days + 719_468 + 146_097) as u32;
        let (era, day_of_era) = (z / 146_097, z % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = year_of_era + era * 400 + (month <= 2) as u32 - 400;
        (year, month, day)
    }

    /// As text, in ASCII.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "parts of a day")]
    pub(crate) fn bytes(self) -> [u8; 27] {
        let micros = self.0.as_micros().clamp(EARLIEST_MICROS, LATEST_MICROS);
        let (secs, micros) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
        let (days, secs) = (secs.div_euclid(86_400), secs.rem_euclid(86_400));
        let (year, month, day) = Self::civil(days);
        let (secs, micros) = (secs as u32, micros as u32);
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        put(&mut text, 0, year / 100);
        put(&mut text, 2, year % 100);
        put(&mut text, 5, month);
        put(&mut text, 8, day);
        put(&mut text, 11, secs / 3600);
        put(&mut text, 14, secs / 60 % 60);
        put(&mut text, 17, secs % 60);
        put(&mut text, 20, micros / 10_000);
        put(&mut text, 22, micros / 100 % 100);
        put(&mut text, 24, micros % 100);
        text
    }
}

/// Writes `number`, which is below 100, as two digits.
#[expect(clippy::cast_possible_truncation, reason = "a digit")]
const fn put(text: &mut [u8; 27], at: usize, number: u32) {
    text[at] = b'0' + (number / 10) as u8;
    text[at + 1] = b'0' + (number % 10) as u8;
}

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.bytes();
        f.write_str(std::str::from_utf8(&bytes).expect("only ASCII was written"))
    }
}

impl Serialize for Rfc3339 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes = self.bytes();
        serializer.serialize_str(std::str::from_utf8(&bytes).expect("only ASCII was written"))
    }
}

/// Reads an RFC 3339 time, any offset; `None` if it is none. What is finer than a microsecond is
/// cut off. A space where the offset's `+` belongs is taken for one: that is what an unescaped
/// `+` becomes in a query.
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    let read = |text: &str| DateTime::parse_from_rfc3339(text).ok();
    let at = read(text).or_else(|| {
        let (time, offset) = text.rsplit_once(' ')?;
        read(&format!("{time}+{offset}"))
    })?;
    Some(Timestamp::from_micros(at.timestamp_micros()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(micros: i64, expected: &str) {
        let at = Timestamp::from_micros(micros);
        assert_eq!(Rfc3339(at).to_string(), expected);
        assert_eq!(parse(expected), Some(at));
    }

    #[test]
    fn times_read_back_as_they_were_written() {
        check(0, "1970-01-01T00:00:00.000000Z");
        check(951_782_399_000_001, "2000-02-28T23:59:59.000001Z");
        check(951_782_400_000_000, "2000-02-29T00:00:00.000000Z");
        check(1_709_251_199_999_999, "2024-02-29T23:59:59.999999Z");
        check(-1, "1969-12-31T23:59:59.999999Z");
        check(LATEST_MICROS, "9999-12-31T23:59:59.999999Z");
        check(EARLIEST_MICROS, "0000-01-01T00:00:00.000000Z");
    }

    #[test]
    fn every_day_of_four_centuries_agrees_with_chrono() {
        for day in -1_000..146_097 {
            let at = Timestamp::from_secs(day * 86_400);
            let chrono = DateTime::from_timestamp_micros(at.as_micros()).expect("in range");
            assert_eq!(Rfc3339(at).to_string(), chrono.format("%FT%T%.6fZ").to_string());
        }
    }

    #[test]
    fn never_shows_as_the_last_instant_the_format_has() {
        assert_eq!(Rfc3339(Timestamp::MAX).to_string(), "9999-12-31T23:59:59.999999Z");
        let least = Timestamp::from_micros(i64::MIN);
        assert_eq!(Rfc3339(least).to_string(), "0000-01-01T00:00:00.000000Z");
    }

    #[test]
    fn an_unescaped_plus_is_forgiven() {
        let noon = parse("2024-05-01T12:00:00Z");
        assert!(noon.is_some());
        assert_eq!(parse("2024-05-01T14:00:00+02:00"), noon);
        assert_eq!(parse("2024-05-01T14:00:00 02:00"), noon);
        for wrong in ["", "now", "2024-05-01", "2024-13-01T00:00:00Z", "17", " "] {
            assert_eq!(parse(wrong), None, "{wrong:?}");
        }
    }
}
