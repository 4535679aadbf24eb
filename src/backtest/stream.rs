//! What a backtest over HTTP says beside transitions, as lines of JSON.

use bellwire_alerts::backtest::{Ending, Episode, Report, RuleAccount, Tally, compare};
use bellwire_model::Timestamp;
use serde_json::{Value, json};

use super::trial::Outcome;
use super::words::rfc3339;

/// The most episodes of each kind that a summary lists; the rest are counted.
const LISTED_MAX: usize = 1_000;

/// A transition, as [`line`](super::line) writes it, with `"type": "transition"` before.
pub(crate) fn transition(line: &str) -> String {
    typed("transition", line)
}

/// An object with its type before all else.
fn typed(kind: &str, object: &str) -> String {
    format!("{{\"type\":\"{kind}\",{}", &object[1..])
}

/// How far a backtest has come.
pub(crate) fn progress(n_readings: u64, n_expected: u64, at: Timestamp) -> String {
    let of = n_expected.max(n_readings);
    typed("progress", &json!({"readings": n_readings, "of": of, "at": rfc3339(at)}).to_string())
}

/// Why it ends before its end.
pub(crate) fn failure(code: &str, detail: &str) -> String {
    typed("error", &json!({"code": code, "detail": detail}).to_string())
}

/// What it came to.
pub(crate) fn summary(outcome: &Outcome) -> String {
    let summary = json!({
        "from": outcome.span.map(|(from, _)| rfc3339(from)),
        "to": outcome.span.map(|(_, to)| rfc3339(to)),
        "readings": outcome.n_readings,
        "late": outcome.n_late,
        "rules": outcome.tried.rules.iter().map(rule).collect::<Vec<_>>(),
        "episodes": outcome.tried.episodes.iter().take(LISTED_MAX).map(episode).collect::<Vec<_>>(),
        "episodes_left_out": left_out(outcome.tried.episodes.len(), outcome.tried.n_left_out),
        "difference": outcome.running.as_ref().map(|running| difference(&outcome.tried, running)),
    });
    typed("summary", &summary.to_string())
}

fn left_out(n_known: usize, n_unknown: u64) -> u64 {
    n_known.saturating_sub(LISTED_MAX) as u64 + n_unknown
}

fn rule(account: &RuleAccount) -> Value {
    let devices: Vec<_> = account
        .devices
        .iter()
        .take(LISTED_MAX)
        .map(|of| with(json!({"device": of.device.as_str()}), tally(&of.tally)))
        .collect();
    let head = json!({
        "rule": account.rule.as_str(),
        "share_firing": account.share,
        "devices": account.devices.iter().filter(|of| of.tally.fired > 0).count(),
    });
    with(with(head, tally(&account.tally)), json!({"by_device": devices}))
}

fn tally(tally: &Tally) -> Value {
    json!({
        "fired": tally.fired,
        "held_short": tally.held_short,
        "no_data": tally.no_data,
        "first_at": tally.first_at.map(rfc3339),
        "last_at": tally.last_at.map(rfc3339),
        "total_secs": tally.total.as_secs_f64(),
        "longest_secs": tally.longest.as_secs_f64(),
        "flap_share": tally.flap_share(),
        "open": tally.open,
    })
}

fn episode(episode: &Episode) -> Value {
    json!({
        "rule": episode.rule.as_str(),
        "device": episode.device.as_str(),
        "severity": episode.severity.label(),
        "since": rfc3339(episode.since),
        "fired_at": rfc3339(episode.fired_at),
        "ended_at": (episode.ending == Ending::Over).then(|| rfc3339(episode.until)),
        "secs": episode.lasted().as_secs_f64(),
        "value": episode.value,
        "reason": &*episode.reason,
    })
}

fn difference(tried: &Report, running: &Report) -> Value {
    let found = compare(&tried.episodes, &running.episodes);
    let list = |episodes: &[&Episode]| {
        episodes.iter().take(LISTED_MAX).map(|it| episode(it)).collect::<Vec<_>>()
    };
    let moved: Vec<_> = found
        .moved
        .iter()
        .take(LISTED_MAX)
        .map(|(new, old)| json!({"tried": episode(new), "running": episode(old)}))
        .collect();
    json!({
        "same": found.both.len(),
        "only_tried": found.only_tried.len(),
        "only_running": found.only_running.len(),
        "moved": found.moved.len(),
        "complete": tried.n_left_out + running.n_left_out == 0,
        "episodes_only_tried": list(&found.only_tried),
        "episodes_only_running": list(&found.only_running),
        "episodes_moved": moved,
    })
}

/// One object with the keys of both.
fn with(mut first: Value, second: Value) -> Value {
    if let (Value::Object(first), Value::Object(second)) = (&mut first, second) {
        first.extend(second);
    }
    first
}
