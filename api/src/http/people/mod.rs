//! Who may come in: sessions, users and tokens.

pub(crate) mod oidc;
pub(crate) mod outside;
pub(crate) mod session;
pub(crate) mod sessions;
pub(crate) mod tokens;
pub(crate) mod users;

use std::sync::Arc;

use axum::http::StatusCode;
use tracing::error;

use crate::app::App;
use crate::auth::Role;
use crate::auth::Who;
use crate::auth::gate::{Gate, SignInError};
use crate::auth::people::{PeopleError, SCOPE_BYTES_MAX};
use crate::problem::Problem;

/// The gate of a service that has one.
fn gate(app: &App) -> Result<&Arc<Gate>, Problem> {
    app.gate.as_ref().ok_or_else(|| {
        Problem::new(
            StatusCode::CONFLICT,
            "insecure",
            "The service runs with --insecure: everybody may do everything, and there are no users.",
        )
    })
}

fn is_own_or_admin(who: &Who, user: &str) -> Result<(), Problem> {
    if who.role == Role::Admin || who.user() == user {
        return Ok(());
    }
    Err(no_such_user(user))
}

fn no_such_user(name: &str) -> Problem {
    let name: String = name.chars().take(64).collect();
    Problem::not_found("user_not_found", format!("There is no user {name:?}."))
}

/// A scope that may be given to somebody; an empty one is none.
fn check_scope(app: &App, scope: Option<String>) -> Result<Option<String>, Problem> {
    let Some(scope) = scope.filter(|scope| !scope.trim().is_empty()) else { return Ok(None) };
    let unfit = |detail| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_scope", detail);
    if scope.len() > SCOPE_BYTES_MAX {
        return Err(unfit(format!("`scope` has more than {SCOPE_BYTES_MAX} bytes.")));
    }
    match app.ports.registry.chooser(&scope) {
        Ok(_) => Ok(Some(scope)),
        Err(error) => Err(unfit(format!("`scope`: {error}."))),
    }
}

impl From<SignInError> for Problem {
    fn from(error: SignInError) -> Self {
        match error {
            SignInError::TooMany(wait) => {
                let secs = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                let secs = u16::try_from(secs).unwrap_or(u16::MAX).max(1);
                let detail = format!("Too many tries: the next one may be in {secs} s.");
                Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_attempts", detail)
                    .retry_after(secs)
            }
            SignInError::Busy => {
                Self::later("busy", "Too many others sign in or change people right now.", 5)
            }
            SignInError::Wrong => Self::new(
                StatusCode::UNAUTHORIZED,
                "wrong_credentials",
                "Name or password are wrong, or this user may not sign in.",
            ),
            SignInError::People(error) => error.into(),
            SignInError::Files(cause) => {
                error!(error = %cause, "Users and sessions cannot be kept: {cause}.");
                Self::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "internal",
                    "It cannot be kept; the service's log says why.",
                )
            }
        }
    }
}

impl From<PeopleError> for Problem {
    fn from(error: PeopleError) -> Self {
        let detail = format!("{}.", capital(&error.to_string()));
        let conflict = |code| Self::new(StatusCode::CONFLICT, code, detail.clone());
        let unfit = |code| Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail.clone());
        match error {
            PeopleError::NoSuchUser(name) => no_such_user(&name),
            PeopleError::NoSuchToken(_) => Self::not_found("token_not_found", detail),
            PeopleError::Exists(_) => conflict("user_exists"),
            PeopleError::TokenExists(_) => conflict("token_exists"),
            PeopleError::LastAdmin(_) => conflict("last_admin"),
            PeopleError::SetUp => conflict("set_up"),
            PeopleError::TooMany(_) => conflict("too_many"),
            PeopleError::Foreign(_) => conflict("foreign_user"),
            PeopleError::Unfit(_) => unfit("invalid_password"),
            PeopleError::ScopedAdmin => unfit("invalid_scope"),
            PeopleError::BadTokenName => unfit("invalid_token_name"),
            PeopleError::MoreThanUser(_) => unfit("more_than_user"),
        }
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(chars).collect()
}
