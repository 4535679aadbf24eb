//! What the database is, asked without changing anything and without needing our tables.

use bellwire_model::{LogId, LogPosition, Timestamp};
use tokio::time::timeout;
use tokio_postgres::{Client, Row};

use crate::connect::{deadline, failed};
use crate::migrate;
use crate::types::{At, unsigned};
use crate::{Database, Error, Mode};

/// What the database is.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// PostgreSQL's version, as it says it.
    pub version: String,
    /// PostgreSQL's major version.
    pub major: u32,
    /// The encoding of the database.
    pub encoding: String,
    /// How readings are stored; `None` before the first migration.
    pub mode: Option<Mode>,
    /// The version of our tables, 0 if there are none.
    pub schema_version: i32,
    /// The version that this program brings them to.
    pub schema_known: i32,
    /// What there is of TimescaleDB.
    pub timescale: Timescale,
    /// Whether it is a standby, which takes no writes.
    pub is_standby: bool,
    /// Its clock.
    pub now: Timestamp,
    /// Connections that are open now, all users' together.
    pub connections: u32,
    /// Bytes of the database on disk.
    pub size_bytes: u64,
    /// How far the log that was asked for is in it, and up to where its accounts are; `None` if it
    /// does not know that log.
    pub log: Option<(LogPosition, LogPosition)>,
    settings: Vec<(String, String)>,
}

/// What there is of TimescaleDB.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timescale {
    /// The version in this database.
    pub installed: Option<String>,
    /// The version that could be installed.
    pub available: Option<String>,
    /// `timescale` or `apache`: the latter has no columnstore, no aggregates and no policies.
    pub license: Option<String>,
}

/// The settings that durability and capacity hang on.
const SETTINGS: [&str; 6] = [
    "fsync",
    "full_page_writes",
    "synchronous_commit",
    "max_connections",
    "shared_preload_libraries",
    "listen_addresses",
];

impl Facts {
    /// A setting of the server, empty if it is not known.
    #[must_use]
    pub fn setting(&self, name: &str) -> &str {
        let found = self.settings.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }
}

impl Database {
    /// What it is, and how far `log` is in it. On a connection of its own; starts nothing.
    ///
    /// # Errors
    /// [`Error`], most likely [`Error::Connect`].
    pub async fn facts(&self, log: Option<LogId>) -> Result<Facts, Error> {
        let limit = self.config().statement_timeout();
        let asking = async {
            let link = self.target().connect("bellwire care").await?;
            ask(&link.client, log).await
        };
        match timeout(limit, asking).await {
            Ok(result) => result,
            Err(_) => Err(deadline("asking what the database is", limit)),
        }
    }
}

async fn ask(client: &Client, log: Option<LogId>) -> Result<Facts, Error> {
    let doing = "asking what the database is";
    let sql = "SELECT current_setting('server_version'), \
                      current_setting('server_version_num')::int4, \
                      current_setting('server_encoding'), pg_is_in_recovery(), \
                      clock_timestamp(), \
                      (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'), \
                      pg_database_size(current_database()), \
                      (SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'), \
                      (SELECT default_version FROM pg_available_extensions \
                       WHERE name = 'timescaledb'), \
                      current_setting('timescaledb.license', true)";
    let row = client.query_one(sql, &[]).await.map_err(failed(doing))?;
    let settings = client
        .query(
            "SELECT name, setting FROM pg_settings WHERE name = ANY ($1)",
            &[&SETTINGS.as_slice()],
        )
        .await
        .map_err(failed(doing))?;
    let number: i32 = row.get(1);
    let mode = migrate::mode(client).await?;
    Ok(Facts {
        version: row.get(0),
        major: u32::try_from(number / 10_000).unwrap_or(0),
        encoding: row.get(2),
        mode,
        schema_version: migrate::version(client).await?,
        schema_known: migrate::newest_version(),
        timescale: Timescale {
            installed: row.get(7),
            available: row.get(8),
            license: row.get::<_, Option<String>>(9).filter(|license| !license.is_empty()),
        },
        is_standby: row.get(3),
        now: row.get::<_, At>(4).0,
        connections: u32::try_from(row.get::<_, i64>(5)).unwrap_or(u32::MAX),
        size_bytes: unsigned(row.get(6)),
        log: position(client, log).await?,
        settings: settings.iter().map(|row: &Row| (row.get(0), row.get(1))).collect(),
    })
}

/// How far `log` is; `None` also where there are no tables yet.
pub(super) async fn position(
    client: &Client,
    log: Option<LogId>,
) -> Result<Option<(LogPosition, LogPosition)>, Error> {
    let Some(log) = log else { return Ok(None) };
    let doing = "reading the position";
    let exists = client
        .query_one("SELECT to_regclass('bellwire.log_position') IS NOT NULL", &[])
        .await
        .map_err(failed(doing))?;
    if !exists.get::<_, bool>(0) {
        return Ok(None);
    }
    let row = client
        .query_opt(
            "SELECT position, ledger_position FROM bellwire.log_position WHERE log = $1",
            &[&log.to_string()],
        )
        .await
        .map_err(failed(doing))?;
    Ok(row.map(|row| (LogPosition(unsigned(row.get(0))), LogPosition(unsigned(row.get(1))))))
}
