//! What runs of sorted readings come to, by minute, hour and day; pure.

use bytes::{BufMut, BytesMut};
use hashbrown::HashMap;

use super::read::Row;
use crate::summary::Summary;
use crate::types::{from_pg_micros, int8, pg_micros};

/// The device's id of all devices together.
pub(crate) const ALL_DEVICES: i32 = 0;

/// How wide the buckets are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Minute,
    Hour,
    Day,
}

impl Level {
    pub(crate) const ALL: [Self; 3] = [Self::Minute, Self::Hour, Self::Day];

    /// Its table in the schema `bellwire`.
    pub(crate) const fn table(self) -> &'static str {
        match self {
            Self::Minute => "reading_1m",
            Self::Hour => "reading_1h",
            Self::Day => "reading_1d",
        }
    }

    /// Its width in microseconds.
    pub(crate) const fn micros(self) -> i64 {
        match self {
            Self::Minute => 60_000_000,
            Self::Hour => 3_600_000_000,
            Self::Day => 86_400_000_000,
        }
    }

    /// The first instant of the bucket with `at`: PostgreSQL's epoch is a midnight.
    const fn bucket(self, at: i64) -> i64 {
        at.saturating_sub(at.rem_euclid(self.micros()))
    }
}

/// What the numbers of a bucket come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rollup {
    /// Its first instant, in microseconds from PostgreSQL's epoch.
    pub(super) bucket: i64,
    pub(super) device_id: i32,
    pub(super) metric_id: i32,
    pub(super) numbers: Summary,
}

impl Rollup {
    const fn of(row: &Row, value: f64) -> Self {
        let numbers = Summary::of(from_pg_micros(row.at), value);
        Self { bucket: row.at, device_id: row.device_id, metric_id: row.metric_id, numbers }
    }

    /// Writes it as a row of binary COPY, in the order of the table's columns.
    pub(super) fn encode(&self, out: &mut BytesMut) {
        out.put_i16(11);
        put_i64(out, self.bucket);
        put_i32(out, self.device_id);
        put_i32(out, self.metric_id);
        let Summary { count, sum, min, max, first, last } = self.numbers;
        put_i64(out, int8(count));
        for number in [sum, min, max] {
            put_f64(out, number);
        }
        for (at, value) in [first, last] {
            put_i64(out, pg_micros(at));
            put_f64(out, value);
        }
    }
}

fn put_i64(out: &mut BytesMut, number: i64) {
    out.put_i32(8);
    out.put_i64(number);
}

fn put_i32(out: &mut BytesMut, number: i32) {
    out.put_i32(4);
    out.put_i32(number);
}

fn put_f64(out: &mut BytesMut, number: f64) {
    out.put_i32(8);
    out.put_f64(number);
}

/// What `rows` come to at each of [`Level::ALL`], device by device and all devices together, each
/// in the order of the tables' key. `rows` are sorted by device, metric and time; texts do not
/// count.
pub(super) fn rollups(rows: &[Row]) -> [Vec<Rollup>; 3] {
    let numbers = rows.iter().filter_map(|row| row.value.map(|value| Rollup::of(row, value)));
    let minutes = gathered(Level::Minute, numbers);
    let hours = gathered(Level::Hour, minutes.iter().copied());
    let days = gathered(Level::Day, hours.iter().copied());
    [minutes, hours, days].map(|of_devices| {
        let mut all = of_all_devices(&of_devices);
        all.extend(of_devices);
        all
    })
}

/// Merges neighbours of one bucket.
fn gathered(level: Level, parts: impl Iterator<Item = Rollup>) -> Vec<Rollup> {
    let mut gathered: Vec<Rollup> = Vec::new();
    for part in parts {
        let part = Rollup { bucket: level.bucket(part.bucket), ..part };
        match gathered.last_mut() {
            Some(last) if key(last) == key(&part) => last.numbers.merge(&part.numbers),
            _ => gathered.push(part),
        }
    }
    gathered
}

fn of_all_devices(of_devices: &[Rollup]) -> Vec<Rollup> {
    let mut by_bucket: HashMap<(i32, i64), Rollup> = HashMap::new();
    for part in of_devices {
        let part = Rollup { device_id: ALL_DEVICES, ..*part };
        by_bucket
            .entry((part.metric_id, part.bucket))
            .and_modify(|rollup| rollup.numbers.merge(&part.numbers))
            .or_insert(part);
    }
    let mut all: Vec<Rollup> = by_bucket.into_values().collect();
    all.sort_unstable_by_key(key);
    all
}

const fn key(rollup: &Rollup) -> (i32, i32, i64) {
    (rollup.device_id, rollup.metric_id, rollup.bucket)
}

#[cfg(test)]
mod tests {
    use bellwire_model::Timestamp;

    use super::*;

    fn row(device_id: i32, secs: i64, value: f64) -> Row {
        Row { device_id, metric_id: 1, at: secs * 1_000_000, value: Some(value), text: None }
    }

    #[test]
    fn numbers_are_gathered_at_each_level() {
        let text = Row { value: None, text: Some("x".into()), ..row(1, 30, 0.0) };
        let rows = [row(1, 0, 4.0), text, row(1, 59, 2.0), row(1, 60, 1.0), row(1, 3_600, 8.0)];
        let [minutes, hours, days] = rollups(&rows);
        let sums = |level: &[Rollup]| {
            level
                .iter()
                .filter(|r| r.device_id == 1)
                .map(|r| (r.numbers.count, r.numbers.sum))
                .collect::<Vec<_>>()
        };
        assert_eq!(sums(&minutes), [(2, 6.0), (1, 1.0), (1, 8.0)]);
        assert_eq!(sums(&hours), [(3, 7.0), (1, 8.0)]);
        assert_eq!(sums(&days), [(4, 15.0)]);
        assert_eq!((days[1].numbers.min, days[1].numbers.max), (1.0, 8.0));
        let at = |secs: i64| Timestamp::from_secs(946_684_800 + secs);
        let (first, last) = (days[1].numbers.first, days[1].numbers.last);
        assert_eq!((first, last), ((at(0), 4.0), (at(3_600), 8.0)));
    }

    #[test]
    fn all_devices_come_first_and_together() {
        let [minutes, _, days] = rollups(&[row(1, 5, 4.0), row(1, 65, 1.0), row(2, 5, 3.0)]);
        let all: Vec<_> = minutes.iter().filter(|r| r.device_id == ALL_DEVICES).collect();
        assert_eq!((all[0].numbers.count, all[0].numbers.min, all[1].numbers.count), (2, 3.0, 1));
        assert_eq!(days[0].numbers.count, 3);
        assert!(minutes.is_sorted_by_key(key));
    }

    #[test]
    fn of_one_instant_the_least_is_first_and_the_greatest_last() {
        let [_, _, days] = rollups(&[row(1, 5, 1.0), row(1, 5, 4.0), row(2, 5, 0.5)]);
        assert_eq!((days[0].numbers.first.1, days[0].numbers.last.1), (0.5, 4.0));
        assert_eq!((days[1].numbers.first.1, days[1].numbers.last.1), (1.0, 4.0));
    }

    #[test]
    fn times_before_the_epoch_round_down() {
        let [minutes, hours, days] = rollups(&[row(1, -1, 1.0)]);
        let starts = [&minutes, &hours, &days].map(|level| level[0].bucket / 1_000_000);
        assert_eq!(starts, [-60, -3_600, -86_400]);
    }
}
