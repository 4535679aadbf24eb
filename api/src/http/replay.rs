//! `POST quarantine/replay`: payloads in quarantine are read again, as the mappings say now.
//!
//! `{"ids"?, "device"?, "reason"?, "topic"?, "from"?, "to"?, "limit"?, "cursor"?, "dry_run"?}`. Without
//! any of the first six, it is about all. What can be read whole leaves quarantine: 202 says that this is
//! on disk, and readings and accounts follow as for any publish. The rest stays, and the answer says why.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use bellwire_model::{DeviceId, LogPosition, Quarantined, RejectReason, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::app::App;
use crate::auth::layer::out_of_scope;
use crate::auth::within::Within;
use crate::changed::{Changed, Unchanged};
use crate::http::body;
use crate::params::Params;
use crate::ports::{Left, LeftReason, QuarantineQuery, ReplayMode, ShelfError};
use crate::problem::Problem;
use crate::rfc3339;

/// The most payloads in one request: they are all in memory at once.
const LIMIT_MAX: usize = 100;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Request {
    ids: Option<Vec<String>>,
    device: Option<String>,
    reason: Option<String>,
    topic: Option<String>,
    from: Option<String>,
    to: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
    dry_run: bool,
}

#[derive(Serialize)]
struct Answer<'a> {
    dry_run: bool,
    replayed: usize,
    readings: u64,
    left: Vec<LeftView<'a>>,
    next: Option<&'a str>,
}

#[derive(Serialize)]
struct LeftView<'a> {
    id: String,
    topic: &'a str,
    device: Option<&'a str>,
    reason: &'static str,
    detail: &'a str,
}

/// `POST quarantine/replay`.
pub(crate) async fn replay(
    State(app): State<Arc<App>>,
    within: Within,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    Params::read(&uri, &[])?;
    let request: Request = body::read(&app, &headers, body).await?;
    let mode = if request.dry_run { ReplayMode::Try } else { ReplayMode::Replay };
    let query = query(request)?;
    // Whoever sees a part of the fleet says which device it is about.
    if !within.is_everything() && !query.device.as_ref().is_some_and(|device| within.has(device)) {
        return Err(out_of_scope());
    }
    let target = target(&query);
    let replayed = app.ports.shelf.replay(query, mode).await.map_err(problem)?;
    let answer = Answer {
        dry_run: mode == ReplayMode::Try,
        replayed: replayed.n_payloads,
        readings: replayed.n_readings,
        left: replayed.left.iter().map(view).collect(),
        next: replayed.next.as_deref(),
    };
    if mode == ReplayMode::Try {
        return Ok(Unchanged.noted((StatusCode::OK, Json(answer)).into_response()));
    }
    let after = json!({
        "replayed": replayed.n_payloads,
        "readings": replayed.n_readings,
        "left": replayed.left.len(),
    });
    let changed = Changed { action: "quarantine.replay", target, before: None, after: Some(after) };
    Ok(changed.noted((StatusCode::ACCEPTED, Json(answer)).into_response()))
}

/// What the audit log calls the payloads that were asked for.
fn target(query: &QuarantineQuery) -> String {
    let QuarantineQuery { device, reason, topic, from, to, places, .. } = query;
    let text = |name: &str, value: Option<String>| value.map(|value| format!("{name}={value}"));
    let all = [
        text("ids", places.as_ref().map(|places| places.len().to_string())),
        text("device", device.as_ref().map(ToString::to_string)),
        text("reason", reason.map(|reason| reason.label().to_owned())),
        text("topic", topic.clone()),
        text("from", from.map(|at| at.to_string())),
        text("to", to.map(|at| at.to_string())),
    ];
    let all: Vec<String> = all.into_iter().flatten().collect();
    if all.is_empty() { "all".to_owned() } else { all.join(" ") }
}

fn problem(error: ShelfError) -> Problem {
    match error {
        ShelfError::Port(error) => error.into(),
        ShelfError::Later => Problem::later(
            "log_full",
            "There was no room for all of it in time. Ask again: what was replayed is not replayed twice.",
            1,
        ),
    }
}

