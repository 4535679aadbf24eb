//! What connections share: who is connected under which name, the sessions, who subscribes to what,
//! and what is retained.
//!
//! Locks are taken in this order, and none is held while one before it is taken: registry, topics,
//! retained messages, one outbox, one mailbox.

mod image;
mod post;
mod registry;
mod route;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use hashbrown::HashSet;

use self::registry::Registry;
use self::route::Topics;
use crate::access::Principal;
use crate::close::CloseKind;
use crate::config::Limits;
use crate::flow::FlowLimits;
use crate::letters::Letters;
use crate::mailbox::{Mailbox, Stop};
use crate::metrics::Metrics;
use crate::presence::Presences;
use crate::retained::{RetainLimits, RetainedMessages};

pub(crate) use self::image::ImageError;
pub(crate) use self::registry::{Opening, Parting};

/// What connections share.
#[derive(Debug)]
pub(crate) struct Hub {
    registry: Mutex<Registry>,
    topics: RwLock<Topics>,
    retained: Mutex<RetainedMessages>,
    /// How many subscriptions there are, to be read without the lock.
    n_subscriptions: AtomicUsize,
    next_id: AtomicU64,
    flow_limits: FlowLimits,
    retain_limits: RetainLimits,
    pub(crate) presences: Arc<Presences>,
    pub(crate) letters: Arc<Letters>,
    sessions_max: usize,
    subscriptions_max: usize,
    metrics: Metrics,
}

impl Hub {
    /// No connections and no sessions yet.
    pub(crate) fn new(limits: &Limits, metrics: Metrics) -> Self {
        Self {
            registry: Mutex::default(),
            topics: RwLock::default(),
            retained: Mutex::default(),
            n_subscriptions: AtomicUsize::new(0),
            next_id: AtomicU64::new(1),
            flow_limits: FlowLimits {
                messages_max: limits.outbox_messages_max,
                bytes_max: limits.outbox_bytes_max,
            },
            retain_limits: limits.retain,
            presences: Arc::default(),
            letters: Arc::default(),
            sessions_max: limits.sessions_max,
            subscriptions_max: limits.subscriptions_per_client_max,
            metrics,
        }
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn retained(&self) -> MutexGuard<'_, RetainedMessages> {
        self.retained.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn new_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// A new connection joins; it must [`Hub::leave`].
    pub(crate) fn join(&self) -> Arc<Mailbox> {
        let id = self.new_id();
        let mailbox = Arc::new(Mailbox::new(id));
        let mut registry = self.registry();
        registry.connections.insert(id, Arc::clone(&mailbox));
        mailbox.stop(registry.stop);
        mailbox
    }

    /// A connection is gone.
    pub(crate) fn leave(&self, mailbox: &Mailbox) {
        self.registry().connections.remove(&mailbox.id);
    }

    /// Closes every connection of these principals; gives how many that were. Sessions stay.
    pub(crate) fn disconnect(&self, principals: &[Principal]) -> usize {
        let gone: HashSet<&Principal> = principals.iter().collect();
        let registry = self.registry();
        let theirs = registry.connections.values().filter(|mailbox| {
            mailbox.principal().is_some_and(|principal| gone.contains(principal))
        });
        theirs.map(|mailbox| mailbox.close(CloseKind::Revoked)).count()
    }

    /// How many connections there are.
    pub(crate) fn n_connections(&self) -> usize {
        self.registry().connections.len()
    }

    /// How many subscriptions there are.
    pub(crate) fn n_subscriptions(&self) -> usize {
        self.n_subscriptions.load(Ordering::Relaxed)
    }

    /// How many sessions there are that outlive connections.
    pub(crate) fn n_kept(&self) -> usize {
        self.registry().kept.len()
    }

    /// Whether `client` has a session, and whether it is connected.
    #[cfg(test)]
    pub(crate) fn session(
        &self,
        client: &bellwire_model::ClientId,
    ) -> Option<Arc<crate::outbox::Outbox>> {
        self.registry().sessions.get(client).map(Arc::clone)
    }

    /// Tells every connection, and each that joins later, that the service stops.
    pub(crate) fn stop(&self, stop: Stop) {
        let mut registry = self.registry();
        registry.stop = stop;
        for mailbox in registry.connections.values() {
            mailbox.stop(stop);
        }
    }
}
