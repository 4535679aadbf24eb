//! Handling: what operators do with alerts, what mutes them, and each step of it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::words::words;
use crate::{AlertId, Matchers, Timestamp};

/// A silence's identity: 128 bits, 32 digits of hexadecimal as text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SilenceId(pub u128);

impl fmt::Display for SilenceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for SilenceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SilenceId({self})")
    }
}

/// A text that is no silence's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSilenceId;

impl fmt::Display for NoSilenceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a silence's id is 32 lower-case digits of hexadecimal")
    }
}

impl std::error::Error for NoSilenceId {}

impl FromStr for SilenceId {
    type Err = NoSilenceId;

    fn from_str(text: &str) -> Result<Self, NoSilenceId> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 32 || !text.bytes().all(is_digit) {
            return Err(NoSilenceId);
        }
        u128::from_str_radix(text, 16).map(Self).map_err(|_| NoSilenceId)
    }
}

/// Somebody has an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    /// Who.
    pub by: Arc<str>,
    /// Since when, by our clock.
    pub at: Timestamp,
}

/// How an alert is handled. What is all empty is written as none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handling {
    /// Who has it, if somebody does.
    pub acknowledged: Option<Acknowledgement>,
    /// Who is to see to it.
    pub assigned_to: Option<Arc<str>>,
    /// Until when nobody is told of it, by our clock.
    pub snoozed_until: Option<Timestamp>,
    /// It is over, and stays in sight until somebody acknowledges it.
    pub latched: bool,
    /// The silences that mute it, in order.
    pub silenced_by: Vec<SilenceId>,
    /// An alert in the light of which this one says nothing new.
    pub inhibited_by: Option<AlertId>,
    /// How often it went one level up because nobody acknowledged it.
    pub escalation: u8,
}

impl Handling {
    /// Whether there is nothing to say.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether nobody is to be told: it is silenced, inhibited or snoozed.
    #[must_use]
    pub const fn is_muted(&self) -> bool {
        !self.silenced_by.is_empty() || self.inhibited_by.is_some() || self.snoozed_until.is_some()
    }
}

words! {
    /// A step in the handling of an alert.
    StepKind {
        /// Somebody has it.
        Acknowledged = "acknowledged",
        /// He gave it back.
        Unacknowledged = "unacknowledged",
        /// It became worse than what was acknowledged, or never was.
        AckDropped = "ack_dropped",
        /// Somebody is to see to it.
        Assigned = "assigned",
        /// Nobody is any more.
        Unassigned = "unassigned",
        /// Somebody said something about it.
        Commented = "commented",
        /// Nobody is told of it for a while.
        Snoozed = "snoozed",
        /// That is over.
        SnoozeEnded = "snooze_ended",
        /// A silence mutes it.
        Silenced = "silenced",
        /// That silence does not any more.
        Unsilenced = "unsilenced",
        /// Another alert makes it say nothing new.
        Inhibited = "inhibited",
        /// That is over.
        Uninhibited = "uninhibited",
        /// Nobody acknowledged it in time.
        Escalated = "escalated",
        /// It was over and kept in sight again: the alert that took its place never was.
        Latched = "latched",
        /// It was over, and is now out of sight: somebody acknowledged it, or a newer one took its place.
        Unlatched = "unlatched",
    }
}

/// What was done to an alert, beside what its rule said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What.
    pub kind: StepKind,
    /// Who did it; `None`: the service.
    pub by: Option<Arc<str>>,
    /// What he said to it: a comment, or a silence's reason.
    pub text: Option<Arc<str>>,
}

/// Mutes the alerts whose labels fit, for a time: a silence, or with a schedule a maintenance window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silence {
    /// Which. It keeps its identity when it is changed.
    pub id: SilenceId,
    /// How often it was written, from 1.
    pub version: u32,
    /// Which alerts.
    pub matchers: Matchers,
    /// From when on, by our clock.
    pub starts_at: Timestamp,
    /// Until when, this instant excluded.
    pub ends_at: Timestamp,
    /// Only at these hours, as in a rule's `schedule`; with the time zone in which they are meant.
    pub schedule: Option<(Arc<str>, Arc<str>)>,
    /// Who wrote it last.
    pub author: Arc<str>,
    /// Why.
    pub reason: Arc<str>,
    /// When it was first written.
    pub created_at: Timestamp,
    /// When it was last written.
    pub updated_at: Timestamp,
}

impl Silence {
    /// The most bytes of a reason or a comment.
    pub const TEXT_BYTES_MAX: usize = 2_000;
    /// The most bytes of an author's name.
    pub const AUTHOR_BYTES_MAX: usize = 256;

    /// Whether it is between its start and its end, whatever its schedule says.
    #[must_use]
    pub fn is_running(&self, now: Timestamp) -> bool {
        self.starts_at <= now && now < self.ends_at
    }

    /// Whether it is over.
    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.ends_at <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_words_read_back() {
        let id = SilenceId(u128::MAX - 5);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!("7".parse::<SilenceId>(), Err(NoSilenceId));
        for &kind in StepKind::ALL {
            assert_eq!(StepKind::from_label(kind.label()), Some(kind));
        }
    }

    #[test]
    fn whoever_is_muted_is_not_empty() {
        let mut handling = Handling::default();
        assert!(handling.is_empty() && !handling.is_muted());
        handling.inhibited_by = Some(AlertId(1));
        assert!(handling.is_muted() && !handling.is_empty());
    }
}
