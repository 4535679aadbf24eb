//! An event for PagerDuty (Events API v2): a group is an incident, which is triggered while any of its
//! alerts fires, and resolved when none does.
//! <https://developer.pagerduty.com/docs/events-api-v2-overview>

use std::fmt::Write as _;

use bellwire_model::Severity;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::Setting;
use super::chat::{lines, shortened, title, worst};
use super::payload::rfc3339;
use crate::dispatch::{Notice, Status};

/// Where PagerDuty takes events.
pub(super) const URL: &str = "https://events.pagerduty.com/v2/enqueue";

/// The incident: the same for all messages of a group.
fn incident(notice: &Notice, setting: &Setting) -> String {
    let mut hash = Sha256::new();
    hash.update(setting.channel.as_bytes());
    hash.update([0]);
    hash.update(notice.group_key.as_bytes());
    hash.finalize().iter().take(16).fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a text takes everything");
        text
    })
}

pub(super) fn body(notice: &Notice, setting: &Setting, routing_key: &str) -> Vec<u8> {
    let action = if notice.status == Status::Firing { "trigger" } else { "resolve" };
    let mut event = json!({
        "routing_key": routing_key,
        "event_action": action,
        "dedup_key": incident(notice, setting),
    });
    if notice.status == Status::Firing {
        event["payload"] = payload(notice, setting);
        event["client"] = "Bellwire".into();
        let url = setting.link("/");
        if !url.is_empty() {
            event["client_url"] = url.into();
        }
    }
    event.to_string().into_bytes()
}

fn payload(notice: &Notice, setting: &Setting) -> Value {
    let severity = match worst(notice) {
        Some(Severity::Critical) => "critical",
        Some(Severity::Warning) => "warning",
        Some(Severity::Info) | None => "info",
    };
    let first = &notice.alerts[0].facts;
    let (lines, more) = lines(notice, setting);
    let mut details: Map<String, Value> = lines
        .iter()
        .enumerate()
        .map(|(index, line)| {
            let text = format!("{} {} ({})", line.word, line.text, line.detail);
            (format!("{:02}", index + 1), text.into())
        })
        .collect();
    if let Some(more) = more {
        details.insert("more".to_owned(), more.into());
    }
    let summary = match (&*notice.alerts, first.summary.trim()) {
        ([_], summary) if !summary.is_empty() => format!("{} {summary}", title(notice)),
        _ => title(notice),
    };
    json!({
        "summary": shortened(&summary, 1_000),
        "source": shortened(first.label("device"), 250),
        "severity": severity,
        "timestamp": rfc3339(first.starts_at),
        "group": first.label("site"),
        "class": first.label("rule"),
        "custom_details": details,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channels::testing::{all_over, notice, setting};

    #[test]
    fn a_group_is_an_incident_that_is_triggered_and_resolved() {
        let read = |notice: &Notice| -> Value {
            serde_json::from_slice(&body(notice, &setting(), "key")).unwrap()
        };
        let (fires, over) = (read(&notice()), read(&all_over()));
        assert_eq!(
            (&fires["event_action"], &over["event_action"]),
            (&json!("trigger"), &json!("resolve"))
        );
        assert_eq!(fires["dedup_key"], over["dedup_key"]);
        assert_eq!(fires["payload"]["severity"], "critical");
        assert_eq!(fires["payload"]["source"], "oven-1");
        assert_eq!(fires["payload"]["custom_details"].as_object().unwrap().len(), 2);
        assert_eq!(over["payload"], Value::Null);
    }
}
