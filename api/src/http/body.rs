//! Bodies of requests: JSON that says it is, within the limit.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::app::App;
use crate::problem::Problem;

/// The most bytes of a body whose sender need not show who they are.
const STRANGER_BYTES_MAX: u64 = 16 * 1024;

/// Reads a body that may be absent; one that is there must say that it is JSON: no page of another
/// origin can say so unasked.
///
/// # Errors
/// A problem if it is something else, too long, or not as expected.
pub(crate) async fn read_optional<T: DeserializeOwned + Default>(
    app: &App,
    headers: &HeaderMap,
    body: Body,
) -> Result<T, Problem> {
    let bytes = bytes(app, body).await?;
    if bytes.is_empty() {
        return Ok(T::default());
    }
    is_json(headers)?;
    parse(&bytes)
}

/// Reads a body that says that it is JSON, even where it is empty; that counts as an empty object.
///
/// # Errors
/// A problem if it is something else, too long, or not as expected.
pub(crate) async fn read<T: DeserializeOwned>(
    app: &App,
    headers: &HeaderMap,
    body: Body,
) -> Result<T, Problem> {
    is_json(headers)?;
    let bytes = bytes(app, body).await?;
    parse(if bytes.is_empty() { b"{}" } else { &bytes })
}

/// The bytes of a body that says that it is JSON.
///
/// # Errors
/// A problem if it is something else, or too long.
pub(crate) async fn read_json(
    app: &App,
    headers: &HeaderMap,
    body: Body,
) -> Result<Bytes, Problem> {
    is_json(headers)?;
    bytes(app, body).await
}

/// The bytes of a body that says that it is JSON, or one of `others`.
///
/// # Errors
/// A problem if it is something else, or too long.
pub(crate) async fn read_as(
    app: &App,
    headers: &HeaderMap,
    body: Body,
    others: &[&str],
) -> Result<Bytes, Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).map(str::trim).unwrap_or_default();
    if !others.iter().any(|other| kind.eq_ignore_ascii_case(other)) {
        is_json(headers)?;
    }
    bytes(app, body).await
}

fn is_json(headers: &HeaderMap) -> Result<(), Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).map(str::trim);
    if kind.is_some_and(|kind| kind.eq_ignore_ascii_case("application/json")) {
        return Ok(());
    }
    let detail = "The body must be JSON, and say so: `Content-Type: application/json`.";
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_json", detail))
}

/// All bytes of a body.
///
/// # Errors
/// A problem if it is too long, or takes too long.
pub(crate) async fn bytes(app: &App, body: Body) -> Result<Bytes, Problem> {
    bytes_within(app, body, app.config.request_body_bytes_max).await
}

/// All bytes of the body of somebody who need not show who they are: a few names and words.
///
/// # Errors
/// A problem if it is too long, or takes too long.
pub(crate) async fn bytes_of_stranger(app: &App, body: Body) -> Result<Bytes, Problem> {
    bytes_within(app, body, app.config.request_body_bytes_max.min(STRANGER_BYTES_MAX)).await
}

async fn bytes_within(app: &App, body: Body, bytes_max: u64) -> Result<Bytes, Problem> {
    let limit = usize::try_from(bytes_max).unwrap_or(usize::MAX);
    let patience = Duration::from_millis(app.config.body_timeout_ms.get());
    match timeout(patience, axum::body::to_bytes(body, limit)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(_)) => {
            let detail = format!("The body is cut off, or has more than {bytes_max} bytes.");
            Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail))
        }
        Err(_) => {
            let detail = "The body has not come within `http.body_timeout_ms`.";
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", detail))
        }
    }
}

/// Reads JSON.
///
/// # Errors
/// A problem if it is not as expected.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    is_object(bytes)?;
    serde_json::from_slice(bytes).map_err(|error| invalid(format!("The body is wrong: {error}.")))
}

/// What is read into fields is an object: serde would take a list of their values, too.
///
/// # Errors
/// A problem if it is something else.
pub(crate) fn is_object(bytes: &[u8]) -> Result<(), Problem> {
    match bytes.trim_ascii_start().first() {
        // Nothing at all is told where it ends.
        Some(b'{') | None => Ok(()),
        Some(_) => Err(invalid("The body is wrong: it must be a JSON object.".to_owned())),
    }
}

/// The problem of a body that is not as expected.
pub(crate) fn invalid(detail: String) -> Problem {
    Problem::bad_request("invalid_body", detail)
}
