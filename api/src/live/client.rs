//! One client of the live feed, whatever it speaks: what it has seen and what waits for it.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::live::feed::Overrun;
use crate::live::frames::{Frame, LiveReading};
use crate::live::hub::Hub;
use crate::live::inbox::Inbox;
use crate::live::interest::Subscription;

/// The most transitions, and the most readings, that are taken in one go: bounds how long a lock
/// is held and how much is written at once.
pub(crate) const BATCH_MAX: usize = 256;

/// A client as the hub sees it.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) id: u64,
    /// Permits one wake-up: something may wait.
    wake: Notify,
    inbox: Mutex<Inbox>,
}

impl Client {
    pub(crate) fn new(id: u64, readings_max: usize) -> Self {
        Self { id, wake: Notify::new(), inbox: Mutex::new(Inbox::new(readings_max)) }
    }

    /// Tells the client that something may wait for it.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Leaves a reading for the client; returns how many were conflated for it.
    pub(crate) fn leave(&self, reading: Arc<LiveReading>) -> usize {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner).push(reading)
    }
}

/// A client's own end: it leaves the hub when dropped.
#[derive(Debug)]
pub(crate) struct Subscriber {
    hub: Arc<Hub>,
    client: Arc<Client>,
    /// The number of the first transition that was not yet taken.
    next: u64,
    subscription: Subscription,
}

/// What waits for a client.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    /// In order; transitions first.
    pub(crate) frames: Vec<Frame>,
    /// Whether there is more, so that one need not wait to be woken.
    pub(crate) more: bool,
}

impl Subscriber {
    pub(crate) fn new(hub: Arc<Hub>, client: Arc<Client>) -> Self {
        Self { hub, client, next: 0, subscription: Subscription::Nothing }
    }

    pub(crate) fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// Goes on from transition number `next`.
    pub(crate) fn go_on_from(&mut self, next: u64) {
        self.next = next;
    }

    /// How many transitions wait.
    pub(crate) fn lag(&self) -> u64 {
        self.hub.with_feed(|feed| feed.head()).saturating_sub(self.next)
    }

    /// Takes what waits.
    ///
    /// # Errors
    /// [`Overrun`] if transitions were lost to this client: it must come back with its cursor.
    pub(crate) fn take(&mut self) -> Result<Waiting, Overrun> {
        let mut waiting = Waiting::default();
        self.hub.with_feed(|feed| {
            let entries = feed.since(self.next, BATCH_MAX)?;
            waiting.frames.extend(entries.map(|entry| Frame::Transition(Arc::clone(entry))));
            self.next += waiting.frames.len() as u64;
            waiting.more = feed.head() > self.next;
            Ok(())
        })?;
        if !matches!(self.subscription, Subscription::Nothing) {
            let mut inbox = self.client.inbox.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.frames.extend(inbox.take(BATCH_MAX).map(Frame::Reading));
            waiting.more |= !inbox.is_empty();
        }
        Ok(waiting)
    }

    /// Waits until something may wait. Look with [`Subscriber::take`] first.
    ///
    /// # Cancel safety
    /// Cancel safe: a wake-up that was not awaited is kept.
    pub(crate) async fn woken(&self) {
        self.client.wake.notified().await;
    }

    /// Asks for other readings.
    pub(crate) fn subscribe(&mut self, subscription: Subscription) {
        self.hub.change_interest(&self.client, &self.subscription, &subscription);
        self.subscription = subscription;
        self.client.inbox.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.hub.leave(&self.client, &self.subscription);
    }
}
