//! Brings the database to the schema this program knows: numbered SQL files, each once, in order.
//!
//! Each file runs in a transaction of its own together with its mark in `bellwire.schema_version`,
//! so a failed or interrupted one leaves nothing. A file whose first line is
//! `-- no transaction` holds one statement that PostgreSQL allows in none (`CREATE INDEX
//! CONCURRENTLY`); it must be repeatable. An advisory lock makes others wait. Released files never
//! change: what was wrong in one is mended by a later one.

use std::cmp::Ordering;

use tokio_postgres::Client;
use tracing::{info, warn};

use crate::connect::{Target, failed};
use crate::{Error, Mode};

/// The first line of a file that must not run in a transaction.
const NO_TRANSACTION: &str = "-- no transaction\n";

/// The advisory lock that all Bellwires take to make the database, and to migrate it: "bellwire" in ASCII.
pub(crate) const LOCK: i64 = 0x6265_6c6c_7769_7265;

/// One step of the schema.
#[derive(Clone, Copy, Debug)]
struct Migration {
    version: i32,
    name: &'static str,
    plain: &'static str,
    timescale: &'static str,
}

const fn both(version: i32, name: &'static str, sql: &'static str) -> Migration {
    Migration { version, name, plain: sql, timescale: sql }
}

const MIGRATIONS: &[Migration] = &[
    both(1, "0001_base", include_str!("../migrations/0001_base.sql")),
    Migration {
        version: 2,
        name: "0002_reading",
        plain: include_str!("../migrations/0002_reading.plain.sql"),
        timescale: include_str!("../migrations/0002_reading.timescale.sql"),
    },
    both(3, "0003_fresh", include_str!("../migrations/0003_fresh.sql")),
    both(4, "0004_rollup", include_str!("../migrations/0004_rollup.sql")),
    Migration {
        version: 5,
        name: "0005_columnstore",
        plain: include_str!("../migrations/0005_columnstore.plain.sql"),
        timescale: include_str!("../migrations/0005_columnstore.timescale.sql"),
    },
    Migration {
        version: 6,
        name: "0006_days",
        plain: include_str!("../migrations/0006_days.plain.sql"),
        timescale: include_str!("../migrations/0006_days.timescale.sql"),
    },
    both(7, "0007_access", include_str!("../migrations/0007_access.sql")),
    both(8, "0008_corrections", include_str!("../migrations/0008_corrections.sql")),
    both(9, "0009_historical", include_str!("../migrations/0009_historical.sql")),
    both(10, "0010_replay", include_str!("../migrations/0010_replay.sql")),
    both(11, "0011_unit", include_str!("../migrations/0011_unit.sql")),
    both(12, "0012_command", include_str!("../migrations/0012_command.sql")),
    both(13, "0013_registry", include_str!("../migrations/0013_registry.sql")),
    both(14, "0014_handling", include_str!("../migrations/0014_handling.sql")),
    both(15, "0015_audit", include_str!("../migrations/0015_audit.sql")),
    both(16, "0016_views", include_str!("../migrations/0016_views.sql")),
];

/// All of the migrations' text.
pub(crate) fn all_sql() -> String {
    MIGRATIONS.iter().flat_map(|migration| [migration.plain, migration.timescale]).collect()
}

/// What [`migrate`] found and did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// The schema version before, 0 for an empty database.
    pub from: i32,
    /// The schema version now.
    pub to: i32,
    /// How readings are stored.
    pub mode: Mode,
}

/// The newest schema version this program knows.
pub(crate) fn newest_version() -> i32 {
    MIGRATIONS.last().map_or(0, |migration| migration.version)
}

/// The migrations that a database of version `from` still needs, in order.
pub(crate) fn names_after(from: i32) -> Vec<&'static str> {
    let later = MIGRATIONS.iter().filter(|migration| migration.version > from);
    later.map(|migration| migration.name).collect()
}

/// The schema version, 0 for a database without our tables. Changes nothing.
pub(crate) async fn version(client: &Client) -> Result<i32, Error> {
    let doing = "reading the schema version";
    let exists = client
        .query_one("SELECT to_regclass('bellwire.schema_version') IS NOT NULL", &[])
        .await
        .map_err(failed(doing))?;
    if !exists.get::<_, bool>(0) {
        return Ok(0);
    }
    let sql = "SELECT coalesce(max(version), 0) FROM bellwire.schema_version";
    let row = client.query_one(sql, &[]).await.map_err(failed(doing))?;
    Ok(row.get(0))
}

