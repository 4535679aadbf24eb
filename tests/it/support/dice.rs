//! Seeded chance: the same seed gives the same moments, so that a failure can be looked at again.

use std::time::Duration;

use tokio::time::{Instant, interval_at};

/// A source of numbers: SplitMix64.
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// Seeded by `BELLWIRE_TEST_SEED`, or else by `seed`; prints which.
    pub(crate) fn seeded(seed: u64) -> Self {
        let seed = from_env("BELLWIRE_TEST_SEED").unwrap_or(seed);
        println!("BELLWIRE_TEST_SEED={seed}");
        Self(seed)
    }

    /// Another source, whose numbers depend on this one's.
    pub(crate) fn fork(&mut self) -> Self {
        Self(self.below(u64::MAX))
    }

    /// A number from 0 to `end`, `end` excluded.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) % end
    }

    /// A moment within the next `ms` milliseconds; returns when it has come.
    pub(crate) async fn moment_within(&mut self, ms: u64) {
        let moment = Instant::now() + Duration::from_micros(self.below(ms * 1000));
        interval_at(moment, Duration::from_secs(1)).tick().await;
    }
}

/// A number from the environment; `None` if it is not set.
///
/// # Panics
/// If it is no number.
pub(crate) fn from_env(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} must be a number, not {text:?}")))
}
