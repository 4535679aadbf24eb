//! `POST rules/{name}/backtest`: what a rule would have said to what is stored.
//!
//! The body is a JSON object; all of it may be absent:
//!
//! | key | means |
//! |---|---|
//! | `rules` | a rules file's text with the rule as it is to be tried; absent: the rules in force |
//! | `from`, `to` | RFC 3339; from inclusive, to exclusive |
//! | `device` | one device's readings only |
//!
//! The answer is NDJSON: lines of `type` `progress` and `transition`, then one `summary` with the account, the
//! episodes and, where `rules` were given, the difference from the rules in force; or one `error` with `code` and
//! `detail`. An answer without one of these two at its end has been cut off.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use bellwire_model::{DeviceId, RuleName, Timestamp};
use futures_util::{StreamExt, stream};
use serde::Deserialize;

use crate::app::App;
use crate::params::{Params, invalid};
use crate::ports::{BacktestError, BacktestLines, BacktestRequest};
use crate::problem::Problem;
use crate::rfc3339;

/// What a client may say.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Ask {
    rules: Option<String>,
    from: Option<String>,
    to: Option<String>,
    device: Option<String>,
}

/// `POST rules/{name}/backtest`.
pub(crate) async fn run(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    Params::read(&uri, &[])?;
    let rule = RuleName::new(&name).map_err(|error| no_such_rule(format!("{name:?}: {error}.")))?;
    let ask = read(&app, &headers, body).await?;
    let device = match ask.device {
        Some(name) => Some(known_device(&app, &name)?),
        None => None,
    };
    let request = BacktestRequest {
        rule,
        rules: ask.rules,
        from: time("from", ask.from.as_deref())?,
        to: time("to", ask.to.as_deref())?,
        device,
        readings_max: app.config.backtest_readings_max,
        time_max: Duration::from_millis(app.config.backtest_timeout_ms.get()),
    };
    let lines = app.ports.backtests.begin(request).await?;
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    Ok((kind, Body::from_stream(body_of(app, lines))).into_response())
}

/// The lines, until there are no more or the service stops.
fn body_of(
    app: Arc<App>,
    lines: BacktestLines,
) -> impl futures_util::Stream<Item = Result<bytes::Bytes, std::convert::Infallible>> {
    let closing = app.closing.clone();
    stream::unfold(lines, |mut lines| async move { Some((lines.recv().await?, lines)) })
        .take_until(closing.cancelled_owned())
        .map(Ok)
}

/// Reads the body. It must say that it is JSON: no page of another origin can say so unasked.
async fn read(app: &App, headers: &HeaderMap, body: Body) -> Result<Ask, Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).map(str::trim);
    if !kind.is_some_and(|kind| kind.eq_ignore_ascii_case("application/json")) {
        let detail = "The body must be JSON, and say so: `Content-Type: application/json`.";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_json", detail));
    }
    let limit_bytes = app.config.request_body_bytes_max;
    let limit = usize::try_from(limit_bytes).unwrap_or(usize::MAX);
    let bytes = axum::body::to_bytes(body, limit).await.map_err(|_| {
        let detail = format!("The body is cut off, or has more than {limit_bytes} bytes.");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
    })?;
    if bytes.is_empty() {
        return Ok(Ask::default());
    }
    serde_json::from_slice(&bytes).map_err(|error| {
        Problem::bad_request("invalid_body", format!("The body is wrong: {error}."))
    })
}

fn time(key: &str, text: Option<&str>) -> Result<Option<Timestamp>, Problem> {
    let read = |text| {
        let expected = "an RFC 3339 time such as 2024-05-01T12:00:00Z";
        rfc3339::parse(text).ok_or_else(|| invalid(key, expected))
    };
    text.map(read).transpose()
}

fn known_device(app: &App, name: &str) -> Result<DeviceId, Problem> {
    let device = DeviceId::new(name).map_err(|_| crate::app::no_such_device(name))?;
    app.device(&device)?;
    Ok(device)
}

fn no_such_rule(detail: String) -> Problem {
    Problem::not_found("rule_not_found", detail)
}

impl From<BacktestError> for Problem {
    fn from(error: BacktestError) -> Self {
        match error {
            BacktestError::Busy => {
                let detail = "Another backtest runs; there is one at a time: come back later.";
                Self::later("backtest_busy", detail, 5)
            }
            BacktestError::NoSuchRule(detail) => no_such_rule(detail),
            BacktestError::WrongRules(detail) => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_rules", detail)
            }
            BacktestError::TooMany(detail) => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "too_many_readings", detail)
            }
            BacktestError::Port(error) => error.into(),
        }
    }
}
