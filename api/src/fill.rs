//! Gives buckets without readings their place: as nothing, as the one before, or on a line between
//! their neighbours.

use std::collections::BTreeMap;
use std::time::Duration;

use bellwire_model::{MetricName, Timestamp};

use crate::ports::BucketRow;

/// What buckets without readings show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fill {
    /// Nothing.
    Null,
    /// What the bucket before showed; nothing before the first one with readings.
    Previous,
    /// What lies on a straight line between the nearest buckets with readings; nothing before the
    /// first and after the last of them.
    Linear,
}

/// What one bucket of one metric says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Numbers {
    pub(crate) avg: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    pub(crate) first: f64,
    pub(crate) last: f64,
}

impl Numbers {
    const fn of(row: &BucketRow) -> Self {
        Self { avg: row.avg, min: row.min, max: row.max, first: row.first, last: row.last }
    }

    /// Between this and `other`, at `share` (0 to 1) of the way. Each number is on a line of its
    /// own; as rounding never turns an order round, `min ≤ avg ≤ max` holds here too.
    fn towards(self, other: Self, share: f64) -> Self {
        let line = |a: f64, b: f64| (a * (1.0 - share) + b * share).clamp(a.min(b), a.max(b));
        Self {
            avg: line(self.avg, other.avg),
            min: line(self.min, other.min),
            max: line(self.max, other.max),
            first: line(self.first, other.first),
            last: line(self.last, other.last),
        }
    }
}

/// One bucket of one metric, with readings or without.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bucket {
    /// When it begins.
    pub(crate) at: Timestamp,
    /// Of which group of devices, where they are grouped.
    pub(crate) group: Option<Box<str>>,
    /// Of what.
    pub(crate) metric: MetricName,
    /// What it says, if anything.
    pub(crate) numbers: Option<Numbers>,
    /// How many readings it has: 0 where `numbers` are made up.
    pub(crate) count: u64,
}

impl From<BucketRow> for Bucket {
    fn from(row: BucketRow) -> Self {
        let numbers = Some(Numbers::of(&row));
        Self { at: row.at, group: row.group, metric: row.metric, numbers, count: row.count }
    }
}

/// All buckets between two instants, aligned to the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grid {
    /// When the first begins, in widths since the epoch.
    first: i64,
    width_micros: i64,
    n: usize,
}

impl Grid {
    /// Those that have an instant from `from` on and before `to`; `width` is at least 1 µs.
    pub(crate) fn over(from: Timestamp, to: Timestamp, width: Duration) -> Self {
        let width_micros = i64::try_from(width.as_micros()).unwrap_or(i64::MAX).max(1);
        let first = from.as_micros().div_euclid(width_micros);
        let last = to.as_micros().saturating_sub(1).div_euclid(width_micros);
        let n = if from < to { last.abs_diff(first).saturating_add(1) } else { 0 };
        Self { first, width_micros, n: usize::try_from(n).unwrap_or(usize::MAX) }
    }

    /// How many there are.
    pub(crate) const fn len(self) -> usize {
        self.n
    }

    /// When a bucket begins.
    fn at(self, index: usize) -> Timestamp {
        let index = i64::try_from(index).unwrap_or(i64::MAX);
        let micros = self.first.saturating_add(index).saturating_mul(self.width_micros);
        Timestamp::from_micros(micros)
    }

    /// The bucket that has `at`.
    fn index(self, at: Timestamp) -> Option<usize> {
        let index = at.as_micros().div_euclid(self.width_micros).checked_sub(self.first)?;
        usize::try_from(index).ok().filter(|index| *index < self.n)
    }
}

/// One metric's buckets, each with what was read in it and what it says.
struct Line<'a> {
    metric: &'a MetricName,
    rows: Vec<Option<&'a BucketRow>>,
    numbers: Vec<Option<Numbers>>,
}

/// All buckets of `grid` for each metric of `rows`, and for `metric` even if it has none: ascending
/// by time, then metric. There are [`Grid::len`] times as many as metrics: see to it that this is
/// not too many.
pub(crate) fn fill(
    rows: &[BucketRow],
    metric: Option<&MetricName>,
    grid: Grid,
    how: Fill,
) -> Vec<Bucket> {
    let mut by_metric: BTreeMap<&MetricName, Vec<Option<&BucketRow>>> = BTreeMap::new();
    if let Some(metric) = metric {
        by_metric.insert(metric, vec![None; grid.len()]);
    }
    for row in rows {
        let rows = by_metric.entry(&row.metric).or_insert_with(|| vec![None; grid.len()]);
        if let Some(index) = grid.index(row.at) {
            rows[index] = Some(row);
        }
    }
    let lines = by_metric.into_iter().map(|(metric, rows)| {
        let numbers = filled(&rows, how);
        Line { metric, rows, numbers }
    });
    let lines: Vec<Line<'_>> = lines.collect();
    let of_instant = |index: usize| {
        lines.iter().map(move |line| Bucket {
            at: grid.at(index),
            group: None,
            metric: line.metric.clone(),
            numbers: line.numbers[index],
            count: line.rows[index].map_or(0, |row| row.count),
        })
    };
    (0..grid.len()).flat_map(of_instant).collect()
}

