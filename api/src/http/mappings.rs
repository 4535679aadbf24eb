//! `POST mappings/try`: what a payload would come to under some mappings; nothing is stored.
//!
//! `{"topic", "payload" or "payload_base64", "toml"?, "received_at"?}`. Without `toml` the mappings in
//! force are tried. A text that is wrong is no problem here, but the answer:
//! `{"valid": false, "errors": […]}`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use bellwire_model::Value;
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::base64;
use crate::http::body;
use crate::params::Params;
use crate::ports::{MappingMistake, MappingTrial, TrialReading, TriedMapping};
use crate::problem::Problem;
use crate::rfc3339::{self, Rfc3339};

/// The longest payload, and the longest text of mappings, in bytes: reading them keeps a thread busy.
const BYTES_MAX: usize = 64 * 1024;
/// The most readings that are listed; all are counted.
const LISTED_MAX: usize = 100;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ask {
    topic: String,
    payload: Option<String>,
    payload_base64: Option<String>,
    toml: Option<String>,
    received_at: Option<String>,
}

#[derive(Serialize)]
struct Right<'a> {
    valid: bool,
    read_by: Option<&'a str>,
    readings: usize,
    list: Vec<ReadingView<'a>>,
    online: BTreeMap<&'a str, bool>,
    labels: BTreeMap<&'a str, BTreeMap<&'a str, &'a str>>,
    reason: Option<&'static str>,
    detail: Option<&'a str>,
}

#[derive(Serialize)]
struct ReadingView<'a> {
    device: &'a str,
    metric: &'a str,
    at: Rfc3339,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<f64>,
    /// In place of `value`, where it is a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
}

#[derive(Serialize)]
struct Wrong<'a> {
    valid: bool,
    errors: Vec<MistakeView<'a>>,
}

#[derive(Serialize)]
struct MistakeView<'a> {
    line: usize,
    column: usize,
    message: &'a str,
    help: Option<&'a str>,
}

/// `POST mappings/try`.
pub(crate) async fn attempt(
    State(app): State<Arc<App>>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    Params::read(&uri, &[])?;
    let trial = trial(&app, body::read(&app, &headers, body).await?)?;
    Ok(match app.ports.shelf.try_mapping(&trial) {
        Ok(tried) => Json(right(&tried)).into_response(),
        Err(mistakes) => Json(wrong(&mistakes)).into_response(),
    })
}

fn trial(app: &App, ask: Ask) -> Result<MappingTrial, Problem> {
    let Ask { topic, payload, payload_base64, toml, received_at } = ask;
    let payload = match (payload, payload_base64) {
        (Some(text), None) => text.into_bytes(),
        (None, Some(text)) => base64::decode(&text)
            .ok_or_else(|| body::invalid("`payload_base64` is no base64.".to_owned()))?,
        _ => return Err(body::invalid("It has `payload` or `payload_base64`.".to_owned())),
    };
    for (what, n_bytes) in
        [("payload", payload.len()), ("toml", toml.as_deref().map_or(0, str::len))]
    {
        if n_bytes > BYTES_MAX {
            let detail = format!("`{what}` has {n_bytes} bytes; at most {BYTES_MAX} are tried.");
            return Err(body::invalid(detail));
        }
    }
    let received_at = match received_at {
        None => app.clock.now(),
        Some(text) => rfc3339::parse(&text).ok_or_else(|| {
            body::invalid("`received_at` is a time as RFC 3339 writes it.".to_owned())
        })?,
    };
    Ok(MappingTrial { topic, payload, toml, received_at })
}

fn right(tried: &TriedMapping) -> Right<'_> {
    let online = tried.presence.iter().map(|(device, is)| (device.as_str(), is.is_online()));
    let mut labels: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
    for (device, (name, value)) in &tried.labels {
        labels.entry(device.as_str()).or_default().insert(name, value);
    }
    Right {
        valid: true,
        read_by: tried.read_by.as_deref(),
        readings: tried.readings.len(),
        list: tried.readings.iter().take(LISTED_MAX).map(reading).collect(),
        online: online.collect(),
        labels,
        reason: tried.fault.as_ref().map(|(reason, _)| reason.label()),
        detail: tried.fault.as_ref().map(|(_, detail)| &**detail),
    }
}

fn reading(it: &TrialReading) -> ReadingView<'_> {
    let (value, text) = match &it.value {
        Value::Number(number) => (Some(*number), None),
        Value::Text(text) => (None, Some(&**text)),
    };
    let (device, metric) = (it.device.as_str(), it.metric.as_str());
    ReadingView { device, metric, at: Rfc3339(it.at), value, text }
}

fn wrong(mistakes: &[MappingMistake]) -> Wrong<'_> {
    Wrong { valid: false, errors: mistakes.iter().map(mistake).collect() }
}

fn mistake(it: &MappingMistake) -> MistakeView<'_> {
    let MappingMistake { line, column, message, help } = it;
    MistakeView { line: *line, column: *column, message, help: help.as_deref() }
}
