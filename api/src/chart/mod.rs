//! Reduces the readings of one metric to as many as a chart can show, in one pass and bounded
//! memory, and without inventing any.
//!
//! This is MinMaxLTTB (J. Van Der Donckt et al., "MinMaxLTTB: Leveraging MinMax-Preselection to
//! Scale LTTB", IEEE VIS 2023): [`outline`] keeps the extremes of fine bins as readings pass by,
//! and [`lttb`] or [`minmax`] choose among them. Few readings are all kept by the outline; then
//! it is plain LTTB, or plain min/max.

mod extremes;
mod lttb;
mod minmax;
mod outline;

use bellwire_model::Timestamp;

use self::outline::Outline;

/// The most points a chart may have: more than any screen is wide.
pub(crate) const POINTS_MAX: usize = 10_000;
/// Bins of the outline per point of the chart. Doubling their width can leave half as many in use,
/// with two readings each: four readings per point, the preselection ratio that Van Der Donckt
/// et al. recommend.
const BINS_PER_POINT: usize = 4;
/// Bins of the outline at least: so many readings at distinct times are never thinned out before
/// the choice.
const BINS_MIN: usize = 10_000;

/// One reading of the metric that is shown; `value` is finite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    /// Event time.
    pub(crate) at: Timestamp,
    /// What was read.
    pub(crate) value: f64,
}

/// How points are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// Largest triangle three buckets: looks most like all readings, for a line.
    Lttb,
    /// The least and the greatest of equal lengths of time: no extreme is missed.
    MinMax,
}

/// A chart that readings pass by.
#[derive(Debug)]
pub(crate) struct Chart {
    method: Method,
    n_points: usize,
    outline: Outline,
}

impl Chart {
    /// One of at most `n_points`, from 2 to [`POINTS_MAX`]. It holds at most 56 bytes for each of
    /// four bins per point: 2.2 MB.
    pub(crate) fn new(method: Method, n_points: usize) -> Self {
        let n_points = n_points.clamp(2, POINTS_MAX);
        let bins_max = (n_points * BINS_PER_POINT).max(BINS_MIN);
        Self { method, n_points, outline: Outline::new(bins_max) }
    }

    /// Takes the next reading, which is not before the last one.
    pub(crate) fn push(&mut self, point: Point) {
        self.outline.push(point);
    }

    /// The points: the first and the last reading, and between them what tells most.
    pub(crate) fn points(&self) -> Vec<Point> {
        let points = self.outline.points();
        if points.len() <= self.n_points {
            return points;
        }
        match self.method {
            Method::Lttb => lttb::choose(&points, self.n_points),
            Method::MinMax => minmax::choose(&points, self.n_points),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn point(micros: i64, value: f64) -> Point {
        Point { at: Timestamp::from_micros(micros), value }
    }

    fn chart(method: Method, n_points: usize, readings: &[Point]) -> Vec<Point> {
        let mut chart = Chart::new(method, n_points);
        readings.iter().for_each(|reading| chart.push(*reading));
        chart.points()
    }

    /// Readings in order of time: in crowds, alone, after long gaps, at the same instant.
    fn readings() -> impl Strategy<Value = Vec<Point>> {
        let step = prop_oneof![Just(0), 1..1_000_i64, 1_000_000..10_000_000_000_i64];
        let value = prop_oneof![-1e3..1e3, Just(0.0), Just(1e308), Just(-1e308)];
        (-1_000_000_000..1_000_000_000_i64, prop::collection::vec((step, value), 0..2_000))
            .prop_map(|(begin, steps)| {
                let mut at = begin;
                let pushed = steps.into_iter().map(|(step, value)| {
                    at += step;
                    point(at, value)
                });
                pushed.collect()
            })
    }

    /// Whether each of `chosen` is a reading of its own, in the order of time.
    fn are_readings(chosen: &[Point], readings: &[Point]) -> bool {
        let mut left = readings.to_vec();
        let are_there = chosen.iter().all(|point| {
            let found = left.iter().position(|reading| reading == point);
            found.is_some_and(|index| {
                left.remove(index);
                true
            })
        });
        are_there && chosen.is_sorted_by_key(|point| point.at)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn a_chart_is_made_of_readings_and_keeps_both_ends(
            readings in readings(),
            n_points in 2..300_usize,
            method in prop_oneof![Just(Method::Lttb), Just(Method::MinMax)],
        ) {
            let chosen = chart(method, n_points, &readings);
            prop_assert!(chosen.len() <= n_points);
            prop_assert!(are_readings(&chosen, &readings));
            prop_assert_eq!(chosen.first(), readings.first());
            prop_assert_eq!(chosen.last(), readings.last());
            let is_strict = readings.windows(2).all(|pair| pair[0].at < pair[1].at);
            if method == Method::Lttb && is_strict {
                prop_assert_eq!(chosen.len(), readings.len().min(n_points));
            }
        }

        #[test]
        fn min_and_max_are_always_on_a_min_max_chart(
            readings in readings(),
            n_points in 4..300_usize,
        ) {
            let chosen = chart(Method::MinMax, n_points, &readings);
            let greatest = |points: &[Point]| points.iter().map(|it| it.value).reduce(f64::max);
            let least = |points: &[Point]| points.iter().map(|it| it.value).reduce(f64::min);
            prop_assert_eq!(greatest(&chosen), greatest(&readings));
            prop_assert_eq!(least(&chosen), least(&readings));
        }
    }

    #[test]
    fn many_readings_leave_a_full_chart_with_the_one_spike() {
        let mut sine = Chart::new(Method::Lttb, 500);
        for i in 0..300_000_i32 {
            let value = if i == 154_321 { 50.0 } else { (f64::from(i) / 30_000.0).sin() };
            sine.push(point(i64::from(i) * 1_000_000, value));
        }
        let points = sine.points();
        assert_eq!(points.len(), 500);
        assert!(points.contains(&point(154_321_000_000, 50.0)));
        assert!(sine.outline.points().len() <= 2 * BINS_MIN + 2);
    }

    #[test]
    fn a_short_run_in_a_long_range_is_shown_in_full_detail() {
        // One reading a month ago, then a minute at 1 kHz: bins follow the readings, not the range.
        let mut readings = vec![point(0, 0.0)];
        readings.extend(
            (0..60_000_i32)
                .map(|i| point(2_592_000_000_000 + i64::from(i) * 1_000, f64::from(i % 1_000))),
        );
        assert_eq!(chart(Method::Lttb, 1_000, &readings).len(), 1_000);
    }
}
