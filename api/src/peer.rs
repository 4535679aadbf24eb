//! Where a request comes from, and whether others on the way could read it.

use std::net::{IpAddr, Ipv4Addr};

use axum::http::Extensions;

/// Where a request comes from. Every request has one in its extensions before any layer sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    /// The client's address.
    pub(crate) address: IpAddr,
    /// Whether the client speaks TLS: cookies may be marked `Secure`.
    pub(crate) is_secure: bool,
}

impl Peer {
    /// The one that the connection has left; nowhere, in clear, if none has.
    pub(crate) fn of(extensions: &Extensions) -> Self {
        let nowhere = Self { address: IpAddr::V4(Ipv4Addr::UNSPECIFIED), is_secure: false };
        extensions.get().copied().unwrap_or(nowhere)
    }
}
