//! What an operator may set about who comes in: TLS, proxies, limits at the door, rates.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bellwire_model::Network;
use serde::{Deserialize, Serialize};

use super::networks;
use crate::error::Error;
use crate::rate::Rate;

/// Where the certificates are: `[mqtt.tls]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// Our certificate with its chain (PEM), ours first. Default: none; the TLS listeners need one.
    /// It and the other files are read again when they change, and on SIGHUP; sessions stay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert_file: Option<PathBuf>,
    /// Its private key (PEM: PKCS #8, PKCS #1 or SEC 1). Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// Whether clients show a certificate: `none` (default), `optional`, `required`. The device is
    /// the one that the certificate is for: its URI `urn:bellwire:device:ID`, else its common name.
    pub client_certificates: ClientCertificates,
    /// Certificates of the authorities (PEM) that clients' certificates come from. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ca_file: Option<PathBuf>,
    /// What those authorities have revoked (PEM, one list of each). Default: none, which means that
    /// revocation is not looked at. With it, a certificate of an authority without a list is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_crl_file: Option<PathBuf>,
}

/// Whether clients show a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientCertificates {
    /// None is asked for.
    #[default]
    None,
    /// It is asked for; a client without one is as good as over plain TLS.
    Optional,
    /// Without one nobody comes in.
    Required,
}

/// Proxies that say for whom they connect: `[mqtt.proxy]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProxyConfig {
    /// Those of the addresses above where each connection must begin with a PROXY header of version
    /// 2; with TLS, before TLS. Default `[]`.
    pub listeners: Vec<SocketAddr>,
    /// Networks whose word is taken for it, as `10.0.0.0/8`; others cannot connect to those
    /// addresses. Default `["127.0.0.0/8", "::1/128"]`: a proxy on this machine.
    #[serde(with = "networks")]
    pub trusted: Vec<Network>,
}

impl Default for ProxyConfig {
    fn default() -> Self {
        Self { listeners: Vec::new(), trusted: this_machine() }
    }
}

fn this_machine() -> Vec<Network> {
    ["127.0.0.0/8", "::1/128"].iter().filter_map(|it| it.parse().ok()).collect()
}

/// Limits for those who are not in yet: `[mqtt.door]`. What is beyond is closed and counted in
/// `bellwire_mqtt_connections_refused_total`. A source is an IPv4 address or the first 64 bits of an
/// IPv6 address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DoorConfig {
    /// Time for the PROXY header, TLS and the upgrade to WebSocket together, in milliseconds. Default
    /// 10000: several round trips on a poor mobile network. CONNECT has its own time after that.
    pub handshake_timeout_ms: u64,
    /// Most connections that have not been let in yet, at least 1. Default 1000: each may hold about
    /// 100 KB. When there are so many, the next wait in the system's queue: a fleet that reconnects
    /// at once gets in one after the other, and who is in notices nothing.
    pub handshakes_max: u32,
    /// Most of them from one source. Default 250, 0 for no limit: one source cannot keep the others
    /// out.
    pub handshakes_per_source_max: u32,
    /// Most connections from one source. Default 1000, 0 for no limit: a site behind one address has
    /// that many; a proxy should send PROXY headers.
    pub connections_per_source_max: u32,
    /// Most new connections per second. Default 5000, 0 for no limit: more than two cores can let in.
    pub connects_per_second_max: u32,
    /// How many may come at once after a quiet time. Default 10000: a whole fleet.
    pub connects_burst: u32,
    /// Most new connections per second from one source. Default 50, 0 for no limit: a client that
    /// reconnects in a loop costs little.
    pub connects_per_source_per_second_max: u32,
    /// How many may come from one source at once. Default 1000: a site after a power cut.
    pub connects_per_source_burst: u32,
    /// Networks without limits per source. Default `["127.0.0.0/8", "::1/128"]`: this machine.
    #[serde(with = "networks")]
    pub unlimited_sources: Vec<Network>,
}

