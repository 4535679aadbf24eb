//! `Idempotency-Key`: a request that is sent again is done once, and answered as the first was
//! (draft-ietf-httpapi-idempotency-key-header).
//!
//! What was answered is in memory, for a day and within bounds: a restart forgets it. Telemetry and
//! commands have keys of their own, which the log keeps.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hashbrown::HashMap;
use tokio::time::Instant;
use xxhash_rust::xxh3::Xxh3;

use crate::app::App;
use crate::auth::Who;
use crate::changed::Unchanged;
use crate::http::{body, telemetry};
use crate::problem::Problem;
use crate::request_id;
use crate::routes::{
    BACKTEST, COMMANDS, MAPPINGS_TRY, RULE_TESTS, RULES_CHECK, SESSION, SETUP, SILENCE_PREVIEW,
    TELEMETRY, TOKENS, USER_PASSWORD, USERS,
};

/// How long an answer is kept.
const LIFETIME: Duration = Duration::from_secs(24 * 3_600);
/// The most answers that are kept, and their bytes together.
const ANSWERS_MAX: usize = 10_000;
const BYTES_MAX: usize = 16 * 1024 * 1024;
/// The longest answer that is kept.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// About what an answer takes beside its body and its key.
const OVERHEAD_BYTES: usize = 512;
/// The lines of a head that are given again.
const KEPT: [HeaderName; 3] = [header::CONTENT_TYPE, header::ETAG, header::LOCATION];
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Whose key it is, and the key.
type Key = (Arc<str>, Box<str>);

/// What was answered.
#[derive(Clone, Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

#[derive(Debug)]
struct Entry {
    /// Of the request.
    print: u128,
    began_at: Instant,
    /// Absent while it is being done.
    answer: Option<Answer>,
}

/// What is known of a request.
enum Found {
    /// Nothing: it is to be done.
    New,
    /// It is being done.
    Busy,
    /// The key is another request's.
    Reused,
    /// It was done.
    Done(Answer),
}

#[derive(Debug, Default)]
struct Table {
    entries: HashMap<Key, Entry>,
    /// Those that are answered, the oldest first.
    order: VecDeque<(Key, Instant)>,
    n_bytes: usize,
}

/// What was answered to requests with keys.
#[derive(Debug, Default)]
pub(crate) struct Answered(Mutex<Table>);

impl Answered {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Looks a request up, and notes that it is being done if it is new.
    fn begin(&mut self, key: &Key, print: u128, now: Instant) -> Found {
        self.expire(now);
        match self.entries.get(key) {
            None => {
                let entry = Entry { print, began_at: now, answer: None };
                self.entries.insert(key.clone(), entry);
                Found::New
            }
            Some(entry) if entry.print != print => Found::Reused,
            Some(Entry { answer: Some(answer), .. }) => Found::Done(answer.clone()),
            Some(_) => Found::Busy,
        }
    }

    /// Keeps the answer of a request that was begun; the oldest go if there are too many.
    fn end(&mut self, key: &Key, answer: Answer) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        self.n_bytes += cost(key, &answer);
        entry.answer = Some(answer);
        self.order.push_back((key.clone(), entry.began_at));
        while self.order.len() > ANSWERS_MAX || self.n_bytes > BYTES_MAX {
            self.drop_oldest();
        }
    }

    /// Forgets a request that was begun, so that it may be done again.
    fn forget(&mut self, key: &Key) {
        if self.entries.get(key).is_some_and(|entry| entry.answer.is_none()) {
            self.entries.remove(key);
        }
    }

    fn expire(&mut self, now: Instant) {
        let is_old = |began_at: Instant| now.saturating_duration_since(began_at) >= LIFETIME;
        while self.order.front().is_some_and(|(_, began_at)| is_old(*began_at)) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        let Some((key, _)) = self.order.pop_front() else { return };
        let gone = self.entries.remove(&key).and_then(|entry| entry.answer);
        self.n_bytes -= gone.map_or(0, |answer| cost(&key, &answer));
    }
}

fn cost(key: &Key, answer: &Answer) -> usize {
    OVERHEAD_BYTES + key.0.len() + 2 * key.1.len() + answer.body.len()
}

/// Forgets a request that comes to no end.
struct Begun {
    app: Arc<App>,
    key: Key,
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.app.answered.table().forget(&self.key);
    }
}

/// Does a request with a key once.
pub(crate) async fn once(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    if !is_kept(path, request.method()) {
        return next.run(request).await;
    }
    let key = match telemetry::key(request.headers()) {
        Ok(None) => return next.run(request).await,
        Ok(Some(key)) => key.into_boxed_str(),
        Err(problem) => return problem.into_response(),
    };
    let name = request.extensions().get::<Who>().map_or("".into(), |who| Arc::clone(&who.name));
    let (parts, body) = request.into_parts();
    let bytes = match body::bytes(&app, body).await {
        Ok(bytes) => bytes,
        Err(problem) => return problem.into_response(),
    };
    let key = (name, key);
    let request = Request::from_parts(parts, Body::from(bytes.clone()));
    let found = app.answered.table().begin(&key, print(&request, &bytes), Instant::now());
    match found {
        Found::New => {}
        Found::Done(answer) => return replayed(answer),
        Found::Busy => {
            let detail = "The first request with this key is not answered yet: ask again.";
            let problem = Problem::new(StatusCode::CONFLICT, "idempotency_key_in_use", detail);
            return problem.retry_after(1).into_response();
        }
        Found::Reused => {
            let (status, code) = (StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused");
            let detail = "The `Idempotency-Key` was used for another request.";
            return Problem::new(status, code, detail).into_response();
        }
    }
    // It goes on to its end even if the client leaves: it will ask again.
    let begun = Begun { app: Arc::clone(&app), key };
    let doing = request_id::during(request_id::current(), done(begun, request, next));
    app.tracker.spawn(doing).await.unwrap_or_else(|_| {
        let detail = "It broke off; the service's log says why, under this `request_id`.";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail).into_response()
    })
}

