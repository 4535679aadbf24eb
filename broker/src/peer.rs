//! Who is at the other end of a connection, as far as the transport tells.

use std::fmt;
use std::net::SocketAddr;

use bellwire_model::DeviceId;

/// The other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Where it connects from; behind a proxy that says so, where its client does.
    pub address: SocketAddr,
    /// The device that the certificate it showed is for, where the listener asks for one.
    pub certificate: Option<DeviceId>,
}

impl Peer {
    /// One that shows no certificate.
    #[must_use]
    pub const fn at(address: SocketAddr) -> Self {
        Self { address, certificate: None }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}
