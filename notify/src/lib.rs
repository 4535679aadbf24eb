//! Tells others of alerts: which messages are due, and the channels that bring them to receivers.
//!
//! [`dispatch`] decides, without I/O and without a clock. [`Notifier`] drives it: it follows the
//! transitions, sends what is due, and writes down what was told, so that a crash at any instant
//! repeats a message at worst.

pub mod channels;
pub mod config;
pub mod deliveries;
pub mod dispatch;
mod metrics;
mod notifier;
mod outbox;
mod setup;
pub mod tls;

pub use metrics::Metrics;
pub use notifier::{
    Beginning, ChannelState, ChannelStatus, Handle, Notifier, Parts, Place, Source, SourceError,
    StartError, TestAnswer, Witness, forget,
};
pub use outbox::OutboxError;
