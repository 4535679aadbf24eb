//! What others see of the channels, and what they can ask.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bellwire_model::Timestamp;
use tokio::sync::{mpsc, oneshot};

use super::trial::Ask;
use crate::channels::{Answer, Outcome};
use crate::config::{ChannelConfig, ChannelType};
use crate::deliveries::{Delivery, DeliveryFilter, DeliveryLog, Result as Attempt};
use crate::dispatch::Waiting;

/// How a channel is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelState {
    /// Nothing was sent yet.
    Idle,
    /// The last message arrived.
    Ok,
    /// The last one did not, and is tried again.
    Failing,
    /// The last one was not wanted.
    Rejecting,
}

impl ChannelState {
    /// The stable word for it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Ok => "ok",
            Self::Failing => "failing",
            Self::Rejecting => "rejecting",
        }
    }
}

/// A channel, as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelStatus {
    /// Its name.
    pub name: String,
    /// What it speaks.
    pub kind: ChannelType,
    /// How it is.
    pub state: ChannelState,
    /// When a message last arrived.
    pub last_success: Option<Timestamp>,
    /// When one last did not, and why.
    pub last_error: Option<(Timestamp, String)>,
    /// Messages that could be sent now, or are on their way.
    pub waiting: usize,
    /// For how long the oldest of them could have been.
    pub oldest: Duration,
}

/// A channel and what is known of it.
#[derive(Debug)]
pub(super) struct Channel(ChannelStatus);

impl Channel {
    /// A channel as the delivery log has left it.
    pub(super) fn new(config: &ChannelConfig, deliveries: &DeliveryLog) -> Self {
        let mut status = ChannelStatus {
            name: config.name.clone(),
            kind: config.kind.unwrap_or(ChannelType::Webhook),
            state: ChannelState::Idle,
            last_success: None,
            last_error: None,
            waiting: 0,
            oldest: Duration::ZERO,
        };
        let filter = DeliveryFilter {
            channel: Some(config.name.clone()),
            limit: usize::MAX,
            ..DeliveryFilter::default()
        };
        // The oldest first, as they came.
        for delivery in deliveries.find(&filter).into_iter().rev() {
            status.note(delivery.result, delivery.ended_at(), &delivery.said);
        }
        Self(status)
    }

    pub(super) fn is_named(&self, name: &str) -> bool {
        self.0.name == name
    }
}

impl ChannelStatus {
    fn note(&mut self, result: Attempt, at: Timestamp, said: &str) {
        self.state = match result {
            Attempt::Delivered => ChannelState::Ok,
            Attempt::Failed => ChannelState::Failing,
            Attempt::Rejected => ChannelState::Rejecting,
        };
        match result {
            Attempt::Delivered => self.last_success = Some(at),
            Attempt::Failed | Attempt::Rejected => self.last_error = Some((at, said.to_owned())),
        }
    }
}

/// What driver and others share.
#[derive(Debug)]
pub(super) struct Shared {
    channels: Mutex<Vec<Channel>>,
    deliveries: Mutex<DeliveryLog>,
    /// Why what was told cannot be written down, if it cannot.
    unsaved: Mutex<Option<String>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change is complete before anything that could panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn new(channels: Vec<Channel>, deliveries: DeliveryLog) -> Self {
        let (channels, deliveries) = (Mutex::new(channels), Mutex::new(deliveries));
        Self { channels, deliveries, unsaved: Mutex::default() }
    }

    /// Notes an attempt; gives how the channel was before it.
    pub(super) fn note(&self, channel: usize, delivery: Delivery) -> std::io::Result<ChannelState> {
        let mut before = ChannelState::Idle;
        if let Some(Channel(status)) = lock(&self.channels).get_mut(channel) {
            before = status.state;
            status.note(delivery.result, delivery.ended_at(), &delivery.said);
        }
        lock(&self.deliveries).add(delivery).map(|()| before)
    }

    pub(super) fn set_waiting(&self, waiting: &[Waiting]) {
        for (Channel(status), waiting) in lock(&self.channels).iter_mut().zip(waiting) {
            status.waiting = waiting.messages;
            status.oldest = waiting.oldest;
        }
    }

    pub(super) fn set_unsaved(&self, why: Option<String>) {
        *lock(&self.unsaved) = why;
    }
}

/// What an address said to a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestAnswer {
    /// Which of the channel's addresses, from 0.
    pub address: usize,
    /// What came of it.
    pub outcome: Outcome,
    /// In its words.
    pub said: String,
    /// How long it took.
    pub took: Duration,
}

impl TestAnswer {
    pub(super) fn new(address: usize, answer: Answer, took: Duration) -> Self {
        Self { address, outcome: answer.outcome, said: answer.said, took }
    }
}

/// What others can ask; clones ask the same.
#[derive(Clone, Debug)]
pub struct Handle {
    shared: Arc<Shared>,
    asking: mpsc::Sender<Ask>,
}

impl Handle {
    pub(super) const fn new(shared: Arc<Shared>, asking: mpsc::Sender<Ask>) -> Self {
        Self { shared, asking }
    }

    /// All channels, as the configuration has them.
    #[must_use]
    pub fn channels(&self) -> Vec<ChannelStatus> {
        lock(&self.shared.channels).iter().map(|Channel(status)| status.clone()).collect()
    }

    /// Attempts to send, the latest first.
    #[must_use]
    pub fn deliveries(&self, filter: &DeliveryFilter) -> Vec<Delivery> {
        lock(&self.shared.deliveries).find(filter)
    }

    /// Why what was told cannot be written down, if it cannot: a crash would repeat it.
    #[must_use]
    pub fn unsaved(&self) -> Option<String> {
        lock(&self.shared.unsaved).clone()
    }

    /// Sends a test message by a channel, to each of its addresses, and waits for what they say. `None`
    /// if too many are tested at once, or the service stops.
    ///
    /// # Cancel safety
    /// The message may go out all the same.
    pub async fn test(&self, channel: &str) -> Option<Vec<TestAnswer>> {
        let (reply, answer) = oneshot::channel();
        let ask = Ask { channel: channel.to_owned(), reply };
        self.asking.try_send(ask).ok()?;
        answer.await.ok()
    }
}
