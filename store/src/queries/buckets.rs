//! Numbers of one device or of all, gathered into buckets of time.
//!
//! A range is cut into pieces, each answered from the coarsest rollup that divides the bucket's
//! width and is whole within it; the edges come from finer ones, the last bit from the readings
//! themselves, and what is fresh from memory. So a month by days costs thirty rows, not a month's.

use std::collections::BTreeMap;
use std::time::Duration;

use bellwire_model::{DeviceId, MetricName, Timestamp};
use futures_util::future::try_join_all;
use tokio_postgres::Row;

use super::snapshot::{Asked, Snapshot};
use super::{Queries, TimeRange, row_limit};
use crate::Error;
use crate::compact::{ALL_DEVICES, Level};
use crate::metrics::QueryKind;
use crate::recent::Wanted;
use crate::summary::Summary;
use crate::types::{At, unsigned};

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
    /// The earliest; of several at one instant the least.
    pub first: f64,
    /// The latest; of several at one instant the greatest.
    pub last: f64,
}

/// A part of a range, and where it is answered from: `None` is the readings themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    level: Option<Level>,
    from: i64,
    to: i64,
}

/// Cuts a range for buckets of `width`; all in microseconds from 1970, a midnight.
fn plan(from: i64, to: i64, width: i64) -> Vec<Piece> {
    let levels: Vec<Level> =
        Level::ALL.into_iter().rev().filter(|level| width % level.micros() == 0).collect();
    let mut pieces = Vec::new();
    cover(from, to, &levels, &mut pieces);
    pieces
}

/// The coarsest of `levels` in the middle, the others around it.
fn cover(from: i64, to: i64, levels: &[Level], pieces: &mut Vec<Piece>) {
    if from >= to {
        return;
    }
    let Some((&level, finer)) = levels.split_first() else {
        pieces.push(Piece { level: None, from, to });
        return;
    };
    let micros = level.micros();
    let first = from.saturating_add((-from.rem_euclid(micros)).rem_euclid(micros));
    let end = to.saturating_sub(to.rem_euclid(micros));
    if first >= end {
        cover(from, to, finer, pieces);
        return;
    }
    cover(from, first, finer, pieces);
    pieces.push(Piece { level: Some(level), from: first, to: end });
    cover(end, to, finer, pieces);
}

/// Buckets by time and metric.
#[derive(Debug, Default)]
struct Sums(BTreeMap<(Timestamp, i32), Summary>);

impl Sums {
    fn add(&mut self, at: Timestamp, metric_id: i32, part: &Summary) {
        self.0.entry((at, metric_id)).and_modify(|sum| sum.merge(part)).or_insert(*part);
    }
}

/// What a row says, from its third column on.
fn summary(row: &Row) -> Summary {
    let (At(first_at), At(last_at)) = (row.get(6), row.get(8));
    Summary {
        count: unsigned(row.get(2)),
        sum: row.get(3),
        min: row.get(4),
        max: row.get(5),
        first: (first_at, row.get(7)),
        last: (last_at, row.get(9)),
    }
}

const ROLLUP_COLUMNS: &str = "sum(r.count)::int8, sum(r.sum), min(r.min), max(r.max), \
     min(r.first_at), (array_agg(r.first ORDER BY r.first_at, r.first))[1], \
     max(r.last_at), (array_agg(r.last ORDER BY r.last_at DESC, r.last DESC))[1]";

const RAW_COLUMNS: &str = "count(*), sum(r.value), min(r.value), max(r.value), \
     min(r.at), (array_agg(r.value ORDER BY r.at, r.value))[1], \
     max(r.at), (array_agg(r.value ORDER BY r.at DESC, r.value DESC))[1]";

