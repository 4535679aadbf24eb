//! What happened, on its way to whoever makes spans of it.

use bellwire_model::{LogPosition, StageTimes, Timestamp, Transition};
use bellwire_notify::deliveries::Delivery;

use super::ids::Context;

/// Something that spans are made of.
#[derive(Debug)]
pub(super) enum Event {
    /// An alert changed, or something was done with it.
    Transition(Box<Transition>, StageTimes, Timestamp),
    /// A message was sent, or could not be.
    Delivery(Box<Delivery>),
    /// A request was answered.
    Request(Box<Request>),
    /// *Keep* has written something.
    Write(Box<Write>),
}

/// The parts of a transition's way, in order.
pub(super) const STAGES: [&str; 3] = ["log", "judge", "feed"];

impl Event {
    /// How many spans come of it.
    pub(super) fn n_spans(&self) -> usize {
        match self {
            Self::Transition(..) => 1 + STAGES.len(),
            Self::Delivery(delivery) => delivery.alerts.len(),
            Self::Request(_) | Self::Write(_) => 1,
        }
    }
}

/// A request that was answered.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) context: Context,
    pub(super) method: String,
    pub(super) route: Option<String>,
    pub(super) status: u16,
    pub(super) scheme: &'static str,
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
}

/// A transaction of *keep's*.
#[derive(Debug)]
pub(super) struct Write {
    pub(super) context: Context,
    /// From where to where in the log.
    pub(super) extent: (LogPosition, LogPosition),
    pub(super) n_publishes: usize,
    pub(super) n_readings: usize,
    pub(super) n_quarantined: usize,
    pub(super) n_transitions: usize,
    /// How often it was tried in vain before.
    pub(super) n_retries: u32,
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
}
