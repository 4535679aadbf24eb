//! How the model's words look in JSON: one shape for HTTP and the live feed alike.

use bellwire_model::{Alert, Correction, Cursor, Labels, StageTimes, Timestamp, Transition, Value};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::ports::LatestReading;
use crate::rfc3339::Rfc3339;

/// An alert; the field names are stable.
pub(crate) struct AlertView<'a>(pub(crate) &'a Alert);

impl Serialize for AlertView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Fields<'a> {
            id: Text<bellwire_model::AlertId>,
            rule: &'a str,
            device: &'a str,
            severity: &'static str,
            state: &'static str,
            since: Rfc3339,
            fired_at: Option<Rfc3339>,
            resolved_at: Option<Rfc3339>,
            value: Option<f64>,
            summary: &'a str,
            acknowledged_by: Option<&'a str>,
            acknowledged_at: Option<Rfc3339>,
            assigned_to: Option<&'a str>,
            snoozed_until: Option<Rfc3339>,
            latched: bool,
            silenced: bool,
            inhibited: bool,
            escalation: u8,
            labels: LabelsView<'a>,
        }
        let alert = self.0;
        let handling = alert.handling.as_deref();
        let ack = handling.and_then(|it| it.acknowledged.as_ref());
        Fields {
            id: Text(alert.id),
            rule: alert.rule.as_str(),
            device: alert.device.as_str(),
            severity: alert.severity.label(),
            state: alert.state.label(),
            since: Rfc3339(alert.since),
            fired_at: alert.fired_at.map(Rfc3339),
            resolved_at: alert.resolved_at.map(Rfc3339),
            value: alert.value,
            summary: &alert.summary,
            acknowledged_by: ack.map(|ack| &*ack.by),
            acknowledged_at: ack.map(|ack| Rfc3339(ack.at)),
            assigned_to: handling.and_then(|it| it.assigned_to.as_deref()),
            snoozed_until: handling.and_then(|it| it.snoozed_until).map(Rfc3339),
            latched: handling.is_some_and(|it| it.latched),
            silenced: handling.is_some_and(|it| !it.silenced_by.is_empty()),
            inhibited: handling.is_some_and(|it| it.inhibited_by.is_some()),
            escalation: handling.map_or(0, |it| it.escalation),
            labels: LabelsView(alert.labels.as_deref()),
        }
        .serialize(serializer)
    }
}

/// Labels as an object; what is not known is empty.
struct LabelsView<'a>(Option<&'a Labels>);

impl Serialize for LabelsView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.into_iter().flat_map(Labels::iter))
    }
}

/// Anything that shows itself as text.
pub(crate) struct Text<T>(pub(crate) T);

impl<T: std::fmt::Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// When a transition passed each stage; what is not known is `null`.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct TimesView {
    received: Rfc3339,
    durable: Option<Rfc3339>,
    judged: Option<Rfc3339>,
    sent: Option<Rfc3339>,
}

impl TimesView {
    /// Of a transition that is being sent as it happens.
    pub(crate) fn live(times: StageTimes, sent: Timestamp) -> Self {
        Self {
            received: Rfc3339(times.received),
            durable: Some(Rfc3339(times.durable)),
            judged: Some(Rfc3339(times.judged)),
            sent: Some(Rfc3339(sent)),
        }
    }

    /// Of a transition that comes from history, which keeps the first time only.
    pub(crate) fn kept(transition: &Transition, sent: Option<Timestamp>) -> Self {
        let received = Rfc3339(transition.received_at);
        Self { received, durable: None, judged: None, sent: sent.map(Rfc3339) }
    }
}

/// What was done with an alert.
#[derive(Serialize)]
struct StepView<'a> {
    step: &'static str,
    by: Option<&'a str>,
    text: Option<&'a str>,
}

/// A transition, or a step in an alert's handling; with `type` it is a live frame.
#[derive(Serialize)]
pub(crate) struct TransitionView<'a> {
    pub(crate) r#type: &'static str,
    pub(crate) cursor: Text<Cursor>,
    pub(crate) alert: AlertView<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<&'static str>,
    /// There if it is a step: which, by whom, and what he said.
    #[serde(flatten)]
    step: Option<StepView<'a>>,
    at: Rfc3339,
    reason: &'a str,
    /// `retroactive` or `withdrawn`.
    #[serde(skip_serializing_if = "Option::is_none")]
    correction: Option<&'static str>,
    /// There if it is of what was measured long ago.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    historical: bool,
    rule_version: Text<Hex>,
    times: TimesView,
}

/// A hash, as hexadecimal text: JavaScript has no 64-bit whole numbers.
pub(crate) struct Hex(pub(crate) u64);

impl std::fmt::Display for Hex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl<'a> TransitionView<'a> {
    pub(crate) fn new(cursor: Cursor, transition: &'a Transition, times: TimesView) -> Self {
        let step = transition.step.as_deref();
        Self {
            r#type: if step.is_some() { "step" } else { "transition" },
            cursor: Text(cursor),
            alert: AlertView(&transition.alert),
            from: step.is_none().then(|| transition.from.label()),
            to: step.is_none().then(|| transition.to.label()),
            step: step.map(|step| StepView {
                step: step.kind.label(),
                by: step.by.as_deref(),
                text: step.text.as_deref(),
            }),
            at: Rfc3339(transition.at),
            reason: &transition.reason,
            correction: transition.correction.map(Correction::label),
            historical: transition.historical,
            rule_version: Text(Hex(transition.rule_version)),
            times,
        }
    }
}

/// A reading without its device: `{"metric", "at", "value"}`, or `"text"` for a text.
pub(crate) struct ReadingView<'a> {
    pub(crate) metric: &'a str,
    pub(crate) at: Timestamp,
    pub(crate) value: &'a Value,
    /// In which unit, where that is known.
    pub(crate) unit: Option<&'a str>,
}

impl<'a> From<&'a LatestReading> for ReadingView<'a> {
    fn from(reading: &'a LatestReading) -> Self {
        Self {
            metric: reading.metric.as_str(),
            at: reading.at,
            value: &reading.value,
            unit: reading.unit.as_deref(),
        }
    }
}

impl Serialize for ReadingView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("at", &Rfc3339(self.at))?;
        if let Some(unit) = self.unit {
            map.serialize_entry("unit", unit)?;
        }
        map.serialize_entry("metric", self.metric)?;
        match self.value {
            Value::Number(number) => map.serialize_entry("value", number)?,
            Value::Text(text) => map.serialize_entry("text", text)?,
        }
        map.end()
    }
}
