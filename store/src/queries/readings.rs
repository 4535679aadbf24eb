//! Readings of one device: as they are, or gathered into buckets of time.

use std::time::Duration;

use bellwire_model::{DeviceId, MetricName, Timestamp, Value};

use super::{Queries, row_limit, word};
use crate::Error;
use crate::metrics::QueryKind;
use crate::types::{At, unsigned};

/// From an instant on, up to and without another; event time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeRange {
    /// The first instant.
    pub from: Timestamp,
    /// The first instant after it.
    pub to: Timestamp,
}

/// One reading.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadingRow {
    /// Event time.
    pub at: Timestamp,
    /// Of what.
    pub metric: MetricName,
    /// What was read.
    pub value: Value,
}

/// Where a page of readings ended. Readings of one instant have no identity of their own (two of
/// them may be equal), so the place is the instant and how many of it have been given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadingPlace {
    /// The instant of the last reading given.
    pub at: Timestamp,
    /// How many readings of that instant have been given, over all pages.
    pub n_given: u32,
}

impl ReadingPlace {
    /// The place after `page`, which came after `before`; `None` if the page is empty.
    #[must_use]
    pub fn after(page: &[ReadingRow], before: Option<Self>) -> Option<Self> {
        let at = page.last()?.at;
        let n_here = page.iter().rev().take_while(|row| row.at == at).count();
        let n_here = u32::try_from(n_here).unwrap_or(u32::MAX);
        let n_before = before.filter(|place| place.at == at).map_or(0, |place| place.n_given);
        Some(Self { at, n_given: n_here.saturating_add(n_before) })
    }
}

/// The numbers of one metric in one bucket of time.
#[derive(Clone, Debug, PartialEq)]
pub struct Bucket {
    /// The bucket's first instant.
    pub at: Timestamp,
    /// Of what.
    pub metric: MetricName,
    /// The mean.
    pub avg: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
    /// How many.
    pub count: u64,
}

impl Queries {
    /// Readings of `device`, of `metric` or of all, in `range`, in order of time; after `after` at
    /// most `limit`. Nothing for a device that is not known.
    ///
    /// # Errors
    /// [`Error`]; transient ones while the database is away.
    pub async fn readings(
        &self,
        device: &DeviceId,
        metric: Option<&MetricName>,
        range: TimeRange,
        after: Option<ReadingPlace>,
        limit: usize,
    ) -> Result<Vec<ReadingRow>, Error> {
        let from = after.map_or(range.from, |place| place.at.max(range.from));
        let skip = after.filter(|place| place.at == from).map_or(0, |place| place.n_given);
        let rows = self
            .run(
                QueryKind::Readings,
                "reading readings",
                "SELECT r.at, m.name, r.value, r.text \
                 FROM bellwire.reading r JOIN bellwire.metric m ON m.id = r.metric_id \
                 WHERE r.device_id = (SELECT id FROM bellwire.device WHERE name = $1) \
                   AND ($2::text IS NULL \
                        OR r.metric_id = (SELECT id FROM bellwire.metric WHERE name = $2)) \
                   AND r.at >= $3 AND r.at < $4 \
                 ORDER BY r.at, r.metric_id, r.value, r.text \
                 OFFSET $5 LIMIT $6",
                &[
                    &device.as_str(),
                    &metric.map(MetricName::as_str),
                    &At(from),
                    &At(range.to),
                    &i64::from(skip),
                    &row_limit(limit),
                ],
            )
            .await?;
        rows.iter()
            .map(|row| {
                let At(at) = row.get(0);
                let value = match (row.get::<_, Option<f64>>(2), row.get::<_, Option<&str>>(3)) {
                    (_, Some(text)) => Value::Text(text.into()),
                    (number, None) => Value::Number(number.unwrap_or(f64::NAN)),
                };
                Ok(ReadingRow { at, metric: metric_name(row.get(1))?, value })
            })
            .collect()
    }

    /// The numbers of `device`, of `metric` or of all, in `range`, gathered into buckets as wide
    /// as `width` and aligned to 1970-01-01, in order of time; at most `limit`. Texts and empty
    /// buckets are left out.
    ///
    /// # Errors
    /// [`Error`]; transient ones while the database is away.
    pub async fn buckets(
        &self,
        device: &DeviceId,
        metric: Option<&MetricName>,
        range: TimeRange,
        width: Duration,
        limit: usize,
    ) -> Result<Vec<Bucket>, Error> {
        let width_micros = i64::try_from(width.as_micros()).unwrap_or(i64::MAX).max(1);
        let rows = self
            .run(
                QueryKind::Buckets,
                "gathering readings",
                "SELECT date_bin($5::int8 * interval '1 microsecond', r.at, \
                                 timestamptz '1970-01-01 00:00:00+00') AS bucket, \
                        m.name, avg(r.value), min(r.value), max(r.value), count(*) \
                 FROM bellwire.reading r JOIN bellwire.metric m ON m.id = r.metric_id \
                 WHERE r.device_id = (SELECT id FROM bellwire.device WHERE name = $1) \
                   AND ($2::text IS NULL \
                        OR r.metric_id = (SELECT id FROM bellwire.metric WHERE name = $2)) \
                   AND r.at >= $3 AND r.at < $4 AND r.value IS NOT NULL \
                 GROUP BY bucket, m.name ORDER BY bucket, m.name LIMIT $6",
                &[
                    &device.as_str(),
                    &metric.map(MetricName::as_str),
                    &At(range.from),
                    &At(range.to),
                    &width_micros,
                    &row_limit(limit),
                ],
            )
            .await?;
        rows.iter()
            .map(|row| {
                let At(at) = row.get(0);
                Ok(Bucket {
                    at,
                    metric: metric_name(row.get(1))?,
                    avg: row.get(2),
                    min: row.get(3),
                    max: row.get(4),
                    count: unsigned(row.get(5)),
                })
            })
            .collect()
    }
}

fn metric_name(text: &str) -> Result<MetricName, Error> {
    word("a metric's name", text, |text| MetricName::new(text).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_counts_the_readings_of_its_instant_over_pages() {
        let row = |secs| ReadingRow {
            at: Timestamp::from_secs(secs),
            metric: MetricName::new("t").expect("valid"),
            value: Value::Number(0.0),
        };
        let first = ReadingPlace::after(&[row(1), row(2), row(2)], None).expect("not empty");
        assert_eq!(first, ReadingPlace { at: Timestamp::from_secs(2), n_given: 2 });
        let second = ReadingPlace::after(&[row(2)], Some(first)).expect("not empty");
        assert_eq!(second.n_given, 3);
        assert_eq!(ReadingPlace::after(&[], Some(second)), None);
    }
}