/// What each bucket of one metric says.
fn filled(rows: &[Option<&BucketRow>], how: Fill) -> Vec<Option<Numbers>> {
    let mut numbers: Vec<Option<Numbers>> = rows.iter().map(|row| row.map(Numbers::of)).collect();
    match how {
        Fill::Null => {}
        Fill::Previous => {
            for index in 1..numbers.len() {
                numbers[index] = numbers[index].or(numbers[index - 1]);
            }
        }
        Fill::Linear => {
            let known = numbers.iter().enumerate().filter_map(|(index, it)| Some((index, (*it)?)));
            let known: Vec<(usize, Numbers)> = known.collect();
            for pair in known.windows(2) {
                let [(begin, from), (end, to)] = [pair[0], pair[1]];
                for (n_steps, gap) in (1..end - begin).zip(&mut numbers[begin + 1..end]) {
                    let share = n_steps as f64 / (end - begin) as f64;
                    *gap = Some(from.towards(to, share));
                }
            }
        }
    }
    numbers
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WIDTH: Duration = Duration::from_secs(60);

    fn metric(name: &str) -> MetricName {
        MetricName::new(name).expect("valid")
    }

    /// A bucket of minute `minute`, whose numbers are about `avg`.
    fn row(minute: i64, name: &str, avg: f64) -> BucketRow {
        let (at, metric) = (Timestamp::from_secs(minute * 60), metric(name));
        let (min, max) = (avg - 1.0, avg + 1.0);
        BucketRow { at, group: None, metric, avg, min, max, count: 3, first: max, last: min }
    }

    fn minutes(from: i64, to: i64) -> Grid {
        Grid::over(Timestamp::from_secs(from * 60), Timestamp::from_secs(to * 60), WIDTH)
    }

    /// Fills minutes 0 to 6, of which 1 and 4 have readings: 10 and 40.
    fn check(how: Fill, expected: [Option<f64>; 6]) {
        let rows = [row(1, "t", 10.0), row(4, "t", 40.0)];
        let buckets = fill(&rows, None, minutes(0, 6), how);
        let averages: Vec<_> = buckets.iter().map(|it| it.numbers.map(|it| it.avg)).collect();
        assert_eq!(averages, expected, "{how:?}");
        let counts: Vec<_> = buckets.iter().map(|it| it.count).collect();
        assert_eq!(counts, [0, 3, 0, 0, 3, 0]);
    }

    #[test]
    fn gaps_are_null_or_carried_or_on_a_line() {
        check(Fill::Null, [None, Some(10.0), None, None, Some(40.0), None]);
        check(Fill::Previous, [None, Some(10.0), Some(10.0), Some(10.0), Some(40.0), Some(40.0)]);
        check(Fill::Linear, [None, Some(10.0), Some(20.0), Some(30.0), Some(40.0), None]);
    }

    #[test]
    fn each_metric_is_filled_for_itself_and_comes_in_order() {
        let rows = [row(0, "b", 1.0), row(1, "a", 5.0)];
        let buckets = fill(&rows, None, minutes(0, 2), Fill::Previous);
        let shown: Vec<_> = buckets
            .iter()
            .map(|it| (it.at.as_micros() / 60_000_000, it.metric.as_str(), it.count))
            .collect();
        assert_eq!(shown, [(0, "a", 0), (0, "b", 3), (1, "a", 3), (1, "b", 0)]);
        assert_eq!(buckets[0].numbers, None);
        assert_eq!(buckets[3].numbers, buckets[1].numbers);
    }

    #[test]
    fn a_metric_that_was_named_is_there_without_a_single_reading() {
        assert_eq!(fill(&[], None, minutes(0, 3), Fill::Null), []);
        let buckets = fill(&[], Some(&metric("t")), minutes(0, 3), Fill::Linear);
        assert_eq!(buckets.len(), 3);
        assert!(buckets.iter().all(|it| it.numbers.is_none() && it.count == 0));
    }

    #[test]
    fn the_grid_has_every_bucket_that_touches_the_range() {
        let grid =
            |from, to| Grid::over(Timestamp::from_micros(from), Timestamp::from_micros(to), WIDTH);
        assert_eq!(grid(0, 60_000_000).len(), 1);
        assert_eq!(grid(0, 60_000_001).len(), 2);
        assert_eq!(grid(59_999_999, 60_000_001).len(), 2);
        assert_eq!(grid(-1, 1).len(), 2);
        assert_eq!(grid(-1, 1).at(0), Timestamp::from_secs(-60));
        assert_eq!(grid(5, 5).len(), 0);
        assert!(grid(i64::MIN, i64::MAX).len() > 10_000);
    }

    proptest! {
        #[test]
        fn buckets_with_readings_stay_as_they_are_and_orders_hold(
            values in prop::collection::vec(prop::option::weighted(0.3, -1e308..1e308), 1..60),
            how in prop_oneof![Just(Fill::Null), Just(Fill::Previous), Just(Fill::Linear)],
        ) {
            let named = |(minute, avg): (usize, Option<f64>)| {
                Some(row(i64::try_from(minute).ok()?, "t", avg?))
            };
            let rows: Vec<_> = values.iter().copied().enumerate().filter_map(named).collect();
            let n = i64::try_from(values.len()).expect("few");
            let buckets = fill(&rows, Some(&metric("t")), minutes(0, n), how);
            prop_assert_eq!(buckets.len(), values.len());
            for (bucket, avg) in buckets.iter().zip(&values) {
                if avg.is_some() {
                    prop_assert_eq!(bucket.numbers.map(|it| it.avg), *avg);
                }
                prop_assert_eq!(bucket.count > 0, avg.is_some());
                if let Some(it) = bucket.numbers {
                    prop_assert!(it.min <= it.avg && it.avg <= it.max);
                }
            }
        }
    }
}
