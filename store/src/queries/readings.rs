//! Readings of one device as they are.

use std::cmp::Ordering;

use bellwire_model::{DeviceId, MetricName, Timestamp, Value};

use tokio_postgres::Row;

use super::Queries;
use super::snapshot::Snapshot;
use crate::Error;
use crate::metrics::QueryKind;
use crate::recent::{Fresh, Wanted};
use crate::types::At;

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
        let n_skipped = after.filter(|place| place.at == from).map_or(0, |place| place.n_given);
        let n_skipped = usize::try_from(n_skipped).unwrap_or(usize::MAX);
        let limit = limit.min(super::ROWS_MAX);
        let doing = "reading readings";
        self.bounded(QueryKind::Readings, doing, async {
            let snapshot = Snapshot::begin(self, doing, Some(device), metric).await?;
            let found = if snapshot.is_void() {
                Vec::new()
            } else {
                let range = TimeRange { from, to: range.to };
                self.found(&snapshot, range, n_skipped.saturating_add(limit)).await?
            };
            snapshot.end().await?;
            let names = self.metric_names(found.iter().map(|fresh| fresh.metric_id)).await?;
            let mut rows: Vec<ReadingRow> = found
                .into_iter()
                .filter_map(|fresh| {
                    let metric = names.get(&fresh.metric_id)?.clone();
                    Some(ReadingRow { at: fresh.at, metric, value: fresh.value })
                })
                .collect();
            rows.sort_by(in_order);
            rows.truncate(n_skipped.saturating_add(limit));
            rows.drain(..n_skipped.min(rows.len()));
            Ok(rows)
        })
        .await
    }

    /// At least the first `n_wanted` readings of the range, wherever they lie, in no order.
    async fn found(
        &self,
        snapshot: &Snapshot,
        range: TimeRange,
        n_wanted: usize,
    ) -> Result<Vec<Fresh>, Error> {
        let device_id = snapshot.device.id();
        let metric_id = snapshot.metric.id();
        let wanted = Wanted { device_id, metric_id, from: range.from, to: range.to };
        let mut found = Vec::new();
        let tables = snapshot.fresh(&self.recent, &wanted, |fresh| found.push(fresh));
        let limit = i64::try_from(n_wanted).unwrap_or(i64::MAX);
        for table in std::iter::once("reading").chain(tables) {
            let sql = format!(
                "SELECT r.at, r.metric_id, r.value, r.text \
                 FROM bellwire.{table} r JOIN bellwire.metric m ON m.id = r.metric_id \
                 WHERE r.device_id = $1 AND ($2::int4 IS NULL OR r.metric_id = $2) \
                   AND r.at >= $3 AND r.at < $4 \
                 ORDER BY r.at, m.name, r.value, r.text COLLATE \"C\" LIMIT $5"
            );
            let (from, to) = (At(range.from), At(range.to));
            let rows = snapshot.query(&sql, &[&device_id, &metric_id, &from, &to, &limit]).await?;
            found.extend(rows.iter().map(|row| read(row, device_id.unwrap_or_default())));
        }
        Ok(found)
    }
}

fn read(row: &Row, device_id: i32) -> Fresh {
    let At(at) = row.get(0);
    let value = match (row.get::<_, Option<f64>>(2), row.get::<_, Option<&str>>(3)) {
        (_, Some(text)) => Value::Text(text.into()),
        (number, None) => Value::Number(number.unwrap_or(f64::NAN)),
    };
    Fresh { device_id, metric_id: row.get(1), at, value }
}

/// By time, metric, numbers before texts: as the database orders them.
fn in_order(a: &ReadingRow, b: &ReadingRow) -> Ordering {
    (a.at, a.metric.as_str()).cmp(&(b.at, b.metric.as_str())).then_with(|| {
        match (&a.value, &b.value) {
            (Value::Number(a), Value::Number(b)) => a.total_cmp(b),
            (Value::Number(_), Value::Text(_)) => Ordering::Less,
            (Value::Text(_), Value::Number(_)) => Ordering::Greater,
            (Value::Text(a), Value::Text(b)) => a.cmp(b),
        }
    })
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
