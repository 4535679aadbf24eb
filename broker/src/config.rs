//! What an operator may set about the MQTT server, and the same checked.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::codec::connect::ConnectLimits;
use crate::door::Transport;
use crate::door::config::{DoorConfig, DoorLimits, ProxyConfig, RateConfig, TlsConfig};
use crate::error::Error;
use crate::retained::RetainLimits;

/// The MQTT server's part of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Addresses to listen on; MQTT 3.1.1 and 5 on each. Port 0 takes a free one. Default
    /// `["127.0.0.1:1883"]`: there is no encryption.
    pub listen: Vec<SocketAddr>,
    /// Addresses for MQTT over TLS; 8883 is the usual port. Default `[]`. They need `mqtt.tls`.
    pub tls_listen: Vec<SocketAddr>,
    /// Addresses for MQTT over WebSocket, on the paths `/` and `/mqtt`. Default `[]`.
    pub websocket_listen: Vec<SocketAddr>,
    /// Addresses for MQTT over WebSocket over TLS. Default `[]`. They need `mqtt.tls`.
    pub websocket_tls_listen: Vec<SocketAddr>,
    /// Web pages that may connect over WebSocket, as `https://console.example`; `*` is any. Default
    /// `[]`: those of the very host and port they connect to, and whatever is no web page.
    pub websocket_origins: Vec<String>,
    /// Most connections at a time; more are closed as they come. Default 10000: each costs a file
    /// descriptor and a few KB.
    pub connections_max: u32,
    /// Largest packet a connected client may send, in bytes, at least 64. Default 1048576.
    pub packet_bytes_max: usize,
    /// Largest CONNECT, in bytes, at least 64. Default 65536: strangers get less memory than
    /// clients, and a will fits.
    pub connect_bytes_max: usize,
    /// Time for a new connection to send its CONNECT, in milliseconds. Default 10000.
    pub connect_timeout_ms: u64,
    /// How long a closing connection may take to hear why, in milliseconds. Default 1000.
    pub close_timeout_ms: u64,
    /// How long a stopping service waits for unsettled publishes, in milliseconds. Default 5000:
    /// many times what a log takes to sync.
    pub shutdown_timeout_ms: u64,
    /// The longest keepalive of an MQTT 5 client, in seconds: one that promises a longer one, or none,
    /// is told to keep this. Default 0: no limit. MQTT 3.1.1 clients cannot be told.
    pub keep_alive_max_s: u16,
    /// Silence on a TCP connection before the system asks whether the peer lives, in seconds.
    /// Default 60: finds peers that vanished and promised no keepalive.
    pub tcp_keepalive_s: u64,
    /// QoS 1 and 2 publishes a client may have unacknowledged or unreleased, at least 1. An MQTT 5
    /// client is told and disconnected beyond it; from others we stop reading, and disconnect them
    /// if they release nothing. Default 1024: enough for 100,000
    /// publishes a second from one gateway while a sync takes 10 ms.
    pub unacknowledged_publishes_max: u16,
    /// Bytes of QoS 1 telemetry a client may have unacknowledged before we stop reading. Default
    /// 4194304: a sync's worth of large payloads.
    pub unacknowledged_bytes_max: usize,
    /// Messages that may wait for one client, connected or away, at least 2. QoS 0 may take half and
    /// is dropped beyond. QoS 1 and 2 beyond are dropped and counted for a client whose session
    /// outlives its connection; another is disconnected. Default 1000.
    pub outbox_messages_max: usize,
    /// Bytes that may wait for one client, at least twice `packet_bytes_max`; as above. Default
    /// 4194304.
    pub outbox_bytes_max: usize,
    /// QoS 1 and 2 messages sent to a client that it has not acknowledged, at least 1; its own
    /// receive maximum may be lower. Default 100.
    pub inflight_messages_max: u16,
    /// Sessions that outlive their connections; a client that asks for one more is refused. Default
    /// 100000.
    pub sessions_max: usize,
    /// The longest a session may outlive its connection, in seconds; 4294967295 is for ever. A client
    /// that asks for longer gets this, and MQTT 3.1.1 clients without a clean session, which cannot
    /// say. Default 604800: a week.
    pub session_expiry_max_s: u32,
    /// Retained messages, one a topic; a publish that would be one more is not retained, counted, and
    /// refused where MQTT can say so. Default 100000.
    pub retained_messages_max: usize,
    /// Bytes of retained messages; as above. Default 67108864.
    pub retained_bytes_max: usize,
    /// Topic aliases of one connection, in each direction; 0 offers none. Default 32.
    pub topic_aliases_max: u16,
    /// Subscriptions one client may have. Default 100.
    pub subscriptions_per_client_max: usize,
    /// Longest topic and filter, in bytes, 1 to 65535. Default 1024.
    pub topic_bytes_max: usize,
    /// Most levels in a topic and filter, at least 1. Default 32: bounds what a match may cost.
    pub topic_levels_max: usize,
    /// Longest client identifier, in bytes, 23 to 65535. Default 256.
    pub client_id_bytes_max: usize,
    /// Limits for those who are not in yet.
    pub door: DoorConfig,
    /// How much one client may publish.
    pub rate: RateConfig,
    /// Certificates.
    pub tls: TlsConfig,
    /// Proxies that say for whom they connect.
    pub proxy: ProxyConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 1883))],
            tls_listen: Vec::new(),
            websocket_listen: Vec::new(),
            websocket_tls_listen: Vec::new(),
            websocket_origins: Vec::new(),
            connections_max: 10_000,
            packet_bytes_max: 1 << 20,
            connect_bytes_max: 1 << 16,
            connect_timeout_ms: 10_000,
            close_timeout_ms: 1_000,
            shutdown_timeout_ms: 5_000,
            keep_alive_max_s: 0,
            tcp_keepalive_s: 60,
            unacknowledged_publishes_max: 1024,
            unacknowledged_bytes_max: 4 << 20,
            outbox_messages_max: 1_000,
            outbox_bytes_max: 4 << 20,
            inflight_messages_max: 100,
            sessions_max: 100_000,
            session_expiry_max_s: 604_800,
            retained_messages_max: 100_000,
            retained_bytes_max: 64 << 20,
            topic_aliases_max: 32,
            subscriptions_per_client_max: 100,
            topic_bytes_max: 1024,
            topic_levels_max: 32,
            client_id_bytes_max: 256,
            door: DoorConfig::default(),
            rate: RateConfig::default(),
            tls: TlsConfig::default(),
            proxy: ProxyConfig::default(),
        }
    }
}

