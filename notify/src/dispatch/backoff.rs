//! How long a receiver that fails is left alone.

use std::time::Duration;

use bellwire_model::Timestamp;

/// The pause after the first failure; each further one doubles it.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// The longest pause of ours.
const PAUSE_MAX: Duration = Duration::from_secs(300);
/// The longest that a receiver can ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);

/// How a receiver has failed of late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Backoff {
    n_failures: u32,
    /// It is left alone before.
    pub(super) until: Timestamp,
}

impl Backoff {
    pub(super) const fn is_failing(&self) -> bool {
        self.n_failures > 0
    }

    /// It failed once more. Those that failed together count once. The pause is random within its upper
    /// half, so that not all services come back at once; and at least what the receiver asks for.
    pub(super) fn failed(&mut self, now: Timestamp, retry_after: Option<Duration>, dice: u64) {
        let asked = now + retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
        if self.is_failing() && now < self.until {
            self.until = self.until.max(asked);
            return;
        }
        let doubled = PAUSE_MIN.saturating_mul(1 << self.n_failures.min(16));
        let whole = doubled.min(PAUSE_MAX);
        let part = u32::try_from(dice % 1_000).unwrap_or_default();
        let pause = whole / 2 + whole / 2 * part / 1_000;
        self.n_failures = self.n_failures.saturating_add(1);
        self.until = (now + pause).max(asked);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_five_minutes() {
        let mut backoff = Backoff::default();
        let mut now = Timestamp::from_secs(1_000);
        for expected_ms in [500, 1_000, 2_000, 4_000, 8_000] {
            backoff.failed(now, None, 0);
            assert_eq!(backoff.until.since(now), Duration::from_millis(expected_ms));
            now = backoff.until;
        }
        for dice in 0..2_000 {
            backoff.failed(now, None, dice);
            assert!(backoff.until.since(now) <= PAUSE_MAX);
            now = backoff.until;
        }
        assert!(backoff.is_failing());
    }

    #[test]
    fn a_receiver_says_how_long_it_wants_to_be_left_alone() {
        let now = Timestamp::from_secs(1_000);
        let mut backoff = Backoff::default();
        backoff.failed(now, Some(Duration::from_secs(120)), 999);
        assert_eq!(backoff.until.since(now), Duration::from_secs(120));
        backoff.failed(now, Some(Duration::from_secs(1 << 40)), 999);
        assert_eq!(backoff.until.since(now), RETRY_AFTER_MAX);
    }

    #[test]
    fn those_that_fail_together_count_once() {
        let now = Timestamp::from_secs(1_000);
        let mut backoff = Backoff::default();
        (0..4).for_each(|_| backoff.failed(now, None, 0));
        assert_eq!(backoff.until.since(now), Duration::from_millis(500));
    }
}
