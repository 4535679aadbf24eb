//! `devices/{device}/telemetry/{metric}` and the like: the payload is one value.

use bellwire_model::RejectReason;

use super::Output;
use super::draft::Draft;
use super::names::NameCache;

/// Reads a number, `true`, `false`, a JSON string, or a bare text.
pub(super) fn decode(
    metric: &str,
    payload: &[u8],
    draft: &mut Draft,
    names: &mut NameCache,
    out: &mut Output,
) {
    draft.begin_object(out);
    draft.path.push_str(metric);
    let Ok(text) = std::str::from_utf8(payload) else {
        return draft.fault(RejectReason::BadUtf8, |_| "the payload is not UTF-8".to_owned());
    };
    let text = text.trim();
    match text {
        "" => {}
        "true" => draft.number(1.0, names, out),
        "false" => draft.number(0.0, names, out),
        _ if text.starts_with(['{', '[']) => {
            draft.fault(RejectReason::UnsupportedValue, |path| {
                format!("{path:?} must be one value: send objects to the topic without a metric")
            });
        }
        _ => match text.parse::<f64>() {
            Ok(number) => draft.number(number, names, out),
            Err(_) => match serde_json::from_str::<String>(text) {
                Ok(quoted) => draft.text(&quoted, names, out),
                Err(_) => draft.text(text, names, out),
            },
        },
    }
    draft.end_object(out);
}
