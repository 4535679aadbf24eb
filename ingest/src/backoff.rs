//! How *keep* waits for a database that is away.

use std::time::Duration;

use bellwire_model::LogId;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// The first pause; each is twice the one before, up to the longest.
const PAUSE: Duration = Duration::from_millis(50);

/// Pauses between tries, and says once that the database is away and once that it is back.
///
/// Each pause is shortened by up to a half, differently for each log: services that lost one
/// database together do not come back to it together.
#[derive(Debug)]
pub(crate) struct Backoff {
    pause: Duration,
    pause_max: Duration,
    dice: u64,
    since: Option<Instant>,
}

impl Backoff {
    pub(crate) const fn new(pause_max: Duration, log: LogId) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "half of a random number is random")]
        let dice = (log.0 ^ (log.0 >> 64)) as u64;
        Self { pause: PAUSE, pause_max, dice, since: None }
    }

    /// Notes a failure, and says the first.
    pub(crate) fn failed(&mut self, what: &str, error: &(dyn std::error::Error + 'static)) {
        if self.since.is_none() {
            self.since = Some(Instant::now());
            warn!(error, "Failed to {what} the database; readings wait in the log.");
        }
    }

    /// Says that it is over, if there was a failure.
    pub(crate) fn succeeded(&self) {
        if let Some(since) = self.since {
            info!("The database is back after {:.1} s.", since.elapsed().as_secs_f64());
        }
    }

    /// Waits for the next try; false if told to give up.
    pub(crate) async fn wait(&mut self, give_up: &CancellationToken) -> bool {
        let pause = self.next_pause();
        tokio::select! {
            () = give_up.cancelled() => false,
            () = tokio::time::sleep(pause) => true,
        }
    }

    fn next_pause(&mut self) -> Duration {
        let whole = self.pause.min(self.pause_max);
        self.pause = (self.pause * 2).min(self.pause_max);
        // Xorshift: enough for a fraction of 1024.
        self.dice |= 1;
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        let fraction = u32::try_from(self.dice >> 54).unwrap_or_default();
        whole - whole / 2 * fraction / 1024
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pauses(log: LogId) -> Vec<Duration> {
        let mut backoff = Backoff::new(Duration::from_secs(1), log);
        (0..40).map(|_| backoff.next_pause()).collect()
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_are_shortened_by_less_than_a_half() {
        for log in [LogId(0), LogId(7), LogId(u128::MAX)] {
            for (n, pause) in (0..).zip(pauses(log)) {
                let whole = (PAUSE * 2_u32.pow(n.min(10))).min(Duration::from_secs(1));
                assert!(pause <= whole && pause > whole / 2, "{pause:?} of {whole:?}");
            }
        }
    }

    #[test]
    fn two_services_come_back_at_different_times() {
        let (one, other) = (pauses(LogId(0x5eed << 70)), pauses(LogId(0x5eee << 70)));
        let n_same = one.iter().zip(&other).filter(|(one, other)| one == other).count();
        assert!(n_same < 5, "{n_same} of 40 pauses are the same");
    }

    #[test]
    fn a_longest_pause_below_the_first_is_kept_to() {
        let mut backoff = Backoff::new(Duration::from_millis(1), LogId(1));
        assert!((0..5).all(|_| backoff.next_pause() <= Duration::from_millis(1)));
    }
}
