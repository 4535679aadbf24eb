//! What a client may say on a live WebSocket, and how often.

use std::num::NonZeroU32;

use bellwire_model::DeviceId;
use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;

use crate::live::interest::Subscription;

/// Reads a message: `{"type": "subscribe", "devices": ["a", "b"]}`. `"*"`, alone or in the list,
/// means every device.
///
/// # Errors
/// What is wrong, for a person.
pub(crate) fn read(text: &str, devices_max: usize) -> Result<Subscription, String> {
    let message: Value = serde_json::from_str(text).map_err(|error| format!("no JSON: {error}"))?;
    let Value::Object(fields) = message else {
        return Err("a message is a JSON object".to_owned());
    };
    match fields.get("type").and_then(Value::as_str) {
        Some("subscribe") => {}
        Some(other) => return Err(format!("unknown type {other:?}; known is \"subscribe\"")),
        None => return Err("`type` is missing".to_owned()),
    }
    if let Some(unknown) = fields.keys().find(|key| !matches!(key.as_str(), "type" | "devices")) {
        return Err(format!("unknown field {unknown:?}; expected `devices`"));
    }
    let names = match fields.get("devices") {
        Some(Value::String(all)) if all == "*" => return Ok(Subscription::Everything),
        Some(Value::Array(names)) => names,
        _ => return Err("`devices` must be a list of names, or \"*\"".to_owned()),
    };
    let names: Option<Vec<&str>> = names.iter().map(Value::as_str).collect();
    devices(names.ok_or("`devices` must be a list of names")?.into_iter(), devices_max)
}

/// Reads a list of device names.
///
/// # Errors
/// What is wrong, for a person.
pub(crate) fn devices<'a>(
    names: impl Iterator<Item = &'a str>,
    devices_max: usize,
) -> Result<Subscription, String> {
    let mut devices = Vec::new();
    for name in names {
        if name == "*" {
            return Ok(Subscription::Everything);
        }
        devices.push(DeviceId::new(name).map_err(|error| format!("{name:?}: {error}"))?);
    }
    devices.sort_unstable();
    devices.dedup();
    if devices.len() > devices_max {
        return Err(format!("{} devices, at most {devices_max} by name; or \"*\"", devices.len()));
    }
    Ok(if devices.is_empty() { Subscription::Nothing } else { Subscription::Devices(devices) })
}

impl Serialize for Subscription {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Nothing => serializer.collect_seq(std::iter::empty::<&str>()),
            Self::Devices(devices) => serializer.collect_seq(devices.iter().map(DeviceId::as_str)),
            Self::Everything => serializer.collect_seq(["*"]),
        }
    }
}

/// How many messages a client may still send: a bucket of two seconds' worth.
#[derive(Debug)]
pub(crate) struct Allowance {
    per_second: f64,
    left: f64,
    at: Instant,
}

impl Allowance {
    pub(crate) fn new(per_second: NonZeroU32, now: Instant) -> Self {
        let per_second = f64::from(per_second.get());
        Self { per_second, left: 2.0 * per_second, at: now }
    }

    /// Whether one more is allowed at `now`.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let earned = now.saturating_duration_since(self.at).as_secs_f64() * self.per_second;
        self.at = now;
        self.left = (self.left + earned).min(2.0 * self.per_second) - 1.0;
        self.left >= 0.0
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_subscription_names_devices_or_all_of_them() {
        let some = |names: &[&str]| {
            let names = names.iter().map(|name| DeviceId::new(name).expect("valid"));
            Ok(Subscription::Devices(names.collect()))
        };
        let read =
            |devices: &str| read(&format!(r#"{{"type":"subscribe","devices":{devices}}}"#), 2);
        assert_eq!(read(r#"["b","a","b"]"#), some(&["a", "b"]));
        assert_eq!(read("[]"), Ok(Subscription::Nothing));
        assert_eq!(read(r#""*""#), Ok(Subscription::Everything));
        assert_eq!(read(r#"["a","*"]"#), Ok(Subscription::Everything));
        assert!(read(r#"["a","b","c"]"#).expect_err("too many").contains("at most 2"));
        assert!(read(r#"["a/b"]"#).expect_err("no name").contains("forbidden"));
        assert!(read("7").is_err());
        assert!(read("[7]").is_err());
    }

    #[test]
    fn what_is_no_message_is_answered_with_what_would_be() {
        for (text, expected) in [
            ("", "no JSON"),
            ("[]", "object"),
            ("{}", "`type` is missing"),
            (r#"{"type":"shout"}"#, "known is \"subscribe\""),
            (r#"{"type":"subscribe","device":[]}"#, "expected `devices`"),
            (r#"{"type":"subscribe"}"#, "`devices` must be"),
        ] {
            let error = read(text, 9).expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_may_say_so_much_and_no_more() {
        let per_second = NonZeroU32::new(5).expect("not zero");
        let mut allowance = Allowance::new(per_second, Instant::now());
        let n_allowed = (0..20).filter(|_| allowance.take(Instant::now())).count();
        assert_eq!(n_allowed, 10);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(allowance.take(Instant::now()));
    }
}
