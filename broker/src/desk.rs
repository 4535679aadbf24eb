//! A connection's place in the broker: what its session may ask for, and what must be undone when
//! it ends.

use std::sync::Arc;

use bellwire_model::{ClientId, Timestamp, TopicFilter};

use crate::access::{Gatekeeper, Grant};
use crate::config::Limits;
use crate::hub::Hub;
use crate::listener::Inlet;
use crate::mailbox::Mailbox;
use crate::message::Routed;
use crate::metrics::Metrics;
use crate::session::exchange::{Exchange, SubscribeOptions, TooMany, Unsubscribed};

/// What all connections of a broker share.
#[derive(Debug)]
pub(crate) struct Shared<I> {
    pub(crate) inlet: Arc<I>,
    pub(crate) gatekeeper: Arc<dyn Gatekeeper>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) metrics: Metrics,
    /// When the broker started, to tell the names it assigns from those of an earlier start.
    pub(crate) started_at: Timestamp,
}

/// A connection's place in the broker; dropping it gives it up.
#[derive(Debug)]
pub(crate) struct Desk<I> {
    pub(crate) shared: Arc<Shared<I>>,
    pub(crate) mailbox: Arc<Mailbox>,
    /// What the client may do, once it is admitted.
    pub(crate) grant: Option<Grant>,
    filters: Vec<TopicFilter>,
    has_left: bool,
}

impl<I> Desk<I> {
    /// Takes a place for a new connection.
    pub(crate) fn open(shared: Arc<Shared<I>>) -> Self {
        shared.metrics.connections_opened.inc();
        shared.metrics.connections.inc();
        let mailbox = shared.hub.join();
        Self { shared, mailbox, grant: None, filters: Vec::new(), has_left: false }
    }

    /// A client identifier for a client that brings none. [MQTT-3.1.3-6]
    pub(crate) fn assign(&self) -> ClientId {
        let text = format!("auto-{:x}-{}", self.shared.started_at.as_micros(), self.mailbox.id);
        ClientId::new(&text).expect("letters, digits and hyphens are a valid name")
    }

    /// Ends the connection's subscriptions, and frees its name.
    pub(crate) fn leave(&mut self) {
        if !self.has_left {
            self.has_left = true;
            self.shared.hub.leave(&self.mailbox, &self.filters);
        }
    }
}

impl<I> Drop for Desk<I> {
    fn drop(&mut self) {
        self.leave();
        self.shared.metrics.connections.dec();
    }
}

impl<I: Inlet> Exchange for Desk<I> {
    fn claims(&self, topic: &str) -> bool {
        self.shared.inlet.claims(topic)
    }

    fn may_publish(&self, topic: &str) -> bool {
        self.grant.as_ref().is_some_and(|grant| grant.may_publish(topic))
    }

    fn may_subscribe(&self, filter: &TopicFilter) -> bool {
        self.grant.as_ref().is_some_and(|grant| grant.may_subscribe(filter))
    }

    fn has_subscribers(&self) -> bool {
        self.shared.hub.n_subscriptions() > 0
    }

    fn route(&mut self, message: &Routed<'_>) {
        self.shared.hub.route(Some(self.mailbox.id), message);
    }

    fn subscribe(&mut self, filter: TopicFilter, options: SubscribeOptions) -> Result<(), TooMany> {
        let is_new = !self.filters.contains(&filter);
        if is_new && self.filters.len() >= self.shared.limits.subscriptions_per_client_max {
            return Err(TooMany);
        }
        self.shared.hub.subscribe(&self.mailbox, &filter, options);
        if is_new {
            self.filters.push(filter);
        }
        Ok(())
    }

    fn unsubscribe(&mut self, filter: &str) -> Unsubscribed {
        let Some(index) = self.filters.iter().position(|it| it.as_str() == filter) else {
            return Unsubscribed::Absent;
        };
        self.filters.swap_remove(index);
        self.shared.hub.unsubscribe(&self.mailbox, filter);
        Unsubscribed::Removed
    }
}
