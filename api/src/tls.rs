//! What the listener for HTTPS needs: settings that may be replaced while connections go on.

use std::fmt::Debug;
use std::sync::Arc;

pub use tokio_rustls::rustls::ServerConfig;

/// What is spoken within TLS, the best first (ALPN).
pub const PROTOCOLS: &[&[u8]] = &[H2, b"http/1.1"];

/// HTTP/2.
pub(crate) const H2: &[u8] = b"h2";

/// Knows our certificate. Each handshake asks for the settings that are current when it begins.
pub trait TlsSettings: Send + Sync + Debug {
    /// The settings for the next handshake; they offer [`PROTOCOLS`].
    fn current(&self) -> Arc<ServerConfig>;
}
