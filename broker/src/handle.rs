//! The broker as the rest of the service sees it: a place to publish, and numbers.

use std::sync::Arc;

use bellwire_model::{Outcome, QoS, check_topic};

use crate::access::Principal;
use crate::error::Error;
use crate::hub::Hub;
use crate::letters::{Letter, Letters, Posted};
use crate::message::Routed;
use crate::ops::Effects;
use crate::presence::Presences;

/// Publishes to subscribers from inside the service. Clones speak to the same broker.
#[derive(Clone, Debug)]
pub struct BrokerHandle {
    hub: Arc<Hub>,
}

impl BrokerHandle {
    pub(crate) fn new(hub: Arc<Hub>) -> Self {
        Self { hub }
    }

    /// Passes a message on to every subscriber of `topic` that is connected and whose session does not
    /// outlive its connection, and gives to how many. It is sent at the lower of `qos` and what each
    /// subscriber asked for, and does not go to the log.
    ///
    /// # Errors
    /// [`Error::Publish`] if `topic` is no topic name.
    pub fn publish(&self, topic: &str, payload: &[u8], qos: QoS) -> Result<usize, Error> {
        check_topic(topic).map_err(|source| Error::Publish { topic: topic.into(), source })?;
        let properties = &[];
        let routed = Routed { topic, properties, payload, qos, retain: false, expires_at: None };
        let mut effects = Effects::default();
        let n_reached = self.hub.route(None, &routed, &mut effects);
        // What is not durable is not left for sessions that are kept: their room is given back.
        effects.settle(Outcome::Retry);
        Ok(n_reached)
    }

    /// Posts a letter at QoS 1, or 0 where the client subscribes so. What becomes of it, and when it
    /// would be worth posting again, [`BrokerHandle::letters`] tells.
    ///
    /// # Errors
    /// [`Error::Publish`] if its topic is no topic name.
    pub fn post(&self, letter: &Letter<'_>) -> Result<Posted, Error> {
        let topic = letter.topic;
        check_topic(topic).map_err(|source| Error::Publish { topic: topic.into(), source })?;
        Ok(self.hub.post(letter))
    }

    /// Takes a letter back wherever it waits and was not sent. When this returns, it was sent before,
    /// and [`BrokerHandle::letters`] says so, or never is unless it is posted again.
    pub fn withdraw(&self, topic: &str, id: u128) {
        self.hub.withdraw(topic, id);
    }

    /// What is known of letters.
    #[must_use]
    pub fn letters(&self) -> Arc<Letters> {
        Arc::clone(&self.hub.letters)
    }

    /// Closes every connection of these principals, because what they came in by is not valid any
    /// more; gives how many that were. An MQTT 5 client is told `Not authorized`.
    pub fn disconnect(&self, principals: &[Principal]) -> usize {
        if principals.is_empty() { 0 } else { self.hub.disconnect(principals) }
    }

    /// Which devices are connected.
    #[must_use]
    pub fn presences(&self) -> Arc<Presences> {
        Arc::clone(&self.hub.presences)
    }

    /// How many connections there are, those included that have not sent CONNECT yet.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.hub.n_connections()
    }

    /// How many subscriptions there are.
    #[must_use]
    pub fn subscriptions(&self) -> usize {
        self.hub.n_subscriptions()
    }
}
