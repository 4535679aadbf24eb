//! A message as Alertmanager's webhook has it, version 4 (`template/template.go`, `notify/webhook`).

use std::collections::BTreeMap;

use bellwire_model::{AlertState, Timestamp};
use chrono::{DateTime, SecondsFormat};
use serde::Serialize;

use super::Setting;
use crate::dispatch::{Facts, Notice, Said, Status};

/// What Alertmanager says for "not yet": Go's zero time.
pub(super) const NEVER: &str = "0001-01-01T00:00:00Z";

type Pairs<'a> = BTreeMap<&'a str, &'a str>;

/// The whole message.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Payload<'a> {
    version: &'static str,
    group_key: &'a str,
    truncated_alerts: usize,
    pub(super) status: &'static str,
    receiver: &'a str,
    group_labels: Pairs<'a>,
    common_labels: Pairs<'a>,
    common_annotations: BTreeMap<String, String>,
    #[serde(rename = "externalURL")]
    external_url: String,
    pub(super) alerts: Vec<PayloadAlert<'a>>,
}

/// One alert in it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PayloadAlert<'a> {
    status: &'static str,
    labels: Pairs<'a>,
    annotations: BTreeMap<String, String>,
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: String,
    fingerprint: String,
}

pub(super) const fn status(status: Status) -> &'static str {
    match status {
        Status::Firing => "firing",
        Status::Resolved | Status::Withdrawn => "resolved",
    }
}

/// A time as RFC 3339, to the millisecond.
pub(super) fn rfc3339(at: Timestamp) -> String {
    let time = DateTime::from_timestamp_micros(at.as_micros()).unwrap_or_default();
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// What is said of an alert beside its labels.
pub(super) fn annotations(facts: &Facts) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut add = |name: &str, value: String| all.insert(name.to_owned(), value);
    if !facts.summary.is_empty() {
        add("summary", facts.summary.clone());
    }
    if let Some(value) = facts.value {
        add("value", value.to_string());
    }
    match facts.state {
        AlertState::NoData => {
            add("state", "no_data".to_owned());
        }
        AlertState::Error => {
            add("state", "error".to_owned());
        }
        _ if facts.status == Status::Withdrawn => {
            add("state", "withdrawn".to_owned());
        }
        _ => {}
    }
    all
}

/// Those that are the same in all of `all`.
fn common<K: Ord + Clone, V: PartialEq + Clone>(
    mut all: impl Iterator<Item = BTreeMap<K, V>>,
) -> BTreeMap<K, V> {
    let mut common = all.next().unwrap_or_default();
    for other in all {
        common.retain(|name, value| other.get(name) == Some(value));
    }
    common
}

fn labels(facts: &Facts) -> Pairs<'_> {
    facts.labels.iter().map(|(name, value)| (&**name, &**value)).collect()
}

/// Where the console shows an alert.
pub(super) fn link(facts: &Facts, setting: &Setting) -> String {
    setting.link(&format!("/?alert={}", facts.id))
}

impl<'a> PayloadAlert<'a> {
    fn new(said: &'a Said, setting: &Setting) -> Self {
        let facts = &*said.facts;
        let ends_at = facts.ends_at.filter(|_| said.status != Status::Firing);
        Self {
            status: status(said.status),
            labels: labels(facts),
            annotations: annotations(facts),
            starts_at: rfc3339(facts.starts_at),
            ends_at: ends_at.map_or_else(|| NEVER.to_owned(), rfc3339),
            generator_url: link(facts, setting),
            fingerprint: facts.id.to_string(),
        }
    }
}

impl<'a> Payload<'a> {
    pub(super) fn new(notice: &'a Notice, setting: &'a Setting) -> Self {
        let facts = || notice.alerts.iter().map(|said| &*said.facts);
        let group = &notice.group_labels;
        Self {
            version: "4",
            group_key: &notice.group_key,
            truncated_alerts: notice.n_left_out,
            status: status(notice.status),
            receiver: &setting.channel,
            group_labels: group.iter().map(|(name, value)| (&**name, &**value)).collect(),
            common_labels: common(facts().map(labels)),
            common_annotations: common(facts().map(annotations)),
            external_url: setting.link(""),
            alerts: notice.alerts.iter().map(|said| PayloadAlert::new(said, setting)).collect(),
        }
    }

    pub(super) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and numbers always serialize")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::channels::testing::{notice, setting};

    #[test]
    fn it_is_what_alertmanager_sends() {
        let (notice, setting) = (notice(), setting());
        let body = Payload::new(&notice, &setting).to_json();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["version"], "4");
        assert_eq!((&body["status"], &body["receiver"]), (&json!("firing"), &json!("ops")));
        assert_eq!(body["commonLabels"]["site"], "berlin");
        assert_eq!(body["commonLabels"]["device"], Value::Null, "they differ in it");
        assert_eq!(body["commonAnnotations"], json!({"value": "95.5"}));
        assert_eq!(body["externalURL"], "https://bell.example");
        let [fires, over] = body["alerts"].as_array().unwrap().as_slice() else { panic!("{body}") };
        assert_eq!((&fires["status"], &fires["endsAt"]), (&json!("firing"), &json!(NEVER)));
        assert_eq!(fires["startsAt"], "2027-01-15T08:00:00.000Z");
        assert_eq!(fires["labels"]["alertname"], "hot");
        assert_eq!(fires["generatorURL"], "https://bell.example/?alert=0000000000000001");
        assert_eq!(over["endsAt"], "2027-01-15T08:03:20.000Z");
        assert_eq!(body["truncatedAlerts"], 0);
    }
}
