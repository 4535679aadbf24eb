//! rumqttd, the stock MQTT broker in Rust, inside the process, as a plain door: it acknowledges from
//! memory, and a bridge takes from it what comes. It has no shutdown, so its threads end with the
//! process.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::time::Duration;

use anyhow::{Context, bail};
use bellwire_broker::bridge::{BridgeConfig, Protocol};
use rumqttd::{Broker, Config, ConnectionSettings, RouterConfig, ServerSettings};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};
use tracing::info;

use super::{Common, threads};
use crate::config::{ConfigError, RumqttdSection};

/// The name of the bridge that reads it.
pub(crate) const BRIDGE: &str = "rumqttd";
/// How long it may take to listen.
const PATIENCE: Duration = Duration::from_secs(10);
/// What one topic filter may hold in memory for those who have not read it yet, bytes and how often:
/// 8 MiB each.
const SEGMENTS: (usize, usize) = (1 << 20, 8);

/// Starts it if it is to listen; gives where it does.
///
/// # Errors
/// If it cannot listen, or its password cannot be read.
pub(super) async fn start(common: &Common) -> anyhow::Result<Option<SocketAddr>> {
    let section = &common.config.rumqttd;
    let Some(listen) = section.listen else { return Ok(None) };
    // It takes no free port by itself, and only logs that one is taken.
    let probe = TcpListener::bind(listen)
        .with_context(|| format!("cannot listen for rumqttd on {listen}"))?;
    let address = probe.local_addr()?;
    drop(probe);
    let auth = section.credentials().map_err(ConfigError::Value)?;
    let mqtt = &common.config.mqtt;
    let settings = settings(address, auth, mqtt.packet_bytes_max, mqtt.connections_max);
    threads::spawn("rumqttd", common.failures.clone(), move || -> anyhow::Result<()> {
        Broker::new(settings).start()?;
        bail!("rumqttd has ended")
    })?;
    let until = Instant::now() + PATIENCE;
    while TcpStream::connect(reached(address)).await.is_err() {
        if Instant::now() > until {
            bail!("rumqttd does not listen on {address}");
        }
        sleep(Duration::from_millis(20)).await;
    }
    info!("rumqttd listens on mqtt://{address}: it acknowledges before anything is on disk.");
    Ok(Some(address))
}

/// MQTT 3.1.1 only: what MQTT 5 clients may send makes it panic.
fn settings(
    listen: SocketAddr,
    auth: Option<(String, String)>,
    packet_bytes_max: usize,
    connections_max: u32,
) -> Config {
    let connections = ConnectionSettings {
        connection_timeout_ms: 10_000,
        max_payload_size: packet_bytes_max,
        max_inflight_count: 1_000,
        auth: auth.map(|pair| HashMap::from([pair])),
        external_auth: None,
        dynamic_filters: true,
    };
    let server = ServerSettings {
        name: "rumqttd-v4".to_owned(),
        listen,
        tls: None,
        next_connection_delay_ms: 0,
        connections,
    };
    let router = RouterConfig {
        max_connections: usize::try_from(connections_max).unwrap_or(usize::MAX).max(2),
        max_outgoing_packet_count: 200,
        max_segment_size: SEGMENTS.0,
        max_segment_count: SEGMENTS.1,
        ..RouterConfig::default()
    };
    let v4 = Some(HashMap::from([("v4".to_owned(), server)]));
    Config { router, v4, ..Config::default() }
}

/// Where we reach what listens on `address`.
fn reached(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// The bridge that reads it.
pub(super) fn bridge(section: &RumqttdSection, address: SocketAddr) -> BridgeConfig {
    BridgeConfig {
        name: BRIDGE.to_owned(),
        url: format!("mqtt://{}", reached(address)),
        protocol: Protocol::V3,
        user: section.user.clone(),
        password_file: section.password_file.clone(),
        reconnect_max_ms: 1_000,
        ..BridgeConfig::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_bridge_is_one_that_can_be() {
        let section = RumqttdSection::default();
        for (listen, url) in [
            ("0.0.0.0:1884", "mqtt://127.0.0.1:1884"),
            ("[::]:1884", "mqtt://[::1]:1884"),
            ("10.0.0.1:1884", "mqtt://10.0.0.1:1884"),
        ] {
            let bridge = bridge(&section, listen.parse().unwrap());
            assert_eq!((bridge.url.as_str(), bridge.check()), (url, Ok(())));
        }
    }
}
