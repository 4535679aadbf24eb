//! Numbers of one device, of all, or of groups of devices, gathered into buckets of time.
//!
//! Buckets are whole: a range is widened to where its first begins and its last ends. So each answer
//! comes from the coarsest rollup that divides the bucket's width, if one does, and from the fresh
//! readings in memory; only narrower buckets need the readings. A month by days costs thirty rows.

use std::collections::BTreeMap;
use std::time::Duration;

use bellwire_model::{DeviceId, MetricName, Timestamp};
use futures_util::future::try_join_all;
use hashbrown::HashMap;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

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

/// What is gathered into a line of buckets of its own.
#[derive(Clone, Copy, Debug)]
pub(super) enum Series<'a> {
    /// Each metric.
    Metrics,
    /// Each group of devices: a group's number by the device's id.
    Groups(&'a HashMap<i32, i32>),
}

/// A range, in microseconds from 1970, a midnight; the width of a bucket; and how many buckets of all
/// series are wanted at least, if there are so many.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    from: i64,
    to: i64,
    width: i64,
    limit: usize,
}

impl Span {
    /// The whole buckets that have an instant of `range`.
    pub(super) fn whole(range: TimeRange, width: Duration, limit: usize) -> Self {
        let width = i64::try_from(width.as_micros()).unwrap_or(i64::MAX).max(1);
        let (from, to) = (range.from.as_micros(), range.to.as_micros());
        let rest = (-to.rem_euclid(width)).rem_euclid(width);
        let is_empty = from >= to;
        let to = if is_empty { align(from, width) } else { to.saturating_add(rest) };
        Self { from: align(from, width), to, width, limit }
    }

    /// As many buckets as are wanted are mostly enough: what is behind them is read only if they are
    /// not, or page after page of a long range would read all of the rest.
    fn halves(self) -> (Self, Self) {
        let near = self.width.saturating_mul(row_limit(self.limit)).saturating_add(self.from);
        let near = align(near, self.width).clamp(self.from, self.to);
        (Self { to: near, ..self }, Self { from: near, ..self })
    }

    /// The coarsest rollup that its buckets can be made from; `None`: the readings.
    fn level(self) -> Option<Level> {
        Level::ALL.into_iter().rev().find(|level| self.width % level.micros() == 0)
    }
}

/// The start of the bucket that `at` is in.
fn align(at: i64, width: i64) -> i64 {
    at.saturating_sub(at.rem_euclid(width))
}

/// Buckets by time and series: a metric's id, or a group's number.
#[derive(Debug, Default)]
pub(super) struct Sums(pub(super) BTreeMap<(Timestamp, i32), Summary>);

impl Sums {
    fn add(&mut self, at: Timestamp, series: i32, part: &Summary) {
        self.0.entry((at, series)).and_modify(|sum| sum.merge(part)).or_insert(*part);
    }
}

/// What a row says, from its third column on.
fn summary(row: &Row) -> Summary {
    let (At(first_at), At(last_at)) = (row.get(7), row.get(9));
    let (sum, scaled): (Option<f64>, Option<f64>) = (row.get(3), row.get(4));
    Summary {
        count: unsigned(row.get(2)),
        sum: sum.unwrap_or_default() + scaled.map_or(0.0, |scaled| scaled * SCALE),
        min: row.get(5),
        max: row.get(6),
        first: (first_at, row.get(8)),
        last: (last_at, row.get(10)),
    }
}

/// 2 to the 64th. What is greater than 1e290 is added up for itself, divided by this: PostgreSQL's sum
/// of two great numbers would be an error, ours is infinite.
const SCALE: f64 = 18_446_744_073_709_551_616.0;

/// For messages.
const DOING: &str = "gathering readings";

const ROLLUP_COLUMNS: &str = "sum(r.count)::int8, sum(r.sum) FILTER (WHERE abs(r.sum) <= 1e290), \
     sum(r.sum / 2::float8 ^ 64) FILTER (WHERE abs(r.sum) > 1e290), min(r.min), max(r.max), \
     min(r.first_at), (array_agg(r.first ORDER BY r.first_at, r.first))[1], \
     max(r.last_at), (array_agg(r.last ORDER BY r.last_at DESC, r.last DESC))[1]";

