//! When a rule is in force: `mon-fri 06:00-22:00, sat 08:00-12:00`, in a time zone.

use bellwire_model::Timestamp;
use chrono::{
    DateTime, Datelike as _, Days, NaiveTime, TimeDelta, TimeZone as _, Timelike as _, Utc,
};
use chrono_tz::Tz;

use crate::lang::{Problem, Span};
use crate::suggest;

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const DAY_MINUTES: u32 = 24 * 60;
const HELP: &str = "write `mon-fri 06:00-22:00`, several of them with commas between";

/// Some hours of some days of each week, by the wall clock of a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Schedule {
    hours: Vec<Hours>,
    zone: Tz,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hours {
    /// Monday is the lowest bit.
    days: u8,
    /// Minutes of the day; an end that is not after the start is on the next day.
    start: u32,
    end: u32,
}

/// Whether the rule is in force, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) is_active: bool,
    pub(crate) until: Timestamp,
}

impl Schedule {
    /// The zone with an IANA name.
    ///
    /// # Errors
    /// What may have been meant.
    pub(crate) fn zone(name: &str) -> Result<Tz, String> {
        name.parse().map_err(|_| {
            let known = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name());
            match suggest::nearest(name, known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "zones have names like `Europe/Berlin`".to_owned(),
            }
        })
    }

    /// Reads the hours.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub(crate) fn parse(text: &str, zone: Tz) -> Result<Self, Problem> {
        let mut hours = Vec::new();
        let mut at = 0;
        for part in text.split(',') {
            let start = at + (part.len() - part.trim_start().len());
            let span = Span::new(start, start + part.trim().len());
            hours.push(
                read_hours(part.trim())
                    .map_err(|message| Problem::new(span, message).help(HELP))?,
            );
            at += part.len() + 1;
        }
        Ok(Self { hours, zone })
    }

    fn is_active(&self, at: DateTime<Tz>) -> bool {
        let minute = at.hour() * 60 + at.minute();
        let today = at.weekday().num_days_from_monday();
        self.hours.iter().any(|hours| hours.contains(today, minute))
    }

    /// Whether the rule is in force at `at`, and until when that stays so.
    pub(crate) fn stretch(&self, at: Timestamp) -> Stretch {
        let Some(now) = DateTime::<Utc>::from_timestamp_micros(at.as_micros()) else {
            return Stretch { is_active: false, until: Timestamp::MAX };
        };
        let now = now.with_timezone(&self.zone);
        let is_active = self.is_active(now);
        let mut edges: Vec<DateTime<Tz>> = Vec::new();
        for ahead in 0..9 {
            let Some(day) = now.date_naive().checked_add_days(Days::new(ahead)) else { break };
            for minute in self.hours.iter().flat_map(|hours| [hours.start, hours.end]) {
                let time = day.and_time(NaiveTime::MIN) + TimeDelta::minutes(i64::from(minute));
                // A time that the clocks skip is taken an hour later.
                let found = self.zone.from_local_datetime(&time).earliest().or_else(|| {
                    self.zone.from_local_datetime(&(time + TimeDelta::hours(1))).earliest()
                });
                edges.extend(found.filter(|edge| *edge > now));
            }
        }
        edges.sort_unstable();
        let next = edges.into_iter().find(|edge| self.is_active(*edge) != is_active);
        let until = next.map_or(Timestamp::MAX, |it| Timestamp::from_micros(it.timestamp_micros()));
        Stretch { is_active, until }
    }
}

impl Hours {
    /// Whether it is in force on a day, counted from Monday, at a minute.
    fn contains(self, day: u32, minute: u32) -> bool {
        let is_of = |day: u32| self.days >> day & 1 == 1;
        let yesterday = (day + 6) % 7;
        if self.start < self.end {
            return is_of(day) && (self.start..self.end).contains(&minute);
        }
        (is_of(day) && minute >= self.start) || (is_of(yesterday) && minute < self.end)
    }
}

fn read_hours(text: &str) -> Result<Hours, String> {
    let mut words = text.split_whitespace();
    let (days, hours) = match (words.next(), words.next(), words.next()) {
        (Some(days), Some(hours), None) => (read_days(days)?, hours),
        (Some(hours), None, None) if hours.starts_with(|c: char| c.is_ascii_digit()) => {
            (0x7F, hours)
        }
        (Some(days), None, None) => {
            return Ok(Hours { days: read_days(days)?, start: 0, end: DAY_MINUTES });
        }
        _ => return Err(format!("`{text}` is no days and hours")),
    };
    let (start, end) = hours.split_once('-').ok_or_else(|| format!("`{hours}` has no end"))?;
    let (start, end) = (read_minute(start)?, read_minute(end)?);
    if start == end {
        return Err(format!("`{hours}` begins when it ends"));
    }
    Ok(Hours { days, start: start % DAY_MINUTES, end })
}

