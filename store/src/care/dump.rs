//! Saving and bringing back the database, as of one instant at which its position is known.
//!
//! The instant is a snapshot that a transaction of ours exports and `pg_dump` reads in: whatever is
//! committed while the dump is written is not in it. So the log can be copied right after that
//! instant, and has everything that the dump has not.

use std::path::Path;

use bellwire_model::{LogId, LogPosition};

use super::facts::position;
use super::programs;
use crate::connect::{Link, failed};
use crate::{Database, Error, Mode, migrate};

/// The database at an instant, for as long as this lives.
#[derive(Debug)]
pub struct Dump<'a> {
    database: &'a Database,
    link: Link,
    snapshot: String,
    major: u32,
    saved: Saved,
}

/// What a dump has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// PostgreSQL's version.
    pub version: String,
    /// How readings are stored.
    pub mode: Mode,
    /// TimescaleDB's version where readings are stored in it.
    pub timescale: Option<String>,
    /// The version of our tables.
    pub schema_version: i32,
    /// How far the log was in it; zero if the database did not know the log.
    pub position: LogPosition,
    /// Up to where the accounts are; never above `position`.
    pub ledger_position: LogPosition,
}

impl Database {
    /// Holds the database as it is now.
    ///
    /// # Errors
    /// [`Error`]; [`Error::NotMigrated`] if it has not our tables.
    pub async fn begin_dump(&self, log: LogId) -> Result<Dump<'_>, Error> {
        let doing = "beginning a backup";
        let link = self.target().connect("bellwire backup").await?;
        let client = &link.client;
        client
            .batch_execute("SET idle_in_transaction_session_timeout = 0; BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            .await
            .map_err(failed(doing))?;
        let Some(mode) = migrate::mode(client).await? else { return Err(Error::NotMigrated) };
        let row = client
            .query_one(
                "SELECT pg_export_snapshot(), current_setting('server_version'), \
                        current_setting('server_version_num')::int4, \
                        (SELECT extversion FROM pg_extension WHERE extname = 'timescaledb')",
                &[],
            )
            .await
            .map_err(failed(doing))?;
        let found = position(client, Some(log)).await?;
        let (position, ledger_position) = found.unwrap_or_default();
        let saved = Saved {
            version: row.get(1),
            mode,
            timescale: row.get::<_, Option<String>>(3).filter(|_| mode == Mode::Timescale),
            schema_version: migrate::version(client).await?,
            position,
            ledger_position,
        };
        let major = u32::try_from(row.get::<_, i32>(2) / 10_000).unwrap_or(0);
        Ok(Dump { database: self, snapshot: row.get(0), major, saved, link })
    }

    /// Fills this database, which must not have our tables, from the folder that
    /// [`Dump::write`] made.
    ///
    /// # Errors
    /// [`Error::NotEmpty`]; [`Error::Extension`] if TimescaleDB is not there in the version that
    /// the dump needs; [`Error::Program`]: then something of it may be there, and the database must
    /// be made anew.
    pub async fn restore_dump(&self, dir: &Path, saved: &Saved) -> Result<(), Error> {
        let doing = "preparing the database";
        let link = self.target().connect("bellwire restore").await?;
        let client = &link.client;
        migrate::check_server(client).await?;
        let row = client
            .query_one(
                "SELECT to_regnamespace('bellwire') IS NULL, \
                        current_setting('server_version_num')::int4",
                &[],
            )
            .await
            .map_err(failed(doing))?;
        if !row.get::<_, bool>(0) {
            return Err(Error::NotEmpty { target: self.describe() });
        }
        let major = u32::try_from(row.get::<_, i32>(1) / 10_000).unwrap_or(0);
        drop(link);
        if let Some(version) = &saved.timescale {
            self.begin_timescale(version).await?;
        }
        let bin_dir = self.config().bin_dir.as_deref();
        let program = programs::find("pg_restore", bin_dir, major)?;
        let mut command = programs::command(&program, self.target());
        command.args(["--exit-on-error", "--no-owner", "--no-privileges", "--no-password"]);
        // pg_restore wants to be told that it has a database, even if the environment names it.
        command.arg("--dbname").arg(self.target().pg().get_dbname().unwrap_or_default());
        if saved.timescale.is_none() {
            // TimescaleDB's catalogue must come back in order.
            command.args(["--jobs", JOBS]);
        }
        command.arg(dir);
        programs::run(command, "pg_restore").await?;
        self.finish_restore(saved).await
    }

    async fn begin_timescale(&self, version: &str) -> Result<(), Error> {
        let failed = |source: tokio_postgres::Error| Error::Extension {
            wanted: version.to_owned(),
            said: source.as_db_error().map_or_else(|| source.to_string(), |e| e.message().into()),
        };
        let quoted = version.replace('\'', "''");
        let create =
            format!("CREATE EXTENSION IF NOT EXISTS timescaledb SCHEMA public VERSION '{quoted}'");
        let link = self.target().connect("bellwire restore").await?;
        link.client.batch_execute(&create).await.map_err(failed)?;
        drop(link);
        // What the server says must come from the version that is loaded now.
        let link = self.target().connect("bellwire restore").await?;
        let row = link
            .client
            .query_one("SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'", &[])
            .await
            .map_err(failed)?;
        let found: String = row.get(0);
        if found != version {
            let said = format!("the database has {found} already");
            return Err(Error::Extension { wanted: version.to_owned(), said });
        }
        link.client.batch_execute("SELECT timescaledb_pre_restore()").await.map_err(failed)
    }

    async fn finish_restore(&self, saved: &Saved) -> Result<(), Error> {
        let link = self.target().connect("bellwire restore").await?;
        let failed = failed("finishing the restore");
        let mut sql = String::new();
        if saved.timescale.is_some() {
            sql += "SELECT timescaledb_post_restore();";
        }
        // The transaction that it names was another server's.
        sql += "DO $$ BEGIN IF to_regclass('bellwire.fresh_state') IS NOT NULL THEN \
                UPDATE bellwire.fresh_state SET carried_by = pg_current_xact_id(); \
                END IF; END $$;";
        // Statistics are not in a dump; without them the first queries take the long way.
        sql += "ANALYZE";
        link.client.simple_query(&sql).await.map(drop).map_err(failed)
    }
}

/// How many tables are written or read at once.
const JOBS: &str = "2";

impl Dump<'_> {
    /// What it has.
    #[must_use]
    pub const fn saved(&self) -> &Saved {
        &self.saved
    }

    /// Writes it into `dir`, which must not exist, in `pg_dump`'s directory format. The whole
    /// database that the connection names, but for owners and rights.
    ///
    /// # Errors
    /// [`Error::ProgramMissing`], [`Error::Program`]; then what is in `dir` is not whole.
    pub async fn write(self, dir: &Path) -> Result<Saved, Error> {
        let database = self.database;
        let bin_dir = database.config().bin_dir.as_deref();
        let program = programs::find("pg_dump", bin_dir, self.major)?;
        let mut command = programs::command(&program, database.target());
        command
            .args(["--format=directory", "--compress=1", "--jobs", JOBS])
            .args(["--no-owner", "--no-privileges", "--no-comments", "--no-password"])
            .args(["--lock-wait-timeout=60s", "--snapshot"])
            .arg(&self.snapshot)
            .arg("--file")
            .arg(dir);
        programs::run(command, "pg_dump").await?;
        // The snapshot lives until here.
        drop(self.link);
        Ok(self.saved)
    }
}