impl Queries {
    /// The numbers of `device` or of all devices together, of `metric` or of each, in `range`,
    /// gathered into buckets as wide as `width` and aligned to 1970-01-01, in order of time, then
    /// of metrics; at most `limit`. Texts and empty buckets are left out.
    ///
    /// # Errors
    /// [`Error`]; transient ones while the database is away.
    pub async fn buckets(
        &self,
        device: Option<&DeviceId>,
        metric: Option<&MetricName>,
        range: TimeRange,
        width: Duration,
        limit: usize,
    ) -> Result<Vec<Bucket>, Error> {
        let doing = "gathering readings";
        self.bounded(QueryKind::Buckets, doing, async {
            let snapshot = Snapshot::begin(self, doing, device, metric).await?;
            let sums = if snapshot.is_void() {
                Sums::default()
            } else {
                self.gather(&snapshot, range, width, limit).await?
            };
            snapshot.end().await?;
            self.named(sums, limit).await
        })
        .await
    }

    async fn gather(
        &self,
        snapshot: &Snapshot,
        range: TimeRange,
        width: Duration,
        limit: usize,
    ) -> Result<Sums, Error> {
        let width = i64::try_from(width.as_micros()).unwrap_or(i64::MAX).max(1);
        let (from, to) = (range.from.as_micros(), range.to.as_micros());
        // As many buckets as rows are wanted are mostly enough: what is behind them is only read if
        // they are not, or page after page of a long range would read all of the rest.
        let near =
            align(from.saturating_add(width.saturating_mul(row_limit(limit))), width).min(to);
        let mut sums = Sums::default();
        self.add(snapshot, (from, near), width, limit, &mut sums).await?;
        if sums.0.len() < limit && near < to {
            self.add(snapshot, (near, to), width, limit, &mut sums).await?;
        }
        Ok(sums)
    }

    /// Adds what is from `from` up to `to`; all of its buckets, or at least the first `limit`.
    async fn add(
        &self,
        snapshot: &Snapshot,
        (from, to): (i64, i64),
        width: i64,
        limit: usize,
        sums: &mut Sums,
    ) -> Result<(), Error> {
        let wanted = Wanted {
            device_id: snapshot.device.id(),
            metric_id: snapshot.metric.id(),
            from: Timestamp::from_micros(from),
            to: Timestamp::from_micros(to),
        };
        let tables = snapshot.fresh(&self.recent, &wanted, |fresh| {
            if let Some(value) = fresh.value.number() {
                let bucket = Timestamp::from_micros(align(fresh.at.as_micros(), width));
                sums.add(bucket, fresh.metric_id, &Summary::of(fresh.at, value));
            }
        });
        let whole = Piece { level: None, from, to };
        let fresh = tables.into_iter().map(|table| (table, whole));
        let kept = plan(from, to, width).into_iter().map(|piece| (table_of(piece), piece));
        let asking =
            kept.chain(fresh).map(|(table, piece)| ask(snapshot, table, piece, width, limit));
        // All on one connection: they are sent together and answered in turn.
        for row in try_join_all(asking).await?.iter().flatten() {
            let At(at) = row.get(0);
            sums.add(at, row.get(1), &summary(row));
        }
        Ok(())
    }

    /// With names instead of ids, in order.
    async fn named(&self, sums: Sums, limit: usize) -> Result<Vec<Bucket>, Error> {
        let ids = sums.0.keys().map(|(_, metric_id)| *metric_id);
        let names = self.metric_names(ids).await?;
        let mut buckets: Vec<Bucket> = sums
            .0
            .iter()
            .filter_map(|((at, metric_id), sum)| {
                #[expect(clippy::cast_precision_loss, reason = "a mean of 2^53 numbers is one")]
                let avg = sum.sum / sum.count as f64;
                Some(Bucket {
                    at: *at,
                    metric: names.get(metric_id)?.clone(),
                    avg,
                    min: sum.min,
                    max: sum.max,
                    count: sum.count,
                    first: sum.first.1,
                    last: sum.last.1,
                })
            })
            .collect();
        buckets.sort_by(|a, b| (a.at, a.metric.as_str()).cmp(&(b.at, b.metric.as_str())));
        buckets.truncate(limit);
        Ok(buckets)
    }
}

/// The start of the bucket that `at` is in.
fn align(at: i64, width: i64) -> i64 {
    at.saturating_sub(at.rem_euclid(width))
}

fn table_of(piece: Piece) -> &'static str {
    piece.level.map_or("reading", Level::table)
}

