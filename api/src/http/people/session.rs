//! Signing in and out, and the first admin.
//!
//! | route | body |
//! |---|---|
//! | `POST setup` | `{"code", "name", "password"}`: makes the first admin, and signs in |
//! | `POST session` | `{"name", "password"}`: signs in |
//! | `GET session` | none: who I am, and what requests that change something must bring |
//! | `DELETE session` | none: signs out |
//! | `GET session/ways` | none, and nobody has to be signed in: how one can sign in |

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tracing::{info, warn};

use super::gate;
use crate::app::App;
use crate::auth::cookie;
use crate::auth::gate::{Admitted, Gate, SignInError};
use crate::auth::layer::Csrf;
use crate::auth::metrics::SignIn;
use crate::auth::name::UserName;
use crate::auth::origin::Source;
use crate::auth::password::Password;
use crate::auth::people::User;
use crate::auth::{Pass, Role, Who};
use crate::changed::Changed;
use crate::http::body;
use crate::params::Params;
use crate::problem::Problem;
use crate::rfc3339::Rfc3339;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    name: String,
    password: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FirstAdmin {
    code: String,
    name: String,
    password: String,
}

/// Who somebody is, as they are told.
#[derive(Serialize)]
struct Me<'a> {
    name: &'a str,
    role: &'static str,
    scope: Option<String>,
    via: &'static str,
    csrf: Option<String>,
    expires_at: Option<Rfc3339>,
}

/// `POST session`.
pub(crate) async fn sign_in(
    State(app): State<Arc<App>>,
    Extension(source): Extension<Source>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    Params::read(&uri, &[])?;
    let gate = gate(&app)?;
    if gate.needs_setup() {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "setup_needed",
            "There is no user yet: make the first admin with the set-up code.",
        ));
    }
    let Credentials { name, password } = body::read(&app, &headers, body).await?;
    let checked = gate.check_password(&name, password, source.address).await;
    let user = match checked {
        Ok(user) => user,
        Err(error) => {
            tried(&app, &error, &name, source.address);
            let answer = Problem::from(error).into_response();
            return Ok(not_signed_in(gate, &name).noted(answer));
        }
    };
    app.metrics.auth.tried(SignIn::Done);
    begin(gate, &user, &headers, source).await
}

/// What the audit log says of a failure to sign in. What is no user's name may be a password.
fn not_signed_in(gate: &Gate, name: &str) -> Changed {
    let is_user = gate.with_people(|people| people.user(name).is_some());
    let target = if is_user { name.to_owned() } else { "(no user)".to_owned() };
    Changed { action: "session.create", target, before: None, after: None }
}

/// Begins a session and ends the one that the request brought: nobody goes on in a session that somebody
/// else began.
pub(crate) async fn begin(
    gate: &Arc<Gate>,
    user: &UserName,
    headers: &HeaderMap,
    source: Source,
) -> Result<Response, Problem> {
    if let Some(before) = cookie::SESSION.read(headers, source.wire) {
        gate.end(before.hash()).await.map_err(SignInError::Files)?;
    }
    let (secret, Admitted { who, csrf, .. }) = gate.begin(user).await?;
    info!(user = %user, from = %source.address, "{user} has signed in from {}.", source.address);
    let lasts = Duration::from_secs(gate.config().session_max_secs.get());
    let mut answer = me(gate, &who, csrf.map(Csrf).as_ref());
    let cookie = cookie::SESSION.set(&secret, source.wire, lasts);
    answer.headers_mut().insert(header::SET_COOKIE, cookie);
    answer.extensions_mut().insert(who);
    let change =
        Changed { action: "session.create", target: user.to_string(), before: None, after: None };
    Ok(change.noted(answer))
}

/// Counts and tells that somebody did not get in.
pub(crate) fn tried(app: &App, error: &SignInError, name: &str, from: IpAddr) {
    let outcome = match error {
        SignInError::Wrong => SignIn::Wrong,
        SignInError::TooMany(_) => SignIn::Throttled,
        _ => SignIn::Failed,
    };
    app.metrics.auth.tried(outcome);
    if outcome == SignIn::Wrong {
        let name: String = name.chars().take(64).collect();
        info!(%from, "Somebody at {from} failed to sign in as {name:?}.");
    }
}

