//! The least and the greatest of each of equal lengths of time: no extreme is missed.

use super::Point;
use super::extremes::Extremes;

/// Chooses at most `n_points`, at least 2, of `points`: the first, the last, and the extremes of
/// equal lengths of time between them.
pub(super) fn choose(points: &[Point], n_points: usize) -> Vec<Point> {
    let [first, between @ .., last] = points else { return points.to_vec() };
    let mut chosen = vec![*first];
    // Three points have room for the ends only: one extreme alone would say half the truth.
    let n_lengths = (n_points.saturating_sub(2) / 2) as u128;
    let span = last.at.since(first.at).as_micros() + 1;
    let length = |point: &Point| point.at.since(first.at).as_micros() * n_lengths / span;
    if n_lengths > 0 {
        for here in between.chunk_by(|a, b| length(a) == length(b)) {
            let all = here.iter().copied().map(Extremes::of);
            let extremes = all.reduce(|mut extremes, later| {
                extremes.take(later);
                extremes
            });
            chosen.extend(extremes.into_iter().flat_map(Extremes::points));
        }
    }
    chosen.push(*last);
    chosen
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
    fn each_length_of_time_gives_its_extremes() {
        let values = [0.0, 1.0, 5.0, 2.0, 3.0, 9.0, 7.0, 8.0, 0.0];
        check(&values, 2, &[0, 8]);
        check(&values, 3, &[0, 8]);
        check(&values, 4, &[0, 1, 5, 8]);
        // The middle is half a microsecond after second 4: 1 to 4, and 5 to 7.
        check(&values, 6, &[0, 1, 2, 5, 6, 8]);
    }

    #[test]
    fn a_level_line_keeps_its_length() {
        check(&[1.0; 6], 4, &[0, 1, 4, 5]);
    }
}
