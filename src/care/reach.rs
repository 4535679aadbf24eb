//! Reaches the database from outside the service: the managed one is started for as long as it
//! takes, unless a `serve` runs it already.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use anyhow::Context;
use bellwire_ingest::log::{self, Lock};
use bellwire_store::{Database, Metrics, Running, Secret};
use prometheus::Registry;
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::app::DatabaseUnavailable;
use crate::config::{Config, ConfigError};

/// A database that can be asked. [`Reached::close`] leaves it as it was.
#[derive(Debug)]
pub(crate) struct Reached {
    pub(crate) database: Database,
    /// While we run the managed server nobody else may.
    _lock: Option<Lock>,
    started: bool,
}

impl Reached {
    /// Reaches it; makes the managed one if there is none.
    ///
    /// # Errors
    /// [`ConfigError`], [`DatabaseUnavailable`], [`log::Error`].
    pub(crate) async fn open(config: &Config, data_dir: &Path) -> anyhow::Result<Self> {
        if config.database.url.is_some() {
            let database = make(config, data_dir)?;
            return Ok(Self { database, _lock: None, started: false });
        }
        let log_dir = data_dir.join("log");
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(data_dir)
            .with_context(|| format!("cannot make the data directory {}", data_dir.display()))?;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&log_dir)
            .with_context(|| format!("cannot make {}", log_dir.display()))?;
        let lock = match Lock::take(&log_dir) {
            Ok(lock) => lock,
            // A service runs, and its server with it.
            Err(log::Error::Locked { .. }) => {
                let database = make_served(config, data_dir)?;
                return Ok(Self { database, _lock: None, started: false });
            }
            Err(error) => return Err(error.into()),
        };
        let database = make(config, data_dir)?;
        let running = database.ensure_running().await.map_err(unavailable)?;
        Ok(Self { database, _lock: Some(lock), started: running == Running::Started })
    }

    /// Stops the managed server if it was started for us.
    pub(crate) async fn close(self) {
        if self.started
            && let Err(error) = self.database.stop().await
        {
            warn!(error = &error as &dyn std::error::Error, "Failed to stop the database.");
        }
    }
}

/// The database, not yet reached.
pub(crate) fn make(config: &Config, data_dir: &Path) -> anyhow::Result<Database> {
    let metrics = Metrics::register(&Registry::new())?;
    let made = Database::new(config.database.clone(), data_dir, TaskTracker::new(), metrics);
    Ok(made.map_err(|error| ConfigError::Value(format!("database: {error}")))?)
}

/// The managed database of a service that runs: where that says it is, whatever our configuration.
pub(crate) fn make_served(config: &Config, data_dir: &Path) -> anyhow::Result<Database> {
    let endpoints = std::fs::read(data_dir.join("endpoints.json")).unwrap_or_default();
    let endpoints: serde_json::Value = serde_json::from_slice(&endpoints).unwrap_or_default();
    let Some(url) = endpoints["database"].as_str() else {
        // It is only starting.
        return make(config, data_dir);
    };
    let mut config = config.clone();
    config.database.url = Some(Secret::new(url));
    make(&config, data_dir)
}

/// Sorts an error of the store's: whether the database is away is an exit code of its own.
pub(crate) fn unavailable(error: bellwire_store::Error) -> anyhow::Error {
    if error.is_unavailable() || error.is_transient() {
        DatabaseUnavailable(error.into()).into()
    } else {
        error.into()
    }
}
