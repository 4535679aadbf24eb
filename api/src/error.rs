//! Why the API cannot be started.

use std::io;
use std::net::SocketAddr;

/// Why the API cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be listened on: it is taken, say.
    #[error("cannot listen for HTTP on {address}")]
    Bind {
        /// Where it was to listen.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It cannot be read who may come in, or kept where programs on this machine find their token.
    #[error("cannot read who may come in")]
    People(#[source] io::Error),
}
