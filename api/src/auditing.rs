//! The audit log's layer: what a request has changed is on disk before it is answered.
//!
//! It is around the layer that asks who somebody is, and learns that from the answer: whoever lets a
//! request pass, or refuses it, leaves a [`Who`] in the answer's extensions if he knows it
//! ([`tell_who`]). A handler that changes something leaves [`Changed`], one that has not changed anything
//! after all [`Unchanged`].
//!
//! A request that may change something goes to its end also if its client goes away (`act`): else
//! something could be changed of which the audit log does not tell.

mod act;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use bellwire_model::{AuditDeed, AuditOutcome};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};
use tracing::warn;

use crate::app::App;
use crate::auth::Who;
use crate::auth::origin::Source;
use crate::changed::{Changed, Unchanged};
use crate::peer::Peer;
use crate::ports::AuditEnded;
use crate::problem::Problem;
use crate::{request_id, routes};

pub(crate) use act::{ACTING_MAX, act};

/// How long an answer waits for room in the log.
const PATIENCE: Duration = Duration::from_secs(10);
/// Refusals of a second that get a line each; of the others there is one that counts them.
const REFUSALS_PER_SECOND: u32 = 10;
/// What a line says that counts refusals.
const MANY_REFUSED: &str = "requests.refused";
/// Who it was that showed nothing.
pub(crate) const NOBODY: &str = "nobody";

/// A route by which something is changed: method, template, what its answers leave in the audit log.
pub type Write = (&'static str, &'static str, &'static str);

/// All routes by which something is changed.
pub const WRITES: &[Write] = &[
    ("POST", routes::RULES, "rule.create"),
    ("PUT", routes::RULE, "rule.update"),
    ("DELETE", routes::RULE, "rule.delete"),
    ("PUT", routes::RULES_CHECK, "rule.update"),
    ("DELETE", routes::RULES_CHECK, "rule.delete"),
    ("POST", routes::RULE_ENABLE, "rule.enable"),
    ("POST", routes::RULE_DISABLE, "rule.disable"),
    ("POST", routes::RULE_RESTORE, "rule.restore"),
    ("POST", routes::DEVICES, "device.import"),
    ("PUT", routes::DEVICE, "device.put"),
    ("PATCH", routes::DEVICE, "device.update"),
    ("DELETE", routes::DEVICE, "device.delete"),
    ("POST", routes::COMMANDS, "command.give"),
    ("DELETE", routes::COMMAND, "command.cancel"),
    ("POST", routes::REPLAY, "quarantine.replay"),
    ("POST", routes::ALERT_ACTIONS, "alert.act"),
    ("POST", routes::ALERT_ACK, "alert.ack"),
    ("POST", routes::ALERT_UNACK, "alert.unack"),
    ("POST", routes::ALERT_ASSIGN, "alert.assign"),
    ("POST", routes::ALERT_COMMENT, "alert.comment"),
    ("POST", routes::ALERT_SNOOZE, "alert.snooze"),
    ("POST", routes::ALERT_UNSNOOZE, "alert.unsnooze"),
    ("POST", routes::SILENCES, "silence.create"),
    ("PUT", routes::SILENCE, "silence.update"),
    ("DELETE", routes::SILENCE, "silence.expire"),
    ("POST", routes::SETUP, "user.create"),
    ("POST", routes::SESSION, "session.create"),
    ("DELETE", routes::SESSION, "session.delete"),
    ("DELETE", routes::SESSION_ONE, "session.delete"),
    ("POST", routes::USERS, "user.create"),
    ("PATCH", routes::USER, "user.update"),
    ("DELETE", routes::USER, "user.delete"),
    ("POST", routes::USER_PASSWORD, "user.password"),
    ("POST", routes::TOKENS, "token.create"),
    ("DELETE", routes::TOKEN, "token.delete"),
];

/// Those by which nothing is changed although their method could: what they take is telemetry, or they
/// try something only.
const OTHERS: [(&str, &str); 7] = [
    ("POST", routes::CHANNEL_TEST),
    ("POST", routes::TELEMETRY),
    ("POST", routes::MAPPINGS_TRY),
    ("POST", routes::RULES_CHECK),
    ("POST", routes::RULE_TESTS),
    ("POST", routes::BACKTEST),
    ("POST", routes::SILENCE_PREVIEW),
];

/// Keeps an audit log from being filled by those who are refused.
#[derive(Debug, Default)]
pub(crate) struct Flood(Mutex<Second>);

#[derive(Debug, Default)]
struct Second {
    began: Option<Instant>,
    n_told: u32,
    n_counted: u64,
}

/// What is to be done about a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// It gets a line.
    Told,
    /// It is counted; whoever hears this tells how many it were when the second is over.
    CountedFirst,
    /// It is counted.
    Counted,
}

