//! What others leave for a connection: settled receipts, messages, the wish that it end.
//!
//! Queue *mailbox*: one per connection. Receipts: at most as many as the connection has deliveries
//! out, which its session bounds. Messages: `outbox_messages_max` and `outbox_bytes_max`; QoS 0 may
//! take half of each and is dropped and counted beyond; QoS 1 beyond closes the connection.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;

use bellwire_model::{ClientId, Outcome, QoS};

use crate::close::CloseKind;
use crate::message::Outgoing;
use crate::session::acks::Ticket;

/// How a connection shall end because the service stops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stop {
    /// Not at all.
    #[default]
    No,
    /// Once nothing is owed to the client.
    Settled,
    /// At once.
    Now,
}

/// Whether a message found room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Posted {
    /// It waits for the client.
    Queued,
    /// A QoS 0 message found no room and is dropped.
    Dropped,
    /// A QoS 1 message found no room: the connection will close.
    Overflowed,
    /// The connection is closing.
    Closing,
}

/// Most messages and bytes that wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MailboxLimits {
    pub(crate) messages_max: usize,
    pub(crate) bytes_max: usize,
}

#[derive(Debug, Default)]
struct Inner {
    waker: Option<Waker>,
    settled: Vec<(Ticket, Outcome)>,
    messages: VecDeque<Outgoing>,
    bytes: usize,
    close: Option<CloseKind>,
    stop: Stop,
}

/// What others leave for a connection.
#[derive(Debug)]
pub(crate) struct Mailbox {
    /// The connection; never used twice.
    pub(crate) id: u64,
    /// The client, once it is known.
    pub(crate) client: OnceLock<ClientId>,
    limits: MailboxLimits,
    inner: Mutex<Inner>,
}

/// What a connection finds beside messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Collected {
    /// Why it shall close, if it shall.
    pub(crate) close: Option<CloseKind>,
    /// Whether the service stops.
    pub(crate) stop: Stop,
}