/// A checked [`Config`], as sessions and connections use it.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) connections_max: u32,
    pub(crate) packet_bytes_max: usize,
    pub(crate) connect_bytes_max: usize,
    pub(crate) connect_timeout: Duration,
    pub(crate) close_timeout: Duration,
    pub(crate) shutdown_timeout: Duration,
    pub(crate) keep_alive_max_s: u16,
    pub(crate) tcp_keepalive: Duration,
    pub(crate) unacknowledged_publishes_max: u16,
    pub(crate) unacknowledged_bytes_max: usize,
    pub(crate) outbox_messages_max: usize,
    pub(crate) outbox_bytes_max: usize,
    pub(crate) inflight_messages_max: u16,
    pub(crate) sessions_max: usize,
    pub(crate) session_expiry_max_s: u32,
    pub(crate) retain: RetainLimits,
    pub(crate) topic_aliases_max: u16,
    pub(crate) subscriptions_per_client_max: usize,
    pub(crate) topic_levels_max: usize,
    pub(crate) connect: ConnectLimits,
    pub(crate) door: DoorLimits,
}

fn at_least(key: &'static str, value: usize, least: usize) -> Result<usize, Error> {
    if value < least { Err(Error::ConfigTooSmall { key, value, least }) } else { Ok(value) }
}

fn at_most(key: &'static str, value: usize, most: usize) -> Result<usize, Error> {
    if value > most { Err(Error::ConfigTooLarge { key, value, most }) } else { Ok(value) }
}

impl Config {
    /// Whether every value is in its range; the rest of start-up does the same and names the key.
    ///
    /// # Errors
    /// [`Error::ConfigTooSmall`], [`Error::ConfigTooLarge`], [`Error::ConfigMissing`],
    /// [`Error::ConfigNoListener`].
    pub fn check(&self) -> Result<(), Error> {
        self.limits().map(drop)
    }

