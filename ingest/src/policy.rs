//! Which event times are taken: a policy that is itself a record of the log.
//!
//! *Judge* and *keep* must come to the same verdict on the same publish, also when the
//! configuration was changed between: so it is not the configuration that decides but the latest
//! policy before the publish in the log (`docs/decisions/0018`).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bellwire_model::{LogPosition, RejectReason, Timestamp};

/// How far from receive time a reading's own time may be; beyond it the reading is quarantined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimePolicy {
    /// How far ahead.
    pub future_max: Duration,
    /// How far behind; `None`: as far as may be.
    pub past_max: Option<Duration>,
}

impl Default for TimePolicy {
    /// What held before policies were recorded: 5 minutes ahead, nothing too old.
    fn default() -> Self {
        Self { future_max: Duration::from_secs(300), past_max: None }
    }
}

impl TimePolicy {
    /// Why a reading of this time is not taken; `None` if it is. Both bounds belong to what is.
    #[must_use]
    pub fn refuses(&self, at: Timestamp, received_at: Timestamp) -> Option<RejectReason> {
        if at > received_at + self.future_max {
            Some(RejectReason::FutureTimestamp)
        } else if self.past_max.is_some_and(|past_max| at < received_at - past_max) {
            Some(RejectReason::PastTimestamp)
        } else {
            None
        }
    }
}

/// The policies in force from which position on, from *judge* to *keep*. It holds one for each
/// time the policy changed since where judging began: a start can change it, nothing else.
#[derive(Clone, Debug, Default)]
pub struct SharedPolicies(Arc<Mutex<Vec<(LogPosition, TimePolicy)>>>);

impl SharedPolicies {
    /// From `position` on this is the policy; positions ascend.
    pub fn set(&self, position: LogPosition, policy: TimePolicy) {
        let mut policies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if policies.last().is_none_or(|(_, last)| *last != policy) {
            policies.push((position, policy));
        }
    }

    /// The policy in force at `position`, which is not before where judging began.
    #[must_use]
    pub fn at(&self, position: LogPosition) -> TimePolicy {
        let policies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let index = policies.partition_point(|(from, _)| *from <= position);
        index.checked_sub(1).map_or_else(TimePolicy::default, |index| policies[index].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

    fn policy(future_secs: u64, past_secs: Option<u64>) -> TimePolicy {
        let past_max = past_secs.map(Duration::from_secs);
        TimePolicy { future_max: Duration::from_secs(future_secs), past_max }
    }

    #[test]
    fn both_bounds_are_taken_and_a_microsecond_beyond_is_not() {
        let policy = policy(60, Some(3_600));
        let micros = |offset: i64| Timestamp::from_micros(NOW.as_micros() + offset);
        for (offset, refused) in [
            (0, None),
            (60_000_000, None),
            (60_000_001, Some(RejectReason::FutureTimestamp)),
            (-3_600_000_000, None),
            (-3_600_000_001, Some(RejectReason::PastTimestamp)),
        ] {
            assert_eq!(policy.refuses(micros(offset), NOW), refused, "{offset} µs");
        }
    }

    #[test]
    fn without_a_bound_nothing_is_too_old() {
        assert_eq!(TimePolicy::default().refuses(Timestamp::EPOCH, NOW), None);
    }

    #[test]
    fn each_position_has_the_policy_before_it() {
        let policies = SharedPolicies::default();
        assert_eq!(policies.at(LogPosition(5)), TimePolicy::default());
        policies.set(LogPosition(10), policy(1, None));
        policies.set(LogPosition(20), policy(1, None));
        policies.set(LogPosition(30), policy(2, None));
        assert_eq!(policies.0.lock().expect("whole").len(), 2, "the same again is no change");
        for (position, future_secs) in [(10, 1), (29, 1), (30, 2), (99, 2)] {
            assert_eq!(policies.at(LogPosition(position)), policy(future_secs, None));
        }
    }
}
