//! Who is told of what passed through this room, as traces want to know it. Nobody is waited for.

use std::fmt::Debug;
use std::time::Duration;

use bellwire_model::{StageTimes, Timestamp, Transition};

/// A request that was answered. Nothing in it is a secret: no path, no query, no line of the head but
/// `traceparent`.
#[derive(Clone, Copy, Debug)]
pub struct AnsweredRequest<'a> {
    /// `GET`.
    pub method: &'a str,
    /// The route's template, as `/api/v1/devices/{id}`; `None` if no route took it.
    pub route: Option<&'a str>,
    /// The answer's status.
    pub status: u16,
    /// `http`, or `https` if the client spoke that, with us or with a proxy that we trust.
    pub scheme: &'static str,
    /// What the client says that it belongs to, unread: the one line `traceparent` of the head.
    pub traceparent: Option<&'a [u8]>,
    /// From the head of the request to the head of its answer, which is now.
    pub took: Duration,
}

/// Told of requests. Called on the runtime's threads: it must not wait.
pub trait RequestWitness: Send + Sync + Debug {
    /// A request was answered.
    fn answered(&self, request: AnsweredRequest<'_>);
}

/// Told of transitions. Called while the live feed is held: it must not wait.
pub trait TransitionWitness: Send + Sync + Debug {
    /// A transition is in the live feed, and was encoded for its clients at `sent`.
    fn sent(&self, transition: Transition, times: StageTimes, sent: Timestamp);
}
