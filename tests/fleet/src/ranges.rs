//! A set of whole numbers that mostly come in order, kept as ranges: the `n`s of one device.

use std::fmt;
use std::str::FromStr;

/// A set of `u64`, as ascending ranges that neither overlap nor touch.
///
/// Numbers that come in order cost no memory and a few nanoseconds each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeSet {
    /// First and last of each range, both in the set.
    ranges: Vec<(u64, u64)>,
}

impl RangeSet {
    /// Adds `n`; a second time changes nothing.
    pub fn insert(&mut self, n: u64) {
        match self.ranges.last_mut() {
            None => self.ranges.push((n, n)),
            Some(last) if n == last.1.saturating_add(1) => last.1 = n,
            Some(last) if n > last.1 => self.ranges.push((n, n)),
            Some(_) => self.insert_before_end(n),
        }
    }

    fn insert_before_end(&mut self, n: u64) {
        // The first range that ends at `n - 1` or later: `n` lies in it, touches it, or precedes it.
        let at = self.ranges.partition_point(|range| range.1.saturating_add(1) < n);
        let Some(range) = self.ranges.get_mut(at) else {
            self.ranges.push((n, n));
            return;
        };
        if range.0 <= n && n <= range.1 {
            return;
        }
        if n == range.1.saturating_add(1) {
            range.1 = n;
            if self.ranges.get(at + 1).is_some_and(|next| next.0 == n + 1) {
                let next = self.ranges.remove(at + 1);
                self.ranges[at].1 = next.1;
            }
        } else if n + 1 == range.0 {
            range.0 = n;
        } else {
            self.ranges.insert(at, (n, n));
        }
    }

    /// Adds `first` to `last`, both included. They must lie above everything in the set, or the
    /// numbers are added one by one.
    pub fn insert_range(&mut self, first: u64, last: u64) {
        if first > last {
            return;
        }
        match self.ranges.last_mut() {
            Some(end) if first == end.1.saturating_add(1) => end.1 = last,
            Some(end) if first <= end.1 => (first..=last).for_each(|n| self.insert(n)),
            _ => self.ranges.push((first, last)),
        }
    }

    /// Whether `n` is in the set.
    #[must_use]
    pub fn contains(&self, n: u64) -> bool {
        let at = self.ranges.partition_point(|range| range.1 < n);
        self.ranges.get(at).is_some_and(|range| range.0 <= n)
    }

    /// How many numbers it has.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.ranges.iter().map(|(first, last)| last - first + 1).sum()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Its ranges, ascending; both ends are in the set.
    #[must_use]
    pub fn ranges(&self) -> &[(u64, u64)] {
        &self.ranges
    }

    /// What this set has and `other` has not.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        let mut rest = Self::default();
        let mut cuts = other.ranges.iter().peekable();
        for &(first, last) in &self.ranges {
            let mut from = first;
            while let Some(&&(cut_first, cut_last)) = cuts.peek() {
                if cut_last < from {
                    cuts.next();
                    continue;
                }
                if cut_first > last {
                    break;
                }
                if cut_first > from {
                    rest.ranges.push((from, cut_first - 1));
                }
                from = cut_last.saturating_add(1);
                if cut_last > last {
                    break;
                }
                cuts.next();
            }
            if from <= last {
                rest.ranges.push((from, last));
            }
        }
        rest
    }
}

impl fmt::Display for RangeSet {
    /// `1-400,402,410-500`; `-` for the empty set.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.ranges.is_empty() {
            return f.write_str("-");
        }
        for (at, (first, last)) in self.ranges.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            if first == last {
                write!(f, "{comma}{first}")?;
            } else {
                write!(f, "{comma}{first}-{last}")?;
            }
        }
        Ok(())
    }
}

/// A text that is no [`RangeSet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RangeError;

impl fmt::Display for RangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ranges must ascend and look like 1-400,402")
    }
}

impl std::error::Error for RangeError {}

impl FromStr for RangeSet {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        let mut set = Self::default();
        if text == "-" {
            return Ok(set);
        }
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let first: u64 = first.parse().map_err(|_| RangeError)?;
            let last: u64 = last.parse().map_err(|_| RangeError)?;
            let ascends = set.ranges.last().is_none_or(|end| end.1 < first);
            if first > last || !ascends {
                return Err(RangeError);
            }
            set.insert_range(first, last);
        }
        Ok(set)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::random::hash;

    fn set(text: &str) -> RangeSet {
        text.parse().expect("a valid set")
    }

    #[test]
    fn any_order_of_insertion_gives_the_same_set() {
        for seed in 0..50 {
            let mut ranges = RangeSet::default();
            let mut plain = BTreeSet::new();
            for step in 0..200 {
                let n = hash(seed, step, 0) % 150;
                ranges.insert(n);
                plain.insert(n);
            }
            assert_eq!(ranges.count(), plain.len() as u64, "seed {seed}");
            assert!((0..151).all(|n| ranges.contains(n) == plain.contains(&n)), "seed {seed}");
            let apart = ranges.ranges().windows(2).all(|pair| pair[0].1 + 1 < pair[1].0);
            assert!(apart, "seed {seed}: {ranges}");
            assert_eq!(set(&ranges.to_string()), ranges);
        }
    }

    #[test]
    fn what_is_missing_is_the_difference() {
        let check = |a: &str, b: &str, rest: &str| {
            assert_eq!(set(a).minus(&set(b)).to_string(), rest, "{a} minus {b}");
        };
        check("1-10", "-", "1-10");
        check("1-10", "1-10", "-");
        check("1-10", "3,5-6", "1-2,4,7-10");
        check("1-3,7-9", "2-8", "1,9");
        check("5-6", "1-5,9", "6");
        check("1-3,5-9", "4", "1-3,5-9");
    }

    #[test]
    fn ranges_that_do_not_ascend_are_refused() {
        for text in ["", "3-1", "5,4", "1-4,4", "x"] {
            assert_eq!(text.parse::<RangeSet>(), Err(RangeError), "{text:?}");
        }
    }
}
