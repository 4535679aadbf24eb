//! What every request under `/api/v1` passes: it is found out who asks, and whether they may.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::gate::{Admitted, Gate};
use super::origin::{self, Nearness, Source};
use super::people::Purpose;
use super::secret::{Secret, are_same};
use super::table::{self, Need};
use super::who::{Role, Via, Who};
use crate::app::App;
use crate::config::MetricsAccess;
use crate::peer::Peer;
use crate::problem::Problem;

/// The header that requests of a session bring which change something.
pub(crate) const CSRF_HEADER: &str = "x-csrf-token";

/// What a request of a session that changes something must bring; the session's answers show it.
#[derive(Clone, Debug)]
pub(crate) struct Csrf(pub(crate) Secret);

/// Lets a request pass to its route if whoever sends it may ask that.
pub(crate) async fn enter(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Response {
    let source = source(&app, &request);
    request.extensions_mut().insert(source);
    let Some(gate) = &app.gate else {
        if origin::is_by_foreign_name(&request) {
            return by_foreign_name().into_response();
        }
        if changes(request.method()) && origin::is_foreign(request.headers()) {
            return Refusal::Forged.into_response();
        }
        request.extensions_mut().insert(Who::anybody());
        return next.run(request).await;
    };
    let path = request.extensions().get::<MatchedPath>();
    let template = path.map_or("", MatchedPath::as_str);
    let Some(need) = table::need(template, request.method()) else {
        return wrong_method(template);
    };
    match judge(gate, need, request.method(), request.headers(), source) {
        Ok(None) => next.run(request).await,
        Ok(Some(Admitted { who, .. }))
            if !who.scope.is_everything() && table::is_of_the_whole(template, request.method()) =>
        {
            out_of_scope().into_response()
        }
        Ok(Some(Admitted { who, csrf, .. })) => {
            request.extensions_mut().insert(who);
            if let Some(csrf) = csrf {
                request.extensions_mut().insert(Csrf(csrf));
            }
            next.run(request).await
        }
        Err((refusal, who)) => {
            app.metrics.auth.refused(&refusal);
            let mut answer = refusal.into_response();
            if let Some(who) = who {
                answer.extensions_mut().insert(who);
            }
            answer
        }
    }
}

/// The problem of what is made from the whole fleet, for somebody who sees a part of it.
pub(crate) fn out_of_scope() -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        "out_of_scope",
        "This is about the whole fleet, and your scope is a part of it: ask about a device that you see.",
    )
}

/// The problem of a request that came by a name which somebody else may have given to this machine.
fn by_foreign_name() -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        "origin_not_allowed",
        "With `--insecure` ask by an address or by `localhost`: by another name, any page in a browser on \
         this machine could ask too.",
    )
}

/// Lets a request pass to `/metrics` if whoever sends it may see it.
pub(crate) async fn enter_metrics(
    State(app): State<Arc<App>>,
    request: Request,
    next: Next,
) -> Response {
    let source = source(&app, &request);
    let is_free = |gate: &Gate| match gate.config().metrics {
        MetricsAccess::Open => true,
        MetricsAccess::Local => source.nearness == Nearness::Here,
        MetricsAccess::Token => false,
    };
    if let Some(gate) = app.gate.as_ref().filter(|gate| !is_free(gate)) {
        let need = Need::Role(Role::Viewer);
        match judge(gate, need, request.method(), request.headers(), source) {
            // They count what all devices do.
            Ok(Some(Admitted { who, .. })) if !who.scope.is_everything() => {
                return out_of_scope().into_response();
            }
            Ok(_) => {}
            Err((refusal, _)) => {
                app.metrics.auth.refused(&refusal);
                return refusal.into_response();
            }
        }
    }
    next.run(request).await
}

fn source(app: &App, request: &Request) -> Source {
    let peer = Peer::of(request.extensions());
    Source::of(peer, request.headers(), &app.config.trusted_proxies)
}

/// Why a request may not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It shows nothing that holds.
    Unauthenticated,
    /// There is no user yet.
    SetupNeeded,
    /// Whoever sends it may not ask that.
    Forbidden(Need),
    /// It comes from a page of another origin, or from nobody knows where.
    Forged,
}