fn read_days(text: &str) -> Result<u8, String> {
    let day = |text: &str| {
        let lower = text.to_lowercase();
        let found = DAYS.iter().position(|day| lower.get(..3) == Some(day));
        found.ok_or_else(|| match suggest::nearest(&lower, DAYS) {
            Some(near) => format!("unknown day `{text}`; did you mean `{near}`?"),
            None => format!("unknown day `{text}`"),
        })
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (day(first)?, day(last)?);
    let n = (last + 7 - first) % 7 + 1;
    Ok((0..n).fold(0, |days, ahead| days | 1 << ((first + ahead) % 7)))
}

fn read_minute(text: &str) -> Result<u32, String> {
    let wrong = || format!("`{text}` is no time of day");
    let (hour, minute) = text.split_once(':').ok_or_else(wrong)?;
    let (hour, minute): (u32, u32) =
        (hour.parse().map_err(|_| wrong())?, minute.parse().map_err(|_| wrong())?);
    let all = hour * 60 + minute;
    if hour > 24 || minute > 59 || all > DAY_MINUTES {
        return Err(wrong());
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        let time = DateTime::parse_from_rfc3339(text).expect("a time");
        Timestamp::from_micros(time.timestamp_micros())
    }

    #[derive(Clone, Copy, PartialEq)]
    enum Then {
        On,
        Off,
    }

    #[track_caller]
    fn check(schedule: &str, zone: &str, now: &str, then: Then, until: &str) {
        let zone = Schedule::zone(zone).expect("a zone");
        let schedule = Schedule::parse(schedule, zone).expect("a schedule");
        let expected = Stretch { is_active: then == Then::On, until: at(until) };
        assert_eq!(schedule.stretch(at(now)), expected);
    }

    #[test]
    fn hours_are_those_of_the_place() {
        let shifts = "mon-fri 06:00-22:00, sat 08:00-12:00";
        let berlin = "Europe/Berlin";
        // 2026-11-27 is a Friday.
        check(shifts, berlin, "2026-11-27T04:59:59Z", Then::Off, "2026-11-27T05:00:00Z");
        check(shifts, berlin, "2026-11-27T05:00:00Z", Then::On, "2026-11-27T21:00:00Z");
        check(shifts, berlin, "2026-11-27T21:00:00Z", Then::Off, "2026-11-28T07:00:00Z");
        check(shifts, berlin, "2026-11-28T11:00:00Z", Then::Off, "2026-11-30T05:00:00Z");
        check("22:00-06:00", "UTC", "2026-11-27T23:00:00Z", Then::On, "2026-11-28T06:00:00Z");
        check("fri 22:00-06:00", "UTC", "2026-11-28T05:00:00Z", Then::On, "2026-11-28T06:00:00Z");
        check("sat-mon", "UTC", "2026-11-27T12:00:00Z", Then::Off, "2026-11-28T00:00:00Z");
        check("sat-mon", "UTC", "2026-11-29T12:00:00Z", Then::On, "2026-12-01T00:00:00Z");
    }

    #[test]
    fn hours_follow_the_clocks_when_they_change() {
        // In Berlin, on 2026-03-29 two o'clock becomes three, on 2026-10-25 three becomes two.
        check(
            "06:00-22:00",
            "Europe/Berlin",
            "2026-03-28T22:00:00Z",
            Then::Off,
            "2026-03-29T04:00:00Z",
        );
        check(
            "06:00-22:00",
            "Europe/Berlin",
            "2026-10-24T21:00:00Z",
            Then::Off,
            "2026-10-25T05:00:00Z",
        );
        check(
            "02:30-05:00",
            "Europe/Berlin",
            "2026-03-29T00:00:00Z",
            Then::Off,
            "2026-03-29T01:30:00Z",
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        let problem = |text: &str| {
            let problem = Schedule::parse(text, Tz::UTC).expect_err(text);
            (problem.span.start, problem.message)
        };
        assert_eq!(
            problem("mon 06:00-07:00, mox 08:00-09:00"),
            (17, "unknown day `mox`; did you mean `mon`?".to_owned())
        );
        assert_eq!(problem("06:00"), (0, "`06:00` has no end".to_owned()));
        assert_eq!(problem("06:00-25:00"), (0, "`25:00` is no time of day".to_owned()));
        assert_eq!(problem("06:00-06:00"), (0, "`06:00-06:00` begins when it ends".to_owned()));
        let zone = Schedule::zone("Europe/Berlinn").expect_err("no zone");
        assert_eq!(zone, "did you mean `Europe/Berlin`?");
    }
}