impl Mailbox {
    /// An empty mailbox of connection `id`.
    pub(crate) fn new(id: u64, limits: MailboxLimits) -> Self {
        Self { id, client: OnceLock::new(), limits, inner: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the content and wakes the connection, once until it looks.
    fn leave<R>(&self, change: impl FnOnce(&mut Inner) -> R) -> R {
        let mut inner = self.lock();
        let result = change(&mut inner);
        let waker = inner.waker.take();
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
        result
    }

    /// Leaves how the delivery of `ticket` ended.
    pub(crate) fn settle(&self, ticket: Ticket, outcome: Outcome) {
        self.leave(|inner| inner.settled.push((ticket, outcome)));
    }

    /// Leaves the wish that the connection close; the first reason counts.
    pub(crate) fn close(&self, kind: CloseKind) {
        self.leave(|inner| inner.close = inner.close.or(Some(kind)));
    }

    /// Leaves word that the service stops.
    pub(crate) fn stop(&self, stop: Stop) {
        self.leave(|inner| inner.stop = inner.stop.max(stop));
    }

    /// Leaves a message, if there is room.
    pub(crate) fn post(&self, outgoing: Outgoing) -> Posted {
        let share = if outgoing.qos == QoS::AtMostOnce { 2 } else { 1 };
        self.leave(|inner| {
            if inner.close.is_some() {
                return Posted::Closing;
            }
            let bytes = inner.bytes + outgoing.bytes();
            if inner.messages.len() < self.limits.messages_max / share
                && bytes <= self.limits.bytes_max / share
            {
                inner.bytes = bytes;
                inner.messages.push_back(outgoing);
                return Posted::Queued;
            }
            if outgoing.qos == QoS::AtMostOnce {
                return Posted::Dropped;
            }
            inner.close = Some(CloseKind::SlowReader);
            inner.messages = VecDeque::new();
            Posted::Overflowed
        })
    }

    /// Takes what was left. `settled` is filled with receipts; `take` is offered the messages in
    /// order and says whether it took the one it was shown. From now on `waker` is woken when
    /// something is left.
    pub(crate) fn collect(
        &self,
        waker: &Waker,
        settled: &mut Vec<(Ticket, Outcome)>,
        mut take: impl FnMut(&Outgoing) -> Take,
    ) -> Collected {
        let mut inner = self.lock();
        match &mut inner.waker {
            Some(known) if known.will_wake(waker) => {}
            known => *known = Some(waker.clone()),
        }
        mem::swap(&mut inner.settled, settled);
        while let Some(outgoing) = inner.messages.front() {
            if take(outgoing) == Take::Leave {
                break;
            }
            inner.bytes -= outgoing.bytes();
            inner.messages.pop_front();
        }
        Collected { close: inner.close, stop: inner.stop }
    }
}

/// What the owner of a mailbox does with a message it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Take {
    /// It has it.
    Taken,
    /// It stays, with all behind it.
    Leave,
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;
    use crate::message::{Message, Routed};

    fn outgoing(qos: QoS) -> Outgoing {
        let routed = Routed { topic: "ab", properties: &[], payload: b"cd", qos, retain: false };
        let message = Message::new(&routed);
        Outgoing { message, qos, retain: false, subscription_ids: Vec::new() }
    }

    fn mailbox(messages_max: usize, bytes_max: usize) -> Mailbox {
        Mailbox::new(1, MailboxLimits { messages_max, bytes_max })
    }

    #[test]
    fn qos_0_takes_half_the_room_and_is_dropped_beyond() {
        for mailbox in [mailbox(4, 1000), mailbox(100, 16)] {
            assert_eq!(mailbox.post(outgoing(QoS::AtMostOnce)), Posted::Queued);
            assert_eq!(mailbox.post(outgoing(QoS::AtMostOnce)), Posted::Queued);
            assert_eq!(mailbox.post(outgoing(QoS::AtMostOnce)), Posted::Dropped);
            assert_eq!(mailbox.post(outgoing(QoS::AtLeastOnce)), Posted::Queued);
            assert_eq!(mailbox.post(outgoing(QoS::AtLeastOnce)), Posted::Queued);
            assert_eq!(mailbox.post(outgoing(QoS::AtLeastOnce)), Posted::Overflowed);
            assert_eq!(mailbox.post(outgoing(QoS::AtLeastOnce)), Posted::Closing);
            let left = mailbox.collect(Waker::noop(), &mut Vec::new(), |_| Take::Taken);
            assert_eq!(left.close, Some(CloseKind::SlowReader));
        }
    }

    #[test]
    fn what_is_taken_makes_room_and_what_is_left_keeps_its_place() {
        let mailbox = mailbox(2, 1000);
        mailbox.post(outgoing(QoS::AtLeastOnce));
        mailbox.post(outgoing(QoS::AtLeastOnce));
        let mut offered = 0;
        mailbox.collect(Waker::noop(), &mut Vec::new(), |_| {
            offered += 1;
            if offered == 1 { Take::Taken } else { Take::Leave }
        });
        assert_eq!(offered, 2);
        assert_eq!(mailbox.post(outgoing(QoS::AtLeastOnce)), Posted::Queued);
        assert_eq!(mailbox.lock().bytes, 8);
    }

    #[test]
    fn the_owner_is_woken_once_until_it_looks() {
        struct Count(AtomicUsize);
        impl Wake for Count {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&count));
        let mailbox = mailbox(10, 1000);
        for expected in [1, 2] {
            mailbox.collect(&waker, &mut Vec::new(), |_| Take::Taken);
            mailbox.post(outgoing(QoS::AtMostOnce));
            mailbox.post(outgoing(QoS::AtMostOnce));
            mailbox.stop(Stop::Settled);
            assert_eq!(count.0.load(Ordering::Relaxed), expected);
        }
    }
}
