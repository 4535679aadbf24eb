//! The configuration: defaults, then the file, then the environment, then flags.

mod error;
mod explain;
mod ingest;
mod layers;
mod origin;
mod places;
mod rumqttd;
mod settle;
mod shown;
mod traces;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use error::ConfigError;
pub(crate) use error::list;
pub use ingest::{IngestSection, TimeSection};
pub(crate) use layers::TOKEN_VARIABLE;
pub use layers::{Environment, Looked, Overrides, load, look, unknown_variables};
pub use origin::{Origin, Origins};
pub use rumqttd::RumqttdSection;
pub(crate) use shown::{differing, shown};
pub use traces::TracesSection;

/// A configuration file with every key at its default, and what each does.
pub const EXAMPLE: &str = include_str!("../../deploy/bellwire.example.toml");

/// What the broker reads at once, beside a packet that it has begun.
const READ_BYTES_MAX: u64 = 64 << 10;
/// Records of the greatest size that the log must have room for. Half of it may be kept for the
/// window of repetitions, a quarter as the rest of a segment; with less, a full log could wait for
/// room that never comes.
const LOG_RECORDS_MIN: u64 = 16;

/// Everything that can be set. A key `part.key` is also `BELLWIRE_PART_KEY` in the environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where log, snapshots and the managed database lie. Default: `/var/lib/bellwire` for root,
    /// else `bellwire` in `$XDG_STATE_HOME` or `~/.local/state`.
    pub data_dir: PathBuf,
    /// The file of alert rules and labels (TOML). Default: none. It is read again when it changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules: Option<PathBuf>,
    /// The file of mappings (TOML): which topics are telemetry beside `devices/{device}/telemetry`, and
    /// how their payloads are read. Default: none. It is read again when it changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mappings: Option<PathBuf>,
    /// No credentials, no limits per source and device; only loopback addresses are then allowed.
    /// Default: false: MQTT and HTTP ask for credentials.
    pub insecure: bool,
    /// What is logged to stderr: `error`, `warn`, `info`, `debug`, or per part
    /// (`info,hyper=debug`). Default: `info`.
    pub log_filter: String,
    /// How long shutdown waits for what was begun, milliseconds. Default 20,000: what is not in
    /// the database by then is in the log.
    pub shutdown_grace_ms: u64,
    /// Where operators reach the console, for links in messages: `https://bellwire.example`. Default:
    /// none, messages have no links.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_url: Option<String>,
    /// The MQTT listener.
    pub mqtt: bellwire_broker::Config,
    /// The API, the live feed and the console.
    pub http: bellwire_api::Config,
    /// The database.
    pub database: bellwire_store::Config,
    /// The log.
    pub log: bellwire_ingest::log::Config,
    /// What becomes of payloads on their way in.
    pub ingest: IngestSection,
    /// How the database is written.
    pub keep: KeepSection,
    /// How alert rules are judged.
    pub judge: JudgeSection,
    /// Traces for OpenTelemetry.
    pub traces: TracesSection,
    /// Rules about who may publish and subscribe where; the first that matches decides. Behind them a
    /// device may send its own telemetry and status, and get and answer its own commands; all else
    /// is denied. With `insecure` all else is allowed, and only rules for `*` apply. Default: none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub acl: Vec<bellwire_broker::access::AclEntry>,
    /// The stock broker rumqttd as a door.
    pub rumqttd: RumqttdSection,
    /// Existing MQTT brokers that telemetry is taken from. Default: none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bridge: Vec<bellwire_broker::bridge::BridgeConfig>,
    /// Where alerts are sent to. Default: none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub channel: Vec<bellwire_notify::config::ChannelConfig>,
    /// Which alerts go to which channels; the first that matches decides. Default: none, every channel
    /// gets all alerts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub route: Vec<bellwire_notify::config::RouteConfig>,
}

/// How *keep* makes its transactions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeepSection {
    /// The least time from one transaction to the next, milliseconds. Default 20: at 5,000
    /// publishes per second a commit then carries 100 of them.
    pub flush_interval_ms: u64,
    /// A transaction takes no further group once it has this many readings. Default 20,000:
    /// beyond 10,000 the cost per reading does not fall any more.
    pub batch_readings: usize,
    /// How often the devices' account goes to the database, milliseconds. Default 1,000.
    pub ledger_interval_ms: u64,
    /// The longest pause between two tries while the database is away, milliseconds. Default
    /// 1,000.
    pub backoff_max_ms: u64,
}

impl Default for KeepSection {
    fn default() -> Self {
        Self {
            flush_interval_ms: 20,
            batch_readings: 20_000,
            ledger_interval_ms: 1_000,
            backoff_max_ms: 1_000,
        }
    }
}

