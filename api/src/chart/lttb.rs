//! Largest triangle three buckets: chooses the points that make a line look like the whole one.
//!
//! S. Steinarsson, "Downsampling Time Series for Visual Representation", University of Iceland
//! 2013, section 4.2: the points are cut into buckets of equal number; of each bucket that one is
//! chosen which spans the largest triangle with the one chosen before and the mean of the next
//! bucket.

use std::ops::Range;

use super::Point;

/// Chooses `n_points`, at least 2, of `points`, which are more: the first, the last, and one of
/// each bucket between.
pub(super) fn choose(points: &[Point], n_points: usize) -> Vec<Point> {
    let (Some(&first), Some(&last)) = (points.first(), points.last()) else { return Vec::new() };
    let place = |point: &Point| (point.at.since(first.at).as_secs_f64(), point.value);
    let n_buckets = n_points.saturating_sub(2);
    let mut chosen = Vec::with_capacity(n_points);
    chosen.push(first);
    let mut before = place(&first);
    for index in 0..n_buckets {
        let next = if index + 1 < n_buckets {
            mean(points[bucket(index + 1, n_buckets, points.len())].iter().map(place))
        } else {
            place(&last)
        };
        let here = &points[bucket(index, n_buckets, points.len())];
        if let Some(point) = farthest(here, |point| triangle(before, place(point), next)) {
            before = place(point);
            chosen.push(*point);
        }
    }
    chosen.push(last);
    chosen
}

/// Which of `n` points are in bucket `index` of `n_buckets`: all but the first and the last are in
/// one of them.
const fn bucket(index: usize, n_buckets: usize, n: usize) -> Range<usize> {
    let between = n - 2;
    1 + index * between / n_buckets..1 + (index + 1) * between / n_buckets
}

fn mean(places: impl ExactSizeIterator<Item = (f64, f64)>) -> (f64, f64) {
    let n = places.len().max(1) as f64;
    places.fold((0.0, 0.0), |(x, y), place| (x + place.0 / n, y + place.1 / n))
}

/// Twice the area of a triangle. Values near the greatest a float has give infinity or no number:
/// then the choice is any, but still a reading.
fn triangle(a: (f64, f64), b: (f64, f64), c: (f64, f64)) -> f64 {
    ((a.0 - c.0) * (b.1 - a.1) - (a.0 - b.0) * (c.1 - a.1)).abs()
}

/// The first of those with the largest area.
fn farthest(points: &[Point], area: impl Fn(&Point) -> f64) -> Option<&Point> {
    let mut best = points.first()?;
    let mut best_area = area(best);
    for point in &points[1..] {
        let area = area(point);
        if area > best_area {
            (best, best_area) = (point, area);
        }
    }
    Some(best)
}

#[cfg(test)]
mod tests {
    use bellwire_model::Timestamp;

    use super::*;

    fn check(values: &[f64], n_points: usize, expected: &[i64]) {
        let points: Vec<_> = (0..)
            .zip(values)
            .map(|(at, &value)| Point { at: Timestamp::from_secs(at), value })
            .collect();
        let chosen = choose(&points, n_points);
        let secs: Vec<_> = chosen.iter().map(|it| it.at.as_micros() / 1_000_000).collect();
        assert_eq!(secs, expected, "{n_points} of {values:?}");
    }

    #[test]
    fn the_point_farthest_from_the_line_is_chosen_in_each_bucket() {
        let spikes = [0.0, 0.0, 9.0, 0.0, 0.0, -9.0, 0.0, 0.0];
        check(&spikes, 2, &[0, 7]);
        check(&spikes, 3, &[0, 2, 7]);
        check(&spikes, 4, &[0, 2, 5, 7]);
    }

    #[test]
    fn worked_by_hand() {
        // Buckets {1, 2} and {3, 4}. Against (0, 0) and the mean (3.5, 4.5), twice the areas are
        // |-3.5·3 + 1·4.5| = 6 and |-3.5·2 + 2·4.5| = 2: second 1. Against (1, 3) and (5, 0) they
        // are |-4·5 + 2·-3| = 26 and |-4·-2 + 3·-3| = 1: second 3.
        check(&[0.0, 3.0, 2.0, 8.0, 1.0, 0.0], 4, &[0, 1, 3, 5]);
    }

    #[test]
    fn every_point_is_in_one_bucket() {
        for (n, n_buckets) in [(3, 1), (7, 3), (100, 97), (80_002, 9_998)] {
            let mut end = 1;
            for index in 0..n_buckets {
                let range = bucket(index, n_buckets, n);
                assert_eq!(range.start, end);
                assert!(!range.is_empty(), "bucket {index} of {n_buckets} over {n}");
                end = range.end;
            }
            assert_eq!(end, n - 1);
        }
    }
}
