//! What a connection is told, what it shares with the others of its run, and how it ends.

use std::sync::Arc;
use std::time::Duration;

use bellwire_model::{Clock, QoS};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::source::Moment;
use crate::tally::Tally;
use crate::{LinkError, Login, Protocol, Surroundings};

/// What a connection needs to know.
#[derive(Clone, Debug)]
pub(crate) struct LinkSettings {
    pub(crate) address: Arc<str>,
    pub(crate) client_id: String,
    pub(crate) login: Option<Arc<Login>>,
    pub(crate) protocol: Protocol,
    pub(crate) qos: QoS,
    pub(crate) in_flight: u16,
    pub(crate) refill: Refill,
    /// `None`: until stopped.
    pub(crate) patience: Option<Duration>,
    pub(crate) drain: Duration,
}

/// When an opened window is filled again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refill {
    /// When at least half of it is free: fewer, larger writes.
    HalfFree,
    /// At once.
    AnyRoom,
}

/// What the connections of a run share.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) stop: CancellationToken,
    pub(crate) tally: Arc<Tally>,
}

impl Shared {
    /// For a run in these surroundings, with an empty account.
    pub(crate) fn new(surroundings: &Surroundings) -> Self {
        Self {
            clock: Arc::clone(&surroundings.clock),
            stop: surroundings.stop.clone(),
            tally: Arc::default(),
        }
    }

    pub(crate) fn moment(&self) -> Moment {
        Moment { instant: Instant::now(), wall: self.clock.now() }
    }
}

/// How a connection's work ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// Everything was published and everything that can be was acknowledged.
    Finished,
    /// It ran out of time with publishes on their way.
    Unsettled,
    /// The service was away for too long.
    GaveUp(LinkError),
}
