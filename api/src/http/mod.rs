//! Request handlers, by what they answer about.

pub(crate) mod alerts;
pub(crate) mod audit_log;
pub(crate) mod body;
pub(crate) mod channels;
pub(crate) mod commands;
pub(crate) mod devices;
pub(crate) mod handling;
pub(crate) mod health;
pub(crate) mod latest;
pub(crate) mod mappings;
pub(crate) mod people;
pub(crate) mod quarantine;
pub(crate) mod readings;
pub(crate) mod replay;
pub(crate) mod rules;
pub(crate) mod telemetry;

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::extract::Path;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use bellwire_model::DeviceId;

use crate::app::{App, no_such_device};
use crate::auth::within::Within;
use crate::ports::Known;
use crate::problem::Problem;

/// The device that a path names, within the scope of whoever asks.
#[derive(Debug)]
pub(crate) struct Named(pub(crate) DeviceId);

impl FromRequestParts<Arc<App>> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<App>) -> Result<Self, Problem> {
        let Ok(Path(name)) = Path::<String>::from_request_parts(parts, state).await else {
            return Err(no_such_device("(not UTF-8)"));
        };
        // What is no device's name is not the name of a device we know.
        let device = DeviceId::new(&name).map_err(|_| no_such_device(&name))?;
        // What is outside somebody's scope is not there for them.
        let Ok(within) = Within::from_request_parts(parts, state).await;
        if within.has(&device) { Ok(Self(device)) } else { Err(no_such_device(&name)) }
    }
}

/// The one part of a path that has a name, as text; what is not UTF-8 is the name of nothing.
#[derive(Debug)]
pub(crate) struct Part(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Part {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &S,
    ) -> Result<Self, std::convert::Infallible> {
        let part = Path::<String>::from_request_parts(parts, state).await;
        Ok(Self(part.map_or_else(|_| "(not UTF-8)".to_owned(), |Path(part)| part)))
    }
}

/// What `If-Match` says (RFC 9110, 13.1.1). Tags that are none of ours match nothing.
pub(crate) fn if_match(headers: &HeaderMap, what: &str) -> Result<Known, Problem> {
    let mut tags = headers.get_all(header::IF_MATCH).iter().peekable();
    if tags.peek().is_none() {
        return Err(Problem::new(
            StatusCode::PRECONDITION_REQUIRED,
            "if_match_missing",
            format!(
                "Say which version you have seen: `If-Match` with the {what}'s `ETag`, or `*`."
            ),
        ));
    }
    let mut revisions = Vec::new();
    for tags in tags {
        for tag in tags.to_str().unwrap_or_default().split(',').map(str::trim) {
            if tag == "*" {
                return Ok(Known::Any);
            }
            let number = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
            revisions.extend(number.and_then(|number| number.parse::<u64>().ok()));
        }
    }
    Ok(Known::Revisions(revisions))
}
