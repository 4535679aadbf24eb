//! An alert as its receivers see it.

use std::collections::BTreeMap;

use bellwire_model::{Alert, AlertId, AlertState, Handling, Severity, Timestamp, Transition};

/// Labels by name.
pub type Labels = BTreeMap<Box<str>, Box<str>>;

/// Whether there is something to be told of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It fires, is recovering, or cannot be judged.
    Firing,
    /// It is over.
    Resolved,
    /// It never fired, as a late reading shows. Only who was told that it does is told that it is over.
    Withdrawn,
}

/// Whether nobody is to be called for an alert.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mute {
    /// It is told.
    #[default]
    Loud,
    /// Somebody has silenced or snoozed it, or another alert says enough.
    Muted,
}

/// What is told of an alert.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// Its identity.
    pub id: AlertId,
    /// Whether it fires.
    pub status: Status,
    /// How it stands exactly.
    pub state: AlertState,
    /// How bad it is.
    pub severity: Severity,
    /// Event time at which it fired.
    pub starts_at: Timestamp,
    /// Event time at which it was over.
    pub ends_at: Option<Timestamp>,
    /// The value that caused the latest step, where it is a number.
    pub value: Option<f64>,
    /// What the rule says about it.
    pub summary: String,
    /// What it is matched by: `alertname` and `rule`, `device`, `severity`, and the device's labels.
    pub labels: Labels,
}

impl Facts {
    /// What there is to be told of `alert` after a step at `at`.
    #[must_use]
    pub fn new(alert: &Alert, at: Timestamp) -> Self {
        let status = match alert.state {
            AlertState::Firing
            | AlertState::Recovering
            | AlertState::NoData
            | AlertState::Error => Status::Firing,
            AlertState::Resolved => Status::Resolved,
            AlertState::Inactive | AlertState::Pending => Status::Withdrawn,
        };
        let of_device = alert.labels.iter().flat_map(|labels| labels.iter());
        let own = ["alertname", "rule", "device", "severity"];
        let labels = of_device.chain(own.map(|name| (name, alert.label(name))));
        let is_over = status != Status::Firing;
        Self {
            id: alert.id,
            status,
            state: alert.state,
            severity: alert.severity,
            starts_at: alert.fired_at.unwrap_or(alert.since),
            ends_at: is_over.then(|| alert.resolved_at.unwrap_or(at)),
            value: alert.value,
            summary: alert.summary.clone(),
            labels: labels.map(|(name, value)| (name.into(), value.into())).collect(),
        }
    }

    /// A label's value; empty if there is none.
    #[must_use]
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", |value| value)
    }
}

/// An alert as it stands after a step, and how operators handle it.
#[derive(Clone, Debug, PartialEq)]
pub struct News {
    /// What is told of it.
    pub facts: Facts,
    /// Whether nobody is to be called for it.
    pub mute: Mute,
    /// Whether somebody has it: then it is not repeated.
    pub acknowledged: bool,
    /// How far it was escalated.
    pub escalation: u8,
    /// Whether it is of what was measured long ago.
    pub historical: bool,
}

impl News {
    /// An alert as it stands after a step.
    #[must_use]
    pub fn of(transition: &Transition) -> Self {
        Self { historical: transition.historical, ..Self::now(&transition.alert, transition.at) }
    }

    /// An alert as it stands now, where nothing is known of how it came to it; `at` is when it last
    /// changed.
    #[must_use]
    pub fn now(alert: &Alert, at: Timestamp) -> Self {
        let handling = alert.handling.as_deref();
        let is_muted = handling.is_some_and(Handling::is_muted);
        Self {
            facts: Facts::new(alert, at),
            mute: if is_muted { Mute::Muted } else { Mute::Loud },
            acknowledged: handling.is_some_and(|it| it.acknowledged.is_some()),
            escalation: handling.map_or(0, |it| it.escalation),
            historical: false,
        }
    }
}
