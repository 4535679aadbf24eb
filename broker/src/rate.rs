//! A token bucket that may go into debt: what comes is counted whole, and then it has to wait.
//!
//! Pure: `now` is an argument. A bucket is one instant: when all that was taken will be paid for.

use std::time::{Duration, Instant};

/// How many tokens come per second, and how many may be saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    per_second: u32,
    /// What the saved tokens are worth in time.
    saved: Duration,
}

impl Rate {
    /// `per_second` tokens, of which `burst` may be saved, at least one; `None` if `per_second` is
    /// 0, which means that there is no limit.
    pub(crate) fn new(per_second: u32, burst: u32) -> Option<Self> {
        (per_second > 0)
            .then(|| Self { per_second, saved: worth(per_second, u64::from(burst.max(1))) })
    }

    /// How long `n` tokens take to come.
    fn worth(self, n: u64) -> Duration {
        worth(self.per_second, n)
    }
}

fn worth(per_second: u32, n: u64) -> Duration {
    let nanos = u128::from(n) * 1_000_000_000 / u128::from(per_second);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// A bucket of tokens, full at first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bucket {
    paid_at: Instant,
}

impl Bucket {
    /// A full bucket.
    pub(crate) const fn new(now: Instant) -> Self {
        Self { paid_at: now }
    }

    /// Takes one token if there is one.
    pub(crate) fn try_take(&mut self, rate: Rate, now: Instant) -> Taken {
        let paid_at = self.paid_at.max(now) + rate.worth(1);
        if paid_at > now + rate.saved {
            return Taken::No;
        }
        self.paid_at = paid_at;
        Taken::Yes
    }

    /// Gives back a token that was taken.
    pub(crate) fn give_back(&mut self, rate: Rate) {
        self.paid_at = self.paid_at.checked_sub(rate.worth(1)).unwrap_or(self.paid_at);
    }

    /// Takes `n` tokens, whether they are there or not.
    pub(crate) fn take(&mut self, rate: Rate, n: u64, now: Instant) {
        let paid_at = self.paid_at.max(now).checked_add(rate.worth(n));
        self.paid_at = paid_at.unwrap_or(self.paid_at);
    }

    /// When there is a token again: `now` or earlier if there is one.
    pub(crate) fn ready_at(&self, rate: Rate) -> Instant {
        // One token must be there, or each would be taken on credit.
        (self.paid_at + rate.worth(1)).checked_sub(rate.saved).unwrap_or(self.paid_at)
    }

    /// How many whole tokens there are.
    pub(crate) fn left(&self, rate: Rate, now: Instant) -> u64 {
        let left = (now + rate.saved).saturating_duration_since(self.paid_at.max(now));
        let tokens = left.as_nanos() * u128::from(rate.per_second) / 1_000_000_000;
        u64::try_from(tokens).unwrap_or(u64::MAX)
    }

    /// Whether it is full: then it is as good as new.
    pub(crate) fn is_full(&self, now: Instant) -> bool {
        self.paid_at <= now
    }
}

/// Whether a token was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It was, and is taken.
    Yes,
    /// It was not.
    No,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn start() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn n_taken(bucket: &mut Bucket, rate: Rate, now: Instant) -> usize {
        (0..10_000).take_while(|_| bucket.try_take(rate, now) == Taken::Yes).count()
    }

    #[test]
    fn what_is_saved_goes_at_once_and_the_rest_at_the_rate() {
        let (rate, now) = (Rate::new(10, 50).expect("a rate"), start());
        let mut bucket = Bucket::new(now);
        assert_eq!(bucket.left(rate, now), 50);
        assert_eq!(n_taken(&mut bucket, rate, now), 50);
        assert_eq!(n_taken(&mut bucket, rate, now + SECOND), 10);
        assert_eq!(n_taken(&mut bucket, rate, now + 3 * SECOND), 20);
        assert!(!bucket.is_full(now + 7 * SECOND));
        assert!(bucket.is_full(now + 8 * SECOND));
        assert_eq!(n_taken(&mut bucket, rate, now + 1000 * SECOND), 50, "and no more is saved");
    }

    #[test]
    fn a_token_that_is_given_back_can_be_taken_and_no_other() {
        let (rate, now) = (Rate::new(10, 5).expect("a rate"), start());
        let mut bucket = Bucket::new(now);
        assert_eq!(n_taken(&mut bucket, rate, now), 5);
        bucket.give_back(rate);
        bucket.give_back(rate);
        assert_eq!(n_taken(&mut bucket, rate, now), 2);
        assert_eq!(n_taken(&mut bucket, rate, now + SECOND), 5);
        bucket.give_back(rate);
        assert_eq!(n_taken(&mut bucket, rate, now + 100 * SECOND), 5, "no more than full");
    }

    #[test]
    fn a_debt_is_paid_before_there_is_a_token_again() {
        let (rate, now) = (Rate::new(100, 100).expect("a rate"), start());
        let mut bucket = Bucket::new(now);
        assert!(bucket.ready_at(rate) <= now);
        bucket.take(rate, 99, now);
        assert!(bucket.ready_at(rate) <= now);
        bucket.take(rate, 201, now);
        assert_eq!(bucket.ready_at(rate), now + 2 * SECOND + SECOND / 100);
        assert_eq!(bucket.left(rate, now + 2 * SECOND), 0);
        assert_eq!(bucket.left(rate, now + 2 * SECOND + SECOND / 100), 1);
    }

    #[test]
    fn no_rate_is_no_limit_and_a_token_can_always_be_saved() {
        assert_eq!(Rate::new(0, 9), None);
        let (rate, now) = (Rate::new(1, 0).expect("a rate"), start());
        let mut bucket = Bucket::new(now);
        assert_eq!(n_taken(&mut bucket, rate, now), 1);
        bucket.take(rate, u64::MAX, now);
        assert_eq!(bucket.try_take(rate, now + SECOND), Taken::No);
    }

    proptest! {
        #[test]
        fn never_more_than_the_burst_and_the_rate_allow(
            per_second in 1..5_000_u32,
            burst in 1..5_000_u32,
            steps in prop::collection::vec((0..3_000_u64, 1..200_u64), 1..60),
        ) {
            let rate = Rate::new(per_second, burst).expect("a rate");
            let began = start();
            let (mut now, mut bucket, mut taken) = (began, Bucket::new(began), 0_u64);
            for (wait_ms, wanted) in steps {
                now += Duration::from_millis(wait_ms);
                taken += (0..wanted).filter(|_| bucket.try_take(rate, now) == Taken::Yes).count() as u64;
                let earned = (now - began).as_nanos() * u128::from(per_second) / 1_000_000_000;
                // Each token's time is rounded down to a nanosecond.
                prop_assert!(u128::from(taken) <= u128::from(burst) + earned + 2);
                prop_assert!(bucket.ready_at(rate) <= now || bucket.left(rate, now) == 0);
            }
        }
    }
}
