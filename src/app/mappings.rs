//! Mappings: the file they come from, the log that says which are in force, and what the broker claims by
//! them.
//!
//! The broker claims a topic only once its mapping is durable in the log: what is published because of
//! it lies behind it, for every reader of the log.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bellwire_ingest::log::{Entry, Log};
use bellwire_ingest::mapping::Mappings;
use bellwire_ingest::topics::SharedClaims;
use tokio::sync::Mutex;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::durably;
use super::file_error::FileError;
use super::file_watch::{self, Changes, Watching};
use super::reload::{Looked, Reloads, What};

/// Reads a file of mappings and checks it.
///
/// # Errors
/// [`FileError`] with every mistake that was found.
pub fn read(path: &Path) -> Result<Arc<Mappings>, FileError> {
    let text = std::fs::read_to_string(path).map_err(|source| FileError::Read {
        what: "mappings",
        path: path.to_owned(),
        source,
    })?;
    Mappings::parse(&text).map(Arc::new).map_err(|errors| {
        let file = path.display();
        let lines: Vec<_> = errors.iter().map(|error| format!("{file}: {error}")).collect();
        FileError::Wrong { report: lines.join("\n") }
    })
}

/// From now on these are the mappings.
///
/// # Errors
/// If the log has ended.
pub(super) async fn put(
    log: &Arc<dyn Log>,
    claims: &SharedClaims,
    mappings: Arc<Mappings>,
) -> anyhow::Result<()> {
    durably::append(log, Entry::mappings(&mappings)).await?;
    claims.set(mappings);
    Ok(())
}

/// The file, whose mappings are those that the broker claims by.
#[derive(Clone, Debug)]
pub(super) struct MappingsFile(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    log: Arc<dyn Log>,
    claims: SharedClaims,
    reloads: Reloads,
    /// Whoever has it looks.
    turn: Mutex<()>,
}

impl MappingsFile {
    /// The file at `path`, whose mappings are in force.
    pub(super) fn new(
        path: PathBuf,
        log: Arc<dyn Log>,
        claims: SharedClaims,
        reloads: Reloads,
    ) -> Self {
        Self(Arc::new(Inner { path, log, claims, reloads, turn: Mutex::new(()) }))
    }

    /// Looks whenever it changes, until the watch ends.
    pub(super) fn watch(&self, tracker: &TaskTracker) -> anyhow::Result<Watching> {
        let (watching, changes) = file_watch::watch(&self.0.path)?;
        tracker.spawn(self.clone().follow(changes));
        Ok(watching)
    }

    /// Reads it now, and puts it into force if it has changed and is right.
    pub(super) async fn look(&self) -> Looked {
        let turn = self.0.turn.lock().await;
        let looked = self.take_up().await;
        drop(turn);
        self.0.reloads.count(What::Mappings, &looked);
        looked
    }

    async fn take_up(&self) -> Looked {
        let Inner { path, log, claims, .. } = &*self.0;
        let new = read(path).map_err(|error| {
            format!("The mappings in force stay as they are: {}", super::chain(&error))
        })?;
        if new.text() == claims.mappings().text() {
            return Ok(None);
        }
        put(log, claims, new).await.map_err(|error| {
            format!("The new mappings of {} are not in force: {error:#}.", path.display())
        })?;
        Ok(Some(format!("those in {}", path.display())))
    }

    async fn follow(self, mut changes: Changes) {
        loop {
            // At once too: it may have changed while the service started.
            match self.look().await {
                Ok(None) => {}
                Ok(Some(_)) => info!("Read the mappings in {}.", self.0.path.display()),
                Err(why) => warn!("{why}"),
            }
            if !changes.next().await {
                return;
            }
        }
    }
}