impl Default for DoorConfig {
    fn default() -> Self {
        Self {
            handshake_timeout_ms: 10_000,
            handshakes_max: 1_000,
            handshakes_per_source_max: 250,
            connections_per_source_max: 1_000,
            connects_per_second_max: 5_000,
            connects_burst: 10_000,
            connects_per_source_per_second_max: 50,
            connects_per_source_burst: 1_000,
            unlimited_sources: this_machine(),
        }
    }
}

/// How much one connected client may publish: `[mqtt.rate]`. Beyond it its socket is not read until
/// it may again: nothing is lost, and its keepalive waits too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RateConfig {
    /// PUBLISH packets per second. Default 20000, 0 for no limit: more than a large gateway sends, and
    /// a device gone wild leaves room for others.
    pub publishes_per_second_max: u32,
    /// How many may come at once after a quiet time. Default 100000: what a gateway stored while the
    /// line was down.
    pub publishes_burst: u32,
    /// Bytes per second. Default 33554432, 0 for no limit.
    pub bytes_per_second_max: u32,
    /// How many bytes may come at once after a quiet time. Default 134217728.
    pub bytes_burst: u32,
}

impl Default for RateConfig {
    fn default() -> Self {
        Self {
            publishes_per_second_max: 20_000,
            publishes_burst: 100_000,
            bytes_per_second_max: 32 << 20,
            bytes_burst: 128 << 20,
        }
    }
}

/// A checked [`DoorConfig`], [`ProxyConfig`] and [`RateConfig`].
#[derive(Clone, Debug)]
pub(crate) struct DoorLimits {
    pub(crate) handshake_timeout: Duration,
    pub(crate) handshakes_max: u32,
    /// `u32::MAX` for no limit; so is the next.
    pub(crate) handshakes_per_source_max: u32,
    pub(crate) connections_per_source_max: u32,
    pub(crate) connects: Option<Rate>,
    pub(crate) connects_per_source: Option<Rate>,
    pub(crate) unlimited_sources: Vec<Network>,
    pub(crate) trusted_proxies: Vec<Network>,
    pub(crate) publishes: Option<Rate>,
    pub(crate) bytes: Option<Rate>,
}

impl DoorLimits {
    pub(crate) fn new(
        door: &DoorConfig,
        proxy: &ProxyConfig,
        rate: &RateConfig,
    ) -> Result<Self, Error> {
        if door.handshakes_max == 0 {
            let key = "door.handshakes_max";
            return Err(Error::ConfigTooSmall { key, value: 0, least: 1 });
        }
        let or_unlimited = |limit: u32| if limit == 0 { u32::MAX } else { limit };
        Ok(Self {
            handshake_timeout: Duration::from_millis(door.handshake_timeout_ms),
            handshakes_max: door.handshakes_max,
            handshakes_per_source_max: or_unlimited(door.handshakes_per_source_max),
            connections_per_source_max: or_unlimited(door.connections_per_source_max),
            connects: Rate::new(door.connects_per_second_max, door.connects_burst),
            connects_per_source: Rate::new(
                door.connects_per_source_per_second_max,
                door.connects_per_source_burst,
            ),
            unlimited_sources: door.unlimited_sources.clone(),
            trusted_proxies: proxy.trusted.clone(),
            publishes: Rate::new(rate.publishes_per_second_max, rate.publishes_burst),
            bytes: Rate::new(rate.bytes_per_second_max, rate.bytes_burst),
        })
    }
}

impl TlsConfig {
    /// Whether the keys go together, for as many TLS listeners as there are.
    pub(crate) fn check(&self, n_listeners: usize) -> Result<(), Error> {
        let asks = self.client_certificates != ClientCertificates::None;
        let missing = |key, why| Err(Error::ConfigMissing { key, why });
        if n_listeners > 0 && self.cert_file.is_none() {
            return missing("tls.cert_file", "a listener has TLS");
        }
        if self.cert_file.is_some() && self.key_file.is_none() {
            return missing("tls.key_file", "tls.cert_file is set");
        }
        if asks && self.client_ca_file.is_none() {
            return missing("tls.client_ca_file", "tls.client_certificates asks for certificates");
        }
        if !asks && (self.client_ca_file.is_some() || self.client_crl_file.is_some()) {
            return missing("tls.client_certificates", "a file about clients' certificates is set");
        }
        Ok(())
    }
}
