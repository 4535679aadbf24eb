//! What may go wrong before the MQTT server runs, or when the service itself publishes.

use std::io;
use std::net::SocketAddr;

use bellwire_model::TopicError;

/// An operation of the MQTT server that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address cannot be listened on: taken, not ours, or not allowed.
    #[error("cannot listen for MQTT on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A configured number is too small.
    #[error("{key} is {value} and must be at least {least}")]
    ConfigTooSmall {
        /// Which.
        key: &'static str,
        /// What it is.
        value: usize,
        /// What it must at least be.
        least: usize,
    },
    /// A configured number is too large.
    #[error("{key} is {value} and must be at most {most}")]
    ConfigTooLarge {
        /// Which.
        key: &'static str,
        /// What it is.
        value: usize,
        /// What it may at most be.
        most: usize,
    },
    /// The service itself wants to publish where nobody may.
    #[error("cannot publish to `{topic}`")]
    Publish {
        /// Where.
        topic: Box<str>,
        /// Why not.
        #[source]
        source: TopicError,
    },
}
