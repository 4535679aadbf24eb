//! Which event times are taken, and when a device's clock counts as wrong.

use std::time::Duration;

use bellwire_ingest::policy::TimePolicy;
use serde::{Deserialize, Serialize};

/// The most that may be ahead: who is in the wrong time zone is less far off.
const FUTURE_SECS_MAX: u64 = 86_400;
/// A hundred years: the earliest time a reading may have is 1970.
const PAST_DAYS_MAX: u64 = 36_500;

/// What becomes of payloads on their way in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IngestSection {
    /// Times and clocks.
    pub time: TimeSection,
}

/// Times and clocks. A reading's own time is taken as it is or not at all; it is never changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TimeSection {
    /// A reading whose own time is further ahead of its receipt is quarantined as
    /// `future_timestamp`, seconds, 0 to 86,400. Default 300: clocks that nobody sets drift by less
    /// in a year, and what is further ahead would hide everything after it.
    pub future_max_secs: u64,
    /// A reading whose own time is further behind its receipt is quarantined as `past_timestamp`,
    /// days, 1 to 36,500. Default: none, which means that stored and historical readings are taken
    /// however old they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub past_max_days: Option<u64>,
    /// A device whose clock is further off, whichever way, is counted in
    /// `bellwire_devices_clock_skewed`, seconds. Default 5: more than any network delays, and less
    /// than people notice.
    pub skew_max_secs: u64,
}

impl Default for TimeSection {
    fn default() -> Self {
        Self { future_max_secs: 300, past_max_days: None, skew_max_secs: 5 }
    }
}

impl TimeSection {
    /// Whether the values can work.
    ///
    /// # Errors
    /// What would be right.
    pub fn check(&self) -> Result<(), String> {
        if self.future_max_secs > FUTURE_SECS_MAX {
            return Err(format!("ingest.time.future_max_secs must be 0 to {FUTURE_SECS_MAX}"));
        }
        if self.past_max_days.is_some_and(|days| !(1..=PAST_DAYS_MAX).contains(&days)) {
            return Err(format!(
                "ingest.time.past_max_days must be 1 to {PAST_DAYS_MAX}; absent, nothing is too old"
            ));
        }
        Ok(())
    }

    /// Which times are taken.
    #[must_use]
    pub fn policy(&self) -> TimePolicy {
        TimePolicy {
            future_max: Duration::from_secs(self.future_max_secs),
            past_max: self.past_max_days.map(|days| Duration::from_secs(days * 86_400)),
        }
    }

    /// From where on a clock counts as wrong.
    #[must_use]
    pub const fn skew_max(&self) -> Duration {
        Duration::from_secs(self.skew_max_secs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_what_held_before_there_was_a_choice() {
        assert_eq!(TimeSection::default().policy(), TimePolicy::default());
        assert_eq!(TimeSection::default().skew_max(), bellwire_ingest::present::SKEW_MAX);
    }
}
