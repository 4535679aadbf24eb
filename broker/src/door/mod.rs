//! What a connection passes before MQTT begins: limits, the word of a proxy, TLS, the upgrade to a
//! WebSocket. All of it happens in the connection's own task and within one deadline; the loop that
//! takes connections waits for none of it.

pub(crate) mod config;
mod entrance;
mod frames;
mod identity;
pub(crate) mod metrics;
mod networks;
mod proxy;
mod sources;
mod tls;
pub(crate) mod turnstile;
mod upgrade;
mod websocket;

pub(crate) use entrance::{Callers, Door, Way};
pub use metrics::TlsMetrics;
pub use tls::{Reload, TlsError, TlsFacts, TlsHandle, look as look_at_tls};

/// What is spoken under MQTT at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Nothing: plain TCP.
    Tcp,
    /// TLS.
    Tls,
    /// WebSocket.
    WebSocket,
    /// WebSocket over TLS.
    WebSocketTls,
}

impl Transport {
    /// Whether it is over TLS.
    #[must_use]
    pub const fn has_tls(self) -> bool {
        matches!(self, Self::Tls | Self::WebSocketTls)
    }

    /// The scheme of its URLs.
    #[must_use]
    pub const fn scheme(self) -> &'static str {
        match self {
            Self::Tcp => "mqtt",
            Self::Tls => "mqtts",
            Self::WebSocket => "ws",
            Self::WebSocketTls => "wss",
        }
    }
}
