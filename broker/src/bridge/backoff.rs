//! How long a bridge waits before it connects again.

use std::time::Duration;

/// The first pause, before it is made uneven.
const FIRST: Duration = Duration::from_millis(250);
/// A connection that stood this long was a good one: the next pause is a first one again.
const GOOD: Duration = Duration::from_secs(10);

/// Doubles from a quarter of a second with each failure in a row; uneven, so that many bridges do not
/// come back to their broker in the same instant.
#[derive(Debug)]
pub(crate) struct Backoff {
    failures: u32,
    longest: Duration,
}

impl Backoff {
    pub(crate) const fn new(longest: Duration) -> Self {
        Self { failures: 0, longest }
    }

    /// A connection has ended that stood for `stood`. One that is taken from us again and again, by
    /// another client with our name, is no good one.
    pub(crate) fn ended(&mut self, stood: Duration) {
        if stood >= GOOD {
            self.failures = 0;
        }
    }

    /// The next pause: from half to the whole of what is due, as `dice` has it.
    pub(crate) fn pause(&mut self, dice: u32) -> Duration {
        let due = FIRST.saturating_mul(1 << self.failures.min(20)).min(self.longest);
        self.failures = self.failures.saturating_add(1);
        let half = due / 2;
        half + half.mul_f64(f64::from(dice) / f64::from(u32::MAX))
    }
}

/// A throw of dice. The system has always some; if not, pauses are even.
pub(crate) fn throw() -> u32 {
    getrandom::u32().unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_longest_and_are_uneven() {
        let mut backoff = Backoff::new(Duration::from_secs(3));
        let pauses: Vec<_> = (0..6).map(|_| backoff.pause(u32::MAX).as_millis()).collect();
        assert_eq!(pauses, [250, 500, 1_000, 2_000, 3_000, 3_000]);
        assert_eq!(backoff.pause(0).as_millis(), 1_500, "half at least");
    }

    #[test]
    fn only_a_connection_that_stood_begins_anew() {
        let mut backoff = Backoff::new(Duration::from_secs(30));
        backoff.pause(0);
        backoff.ended(Duration::from_secs(1));
        assert_eq!(backoff.pause(u32::MAX).as_millis(), 500);
        backoff.ended(GOOD);
        assert_eq!(backoff.pause(u32::MAX).as_millis(), 250);
    }
}
