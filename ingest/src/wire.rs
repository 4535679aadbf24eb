//! The model's words as bytes, for the journal and the snapshots: `model` has no serde by design.

use std::borrow::Cow;
use std::sync::Arc;

use bellwire_model::{
    Alert, AlertId, AlertState, Correction, LogPosition, RuleName, Severity, Target, Timestamp,
    Transition, Value,
};
use serde::{Deserialize, Serialize};

use crate::handling::{WireHandling, WireStep, labels_of, wire_labels};

/// Bytes that are not what they should be; the file is damaged or from another version.
#[derive(Debug, thiserror::Error)]
#[error("{what} cannot be read back")]
pub struct WireError {
    /// Which part.
    pub what: &'static str,
}

/// [`Transition`] as bytes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct WireTransition<'a> {
    position: u64,
    ordinal: u32,
    id: u64,
    rule: Cow<'a, str>,
    device: Cow<'a, str>,
    severity: u8,
    from: u8,
    to: u8,
    since: i64,
    fired_at: Option<i64>,
    resolved_at: Option<i64>,
    value: Option<f64>,
    summary: Cow<'a, str>,
    at: i64,
    received_at: i64,
    rule_version: u64,
    reason: Cow<'a, str>,
    /// 0 for none, else one more than the place among [`Correction::ALL`].
    correction: u8,
    historical: bool,
    labels: Option<Vec<(Cow<'a, str>, Cow<'a, str>)>>,
    #[serde(borrow)]
    handling: Option<Box<WireHandling<'a>>>,
    #[serde(borrow)]
    step: Option<WireStep<'a>>,
}

impl<'a> From<&'a Transition> for WireTransition<'a> {
    fn from(transition: &'a Transition) -> Self {
        let alert = &transition.alert;
        Self {
            position: transition.position.0,
            ordinal: transition.ordinal,
            id: alert.id.0,
            rule: alert.rule.as_str().into(),
            device: alert.device.as_str().into(),
            severity: alert.severity as u8,
            from: transition.from as u8,
            to: transition.to as u8,
            since: alert.since.as_micros(),
            fired_at: alert.fired_at.map(Timestamp::as_micros),
            resolved_at: alert.resolved_at.map(Timestamp::as_micros),
            value: alert.value,
            summary: alert.summary.as_str().into(),
            at: transition.at.as_micros(),
            received_at: transition.received_at.as_micros(),
            rule_version: transition.rule_version,
            reason: transition.reason.as_ref().into(),
            correction: transition.correction.map_or(0, |correction| correction as u8 + 1),
            historical: transition.historical,
            labels: alert.labels.as_deref().map(wire_labels),
            handling: alert.handling.as_deref().map(|it| Box::new(it.into())),
            step: transition.step.as_deref().map(Into::into),
        }
    }
}

impl TryFrom<WireTransition<'_>> for Transition {
    type Error = WireError;

    fn try_from(wire: WireTransition<'_>) -> Result<Self, WireError> {
        let state = |index: u8| AlertState::ALL.get(usize::from(index)).copied();
        let damaged = WireError { what: "a transition" };
        let (Ok(rule), Ok(device), Some(severity), Some(from), Some(to)) = (
            RuleName::new(&wire.rule),
            Target::new(&wire.device),
            Severity::ALL.get(usize::from(wire.severity)).copied(),
            state(wire.from),
            state(wire.to),
        ) else {
            return Err(damaged);
        };
        let correction = match wire.correction.checked_sub(1) {
            None => None,
            Some(index) => match Correction::ALL.get(usize::from(index)) {
                Some(correction) => Some(*correction),
                None => return Err(damaged),
            },
        };
        let step = match wire.step {
            None => None,
            Some(step) => Some(Box::new(step.step().ok_or(damaged)?)),
        };
        let alert = Alert {
            id: AlertId(wire.id),
            rule,
            device,
            severity,
            state: to,
            since: Timestamp::from_micros(wire.since),
            fired_at: wire.fired_at.map(Timestamp::from_micros),
            resolved_at: wire.resolved_at.map(Timestamp::from_micros),
            value: wire.value,
            summary: wire.summary.into_owned(),
            labels: wire.labels.map(|wire| Arc::new(labels_of(wire))),
            handling: wire.handling.map(|wire| Box::new((*wire).into())),
        };
        Ok(Self {
            position: LogPosition(wire.position),
            ordinal: wire.ordinal,
            alert,
            from,
            to,
            at: Timestamp::from_micros(wire.at),
            received_at: Timestamp::from_micros(wire.received_at),
            rule_version: wire.rule_version,
            reason: wire.reason.into_owned().into(),
            correction,
            historical: wire.historical,
            step,
        })
    }
}

/// [`Value`] as bytes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum WireValue<'a> {
    Number(f64),
    Text(Cow<'a, str>),
}

impl<'a> From<&'a Value> for WireValue<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Number(number) => Self::Number(*number),
            Value::Text(text) => Self::Text(text.as_ref().into()),
        }
    }
}

impl From<WireValue<'_>> for Value {
    fn from(wire: WireValue<'_>) -> Self {
        match wire {
            WireValue::Number(number) => Self::Number(number),
            WireValue::Text(text) => Self::Text(text.as_ref().into()),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use bellwire_model::{Acknowledgement, Handling, SilenceId, Step, StepKind};

    use super::*;

    fn handling() -> Handling {
        Handling {
            acknowledged: Some(Acknowledgement { by: "ada".into(), at: Timestamp::from_secs(4) }),
            assigned_to: Some("bo".into()),
            snoozed_until: Some(Timestamp::from_secs(5)),
            latched: true,
            silenced_by: vec![SilenceId(7), SilenceId(u128::MAX)],
            inhibited_by: Some(AlertId(9)),
            escalation: 2,
        }
    }

    /// A transition of the record at `position`.
    pub(crate) fn transition(position: u64, ordinal: u32) -> Transition {
        let alert = Alert {
            id: AlertId(position ^ u64::from(ordinal)),
            rule: RuleName::new("hot").unwrap(),
            device: Target::new("oven").unwrap(),
            severity: Severity::Critical,
            state: AlertState::Firing,
            since: Timestamp::from_secs(1),
            fired_at: Some(Timestamp::from_secs(2)),
            resolved_at: None,
            value: Some(91.5),
            summary: "oven is hot".to_owned(),
            labels: Some(Arc::new(std::iter::once(("site".into(), "ü".into())).collect())),
            handling: Some(Box::new(handling())),
        };
        Transition {
            position: LogPosition(position),
            ordinal,
            alert,
            from: AlertState::Pending,
            to: AlertState::Firing,
            at: Timestamp::from_secs(2),
            received_at: Timestamp::from_secs(3),
            rule_version: 9,
            reason: "temperature > 90".into(),
            correction: Some(Correction::Retroactive),
            historical: true,
            step: Some(Box::new(Step {
                kind: StepKind::Latched,
                by: Some("ada".into()),
                text: None,
            })),
        }
    }

    #[test]
    fn a_transition_reads_back() {
        let original = transition(5, 1);
        let bytes = postcard::to_stdvec(&WireTransition::from(&original)).unwrap();
        let wire: WireTransition<'_> = postcard::from_bytes(&bytes).unwrap();
        assert_eq!(Transition::try_from(wire).unwrap(), original);
    }
}