impl Refusal {
    /// The stable word for it.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Unauthenticated => "unauthenticated",
            Self::SetupNeeded => "setup_needed",
            Self::Forbidden(_) => "forbidden",
            Self::Forged => "csrf",
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let detail = match self {
            Self::Unauthenticated => {
                let problem = Problem::new(
                    StatusCode::UNAUTHORIZED,
                    self.code(),
                    "Sign in, or send a token that is valid: `Authorization: Bearer …`.",
                );
                let mut answer = problem.into_response();
                let scheme = HeaderValue::from_static("Bearer");
                answer.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
                return answer;
            }
            Self::SetupNeeded => {
                "There is no user yet: make the first admin with the set-up code that the service \
                 has printed."
                    .to_owned()
            }
            Self::Forbidden(Need::Telemetry) => {
                "This takes a token for telemetry, or the role operator.".to_owned()
            }
            Self::Forbidden(Need::Role(role)) => format!("This takes the role {}.", role.label()),
            Self::Forbidden(_) => "This is not allowed.".to_owned(),
            Self::Forged => format!(
                "A request that changes something comes from our own pages, and brings \
                 `{CSRF_HEADER}` with what `GET /api/v1/session` shows as `csrf`."
            ),
        };
        Problem::new(StatusCode::FORBIDDEN, self.code(), detail).into_response()
    }
}

fn changes(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD)
}

/// Who sends it, if it may pass; `None` where nobody has to be known. A refusal comes with who sends it,
/// if that is known.
fn judge(
    gate: &Gate,
    need: Need,
    method: &Method,
    headers: &HeaderMap,
    source: Source,
) -> Result<Option<Admitted>, (Refusal, Option<Who>)> {
    let changes = changes(method);
    if need == Need::Nothing {
        let is_forged = changes && origin::is_foreign(headers);
        return if is_forged { Err((Refusal::Forged, None)) } else { Ok(None) };
    }
    let admitted = gate.admit(headers, source);
    let is_local = admitted.as_ref().is_some_and(|it| it.who.via == Via::Local);
    if !is_local && gate.needs_setup() {
        return Err((Refusal::SetupNeeded, None));
    }
    let admitted = admitted.ok_or((Refusal::Unauthenticated, None))?;
    if let (true, Some(csrf)) = (changes, &admitted.csrf) {
        let shown = headers.get(CSRF_HEADER).map(HeaderValue::as_bytes).unwrap_or_default();
        if origin::is_foreign(headers) || !are_same(shown, csrf.text().as_bytes()) {
            return Err((Refusal::Forged, Some(admitted.who)));
        }
    }
    if is_enough(need, admitted.who.role, admitted.purpose) {
        Ok(Some(admitted))
    } else {
        Err((Refusal::Forbidden(need), Some(admitted.who)))
    }
}

/// Whether somebody with this role, who came for this purpose, may pass.
fn is_enough(need: Need, role: Role, purpose: Purpose) -> bool {
    let is_whole = purpose != Purpose::Telemetry;
    match need {
        Need::Nothing | Need::Anyone => true,
        Need::Role(least) => is_whole && role >= least,
        Need::Telemetry => !is_whole || role >= Role::Operator,
    }
}

fn wrong_method(template: &str) -> Response {
    let problem = Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "This route takes the methods that `Allow` lists.",
    );
    let mut answer = problem.into_response();
    let allow = HeaderValue::try_from(table::methods(template));
    answer.headers_mut().insert(header::ALLOW, allow.expect("methods are ASCII"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_and_purposes_open_what_they_are_for() {
        use Purpose::{Admin, Operator, Telemetry, Viewer};
        let check = |need, allowed: [bool; 4]| {
            let who = [
                (Role::Viewer, Telemetry),
                (Role::Viewer, Viewer),
                (Role::Operator, Operator),
                (Role::Admin, Admin),
            ];
            assert_eq!(
                who.map(|(role, purpose)| is_enough(need, role, purpose)),
                allowed,
                "{need:?}"
            );
        };
        check(Need::Nothing, [true; 4]);
        check(Need::Anyone, [true; 4]);
        check(Need::Telemetry, [true, false, true, true]);
        check(Need::Role(Role::Viewer), [false, true, true, true]);
        check(Need::Role(Role::Operator), [false, false, true, true]);
        check(Need::Role(Role::Admin), [false, false, false, true]);
    }
}