/// Whether the answer to such a request is kept: not if it changes nothing, if its key is looked after
/// elsewhere, or if one of the two has a secret in it.
pub(crate) fn is_kept(path: &str, method: &Method) -> bool {
    let reads = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    let others =
        [TELEMETRY, COMMANDS, BACKTEST, MAPPINGS_TRY, RULES_CHECK, RULE_TESTS, SILENCE_PREVIEW];
    let secrets = [SETUP, SESSION, USERS, USER_PASSWORD, TOKENS];
    let is_post = *method == Method::POST;
    !reads && !(is_post && (others.contains(&path) || secrets.contains(&path)))
}

/// What tells one request from another: what is to be done to what, with what, and to which version.
fn print(request: &Request, body: &[u8]) -> u128 {
    let mut hash = Xxh3::new();
    let mut add = |part: &[u8]| {
        hash.update(&part.len().to_le_bytes());
        hash.update(part);
    };
    add(request.method().as_str().as_bytes());
    add(request.uri().to_string().as_bytes());
    for name in [header::IF_MATCH, header::IF_NONE_MATCH, header::CONTENT_TYPE] {
        add(request.headers().get(name).map_or(b"", HeaderValue::as_bytes));
    }
    add(body);
    hash.digest128()
}

/// Does it, and keeps the answer, but for one after which it may be tried again.
async fn done(begun: Begun, request: Request, next: Next) -> Response {
    let (parts, body) = next.run(request).await.into_parts();
    let Ok(bytes) = axum::body::to_bytes(body, usize::MAX).await else {
        let detail = "The answer broke off.";
        return Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail).into_response();
    };
    let is_final = !parts.status.is_server_error()
        && !matches!(parts.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::UNAUTHORIZED);
    if is_final && bytes.len() <= ANSWER_BYTES_MAX {
        let kept = KEPT.into_iter().filter_map(|name| {
            let value = parts.headers.get(&name)?.clone();
            Some((name, value))
        });
        let (status, headers, body) = (parts.status, kept.collect(), bytes.clone());
        begun.app.answered.table().end(&begun.key, Answer { status, headers, body });
    }
    Response::from_parts(parts, Body::from(bytes))
}

fn replayed(answer: Answer) -> Response {
    let mut again = (answer.status, answer.headers, answer.body).into_response();
    again.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    Unchanged.noted(again)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: usize) -> Key {
        ("anne".into(), format!("k{n}").into())
    }

    fn answer(n_bytes: usize) -> Answer {
        let body = Bytes::from(vec![b'x'; n_bytes]);
        Answer { status: StatusCode::OK, headers: HeaderMap::new(), body }
    }

    #[test]
    fn a_key_is_new_then_busy_then_done_and_only_for_its_request() {
        let (mut table, now) = (Table::default(), Instant::now());
        assert!(matches!(table.begin(&key(1), 7, now), Found::New));
        assert!(matches!(table.begin(&key(1), 7, now), Found::Busy));
        assert!(matches!(table.begin(&key(1), 8, now), Found::Reused));
        let of_bob = ("bob".into(), "k1".into());
        assert!(matches!(table.begin(&of_bob, 8, now), Found::New), "another's key");
        table.end(&key(1), answer(3));
        assert!(matches!(table.begin(&key(1), 7, now), Found::Done(it) if it.body == "xxx"));
        assert!(matches!(table.begin(&key(1), 8, now), Found::Reused));
        table.forget(&key(1));
        assert!(matches!(table.begin(&key(1), 7, now), Found::Done(_)), "it was answered");
        table.forget(&of_bob);
        assert!(matches!(table.begin(&of_bob, 9, now), Found::New));
    }

    #[test]
    fn answers_go_after_a_day_and_the_oldest_when_there_are_too_many() {
        let (mut table, now) = (Table::default(), Instant::now());
        for n in 0..=ANSWERS_MAX {
            table.begin(&key(n), 1, now);
            table.end(&key(n), answer(1));
        }
        assert_eq!(table.order.len(), ANSWERS_MAX);
        assert!(matches!(table.begin(&key(0), 1, now), Found::New));
        table.forget(&key(0));
        for n in 0..100 {
            table.begin(&key(20_000 + n), 1, now);
            table.end(&key(20_000 + n), answer(ANSWER_BYTES_MAX));
        }
        assert!(table.n_bytes <= BYTES_MAX, "{}", table.n_bytes);
        assert!(matches!(table.begin(&key(20_099), 1, now), Found::Done(_)));
        let later = now + LIFETIME;
        assert!(matches!(table.begin(&key(20_099), 1, later), Found::New));
        assert_eq!((table.entries.len(), table.order.len(), table.n_bytes), (1, 0, 0));
    }
}