async fn ask(
    snapshot: &Snapshot,
    table: &'static str,
    piece: Piece,
    width: i64,
    limit: usize,
) -> Result<Vec<Row>, Error> {
    let (time, columns, is_number) = match piece.level {
        Some(_) => ("r.bucket", ROLLUP_COLUMNS, ""),
        None => ("r.at", RAW_COLUMNS, " AND r.value IS NOT NULL"),
    };
    // Rollups have rows of their own for all devices; among readings every one counts.
    let device_id = match (snapshot.device, piece.level) {
        (Asked::All, Some(_)) => Some(ALL_DEVICES),
        (asked, _) => asked.id(),
    };
    let is_device = device_id.map_or("$1::int4 IS NULL", |_| "r.device_id = $1::int4");
    let is_metric = snapshot.metric.id().map_or("$2::int4 IS NULL", |_| "r.metric_id = $2::int4");
    let sql = format!(
        "SELECT date_bin($5::int8 * interval '1 microsecond', {time}, \
                         timestamptz '1970-01-01 00:00:00+00') AS b, r.metric_id, {columns} \
         FROM bellwire.{table} r \
         WHERE {is_device} AND {is_metric} AND {time} >= $3 AND {time} < $4{is_number} \
         GROUP BY b, r.metric_id ORDER BY b, r.metric_id LIMIT $6"
    );
    let (from, to) = (At(Timestamp::from_micros(piece.from)), At(Timestamp::from_micros(piece.to)));
    let metric_id = snapshot.metric.id();
    // Which of a bucket's metrics a cut leaves out depends on their ids, not on their names: a
    // whole bucket of them more does no harm.
    let limit = row_limit(limit).saturating_add(METRICS_MAX);
    snapshot.query(&sql, &[&device_id, &metric_id, &from, &to, &width, &limit]).await
}

/// The most metrics of a bucket that a page may cut through.
const METRICS_MAX: i64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000_000;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;

    fn planned(from: i64, to: i64, width: i64) -> Vec<(Option<Level>, i64, i64)> {
        plan(from, to, width).into_iter().map(|piece| (piece.level, piece.from, piece.to)).collect()
    }

    #[test]
    fn the_coarsest_rollup_is_in_the_middle() {
        let from = DAY - HOUR - MINUTE - 1;
        let to = 3 * DAY + HOUR + MINUTE + 1;
        let (minute, hour, day) = (Some(Level::Minute), Some(Level::Hour), Some(Level::Day));
        assert_eq!(
            planned(from, to, DAY),
            [
                (None, from, from + 1),
                (minute, DAY - HOUR - MINUTE, DAY - HOUR),
                (hour, DAY - HOUR, DAY),
                (day, DAY, 3 * DAY),
                (hour, 3 * DAY, 3 * DAY + HOUR),
                (minute, 3 * DAY + HOUR, to - 1),
                (None, to - 1, to),
            ]
        );
    }

    #[test]
    fn a_width_that_no_rollup_divides_needs_the_readings() {
        assert_eq!(planned(0, DAY, 90_000_000), [(None, 0, DAY)]);
        assert_eq!(planned(0, DAY, 2 * MINUTE), [(Some(Level::Minute), 0, DAY)]);
        assert_eq!(planned(5, MINUTE + 5, HOUR), [(None, 5, MINUTE + 5)]);
        assert_eq!(planned(5, 5, HOUR), []);
    }

    #[test]
    fn pieces_are_the_range_and_do_not_overlap() {
        let edges = [i64::MIN, -DAY - 7, -1, 0, 1, MINUTE, HOUR + 3, 40 * DAY + 11, i64::MAX];
        for from in edges {
            for to in edges {
                for width in [1, MINUTE, 5 * MINUTE, HOUR, DAY, 7 * DAY] {
                    let mut next = from;
                    for piece in plan(from, to, width) {
                        assert_eq!(piece.from, next);
                        assert!(piece.from < piece.to);
                        next = piece.to;
                    }
                    assert_eq!(next, if from < to { to } else { from });
                }
            }
        }
    }
}
