//! Lets connections in up to the limits, counts them, and says who was turned away.
//!
//! Each connection holds a [`Pass`] from the moment it is taken until it has ended.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bellwire_model::Source;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tracing::warn;

use super::config::DoorLimits;
use super::metrics::{DoorMetrics, Refusal};
use super::sources::{Sources, TooMuch};
use crate::rate::{Bucket, Taken};

/// At most one line per reason in this time: a flood of connections is no flood of lines.
const SILENCE: Duration = Duration::from_secs(10);

/// The limits at the door, and what is used of them.
#[derive(Debug)]
pub(crate) struct Turnstile {
    limits: DoorLimits,
    metrics: DoorMetrics,
    connections: Arc<Semaphore>,
    connections_max: u32,
    handshakes: Arc<Semaphore>,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    sources: Sources,
    connects: Bucket,
    /// Per [`Refusal`]: when it was last said, and how often it happened since.
    said: Vec<Option<(Instant, u64)>>,
}

/// The right to begin a handshake.
#[derive(Debug)]
pub(crate) struct Turn {
    _permit: OwnedSemaphorePermit,
}

impl Turnstile {
    pub(crate) fn new(limits: DoorLimits, connections_max: u32, metrics: DoorMetrics) -> Self {
        let inner = Inner {
            sources: Sources::new(connections_max),
            connects: Bucket::new(Instant::now().into_std()),
            said: vec![None; Refusal::ALL.len()],
        };
        Self {
            connections: Arc::new(Semaphore::new(connections_max as usize)),
            connections_max,
            handshakes: Arc::new(Semaphore::new(limits.handshakes_max as usize)),
            limits,
            metrics,
            inner: Mutex::new(inner),
        }
    }

    pub(crate) const fn limits(&self) -> &DoorLimits {
        &self.limits
    }

    pub(crate) const fn metrics(&self) -> &DoorMetrics {
        &self.metrics
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there are fewer than `handshakes_max` handshakes.
    ///
    /// # Cancel safety
    /// Safe.
    pub(crate) async fn turn(&self) -> Turn {
        let handshakes = Arc::clone(&self.handshakes);
        let permit = if let Ok(permit) = Arc::clone(&handshakes).try_acquire_owned() {
            permit
        } else {
            self.metrics.handshakes_full.inc();
            let limit = self.limits.handshakes_max;
            self.say(Refusal::HandshakesFull, format_args!("there are {limit} handshakes"));
            handshakes.acquire_owned().await.expect("the semaphore is never closed")
        };
        Turn { _permit: permit }
    }

    /// Takes a connection whose far end is `peer`, if there is room among all of them.
    pub(crate) fn enter(self: &Arc<Self>, turn: Turn, peer: SocketAddr) -> Option<Pass> {
        let Ok(connection) = Arc::clone(&self.connections).try_acquire_owned() else {
            let limit = self.connections_max;
            self.refuse(Refusal::ConnectionsMax, peer, format_args!("there are {limit}"));
            return None;
        };
        let now = Instant::now().into_std();
        if let Some(rate) = self.limits.connects
            && self.lock().connects.try_take(rate, now) == Taken::No
        {
            let why = format_args!("more come than door.connects_per_second_max allows");
            self.refuse(Refusal::ConnectRate, peer, why);
            return None;
        }
        self.metrics.handshakes.inc();
        let handshake = Handshake { turnstile: Arc::clone(self), _turn: turn };
        Some(Pass { _connection: connection, handshake: Some(handshake), source: None })
    }

    /// Counts the connection of `pass` for its source, if that has room.
    pub(crate) fn enter_source(self: &Arc<Self>, pass: &mut Pass, peer: SocketAddr) -> Entry {
        if self.is_unlimited(peer.ip()) {
            return Entry::Granted;
        }
        let source = Source::of(peer.ip());
        let now = Instant::now().into_std();
        let mut inner = self.lock();
        let entered = inner.sources.enter(source, &self.limits, now);
        if entered.is_err()
            && let Some(rate) = self.limits.connects
        {
            // Or one source that knocks without end would use up what all may.
            inner.connects.give_back(rate);
        }
        self.metrics.sources.set(i64::try_from(inner.sources.len()).unwrap_or(i64::MAX));
        drop(inner);
        let (refusal, key) = match entered {
            Ok(()) => {
                pass.source = Some(OfSource { turnstile: Arc::clone(self), source });
                return Entry::Granted;
            }
            Err(TooMuch::Connections) => (Refusal::SourceConnections, "connections_per_source_max"),
            Err(TooMuch::Handshakes) => (Refusal::SourceHandshakes, "handshakes_per_source_max"),
            Err(TooMuch::Connects) => (Refusal::SourceRate, "connects_per_source_per_second_max"),
        };
        self.refuse(refusal, peer, format_args!("its source is at door.{key}"));
        Entry::Refused
    }

    fn is_unlimited(&self, address: IpAddr) -> bool {
        self.limits.unlimited_sources.iter().any(|network| network.contains(address))
    }

    /// Counts a connection that is turned away, and says so now and then.
    pub(crate) fn refuse(&self, refusal: Refusal, peer: SocketAddr, why: fmt::Arguments<'_>) {
        self.metrics.refused(refusal).inc();
        self.say(refusal, format_args!("{peer}: {why}"));
    }

    fn say(&self, refusal: Refusal, what: fmt::Arguments<'_>) {
        let now = Instant::now();
        let mut inner = self.lock();
        let said = &mut inner.said[refusal as usize];
        let n_unsaid = match said {
            Some((at, n_unsaid)) if now.duration_since(*at) < SILENCE => {
                *n_unsaid += 1;
                return;
            }
            Some((_, n_unsaid)) => *n_unsaid,
            None => 0,
        };
        *said = Some((now, 0));
        drop(inner);
        let label = refusal.label();
        if refusal == Refusal::HandshakesFull {
            warn!(n_unsaid, "New connections wait: {what}.");
        } else {
            warn!(reason = label, n_unsaid, "Refusing a connection of {what}.");
        }
    }

    /// Waits until every connection has ended.
    ///
    /// # Cancel safety
    /// Safe.
    pub(crate) async fn all_left(&self) {
        let _all = self.connections.acquire_many(self.connections_max).await;
    }
}

/// Whether a source has room for one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    Granted,
    Refused,
}

/// What a connection holds of the limits; dropped, it gives them back.
#[derive(Debug)]
pub(crate) struct Pass {
    // In this order: the source must know that the handshake is over before it forgets it.
    handshake: Option<Handshake>,
    source: Option<OfSource>,
    _connection: OwnedSemaphorePermit,
}

impl Pass {
    /// The client has been let in: its handshake is over.
    pub(crate) fn admitted(&mut self) {
        if self.handshake.take().is_some()
            && let Some(of) = &self.source
        {
            of.turnstile.lock().sources.admitted(of.source);
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.admitted();
    }
}

#[derive(Debug)]
struct Handshake {
    turnstile: Arc<Turnstile>,
    _turn: Turn,
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.turnstile.metrics.handshakes.dec();
    }
}

#[derive(Debug)]
struct OfSource {
    turnstile: Arc<Turnstile>,
    source: Source,
}

impl Drop for OfSource {
    fn drop(&mut self) {
        let mut inner = self.turnstile.lock();
        inner.sources.leave(self.source, Instant::now().into_std());
        let n_sources = inner.sources.len();
        self.turnstile.metrics.sources.set(i64::try_from(n_sources).unwrap_or(i64::MAX));
    }
}
