//! How many requests somebody may make: so many a second, after a burst of as many as he has saved.
//!
//! The generic cell rate algorithm: of each client only one instant is kept, that at which all he has
//! asked for will have been earned.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hashbrown::HashMap;
use tokio::time::Instant;

use crate::app::App;
use crate::auth::origin::Source;
use crate::auth::{Via, Who};
use crate::config::RateConfig;
use crate::peer::Peer;
use crate::problem::Problem;

/// The most clients that are told apart; those beyond share what one may ask.
const CLIENTS_MAX: usize = 10_000;
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// Who is counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Client {
    /// Whoever showed who he is, from wherever.
    Named(Arc<str>),
    /// Who did not, by his address.
    From(IpAddr),
    /// All for whom there is no room.
    Others,
}

/// What a client may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Ask, and so much more at once.
    Go { n_left: u64 },
    /// Wait so long.
    Wait(Duration),
}

/// How many requests each client may make.
#[derive(Debug)]
pub(crate) struct Rates {
    /// What one request costs; `None`: there is no limit.
    every: Option<Duration>,
    burst: NonZeroU32,
    earned: Mutex<HashMap<Client, Instant>>,
}

impl Rates {
    pub(crate) fn new(config: &RateConfig) -> Self {
        let every = NonZeroU32::new(config.requests_per_second);
        let every = every.map(|n| Duration::from_secs(1) / n.get());
        Self { every, burst: config.burst, earned: Mutex::default() }
    }

    /// Counts one request of `client` at `now`; `None` if there is no limit.
    fn take(&self, client: Client, now: Instant) -> Option<Verdict> {
        let every = self.every?;
        let mut earned = self.earned.lock().unwrap_or_else(PoisonError::into_inner);
        if earned.len() >= CLIENTS_MAX && !earned.contains_key(&client) {
            // Who has saved all that he may is as good as unknown.
            earned.retain(|_, at| *at > now);
        }
        let has_room = earned.len() < CLIENTS_MAX || earned.contains_key(&client);
        let client = if has_room { client } else { Client::Others };
        let at = earned.entry(client).or_insert(now);
        let owed = at.saturating_duration_since(now) + every;
        let most = every * self.burst.get();
        if owed > most {
            return Some(Verdict::Wait(owed - most));
        }
        *at = now + owed;
        let n_left = (most - owed).as_nanos() / every.as_nanos().max(1);
        Some(Verdict::Go { n_left: u64::try_from(n_left).unwrap_or(u64::MAX) })
    }

    /// What the limit is, and how a client stands (draft-ietf-httpapi-ratelimit-headers).
    fn tell(&self, answer: &mut Response, n_left: u64, wait_secs: u64) {
        let every = self.every.unwrap_or(Duration::from_secs(1));
        let window = (every * self.burst.get()).as_secs_f64().ceil();
        let policy = format!("\"client\";q={};w={window}", self.burst);
        let limit = format!("\"client\";r={n_left};t={wait_secs}");
        for (name, text) in [(POLICY, policy), (LIMIT, limit)] {
            let value = HeaderValue::try_from(text).expect("digits and letters");
            answer.headers_mut().insert(name, value);
        }
    }
}

/// Lets so many requests pass.
pub(crate) async fn limit(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let who = request.extensions().get::<Who>().filter(|who| who.via != Via::Nothing);
    let client = match who {
        Some(who) => Client::Named(Arc::clone(&who.name)),
        None => {
            let source = request.extensions().get::<Source>().map(|source| source.address);
            Client::From(source.unwrap_or_else(|| Peer::of(request.extensions()).address))
        }
    };
    match app.rates.take(client, Instant::now()) {
        None => next.run(request).await,
        Some(Verdict::Go { n_left }) => {
            let mut answer = next.run(request).await;
            app.rates.tell(&mut answer, n_left, u64::from(n_left == 0));
            answer
        }
        Some(Verdict::Wait(wait)) => {
            let secs = wait.as_secs() + 1;
            app.metrics.http.too_many.inc();
            let detail = "These are more requests than `http.rate` allows: wait a little.";
            let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", detail);
            let mut answer =
                problem.retry_after(u16::try_from(secs).unwrap_or(u16::MAX)).into_response();
            app.rates.tell(&mut answer, 0, secs);
            answer
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(requests_per_second: u32, burst: u32) -> Rates {
        let burst = NonZeroU32::new(burst).expect("not zero");
        Rates::new(&RateConfig { requests_per_second, burst })
    }

    fn anne() -> Client {
        Client::Named("anne".into())
    }

    #[test]
    fn a_burst_then_so_many_a_second() {
        let (rates, start) = (rates(10, 5), Instant::now());
        for n_left in (0..5).rev() {
            assert_eq!(rates.take(anne(), start), Some(Verdict::Go { n_left }));
        }
        let wait = Duration::from_millis(100);
        assert_eq!(rates.take(anne(), start), Some(Verdict::Wait(wait)));
        let other = Client::From([127, 0, 0, 1].into());
        assert_eq!(rates.take(other, start), Some(Verdict::Go { n_left: 4 }), "for himself");
        assert_eq!(rates.take(anne(), start + wait), Some(Verdict::Go { n_left: 0 }));
        let later = start + Duration::from_secs(60);
        assert_eq!(rates.take(anne(), later), Some(Verdict::Go { n_left: 4 }), "no more is saved");
    }

    #[test]
    fn without_a_rate_nobody_is_counted() {
        let rates = rates(0, 1);
        assert_eq!(rates.take(anne(), Instant::now()), None);
        assert!(rates.earned.lock().expect("whole").is_empty());
    }

    #[test]
    fn clients_beyond_the_most_share_and_those_who_waited_are_forgotten() {
        let (rates, start) = (rates(1, 2), Instant::now());
        let from = |n: u32| Client::From(IpAddr::V4(n.into()));
        for n in 0..CLIENTS_MAX {
            rates.take(from(u32::try_from(n).expect("small")), start);
        }
        let n_left = |n| match rates.take(from(n), start) {
            Some(Verdict::Go { n_left }) => n_left,
            other => panic!("{other:?}"),
        };
        assert_eq!((n_left(4_000_000_000), n_left(4_000_000_001)), (1, 0));
        assert!(matches!(rates.take(from(4_000_000_002), start), Some(Verdict::Wait(_))));
        rates.take(from(4_000_000_002), start + Duration::from_secs(10));
        assert_eq!(rates.earned.lock().expect("whole").len(), 1);
    }
}
