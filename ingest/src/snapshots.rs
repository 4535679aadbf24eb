//! Writes snapshots beside *judge*, which must not wait for a sync, and moves the log's floor.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tracing::{error, warn};

use crate::log::Log;
use crate::metrics::Metrics;
use crate::ports::Sessions;
use crate::snapshot::{Snapshot, Snapshots};

/// How often to look whether receipts are settled.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// The thread that writes snapshots. Its queue holds one: *judge* takes no snapshot while it is
/// busy.
#[derive(Debug)]
pub(crate) struct SnapshotWriter {
    queue: Option<SyncSender<Snapshot>>,
    busy: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

struct Worker {
    snapshots: Snapshots,
    log: Arc<dyn Log>,
    sessions: Arc<dyn Sessions>,
    metrics: Metrics,
    busy: Arc<AtomicBool>,
}

impl SnapshotWriter {
    /// Starts the thread.
    ///
    /// # Panics
    /// If the system cannot make a thread.
    pub(crate) fn start(
        snapshots: Snapshots,
        log: Arc<dyn Log>,
        sessions: Arc<dyn Sessions>,
        metrics: Metrics,
    ) -> Self {
        let (queue, snapshots_to_write) = sync_channel(1);
        let busy = Arc::new(AtomicBool::new(false));
        let worker = Worker { snapshots, log, sessions, metrics, busy: Arc::clone(&busy) };
        let thread = std::thread::Builder::new()
            .name("snapshots".to_owned())
            .spawn(move || worker.run(&snapshots_to_write))
            .expect("the system can make a thread at start-up");
        Self { queue: Some(queue), busy, thread: Some(thread) }
    }

    /// Whether the last snapshot is written.
    pub(crate) fn is_idle(&self) -> bool {
        !self.busy.load(Ordering::Acquire)
    }

    /// Has a snapshot written; ask [`SnapshotWriter::is_idle`] first.
    pub(crate) fn write(&self, snapshot: Snapshot) {
        self.busy.store(true, Ordering::Release);
        if let Some(queue) = &self.queue
            && queue.send(snapshot).is_err()
        {
            error!("The thread that writes snapshots is gone; recovery will take longer.");
        }
    }

    /// Writes the last one and waits until it is on disk.
    pub(crate) fn finish(&mut self, snapshot: Snapshot) {
        self.write(snapshot);
        self.queue = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            error!("The thread that writes snapshots panicked.");
        }
    }
}

impl Worker {
    fn run(mut self, queue: &Receiver<Snapshot>) {
        while let Ok(mut snapshot) = queue.recv() {
            self.add_sessions(&mut snapshot);
            self.write(&snapshot);
            self.log.set_floor(self.snapshots.floor());
        }
    }

    /// Adds the sessions as they are now. What they have beyond the snapshot is made again in vain;
    /// what they lack of it would be lost: so the receipts of all it has must be settled, which the
    /// log's thread does right after it says that they are durable.
    fn add_sessions(&self, snapshot: &mut Snapshot) {
        while self.log.settled() < snapshot.places().position {
            std::thread::park_timeout(LOOK_EVERY);
        }
        snapshot.set_sessions(self.sessions.image());
    }

    fn write(&mut self, snapshot: &Snapshot) {
        match self.snapshots.write(snapshot) {
            Ok(()) => self.metrics.snapshot_written(),
            Err(error) => warn!(
                error = &error as &dyn std::error::Error,
                "Failed to write a snapshot; recovery will begin at an older one."
            ),
        }
        self.busy.store(false, Ordering::Release);
    }
}