    /// Every address to listen on, with its key and what is spoken there.
    pub fn listeners(&self) -> impl Iterator<Item = (&'static str, Transport, SocketAddr)> + '_ {
        let all = [
            ("mqtt.listen", Transport::Tcp, &self.listen),
            ("mqtt.tls_listen", Transport::Tls, &self.tls_listen),
            ("mqtt.websocket_listen", Transport::WebSocket, &self.websocket_listen),
            ("mqtt.websocket_tls_listen", Transport::WebSocketTls, &self.websocket_tls_listen),
        ];
        all.into_iter().flat_map(|(key, transport, addresses)| {
            addresses.iter().map(move |&address| (key, transport, address))
        })
    }

    /// The same without limits per source and per client.
    #[must_use]
    pub fn without_limits_per_client(mut self) -> Self {
        self.door.handshakes_per_source_max = 0;
        self.door.connections_per_source_max = 0;
        self.door.connects_per_source_per_second_max = 0;
        self.rate.publishes_per_second_max = 0;
        self.rate.bytes_per_second_max = 0;
        self
    }

    /// Whether what is said of the listeners goes together.
    fn check_listeners(&self) -> Result<(), Error> {
        self.tls.check(self.tls_listen.len() + self.websocket_tls_listen.len())?;
        let is_listener =
            |address: &SocketAddr| self.listeners().any(|(_, _, listener)| listener == *address);
        match self.proxy.listeners.iter().find(|address| !is_listener(address)) {
            Some(&address) => Err(Error::ConfigNoListener { address }),
            None => Ok(()),
        }
    }

    pub(crate) fn limits(&self) -> Result<Limits, Error> {
        // What MQTT can carry: a remaining length of 4 bytes, a text of 16 bits.
        const PACKET_BYTES_MAX: usize = 268_435_455;
        const TEXT_BYTES_MAX: usize = 65_535;
        self.check_listeners()?;
        at_least("connections_max", self.connections_max as usize, 1)?;
        at_least("unacknowledged_publishes_max", self.unacknowledged_publishes_max.into(), 1)?;
        at_least("inflight_messages_max", self.inflight_messages_max.into(), 1)?;
        at_least("packet_bytes_max", self.packet_bytes_max, 64)?;
        at_least("connect_bytes_max", self.connect_bytes_max, 64)?;
        at_least("outbox_bytes_max", self.outbox_bytes_max, 2 * self.packet_bytes_max)?;
        at_least("topic_bytes_max", self.topic_bytes_max, 1)?;
        at_least("client_id_bytes_max", self.client_id_bytes_max, 23)?; // [MQTT-3.1.3-5]
        Ok(Limits {
            connections_max: self.connections_max,
            packet_bytes_max: at_most("packet_bytes_max", self.packet_bytes_max, PACKET_BYTES_MAX)?,
            connect_bytes_max: at_most(
                "connect_bytes_max",
                self.connect_bytes_max,
                PACKET_BYTES_MAX,
            )?,
            connect_timeout: Duration::from_millis(self.connect_timeout_ms),
            close_timeout: Duration::from_millis(self.close_timeout_ms),
            shutdown_timeout: Duration::from_millis(self.shutdown_timeout_ms),
            keep_alive_max_s: self.keep_alive_max_s,
            tcp_keepalive: Duration::from_secs(self.tcp_keepalive_s.max(1)),
            unacknowledged_publishes_max: self.unacknowledged_publishes_max,
            unacknowledged_bytes_max: at_least(
                "unacknowledged_bytes_max",
                self.unacknowledged_bytes_max,
                1,
            )?,
            outbox_messages_max: at_least("outbox_messages_max", self.outbox_messages_max, 2)?,
            outbox_bytes_max: self.outbox_bytes_max,
            inflight_messages_max: self.inflight_messages_max,
            sessions_max: self.sessions_max,
            session_expiry_max_s: self.session_expiry_max_s,
            retain: RetainLimits {
                messages_max: self.retained_messages_max,
                bytes_max: self.retained_bytes_max,
            },
            topic_aliases_max: self.topic_aliases_max,
            subscriptions_per_client_max: self.subscriptions_per_client_max,
            topic_levels_max: at_least("topic_levels_max", self.topic_levels_max, 1)?,
            connect: ConnectLimits {
                topic_bytes_max: at_most("topic_bytes_max", self.topic_bytes_max, TEXT_BYTES_MAX)?,
                client_id_bytes_max: at_most(
                    "client_id_bytes_max",
                    self.client_id_bytes_max,
                    TEXT_BYTES_MAX,
                )?,
            },
            door: DoorLimits::new(&self.door, &self.proxy, &self.rate)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::door::config::ClientCertificates;

    #[test]
    fn the_defaults_are_in_range() {
        assert!(Config::default().check().is_ok());
    }

    #[test]
    fn what_is_out_of_range_is_named() {
        let small = Config { packet_bytes_max: 63, ..Config::default() };
        let error = small.check().expect_err("too small").to_string();
        assert_eq!(error, "packet_bytes_max is 63 and must be at least 64");
        let large = Config { topic_bytes_max: 65_536, ..Config::default() };
        let error = large.check().expect_err("too large").to_string();
        assert_eq!(error, "topic_bytes_max is 65536 and must be at most 65535");
    }

    fn check(change: impl FnOnce(&mut Config), expected: &str) {
        let mut config = Config::default();
        change(&mut config);
        assert_eq!(config.check().expect_err("it does not go together").to_string(), expected);
    }

    #[test]
    fn keys_that_need_one_another_are_named() {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 8883));
        check(
            |config| config.tls_listen = vec![address],
            "tls.cert_file must be set: a listener has TLS",
        );
        check(
            |config| config.tls.cert_file = Some("c".into()),
            "tls.key_file must be set: tls.cert_file is set",
        );
        check(
            |config| config.tls.client_certificates = ClientCertificates::Optional,
            "tls.client_ca_file must be set: tls.client_certificates asks for certificates",
        );
        check(
            |config| config.tls.client_crl_file = Some("c".into()),
            "tls.client_certificates must be set: a file about clients' certificates is set",
        );
        check(
            |config| config.proxy.listeners = vec![address],
            "proxy.listeners has 127.0.0.1:8883, which is no address to listen on",
        );
        check(
            |config| config.door.handshakes_max = 0,
            "door.handshakes_max is 0 and must be at least 1",
        );
    }
}