impl Flood {
    fn lock(&self) -> std::sync::MutexGuard<'_, Second> {
        // Nothing in it is left half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refused(&self, now: Instant) -> Refusal {
        let mut second = self.lock();
        let is_over =
            second.began.is_none_or(|began| now.duration_since(began) >= Duration::from_secs(1));
        if is_over && second.n_counted == 0 {
            *second = Second { began: Some(now), ..Second::default() };
        }
        if second.n_told < REFUSALS_PER_SECOND {
            second.n_told += 1;
            return Refusal::Told;
        }
        second.n_counted += 1;
        if second.n_counted == 1 { Refusal::CountedFirst } else { Refusal::Counted }
    }

    /// How many were counted; the next second begins.
    fn take(&self) -> u64 {
        let mut second = self.lock();
        let n_counted = second.n_counted;
        *second = Second::default();
        n_counted
    }
}

/// What is known of a request before it is answered.
#[derive(Debug)]
struct Asked {
    method: &'static str,
    route: Option<MatchedPath>,
    path: String,
    address: IpAddr,
    request: Arc<str>,
}

impl Asked {
    /// Of a request that may change something.
    fn of(app: &App, request: &Request) -> Option<Self> {
        let method = ["POST", "PUT", "PATCH", "DELETE"];
        let method = method.into_iter().find(|it| *it == request.method().as_str())?;
        let route = request.extensions().get::<MatchedPath>().cloned();
        let template = route.as_ref().map(MatchedPath::as_str);
        if OTHERS.iter().any(|(other, path)| *other == method && Some(*path) == template) {
            return None;
        }
        let peer = Peer::of(request.extensions());
        Some(Self {
            method,
            route,
            path: request.uri().path().to_owned(),
            address: Source::of(peer, request.headers(), &app.config.trusted_proxies).address,
            request: request_id::current(),
        })
    }

    /// What it is about where the answer does not say.
    fn action(&self) -> String {
        let template = self.route.as_ref().map_or(self.path.as_str(), MatchedPath::as_str);
        let known =
            WRITES.iter().find(|(method, path, _)| (*method, *path) == (self.method, template));
        known.map_or_else(|| format!("{} {template}", self.method), |it| it.2.to_owned())
    }

    fn deed(&self, answer: &Response, outcome: AuditOutcome) -> AuditDeed {
        let who = answer.extensions().get::<Who>();
        let changed = answer.extensions().get::<Changed>();
        let is_done = outcome == AuditOutcome::Done;
        let json = |value: &Option<Value>| value.as_ref().filter(|_| is_done).map(text_of);
        let action = changed.map_or_else(|| self.action(), |it| it.action.to_owned());
        let target = changed.map_or(self.path.as_str(), |it| it.target.as_str());
        AuditDeed {
            who: cut(who.map_or(NOBODY, |who| &who.name), AuditDeed::WHO_BYTES_MAX).into(),
            via: who.map_or("nothing", |who| who.via.label()).into(),
            address: Some(self.address),
            request: Some(cut(&self.request, AuditDeed::WORD_BYTES_MAX).into()),
            action: cut(&action, AuditDeed::WORD_BYTES_MAX).into(),
            target: cut(target, AuditDeed::TARGET_BYTES_MAX).into(),
            outcome,
            status: answer.status().as_u16(),
            before: changed.and_then(|it| json(&it.before)),
            after: changed.and_then(|it| json(&it.after)),
        }
    }
}

/// The beginning of a text.
fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

/// JSON as text; what is too long becomes an object that has its beginning.
fn text_of(value: &Value) -> Box<str> {
    let text = value.to_string();
    if text.len() <= AuditDeed::JSON_BYTES_MAX {
        return text.into();
    }
    // As a text within JSON it is at most twice as long.
    let beginning = cut(&text, AuditDeed::JSON_BYTES_MAX / 2 - 64);
    json!({ "cut": true, "bytes": text.len(), "beginning": beginning }).to_string().into()
}