const RAW_COLUMNS: &str = "count(*), sum(r.value) FILTER (WHERE abs(r.value) <= 1e290), \
     sum(r.value / 2::float8 ^ 64) FILTER (WHERE abs(r.value) > 1e290), min(r.value), max(r.value), \
     min(r.at), (array_agg(r.value ORDER BY r.at, r.value))[1], \
     max(r.at), (array_agg(r.value ORDER BY r.at DESC, r.value DESC))[1]";

impl Queries {
    /// The numbers of `device` or of all devices together, of `metric` or of each, gathered into
    /// buckets as wide as `width` and aligned to 1970-01-01, in order of time, then of metrics; at most
    /// `limit`, and [`BUCKETS_MAX`]. Buckets are whole, also where `range` begins or ends within one. Texts and empty
    /// buckets are left out.
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
        self.bounded(QueryKind::Buckets, DOING, async {
            let snapshot = Snapshot::begin(self, DOING, device, metric).await?;
            let mut sums = Sums::default();
            if !snapshot.is_void() {
                let span = Span::whole(range, width, limit);
                sums = self.gather(&snapshot, Series::Metrics, span).await?;
            }
            snapshot.end().await?;
            self.named(sums, limit).await
        })
        .await
    }

    /// At least the first `span.limit` buckets, if there are so many.
    pub(super) async fn gather(
        &self,
        snapshot: &Snapshot,
        series: Series<'_>,
        span: Span,
    ) -> Result<Sums, Error> {
        let (near, far) = span.halves();
        let mut sums = Sums::default();
        self.add(snapshot, series, near, &mut sums).await?;
        if sums.0.len() < span.limit && far.from < far.to {
            self.add(snapshot, series, far, &mut sums).await?;
        }
        Ok(sums)
    }

    /// Adds the buckets of `span`: all, or at least the first `span.limit`.
    async fn add(
        &self,
        snapshot: &Snapshot,
        series: Series<'_>,
        span: Span,
        sums: &mut Sums,
    ) -> Result<(), Error> {
        let wanted = Wanted {
            device_id: snapshot.device.id(),
            metric_id: snapshot.metric.id(),
            from: Timestamp::from_micros(span.from),
            to: Timestamp::from_micros(span.to),
        };
        let tables = snapshot.fresh(&self.recent, &wanted, |fresh| {
            let number = match series {
                Series::Metrics => Some(fresh.metric_id),
                Series::Groups(groups) => groups.get(&fresh.device_id).copied(),
            };
            if let (Some(number), Some(value)) = (number, fresh.value.number()) {
                let bucket = Timestamp::from_micros(align(fresh.at.as_micros(), span.width));
                sums.add(bucket, number, &Summary::of(fresh.at, value));
            }
        });
        let fresh = tables.into_iter().map(|table| (table, None));
        let level = span.level();
        let kept = [(level.map_or("reading", Level::table), level)];
        let asking = kept
            .into_iter()
            .chain(fresh)
            .map(|(table, level)| ask(snapshot, series, table, level, span));
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
            .filter_map(|((at, id), sum)| Some(bucket(*at, names.get(id)?.clone(), sum)))
            .collect();
        buckets.sort_by(|a, b| (a.at, a.metric.as_str()).cmp(&(b.at, b.metric.as_str())));
        buckets.truncate(limit);
        Ok(buckets)
    }
}

/// What `sum` says of `metric` from `at` on.
pub(super) fn bucket(at: Timestamp, metric: MetricName, sum: &Summary) -> Bucket {
    #[expect(clippy::cast_precision_loss, reason = "a mean of 2^53 numbers is one")]
    let avg = sum.sum / sum.count as f64;
    Bucket {
        at,
        metric,
        avg,
        min: sum.min,
        max: sum.max,
        count: sum.count,
        first: sum.first.1,
        last: sum.last.1,
    }
}

