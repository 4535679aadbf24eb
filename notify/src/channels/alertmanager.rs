//! Alerts for an Alertmanager: `POST /api/v2/alerts` (`api/v2/openapi.yaml`, 0.25).

use std::collections::BTreeMap;

use bellwire_model::Timestamp;
use serde::Serialize;

use super::Setting;
use super::payload::{annotations, link, rfc3339};
use crate::dispatch::{MIRROR_REPEAT, Notice, Said, Status};

/// Where it takes them.
pub(super) const PATH: &str = "api/v2/alerts";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PostableAlert {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL", skip_serializing_if = "String::is_empty")]
    generator_url: String,
}

/// A label's name as Prometheus takes it: others are refused, and all of the message with them.
fn label_name(name: &str) -> String {
    let name: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("_{name}") } else { name }
}

fn postable(said: &Said, setting: &Setting) -> PostableAlert {
    let facts = &*said.facts;
    let starts_at = facts.starts_at.min(setting.now);
    // What fires ends by itself, as far as it knows, if it is not told again a few times. What is over
    // must not end in the future, or before it began.
    let ends_at: Timestamp = match said.status {
        Status::Firing => setting.now + MIRROR_REPEAT * 5,
        _ => facts.ends_at.unwrap_or(setting.now).min(setting.now).max(starts_at),
    };
    let labels = facts.labels.iter().filter(|(_, value)| !value.is_empty());
    PostableAlert {
        labels: labels.map(|(name, value)| (label_name(name), value.to_string())).collect(),
        annotations: annotations(facts),
        starts_at: rfc3339(starts_at),
        ends_at: rfc3339(ends_at),
        generator_url: link(facts, setting),
    }
}

pub(super) fn body(notice: &Notice, setting: &Setting) -> Vec<u8> {
    let alerts: Vec<_> = notice.alerts.iter().map(|said| postable(said, setting)).collect();
    serde_json::to_vec(&alerts).expect("texts always serialize")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::channels::testing::{notice, setting};

    #[test]
    fn what_fires_ends_later_and_what_is_over_has_ended() {
        let body: Value = serde_json::from_slice(&body(&notice(), &setting())).unwrap();
        let [fires, over] = body.as_array().unwrap().as_slice() else { panic!("{body}") };
        assert_eq!(fires["endsAt"], json!("2027-01-15T08:10:00.000Z"));
        assert_eq!(over["endsAt"], json!("2027-01-15T08:03:20.000Z"));
        assert_eq!(fires["labels"]["alertname"], "hot");
        assert_eq!(fires["annotations"]["value"], "95.5");
    }

    #[test]
    fn times_are_such_that_it_takes_them() {
        let mut setting = setting();
        setting.now = Timestamp::from_secs(1_700_000_000);
        let body: Value = serde_json::from_slice(&body(&notice(), &setting)).unwrap();
        let now = json!(rfc3339(setting.now));
        assert_eq!((&body[1]["startsAt"], &body[1]["endsAt"]), (&now, &now));
    }

    #[test]
    fn names_are_such_that_it_takes_them() {
        for (name, expected) in [("site", "site"), ("cold-store.no", "cold_store_no"), ("7", "_7")]
        {
            assert_eq!(label_name(name), expected);
        }
    }
}
