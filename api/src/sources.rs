//! How many connections each source has: one source cannot take the places of all.
//!
//! What comes through a trusted proxy is counted by requests ([`share`]): the proxy's connections are of
//! many clients, one after the other.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bellwire_model::Source;
use hashbrown::HashMap;
use prometheus::IntCounter;
use tokio::time::Instant;
use tracing::warn;

use crate::app::App;
use crate::auth::origin;
use crate::held::held;
use crate::peer::Peer;
use crate::problem::Problem;
use crate::server::Permit;

/// At most one line in this time: a flood of connections is no flood of lines.
const SILENCE: Duration = Duration::from_secs(60);
/// Seconds after which a client may come again.
const RETRY_AFTER_SECS: u16 = 5;

/// How many connections each source has.
#[derive(Debug)]
pub(crate) struct Sources {
    /// The most of one; 0: no limit.
    per_source_max: usize,
    refused: IntCounter,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Of sources that have any: no more entries than there are connections and requests.
    held: HashMap<Source, usize>,
    /// When a refusal was last said, and how many there were since.
    said: Option<(Instant, u64)>,
}

/// A place among those of its source; dropped, it gives it back.
#[derive(Debug)]
pub(crate) struct Place {
    /// Absent where there is no limit.
    of: Option<(Arc<Sources>, Source)>,
}

impl Sources {
    pub(crate) fn new(per_source_max: usize, refused: IntCounter) -> Arc<Self> {
        Arc::new(Self { per_source_max, refused, inner: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing in it is left half done.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for one more of `address`. Where there is none, that is counted, and said now and then.
    pub(crate) fn take(self: &Arc<Self>, address: IpAddr, now: Instant) -> Option<Place> {
        if self.per_source_max == 0 {
            return Some(Place { of: None });
        }
        let source = Source::of(address);
        let mut inner = self.lock();
        let n_held = inner.held.entry(source).or_insert(0);
        if *n_held < self.per_source_max {
            *n_held += 1;
            return Some(Place { of: Some((Arc::clone(self), source)) });
        }
        self.refused.inc();
        let n_unsaid = match &mut inner.said {
            Some((at, n_unsaid)) if now.duration_since(*at) < SILENCE => {
                *n_unsaid += 1;
                return None;
            }
            Some((_, n_unsaid)) => *n_unsaid,
            None => 0,
        };
        inner.said = Some((now, 0));
        drop(inner);
        warn!(
            %address,
            n_unsaid,
            "Refusing HTTP connections of {address}: it has {}, as many as \
             http.connections_per_source_max allows. A proxy belongs into http.trusted_proxies.",
            self.per_source_max
        );
        None
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some((sources, source)) = &self.of else { return };
        let mut inner = sources.lock();
        if let Some(n_held) = inner.held.get_mut(source) {
            *n_held = n_held.saturating_sub(1);
            if *n_held == 0 {
                inner.held.remove(source);
            }
        }
    }
}

/// Counts a request that comes through a trusted proxy among those of its client, until the last byte of
/// its answer, or the end of its WebSocket. What a proxy asks for itself is not counted.
pub(crate) async fn share(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Response {
    let peer = Peer::of(request.extensions());
    if !app.config.is_trusted(peer.address) {
        return next.run(request).await;
    }
    let trusted = &app.config.trusted_proxies;
    let address = origin::Source::of(peer, request.headers(), trusted).address;
    if app.config.is_trusted(address) {
        return next.run(request).await;
    }
    let Some(place) = app.sources.take(address, Instant::now()) else {
        let detail = "Your address has as many requests on their way as \
            `http.connections_per_source_max` allows.";
        let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_connections", detail);
        return problem.retry_after(RETRY_AFTER_SECS).into_response();
    };
    let place = Arc::new(place);
    if let Some(permit) = request.extensions_mut().get_mut::<Permit>() {
        permit.hold(Arc::clone(&place));
    }
    held(next.run(request).await, place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> IntCounter {
        IntCounter::new("refused", "Of the test.").expect("a name")
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_source_at_its_limit_keeps_nobody_else_out() {
        let (refused, now) = (refused(), Instant::now());
        let sources = Sources::new(2, refused.clone());
        let take = |text: &str| sources.take(address(text), now);
        let (a, b) = (take("10.0.0.1"), take("10.0.0.1"));
        assert!(a.is_some() && b.is_some());
        assert!(take("10.0.0.1").is_none());
        assert!(take("::ffff:10.0.0.1").is_none(), "the same");
        assert!(take("10.0.0.2").is_some());
        assert_eq!(refused.get(), 2);
        drop(a);
        assert!(take("10.0.0.1").is_some());
        drop(b);
        assert!(sources.lock().held.is_empty(), "nobody is remembered who has left");
    }

    #[test]
    fn many_refusals_are_said_once_in_a_while() {
        let (sources, now) = (Sources::new(1, refused()), Instant::now());
        let _one = sources.take(address("10.0.0.1"), now).expect("room");
        for _ in 0..5 {
            assert!(sources.take(address("10.0.0.1"), now).is_none());
        }
        assert_eq!(sources.lock().said, Some((now, 4)));
        let later = now + SILENCE;
        assert!(sources.take(address("10.0.0.1"), later).is_none());
        assert_eq!(sources.lock().said, Some((later, 0)));
    }

    #[test]
    fn without_a_limit_nobody_is_counted() {
        let sources = Sources::new(0, refused());
        let _many: Vec<_> = (0..1_000)
            .map(|_| sources.take(address("10.0.0.1"), Instant::now()).expect("room"))
            .collect();
        assert!(sources.lock().held.is_empty());
    }
}
