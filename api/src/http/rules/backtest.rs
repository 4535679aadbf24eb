//! `POST rules/{name}/backtest`: what a rule would have said to what is stored.
//!
//! The body is a JSON object; all of it may be absent:
//!
//! | key | means |
//! |---|---|
//! | `toml` | the rule's text as it is to be tried, beside the rules in force |
//! | `rules` | a rules file's text with the rule as it is to be tried; without both: the rules in force |
//! | `from`, `to` | RFC 3339; from inclusive, to exclusive |
//! | `device` | one device's readings only |
//!
//! The answer is NDJSON: lines of `type` `progress` and `transition`, then one `summary` with the account, the
//! episodes and, where `toml` or `rules` were given, the difference from the rules in force; or one `error` with `code` and
//! `detail`. An answer without one of these two at its end has been cut off.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use bellwire_model::{DeviceId, Timestamp};
use futures_util::{StreamExt, stream};
use serde::Deserialize;

use super::NamedRule;
use crate::app::App;
use crate::http::body;
use crate::params::{Params, invalid};
use crate::ports::{BacktestError, BacktestLines, BacktestRequest, Tried};
use crate::problem::Problem;
use crate::rfc3339;

/// What a client may say.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Ask {
    toml: Option<String>,
    rules: Option<String>,
    from: Option<String>,
    to: Option<String>,
    device: Option<String>,
}

/// `POST rules/{name}/backtest`.
pub(crate) async fn run(
    State(app): State<Arc<App>>,
    NamedRule(rule): NamedRule,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    Params::read(&uri, &[])?;
    let ask: Ask = body::read(&app, &headers, body).await?;
    let rules = match (ask.toml, ask.rules) {
        (None, None) => Tried::InForce,
        (Some(toml), None) => Tried::Draft(toml),
        (None, Some(text)) => Tried::File(text),
        (Some(_), Some(_)) => {
            let detail = "The body has `toml` or `rules`, not both.";
            return Err(body::invalid(detail.to_owned()));
        }
    };
    let device = match ask.device {
        Some(name) => Some(known_device(&app, &name)?),
        None => None,
    };
    let request = BacktestRequest {
        rule,
        rules,
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

impl From<BacktestError> for Problem {
    fn from(error: BacktestError) -> Self {
        match error {
            BacktestError::Busy => {
                let detail = "Another backtest runs; there is one at a time: come back later.";
                Self::later("backtest_busy", detail, 5)
            }
            BacktestError::NoSuchRule(detail) => Self::not_found("rule_not_found", detail),
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