async fn ask(
    snapshot: &Snapshot,
    series: Series<'_>,
    table: &'static str,
    level: Option<Level>,
    span: Span,
) -> Result<Vec<Row>, Error> {
    let (time, columns, is_number) = match level {
        Some(_) => ("r.bucket", ROLLUP_COLUMNS, ""),
        None => ("r.at", RAW_COLUMNS, " AND r.value IS NOT NULL"),
    };
    // Rollups have rows of their own for all devices; among readings every one counts.
    let device_id = match (series, snapshot.device, level) {
        (Series::Metrics, Asked::All, Some(_)) => Some(ALL_DEVICES),
        (_, asked, _) => asked.id(),
    };
    let is_device = device_id.map_or("$1::int4 IS NULL", |_| "r.device_id = $1::int4");
    let is_metric = snapshot.metric.id().map_or("$2::int4 IS NULL", |_| "r.metric_id = $2::int4");
    let (number, grouped, groups) = match series {
        Series::Metrics => ("r.metric_id", "", None),
        Series::Groups(groups) => (
            "g.n",
            "JOIN unnest($7::int4[], $8::int4[]) g (id, n) ON g.id = r.device_id",
            Some(groups),
        ),
    };
    let sql = format!(
        "SELECT date_bin($5::int8 * interval '1 microsecond', {time}, \
                         timestamptz '1970-01-01 00:00:00+00') AS b, {number}, {columns} \
         FROM bellwire.{table} r {grouped} \
         WHERE {is_device} AND {is_metric} AND {time} >= $3 AND {time} < $4{is_number} \
         GROUP BY b, {number} ORDER BY b, {number} LIMIT $6"
    );
    let [from, to] = [span.from, span.to].map(|at| At(Timestamp::from_micros(at)));
    let metric_id = snapshot.metric.id();
    // Which of a bucket's metrics a cut leaves out depends on their ids, not on their names: a
    // whole bucket of them more does no harm.
    let limit = i64::try_from(span.limit.min(BUCKETS_MAX)).unwrap_or(i64::MAX);
    let limit = limit.saturating_add(METRICS_MAX);
    let width = span.width;
    let (ids, numbers): (Vec<i32>, Vec<i32>) = groups.into_iter().flatten().unzip();
    let mut parameters: Vec<&(dyn ToSql + Sync)> =
        vec![&device_id, &metric_id, &from, &to, &width, &limit];
    if groups.is_some() {
        parameters.extend([&ids as &(dyn ToSql + Sync), &numbers]);
    }
    snapshot.query(&sql, &parameters).await
}

/// The most metrics of a bucket that a page may cut through.
const METRICS_MAX: i64 = 10_000;

/// The most buckets of one answer; a greater limit is lowered to it.
pub const BUCKETS_MAX: usize = 200_000;

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000_000;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;

    fn span(from: i64, to: i64, width: i64) -> Span {
        let [from, to] = [from, to].map(Timestamp::from_micros);
        Span::whole(TimeRange { from, to }, Duration::from_micros(width.cast_unsigned()), 10)
    }

    #[test]
    fn a_range_is_widened_to_whole_buckets() {
        for (from, to, expected) in [
            (0, HOUR, (0, HOUR)),
            (1, HOUR, (0, HOUR)),
            (HOUR - 1, HOUR + 1, (0, 2 * HOUR)),
            (-1, 1, (-HOUR, HOUR)),
            (-HOUR, -1, (-HOUR, 0)),
        ] {
            let found = span(from, to, HOUR);
            assert_eq!((found.from, found.to), expected, "from {from} to {to}");
        }
        for (from, to) in [(5, 5), (HOUR + 7, HOUR + 6), (DAY, 0)] {
            let found = span(from, to, HOUR);
            assert!(found.from >= found.to, "an empty range stays empty: {found:?}");
        }
        let all = span(i64::MIN, i64::MAX, HOUR);
        assert_eq!((all.from, all.to), (i64::MIN, i64::MAX));
    }

    #[test]
    fn the_coarsest_rollup_that_divides_the_width_answers() {
        for (width, expected) in [
            (1, None),
            (90_000_000, None),
            (MINUTE, Some(Level::Minute)),
            (90 * MINUTE, Some(Level::Minute)),
            (6 * HOUR, Some(Level::Hour)),
            (7 * DAY, Some(Level::Day)),
        ] {
            assert_eq!(span(0, DAY, width).level(), expected, "{width} µs");
        }
    }

    #[test]
    fn halves_are_the_whole_and_meet_between_buckets() {
        for (from, to) in [(0, 3 * DAY), (-7, 7), (i64::MIN, i64::MAX), (0, i64::MAX), (5, 5)] {
            for width in [1, MINUTE, HOUR, DAY] {
                let whole = span(from, to, width);
                let (near, far) = whole.halves();
                assert_eq!((near.from, far.to), (whole.from, whole.to.max(whole.from)));
                assert_eq!(near.to, far.from);
                assert!(near.to == whole.to || near.to.rem_euclid(width) == 0, "{near:?}");
            }
        }
    }
}
