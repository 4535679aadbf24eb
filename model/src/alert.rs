//! Alerts: one episode of one rule on one device, and the steps it takes.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::words::words;
use crate::{Handling, Labels, LogPosition, RuleName, Step, Target, Timestamp};

words! {
    /// How bad it is.
    Severity {
        /// Worth knowing.
        Info = "info",
        /// Needs attention soon.
        Warning = "warning",
        /// Needs attention now.
        Critical = "critical",
    }
}

words! {
    /// Where an alert stands.
    AlertState {
        /// The condition does not hold.
        Inactive = "inactive",
        /// It holds, but not yet for as long as the rule asks.
        Pending = "pending",
        /// It holds, or has not cleared.
        Firing = "firing",
        /// It has cleared, but not yet for `keep_firing_for`.
        Recovering = "recovering",
        /// It has cleared after firing.
        Resolved = "resolved",
        /// The readings it needs have stopped coming.
        NoData = "no_data",
        /// The rule cannot be evaluated.
        Error = "error",
    }
}

impl AlertState {
    /// Whether the episode is over.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Inactive | Self::Resolved)
    }
}

/// An alert's identity: 16 hexadecimal digits.
///
/// A hash of rule, device or group, and the place of the transition that began the episode, so that a
/// replay of the log gives the same one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AlertId(pub u64);

impl AlertId {
    /// The identity of the episode that begins with transition `ordinal` of the record at
    /// `position`. FNV-1a with a final mix (Vigna's splitmix64): it must never change.
    #[must_use]
    pub fn of(rule: &RuleName, target: &Target, position: LogPosition, ordinal: u32) -> Self {
        let parts: [&[u8]; 5] = [
            rule.as_str().as_bytes(),
            &[0],
            target.as_str().as_bytes(),
            &position.0.to_le_bytes(),
            &ordinal.to_le_bytes(),
        ];
        let hash = parts.into_iter().flatten().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let mixed = (hash ^ hash >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self(mixed ^ mixed >> 31)
    }
}

impl fmt::Display for AlertId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for AlertId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AlertId({self})")
    }
}

impl FromStr for AlertId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u64::from_str_radix(text, 16).map(Self)
    }
}

/// One episode of a rule on a device or a group of devices, as it stands after its latest transition.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// Its identity.
    pub id: AlertId,
    /// The rule.
    pub rule: RuleName,
    /// The device, or the group of devices.
    pub device: Target,
    /// How bad it is.
    pub severity: Severity,
    /// Where it stands.
    pub state: AlertState,
    /// Event time at which the condition began to hold.
    pub since: Timestamp,
    /// Event time at which it fired, if it has.
    pub fired_at: Option<Timestamp>,
    /// Event time at which it resolved, if it has.
    pub resolved_at: Option<Timestamp>,
    /// The value that caused the latest transition, where it is a number.
    pub value: Option<f64>,
    /// The rule's `summary` with its places filled in.
    pub summary: String,
    /// The labels of the device or group; `None` where they are not known yet.
    pub labels: Option<Arc<Labels>>,
    /// What was done to it; `None`: nothing.
    pub handling: Option<Box<Handling>>,
}

impl Alert {
    /// Whether it is in sight by itself: it is not over, or latched.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.state.is_over() || self.handling.as_ref().is_some_and(|handling| handling.latched)
    }

    /// What a matcher sees of a label: `rule` (also as `alertname`), `device` (also a group's name),
    /// `severity`, and the labels of the device or group. What is not there is the empty text.
    #[must_use]
    pub fn label(&self, name: &str) -> &str {
        match name {
            "rule" | "alertname" => self.rule.as_str(),
            "device" => self.device.as_str(),
            "severity" => self.severity.label(),
            _ => self.labels.as_ref().and_then(|labels| labels.get(name)).unwrap_or_default(),
        }
    }
}

words! {
    /// How a transition changes what was said before.
    Correction {
        /// It happened, and came to light by a reading that came late.
        Retroactive = "retroactive",
        /// The step back over one that was said, which a late reading shows not to have been.
        Withdrawn = "withdrawn",
    }
}

/// An edge between states, or a step in an alert's handling: what operators hear.
///
/// What was said is never changed: where a late reading shows that it was not so, or not then,
/// [`Transition::correction`] says it. The history as it is now known is what was said, in the
/// order of [`Transition::at`], without the withdrawn steps and those they step back over.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    /// The log record that caused it.
    pub position: LogPosition,
    /// Which of that record's transitions, from 0.
    pub ordinal: u32,
    /// The alert as it stands after it.
    pub alert: Alert,
    /// The state before.
    pub from: AlertState,
    /// The state after; the same as `alert.state`.
    pub to: AlertState,
    /// Event time at which it happened.
    pub at: Timestamp,
    /// When the record that caused it was received.
    pub received_at: Timestamp,
    /// Which version of the rules decided: a hash of their text.
    pub rule_version: u64,
    /// Why, for a person: `avg(temperature, 5m) > -15 held for 2m`.
    pub reason: Cow<'static, str>,
    /// What it corrects; `None` for what is said in its turn.
    pub correction: Option<Correction>,
    /// Whether the device sends what it measured long ago: then nobody is called for it.
    pub historical: bool,
    /// What was done, where it is no edge between states but a step in the alert's handling: then
    /// `from` and `to` are the state it was in, and `at` is when the record was received.
    pub step: Option<Box<Step>>,
}

/// When a record passed each stage, by our own clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StageTimes {
    /// Taken into the log.
    pub received: Timestamp,
    /// On disk.
    pub durable: Timestamp,
    /// Decided.
    pub judged: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_id_never_changes() {
        let rule = RuleName::new("hot").expect("valid");
        let device = Target::new("oven").expect("valid");
        let id = AlertId::of(&rule, &device, LogPosition(42), 1);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_ne!(id, AlertId::of(&rule, &device, LogPosition(42), 2));
    }

    #[test]
    fn states_read_back() {
        for &state in AlertState::ALL {
            assert_eq!(AlertState::from_label(state.label()), Some(state));
        }
    }
}
