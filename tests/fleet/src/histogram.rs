//! How long things took: fixed buckets, each 3% wide, that can be added up across connections.

use std::time::Duration;

/// Buckets per doubling, as a power of two: 32, so a bucket is at most 1/32 of its value wide.
const SUB_BITS: u32 = 5;
const SUB: usize = 1 << SUB_BITS;
/// Durations of 2^46 ns (19 hours) or more count in the last bucket.
const EXPONENT_MAX: u32 = 46;
const BUCKETS: usize = ((EXPONENT_MAX - SUB_BITS + 1) as usize) * SUB;

/// A count of durations in log-linear buckets, from 1 ns to 19 hours; about 11 KB.
#[derive(Clone, Debug)]
pub struct Histogram {
    buckets: Box<[u64]>,
    count: u64,
    max_ns: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: vec![0; BUCKETS].into_boxed_slice(), count: 0, max_ns: 0 }
    }
}

impl Histogram {
    /// Counts one duration.
    pub fn record(&mut self, duration: Duration) {
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[bucket_of(ns)] += 1;
        self.count += 1;
        self.max_ns = self.max_ns.max(ns);
    }

    /// Adds what `other` has counted.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += theirs;
        }
        self.count += other.count;
        self.max_ns = self.max_ns.max(other.max_ns);
    }

    /// How many it has counted.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The longest.
    #[must_use]
    pub const fn max(&self) -> Duration {
        Duration::from_nanos(self.max_ns)
    }

    /// The duration that `per_mille` thousandths of all do not exceed, up to 3% too long:
    /// 500 is the median, 990 p99, 999 p99.9. `None` if nothing was counted.
    #[must_use]
    pub fn quantile(&self, per_mille: u64) -> Option<Duration> {
        if self.count == 0 {
            return None;
        }
        let rank = self.count.saturating_mul(per_mille.min(1000)).div_ceil(1000).max(1);
        let mut seen = 0;
        for (at, n) in self.buckets.iter().enumerate() {
            seen += n;
            if seen >= rank {
                return Some(Duration::from_nanos(last_of(at).min(self.max_ns)));
            }
        }
        Some(self.max())
    }
}

const fn bucket_of(ns: u64) -> usize {
    if ns < SUB as u64 {
        return ns as usize;
    }
    let exponent = u64::BITS - 1 - ns.leading_zeros();
    if exponent >= EXPONENT_MAX {
        return BUCKETS - 1;
    }
    let shift = exponent - SUB_BITS;
    ((shift + 1) as usize) * SUB + ((ns >> shift) as usize & (SUB - 1))
}

/// The longest duration that counts in this bucket, in nanoseconds.
const fn last_of(bucket: usize) -> u64 {
    if bucket < SUB {
        return bucket as u64;
    }
    let shift = bucket / SUB - 1;
    (((SUB + bucket % SUB + 1) as u64) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_duration_counts_in_a_bucket_that_holds_it() {
        let mut ns = 1_u64;
        while ns < 1 << 45 {
            let at = bucket_of(ns);
            assert!(last_of(at) >= ns && last_of(at - 1) < ns, "{ns}");
            assert!(last_of(at) - ns <= ns / 31 + 1, "{ns}: {}", last_of(at));
            ns += ns / 7 + 1;
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_those_of_what_was_counted() {
        let (mut low, mut high) = (Histogram::default(), Histogram::default());
        assert_eq!(low.quantile(500), None);
        (1..=500).for_each(|us| low.record(Duration::from_micros(us)));
        (501..=1000).for_each(|us| high.record(Duration::from_micros(us)));
        low.merge(&high);
        let near = |per_mille: u64, us: u64| {
            let found = low.quantile(per_mille).expect("counted").as_micros();
            assert!(found >= us.into() && found <= (us + us / 31).into(), "{found} for {us}");
        };
        near(500, 500);
        near(990, 990);
        assert_eq!(low.quantile(1000), Some(Duration::from_millis(1)));
        assert_eq!((low.count(), low.max()), (1000, Duration::from_millis(1)));
    }
}
