//! Signing in by an OpenID provider.
//!
//! | route | what |
//! |---|---|
//! | `GET session/oidc` | sends the browser to the provider |
//! | `GET session/oidc/callback` | takes what the provider gave it: signs in, and leads to the console |
//!
//! What the provider gets to give back is derived from a secret in a cookie, so that nobody can be made to
//! sign in as somebody else: who comes back is who went, and once.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use tracing::warn;

use super::gate;
use super::session::{begin, user_name};
use crate::app::App;
use crate::auth::cookie;
use crate::auth::gate::{ATTEMPT_LASTS, Gate, SignInError};
use crate::auth::metrics::SignIn;
use crate::auth::origin::Source;
use crate::auth::people::OidcSubject;
use crate::auth::secret::{Secret, are_same};
use crate::params::Params;
use crate::ports::{Attempt, Identity, Provider, ProviderError};
use crate::problem::Problem;

/// The longest code that a provider may give, in bytes.
const CODE_BYTES_MAX: usize = 4_096;

fn provider(app: &App) -> Result<&dyn Provider, Problem> {
    app.ports.provider.as_deref().ok_or_else(|| {
        Problem::not_found("no_provider", "No OpenID provider is configured (http.oidc).")
    })
}

fn attempt(secret: &Secret) -> Attempt {
    Attempt {
        state: secret.derived("bellwire oidc state").text(),
        nonce: secret.derived("bellwire oidc nonce").text(),
        verifier: secret.derived("bellwire oidc verifier").text(),
    }
}

fn failed(app: &App, error: &ProviderError) -> Problem {
    match error {
        ProviderError::Away(cause) => {
            app.metrics.auth.tried(SignIn::Failed);
            warn!(error = %cause, "The OpenID provider gives no answer: {cause}.");
            Problem::later("provider_away", "The OpenID provider gives no answer.", 5)
        }
        ProviderError::Unbelievable(what) => {
            app.metrics.auth.tried(SignIn::Wrong);
            warn!("What the OpenID provider says is not to be believed: {what}.");
            Problem::new(
                StatusCode::UNAUTHORIZED,
                "provider_not_believed",
                "What the provider says is not to be believed; the service's log says why.",
            )
        }
    }
}

/// `GET session/oidc`.
pub(crate) async fn leave(
    State(app): State<Arc<App>>,
    Extension(source): Extension<Source>,
    uri: Uri,
) -> Result<Response, Problem> {
    Params::read(&uri, &[])?;
    let (gate, provider) = (gate(&app)?, provider(&app)?);
    ready(gate)?;
    let secret = Secret::random().map_err(SignInError::Files)?;
    let to = provider.begin(&attempt(&secret)).await.map_err(|error| failed(&app, &error))?;
    gate.went_to_provider(secret.hash());
    let cookie = cookie::SIGN_IN.set(&secret, source.wire, ATTEMPT_LASTS);
    see(&to, [cookie])
}

/// Nobody signs in before there is an admin who can be relied upon.
fn ready(gate: &Gate) -> Result<(), Problem> {
    if !gate.needs_setup() {
        return Ok(());
    }
    let detail = "There is no user yet: make the first admin with the set-up code.";
    Err(Problem::new(StatusCode::FORBIDDEN, "setup_needed", detail))
}

/// `GET session/oidc/callback?state&code`.
pub(crate) async fn come_back(
    State(app): State<Arc<App>>,
    Extension(source): Extension<Source>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let known =
        ["state", "code", "error", "error_description", "error_uri", "iss", "session_state"];
    let params = Params::read(&uri, &known)?;
    let (gate, provider) = (gate(&app)?, provider(&app)?);
    ready(gate)?;
    let secret = cookie::SIGN_IN.read(&headers, source.wire);
    let attempt = secret.as_ref().map(attempt);
    let state = params.text("state").unwrap_or_default();
    let is_ours =
        attempt.as_ref().is_some_and(|it| are_same(it.state.as_bytes(), state.as_bytes()));
    // Each counts once, whatever comes of it.
    let is_first = is_ours && secret.is_some_and(|secret| gate.came_back(secret.hash()));
    let Some(attempt) = attempt.filter(|_| is_first) else {
        app.metrics.auth.tried(SignIn::Wrong);
        let detail = "This is not the end of a sign-in that this browser has begun: begin again.";
        return Err(Problem::bad_request("sign_in_not_begun", detail));
    };
    let code = params.text("code").filter(|code| code.len() <= CODE_BYTES_MAX);
    let Some(code) = code else {
        app.metrics.auth.tried(SignIn::Wrong);
        let detail = "The provider has not signed this user in.";
        return Err(Problem::new(StatusCode::UNAUTHORIZED, "not_signed_in", detail));
    };
    let identity = provider.finish(&attempt, code).await.map_err(|error| failed(&app, &error))?;
    let user = come_in(&app, gate, identity).await?;
    app.metrics.auth.tried(SignIn::Done);
    let mut answer = begin(gate, &user, &headers, source).await?;
    let cookies = answer.headers_mut().remove(header::SET_COOKIE);
    let cleared = cookie::SIGN_IN.clear(source.wire);
    let mut led = see("/", cookies.into_iter().chain([cleared]))?;
    std::mem::swap(led.extensions_mut(), answer.extensions_mut());
    Ok(led)
}

/// The user whom a provider means, who has the role that it says.
async fn come_in(
    app: &App,
    gate: &Arc<Gate>,
    identity: Identity,
) -> Result<crate::auth::name::UserName, Problem> {
    let Identity { issuer, subject, name, role } = identity;
    let name = user_name(&name)?;
    let Some(role) = role else {
        app.metrics.auth.tried(SignIn::Wrong);
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "no_role",
            "The provider says nothing of this user that is a role here (http.oidc.roles).",
        ));
    };
    let (user, now) = (name.clone(), app.clock.now());
    let subject = OidcSubject { issuer, subject };
    gate.change(move |people| people.come_by_provider(user, subject, role, now)).await?;
    Ok(name)
}

/// Leads a browser on.
fn see(to: &str, cookies: impl IntoIterator<Item = HeaderValue>) -> Result<Response, Problem> {
    let to = HeaderValue::from_str(to)
        .map_err(|error| SignInError::Files(std::io::Error::other(error)))?;
    let mut answer = (StatusCode::SEE_OTHER, [(header::LOCATION, to)]).into_response();
    for cookie in cookies {
        answer.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(answer)
}
