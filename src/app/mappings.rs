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
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::durably;
use super::file_error::FileError;
use super::file_watch::{self, Changes, Watching};

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

/// Watches `path`, whose mappings are in force.
pub(super) fn watch(
    path: &Path,
    log: Arc<dyn Log>,
    claims: SharedClaims,
    tracker: &TaskTracker,
) -> anyhow::Result<Watching> {
    let (watching, changes) = file_watch::watch(path)?;
    tracker.spawn(follow(path.to_owned(), log, claims, changes));
    Ok(watching)
}

/// Reads the file again after each change, until the watch ends.
async fn follow(path: PathBuf, log: Arc<dyn Log>, claims: SharedClaims, mut changes: Changes) {
    while changes.next().await {
        match read(&path) {
            Ok(new) if new.text() == claims.mappings().text() => {}
            Ok(new) => match put(&log, &claims, new).await {
                Ok(()) => info!("Read the mappings in {}.", path.display()),
                Err(error) => warn!("The new mappings are not in force: {error:#}."),
            },
            Err(error) => warn!("The mappings in force stay as they are: {error}"),
        }
    }
}
