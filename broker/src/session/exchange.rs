//! What a session asks of the broker around it.

use bellwire_model::{QoS, Timestamp, TopicFilter};

use crate::access::Subscribing;
use crate::codec::control::{Own, RetainFlag, SendRetained, Taken};
use crate::flow::{Fresh, Given, Received};
use crate::message::Routed;
use crate::retained::RetainFull;
use crate::share::Filter;

/// How a client wants the messages of one subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SubscribeOptions {
    /// The highest quality of service.
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

/// The broker as one session sees it. Every call returns at once. Some note changes that must be
/// durable before what is answered to them, or to anything behind them, is sent.
pub(crate) trait Exchange {
    /// The time, for what expires.
    fn now(&self) -> Timestamp;

    /// Whether changes were noted that are not on their way to the log.
    fn has_changes(&self) -> bool;

    /// Whether publishes on `topic`, a valid topic name, are telemetry and go to the log.
    fn claims(&self, topic: &str) -> bool;

    /// Changes whenever [`Exchange::claims`] may answer otherwise than before.
    fn claims_version(&self) -> u64 {
        0
    }

    /// A publish on `topic`, one of telemetry, is refused.
    fn refused(&self, topic: &str) {
        let _ = topic;
    }

    /// Whether the client may publish on `topic`, a valid topic name.
    fn may_publish(&self, topic: &str) -> bool;

    /// Whether the client may subscribe to `filter`, which is the part behind the group of a shared
    /// subscription.
    fn subscribing(&self, filter: &TopicFilter) -> Subscribing;

    /// Whether anyone subscribes to anything: if not, [`Exchange::route`] can be left out.
    fn has_subscribers(&self) -> bool;

    /// Passes a message on to whoever subscribes to its topic.
    fn route(&mut self, message: &Routed<'_>);

    /// Keeps a message for whoever subscribes later.
    ///
    /// # Errors
    /// If there are as many as there may be.
    fn retain(&mut self, message: &Routed<'_>) -> Result<(), RetainFull>;

    /// Adds or replaces a subscription of this client.
    ///
    /// # Errors
    /// If the client has as many as it may.
    fn subscribe(
        &mut self,
        filter: Filter,
        options: SubscribeOptions,
        retained: SendRetained,
    ) -> Result<(), TooMany>;

    /// Ends a subscription of this client.
    fn unsubscribe(&mut self, filter: &str) -> Unsubscribed;

    /// Takes a QoS 2 publish of this client.
    fn take(&mut self, packet_id: u16) -> Fresh;

    /// The client released its QoS 2 publish, or it was refused.
    fn give(&mut self, packet_id: u16) -> Given;

    /// How many QoS 2 publishes the client has not released.
    fn n_unreleased(&self) -> usize;

    /// The client sent PUBACK.
    fn acknowledged(&mut self, packet_id: u16);

    /// The client sent PUBREC.
    fn received(&mut self, packet_id: u16, taken: Taken) -> Received;

    /// The client sent PUBCOMP.
    fn completed(&mut self, packet_id: u16);

    /// The client leaves, and its session shall live this long, in seconds.
    fn set_expiry(&mut self, expiry_s: u32);
}
