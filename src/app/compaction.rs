//! Carries fresh readings over, and looks after the tables, for as long as the service runs.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use bellwire_store::{Cleared, Compacted, Compactor, Database};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::threads;
use crate::runtime;

/// How soon it looks again when readers have held it up.
const AGAIN: Duration = Duration::from_secs(5);

/// How soon upkeep is tried again when the database was away.
const UPKEEP_AGAIN: Duration = Duration::from_secs(60);

/// How often quarantine is cleared: it may grow beyond its size by what comes in this time.
const CLEAR: Duration = Duration::from_secs(60);

/// The running thread. Stopped half-way, a run is undone, and the next service's does it.
#[derive(Debug)]
pub(super) struct Compaction {
    token: CancellationToken,
    thread: JoinHandle<Option<()>>,
}

impl Compaction {
    /// Runs the compactor of `database` each `every`, on a thread of its own: it sorts and encodes
    /// hundreds of thousands of rows at a stretch, and sockets must not wait for that.
    ///
    /// # Errors
    /// If the system makes no thread.
    pub(super) fn start(
        database: Arc<Database>,
        every: Duration,
        failures: mpsc::Sender<anyhow::Error>,
    ) -> std::io::Result<Self> {
        let token = CancellationToken::new();
        let ended = token.clone();
        let thread = threads::spawn("compactor", failures, move || {
            runtime::single_thread()?.block_on(async {
                tokio::select! {
                    () = ended.cancelled() => {}
                    () = work(database.compactor(), every) => {}
                    () = upkeep(&database) => {}
                    () = clear(&database) => {}
                }
            });
            Ok(())
        })?;
        Ok(Self { token, thread })
    }

    /// Ends it, at once but for a slice that it is sorting.
    pub(super) async fn stop(self) {
        self.token.cancel();
        threads::join("compactor", self.thread).await;
    }
}

async fn upkeep(database: &Database) {
    let mut pulse = interval(Database::UPKEEP_EVERY);
    pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        pulse.tick().await;
        match database.upkeep().await {
            Ok(()) => {}
            Err(error) if error.is_transient() || error.is_unavailable() => {
                debug!(error = &error as &dyn std::error::Error, "No upkeep now.");
                pulse.reset_after(UPKEEP_AGAIN);
            }
            Err(error) => {
                warn!(
                    error = &error as &dyn std::error::Error,
                    "Failed to look after the tables: retention and policies wait."
                );
            }
        }
    }
}

/// Keeps the shelf of quarantined payloads as small as it should be.
async fn clear(database: &Database) {
    let mut pulse = interval(CLEAR);
    pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        pulse.tick().await;
        match database.clear_quarantine().await {
            Ok(Cleared { by_size: 0, .. }) => {}
            Ok(Cleared { by_size, .. }) => warn!(
                "Dropped the oldest {by_size} quarantined payloads: all take more than \
                 database.quarantine_bytes_max."
            ),
            Err(error) if error.is_transient() || error.is_unavailable() => {
                debug!(error = &error as &dyn std::error::Error, "Quarantine is not cleared now.");
            }
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, "Failed to clear quarantine.");
            }
        }
    }
}

async fn work(mut compactor: Compactor, every: Duration) {
    // At once: what was fresh before a restart is not in memory, and each query reads it whole.
    let mut pulse = interval(every);
    pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_well = true;
    loop {
        pulse.tick().await;
        match compactor.run().await {
            Ok(Compacted::Waiting) => pulse.reset_after(AGAIN.min(every)),
            Ok(Compacted::Rows(_) | Compacted::Elsewhere) => is_well = true,
            // *Keep* says that the database is away, and looks after it.
            Err(error) if error.is_transient() || error.is_unavailable() => {
                debug!(error = &error as &dyn std::error::Error, "No readings carried over now.");
            }
            // Once, until it is mended.
            Err(error) if is_well => {
                is_well = false;
                warn!(
                    error = &error as &dyn std::error::Error,
                    "Fresh readings could not be carried over; queries get slower meanwhile."
                );
            }
            Err(error) => {
                debug!(error = &error as &dyn std::error::Error, "No readings carried over still.");
            }
        }
    }
}
