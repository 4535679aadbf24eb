//! What decides how publishes are read: the policy of times and the mappings, both of them records
//! of the log.
//!
//! *Judge* and *keep* must come to the same verdict on the same publish, also when the
//! configuration was changed between: so it is not the configuration that decides but the latest
//! records before the publish in the log (`docs/decisions/0018`, `0049`).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bellwire_model::{LogPosition, RejectReason, Timestamp};

use crate::mapping::Mappings;
use crate::nodes::SharedNodes;

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

/// What decides how a publish is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Which times are taken.
    pub policy: TimePolicy,
    /// What topics mean that are not built in.
    pub mappings: Arc<Mappings>,
}

/// The terms in force from which position on, from *judge* to *keep*. It holds those that changed
/// since where the database is: a start changes them, and who writes other mappings.
#[derive(Clone, Debug, Default)]
pub struct SharedTerms {
    all: Arc<Mutex<Vec<(LogPosition, Terms)>>>,
    nodes: SharedNodes,
}

impl SharedTerms {
    /// What else decides: what nodes have said of themselves at birth.
    #[must_use]
    pub const fn nodes(&self) -> &SharedNodes {
        &self.nodes
    }

    /// From `position` on these are the terms; positions ascend.
    pub fn set(&self, position: LogPosition, terms: Terms) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if all.last().is_none_or(|(_, last)| *last != terms) {
            all.push((position, terms));
        }
    }

    /// The terms in force at `position`, which is not before where judging began.
    #[must_use]
    pub fn at(&self, position: LogPosition) -> Terms {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let index = all.partition_point(|(from, _)| *from <= position);
        index.checked_sub(1).map_or_else(Terms::default, |index| all[index].1.clone())
    }

    /// Forgets what held only before `position`: nobody reads there again.
    pub fn forget_before(&self, position: LogPosition) {
        self.nodes.forget_before(position);
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let index = all.partition_point(|(from, _)| *from <= position);
        all.drain(..index.saturating_sub(1));
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

    fn terms(future_secs: u64, mappings: &str) -> Terms {
        let mappings = Arc::new(Mappings::parse(mappings).expect("right"));
        Terms { policy: policy(future_secs, None), mappings }
    }

    #[test]
    fn each_position_has_the_terms_before_it() {
        const MAPPING: &str = "[[mapping]]\ntopic = 'x/{device}'\nformat = 'json'";
        let all = SharedTerms::default();
        assert_eq!(all.at(LogPosition(5)), Terms::default());
        all.set(LogPosition(10), terms(1, ""));
        all.set(LogPosition(20), terms(1, ""));
        all.set(LogPosition(30), terms(2, ""));
        all.set(LogPosition(40), terms(2, MAPPING));
        assert_eq!(all.all.lock().expect("whole").len(), 3, "the same again is no change");
        let expected = [(10, terms(1, "")), (29, terms(1, "")), (30, terms(2, ""))];
        for (position, terms) in expected {
            assert_eq!(all.at(LogPosition(position)), terms);
        }
        all.forget_before(LogPosition(39));
        assert_eq!(all.at(LogPosition(39)), terms(2, ""), "what holds there is still known");
        assert_eq!(all.at(LogPosition(99)), terms(2, MAPPING));
        assert_eq!(all.all.lock().expect("whole").len(), 2);
    }
}
