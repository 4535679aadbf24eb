//! What all messages for people have: a title, and a line for each alert.

use super::Setting;
use super::payload::{link, rfc3339};
use crate::dispatch::{Notice, Said, Status};
use bellwire_model::Severity;

/// The most alerts of which a message for people says more than that there are some.
pub(super) const LINES_MAX: usize = 20;

/// `[FIRING:2] hot (site=berlin)`.
pub(super) fn title(notice: &Notice) -> String {
    let n_firing = notice.n_firing();
    let n_over = notice.alerts.len() - n_firing;
    let status = match notice.status {
        Status::Firing if n_firing > 0 => format!("[FIRING:{n_firing}]"),
        // Others of the group fire, this only says which do not any more.
        Status::Firing => format!("[RESOLVED:{n_over}]"),
        _ => "[RESOLVED]".to_owned(),
    };
    let rule = common(notice, "rule").unwrap_or("alerts");
    let labels: Vec<String> = notice
        .group_labels
        .iter()
        .filter(|(name, _)| !["rule", "alertname"].contains(&&***name))
        .take(5)
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let labels =
        if labels.is_empty() { String::new() } else { format!(" ({})", labels.join(", ")) };
    shortened(&format!("{status} {rule}{labels}"), 200)
}

/// A label's value, if all alerts have the same.
fn common<'a>(notice: &'a Notice, name: &str) -> Option<&'a str> {
    let mut values = notice.alerts.iter().map(|said| said.facts.label(name));
    let first = values.next()?;
    values.all(|value| value == first).then_some(first)
}

/// At most so many characters.
pub(super) fn shortened(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(chars_max.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// What there is to say of an alert.
pub(super) struct Line {
    /// `CRITICAL`, `RESOLVED`.
    pub(super) word: &'static str,
    /// The rule's summary, or rule and device.
    pub(super) text: String,
    /// `oven-1, since 2026-01-01T00:00:00.000Z`.
    pub(super) detail: String,
    /// Where the console shows it; empty if nobody knows.
    pub(super) link: String,
}

impl Line {
    fn new(said: &Said, setting: &Setting) -> Self {
        let facts = &*said.facts;
        let word = match (said.status, facts.severity) {
            (Status::Firing, Severity::Critical) => "CRITICAL",
            (Status::Firing, Severity::Warning) => "WARNING",
            (Status::Firing, Severity::Info) => "INFO",
            _ => "RESOLVED",
        };
        let (rule, device) = (facts.label("rule"), facts.label("device"));
        let text = match facts.summary.trim() {
            "" => format!("{rule} on {device}"),
            summary => summary.to_owned(),
        };
        let since = rfc3339(facts.starts_at);
        let detail = match facts.ends_at.filter(|_| said.status != Status::Firing) {
            Some(ends_at) => format!("{device}, {since} to {}", rfc3339(ends_at)),
            None => format!("{device}, since {since}"),
        };
        Self { word, text: shortened(&text, 300), detail, link: link(facts, setting) }
    }
}

/// The first lines, and what to say of those that are left out.
pub(super) fn lines(notice: &Notice, setting: &Setting) -> (Vec<Line>, Option<String>) {
    let shown = notice.alerts.iter().take(LINES_MAX);
    let lines: Vec<_> = shown.map(|said| Line::new(said, setting)).collect();
    let n_more = notice.alerts.len() - lines.len() + notice.n_left_out;
    (lines, (n_more > 0).then(|| format!("and {n_more} more")))
}

/// The worst of what fires; `None` if nothing does.
pub(super) fn worst(notice: &Notice) -> Option<Severity> {
    let firing = notice.alerts.iter().filter(|said| said.status == Status::Firing);
    firing.map(|said| said.facts.severity).max_by_key(|severity| *severity as u8)
}
