//! *Keep* → store: opens the database, starts the managed server again when it is gone, writes.

use std::sync::Arc;

use bellwire_api::ports::DatabaseInfo;
use bellwire_ingest::ledger::StoredLedger;
use bellwire_ingest::ports::{BatchSink, Opened, RefusedPublish, SinkError};
use bellwire_model::{KeepBatch, LogId, SharedNames};
use bellwire_store::{Database, Error, Mode, WriteError, Writer};
use tracing::{error, info, warn};

use super::health::{DatabaseState, described};
use super::seen::Seen;
use super::traces::Writes;

/// The database, as *keep* sees it.
#[derive(Debug)]
pub struct StoreSink {
    database: Arc<Database>,
    state: Arc<DatabaseState>,
    /// Told where the database is whenever it is opened.
    seen: Arc<Seen>,
    writer: Option<Writer>,
    /// Told of what is written, if that is traced.
    writes: Option<Writes>,
}

impl StoreSink {
    /// A sink that is not open yet.
    #[must_use]
    pub(super) const fn new(
        database: Arc<Database>,
        state: Arc<DatabaseState>,
        seen: Arc<Seen>,
        writes: Option<Writes>,
    ) -> Self {
        Self { database, state, seen, writer: None, writes }
    }

    async fn try_open(&mut self, log: LogId) -> Result<Opened, Error> {
        self.database.ensure_running().await?;
        let migrated = self.database.migrate().await?;
        let (writer, opened) = self.database.writer(log).await?;
        let queries = self.database.queries()?;
        let info = queries.server_info().await?;
        let ledger = queries.load_ledger(log).await?;
        let info = DatabaseInfo {
            mode: migrated.mode.label(),
            postgresql: info.version,
            timescaledb: info.timescale_version.filter(|_| migrated.mode == Mode::Timescale),
            schema: info.schema_version,
        };
        info!("The database is {} ({}).", self.database.describe(), described(&info));
        self.grant_reader().await;
        self.state.back(info);
        self.writer = Some(writer);
        Ok(Opened {
            position: opened.position,
            ledger_position: opened.ledger_position,
            ledger: ledger.into_iter().map(stored_ledger).collect(),
        })
    }

    /// Sets up the role that only reads, if there is to be one. Readings are kept without it.
    async fn grant_reader(&self) {
        match self.database.grant_reader().await {
            Ok(Some(granted)) => info!("In the database, {granted}."),
            Ok(None) => {}
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                warn!(error, "Failed to set up the role that only reads.");
            }
        }
    }

    /// Notes that the database does not take what it is given; true for the first time in a row.
    /// Starts a managed server that has gone: it is *keep* that needs it, so it is *keep* that
    /// looks after it.
    async fn away(&self, error: &WriteError) -> bool {
        let is_new = self.state.away(error);
        if let Err(error) = self.database.ensure_running().await {
            let error = &error as &dyn std::error::Error;
            self.state.away(error);
            if is_new {
                warn!(error, "Failed to start the database again.");
            }
        }
        is_new
    }

    /// What *keep* is to do about an error of the writer's.
    async fn sort(&self, error: WriteError) -> SinkError {
        match error {
            WriteError::Transient(_) => {
                self.away(&error).await;
                SinkError::Away(error.into())
            }
            // Trying again is all that can be done, and loses nothing: the log has it.
            WriteError::Unusable(_) => {
                if self.state.away(&error) {
                    error!(
                        error = &error as &dyn std::error::Error,
                        "The database cannot be used as it is; nothing is stored until that is \
                         mended."
                    );
                }
                SinkError::Away(error.into())
            }
            WriteError::Refused { .. } => SinkError::Refused(error.into()),
            WriteError::Fenced | WriteError::Diverged { .. } => SinkError::Closed(error.into()),
        }
    }

    fn writer(&mut self) -> Result<&mut Writer, SinkError> {
        self.writer
            .as_mut()
            .ok_or_else(|| SinkError::Closed("the database was never opened".into()))
    }
}

impl BatchSink for StoreSink {
    async fn open(&mut self, log: LogId) -> Result<Opened, SinkError> {
        match self.try_open(log).await {
            Ok(opened) => match self.seen.database_at(opened.position) {
                Ok(()) => Ok(opened),
                Err(error) => Err(SinkError::Closed(error.into())),
            },
            Err(error) if error.is_transient() || error.is_unavailable() => {
                self.state.away(&error);
                Err(SinkError::Away(error.into()))
            }
            Err(error) => Err(SinkError::Closed(error.into())),
        }
    }

    async fn write(&mut self, batch: &KeepBatch, names: &SharedNames) -> Result<(), SinkError> {
        if let Some(writes) = &mut self.writes {
            writes.begin(batch);
        }
        match self.writer()?.write(batch, names).await {
            Ok(()) => {
                self.state.fine();
                if let Some(writes) = &mut self.writes {
                    writes.done(batch);
                }
                Ok(())
            }
            Err(error) => {
                if let Some(writes) = &mut self.writes {
                    writes.failed();
                }
                Err(self.sort(error).await)
            }
        }
    }

    async fn find_refused(
        &mut self,
        batch: &KeepBatch,
        n_readings: &[u32],
        names: &SharedNames,
    ) -> Result<Vec<RefusedPublish>, SinkError> {
        let found = match self.writer()?.find_refused(batch, n_readings, names).await {
            Ok(found) => found,
            Err(error) => return Err(self.sort(error).await),
        };
        if found.is_empty() && self.state.away(&NoPublish) {
            error!(
                "The database refuses a batch for none of its publishes; nothing is stored until that is mended."
            );
        }
        let refused =
            |bellwire_store::RefusedPublish { index, detail }| RefusedPublish { index, detail };
        Ok(found.into_iter().map(refused).collect())
    }
}

/// What keeps a batch from being stored, where it is nothing that a device published.
#[derive(Debug, thiserror::Error)]
#[error("it refuses alerts, quarantined payloads or accounts")]
struct NoPublish;

fn stored_ledger(row: bellwire_store::StoredLedger) -> StoredLedger {
    StoredLedger {
        device: row.device,
        first_seen: row.first_seen,
        last_seen: row.last_seen,
        ledger: row.ledger,
    }
}
