//! How long to wait before connecting again.

use std::time::Duration;

use tokio::time::Instant;

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(1);

/// Doubles from 50 ms to 1 s with each failure in a row; nothing while all is well.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
    down_since: Option<Instant>,
}

impl Backoff {
    /// Something failed at `now`.
    pub(crate) fn failed(&mut self, now: Instant) {
        self.failures += 1;
        self.down_since.get_or_insert(now);
    }

    /// The service did what we wanted of it.
    pub(crate) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// How long to wait now.
    pub(crate) fn delay(&self) -> Duration {
        match self.failures {
            0 => Duration::ZERO,
            failures => LONGEST.min(FIRST * 2_u32.pow(failures.min(6) - 1)),
        }
    }

    /// Since how long it has been failing.
    pub(crate) fn down_for(&self, now: Instant) -> Duration {
        self.down_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_up_to_a_second_and_forgets_on_success() {
        let now = Instant::now();
        let mut backoff = Backoff::default();
        let mut delays = Vec::new();
        for _ in 0..7 {
            delays.push(backoff.delay().as_millis());
            backoff.failed(now);
        }
        assert_eq!(delays, [0, 50, 100, 200, 400, 800, 1000]);
        assert_eq!(backoff.down_for(now + LONGEST), LONGEST);
        backoff.succeeded();
        assert_eq!((backoff.delay(), backoff.down_for(now)), (Duration::ZERO, Duration::ZERO));
    }
}
