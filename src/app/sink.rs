//! *Keep* → store: opens the database, starts the managed server again when it is gone, writes.

use std::path::PathBuf;
use std::sync::Arc;

use bellwire_ingest::ledger::StoredLedger;
use bellwire_ingest::ports::{BatchSink, Opened, SinkError};
use bellwire_model::{KeepBatch, LogId, SharedNames};
use bellwire_store::{Database, Error, WriteError, Writer};
use tracing::{error, info, warn};

use super::health::DatabaseState;

/// The database, as *keep* sees it.
#[derive(Debug)]
pub struct StoreSink {
    database: Arc<Database>,
    state: Arc<DatabaseState>,
    /// Made when the database was first opened: from then on the service starts without it.
    initialised: PathBuf,
    writer: Option<Writer>,
}

impl StoreSink {
    /// A sink that is not open yet.
    #[must_use]
    pub const fn new(
        database: Arc<Database>,
        state: Arc<DatabaseState>,
        initialised: PathBuf,
    ) -> Self {
        Self { database, state, initialised, writer: None }
    }

    async fn try_open(&mut self, log: LogId) -> Result<Opened, Error> {
        self.database.ensure_running().await?;
        let migrated = self.database.migrate().await?;
        let (writer, opened) = self.database.writer(log).await?;
        let queries = self.database.queries()?;
        let info = queries.server_info().await?;
        let ledger = queries.load_ledger(log).await?;
        let detail = format!("PostgreSQL {}, {}", info.version, migrated.mode.label());
        info!("The database is {} ({detail}).", self.database.describe());
        self.state.back(&detail);
        self.writer = Some(writer);
        Ok(Opened {
            position: opened.position,
            ledger_position: opened.ledger_position,
            ledger: ledger.into_iter().map(stored_ledger).collect(),
        })
    }

    /// Starts a managed server that has gone. It is *keep* that needs it, so it is *keep* that
    /// looks after it.
    async fn revive(&self) {
        self.state.away();
        if let Err(error) = self.database.ensure_running().await {
            warn!(error = &error as &dyn std::error::Error, "Failed to start the database again.");
        }
    }
}

impl BatchSink for StoreSink {
    async fn open(&mut self, log: LogId) -> Result<Opened, SinkError> {
        match self.try_open(log).await {
            Ok(opened) => {
                if let Err(error) = std::fs::write(&self.initialised, log.to_string()) {
                    let path = self.initialised.display();
                    warn!(error = &error as &dyn std::error::Error, "Failed to write {path}.");
                }
                Ok(opened)
            }
            Err(error) if error.is_transient() || error.is_unavailable() => {
                self.state.away();
                Err(SinkError::Away(error.into()))
            }
            Err(error) => Err(SinkError::Closed(error.into())),
        }
    }

    async fn write(&mut self, batch: &KeepBatch, names: &SharedNames) -> Result<(), SinkError> {
        let Some(writer) = &mut self.writer else {
            return Err(SinkError::Closed("the database was never opened".into()));
        };
        match writer.write(batch, names).await {
            Ok(()) => {
                self.state.fine();
                Ok(())
            }
            Err(error @ WriteError::Transient(_)) => {
                self.revive().await;
                Err(SinkError::Away(error.into()))
            }
            // Trying again is all that can be done, and loses nothing: the log has it.
            Err(error @ WriteError::Refused { .. }) => {
                self.state.away();
                error!(
                    error = &error as &dyn std::error::Error,
                    "The database refuses a batch; nothing is stored until that is mended."
                );
                Err(SinkError::Away(error.into()))
            }
            Err(error) => Err(SinkError::Closed(error.into())),
        }
    }
}

fn stored_ledger(row: bellwire_store::StoredLedger) -> StoredLedger {
    StoredLedger {
        device: row.device,
        first_seen: row.first_seen,
        last_seen: row.last_seen,
        ledger: row.ledger,
    }
}
