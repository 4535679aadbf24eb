//! Puts the service together: every room is made and connected here, in the order of a reading's
//! journey, and stopped in the same order.

mod access;
mod audit;
mod backtests;
mod bridges;
mod certificates;
mod commands;
mod compaction;
mod durably;
mod endpoints;
pub mod feed;
pub mod file_error;
mod file_watch;
mod front;
mod handling;
pub mod health;
pub mod history;
pub mod inlet;
mod lens;
pub mod mappings;
mod notify;
mod oidc;
mod page;
pub(crate) mod people;
mod presence;
pub mod present;
mod rebirth;
pub mod refused;
mod registry;
mod reload;
mod replay;
mod rulebook;
pub mod rules;
mod rules_file;
mod rumqttd;
mod secure;
pub mod seen;
mod sessions;
pub mod sink;
mod spine;
mod telemetry;
mod threads;
mod traces;
mod web;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bellwire_broker::SharedSessions;
use bellwire_ingest::commands::SharedCommands;
use bellwire_ingest::ledger::SharedLedger;
use bellwire_ingest::log::Log;
use bellwire_ingest::mapping::Mappings;
use bellwire_ingest::topics::SharedClaims;
use bellwire_model::Clock;
use bellwire_store::Database;
use prometheus::{IntGauge, Opts, Registry};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use crate::clock::SystemClock;
use crate::config::{Config, ConfigError, Environment};
use crate::rulebook::effective::FileRules;
pub use endpoints::Endpoints;
use front::Front;
pub(crate) use reload::Looked;
use rulebook::{Beginning, Rulebook};
pub(crate) use rumqttd::BRIDGE as RUMQTTD_BRIDGE;
use spine::Spine;
use traces::{Tracer, Traces};

/// The database was not there: at the first boot, when nothing is known of it, or for a command
/// that needs it.
#[derive(Debug, thiserror::Error)]
#[error("the database is unavailable")]
pub struct DatabaseUnavailable(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// How the service ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Everything that was begun is finished.
    Clean,
    /// Something had to be given up; the log has it.
    Unclean,
}

/// A part that runs until its token is cancelled.
type Running = (CancellationToken, JoinHandle<()>);

/// What all parts of the service share.
struct Common {
    config: Config,
    data_dir: PathBuf,
    clock: Arc<dyn Clock>,
    registry: Registry,
    tracker: TaskTracker,
    /// A part that cannot go on says so here. Holds one per part; nobody waits to say it.
    failures: mpsc::Sender<anyhow::Error>,
    /// Told of what is to be traced, if anything is.
    tracer: Option<Tracer>,
}

/// The running service.
#[derive(Debug)]
pub struct App {
    front: Front,
    endpoints_file: PathBuf,
    config: Config,
    spine: Spine,
    database: Arc<Database>,
    tracker: TaskTracker,
    traces: Traces,
    failures: mpsc::Receiver<anyhow::Error>,
}

impl App {
    /// Starts everything; returns when devices and operators can connect.
    ///
    /// # Errors
    /// Whatever is wrong, in one line: [`ConfigError`], [`file_error::FileError`],
    /// [`DatabaseUnavailable`], a damaged log, an address that is taken.
    pub async fn start(config: Config) -> anyhow::Result<Self> {
        secure::check(&config)?;
        check_certificates(&config)?;
        bridges::check_files(&config.bridge)?;
        notify::check_files(&config.channel, &config.route)?;
        traces::check_files(&config.traces)?;
        let file_rules = match &config.rules {
            Some(path) => FileRules::from(rules::read(path)?),
            None => FileRules::default(),
        };
        let mappings = match &config.mappings {
            Some(path) => mappings::read(path)?,
            None => Arc::default(),
        };
        let data_dir = config.data_dir(&Environment::of_process())?;
        make_data_dir(&data_dir)?;
        crate::care::restore::check_finished(&data_dir)?;
        let (failures, mut failed) = mpsc::channel(8);
        let mut common = Common {
            config,
            data_dir,
            clock: SystemClock::shared(),
            registry: new_registry()?,
            tracker: TaskTracker::new(),
            failures,
            tracer: None,
        };
        let database = open_database(&common)?;
        // From here on the data directory, and a server in it, is ours and nobody else's.
        let log = spine::open_log(&common).await?;
        let (traces, tracer) = Traces::start(&common, log.id())?;
        common.tracer = tracer;
        match start_parts(&common, log, &database, (file_rules, mappings)).await {
            Ok(parts) => Ok(Self::of(parts, common, (database, traces), failed)),
            Err(error) => {
                stop_database(&database).await;
                // A part that could not go on knows the reason; who waited for it does not.
                Err(failed.try_recv().unwrap_or(error))
            }
        }
    }

