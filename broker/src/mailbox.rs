//! What others leave for a connection: settled receipts, the wish that it end, and word that its
//! session's outbox has something.
//!
//! Queue *mailbox*: one per connection; at most as many receipts as the connection has deliveries
//! out, which its session bounds.

use std::mem;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;

use bellwire_model::{ClientId, Outcome};

use crate::access::{Grant, Principal};
use crate::close::CloseKind;
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

#[derive(Debug, Default)]
struct Inner {
    waker: Option<Waker>,
    settled: Vec<(Ticket, Outcome)>,
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
    /// What it may do, once it is proven who that is.
    pub(crate) grant: OnceLock<Grant>,
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
    pub(crate) fn new(id: u64) -> Self {
        Self { id, client: OnceLock::new(), grant: OnceLock::new(), inner: Mutex::default() }
    }

    /// Who the client is, once it is proven.
    pub(crate) fn principal(&self) -> Option<&Principal> {
        self.grant.get().map(Grant::principal)
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

    /// Leaves word that the session's outbox has something.
    pub(crate) fn wake(&self) {
        self.leave(|_| ());
    }

    /// Takes what was left. `settled` is filled with receipts. From now on `waker` is woken when
    /// something is left.
    pub(crate) fn collect(&self, waker: &Waker, settled: &mut Vec<(Ticket, Outcome)>) -> Collected {
        let mut inner = self.lock();
        match &mut inner.waker {
            Some(known) if known.will_wake(waker) => {}
            known => *known = Some(waker.clone()),
        }
        mem::swap(&mut inner.settled, settled);
        Collected { close: inner.close, stop: inner.stop }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

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
        let mailbox = Mailbox::new(1);
        for expected in [1, 2] {
            mailbox.collect(&waker, &mut Vec::new());
            mailbox.wake();
            mailbox.wake();
            mailbox.stop(Stop::Settled);
            assert_eq!(count.0.load(Ordering::Relaxed), expected);
        }
    }
}