/// `GET session`.
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    who: Who,
    csrf: Option<Extension<Csrf>>,
    uri: Uri,
) -> Result<Response, Problem> {
    Params::read(&uri, &[])?;
    let csrf = csrf.map(|Extension(csrf)| csrf);
    Ok(match &app.gate {
        Some(gate) => me(gate, &who, csrf.as_ref()),
        None => shown(&who, None, None),
    })
}

fn me(gate: &Gate, who: &Who, csrf: Option<&Csrf>) -> Response {
    let expires_at = match &who.pass {
        Pass::Endless => None,
        Pass::Session(key) => gate.session_ends(*key),
        Pass::Token(id) => gate.with_people(|people| {
            people.token(id).map(|it| bellwire_model::Timestamp::from_micros(it.expires_at))
        }),
    };
    shown(who, csrf, expires_at.map(Rfc3339))
}

fn shown(who: &Who, csrf: Option<&Csrf>, expires_at: Option<Rfc3339>) -> Response {
    let csrf = csrf.map(|Csrf(secret)| secret.text());
    let (role, via) = (who.role.label(), who.via.label());
    Json(Me { name: &who.name, role, scope: who.scope.text(), via, csrf, expires_at })
        .into_response()
}

/// `DELETE session`.
pub(crate) async fn sign_out(
    State(app): State<Arc<App>>,
    who: Who,
    Extension(source): Extension<Source>,
    uri: Uri,
) -> Result<Response, Problem> {
    Params::read(&uri, &[])?;
    let gate = gate(&app)?;
    let Pass::Session(key) = who.pass else {
        let detail = "A token has no session: revoke it by `DELETE /api/v1/tokens/{id}`.";
        return Err(Problem::new(StatusCode::CONFLICT, "no_session", detail));
    };
    gate.end(key).await.map_err(SignInError::Files)?;
    let cleared = [(header::SET_COOKIE, cookie::SESSION.clear(source.wire))];
    let answer = (StatusCode::NO_CONTENT, cleared).into_response();
    let target = who.name.to_string();
    let change = Changed { action: "session.delete", target, before: None, after: None };
    Ok(change.noted(answer))
}

/// `GET session/ways`.
pub(crate) async fn ways(
    State(app): State<Arc<App>>,
    uri: Uri,
) -> Result<Json<serde_json::Value>, Problem> {
    Params::read(&uri, &[])?;
    let needs_setup = app.gate.as_ref().is_some_and(|gate| gate.needs_setup());
    Ok(Json(json!({
        "open": app.gate.is_none(),
        "setup_needed": needs_setup,
        "password": app.gate.is_some(),
        "oidc": app.gate.is_some() && app.ports.provider.is_some(),
    })))
}

/// `POST setup`.
pub(crate) async fn set_up(
    State(app): State<Arc<App>>,
    Extension(source): Extension<Source>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    Params::read(&uri, &[])?;
    let gate = gate(&app)?;
    let FirstAdmin { code, name, password } = body::read(&app, &headers, body).await?;
    if !gate.needs_setup() {
        return Err(crate::auth::people::PeopleError::SetUp.into());
    }
    gate.attempt("", source.address)?;
    if !gate.is_setup_code(&code) {
        let from = source.address;
        app.metrics.auth.tried(SignIn::Wrong);
        warn!(%from, "Somebody at {from} tried to make the first admin with a wrong set-up code.");
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "wrong_setup_code",
            "This is not the set-up code that the service has printed at its start.",
        ));
    }
    gate.succeeded("", source.address);
    let name = user_name(&name)?;
    let hash = gate.hash(new_password(password, &name)?).await?;
    let user = User { password: Some(hash), ..User::new(Role::Admin, app.clock.now()) };
    gate.set_up(name.clone(), user).await?;
    info!(user = %name, "{name} is the first admin.");
    let mut answer = begin(gate, &name, &headers, source).await?;
    *answer.status_mut() = StatusCode::CREATED;
    let after = Some(json!({"name": name, "role": "admin"}));
    let change = Changed { action: "user.create", target: name.to_string(), before: None, after };
    Ok(change.noted(answer))
}

/// A name that a user may have.
pub(crate) fn user_name(text: &str) -> Result<UserName, Problem> {
    UserName::new(text).map_err(|error| {
        let detail = format!("{error}.");
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_user_name", detail)
    })
}

/// A password that this user may have.
pub(crate) fn new_password(text: String, user: &UserName) -> Result<Password, Problem> {
    Password::new(text, user.as_str())
        .map_err(|unfit| crate::auth::people::PeopleError::from(unfit).into())
}
