//! What one client may publish yet: a bucket of publishes and one of bytes. Pure.

use std::time::Instant;

use crate::door::config::DoorLimits;
use crate::rate::Bucket;

/// Bytes that a publish has at least, about: no more are read than the publishes that are left.
const PUBLISH_BYTES: u64 = 8;
/// So much is read at a time if anything is: what is in it beyond the limit is a small debt.
const READ_BYTES_MIN: usize = 512;

/// What one client may publish yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    publishes: Bucket,
    bytes: Bucket,
}

/// Whether a client's socket may be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum May {
    /// At most so many bytes at once.
    Read(usize),
    /// Not before this instant.
    Wait(Instant),
}

impl Allowance {
    /// All of it.
    pub(crate) const fn new(now: Instant) -> Self {
        Self { publishes: Bucket::new(now), bytes: Bucket::new(now) }
    }

    /// Counts what came.
    pub(crate) fn count(
        &mut self,
        limits: &DoorLimits,
        n_publishes: u64,
        bytes: u64,
        now: Instant,
    ) {
        if let Some(rate) = limits.publishes {
            self.publishes.take(rate, n_publishes, now);
        }
        if let Some(rate) = limits.bytes {
            self.bytes.take(rate, bytes, now);
        }
    }

    /// Whether more may be read; of at most `bytes_max` bytes.
    pub(crate) fn may(&self, limits: &DoorLimits, bytes_max: usize, now: Instant) -> May {
        let buckets = [(limits.publishes, self.publishes), (limits.bytes, self.bytes)];
        let ready_at = buckets.iter().filter_map(|&(rate, bucket)| Some(bucket.ready_at(rate?)));
        if let Some(until) = ready_at.filter(|&at| at > now).max() {
            return May::Wait(until);
        }
        let publishes = limits.publishes.map(|rate| self.publishes.left(rate, now) * PUBLISH_BYTES);
        let bytes = limits.bytes.map(|rate| self.bytes.left(rate, now));
        let least = publishes.into_iter().chain(bytes).min().unwrap_or(u64::MAX);
        let least = usize::try_from(least).unwrap_or(usize::MAX);
        May::Read(least.max(READ_BYTES_MIN).min(bytes_max))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::door::config::{DoorConfig, ProxyConfig, RateConfig};

    fn limits(publishes: u32, bytes: u32) -> DoorLimits {
        let rate = RateConfig {
            publishes_per_second_max: publishes,
            publishes_burst: publishes,
            bytes_per_second_max: bytes,
            bytes_burst: bytes,
        };
        DoorLimits::new(&DoorConfig::default(), &ProxyConfig::default(), &rate).expect("in range")
    }

    fn start() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    #[test]
    fn without_limits_everything_is_read() {
        let (limits, now) = (limits(0, 0), start());
        let mut allowance = Allowance::new(now);
        allowance.count(&limits, 1 << 40, 1 << 50, now);
        assert_eq!(allowance.may(&limits, 65_536, now), May::Read(65_536));
    }

    #[test]
    fn the_stricter_limit_counts_and_its_debt_is_waited_for() {
        let (limits, now) = (limits(100, 10_000), start());
        let mut allowance = Allowance::new(now);
        assert_eq!(allowance.may(&limits, 65_536, now), May::Read(800));
        allowance.count(&limits, 10, 9_400, now);
        assert_eq!(allowance.may(&limits, 65_536, now), May::Read(600));
        allowance.count(&limits, 290, 100, now);
        let until = now + Duration::from_millis(2_010);
        assert_eq!(allowance.may(&limits, 65_536, now), May::Wait(until));
        assert_eq!(allowance.may(&limits, 65_536, until), May::Read(512));
    }
}
