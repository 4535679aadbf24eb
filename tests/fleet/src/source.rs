//! What a connection publishes: the port between whoever makes messages and whoever sends them.

use bellwire_model::{DeviceId, Timestamp};
use tokio::time::Instant;

use crate::DeviceAcks;

/// One instant by both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// For measuring and waiting.
    pub(crate) instant: Instant,
    /// For payloads.
    pub(crate) wall: Timestamp,
}

/// What a source has for its connection.
#[derive(Debug)]
pub(crate) enum Next<T> {
    /// Publish this.
    Publish(T),
    /// Publish this and drop the connection at once.
    PublishAndCut(T),
    /// Nothing before then.
    At(Instant),
    /// Nothing any more.
    Done,
}

/// How a publish ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The service promised to keep it.
    Acknowledged,
    /// The service refused it by a reason code.
    Refused,
}

/// Makes the messages of one connection, and keeps their account.
pub(crate) trait Source: Send {
    /// What the window remembers of a message. Topic and payload are made from it, the same bytes
    /// each time, so that a message on its way costs no buffer of its own.
    type Item: Send;

    /// The run begins. Called once, before anything else.
    fn begin(&mut self, now: Moment);

    /// The next message. Once asked for, it counts as published.
    fn next(&mut self, now: Moment) -> Next<Self::Item>;

    /// Whether there will be nothing more, for a connection that has no room to ask for the next.
    fn is_over(&self, now: Instant) -> bool;

    /// Where it is published.
    fn topic<'a>(&'a self, item: &'a Self::Item) -> &'a str;

    /// Appends its payload.
    fn payload(&self, item: &Self::Item, out: &mut Vec<u8>);

    /// It has ended.
    fn settle(&mut self, item: &Self::Item, verdict: Verdict);

    /// The account of every device it published for.
    fn into_accounts(self) -> Vec<(DeviceId, DeviceAcks)>;
}
