//! One client of the live feed, whatever it speaks: what it has seen and what waits for it.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use bellwire_model::Cursor;
use bytes::Bytes;
use tokio::sync::Notify;

use crate::auth::within::Within;
use crate::live::feed::Overrun;
use crate::live::filter::Filter;
use crate::live::frames::{Frame, LiveReading};
use crate::live::hub::Hub;
use crate::live::inbox::Inbox;
use crate::live::interest::ReadingSpec;
use crate::live::lane::{Lane, Outlet};
use crate::live::operators::Here;
use crate::live::wire::Coding;

/// The most transitions, and the most readings, that are taken in one go: bounds how long a lock
/// is held and how much is written at once.
pub(crate) const BATCH_MAX: usize = 256;
/// The most transitions that are looked at in one go, wanted or not.
const LOOK_MAX: u64 = 2_048;

/// A client as the hub sees it.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) id: u64,
    /// Permits one wake-up: something may wait.
    wake: Notify,
    /// By which the pump reaches it without waking anybody.
    pub(crate) lane: Lane,
    inbox: Mutex<Inbox>,
}

impl Client {
    pub(crate) fn new(id: u64, readings_max: usize) -> Self {
        let inbox = Mutex::new(Inbox::new(readings_max));
        Self { id, wake: Notify::new(), lane: Lane::default(), inbox }
    }

    /// Tells the client that something may wait for it.
    pub(crate) fn wake(&self) {
        self.lane.call();
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
    /// What a client has seen that has all that was taken.
    cursor: Cursor,
    filter: Arc<Filter>,
    readings: ReadingSpec,
    /// Which news of who is here was taken.
    operators_seen: u64,
    /// Told as long as this lives.
    _here: Here,
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
    pub(crate) fn new(hub: Arc<Hub>, client: Arc<Client>, filter: Arc<Filter>, here: Here) -> Self {
        let cursor = hub.with_feed(|feed| feed.cursor());
        let readings = ReadingSpec::default();
        Self { hub, client, next: 0, cursor, filter, readings, operators_seen: 0, _here: here }
    }

    pub(crate) fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    pub(crate) fn filter(&self) -> &Arc<Filter> {
        &self.filter
    }

    pub(crate) fn readings(&self) -> &ReadingSpec {
        &self.readings
    }

    /// What a client has seen that has all that was taken.
    pub(crate) fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// Goes on from transition number `next`, with everything before it seen.
    pub(crate) fn go_on_from(&mut self, next: u64, cursor: Cursor) {
        self.next = next;
        self.cursor = cursor;
    }

    /// Has seen what is before `cursor`; what comes next is not yet known.
    pub(crate) fn has_seen(&mut self, cursor: Cursor) {
        self.cursor = cursor;
    }

    /// How many transitions wait, wanted or not.
    pub(crate) fn lag(&self) -> u64 {
        self.lag_to(self.hub.with_feed(|feed| feed.head()))
    }

    /// How many transitions before number `head` were not taken.
    pub(crate) const fn lag_to(&self, head: u64) -> u64 {
        head.saturating_sub(self.next)
    }

    /// Takes what waits.
    ///
    /// # Errors
    /// [`Overrun`] if transitions were lost to this client: it must come back with its cursor.
    pub(crate) fn take(&mut self) -> Result<Waiting, Overrun> {
        let mut waiting = Waiting::default();
        waiting.more = self.take_transitions(&mut waiting.frames)?;
        if !self.readings.is_nothing() {
            let mut inbox = self.client.inbox.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.frames.extend(inbox.take(BATCH_MAX).map(Frame::Reading));
            waiting.more |= !inbox.is_empty();
        }
        if let Some(operators) = self.hub.operators_since(&mut self.operators_seen) {
            waiting.frames.push(Frame::Operators(operators));
        }
        Ok(waiting)
    }

    /// Takes the transitions that wait, up to a limit; gives whether there are more.
    ///
    /// # Errors
    /// As [`Subscriber::take`].
    pub(crate) fn take_transitions(&mut self, frames: &mut Vec<Frame>) -> Result<bool, Overrun> {
        let remember_max = self.hub.config().ring_transitions.get();
        self.hub.with_feed(|feed| {
            let first = self.next;
            let entries = feed.since(first, usize::MAX)?;
            self.filter.look_at_all(first, entries, remember_max, |entry, verdict| {
                if frames.len() == BATCH_MAX || self.next - first == LOOK_MAX {
                    return ControlFlow::Break(());
                }
                self.next += 1;
                self.cursor = entry.cursor;
                frames.extend(Frame::of(entry, verdict));
                ControlFlow::Continue(())
            });
            Ok(feed.head() > self.next)
        })
    }

    /// From now on the pump may write to the client itself while [`Subscriber::park`] says so.
    pub(crate) fn open_lane(&self, outlet: Arc<dyn Outlet>, coding: Coding) {
        self.client.lane.open(outlet, coding);
    }

    /// Has taken and sent all that it found: the pump may go on from here. Before anything else is taken
    /// or sent, [`Subscriber::take_back`].
    pub(crate) fn park(&self) {
        self.client.lane.park(self.next, self.cursor);
    }

    /// Goes on from where the pump has come to; gives the rest of what it has begun to write.
    pub(crate) fn take_back(&mut self) -> Option<Bytes> {
        let parked = self.client.lane.take_back()?;
        self.go_on_from(parked.next, parked.cursor);
        parked.rest
    }

    /// Waits until something may wait. Look with [`Subscriber::take`] first.
    ///
    /// # Cancel safety
    /// Cancel safe: a wake-up that was not awaited is kept.
    pub(crate) async fn woken(&self) {
        self.client.wake.notified().await;
    }

    /// What there is for the client at all, whatever it asks for.
    pub(crate) fn within(&self) -> Within {
        self.filter.spec().within.clone()
    }

    /// Asks for other readings.
    pub(crate) fn subscribe(&mut self, readings: ReadingSpec) {
        let readings = ReadingSpec { within: self.within(), ..readings };
        self.hub.change_interest(&self.client, &self.readings, &readings);
        self.readings = readings;
        self.client.inbox.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Asks for other alerts, from the next transition that was not taken on.
    pub(crate) fn filter_by(&mut self, filter: Arc<Filter>) {
        self.filter = filter;
    }

    pub(crate) fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// Counts how long the transitions among these took that a client's socket has just taken.
    pub(crate) fn delivered(&self, frames: &[Frame]) {
        self.hub.delivered(self.client.id, frames.iter().filter_map(Frame::transition));
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.client.lane.shut();
        self.hub.leave(&self.client, &self.filter, &self.readings);
    }
}
