//! The service as another process: so that its CPU time is its own.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use bellwire_fleet::bench::{cpu_time, tree_cpu_time};
use serde::Deserialize;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

/// How long the service may take to be ready or to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// A `bellwire serve` of our own, in a temporary data directory.
#[derive(Debug)]
pub(crate) struct Service {
    child: Child,
    dir: PathBuf,
    /// Where MQTT listens.
    pub(crate) mqtt: String,
    /// Where HTTP listens.
    pub(crate) http: String,
    /// The URL of its database.
    pub(crate) database: String,
}

#[derive(Deserialize)]
struct Endpoints {
    mqtt: Vec<String>,
    http: String,
    database: Option<String>,
}

/// Whom the service lets in over MQTT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// Everyone.
    Open,
    /// Who has credentials; without limits per source, since all come from one.
    Credentials,
}

/// Lets the service take as many new connections as it can, beyond `door.connects_per_second_max`.
pub(crate) fn any_connect_rate() -> (&'static str, String) {
    ("BELLWIRE_MQTT_DOOR_CONNECTS_PER_SECOND_MAX", "0".to_owned())
}

/// The keys of limits per source.
const SOURCE_LIMITS: [&str; 3] = [
    "BELLWIRE_MQTT_DOOR_HANDSHAKES_PER_SOURCE_MAX",
    "BELLWIRE_MQTT_DOOR_CONNECTIONS_PER_SOURCE_MAX",
    "BELLWIRE_MQTT_DOOR_CONNECTS_PER_SOURCE_PER_SECOND_MAX",
];

/// CPU time used so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CpuTimes {
    /// By the service.
    pub(crate) service: Duration,
    /// By its PostgreSQL, all processes together.
    pub(crate) postgres: Duration,
}

impl Service {
    /// Starts it with these rules and waits until it is ready.
    ///
    /// # Errors
    /// If it does not start; what it said is in the error.
    pub(crate) async fn start(rules: &str) -> anyhow::Result<Self> {
        Self::start_with(rules, Door::Open, &[]).await
    }

    /// The same, with another door and more of the environment.
    ///
    /// # Errors
    /// If it does not start; what it said is in the error.
    pub(crate) async fn start_with(
        rules: &str,
        door: Door,
        environment: &[(&str, String)],
    ) -> anyhow::Result<Self> {
        let dir = std::env::temp_dir().join(format!("bellwire-bench-{}", std::process::id()));
        std::fs::create_dir_all(&dir)?;
        std::fs::write(dir.join("rules.toml"), rules)?;
        let log = std::fs::File::create(dir.join("stderr.log"))?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["serve", "--mqtt-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"]);
        match door {
            Door::Open => command.arg("--insecure"),
            Door::Credentials => command.envs(SOURCE_LIMITS.map(|name| (name, "0"))),
        };
        let child = command
            .arg("--data-dir")
            .arg(dir.join("data"))
            .arg("--rules")
            .arg(dir.join("rules.toml"))
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        let mut service =
            Self { child, dir, mqtt: String::new(), http: String::new(), database: String::new() };
        let endpoints = service.wait_ready().await?;
        service.mqtt = endpoints.mqtt.into_iter().next().context("no MQTT listener")?;
        service.http = endpoints.http;
        service.database = endpoints.database.context("the bench needs a managed database")?;
        Ok(service)
    }

    async fn wait_ready(&mut self) -> anyhow::Result<Endpoints> {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Ok(text) = std::fs::read(self.dir.join("data/endpoints.json"))
                && let Ok(endpoints) = serde_json::from_slice(&text)
            {
                return Ok(endpoints);
            }
            let ended = self.child.try_wait()?;
            if ended.is_some() || Instant::now() > until {
                let said = std::fs::read_to_string(self.dir.join("stderr.log")).unwrap_or_default();
                bail!("the service did not start: {said}");
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Its process.
    ///
    /// # Errors
    /// If it has ended.
    pub(crate) fn pid(&self) -> anyhow::Result<u32> {
        self.child.id().context("the service has ended")
    }

    /// CPU time used so far by the service and by its database.
    ///
    /// # Errors
    /// If a process has ended.
    pub(crate) fn cpu(&self) -> anyhow::Result<CpuTimes> {
        let pid = self.pid()?;
        let postmaster = std::fs::read_to_string(self.dir.join("data/postgres/postmaster.pid"))?;
        let postmaster = postmaster.lines().next().context("no postmaster")?.trim().parse()?;
        Ok(CpuTimes { service: cpu_time(pid)?, postgres: tree_cpu_time(postmaster)? })
    }

    /// Where its data lies.
    #[must_use]
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Stops it, also where measuring failed: killed, it would leave its database behind.
    ///
    /// # Errors
    /// Those of `measured`, or if it does not end.
    pub(crate) async fn stop_after<T>(self, measured: anyhow::Result<T>) -> anyhow::Result<T> {
        let stopped = self.stop().await;
        let measured = measured?;
        stopped?;
        Ok(measured)
    }

    /// Stops it and removes its data.
    ///
    /// # Errors
    /// If it does not end.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        let pid = self.pid()?;
        // SAFETY: kill has no preconditions; the process is our child.
        unsafe { libc::kill(libc::pid_t::try_from(pid)?, libc::SIGTERM) };
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        remove(&self.dir);
        ended.context("the service does not stop")??;
        Ok(())
    }
}

fn remove(dir: &Path) {
    if let Err(error) = std::fs::remove_dir_all(dir) {
        eprintln!("cannot remove {}: {error}", dir.display());
    }
}
