//! Bodies of requests: JSON that says it is, within the limit.

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;

use crate::app::App;
use crate::problem::Problem;

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
) -> Result<axum::body::Bytes, Problem> {
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
) -> Result<axum::body::Bytes, Problem> {
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

async fn bytes(app: &App, body: Body) -> Result<axum::body::Bytes, Problem> {
    let limit_bytes = app.config.request_body_bytes_max;
    let limit = usize::try_from(limit_bytes).unwrap_or(usize::MAX);
    axum::body::to_bytes(body, limit).await.map_err(|_| {
        let detail = format!("The body is cut off, or has more than {limit_bytes} bytes.");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
    })
}

/// Reads JSON.
///
/// # Errors
/// A problem if it is not as expected.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|error| invalid(format!("The body is wrong: {error}.")))
}

/// The problem of a body that is not as expected.
pub(crate) fn invalid(detail: String) -> Problem {
    Problem::bad_request("invalid_body", detail)
}
