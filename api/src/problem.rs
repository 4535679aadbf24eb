//! Errors as HTTP says them: `application/problem+json` (RFC 9457) with a stable `code`.

use std::borrow::Cow;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tracing::error;

use crate::ports::PortError;
use crate::request_id;

/// An error that a client is told.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: Cow<'static, str>,
    retry_after_secs: Option<u16>,
    errors: Option<serde_json::Value>,
    alert: Option<serde_json::Value>,
}

/// The body of a problem.
#[derive(Serialize)]
struct Body<'a> {
    r#type: &'a str,
    title: &'a str,
    status: u16,
    code: &'a str,
    detail: &'a str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<&'a serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alert: Option<&'a serde_json::Value>,
}

impl Problem {
    pub(crate) fn new(
        status: StatusCode,
        code: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            retry_after_secs: None,
            errors: None,
            alert: None,
        }
    }

    pub(crate) fn bad_request(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    pub(crate) fn not_found(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, detail)
    }

    /// It may work later.
    pub(crate) fn later(
        code: &'static str,
        detail: impl Into<Cow<'static, str>>,
        after_secs: u16,
    ) -> Self {
        let retry_after_secs = Some(after_secs);
        Self { retry_after_secs, ..Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail) }
    }

    /// After so many seconds it may work.
    pub(crate) fn retry_after(self, secs: u16) -> Self {
        Self { retry_after_secs: Some(secs), ..self }
    }

    /// With a list of what is wrong, each with its place.
    pub(crate) fn with_errors(self, errors: serde_json::Value) -> Self {
        Self { errors: Some(errors), ..self }
    }

    /// With an alert as it stands.
    pub(crate) fn with_alert(self, alert: impl Serialize) -> Self {
        Self { alert: serde_json::to_value(alert).ok(), ..self }
    }

    /// Of one of many, by its place from 0.
    pub(crate) fn in_item(self, index: usize) -> Self {
        Self { detail: format!("Item {index}: {}", self.detail).into(), ..self }
    }

    /// The stable word for what is wrong.
    pub(crate) fn code(&self) -> &'static str {
        self.code
    }
}

impl From<PortError> for Problem {
    fn from(port: PortError) -> Self {
        match port {
            PortError::DatabaseAway => Self::later(
                "database_away",
                "The database is away. Live alerts go on; history is back when it is.",
                5,
            ),
            PortError::BadPage => Self::bad_request(
                "invalid_parameter",
                "`cursor` is not one that this list has given as `next`.",
            ),
            PortError::Failed(cause) => {
                let (cause, request_id) = (Chain(&*cause), request_id::current());
                error!(error = %cause, %request_id, "A query for the API failed: {cause}.");
                Self::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "internal",
                    "The query failed; the service's log says why, under this `request_id`.",
                )
            }
        }
    }
}

/// Shows an error and its causes, outermost first.
struct Chain<'a>(&'a (dyn std::error::Error + 'a));

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = Body {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            code: self.code,
            detail: &self.detail,
            request_id: &request_id::current(),
            errors: self.errors.as_ref(),
            alert: self.alert.as_ref(),
        };
        let body = serde_json::to_vec(&body).expect("texts and numbers always serialize");
        let kind = HeaderValue::from_static("application/problem+json");
        let mut response = (self.status, [(header::CONTENT_TYPE, kind)], body).into_response();
        if let Some(secs) = self.retry_after_secs {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(secs));
        }
        response
    }
}
