//! What the database is, and how far it is.

use bellwire_model::{LogId, LogPosition};

use super::Queries;
use crate::metrics::QueryKind;
use crate::types::unsigned;
use crate::{Error, Mode};

/// What the database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerInfo {
    /// PostgreSQL's version, as it says it.
    pub version: String,
    /// How readings are stored.
    pub mode: Mode,
    /// TimescaleDB's version, if it is in use.
    pub timescale_version: Option<String>,
    /// The schema's version.
    pub schema_version: u32,
    /// The size of the database on disk.
    pub size_bytes: u64,
}

/// How far a log is in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The end of the last committed batch.
    pub position: LogPosition,
    /// As of which position the ledger is.
    pub ledger_position: LogPosition,
    /// The newest writer's epoch.
    pub epoch: u64,
}

impl Queries {
    /// What the database is.
    ///
    /// # Errors
    /// [`Error`]; transient ones while the database is away, [`Error::NotMigrated`].
    pub async fn server_info(&self) -> Result<ServerInfo, Error> {
        let rows = self
            .run(
                QueryKind::Status,
                "asking what the database is",
                "SELECT current_setting('server_version'), \
                        (SELECT relkind = 'p' FROM pg_class \
                         WHERE oid = to_regclass('bellwire.reading')), \
                        (SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'), \
                        (SELECT max(version) FROM bellwire.schema_version), \
                        pg_database_size(current_database())",
                &[],
            )
            .await?;
        let row = rows.first().ok_or(Error::NotMigrated)?;
        let is_plain = row.get::<_, Option<bool>>(1).ok_or(Error::NotMigrated)?;
        let version: Option<i32> = row.get(3);
        Ok(ServerInfo {
            version: row.get(0),
            mode: if is_plain { Mode::Plain } else { Mode::Timescale },
            timescale_version: row.get(2),
            schema_version: version.and_then(|version| u32::try_from(version).ok()).unwrap_or(0),
            size_bytes: unsigned(row.get(4)),
        })
    }

    /// How far `log` is in the database; `None` if it does not know it.
    ///
    /// # Errors
    /// [`Error`]; transient ones while the database is away.
    pub async fn committed(&self, log: LogId) -> Result<Option<Committed>, Error> {
        let rows = self
            .run(
                QueryKind::Status,
                "reading the position",
                "SELECT position, ledger_position, epoch FROM bellwire.log_position \
                 WHERE log = $1",
                &[&log.to_string()],
            )
            .await?;
        Ok(rows.first().map(|row| Committed {
            position: LogPosition(unsigned(row.get(0))),
            ledger_position: LogPosition(unsigned(row.get(1))),
            epoch: unsigned(row.get(2)),
        }))
    }
}
