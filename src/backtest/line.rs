//! A transition as a line of JSON.

use bellwire_model::Transition;

use super::words::rfc3339;

/// A transition: `rule, device, from, to, at, value` first, in this order, which is stable; without a
/// line end.
pub(crate) fn transition(transition: &Transition) -> String {
    #[derive(serde::Serialize)]
    struct Line<'a> {
        rule: &'a str,
        device: &'a str,
        from: &'a str,
        to: &'a str,
        at: String,
        value: Option<f64>,
        severity: &'a str,
        reason: &'a str,
        summary: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        correction: Option<&'a str>,
    }
    let alert = &transition.alert;
    let line = Line {
        rule: alert.rule.as_str(),
        device: alert.device.as_str(),
        from: transition.from.label(),
        to: transition.to.label(),
        at: rfc3339(transition.at),
        value: alert.value,
        severity: alert.severity.label(),
        reason: &transition.reason,
        summary: &alert.summary,
        correction: transition.correction.map(bellwire_model::Correction::label),
    };
    serde_json::to_string(&line).expect("texts and numbers always serialize")
}
