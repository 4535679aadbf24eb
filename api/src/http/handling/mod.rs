//! What operators do with alerts, and silences.
//!
//! | route | body |
//! |---|---|
//! | `POST alerts/{id}/ack` | `{"comment"?, "seen"?}`: whoever asks has it |
//! | `POST alerts/{id}/unack`, `…/unsnooze` | `{"comment"?}` |
//! | `POST alerts/{id}/assign` | `{"to", "comment"?}`; `null`: nobody |
//! | `POST alerts/{id}/comment` | `{"comment"}` |
//! | `POST alerts/{id}/snooze` | `{"for"` or `"until", "comment"?}` |
//! | `POST alerts/actions` | `{"alerts": […], "action", …}`: the same with up to 1,000 alerts |
//! | `silences`, `silences/{id}`, `silences/preview` | [`silences`] |
//!
//! Each takes an `Idempotency-Key`. An answer says that it is on disk, whatever the database does.

mod alerts;
mod concern;
pub(crate) mod silences;

use std::sync::Arc;

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, Uri};
use bellwire_model::{Deed, Silence, Timestamp};

use crate::app::App;
use crate::auth::Who;
use crate::http::telemetry;
use crate::params::duration;
use crate::ports::{ActionAnswer, ActionRequest, HandlingError};
use crate::problem::Problem;
use crate::rfc3339;

pub(crate) use alerts::{ack, assign, comment, many, snooze, unack, unsnooze};

/// Has it done.
async fn act(
    app: &App,
    who: &Who,
    (uri, headers, body): (&Uri, &HeaderMap, &Bytes),
    deed: Deed,
) -> Result<ActionAnswer, Problem> {
    let key = telemetry::key(headers)?;
    let said = [uri.path().as_bytes(), b"\0", body].concat();
    let request = ActionRequest { author: Arc::clone(&who.name), key, said, deed };
    Ok(app.ports.handling.act(request).await?)
}

/// A problem with what a body says.
fn unfit(code: &'static str, detail: impl Into<std::borrow::Cow<'static, str>>) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
}

/// A comment or a reason, which people read.
fn text(name: &str, text: String) -> Result<Arc<str>, Problem> {
    let is_fine = |c: char| c == '\n' || !c.is_control();
    let fits = (1..=Silence::TEXT_BYTES_MAX).contains(&text.trim().len());
    if fits && text.chars().all(is_fine) {
        return Ok(text.trim().into());
    }
    let most = Silence::TEXT_BYTES_MAX;
    Err(unfit(
        "invalid_text",
        format!("`{name}` has 1 to {most} bytes, without control characters."),
    ))
}

/// Until when something lasts: `for` so long, or `until` then.
fn end(
    now: Timestamp,
    lasts: Option<&str>,
    until: (&str, Option<&str>),
) -> Result<Timestamp, Problem> {
    let (name, until) = until;
    let wrong = || {
        let detail =
            format!("Give `for`, a time such as `1h`, or `{name}`, such as 2026-05-01T12:00:00Z.");
        unfit("invalid_time", detail)
    };
    match (lasts, until) {
        (Some(lasts), None) => duration(lasts).map(|lasts| now + lasts).ok_or_else(wrong),
        (None, Some(until)) => rfc3339::parse(until).ok_or_else(wrong),
        _ => Err(wrong()),
    }
}

impl From<HandlingError> for Problem {
    fn from(error: HandlingError) -> Self {
        match error {
            HandlingError::KeyReused => unfit(
                "idempotency_key_reused",
                "The `Idempotency-Key` was used before for another request.",
            ),
            HandlingError::Later => Self::later(
                "log_full",
                "It waits for room in the log, or the service stops: it may yet be done. Send it again \
                 with the same `Idempotency-Key`, and it is done once.",
                1,
            ),
            HandlingError::Port(error) => error.into(),
        }
    }
}
