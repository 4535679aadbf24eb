//! Why a connection ends: the word for it in logs and metrics, and the code MQTT 5 has for it.

use std::fmt;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $label:literal, $code:expr,)*) => {
        /// Why a connection ends.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum CloseKind {
            $($(#[$doc])* $name,)*
        }

        impl CloseKind {
            /// Every kind, in order.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The stable word for it: a metric label.
            pub(crate) const fn label(self) -> &'static str {
                match self {
                    $(Self::$name => $label,)*
                }
            }

            /// The reason code of the DISCONNECT that tells an MQTT 5 client, if it is told.
            pub(crate) const fn reason_code(self) -> Option<u8> {
                match self {
                    $(Self::$name => $code,)*
                }
            }
        }
    };
}

kinds! {
    /// The client sent DISCONNECT: its will is forgotten.
    ClientDisconnected = "client_disconnected", None,
    /// The client sent DISCONNECT and asks for its will to be published.
    ClientDisconnectedWithWill = "client_disconnected_with_will", None,
    /// The client closed the connection or the network broke.
    ClientGone = "client_gone", None,
    /// No complete CONNECT came in time.
    ConnectTimeout = "connect_timeout", None,
    /// The CONNECT was answered with a refusal, or was none.
    ConnectRefused = "connect_refused", None,
    /// The gatekeeper said no; it has logged why.
    NotAdmitted = "not_admitted", None,
    /// Nothing came for one and a half times the keepalive.
    KeepaliveExpired = "keepalive_expired", Some(0x8D),
    /// The same client identifier connected anew.
    TakenOver = "taken_over", Some(0x8E),
    /// The bytes are no MQTT packet.
    Malformed = "malformed", Some(0x81),
    /// The packet may not come here or say this.
    Protocol = "protocol_error", Some(0x82),
    /// A packet is larger than allowed.
    PacketTooLarge = "packet_too_large", Some(0x95),
    /// A PUBLISH names a topic that this client may not publish to.
    NotAuthorized = "not_authorized", Some(0x87),
    /// What the client came in by is not valid any more.
    Revoked = "revoked", Some(0x87),
    /// A PUBLISH names a topic that is none, or that is too long or too deep.
    TopicInvalid = "topic_invalid", Some(0x90),
    /// A PUBLISH uses a topic alias that is out of range or means nothing yet.
    TopicAliasInvalid = "topic_alias_invalid", Some(0x94),
    /// A client has more publishes unacknowledged than it may.
    ReceiveMaximumExceeded = "receive_maximum_exceeded", Some(0x93),
    /// The client does not read the QoS 1 and 2 messages it subscribed to.
    SlowReader = "slow_reader", Some(0x97),
    /// A delivery was not taken this time: the client shall connect and send it again.
    NotStored = "not_stored", Some(0x89),
    /// A delivery will never be taken, and MQTT 3.1.1 has no other way to say so.
    Rejected = "rejected", Some(0x97),
    /// The service stops.
    ShuttingDown = "shutting_down", Some(0x8B),
}

impl CloseKind {
    /// Whether the client's will is published. Not where the fault is ours: MQTT 5 lets a server
    /// that shuts down leave it (3.1.2.5), and a will would tell of a device that is well.
    pub(crate) const fn fires_will(self) -> bool {
        !matches!(self, Self::ClientDisconnected | Self::ShuttingDown | Self::NotStored)
    }

    /// Whether the client still listens, so that what we have to say should reach it.
    pub(crate) const fn has_listener(self) -> bool {
        !matches!(
            self,
            Self::ClientDisconnected | Self::ClientDisconnectedWithWill | Self::ClientGone
        )
    }
}

/// Why a connection ends, with what exactly was wrong. [MQTT-4.13.1-1], [MQTT-4.13.2-1]; one
/// client's fault ends one connection, [MQTT3-4.8.0-2].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Close {
    /// What sort of end it is.
    pub(crate) kind: CloseKind,
    /// What exactly was wrong, for a person; may be empty.
    pub(crate) detail: &'static str,
}

impl Close {
    /// Bytes that are no MQTT packet.
    pub(crate) const fn malformed(detail: &'static str) -> Self {
        Self { kind: CloseKind::Malformed, detail }
    }

    /// A packet that may not come here or say this.
    pub(crate) const fn protocol(detail: &'static str) -> Self {
        Self { kind: CloseKind::Protocol, detail }
    }
}

impl From<CloseKind> for Close {
    fn from(kind: CloseKind) -> Self {
        Self { kind, detail: "" }
    }
}

impl fmt::Display for Close {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.label())?;
        if self.detail.is_empty() { Ok(()) } else { write!(f, ": {}", self.detail) }
    }
}
