//! How the database is reached: the `[database]` part of the configuration.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::tls::Wish;
use crate::{Error, ReaderConfig};

/// What is shown in place of a [`Secret`].
pub const HIDDEN: &str = "<hidden>";

/// A text that may hold a password: it is never shown, neither in logs nor by `config show`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Takes `text` as a secret.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself. Never log it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(HIDDEN)
    }
}

/// How the database is reached. Every limit is checked by [`Config::check`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// A PostgreSQL URL or `key=value` string; `sslmode` and `sslrootcert` are as for `psql`. Default:
    /// none, which means a private server of our own in the data directory (see [`crate::Managed`]).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<Secret>,
    /// Where `initdb` and `postgres` lie. Default: none, which means the newest of
    /// `/usr/lib/postgresql/*/bin`, then `PATH`, then `pg_config --bindir`. With `url` only
    /// `pg_dump` and `pg_restore` are looked for, when a backup is made or restored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bin_dir: Option<PathBuf>,
    /// Milliseconds for a connection to stand, log-in included. Default 5,000: longer than any
    /// healthy network needs.
    pub connect_timeout_ms: u64,
    /// Milliseconds for one query of the API. Default 15,000: an operator has left by then.
    pub statement_timeout_ms: u64,
    /// Milliseconds for one transaction of *keep*, COPY included. Default 30,000: a checkpoint on
    /// a slow disk can stall a healthy COMMIT for seconds.
    pub write_timeout_ms: u64,
    /// Milliseconds for all migrations together. Default 600,000: they may rewrite tables.
    pub migrate_timeout_ms: u64,
    /// Milliseconds for the managed server to start. Default 300,000: after a crash it replays up
    /// to 2 GB of its own log first.
    pub start_timeout_ms: u64,
    /// Milliseconds for the managed server to stop. Default 60,000: it writes a checkpoint.
    pub stop_timeout_ms: u64,
    /// Milliseconds that readings lie as they came before they are carried over, sorted, to where
    /// a device's lie together. Default 60,000: a minute's make runs that are worth a look-up.
    pub compact_interval_ms: u64,
    /// Milliseconds that carrying over a slice of at most some million readings may take. Default
    /// 120,000: many times what a slow disk needs.
    pub compact_timeout_ms: u64,
    /// Minutes after its end at which a chunk goes into the columnstore; TimescaleDB only. Default
    /// 60: most of what comes late has come by then, and the rest costs little more. 0: never.
    pub columnstore_after_minutes: u32,
    /// Days that readings are kept, from 1. Default: none, which means for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention_days: Option<u32>,
    /// Days that minutes (`readings_1m`) are kept. Default: none, for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention_1m_days: Option<u32>,
    /// Days that hours (`readings_1h`) are kept. Default: none, for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention_1h_days: Option<u32>,
    /// Days that days (`readings_1d`) are kept. Default: none, for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention_1d_days: Option<u32>,
    /// Days that quarantined payloads are kept, from 1. Default 90.
    pub quarantine_days: u32,
    /// Days that commands are kept after their end, from 1. Default 90.
    pub command_days: u32,
    /// Days that the audit log is kept, from 1. Default 400: a year, and time to look back at it.
    pub audit_days: u32,
    /// Bytes that quarantined payloads may take; beyond, the oldest go, looked after once a minute.
    /// Default 1 GiB, at least 1 MiB.
    pub quarantine_bytes_max: u64,
    /// The most readings kept in memory until they have been carried over, so that queries need
    /// not search for them: 28 bytes each, twice. Default 4,000,000, the minutes of 30,000
    /// readings/s. Beyond, queries read all fresh readings in the database, which takes longer.
    pub recent_readings_max: usize,
    /// The most connections the API's queries hold. Default 8; *keep* has one of its own.
    pub pool_size: usize,
    /// A role for Grafana and analysts that may read the stable views.
    pub reader: ReaderConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            url: None,
            bin_dir: None,
            connect_timeout_ms: 5_000,
            statement_timeout_ms: 15_000,
            write_timeout_ms: 30_000,
            migrate_timeout_ms: 600_000,
            start_timeout_ms: 300_000,
            stop_timeout_ms: 60_000,
            compact_interval_ms: 60_000,
            compact_timeout_ms: 120_000,
            columnstore_after_minutes: 60,
            retention_days: None,
            retention_1m_days: None,
            retention_1h_days: None,
            retention_1d_days: None,
            quarantine_days: 90,
            command_days: 90,
            audit_days: 400,
            quarantine_bytes_max: 1 << 30,
            recent_readings_max: 4_000_000,
            pool_size: 8,
            reader: ReaderConfig::default(),
        }
    }
}