fn query(request: Request) -> Result<QuarantineQuery, Problem> {
    let limit = request.limit.unwrap_or(LIMIT_MAX);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(body::invalid(format!("`limit` is from 1 to {LIMIT_MAX}, not {limit}.")));
    }
    let places = request.ids.map(|ids| ids.iter().map(|id| place(id)).collect()).transpose()?;
    if places.as_ref().is_some_and(|places: &Vec<_>| places.len() > LIMIT_MAX) {
        return Err(body::invalid(format!("`ids` has at most {LIMIT_MAX} of them.")));
    }
    Ok(QuarantineQuery {
        device: parsed("device", "a device's name", request.device, |it| DeviceId::new(it).ok())?,
        reason: parsed("reason", "a reason, as `bad_json`", request.reason, |it| {
            RejectReason::from_label(it)
        })?,
        topic: request.topic,
        from: time("from", request.from)?,
        to: time("to", request.to)?,
        places,
        limit,
        after: request.cursor,
    })
}

/// A payload's id: its record and which publish of that it is.
fn place(id: &str) -> Result<(LogPosition, u32), Problem> {
    let parts = id.split_once('-').and_then(|(position, ordinal)| {
        Some((LogPosition(position.parse().ok()?), ordinal.parse().ok()?))
    });
    parts.ok_or_else(|| {
        let id: String = id.chars().take(100).collect();
        body::invalid(format!("`ids`: {id:?} is none that `GET quarantine` has given."))
    })
}

fn parsed<T>(
    key: &str,
    what: &str,
    text: Option<String>,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, Problem> {
    let Some(text) = text else { return Ok(None) };
    parse(&text).map(Some).ok_or_else(|| {
        let text: String = text.chars().take(100).collect();
        body::invalid(format!("`{key}` is {what}, not {text:?}."))
    })
}

fn time(key: &str, text: Option<String>) -> Result<Option<Timestamp>, Problem> {
    parsed(key, "a time as RFC 3339 writes it", text, rfc3339::parse)
}

fn view(left: &Left) -> LeftView<'_> {
    let Quarantined { position, ordinal, device, topic, .. } = &left.quarantined;
    let (reason, detail) = match &left.reason {
        LeftReason::Unreadable { reason, detail } => (reason.label(), &**detail),
        LeftReason::AnotherLog => {
            ("another_log", "it came in by the log of a data directory that is gone")
        }
        LeftReason::NotNoted => (
            "not_noted",
            "an earlier version did not note which of its readings are stored: some might be twice",
        ),
    };
    let device = device.as_ref().map(DeviceId::as_str);
    LeftView { id: format!("{position}-{ordinal}"), topic, device, reason, detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<QuarantineQuery, &'static str> {
        let request = serde_json::from_str(text).map_err(|_| "no request")?;
        query(request).map_err(|problem| problem.code())
    }

    #[test]
    fn filters_are_read() {
        let all = read("{}").expect("all");
        assert_eq!((all.limit, all.places, all.device), (LIMIT_MAX, None, None));
        let some = read(
            r#"{"ids": ["7-1", "18446744073709551615-0"], "device": "a", "reason": "bad_json",
                "topic": "x/#", "from": "2024-01-01T00:00:00Z", "limit": 5}"#,
        )
        .expect("some");
        let places = [(LogPosition(7), 1), (LogPosition(u64::MAX), 0)];
        assert_eq!(some.places.as_deref(), Some(&places[..]));
        assert_eq!((some.reason, some.limit), (Some(RejectReason::BadJson), 5));
        assert_eq!(some.from, Some(Timestamp::from_secs(1_704_067_200)));
    }

    #[test]
    fn mistakes_are_told() {
        for wrong in [
            r#"{"ids": ["7"]}"#,
            r#"{"ids": ["-1-1"]}"#,
            r#"{"limit": 0}"#,
            r#"{"limit": 101}"#,
            r#"{"reason": "ugly"}"#,
            r#"{"device": "a/b"}"#,
            r#"{"from": "yesterday"}"#,
        ] {
            assert_eq!(read(wrong).err(), Some("invalid_body"), "{wrong}");
        }
        assert_eq!(read(r#"{"devices": "a"}"#).err(), Some("no request"));
    }
}
