//! The running account of a run, shared by its connections.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::Histogram;

/// How a run goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Since all connections stood.
    pub elapsed: Duration,
    /// Publishes sent for the first time, repeats and bad payloads included.
    pub published: u64,
    /// Publishes acknowledged.
    pub acknowledged: u64,
    /// Publishes refused by a reason code (MQTT 5).
    pub refused: u64,
    /// Publishes sent once more after a connection was lost.
    pub resent: u64,
    /// Connections made again.
    pub reconnects: u64,
    /// Connections that stand now.
    pub connected: u64,
}

/// [`Progress`] and the latencies behind it. Locked once per read or write of a socket.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<Counts>);

#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) progress: Progress,
    /// From a publish's first sending to its acknowledgement.
    pub(crate) ack_latency: Histogram,
}

impl Tally {
    /// The counts, to read or change; never held across an await.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
