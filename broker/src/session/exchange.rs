//! What a session asks of the broker around it.

use bellwire_model::{QoS, TopicFilter};

use crate::codec::control::{Own, RetainFlag};
use crate::message::Routed;

/// How a client wants the messages of one subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SubscribeOptions {
    /// The highest quality of service, 0 or 1.
    pub(crate) qos: QoS,
    /// Whether its own publishes come back.
    pub(crate) own: Own,
    /// What becomes of RETAIN.
    pub(crate) retain: RetainFlag,
    /// The subscription's identifier, if the client gave one.
    pub(crate) id: Option<u32>,
}

/// The client has as many subscriptions as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooMany;

/// Whether a subscription existed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsubscribed {
    /// It did and is gone.
    Removed,
    /// It did not.
    Absent,
}

/// The broker as one session sees it. Every call returns at once.
pub(crate) trait Exchange {
    /// Whether publishes on `topic`, a valid topic name, are telemetry and go to the log.
    fn claims(&self, topic: &str) -> bool;

    /// Whether the client may publish on `topic`, a valid topic name.
    fn may_publish(&self, topic: &str) -> bool;

    /// Whether the client may subscribe to `filter`, which is the part behind the group of a shared
    /// subscription.
    fn may_subscribe(&self, filter: &TopicFilter) -> bool;

    /// Whether anyone subscribes to anything: if not, [`Exchange::route`] can be left out.
    fn has_subscribers(&self) -> bool;

    /// Passes a message on to whoever subscribes to its topic.
    fn route(&mut self, message: &Routed<'_>);

    /// Adds or replaces a subscription of this client.
    ///
    /// # Errors
    /// If the client has as many as it may.
    fn subscribe(&mut self, filter: TopicFilter, options: SubscribeOptions) -> Result<(), TooMany>;

    /// Ends a subscription of this client.
    fn unsubscribe(&mut self, filter: &str) -> Unsubscribed;
}
