//! One time that a rule fired: put together from its transitions.

use bellwire_model::{AlertState, RuleName, Severity, Target, Timestamp, Transition};

/// One time that a rule fired on a device.
#[derive(Clone, Debug, PartialEq)]
pub struct Episode {
    /// Which rule.
    pub rule: RuleName,
    /// Where: a device, or a group of devices.
    pub device: Target,
    /// How bad it became.
    pub severity: Severity,
    /// When its condition began to hold.
    pub since: Timestamp,
    /// When it fired.
    pub fired_at: Timestamp,
    /// When it was over, or where the readings end.
    pub until: Timestamp,
    /// Which of the two.
    pub ending: Ending,
    /// The value with which it fired at its worst.
    pub value: Option<f64>,
    /// Why, with the same.
    pub reason: Box<str>,
}

/// How an episode ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It resolved, or was closed.
    Over,
    /// The readings end while it stands so.
    Open(AlertState),
}

impl Episode {
    /// How long it lasted.
    #[must_use]
    pub fn lasted(&self) -> std::time::Duration {
        self.until.since(self.fired_at)
    }

    /// An episode that begins with `transition`, if that says that it has fired.
    pub(super) fn begin(transition: &Transition) -> Option<Self> {
        let alert = &transition.alert;
        let fired_at = alert.fired_at?;
        Some(Self {
            rule: alert.rule.clone(),
            device: alert.device.clone(),
            severity: alert.severity,
            since: alert.since,
            fired_at,
            until: fired_at,
            ending: Ending::Open(transition.to),
            value: alert.value,
            reason: transition.reason.as_ref().into(),
        })
    }

    /// Goes on with another of its transitions.
    pub(super) fn go_on(&mut self, transition: &Transition) {
        let alert = &transition.alert;
        if transition.to == AlertState::Firing && alert.severity > self.severity {
            self.severity = alert.severity;
            self.value = alert.value;
            self.reason = transition.reason.as_ref().into();
        }
        self.ending = Ending::Open(transition.to);
        if transition.to.is_over() {
            self.ending = Ending::Over;
            self.until = transition.at.max(self.fired_at);
        }
    }
}
