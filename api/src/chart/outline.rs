//! Keeps the extremes of fine bins of time as readings pass by: bins as narrow as memory allows.
//!
//! Nothing needs to be known of the readings before. Bins begin as narrow as an instant; when there
//! are too many, each becomes twice as wide and neighbours are put together. So their width follows
//! the readings that there are, wherever in the range they lie, and empty time costs nothing.

use super::Point;
use super::extremes::Extremes;

/// The extremes of what has passed by.
#[derive(Debug)]
pub(super) struct Outline {
    /// The most bins, at least 2.
    bins_max: usize,
    /// A bin is 2 to this power microseconds wide, aligned to the epoch.
    width_log2: u32,
    /// Those that are not empty, in order of time.
    bins: Vec<Bin>,
    /// The first and the last reading.
    ends: Option<(Point, Point)>,
}

#[derive(Clone, Copy, Debug)]
struct Bin {
    /// When it begins, in widths since the epoch.
    index: i64,
    extremes: Extremes,
}

impl Outline {
    /// An empty one with at most `bins_max` bins.
    pub(super) const fn new(bins_max: usize) -> Self {
        let bins_max = if bins_max < 2 { 2 } else { bins_max };
        Self { bins_max, width_log2: 0, bins: Vec::new(), ends: None }
    }

    /// Takes the next reading, which is not before the last one.
    pub(super) fn push(&mut self, point: Point) {
        let (first, _) = self.ends.unwrap_or((point, point));
        self.ends = Some((first, point));
        let index = point.at.as_micros() >> self.width_log2;
        let extremes = Extremes::of(point);
        match self.bins.last_mut() {
            Some(bin) if bin.index == index => bin.extremes.take(extremes),
            _ => self.bins.push(Bin { index, extremes }),
        }
        while self.bins.len() > self.bins_max {
            self.widen();
        }
    }

    /// Makes bins twice as wide. At 2^63 µs there are two: before 1970 and after, so that widening
    /// always comes to an end.
    fn widen(&mut self) {
        self.width_log2 += 1;
        self.bins.dedup_by(|later, earlier| {
            let is_same = later.index >> 1 == earlier.index >> 1;
            if is_same {
                earlier.extremes.take(later.extremes);
            }
            is_same
        });
        self.bins.iter_mut().for_each(|bin| bin.index >>= 1);
    }

    /// The first and the last reading, and the extremes of all bins, in order of time: at most
    /// twice as many as bins, and two.
    pub(super) fn points(&self) -> Vec<Point> {
        let Some((first, last)) = self.ends else { return Vec::new() };
        let mut points = Vec::with_capacity(2 * self.bins.len() + 2);
        points.extend(self.bins.iter().flat_map(|bin| bin.extremes.points()));
        // Of several readings at one instant, the end may be an extreme that does not stand there.
        match points.iter().take_while(|it| it.at == first.at).position(|it| *it == first) {
            Some(index) => points.swap(0, index),
            None => points.insert(0, first),
        }
        let behind = &points[1..];
        match behind.iter().rev().take_while(|it| it.at == last.at).position(|it| *it == last) {
            Some(index) => {
                let end = points.len() - 1;
                points.swap(end - index, end);
            }
            None if points.len() == 1 && first == last => {}
            None => points.push(last),
        }
        points
    }
}

#[cfg(test)]
mod tests {
    use bellwire_model::Timestamp;

    use super::*;

    fn outline(bins_max: usize, readings: &[(i64, f64)]) -> Outline {
        let mut outline = Outline::new(bins_max);
        for &(micros, value) in readings {
            outline.push(Point { at: Timestamp::from_micros(micros), value });
        }
        outline
    }

    fn check(bins_max: usize, readings: &[(i64, f64)], expected: &[(i64, f64)]) {
        let points = outline(bins_max, readings).points();
        let points: Vec<_> = points.iter().map(|it| (it.at.as_micros(), it.value)).collect();
        assert_eq!(points, expected, "{bins_max} bins of {readings:?}");
    }

    #[test]
    fn what_has_room_is_kept_whole() {
        check(4, &[], &[]);
        check(4, &[(7, 1.0)], &[(7, 1.0)]);
        let four = [(0, 1.0), (1, 2.0), (2, 1.5), (900, 3.0)];
        check(4, &four, &four);
    }

    #[test]
    fn of_one_instant_no_reading_is_there_twice() {
        check(4, &[(7, 2.0), (7, 1.0)], &[(7, 2.0), (7, 1.0)]);
        check(4, &[(7, 1.0), (7, 2.0)], &[(7, 1.0), (7, 2.0)]);
        check(4, &[(7, 2.0), (7, 1.0), (7, 1.5)], &[(7, 2.0), (7, 1.0), (7, 1.5)]);
        check(4, &[(7, 2.0), (7, 1.0), (7, 2.0)], &[(7, 2.0), (7, 1.0), (7, 2.0)]);
        check(4, &[(1, 0.0), (7, 2.0), (7, 1.0)], &[(1, 0.0), (7, 2.0), (7, 1.0)]);
        check(4, &[(1, 3.0), (1, 0.0), (7, 2.0)], &[(1, 3.0), (1, 0.0), (7, 2.0)]);
        check(4, &[(7, 2.0), (7, 2.0)], &[(7, 2.0), (7, 2.0)]);
        check(4, &[(7, 2.0)], &[(7, 2.0)]);
    }

    #[test]
    fn without_room_the_extremes_and_both_ends_remain() {
        // 16 µs in two bins of 8.
        let values =
            [4.0, 1.0, 2.0, 3.0, 9.0, 4.0, 4.0, 4.0, 5.0, 5.0, 0.0, 5.0, 7.0, 6.0, 6.0, 6.0];
        let readings: Vec<_> = (0..).zip(values).collect();
        check(2, &readings, &[(0, 4.0), (1, 1.0), (4, 9.0), (10, 0.0), (12, 7.0), (15, 6.0)]);
    }

    #[test]
    fn bins_never_exceed_their_number_even_at_the_ends_of_time() {
        let readings = [(i64::MIN, 1.0), (-1, 2.0), (0, 3.0), (1, 4.0), (i64::MAX, 5.0)];
        assert_eq!(outline(2, &readings).bins.len(), 2);
        check(2, &readings, &[(i64::MIN, 1.0), (-1, 2.0), (0, 3.0), (i64::MAX, 5.0)]);
    }

    #[test]
    fn of_one_instant_the_extremes_remain() {
        check(2, &[(5, 1.0), (5, 2.0), (5, 3.0)], &[(5, 1.0), (5, 3.0)]);
    }
}
