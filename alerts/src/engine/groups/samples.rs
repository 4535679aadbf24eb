//! What one member of a group has said of one metric: at most one value for each second.

use std::cmp::Ordering;
use std::collections::VecDeque;

use bellwire_model::{Timestamp, Value};

use crate::engine::recent::value_order;

/// The second that an instant is in, since 1970.
pub(super) fn second_of(at: Timestamp) -> i64 {
    at.as_micros().div_euclid(1_000_000)
}

/// The first second that begins no sooner than an instant.
pub(super) fn second_from(at: Timestamp) -> i64 {
    second_of(Timestamp::from_micros(at.as_micros().saturating_add(999_999)))
}

/// A value, and where it stands among those of its device.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sample {
    /// From which second on it counts: that of `at`, or a later one if it came too late for that.
    pub(super) second: i64,
    pub(super) at: Timestamp,
    /// The device's own counter.
    pub(super) seq: Option<u64>,
    pub(super) value: Value,
}

impl Sample {
    pub(super) fn new(at: Timestamp, seq: Option<u64>, value: Value) -> Self {
        Self { second: second_of(at), at, seq, value }
    }

    /// As the readings of one device are ordered.
    fn order(&self, other: &Self) -> Ordering {
        (self.at.cmp(&other.at))
            .then(self.seq.cmp(&other.seq))
            .then_with(|| value_order(&self.value, &other.value))
    }
}

/// The last value of each second, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Samples(VecDeque<Sample>);

impl Samples {
    /// Takes a value. Gives the second from which on it says something else than before; `None` if
    /// nothing changes. Of what is settled, which is all up to second `settled`, only the last value
    /// is kept; a value of then that is the newest counts from second `now`.
    pub(super) fn put(&mut self, mut sample: Sample, settled: i64, now: i64) -> Option<i64> {
        while self.0.get(1).is_some_and(|next| next.second <= settled) {
            self.0.pop_front();
        }
        if sample.second <= settled {
            if self.0.back().is_some_and(|last| sample.order(last).is_le()) {
                return None;
            }
            sample.second = now.max(settled.saturating_add(1));
        }
        let second = sample.second;
        let place = self.0.partition_point(|known| known.second <= second);
        match place.checked_sub(1).map(|index| &mut self.0[index]) {
            Some(known) if known.second == second => {
                if sample.order(known).is_le() {
                    return None;
                }
                *known = sample;
            }
            _ => self.0.insert(place, sample),
        }
        Some(second)
    }

    /// The latest value that is not after a second.
    pub(super) fn as_of(&self, second: i64) -> Option<&Sample> {
        match self.0.back() {
            Some(last) if last.second <= second => Some(last),
            _ => {
                let n = self.0.partition_point(|known| known.second <= second);
                n.checked_sub(1).map(|index| &self.0[index])
            }
        }
    }

    /// The first second after this one that has a value.
    pub(super) fn next_after(&self, second: i64) -> Option<i64> {
        if self.0.back().is_none_or(|last| last.second <= second) {
            return None;
        }
        let n = self.0.partition_point(|known| known.second <= second);
        self.0.get(n).map(|sample| sample.second)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Sample> {
        self.0.iter()
    }

    /// Puts back what [`Samples::iter`] gave.
    pub(super) fn push(&mut self, sample: Sample) {
        self.0.push_back(sample);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(millis: i64, seq: u64, number: f64) -> Sample {
        let at = Timestamp::from_micros(millis * 1_000);
        Sample::new(at, Some(seq), Value::Number(number))
    }

    fn number(samples: &Samples, second: i64) -> Option<f64> {
        samples.as_of(second).and_then(|sample| sample.value.number())
    }

    #[test]
    fn the_last_of_each_second_counts_whatever_the_order() {
        let mut samples = Samples::default();
        assert_eq!(samples.put(sample(5_900, 3, 1.0), 0, 9), Some(5));
        assert_eq!(samples.put(sample(5_100, 2, 2.0), 0, 9), None);
        assert_eq!(samples.put(sample(5_900, 4, 3.0), 0, 9), Some(5));
        assert_eq!(samples.put(sample(3_000, 1, 4.0), 0, 9), Some(3));
        assert_eq!(samples.put(sample(9_000, 9, 5.0), 0, 9), Some(9));
        assert_eq!(
            [2, 3, 4, 5, 8, 9, 99].map(|second| number(&samples, second)),
            [None, Some(4.0), Some(4.0), Some(3.0), Some(3.0), Some(5.0), Some(5.0)]
        );
        assert_eq!(
            [2, 3, 5, 9].map(|second| samples.next_after(second)),
            [Some(3), Some(5), Some(9), None]
        );
    }

    #[test]
    fn of_what_is_settled_the_last_is_kept() {
        let mut samples = Samples::default();
        for second in 1..=5 {
            samples.put(sample(second * 1_000, 0, 1.0), 0, 9);
        }
        assert_eq!(samples.put(sample(6_000, 0, 1.0), 4, 9), Some(6));
        assert_eq!(samples.iter().map(|sample| sample.second).collect::<Vec<_>>(), [4, 5, 6]);
        assert_eq!(samples.put(sample(2_000, 0, 1.0), 4, 9), None);
        assert_eq!(samples.iter().count(), 3);
        let mut new = Samples::default();
        assert_eq!(new.put(sample(2_000, 0, 7.0), 4, 9), Some(9), "late, but all there is");
        assert_eq!(number(&new, 8), None);
        assert_eq!(number(&new, 9), Some(7.0));
    }

    #[test]
    fn seconds_are_whole_before_1970_too() {
        assert_eq!(second_of(Timestamp::from_micros(-1)), -1);
        assert_eq!(second_from(Timestamp::from_micros(-1)), 0);
        assert_eq!(second_from(Timestamp::from_micros(1)), 1);
        assert_eq!(second_from(Timestamp::from_micros(2_000_000)), 2);
    }
}
