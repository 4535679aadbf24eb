//! rumqttd, the stock MQTT broker in Rust, as a yardstick in the same run: it acknowledges from
//! memory and stores nothing. It has no shutdown and takes no free port by itself, so it runs in a
//! child process of this same program.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use rumqttd::{Broker, Config, ConnectionSettings, RouterConfig, ServerSettings};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

/// The hidden command that the child is started with.
pub(crate) const COMMAND: &str = "bench-rumqttd";
/// How long it may take to listen.
const PATIENCE: Duration = Duration::from_secs(10);

/// A rumqttd of our own.
#[derive(Debug)]
pub(crate) struct Rumqttd {
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Rumqttd {
    /// Starts one and waits until it listens.
    ///
    /// # Errors
    /// If it does not.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let child = Command::new(std::env::current_exe()?)
            .args([COMMAND, &address.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect(address).await.is_err() {
            if Instant::now() > until {
                bail!("rumqttd does not listen on {address}");
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(Self { child, address })
    }

    /// Its process.
    ///
    /// # Errors
    /// If it has ended.
    pub(crate) fn pid(&self) -> anyhow::Result<u32> {
        self.child.id().context("rumqttd has ended")
    }
}

/// Is rumqttd at `address`, until the process is killed.
///
/// # Errors
/// If it cannot listen.
pub(crate) fn run(address: SocketAddr) -> anyhow::Result<()> {
    // As its own rumqttd.toml has it, but for these: no pause between accepts, so that connecting
    // is measured rather than the pause, and as much in flight as the load has.
    let connections = ConnectionSettings {
        connection_timeout_ms: 60_000,
        max_payload_size: 20_480,
        max_inflight_count: 1_000,
        auth: None,
        external_auth: None,
        dynamic_filters: true,
    };
    let server = ServerSettings {
        name: "v4".to_owned(),
        listen: address,
        tls: None,
        next_connection_delay_ms: 0,
        connections,
    };
    let router = RouterConfig {
        max_connections: 20_010,
        max_outgoing_packet_count: 200,
        max_segment_size: 100 << 20,
        max_segment_count: 10,
        ..RouterConfig::default()
    };
    let v4 = Some(HashMap::from([("v4".to_owned(), server)]));
    Ok(Broker::new(Config { router, v4, ..Config::default() }).start()?)
}
