//! What numbers come to: the same for a rollup that is kept and for a bucket that is asked for.

use bellwire_model::Timestamp;

/// What some numbers of one metric come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Summary {
    pub(crate) count: u64,
    pub(crate) sum: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    /// The least of the earliest, and when.
    pub(crate) first: (Timestamp, f64),
    /// The greatest of the latest, and when.
    pub(crate) last: (Timestamp, f64),
}

impl Summary {
    /// Of one number.
    pub(crate) const fn of(at: Timestamp, value: f64) -> Self {
        Self { count: 1, sum: value, min: value, max: value, first: (at, value), last: (at, value) }
    }

    /// As if all had been one.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.sum += other.sum;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        if other.first < self.first {
            self.first = other.first;
        }
        if other.last > self.last {
            self.last = other.last;
        }
    }
}