    fn of(
        parts: Parts,
        common: Common,
        (database, traces): (Arc<Database>, Traces),
        failures: mpsc::Receiver<anyhow::Error>,
    ) -> Self {
        let Parts { spine, front, endpoints_file } = parts;
        let Common { config, tracker, .. } = common;
        Self { front, endpoints_file, config, spine, database, tracker, traces, failures }
    }

    /// Where it can be reached.
    #[must_use]
    pub const fn endpoints(&self) -> &Endpoints {
        &self.front.endpoints
    }

    /// The account of all devices, once the database has given what it had.
    #[must_use]
    pub const fn ledger(&self) -> &SharedLedger {
        self.spine.ledger()
    }

    /// Waits until a part cannot go on, and gives the reason.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn failed(&mut self) -> anyhow::Error {
        match self.failures.recv().await {
            Some(error) => error,
            None => std::future::pending().await,
        }
    }

    /// Reads again what it follows: rules, mappings, certificates, people and credentials; and says what
    /// came of it. `configuration` is what came of that. Done when the task is.
    pub(crate) fn reload(&self, configuration: reload::Looked) -> JoinHandle<()> {
        self.tracker.spawn(self.front.reloading.clone().run(configuration))
    }

    /// Stops in the order of the data: no new publishes; what was taken is made durable, judged,
    /// kept; then the operators; then the database.
    pub async fn stop(self) -> Stopped {
        let front = self.front;
        let _ = std::fs::remove_file(&self.endpoints_file);
        // What was asked is done and answered while everything is there that it takes.
        front.intake.end().await;
        // It is not the devices that go.
        drop((front.watching, front.reloading, front.presence, front.commands));
        finish("broker", front.broker).await;
        front.bridges.stop().await;
        front.sending.stop().await;
        finish("count of refusals", front.refusals).await;
        if let Some(credentials) = front.credentials {
            finish("credentials", credentials).await;
        }
        let stopped = self.spine.stop(self.config.shutdown_grace()).await;
        finish("API", front.api).await;
        front.compaction.stop().await;
        stop_database(&self.database).await;
        // All that happened is in its queue.
        self.traces.stop().await;
        self.tracker.close();
        if tokio::time::timeout(self.config.shutdown_grace(), self.tracker.wait()).await.is_err() {
            warn!("{} tasks still run; ending without them.", self.tracker.len());
            return Stopped::Unclean;
        }
        info!("Stopped.");
        stopped
    }
}

/// Everything that is started before a device can connect.
struct Parts {
    spine: Spine,
    front: Front,
    endpoints_file: PathBuf,
}

/// Starts all parts, or none: those that have begun are stopped if another cannot begin.
async fn start_parts(
    common: &Common,
    log: Arc<dyn Log>,
    database: &Arc<Database>,
    (file_rules, mappings): (FileRules, Arc<Mappings>),
) -> anyhow::Result<Parts> {
    let rules = Beginning::open(&common.data_dir, file_rules.clone())?;
    let metrics = bellwire_broker::Metrics::register(&common.registry)?;
    let sessions = SharedSessions::new(&common.config.mqtt, metrics)?;
    let (asking, asked) = rebirth::queue();
    let bell = commands::Bell::new(SharedCommands::default(), &common.registry)?;
    let parts = (log, Arc::clone(database));
    let heard = (sessions.clone(), asking, bell);
    let spine = Spine::start(common, parts, heard, &rules.set()).await?;
    let claims = SharedClaims::default();
    let put = mappings::put(&spine.log(), &claims, mappings).await;
    let endpoints_file = common.data_dir.join("endpoints.json");
    let clock = (Arc::clone(&common.clock), common.tracker.clone());
    let book = Rulebook::new(rules, spine.prepared(), spine.log(), spine.concerned(), clock);
    let front = async {
        put?;
        let from = (&sessions, claims, asked);
        front::open(common, &spine, from, database, (book, file_rules), &endpoints_file).await
    };
    match front.await {
        Ok(front) => Ok(Parts { spine, front, endpoints_file }),
        Err(error) => {
            spine.stop(common.config.shutdown_grace()).await;
            Err(error)
        }
    }
}