impl Config {
    /// Whether every value can work, as far as that can be said without connecting.
    ///
    /// # Errors
    /// [`Error::Url`], [`Error::Limit`].
    pub fn check(&self) -> Result<(), Error> {
        if let Some((key, expected)) = self.fault() {
            return Err(Error::Limit { key, expected });
        }
        match self.parsed_url()? {
            Some((_, wish)) => wish.connector().map(drop),
            None => Ok(()),
        }
    }

    /// `url` taken apart: where to connect, and how TLS shall be; `None` if there is none.
    pub(crate) fn parsed_url(&self) -> Result<Option<(tokio_postgres::Config, Wish)>, Error> {
        let Some(url) = &self.url else { return Ok(None) };
        let (rest, wish) = Wish::take_out(url.reveal())?;
        let pg = tokio_postgres::Config::from_str(&rest).map_err(Error::Url)?;
        Ok(Some((pg, wish)))
    }

    /// The first key whose value cannot work, and what would.
    fn fault(&self) -> Option<(&'static str, &'static str)> {
        let times = [
            ("connect_timeout_ms", self.connect_timeout_ms),
            ("statement_timeout_ms", self.statement_timeout_ms),
            ("write_timeout_ms", self.write_timeout_ms),
            ("migrate_timeout_ms", self.migrate_timeout_ms),
            ("start_timeout_ms", self.start_timeout_ms),
            ("stop_timeout_ms", self.stop_timeout_ms),
            ("compact_interval_ms", self.compact_interval_ms),
            ("compact_timeout_ms", self.compact_timeout_ms),
        ];
        // PostgreSQL keeps its own timeouts as milliseconds in an i32.
        let wrong = times.into_iter().find(|&(_, ms)| !(1..=MS_MAX).contains(&ms));
        let retention = [
            ("retention_days", self.retention_days),
            ("retention_1m_days", self.retention_1m_days),
            ("retention_1h_days", self.retention_1h_days),
            ("retention_1d_days", self.retention_1d_days),
            ("quarantine_days", Some(self.quarantine_days)),
            ("command_days", Some(self.command_days)),
            ("audit_days", Some(self.audit_days)),
        ];
        let too_short = retention
            .into_iter()
            .find(|&(_, days)| days.is_some_and(|days| !(1..=RETENTION_DAYS_MAX).contains(&days)));
        if let Some((key, _)) = too_short {
            return Some((key, "1 to 36500"));
        }
        match wrong {
            Some((key, _)) => Some((key, "1 to 2147483647")),
            None if self.quarantine_bytes_max < QUARANTINE_BYTES_MIN => {
                Some(("quarantine_bytes_max", "1048576 or more"))
            }
            None if !(1..=POOL_MAX).contains(&self.pool_size) => Some(("pool_size", "1 to 1000")),
            None => self.reader.fault(),
        }
    }

    pub(crate) const fn compact_timeout(&self) -> Duration {
        Duration::from_millis(self.compact_timeout_ms)
    }

    /// How often fresh readings are carried over.
    #[must_use]
    pub const fn compact_interval(&self) -> Duration {
        Duration::from_millis(self.compact_interval_ms)
    }

    pub(crate) const fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }

    pub(crate) const fn statement_timeout(&self) -> Duration {
        Duration::from_millis(self.statement_timeout_ms)
    }

    pub(crate) const fn write_timeout(&self) -> Duration {
        Duration::from_millis(self.write_timeout_ms)
    }

    pub(crate) const fn migrate_timeout(&self) -> Duration {
        Duration::from_millis(self.migrate_timeout_ms)
    }

    pub(crate) const fn start_timeout(&self) -> Duration {
        Duration::from_millis(self.start_timeout_ms)
    }

    pub(crate) const fn stop_timeout(&self) -> Duration {
        Duration::from_millis(self.stop_timeout_ms)
    }
}

const MS_MAX: u64 = i32::MAX as u64;
/// One large payload must have room.
const QUARANTINE_BYTES_MIN: u64 = 1 << 20;
const POOL_MAX: usize = 1_000;
const RETENTION_DAYS_MAX: u32 = 36_500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_shown() {
        let config =
            Config { url: Some(Secret::new("postgres://u:hush@h/d")), ..Config::default() };
        assert!(!format!("{config:?}").contains("hush"));
        assert!(format!("{config:?}").contains(HIDDEN));
    }

    #[test]
    fn limits_are_checked() {
        assert_eq!(Config::default().fault(), None);
        let config = Config { write_timeout_ms: 0, ..Config::default() };
        assert_eq!(config.fault(), Some(("write_timeout_ms", "1 to 2147483647")));
        let config = Config { pool_size: 0, ..Config::default() };
        assert_eq!(config.fault(), Some(("pool_size", "1 to 1000")));
    }
}
