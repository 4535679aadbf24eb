//! Who is looking at the feed: by name, since when, over how many connections. Whoever leaves is still
//! here for a moment, so that a page that is loaded again, or a poll that ends, is no news.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use axum::response::{IntoResponse as _, Response};
use bellwire_model::Timestamp;
use serde::Serialize;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::app::App;
use crate::live::encoded::Encoded;
use crate::params::Params;
use crate::problem::Problem;
use crate::rfc3339::Rfc3339;

/// `GET /api/v1/live/operators`: who is looking at the feed.
pub(crate) async fn list(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Answer {
        here: Vec<Operator>,
    }
    Params::read(&uri, &[])?;
    Ok(Json(Answer { here: app.hub.operators().list() }).into_response())
}

/// How long after the last connection somebody is still here.
const LINGER: Duration = Duration::from_secs(10);
/// How often clients are told at most.
pub(crate) const NEWS_INTERVAL: Duration = Duration::from_secs(1);

/// Who is here.
#[derive(Debug, Default)]
pub(crate) struct Operators {
    here: Mutex<BTreeMap<Arc<str>, Presence>>,
    /// Someone has come or gone.
    pub(crate) changed: Notify,
    /// The number of the latest news.
    latest: AtomicU64,
    news: Mutex<News>,
}

#[derive(Clone, Copy, Debug)]
struct Presence {
    since: Timestamp,
    n: usize,
    /// When the last connection ended.
    left_at: Instant,
}

/// The latest frame that says who is here, and its number from 1.
#[derive(Debug, Default)]
struct News {
    number: u64,
    frame: Option<Arc<Encoded>>,
}

/// One who is here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Operator {
    name: Arc<str>,
    since: Rfc3339,
    /// Connections.
    n: usize,
}

/// A connection of somebody, for as long as it lives.
#[derive(Debug)]
pub(crate) struct Here {
    operators: Arc<Operators>,
    name: Arc<str>,
}

impl Operators {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Arc<str>, Presence>> {
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a connection of `name`.
    pub(crate) fn join(self: &Arc<Self>, name: &Arc<str>, now: Timestamp) -> Here {
        let mut here = self.lock();
        let new = Presence { since: now, n: 0, left_at: Instant::now() };
        here.entry(Arc::clone(name)).or_insert(new).n += 1;
        drop(here);
        self.changed.notify_one();
        Here { operators: Arc::clone(self), name: Arc::clone(name) }
    }

    /// Who is here, by name. One who has just left has no connections.
    pub(crate) fn list(&self) -> Vec<Operator> {
        let here = self.lock();
        let list = here.iter().map(|(name, it)| Operator {
            name: Arc::clone(name),
            since: Rfc3339(it.since),
            n: it.n,
        });
        list.collect()
    }

    /// Forgets who is gone; gives when the next will be.
    fn settle(&self, now: Instant) -> Option<Instant> {
        let mut here = self.lock();
        here.retain(|_, it| it.n > 0 || now < it.left_at + LINGER);
        here.values().filter(|it| it.n == 0).map(|it| it.left_at + LINGER).min()
    }

    /// Makes the frame for clients, if it says anything new; gives whether it does, and when to look
    /// again even if nobody comes or goes.
    pub(crate) fn make_news(&self, now: Instant) -> (bool, Option<Instant>) {
        let next = self.settle(now);
        #[derive(Serialize)]
        struct Fields {
            r#type: &'static str,
            here: Vec<Operator>,
        }
        let fields = Fields { r#type: "operators", here: self.list() };
        let text = serde_json::to_string(&fields).expect("strings and numbers always serialize");
        let mut news = self.news.lock().unwrap_or_else(PoisonError::into_inner);
        if news.frame.as_ref().is_some_and(|frame| frame.text() == text) {
            return (false, next);
        }
        news.number += 1;
        news.frame = Some(Arc::new(Encoded::new("operators", None, &text)));
        self.latest.store(news.number, Ordering::Release);
        (true, next)
    }

    /// The latest news, if it is newer than `seen`, which it then becomes.
    pub(crate) fn news_since(&self, seen: &mut u64) -> Option<Arc<Encoded>> {
        if self.latest.load(Ordering::Acquire) == *seen {
            return None;
        }
        let news = self.news.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = news.number;
        news.frame.clone()
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        let mut here = self.operators.lock();
        if let Some(presence) = here.get_mut(&self.name) {
            presence.n -= 1;
            presence.left_at = Instant::now();
        }
        drop(here);
        self.operators.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(operators: &Operators) -> Option<String> {
        let (is_new, _) = operators.make_news(Instant::now());
        is_new.then(|| operators.news_since(&mut 0).expect("news").text().to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_comes_back_at_once_was_never_gone() {
        let operators = Arc::new(Operators::default());
        let (ada, bob): (Arc<str>, Arc<str>) = ("ada".into(), "bob".into());
        let first = operators.join(&ada, Timestamp::EPOCH);
        let second = operators.join(&ada, Timestamp::from_secs(1));
        let third = operators.join(&bob, Timestamp::from_secs(2));
        let at = |secs| Rfc3339(Timestamp::from_secs(secs));
        let one =
            |name: &Arc<str>, secs, n| Operator { name: Arc::clone(name), since: at(secs), n };
        assert_eq!(operators.list(), [one(&ada, 0, 2), one(&bob, 2, 1)]);
        assert!(says(&operators).expect("news").starts_with(r#"{"type":"operators","here":[{"#));
        assert_eq!(says(&operators), None, "that is known");
        drop((first, third));
        tokio::time::advance(Duration::from_secs(9)).await;
        operators.settle(Instant::now());
        let back = operators.join(&bob, Timestamp::from_secs(11));
        drop(second);
        assert_eq!(operators.list(), [one(&ada, 0, 0), one(&bob, 2, 1)]);
        let (_, next) = operators.make_news(Instant::now());
        assert_eq!(next, Some(Instant::now() + LINGER));
        tokio::time::advance(LINGER).await;
        assert!(says(&operators).is_some());
        assert_eq!(operators.list(), [one(&bob, 2, 1)]);
        drop(back);
    }
}
