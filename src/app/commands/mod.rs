//! Commands to devices: from the API into the log, from the log to the broker, and what the broker tells
//! of them into the log again.
//!
//! The log decides how a command stands. In between is the [`Desk`], which remembers what was heard of
//! commands and is not judged yet: nothing is sent twice because of that, or taken back once it is sent.

mod bell;
mod bring;
mod list;
mod port;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bellwire_broker::BrokerHandle;
use bellwire_ingest::commands::SharedCommands;
use bellwire_ingest::log::Log;
use bellwire_model::{Clock, CommandId, LogPosition};
use bellwire_store::Queries;
use hashbrown::HashSet;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(super) use bell::Bell;
pub(super) use port::CommandPort;

/// How long whoever gives a command waits for room in the log, and for the disk.
const PATIENCE: Duration = Duration::from_secs(10);

/// What has been heard of commands and may not be judged yet.
#[derive(Debug, Default)]
struct Books {
    /// Sent to a connection.
    sent: HashSet<CommandId>,
    /// The device has them, or was sent them with QoS 0.
    delivered: HashSet<CommandId>,
    /// Being taken back.
    withheld: HashSet<CommandId>,
}

/// What brings commands to devices.
#[derive(Debug)]
pub(super) struct Desk {
    commands: SharedCommands,
    log: Arc<dyn Log>,
    broker: BrokerHandle,
    clock: Arc<dyn Clock>,
    judged: watch::Receiver<LogPosition>,
    books: Mutex<Books>,
}

/// What a desk is connected to.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) commands: SharedCommands,
    pub(super) log: Arc<dyn Log>,
    pub(super) broker: BrokerHandle,
    pub(super) clock: Arc<dyn Clock>,
    /// How far *judge* is.
    pub(super) judged: watch::Receiver<LogPosition>,
    /// The history.
    pub(super) queries: Queries,
}

/// The task that brings commands; ends when dropped.
#[derive(Debug)]
pub(super) struct Bringing {
    closing: CancellationToken,
}

impl Drop for Bringing {
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

/// Begins to bring commands to devices; gives the port through which they are given.
pub(super) fn begin(parts: Parts, bell: Bell, tracker: &TaskTracker) -> (CommandPort, Bringing) {
    let Parts { commands, log, broker, clock, judged, queries } = parts;
    let books = Mutex::default();
    let desk = Arc::new(Desk { commands, log, broker, clock, judged, books });
    let closing = CancellationToken::new();
    tracker.spawn(bring::run(Arc::clone(&desk), bell, closing.clone()));
    (CommandPort::new(desk, queries, tracker.clone()), Bringing { closing })
}

impl Desk {
    fn books(&self) -> MutexGuard<'_, Books> {
        // Nothing in it is left half done.
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until everything that is durable is judged; false if *judge* has ended before.
    async fn wait_judged(&self) -> bool {
        let end = self.log.durable().end;
        self.judged.clone().wait_for(|judged| *judged >= end).await.is_ok()
    }
}
