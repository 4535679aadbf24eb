//! Who has signed in, where it can be ended.
//!
//! | route | body |
//! |---|---|
//! | `GET sessions` | none: one's own; all for an admin |
//! | `DELETE sessions/{id}` | none: ends one |

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use bellwire_model::Timestamp;
use serde_json::{Value, json};

use super::gate;
use crate::app::App;
use crate::auth::gate::{Gate, SignInError};
use crate::auth::sessions::{Session, SessionKey};
use crate::auth::{Pass, Role, Who};
use crate::changed::Changed;
use crate::http::Part;
use crate::params::Params;
use crate::problem::Problem;
use crate::rfc3339::Rfc3339;

/// Those that somebody may see.
fn seen(gate: &Gate, who: &Who) -> Vec<(SessionKey, Session, Timestamp)> {
    let is_shown =
        |session: &Session| who.role == Role::Admin || session.user.as_str() == who.user();
    let all = gate.sessions().into_iter();
    all.filter(|(_, session, _)| is_shown(session)).collect()
}

fn view(who: &Who, (key, session, ends_at): &(SessionKey, Session, Timestamp)) -> Value {
    json!({
        "id": key.name(),
        "user": session.user,
        "created_at": Rfc3339(Timestamp::from_micros(session.created_at)),
        "last_used": Rfc3339(Timestamp::from_micros(session.seen_at)),
        "expires_at": Rfc3339(*ends_at),
        "current": who.pass == Pass::Session(*key),
    })
}

/// `GET sessions`: the latest used first.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    who: Who,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    Params::read(&uri, &[])?;
    let mut found = seen(gate(&app)?, &who);
    found.sort_by_key(|(_, session, _)| std::cmp::Reverse(session.seen_at));
    let views: Vec<_> = found.iter().map(|it| view(&who, it)).collect();
    Ok(Json(json!({"sessions": views})))
}

/// `DELETE sessions/{id}`.
pub(crate) async fn end(
    State(app): State<Arc<App>>,
    Part(id): Part,
    who: Who,
    uri: Uri,
) -> Result<Response, Problem> {
    Params::read(&uri, &[])?;
    let gate = gate(&app)?;
    let found = seen(gate, &who).into_iter().find(|(key, ..)| key.name() == id);
    let Some((key, session, _)) = found else {
        let detail = "There is no such session, or it has ended.";
        return Err(Problem::not_found("session_not_found", detail));
    };
    gate.end(key).await.map_err(SignInError::Files)?;
    let target = session.user.to_string();
    let change = Changed { action: "session.delete", target, before: None, after: None };
    Ok(change.noted(StatusCode::NO_CONTENT.into_response()))
}
