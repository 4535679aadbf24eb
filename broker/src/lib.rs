//! The MQTT server: MQTT 3.1.1 and 5 on one port, QoS 0, 1 and 2. What arrives on telemetry topics
//! becomes a [`Delivery`](bellwire_model::Delivery) for the log and is acknowledged when its
//! receipt is settled; all topics are passed on to subscribers.
//!
//! A publish's way through: [`listener`] takes the connection, [`door`] brings it through TLS and
//! its like; [`connection`] reads once and gives the bytes to the [`session`], which cuts them with
//! [`codec`] into packets; the telemetry of that one read goes as one delivery through the
//! [`Inlet`]; the receipt, settled by the log's thread, lands in the connection's [`mailbox`] and
//! wakes it; the session releases every answer that is due, in order of arrival; one write sends
//! them. For subscribers the [`hub`] looks into the tree of [`subscriptions`] and leaves the
//! message in their [`outbox`]es.
//!
//! Who may come in, and what it may do then, is the business of [`access`]: its `Grant` is asked for
//! each new topic and each filter.
//!
//! A session may outlive its connection: its outbox, with the pure [`flow`] of messages in it, stays.
//! What changes it then goes into the log with the delivery, as [`ops`], and what is answered or sent
//! because of that waits until it is durable. [`SharedSessions`] gives the whole as bytes and takes
//! it back after a restart.
//!
//! [`bridge`] is the same from the other side: an existing broker is a door too, and we are its client.
//!
//! **Invariant:** knows nothing of readings, the log or the database. The session has no I/O, no
//! async and no clock.

pub mod access;
mod allowance;
pub mod bridge;
mod close;
mod codec;
mod config;
mod connection;
mod courier;
mod desk;
mod door;
mod error;
mod flow;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod handle;
mod hub;
mod letters;
mod listener;
mod mailbox;
mod message;
mod metrics;
mod ops;
mod outbox;
mod peer;
mod presence;
mod rate;
mod refusals;
mod retained;
mod session;
mod sessions;
mod share;
#[cfg(test)]
mod simulation;
mod subscriptions;
mod upkeep;

pub use config::Config;
pub use door::config::{ClientCertificates, DoorConfig, ProxyConfig, RateConfig, TlsConfig};
pub use door::{Reload, TlsError, TlsFacts, TlsHandle, TlsMetrics, Transport, look_at_tls};
pub use error::Error;
pub use handle::BrokerHandle;
pub use letters::{Letter, Letters, News, Posted, Progress, Several, Signed};
pub use listener::{Broker, Inlet};
pub use metrics::Metrics;
pub use peer::Peer;
pub use presence::Presences;
pub use sessions::{SessionsError, SharedSessions};