async fn stop_database(database: &Database) {
    if let Err(error) = database.stop().await {
        warn!(error = &error as &dyn std::error::Error, "Failed to stop the database.");
    }
}

/// Tells a part to end and waits until it has.
async fn finish(name: &str, (token, task): Running) {
    token.cancel();
    if let Err(error) = task.await {
        error!(error = &error as &dyn std::error::Error, "The {name} ended badly.");
    }
}

/// Wrong certificates are said before anything starts.
fn check_certificates(config: &Config) -> Result<(), ConfigError> {
    if config.mqtt.listeners().any(|(_, transport, _)| transport.has_tls()) {
        read_certificates(config)?;
    }
    if config.http.tls.listen.is_some() {
        read_https(config)?;
    }
    Ok(())
}

/// Reads the files that `mqtt.tls` names, as a listener would.
fn read_certificates(config: &Config) -> Result<(), ConfigError> {
    bellwire_broker::look_at_tls(&config.mqtt.tls)
        .map(drop)
        .map_err(|error| ConfigError::Value(format!("mqtt.{}", chain(&error))))
}

/// Reads the files that `http.tls` names, likewise.
fn read_https(config: &Config) -> Result<(), ConfigError> {
    bellwire_broker::look_at_tls(&web::files(&config.http.tls))
        .map(drop)
        .map_err(|error| ConfigError::Value(format!("http.{}", chain(&error))))
}

/// Reads the files of channels.
///
/// # Errors
/// The first that cannot be used, with its key.
pub(crate) fn check_channels(config: &Config) -> Result<(), ConfigError> {
    notify::check_files(&config.channel, &config.route)
}

/// The files of HTTPS.
pub(crate) fn https_files(config: &Config) -> bellwire_broker::TlsConfig {
    web::files(&config.http.tls)
}

/// Whatever keeps a configuration from starting that is not seen in its values alone: files that cannot
/// be used, the rules' and mappings' apart, also those that nothing uses yet; and open doors.
pub(crate) fn faults(config: &Config) -> Vec<ConfigError> {
    let mut checks = vec![secure::check(config)];
    let tls = &config.mqtt.tls;
    let named = [&tls.cert_file, &tls.key_file, &tls.client_ca_file, &tls.client_crl_file];
    if named.into_iter().any(Option::is_some) {
        checks.push(read_certificates(config));
    }
    let tls = &config.http.tls;
    let named = [&tls.cert_file, &tls.key_file, &tls.client_ca_file];
    if tls.listen.is_some() || named.into_iter().any(Option::is_some) {
        checks.push(read_https(config));
    }
    checks.extend(bridges::faults(&config.bridge).map(Err));
    checks.extend(bellwire_notify::config::faults(&config.channel).map(wrong));
    checks.extend(traces::faults(&config.traces).map(Err));
    checks.push(config.rumqttd.credentials().map(drop).map_err(ConfigError::Value));
    let reader = config.database.reader.check_password();
    checks.push(reader.map_err(|error| {
        ConfigError::Value(format!("database.reader.password_file: {}", chain(&error)))
    }));
    checks.into_iter().filter_map(Result::err).collect()
}

fn wrong(message: String) -> Result<(), ConfigError> {
    Err(ConfigError::Value(message))
}

fn make_data_dir(path: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(path).map_err(|error| {
        anyhow::anyhow!(
            "cannot make the data directory {}: {error}: choose another with --data-dir",
            path.display()
        )
    })
}

fn new_registry() -> Result<Registry, prometheus::Error> {
    let registry = Registry::new();
    let process = prometheus::process_collector::ProcessCollector::for_self();
    registry.register(Box::new(process))?;
    let version = HashMap::from([("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned())]);
    let build = Opts::new("bellwire_build_info", "1, beside what runs.").const_labels(version);
    let build = IntGauge::with_opts(build)?;
    build.set(1);
    registry.register(Box::new(build))?;
    Ok(registry)
}

fn open_database(common: &Common) -> anyhow::Result<Arc<Database>> {
    let metrics = bellwire_store::Metrics::register(&common.registry)?;
    let config = common.config.database.clone();
    let database = Database::new(config, &common.data_dir, common.tracker.clone(), metrics)
        .map_err(|error| ConfigError::Value(format!("database: {}", chain(&error))))?;
    Ok(Arc::new(database))
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
