//! The MQTT server: MQTT 3.1.1 and 5 on one port, QoS 0 and 1. What arrives on telemetry topics
//! becomes a [`Delivery`](bellwire_model::Delivery) for the log and is acknowledged when its
//! receipt is settled; all topics are passed on to subscribers.
//!
//! A publish's way through: [`listener`] takes the connection; [`connection`] reads once and gives
//! the bytes to the [`session`], which cuts them with [`codec`] into packets; the telemetry of that
//! one read goes as one delivery through the [`Inlet`]; the receipt, settled by the log's thread,
//! lands in the connection's [`mailbox`] and wakes it; the session releases every acknowledgement
//! that is due, in order of arrival; one write sends them. For subscribers the [`hub`] looks
//! into the tree of [`subscriptions`] and leaves the message in their mailboxes.
//!
//! What is not offered is said as the standard has it: an MQTT 5 client is told in CONNACK (maximum
//! QoS 1, no retained messages, no shared subscriptions, session expiry 0) and disconnected with
//! the reason if it does so nevertheless; from an MQTT 3.1.1 client, which cannot be told, a QoS 2
//! publish closes the connection, and RETAIN is passed over. Session Present is always 0. Wills
//! are published at once: with no session that outlives the connection, no delay applies.
//!
//! **Invariant:** knows nothing of readings, the log or the database. The session has no I/O, no
//! async and no clock.

pub mod access;
mod close;
mod codec;
mod config;
mod connection;
mod desk;
mod error;
mod handle;
mod hub;
mod listener;
mod mailbox;
mod message;
mod metrics;
mod peer;
mod session;
mod subscriptions;

pub use config::Config;
pub use error::Error;
pub use handle::BrokerHandle;
pub use listener::{Broker, Inlet};
pub use metrics::Metrics;
pub use peer::Peer;
