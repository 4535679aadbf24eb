//! Sign-ins that are at a provider.

use std::collections::HashMap;
use std::time::Duration;

use bellwire_model::Timestamp;

use super::{Gate, lock};
use crate::auth::secret::SecretHash;

/// How long somebody may be at the provider.
pub(crate) const ATTEMPT_LASTS: Duration = Duration::from_secs(600);
/// The most who are there at once; beyond, whoever went first is forgotten and has to begin again.
const ATTEMPTS_MAX: usize = 1_000;

/// Who is at the provider, by the hash of their secret, and since when.
#[derive(Debug, Default)]
pub(super) struct Attempts(HashMap<SecretHash, Timestamp>);

impl Gate {
    /// Somebody goes to the provider.
    pub(crate) fn went_to_provider(&self, attempt: SecretHash) {
        let now = self.clock.now();
        let mut attempts = lock(&self.attempts);
        attempts.0.retain(|_, since| now.since(*since) < ATTEMPT_LASTS);
        if attempts.0.len() >= ATTEMPTS_MAX
            && let Some(first) = attempts.0.iter().min_by_key(|(_, since)| **since)
        {
            let first = *first.0;
            attempts.0.remove(&first);
        }
        attempts.0.insert(attempt, now);
    }

    /// Somebody is back; whether they went, not too long ago, and were not back before.
    pub(crate) fn came_back(&self, attempt: SecretHash) -> bool {
        let since = lock(&self.attempts).0.remove(&attempt);
        since.is_some_and(|since| self.clock.now().since(since) < ATTEMPT_LASTS)
    }
}
