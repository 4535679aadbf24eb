//! The least and the greatest of some readings: what remains of a bin.

use super::Point;

/// The least and the greatest of one reading or more, in order of time. Of equal ones the first
/// is the least and the last the greatest, so that a level stretch keeps its length.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extremes {
    min: Point,
    /// Another reading than `min`, if there was more than one.
    max: Option<Point>,
}

impl Extremes {
    pub(super) const fn of(point: Point) -> Self {
        Self { min: point, max: None }
    }

    /// Takes in the extremes of readings that are not earlier.
    pub(super) fn take(&mut self, later: Self) {
        let max = self.max.unwrap_or(self.min);
        let later_max = later.max.unwrap_or(later.min);
        self.max = Some(if later_max.value >= max.value { later_max } else { max });
        if later.min.value < self.min.value {
            self.min = later.min;
        }
    }

    /// One or two readings, in order of time.
    pub(super) fn points(self) -> impl Iterator<Item = Point> {
        let (first, second) = match self.max {
            Some(max) if max.at < self.min.at => (max, Some(self.min)),
            max => (self.min, max),
        };
        std::iter::once(first).chain(second)
    }
}

#[cfg(test)]
mod tests {
    use bellwire_model::Timestamp;

    use super::*;

    fn check(values: &[f64], expected: &[(i64, f64)]) {
        let point = |(at, value): (i64, f64)| Point { at: Timestamp::from_secs(at), value };
        let mut all = (0..).zip(values.iter().copied()).map(point).map(Extremes::of);
        let mut extremes = all.next().expect("at least one");
        all.for_each(|later| extremes.take(later));
        let expected: Vec<_> = expected.iter().copied().map(point).collect();
        assert_eq!(extremes.points().collect::<Vec<_>>(), expected, "{values:?}");
    }

    #[test]
    fn extremes_are_two_readings_in_order_of_time() {
        check(&[5.0], &[(0, 5.0)]);
        check(&[1.0, 5.0, 3.0], &[(0, 1.0), (1, 5.0)]);
        check(&[2.0, 5.0, 3.0, -1.0], &[(1, 5.0), (3, -1.0)]);
        check(&[2.0, 2.0, 2.0], &[(0, 2.0), (2, 2.0)]);
        check(&[3.0, 1.0], &[(0, 3.0), (1, 1.0)]);
    }
}
