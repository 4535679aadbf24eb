//! Users: who may sign in.
//!
//! | route | body |
//! |---|---|
//! | `GET users` | none |
//! | `POST users` | `{"name", "password", "role", "scope"?}` |
//! | `GET users/{name}` | none |
//! | `PATCH users/{name}` | `{"role"?, "scope"?, "disabled"?}`; a scope of `null` takes it away |
//! | `DELETE users/{name}` | none: with all of their tokens and sessions |
//! | `POST users/{name}/password` | `{"password", "current"?}`: one's own needs the current one |

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use bellwire_model::Timestamp;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::session::{new_password, tried, user_name};
use super::{check_scope, gate, is_own_or_admin, no_such_user};
use crate::app::App;
use crate::auth::gate::SignInError;
use crate::auth::name::UserName;
use crate::auth::origin::Source;
use crate::auth::people::{Access, People, User, UserPatch};
use crate::auth::{Pass, Role, Via, Who};
use crate::changed::Changed;
use crate::http::{Part, body};
use crate::params::Params;
use crate::problem::Problem;
use crate::rfc3339::Rfc3339;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewUser {
    name: String,
    password: String,
    role: Role,
    #[serde(default)]
    scope: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Patch {
    role: Option<Role>,
    #[serde(deserialize_with = "present")]
    scope: Option<Option<String>>,
    disabled: Option<bool>,
}

fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewPassword {
    password: String,
    #[serde(default)]
    current: Option<String>,
}

/// A user, as admins see them.
pub(crate) fn view(name: &UserName, user: &User) -> Value {
    json!({
        "name": name,
        "role": user.role,
        "scope": user.scope,
        "disabled": !user.access.is_open(),
        "signs_in_by": if user.oidc.is_some() { "oidc" } else { "password" },
        "created_at": Rfc3339(Timestamp::from_micros(user.created_at)),
    })
}

fn changed(
    action: &'static str,
    name: &str,
    before: Option<Value>,
    after: Option<Value>,
) -> Changed {
    Changed { action, target: name.to_owned(), before, after }
}

/// `GET users`.
pub(crate) async fn list(State(app): State<Arc<App>>, uri: Uri) -> Result<Json<Value>, Problem> {
    Params::read(&uri, &[])?;
    let users: Vec<_> = gate(&app)?
        .with_people(|people| people.users().map(|(name, user)| view(name, user)).collect());
    Ok(Json(json!({"users": users})))
}

/// `GET users/{name}`.
pub(crate) async fn one(
    State(app): State<Arc<App>>,
    Part(name): Part,
    who: Who,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    Params::read(&uri, &[])?;
    is_own_or_admin(&who, &name)?;
    shown(&app, &name).map(Json)
}

fn shown(app: &App, name: &str) -> Result<Value, Problem> {
    gate(app)?.with_people(|people| seen(people, name)).ok_or_else(|| no_such_user(name))
}

/// A user among these people.
fn seen(people: &People, name: &str) -> Option<Value> {
    people.user(name).map(|(name, user)| view(name, user))
}

/// `POST users`.
pub(crate) async fn add(
    State(app): State<Arc<App>>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    Params::read(&uri, &[])?;
    let gate = gate(&app)?;
    let NewUser { name, password, role, scope } = body::read(&app, &headers, body).await?;
    let name = user_name(&name)?;
    let scope = check_scope(&app, scope)?;
    let hash = gate.hash(new_password(password, &name)?).await?;
    let user = User { password: Some(hash), scope, ..User::new(role, app.clock.now()) };
    let after = view(&name, &user);
    let added = name.clone();
    gate.change(move |people| people.add(added, user)).await?;
    let answer = (StatusCode::CREATED, Json(after.clone())).into_response();
    Ok(changed("user.create", name.as_str(), None, Some(after)).noted(answer))
}

/// `PATCH users/{name}`.
pub(crate) async fn change(
    State(app): State<Arc<App>>,
    Part(name): Part,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    Params::read(&uri, &[])?;
    let Patch { role, scope, disabled } = body::read(&app, &headers, body).await?;
    let scope = scope.map(|scope| check_scope(&app, scope)).transpose()?;
    let access = disabled.map(|it| if it { Access::Disabled } else { Access::Open });
    let (user, patch) = (name.clone(), UserPatch { role, scope, access });
    // In the change's turn: what it replaced, and what it made.
    let change = move |people: &mut People| {
        let before = seen(people, &user);
        people.change(&user, patch)?;
        Ok((before, seen(people, &user)))
    };
    let (before, after) = gate(&app)?.change(change).await?;
    let answer = Json(&after).into_response();
    Ok(changed("user.update", &name, before, after).noted(answer))
}

/// `DELETE users/{name}`.
pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    Part(name): Part,
    uri: Uri,
) -> Result<Response, Problem> {
    Params::read(&uri, &[])?;
    let user = name.clone();
    let change = move |people: &mut People| {
        let before = seen(people, &user);
        people.remove(&user)?;
        Ok(before)
    };
    let before = gate(&app)?.change(change).await?;
    let answer = StatusCode::NO_CONTENT.into_response();
    Ok(changed("user.delete", &name, before, None).noted(answer))
}

/// `POST users/{name}/password`: all other sessions of the user end.
pub(crate) async fn set_password(
    State(app): State<Arc<App>>,
    Part(name): Part,
    who: Who,
    Extension(source): Extension<Source>,
    uri: Uri,
    (headers, body): (HeaderMap, Body),
) -> Result<Response, Problem> {
    Params::read(&uri, &[])?;
    let gate = gate(&app)?;
    let NewPassword { password, current } = body::read(&app, &headers, body).await?;
    is_own_or_admin(&who, &name)?;
    let user = user_name(&name)?;
    shown(&app, user.as_str())?;
    let is_own = who.user() == user.as_str();
    if is_own && who.via == Via::Token {
        let detail = "A token cannot change its own user's password: sign in.";
        return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail));
    }
    if is_own {
        let current = current.unwrap_or_default();
        let checked = gate.check_password(user.as_str(), current, source.address).await;
        checked.inspect_err(|error| tried(&app, error, &name, source.address)).map_err(
            |error| match error {
                SignInError::Wrong => Problem::new(
                    StatusCode::FORBIDDEN,
                    "wrong_password",
                    "`current` is not the user's current password.",
                ),
                other => other.into(),
            },
        )?;
    }
    let hash = gate.hash(new_password(password, &user)?).await?;
    let kept = match who.pass {
        Pass::Session(key) if is_own => Some(key),
        _ => None,
    };
    let of = user.to_string();
    gate.change_keeping(kept, move |people| people.set_password(&of, hash)).await?;
    let answer = StatusCode::NO_CONTENT.into_response();
    Ok(changed("user.password", user.as_str(), None, None).noted(answer))
}
