//! What may go wrong before the MQTT server runs, or when the service itself publishes.

use std::io;
use std::net::SocketAddr;

use bellwire_model::TopicError;

use crate::door::TlsError;

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
    /// A key is not set that another one needs.
    #[error("{key} must be set: {why}")]
    ConfigMissing {
        /// Which.
        key: &'static str,
        /// What needs it.
        why: &'static str,
    },
    /// An address is to get PROXY headers, and nothing listens there.
    #[error("proxy.listeners has {address}, which is no address to listen on")]
    ConfigNoListener {
        /// The address.
        address: SocketAddr,
    },
    /// A file of the TLS listeners cannot be used.
    #[error("cannot set up TLS for MQTT")]
    Tls(#[from] TlsError),
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