/// Leaves who is asking in the answer: it is around the handlers, inside of whatever says who it is.
/// Who has only just shown who they are is left there by the handler.
pub(crate) async fn tell_who(request: Request, next: Next) -> Response {
    let who = request.extensions().get::<Who>().cloned();
    let mut answer = next.run(request).await;
    if let Some(who) = who.filter(|_| answer.extensions().get::<Who>().is_none()) {
        answer.extensions_mut().insert(who);
    }
    answer
}

/// Its answer has been noted, or is not worth it.
#[derive(Clone, Copy, Debug)]
struct Noted;

/// Knows what is asked, for [`act`], which notes what comes of it; notes those that are refused before.
pub(crate) async fn audit(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(asked) = Asked::of(&app, &request).map(Arc::new) else {
        return next.run(request).await;
    };
    request.extensions_mut().insert(Arc::clone(&asked));
    let mut answer = next.run(request).await;
    match answer.extensions_mut().remove::<Noted>() {
        Some(Noted) => answer,
        None => noted(&app, &asked, answer).await,
    }
}

/// Puts into the log what came of the request, if it is worth it; then it may be answered so.
async fn noted(app: &Arc<App>, asked: &Asked, answer: Response) -> Response {
    let status = answer.status();
    let is_refused =
        [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN, StatusCode::TOO_MANY_REQUESTS]
            .contains(&status);
    let outcome = match status.as_u16() {
        200..=399 if answer.extensions().get::<Unchanged>().is_some() => return answer,
        200..=399 => AuditOutcome::Done,
        _ if is_refused => AuditOutcome::Refused,
        500.. => AuditOutcome::Unknown,
        _ => return answer,
    };
    if outcome != AuditOutcome::Done && !is_told(app) {
        return answer;
    }
    let taken = append(app, asked.deed(&answer, outcome)).await;
    match (outcome, taken) {
        (_, Ok(())) | (AuditOutcome::Refused | AuditOutcome::Unknown, Err(_)) => answer,
        (AuditOutcome::Done, Err(problem)) => problem.into_response(),
    }
}

/// Puts a deed into the log; done when it is on disk.
///
/// # Errors
/// The problem that is to be answered, if it is not, or not yet.
pub(crate) async fn append(app: &Arc<App>, deed: AuditDeed) -> Result<(), Problem> {
    let audit = Arc::clone(&app.ports.audit);
    // It goes on when it takes too long for an answer.
    let appending = app.tracker.spawn(async move { audit.append(deed).await });
    match timeout(PATIENCE, appending).await {
        Ok(Ok(Ok(()))) => Ok(()),
        Ok(Ok(Err(AuditEnded)) | Err(_)) => {
            warn!("A change is not in the audit log: the service stops.");
            let detail = "It is done, but is not in the audit log: the service stops.";
            Err(Problem::later("audit_log_closed", detail, 5))
        }
        Err(_) => {
            let detail = "It is done, but waits for room in the log to be in the audit log too.";
            Err(Problem::later("audit_log_full", detail, 5))
        }
    }
}

/// Whether a refusal gets a line. It is counted if not, and a task sees to it that the count is told.
fn is_told(app: &Arc<App>) -> bool {
    match app.flood.refused(Instant::now()) {
        Refusal::Told => return true,
        Refusal::Counted => {}
        Refusal::CountedFirst => {
            let telling = Arc::clone(app);
            // Of those that a stop waits for: it is told while there is a log.
            app.acting.spawn(async move {
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_secs(1)) => {}
                    () = telling.quiet.cancelled() => {}
                }
                let n_refused = telling.flood.take();
                // Nobody waits for an answer.
                let _ = append(&telling, many_refused(n_refused)).await;
            });
        }
    }
    false
}

fn many_refused(n_refused: u64) -> AuditDeed {
    AuditDeed {
        who: NOBODY.into(),
        via: "nothing".into(),
        address: None,
        request: None,
        action: MANY_REFUSED.into(),
        target: "".into(),
        outcome: AuditOutcome::Refused,
        status: 0,
        before: None,
        after: Some(json!({ "n_refused": n_refused }).to_string().into()),
    }
}

#[cfg(test)]
mod tests;
