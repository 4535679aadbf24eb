//! An alert that is open, and what is remembered of it beside what it says of itself.

use bellwire_model::{Alert, AlertState, Handling, LogPosition, Severity, Timestamp};

use super::inhibit::Role;
use crate::engine::clock::Pace;
use crate::rules::RuleSet;
use crate::rules::handling::chooses;

/// Whether an alert in this state can be muted, acknowledged and escalated: it has fired, or says that
/// nothing is known, and is not over.
pub(super) const fn is_active(state: AlertState) -> bool {
    match state {
        AlertState::Firing | AlertState::Recovering | AlertState::NoData | AlertState::Error => {
            true
        }
        AlertState::Inactive | AlertState::Pending | AlertState::Resolved => false,
    }
}

const fn is_firing(state: AlertState) -> bool {
    matches!(state, AlertState::Firing | AlertState::Recovering)
}

/// How bad an alert was when somebody took it, or snoozed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Accepted {
    pub(super) severity: Severity,
    pub(super) is_firing: bool,
}

impl Accepted {
    pub(super) const fn of(alert: &Alert) -> Self {
        Self { severity: alert.severity, is_firing: is_firing(alert.state) }
    }

    /// Whether an alert is worse than that.
    pub(super) fn is_exceeded_by(self, alert: &Alert) -> bool {
        alert.severity > self.severity || (is_firing(alert.state) && !self.is_firing)
    }
}

/// An alert that is open.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Held {
    /// As it stands, labels and handling included.
    pub(super) alert: Alert,
    /// The latest transition of its rule.
    pub(super) place: (LogPosition, u32),
    /// How bad it has been.
    pub(super) worst: Severity,
    /// There while it is acknowledged or snoozed.
    pub(super) accepted: Option<Accepted>,
    /// Since when it waits for somebody, by our clock.
    pub(super) waits_since: Option<Timestamp>,
    /// Whether its latest transition was of what is measured now.
    pub(super) pace: Pace,
    /// When time will do something to it.
    pub(super) due: Option<Timestamp>,
    /// What it is to inhibition.
    pub(super) roles: Vec<Role>,
    /// The latched alert whose place it took.
    pub(super) before: Option<Box<Self>>,
    /// The transition since which it is latched, if it is.
    pub(super) latched_at: (LogPosition, u32),
}

impl Held {
    pub(super) fn new(alert: Alert) -> Self {
        Self {
            place: (LogPosition::ZERO, 0),
            worst: alert.severity,
            accepted: None,
            waits_since: None,
            pace: Pace::Live,
            due: None,
            roles: Vec::new(),
            before: None,
            latched_at: (LogPosition::ZERO, 0),
            alert,
        }
    }

    pub(super) const fn is_active(&self) -> bool {
        is_active(self.alert.state)
    }

    pub(super) fn is_latched(&self) -> bool {
        self.handling().is_some_and(|handling| handling.latched)
    }

    pub(super) fn handling(&self) -> Option<&Handling> {
        self.alert.handling.as_deref()
    }

    pub(super) fn is_acknowledged(&self) -> bool {
        self.handling().is_some_and(|handling| handling.acknowledged.is_some())
    }

    pub(super) fn is_snoozed(&self) -> bool {
        self.handling().is_some_and(|handling| handling.snoozed_until.is_some())
    }

    /// Changes its handling.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut Handling)) {
        let mut handling = self.alert.handling.take().unwrap_or_default();
        change(&mut handling);
        self.alert.handling = (!handling.is_empty()).then_some(handling);
    }

    /// Brings up to date what follows from how it stands: whether it waits for somebody, and when time
    /// will do something to it. It must not be among those that are due.
    pub(super) fn reconsider(&mut self, rules: &RuleSet, now: Timestamp) {
        let handling = self.handling();
        let is_muted = handling.is_some_and(Handling::is_muted);
        let waits = self.is_active() && !self.is_acknowledged() && !is_muted;
        self.waits_since = match (waits && self.pace == Pace::Live, self.waits_since) {
            (true, since) => since.or(Some(now)),
            (false, _) => None,
        };
        if !self.is_acknowledged() && !self.is_snoozed() {
            self.accepted = None;
        }
        let snooze = self.handling().and_then(|handling| handling.snoozed_until);
        let level = self.next_level(rules).map(|(at, _)| at);
        self.due = snooze.into_iter().chain(level).min();
    }

    /// When it goes a level up, and after how long a time of waiting that is.
    pub(super) fn next_level(&self, rules: &RuleSet) -> Option<(Timestamp, std::time::Duration)> {
        let since = self.waits_since?;
        let level = self.handling().map_or(0, |handling| handling.escalation);
        let escalation = rules.escalations.iter().find(|it| chooses(&it.alerts, &self.alert))?;
        let after = *escalation.after.get(usize::from(level))?;
        Some((since + after, after))
    }
}
