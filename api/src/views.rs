//! How the model's words look in JSON: one shape for HTTP and the live feed alike.

use bellwire_model::{Alert, Correction, Cursor, StageTimes, Timestamp, Transition, Value};
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
            // No one can acknowledge or silence an alert yet.
            acknowledged_by: Option<&'a str>,
            latched: bool,
            silenced: bool,
        }
        let alert = self.0;
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
            acknowledged_by: None,
            latched: false,
            silenced: false,
        }
        .serialize(serializer)
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

/// A transition; with `type` it is a live frame.
#[derive(Serialize)]
pub(crate) struct TransitionView<'a> {
    pub(crate) r#type: &'static str,
    pub(crate) cursor: Text<Cursor>,
    pub(crate) alert: AlertView<'a>,
    from: &'static str,
    to: &'static str,
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
        Self {
            r#type: "transition",
            cursor: Text(cursor),
            alert: AlertView(&transition.alert),
            from: transition.from.label(),
            to: transition.to.label(),
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
