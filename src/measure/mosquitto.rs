//! Mosquitto, if it is installed, as a yardstick in the same run: it acknowledges from memory and
//! stores nothing.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

/// How long it may take to listen.
const PATIENCE: Duration = Duration::from_secs(10);

/// A mosquitto of our own.
#[derive(Debug)]
pub(crate) struct Mosquitto {
    child: Child,
    config: PathBuf,
    /// Where it listens.
    pub(crate) address: String,
}

impl Mosquitto {
    /// Starts one; `None` if it is not installed.
    ///
    /// # Errors
    /// If it is installed and does not start.
    pub(crate) async fn start() -> anyhow::Result<Option<Self>> {
        let places = ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto", "/usr/bin/mosquitto"];
        let Some(program) = places.iter().find(|path| PathBuf::from(path).exists()) else {
            return Ok(None);
        };
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let config = std::env::temp_dir().join(format!("bellwire-mosquitto-{port}"));
        std::fs::write(
            &config,
            format!(
                "listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n\
                 max_inflight_messages 0\nmax_queued_messages 0\nlog_dest none\n"
            ),
        )?;
        let child = Command::new(program)
            .arg("-c")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let address = format!("127.0.0.1:{port}");
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect(&address).await.is_err() {
            if Instant::now() > until {
                bail!("mosquitto does not listen on {address}");
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(Some(Self { child, config, address }))
    }

    /// Its process.
    ///
    /// # Errors
    /// If it has ended.
    pub(crate) fn pid(&self) -> anyhow::Result<u32> {
        self.child.id().context("mosquitto has ended")
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.config);
    }
}