/// Brings the database to the newest schema. Run again, it does nothing.
pub(crate) async fn migrate(target: &Target) -> Result<Migrated, Error> {
    migrate_to(target, newest_version()).await
}

/// Brings the database to schema version `newest`, as the program that knew no newer one did.
pub(crate) async fn migrate_to(target: &Target, newest: i32) -> Result<Migrated, Error> {
    let link = target.connect("bellwire migrate").await?;
    check_server(&link.client).await?;
    link.client
        .execute("SELECT pg_advisory_lock($1)", &[&LOCK])
        .await
        .map_err(failed("waiting for other migrations"))?;
    let from = prepare(&link.client).await?;
    let mode = match mode(&link.client).await? {
        Some(mode) => mode,
        None => choose_mode(target, &link.client).await?,
    };
    let known = usize::try_from(newest).unwrap_or(0).min(MIGRATIONS.len());
    let to = apply(&link.client, &MIGRATIONS[..known], from, mode).await?;
    if from != to {
        info!(from, to, mode = mode.label(), "Migrated the database to schema version {to}.");
    }
    unlock(&link.client).await?;
    Ok(Migrated { from, to, mode })
}

/// Lets others in. The lock would go with the connection too; but that closes only when its task is
/// next run, which whoever waits for the lock on the same thread would keep from happening.
pub(crate) async fn unlock(client: &Client) -> Result<(), Error> {
    let doing = "letting other migrations in";
    client.execute("SELECT pg_advisory_unlock($1)", &[&LOCK]).await.map_err(failed(doing))?;
    Ok(())
}

/// Makes sure that this server can hold what we write.
pub(crate) async fn check_server(client: &Client) -> Result<(), Error> {
    let row = client
        .query_one(
            "SELECT current_setting('server_version_num')::int4, \
                    current_setting('server_version'), current_setting('server_encoding')",
            &[],
        )
        .await
        .map_err(failed("asking for the server's version"))?;
    let (number, version, encoding): (i32, String, String) = (row.get(0), row.get(1), row.get(2));
    if number < 150_000 {
        return Err(Error::TooOld { found: version });
    }
    if encoding != "UTF8" {
        return Err(Error::Encoding { found: encoding });
    }
    Ok(())
}

/// Makes the place for the version if it is missing, and reads it.
async fn prepare(client: &Client) -> Result<i32, Error> {
    let doing = "reading the schema version";
    client
        .batch_execute(
            "CREATE SCHEMA IF NOT EXISTS bellwire; \
             CREATE TABLE IF NOT EXISTS bellwire.schema_version ( \
                 version int4 PRIMARY KEY, name text NOT NULL, \
                 applied_at timestamptz NOT NULL DEFAULT now())",
        )
        .await
        .map_err(failed(doing))?;
    let row = client
        .query_one("SELECT coalesce(max(version), 0) FROM bellwire.schema_version", &[])
        .await
        .map_err(failed(doing))?;
    let found: i32 = row.get(0);
    let known = newest_version();
    if found > known { Err(Error::SchemaNewer { found, known }) } else { Ok(found) }
}

/// How `bellwire.reading` is stored; `None` before it exists.
pub(crate) async fn mode(client: &Client) -> Result<Option<Mode>, Error> {
    let row = client
        .query_opt(
            "SELECT relkind = 'p' FROM pg_class WHERE oid = to_regclass('bellwire.reading')",
            &[],
        )
        .await
        .map_err(failed("looking for the readings' table"))?;
    Ok(row.map(|row| if row.get(0) { Mode::Plain } else { Mode::Timescale }))
}

/// Makes sure that the schema is the one this program knows; gives how readings are stored.
pub(crate) async fn require_current(client: &Client) -> Result<Mode, Error> {
    let Some(mode) = mode(client).await? else { return Err(Error::NotMigrated) };
    let row = client
        .query_one("SELECT coalesce(max(version), 0) FROM bellwire.schema_version", &[])
        .await
        .map_err(failed("reading the schema version"))?;
    let (found, known): (i32, i32) = (row.get(0), newest_version());
    match found.cmp(&known) {
        Ordering::Less => Err(Error::NotMigrated),
        Ordering::Equal => Ok(mode),
        Ordering::Greater => Err(Error::SchemaNewer { found, known }),
    }
}

