//! What connections share: who is connected under which name, who subscribes to what, and the way
//! of a message from one to the others.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bellwire_model::{ClientId, QoS, TopicFilter};
use hashbrown::HashMap;
use tracing::warn;

use crate::close::CloseKind;
use crate::codec::control::{Own, RetainFlag};
use crate::config::Limits;
use crate::mailbox::{Mailbox, MailboxLimits, Posted, Stop};
use crate::message::{Message, Outgoing, Routed};
use crate::metrics::Metrics;
use crate::session::exchange::SubscribeOptions;
use crate::subscriptions::{Subscription, Subscriptions};

/// What is kept with a subscription.
#[derive(Debug)]
struct Subscriber {
    mailbox: Arc<Mailbox>,
    options: SubscribeOptions,
}

#[derive(Debug, Default)]
struct Connections {
    by_id: HashMap<u64, Arc<Mailbox>>,
    by_client: HashMap<ClientId, u64>,
    stop: Stop,
}

/// What connections share.
#[derive(Debug)]
pub(crate) struct Hub {
    connections: Mutex<Connections>,
    subscriptions: RwLock<Subscriptions<Subscriber>>,
    /// `subscriptions.len()`, to be read without the lock.
    n_subscriptions: AtomicUsize,
    next_id: AtomicU64,
    mailbox_limits: MailboxLimits,
    metrics: Metrics,
}

impl Hub {
    /// No connections yet.
    pub(crate) fn new(limits: &Limits, metrics: Metrics) -> Self {
        Self {
            connections: Mutex::default(),
            subscriptions: RwLock::default(),
            n_subscriptions: AtomicUsize::new(0),
            next_id: AtomicU64::new(1),
            mailbox_limits: MailboxLimits {
                messages_max: limits.outbox_messages_max,
                bytes_max: limits.outbox_bytes_max,
            },
            metrics,
        }
    }

    fn connections(&self) -> std::sync::MutexGuard<'_, Connections> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new connection joins; it must [`Hub::leave`].
    pub(crate) fn join(&self) -> Arc<Mailbox> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let mailbox = Arc::new(Mailbox::new(id, self.mailbox_limits));
        let mut connections = self.connections();
        connections.by_id.insert(id, Arc::clone(&mailbox));
        mailbox.stop(connections.stop);
        mailbox
    }

    /// The connection of `mailbox` now speaks for `client`; whichever did before is closed.
    /// [MQTT-3.1.4-3]
    pub(crate) fn name(&self, mailbox: &Mailbox, client: &ClientId) {
        if mailbox.client.set(client.clone()).is_err() {
            return; // A session lets CONNECT through once.
        }
        let mut connections = self.connections();
        let old = connections.by_client.insert(client.clone(), mailbox.id);
        let old = old.and_then(|id| connections.by_id.get(&id)).map(Arc::clone);
        drop(connections);
        if let Some(old) = old {
            old.close(CloseKind::TakenOver);
        }
    }

    /// The connection of `mailbox` is gone, and `filters` are its subscriptions.
    pub(crate) fn leave(&self, mailbox: &Mailbox, filters: &[TopicFilter]) {
        for filter in filters {
            self.unsubscribe(mailbox, filter.as_str());
        }
        let mut connections = self.connections();
        connections.by_id.remove(&mailbox.id);
        if let Some(client) = mailbox.client.get()
            && connections.by_client.get(client) == Some(&mailbox.id)
        {
            connections.by_client.remove(client);
        }
    }

    /// How many connections there are.
    pub(crate) fn n_connections(&self) -> usize {
        self.connections().by_id.len()
    }

    /// How many subscriptions there are.
    pub(crate) fn n_subscriptions(&self) -> usize {
        self.n_subscriptions.load(Ordering::Relaxed)
    }

    /// Tells every connection, and each that joins later, that the service stops.
    pub(crate) fn stop(&self, stop: Stop) {
        let mut connections = self.connections();
        connections.stop = stop;
        for mailbox in connections.by_id.values() {
            mailbox.stop(stop);
        }
    }

    /// Adds or replaces a subscription.
    pub(crate) fn subscribe(
        &self,
        mailbox: &Arc<Mailbox>,
        filter: &TopicFilter,
        options: SubscribeOptions,
    ) {
        let subscriber = Subscriber { mailbox: Arc::clone(mailbox), options };
        let mut subscriptions = self.subscriptions.write().unwrap_or_else(PoisonError::into_inner);
        subscriptions.insert(mailbox.id, filter, subscriber);
        self.counted(&subscriptions);
    }

    /// Ends a subscription, if there is one.
    pub(crate) fn unsubscribe(&self, mailbox: &Mailbox, filter: &str) {
        let mut subscriptions = self.subscriptions.write().unwrap_or_else(PoisonError::into_inner);
        subscriptions.remove(mailbox.id, filter);
        self.counted(&subscriptions);
    }

    fn counted(&self, subscriptions: &Subscriptions<Subscriber>) {
        let n = subscriptions.len();
        self.n_subscriptions.store(n, Ordering::Relaxed);
        self.metrics.subscriptions.set(i64::try_from(n).unwrap_or(i64::MAX));
    }

    /// Passes a message of connection `from` (`None`: of the service itself) to every subscriber
    /// of its topic, once each; gives to how many.
    pub(crate) fn route(&self, from: Option<u64>, routed: &Routed<'_>) -> usize {
        if self.n_subscriptions() == 0 {
            return 0;
        }
        let subscriptions = self.subscriptions.read().unwrap_or_else(PoisonError::into_inner);
        let mut hits: Vec<&Subscription<Subscriber>> = Vec::new();
        subscriptions.matches(routed.topic, &mut |hit| {
            // [MQTT-3.8.3-3] No Local
            if hit.value.options.own == Own::Delivered || Some(hit.id) != from {
                hits.push(hit);
            }
        });
        if hits.is_empty() {
            return 0;
        }
        hits.sort_by_key(|hit| hit.id);
        let message = Message::new(routed);
        hits.chunk_by(|a, b| a.id == b.id).map(|same| self.post(&message, routed, same)).count()
    }

    /// Leaves a message with one subscriber, whose matching subscriptions are `same`: once, at
    /// their highest quality of service. [MQTT-3.3.5-1]
    fn post(
        &self,
        message: &Arc<Message>,
        routed: &Routed<'_>,
        same: &[&Subscription<Subscriber>],
    ) {
        let options = || same.iter().map(|hit| &hit.value.options);
        let qos = options().map(|it| it.qos).max().unwrap_or(QoS::AtMostOnce).min(routed.qos);
        let outgoing = Outgoing {
            message: Arc::clone(message),
            qos,
            retain: routed.retain && options().any(|it| it.retain == RetainFlag::Kept),
            subscription_ids: options().filter_map(|it| it.id).collect(),
        };
        let Some(mailbox) = same.first().map(|hit| &hit.value.mailbox) else { return };
        match mailbox.post(outgoing) {
            Posted::Queued | Posted::Closing => {}
            Posted::Dropped => self.metrics.dropped_outbox_full.inc(),
            Posted::Overflowed => {
                let id = mailbox.client.get().map_or("", ClientId::as_str);
                warn!(client.id = id, "Closing `{id}`: it does not read its QoS 1 messages.");
            }
        }
    }
}
