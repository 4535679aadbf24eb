//! Times as recordings write them.

use bellwire_model::Timestamp;

/// `YYYY-MM-DD HH:MM:SS`, taken as UTC; `None` if it is anything else or no such day exists.
pub(crate) fn parse_utc(text: &str) -> Option<Timestamp> {
    let bytes: &[u8; 19] = text.as_bytes().try_into().ok()?;
    let marks = [(4, b'-'), (7, b'-'), (10, b' '), (13, b':'), (16, b':')];
    if marks.into_iter().any(|(at, mark)| bytes[at] != mark) {
        return None;
    }
    let number = |from: usize, to: usize| {
        bytes[from..to].iter().try_fold(0_i64, |sum, byte| {
            byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0'))
        })
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let exists = (1..=12).contains(&month)
        && (1..=days_in(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    let seconds = days_since_epoch(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    exists.then(|| Timestamp::from_secs(seconds))
}

const fn days_in(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days from 1970-01-01 in the Gregorian calendar: Howard Hinnant's `days_from_civil`.
const fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March, so that the leap day is the last.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_follow_one_another() {
        let mut expected = 0;
        for year in 1970..=2100 {
            for month in 1..=12 {
                for day in 1..=days_in(year, month) {
                    let text = format!("{year:04}-{month:02}-{day:02} 00:00:00");
                    assert_eq!(parse_utc(&text), Some(Timestamp::from_secs(expected)), "{text}");
                    expected += 86_400;
                }
            }
        }
        // `date -u -d 2013-12-02T21:15:00 +%s`
        assert_eq!(parse_utc("2013-12-02 21:15:00"), Some(Timestamp::from_secs(1_386_018_900)));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in ["2013-02-29 00:00:00", "2013-13-01 00:00:00", "2013-12-02 24:00:00", "", "x"] {
            assert_eq!(parse_utc(text), None, "{text:?}");
        }
    }
}