/// TimescaleDB if it can be had, else plain PostgreSQL. Decided once, when the tables are made.
async fn choose_mode(target: &Target, client: &Client) -> Result<Mode, Error> {
    let row = client
        .query_one(
            "SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb'), \
                    EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb')",
            &[],
        )
        .await
        .map_err(failed("looking for TimescaleDB"))?;
    match (row.get(0), row.get(1)) {
        (true, _) => Ok(Mode::Timescale),
        (false, false) => Ok(Mode::Plain),
        (false, true) => {
            // Where the library is not preloaded this ends the session: take one of its own.
            let other = target.connect("bellwire migrate").await?;
            // Where whoever reads the views finds `time_bucket`: a role called as our schema would
            // have it there, and a restore has it in `public` anyway.
            let create = "CREATE EXTENSION timescaledb SCHEMA public";
            match other.client.batch_execute(create).await {
                Ok(()) => Ok(Mode::Timescale),
                Err(error) => {
                    warn!(
                        %error,
                        "TimescaleDB is installed but cannot be used (is it in \
                         shared_preload_libraries?): readings go to plain PostgreSQL."
                    );
                    Ok(Mode::Plain)
                }
            }
        }
    }
}

/// Runs those of `migrations` that come after `from`.
async fn apply(
    client: &Client,
    migrations: &[Migration],
    from: i32,
    mode: Mode,
) -> Result<i32, Error> {
    let mut version = from;
    for migration in migrations.iter().filter(|migration| migration.version > from) {
        let sql = match mode {
            Mode::Plain => migration.plain,
            Mode::Timescale => migration.timescale,
        };
        let mark = format!(
            "INSERT INTO bellwire.schema_version (version, name) VALUES ({}, '{}')",
            migration.version, migration.name
        );
        let failed = |source| Error::Migration { name: migration.name, source };
        if sql.starts_with(NO_TRANSACTION) {
            client.batch_execute(sql).await.map_err(failed)?;
            client.batch_execute(&mark).await.map_err(failed)?;
        } else {
            // One simple query: PostgreSQL runs it as one transaction, and ends it on an error.
            let whole = format!("BEGIN;\n{sql}\n;{mark}; COMMIT");
            if let Err(source) = client.batch_execute(&whole).await {
                // Leaves the session clean; if even that fails, so did the connection.
                let _ = client.batch_execute("ROLLBACK").await;
                return Err(failed(source));
            }
        }
        version = migration.version;
    }
    Ok(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_count_up_from_one() {
        let versions = MIGRATIONS.iter().map(|migration| migration.version);
        assert!(versions.eq(1..=newest_version()));
        for migration in MIGRATIONS {
            assert!(migration.name.starts_with(&format!("{:04}_", migration.version)));
        }
    }

    #[tokio::test]
    async fn a_file_may_run_outside_a_transaction() {
        let database = crate::testing::database().await.open();
        let link = database.target().connect("test").await.expect("a database");
        let sql = "-- no transaction\nCREATE INDEX CONCURRENTLY extra ON bellwire.alert (rule)";
        let extra = [both(newest_version() + 1, "9999_extra", sql)];
        let to = apply(&link.client, &extra, newest_version(), Mode::Plain).await.expect("applied");
        assert_eq!(to, newest_version() + 1);
        let refusal = prepare(&link.client).await.expect_err("we are older now");
        assert!(matches!(refusal, Error::SchemaNewer { .. }), "{refusal}");
    }

    #[tokio::test]
    async fn a_failed_file_leaves_nothing() {
        let database = crate::testing::database().await.open();
        let link = database.target().connect("test").await.expect("a database");
        let sql = "CREATE TABLE bellwire.half (); SELECT 1/0";
        let broken = [both(newest_version() + 1, "9999_broken", sql)];
        let error = apply(&link.client, &broken, newest_version(), Mode::Plain).await;
        assert!(matches!(error, Err(Error::Migration { name: "9999_broken", .. })));
        assert_eq!(prepare(&link.client).await.expect("unchanged"), newest_version());
        let row = link.client.query_one("SELECT to_regclass('bellwire.half') IS NULL", &[]);
        assert!(row.await.expect("a row").get::<_, bool>(0));
    }
}
