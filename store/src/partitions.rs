//! Which table each day's readings go to on plain PostgreSQL: one partition per UTC day, and one
//! for everything before the border that the schema was made with.
//!
//! A day's partition is made when its first reading comes. A batch that lies in one partition is
//! copied straight into it; routing through the parent would cost the server a search per row.

use bellwire_model::{Reading, Timestamp};
use hashbrown::HashMap;
use tokio_postgres::Client;

use crate::Error;
use crate::connect::failed;
use crate::types::At;

const DAY_MICROS: i64 = 86_400_000_000;

/// The parent table: PostgreSQL routes each row.
pub(crate) const PARENT: &str = "reading";

/// A day's number since 1970-01-01, UTC.
fn day_of(at: Timestamp) -> i64 {
    at.as_micros().div_euclid(DAY_MICROS)
}

/// The partitions this process knows to exist, by day.
#[derive(Debug, Default)]
pub(crate) struct Partitions {
    by_day: HashMap<i64, Box<str>>,
    /// Whether the last batch found a day known, which may have gone since.
    from_memory: bool,
}

impl Partitions {
    /// Makes sure that all of `readings` have a partition; gives the table to copy them into and
    /// how many days were new to us.
    pub(crate) async fn ensure(
        &mut self,
        client: &Client,
        readings: &[Reading],
    ) -> Result<(&str, usize), Error> {
        let days = days_of(readings);
        let missing: Vec<At> = days
            .iter()
            .filter(|day| !self.by_day.contains_key(*day))
            .map(|day| At(Timestamp::from_micros(day.saturating_mul(DAY_MICROS))))
            .collect();
        self.from_memory = missing.len() < days.len();
        if !missing.is_empty() {
            let rows = client
                .query("SELECT day, partition FROM bellwire.ensure_reading_days($1)", &[&missing])
                .await
                .map_err(failed("making the readings' partitions"))?;
            for row in rows {
                let At(day) = row.get(0);
                self.by_day.insert(day_of(day), row.get::<_, String>(1).into());
            }
        }
        let mut tables = days.iter().filter_map(|day| self.by_day.get(day));
        let table = match tables.next() {
            Some(first) if tables.all(|other| other == first) => first,
            _ => PARENT,
        };
        Ok((table, missing.len()))
    }

    /// Forgets them: one has gone (retention, a restored backup). False if the database was asked
    /// for all of the last batch's just now: then they are there, and asking again helps nothing.
    pub(crate) fn forget(&mut self) -> bool {
        self.by_day.clear();
        std::mem::replace(&mut self.from_memory, false)
    }
}

/// The days that `readings` lie in, each once, ascending.
fn days_of(readings: &[Reading]) -> Vec<i64> {
    let (mut first, mut last) = (i64::MAX, i64::MIN);
    for reading in readings {
        let micros = reading.at.as_micros();
        first = first.min(micros);
        last = last.max(micros);
    }
    if readings.is_empty() {
        return Vec::new();
    }
    let (first, last) = (first.div_euclid(DAY_MICROS), last.div_euclid(DAY_MICROS));
    if last - first <= 1 {
        // Nearly always: a batch of now.
        return if first == last { vec![first] } else { vec![first, last] };
    }
    let mut days: Vec<i64> = readings.iter().map(|reading| day_of(reading.at)).collect();
    days.sort_unstable();
    days.dedup();
    days
}

#[cfg(test)]
mod tests {
    use bellwire_model::{DeviceKey, MetricKey, Value};

    use super::*;

    fn days(secs: &[i64]) -> Vec<i64> {
        let readings: Vec<Reading> = secs
            .iter()
            .map(|&secs| Reading {
                device: DeviceKey(0),
                metric: MetricKey(0),
                at: Timestamp::from_secs(secs),
                value: Value::Number(0.0),
            })
            .collect();
        days_of(&readings)
    }

    #[test]
    fn a_day_ends_at_midnight_utc() {
        assert_eq!(days(&[]), [0; 0]);
        assert_eq!(days(&[0, 86_399]), [0]);
        assert_eq!(days(&[86_400, 86_399]), [0, 1]);
        assert_eq!(days(&[5 * 86_400, 0, 1, 5 * 86_400 + 1]), [0, 5]);
    }
}
