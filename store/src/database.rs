//! The database as the rest of the program sees it: one's own by URL, or a managed one.

use std::path::Path;
use std::time::Duration;

use bellwire_model::LogId;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::connect::{Target, deadline};
use crate::migrate::{self, Migrated};
use crate::recent::Recent;
use crate::shelf::{self, Cleared};
use crate::tls::Wish;
use crate::upkeep;
use crate::{Compactor, Config, Error, Managed, Metrics, Opened, Queries, Running, Writer};

/// How readings are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Plain PostgreSQL: a partition per day.
    Plain,
    /// TimescaleDB: a hypertable.
    Timescale,
}

impl Mode {
    /// The stable word for it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Timescale => "timescale",
        }
    }
}

/// The database. Everything but [`Database::new`] can fail for want of it and be tried again.
#[derive(Debug)]
pub struct Database {
    target: Target,
    managed: Option<Managed>,
    config: Config,
    metrics: Metrics,
    recent: Recent,
}

impl Database {
    /// The database that `config` names. Connects to nothing and starts nothing; of a managed one
    /// only the data directory is made. The connections' tasks run on `tracker`: each ends with
    /// its owner.
    ///
    /// # Errors
    /// [`Error::Url`], [`Error::Limit`] (bad configuration: exit code 78), [`Error::Files`].
    pub fn new(
        config: Config,
        data_dir: &Path,
        tracker: TaskTracker,
        metrics: Metrics,
    ) -> Result<Self, Error> {
        config.check()?;
        let (pg, wish, managed) = match config.parsed_url()? {
            Some((pg, wish)) => (pg, wish, None),
            None => {
                let managed = Managed::new(&config, data_dir, metrics.clone())?;
                (managed.connection(), Wish::default(), Some(managed))
            }
        };
        let target = Target::new(pg, wish, tracker, config.connect_timeout())?;
        let recent = Recent::new(config.recent_readings_max);
        Ok(Self { target, managed, config, metrics, recent })
    }

    /// With these lines at the end of the managed server's settings.
    pub(crate) fn with_settings(mut self, lines: &'static str) -> Self {
        self.managed = self.managed.map(|managed| managed.with_settings(lines));
        self
    }

    /// Makes sure that a managed server runs, see [`Managed`]; with a URL it does nothing. Call it
    /// at the start, and again whenever the database does not answer.
    ///
    /// # Errors
    /// [`Error`]; where [`Error::is_unavailable`] says so at the first boot, exit code 69.
    pub async fn ensure_running(&self) -> Result<Running, Error> {
        match &self.managed {
            Some(managed) => managed.ensure_running(&self.target).await,
            None => Ok(Running::Already),
        }
    }

    /// The managed server, unless there is a URL.
    #[must_use]
    pub const fn managed(&self) -> Option<&Managed> {
        self.managed.as_ref()
    }

    /// Stops a managed server; with a URL it does nothing.
    ///
    /// # Errors
    /// [`Error::Deadline`] if it takes too long.
    pub async fn stop(&self) -> Result<(), Error> {
        match &self.managed {
            Some(managed) => managed.stop().await,
            None => Ok(()),
        }
    }

    /// Brings the tables to what this program knows; run again, it does nothing.
    ///
    /// # Errors
    /// [`Error`]: no connection, a server that is too old or not UTF-8, a schema that is newer.
    pub async fn migrate(&self) -> Result<Migrated, Error> {
        let limit: Duration = self.config.migrate_timeout();
        match timeout(limit, migrate::migrate(&self.target)).await {
            Ok(result) => result,
            Err(_) => Err(deadline("migrating the database", limit)),
        }
    }

    /// Takes `log` over for writing: earlier writers of it are fenced from now on.
    ///
    /// # Errors
    /// [`Error`], [`Error::NotMigrated`] among them.
    pub async fn writer(&self, log: LogId) -> Result<(Writer, Opened), Error> {
        let limit = self.config.write_timeout();
        let (target, recent) = (self.target.clone(), self.recent.clone());
        Writer::open(target, log, limit, recent, self.metrics.clone()).await
    }

    /// What carries fresh readings over. Connects when first run.
    #[must_use]
    pub fn compactor(&self) -> Compactor {
        Compactor::new(self.target.clone(), &self.config, self.metrics.clone())
    }

    /// Makes room for the days ahead and does what retention and, on TimescaleDB, the policies
    /// want; worth doing at the start and every [`Database::UPKEEP_EVERY`].
    ///
    /// # Errors
    /// [`Error`]; transient ones while the database is away.
    pub async fn upkeep(&self) -> Result<(), Error> {
        upkeep::run(&self.target, &self.config).await
    }

    /// Drops quarantined payloads that are older, or take more, than they may; worth doing once a
    /// minute.
    ///
    /// # Errors
    /// [`Error`]; transient ones while the database is away.
    pub async fn clear_quarantine(&self) -> Result<Cleared, Error> {
        let cleared = shelf::clear(&self.target, &self.config).await?;
        self.metrics.count_cleared(cleared);
        Ok(cleared)
    }

    /// How often [`Database::upkeep`] is worth doing.
    pub const UPKEEP_EVERY: Duration = upkeep::EVERY;

    /// What the API asks. Connects when first asked.
    ///
    /// # Errors
    /// [`Error::Limit`].
    pub fn queries(&self) -> Result<Queries, Error> {
        Queries::new(&self.target, &self.config, self.recent.clone(), self.metrics.clone())
    }

    /// Where it is, without user and password, for logs and `doctor`.
    #[must_use]
    pub fn describe(&self) -> String {
        self.target.to_string()
    }

    /// A `postgres://` URL of a managed database, for `psql`; `None` with a URL, which may hold a
    /// secret.
    #[must_use]
    pub fn managed_url(&self) -> Option<String> {
        let name = crate::managed::NAME;
        let host = percent_encoded(self.managed.as_ref()?.socket_dir());
        let url = format!("postgres://{name}@/{name}?host={host}");
        match self.managed.as_ref()?.port() {
            crate::managed::PORT => Some(url),
            port => Some(format!("{url}&port={port}")),
        }
    }

    pub(crate) const fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) const fn target(&self) -> &Target {
        &self.target
    }
}

/// `path` as a value in a URL's query.
fn percent_encoded(path: &Path) -> String {
    use std::fmt::Write;
    use std::os::unix::ffi::OsStrExt;
    let mut encoded = String::new();
    for &byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_' | b'.' | b'~') {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_fits_into_a_url() {
        assert_eq!(percent_encoded(Path::new("/a b/ü%?&")), "/a%20b/%C3%BC%25%3F%26");
    }
}
