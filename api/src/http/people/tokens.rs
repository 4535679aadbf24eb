//! API tokens: how programs come in.
//!
//! | route | body |
//! |---|---|
//! | `GET tokens` | none: one's own; all for an admin |
//! | `POST tokens` | `{"name", "role", "scope"?, "expires_in"?, "user"?}`: shows the token, once |
//! | `DELETE tokens/{id}` | none |
//!
//! `role` is `viewer`, `operator`, `admin`, or `telemetry` for nothing but sending that. `user` is for
//! admins: whose token it is.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use bellwire_model::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::session::user_name;
use super::{check_scope, gate};
use crate::app::App;
use crate::auth::gate::SignInError;
use crate::auth::people::{ApiToken, PeopleError, Purpose};
use crate::auth::{Role, Via, Who, new_token};
use crate::changed::Changed;
use crate::http::{Part, body};
use crate::params::{Params, duration};
use crate::problem::Problem;
use crate::rfc3339::Rfc3339;

/// How long a token lasts if its maker does not say.
const LASTS: Duration = Duration::from_secs(90 * 86_400);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewToken {
    name: String,
    role: Purpose,
    #[serde(default)]
    scope: Option<String>,
    #[serde(default)]
    expires_in: Option<String>,
    #[serde(default)]
    user: Option<String>,
}

/// A token, as its user and admins see it.
pub(crate) fn view(id: &str, token: &ApiToken, used: Option<Timestamp>) -> Value {
    json!({
        "id": id,
        "name": token.name,
        "user": token.user,
        "role": token.purpose,
        "scope": token.scope,
        "created_at": Rfc3339(Timestamp::from_micros(token.created_at)),
        "expires_at": Rfc3339(Timestamp::from_micros(token.expires_at)),
        "last_used": used.map(Rfc3339),
    })
}

/// `GET tokens`.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    who: Who,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    Params::read(&uri, &[])?;
    let gate = gate(&app)?;
    let found: Vec<(String, ApiToken)> = gate.with_people(|people| {
        let is_shown =
            |token: &ApiToken| who.role == Role::Admin || token.user.as_str() == who.user();
        let shown = people.tokens().filter(|(_, token)| is_shown(token));
        shown.map(|(id, token)| (id.to_owned(), token.clone())).collect()
    });
    let views: Vec<_> =
        found.iter().map(|(id, token)| view(id, token, gate.token_used(id))).collect();
    Ok(Json(json!({"tokens": views})))
}

/// `POST tokens`.
pub(crate) async fn make(
    State(app): State<Arc<App>>,
    who: Who,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    Params::read(&uri, &[])?;
    let gate = gate(&app)?;
    if who.via == Via::Token {
        let detail = "A token makes no tokens, or it would never end: sign in.";
        return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail));
    }
    let wanted: NewToken = body::read(&app, &headers, body).await?;
    let user = wanted.user.as_deref().unwrap_or_else(|| who.user());
    if user != who.user() && who.role != Role::Admin {
        let detail = "Only an admin makes tokens for others.";
        return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail));
    }
    let user = user_name(user)?;
    let scope = check_scope(&app, wanted.scope)?;
    let days_max = gate.config().token_days_max.get();
    let lasts_max = Duration::from_secs(u64::from(days_max) * 86_400);
    let lasts = match &wanted.expires_in {
        None => LASTS.min(lasts_max),
        Some(text) => duration(text).filter(|it| *it <= lasts_max).ok_or_else(|| {
            body::invalid(format!(
                "`expires_in` must be a time such as 30d, at most {days_max}d (http.auth.token_days_max)."
            ))
        })?,
    };
    let (id, secret, text) = new_token().map_err(SignInError::Files)?;
    let now = app.clock.now().as_micros();
    let lasts = i64::try_from(lasts.as_micros()).unwrap_or(i64::MAX);
    let token = ApiToken {
        name: wanted.name,
        user,
        purpose: wanted.role,
        scope,
        hash: secret.hash(),
        created_at: now,
        expires_at: now.saturating_add(lasts),
    };
    let (key, added) = (id.clone(), token.clone());
    gate.change(move |people| people.add_token(key, added)).await?;
    let after = view(&id, &token, None);
    let mut shown = after.clone();
    shown["token"] = text.into();
    let answer = (StatusCode::CREATED, Json(shown)).into_response();
    let change = Changed { action: "token.create", target: id, before: None, after: Some(after) };
    Ok(change.noted(answer))
}

/// `DELETE tokens/{id}`.
pub(crate) async fn revoke(
    State(app): State<Arc<App>>,
    Part(id): Part,
    who: Who,
    uri: Uri,
) -> Result<Response, Problem> {
    Params::read(&uri, &[])?;
    let gate = gate(&app)?;
    let is_own = |token: &&ApiToken| who.role == Role::Admin || token.user.as_str() == who.user();
    let before = gate.with_people(|people| people.token(&id).filter(is_own).cloned());
    let Some(before) = before else {
        return Err(PeopleError::NoSuchToken(id.chars().take(64).collect()).into());
    };
    let before = view(&id, &before, gate.token_used(&id));
    let key = id.clone();
    gate.change(move |people| people.remove_token(&key)).await?;
    let answer = StatusCode::NO_CONTENT.into_response();
    let change = Changed { action: "token.delete", target: id, before: Some(before), after: None };
    Ok(change.noted(answer))
}
