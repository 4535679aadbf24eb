//! `devices/{device}/status`: the device, or its will, says whether it is there.

use bellwire_model::{Presence, RejectReason};
use serde_json::Value;

use super::draft::Draft;

/// The keys under which an object says it.
const KEYS: [&str; 4] = ["online", "state", "status", "connected"];

/// Reads a word, as `online`, a boolean, or an object with one of them under a usual key. An empty
/// payload, which clears what is retained, says nothing.
pub(super) fn decode(payload: &[u8], draft: &mut Draft) -> Option<Presence> {
    let Ok(text) = std::str::from_utf8(payload) else {
        draft.fault(RejectReason::BadUtf8, |_| "the payload is not UTF-8".to_owned());
        return None;
    };
    let text = text.trim();
    if text.is_empty() {
        return None;
    }
    let presence = match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(object)) => KEYS.iter().find_map(|key| word(object.get(*key)?)),
        Ok(value) => word(&value),
        Err(_) => Presence::from_word(text),
    };
    if presence.is_none() {
        draft.fault(RejectReason::UnsupportedValue, |_| {
            "the status is neither `online` nor `offline`".to_owned()
        });
    }
    presence
}

fn word(value: &Value) -> Option<Presence> {
    match value {
        Value::String(text) => Presence::from_word(text.trim()),
        Value::Bool(is_there) => Some(Presence::from(*is_there)),
        Value::Number(number) => Presence::from_word(&number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_objects_are_understood() {
        for (payload, expected) in [
            ("online", Some(Presence::Online)),
            (" \"Offline\" ", Some(Presence::Offline)),
            ("1", Some(Presence::Online)),
            ("false", Some(Presence::Offline)),
            ("{\"state\":\"online\"}", Some(Presence::Online)),
            ("{\"ip\":\"10.0.0.1\",\"connected\":false}", Some(Presence::Offline)),
            ("", None),
        ] {
            let mut draft = Draft::default();
            assert_eq!(decode(payload.as_bytes(), &mut draft), expected, "{payload}");
            assert_eq!(draft.fault, None, "{payload}");
        }
    }

    #[test]
    fn what_says_neither_is_a_fault() {
        for payload in ["rebooting", "{\"ip\":\"10.0.0.1\"}", "[1]", "2"] {
            let mut draft = Draft::default();
            assert_eq!(decode(payload.as_bytes(), &mut draft), None, "{payload}");
            let fault = draft.fault.expect(payload);
            assert_eq!(fault.reason, RejectReason::UnsupportedValue, "{payload}");
        }
    }
}