/// How *judge* writes its state down.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JudgeSection {
    /// A snapshot at least this often while readings come, milliseconds. Default 30,000: a restart
    /// judges at most that much again.
    pub snapshot_interval_ms: u64,
    /// A snapshot at least after this much log, bytes. Default 128 MiB.
    pub snapshot_bytes: u64,
}

impl Default for JudgeSection {
    fn default() -> Self {
        Self { snapshot_interval_ms: 30_000, snapshot_bytes: 128 << 20 }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::new(),
            rules: None,
            mappings: None,
            insecure: false,
            log_filter: "info".to_owned(),
            shutdown_grace_ms: 20_000,
            public_url: None,
            mqtt: bellwire_broker::Config::default(),
            http: bellwire_api::Config::default(),
            database: bellwire_store::Config::default(),
            log: bellwire_ingest::log::Config::default(),
            ingest: IngestSection::default(),
            keep: KeepSection::default(),
            judge: JudgeSection::default(),
            traces: TracesSection::default(),
            acl: Vec::new(),
            rumqttd: RumqttdSection::default(),
            bridge: Vec::new(),
            channel: Vec::new(),
            route: Vec::new(),
        }
    }
}

impl Config {
    /// Whether every value can work, as far as that can be said before anything starts.
    ///
    /// # Errors
    /// [`ConfigError::Value`] names the key and what would be right.
    pub fn check(&self) -> Result<(), ConfigError> {
        let wrong = |text: String| Err(ConfigError::Value(text));
        if let Err(error) = self.mqtt.check() {
            return wrong(format!("mqtt.{error}"));
        }
        if let Err(error) = self.log.check() {
            return wrong(error.to_string());
        }
        let needed = LOG_RECORDS_MIN * (self.mqtt.packet_bytes_max as u64 + READ_BYTES_MAX);
        if self.log.bytes_max < needed {
            return wrong(format!(
                "log.bytes_max must be at least {needed}: {LOG_RECORDS_MIN} times what one read \
                 of a socket can bring (mqtt.packet_bytes_max and 64 KiB)"
            ));
        }
        if let Err(error) = self.ingest.time.check() {
            return wrong(error);
        }
        if let Err(error) = self.database.check() {
            return wrong(error.to_string());
        }
        if let Err(error) = bellwire_broker::access::rules(&self.acl) {
            return wrong(error);
        }
        self.http.oidc.check().map_err(ConfigError::Value)?;
        self.traces.check().map_err(ConfigError::Value)?;
        self.check_doors().map_err(ConfigError::Value)?;
        if let Some(url) = &self.public_url {
            bellwire_notify::config::parse_url(url)
                .map_err(|error| ConfigError::Value(format!("public_url: {error}")))?;
        }
        bellwire_notify::config::check(&self.channel, &self.route).map_err(ConfigError::Value)?;
        if let Err(error) = crate::logging::filter(&self.log_filter) {
            return wrong(format!("log_filter: `{}` is no filter: {error}", self.log_filter));
        }
        Ok(())
    }

    /// The doors that are brokers of others.
    fn check_doors(&self) -> Result<(), String> {
        bellwire_broker::bridge::check(&self.bridge)?;
        self.rumqttd.check()?;
        let own = crate::app::RUMQTTD_BRIDGE;
        match self.bridge.iter().position(|bridge| bridge.name == own) {
            Some(index) if self.rumqttd.listen.is_some() => {
                Err(format!("bridge[{index}].name: `{own}` is the name of rumqttd's own bridge"))
            }
            _ => Ok(()),
        }
    }

    /// The data directory: as set, or the default for who runs this.
    ///
    /// # Errors
    /// [`ConfigError::NoHome`] if none is set and there is no home directory.
    pub fn data_dir(&self, environment: &Environment) -> Result<PathBuf, ConfigError> {
        if !self.data_dir.as_os_str().is_empty() {
            return Ok(self.data_dir.clone());
        }
        if is_root() {
            return Ok(PathBuf::from("/var/lib/bellwire"));
        }
        let state = environment.get("XDG_STATE_HOME").map(PathBuf::from);
        let home = || environment.get("HOME").map(|home| Path::new(home).join(".local/state"));
        let state = state.or_else(home).ok_or(ConfigError::NoHome)?;
        Ok(state.join("bellwire"))
    }

    /// How long shutdown waits.
    #[must_use]
    pub const fn shutdown_grace(&self) -> Duration {
        Duration::from_millis(self.shutdown_grace_ms)
    }
}

/// Whether root runs this.
#[must_use]
pub fn is_root() -> bool {
    // SAFETY: geteuid has no preconditions and cannot fail.
    unsafe { libc::geteuid() == 0 }
}
