//! The log: everything that can change what is stored or alarmed, in one order, on disk.
//!
//! **A record's way.** Who has one wraps it in an [`Entry`] and calls [`Log::try_append`]; if the
//! queue is full, [`Log::append`] and waits. The *appender*, a thread of its own (`appender`),
//! takes all that is queued, stamps `received_at`, encodes it into one buffer (`group`, `frame`),
//! makes one write and one fdatasync, moves the durable end (`shared`), and settles the receipts.
//! Then it takes what has queued up meanwhile: no timer decides how much shares a sync. *Judge*
//! and *keep* wait for the durable end and read behind it with readers of their own (`reader`).
//!
//! **On disk.** A directory with `meta` (the log's id), `lock`, and segments (`segment`), each
//! named by the position of its first frame. A second thread (`spares`) keeps the next one
//! written full of zeros, so that an fdatasync has no metadata to write, and removes the segments
//! below the floor. `recover` finds the end after a crash.
//!
//! **Full.** When `bytes_max` is reached, or the disk's reserve, or the disk is full, the log is
//! *held*: nothing fails and nothing is dropped, data stays in the queue, the queue fills,
//! appends wait, and so do the sockets. Control records go on, 5% beyond `bytes_max`.
//!
//! **Failed.** After a failed write or fdatasync the page cache may lie. The log says so once, to
//! `fail_stop`, and settles nothing as durable any more.

mod active;
mod appender;
mod body;
mod catalog;
mod config;
mod devices;
mod disk;
mod entry;
mod error;
mod files;
mod frame;
mod group;
mod local;
mod meta;
mod metrics;
mod queue;
mod reader;
mod record;
mod recover;
mod replay;
mod segment;
mod shared;
mod spares;

use std::fmt;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bellwire_model::{LogId, LogPosition};
use tokio::sync::watch;

pub use config::Config;
pub use devices::DeviceChange;
pub use disk::{Disk, OsDisk};
pub use entry::Entry;
pub use error::{Closed, Error, ReadError};
pub use files::{Contents, LogFiles};
pub use frame::{Chunk, FRAME_HEADER_BYTES, Frame, Frames};
pub use local::{FailStop, LocalLog, Options, Verified};
pub use meta::Lock;
pub use metrics::Metrics;
pub use record::{BODY_BYTES_MAX, Record, RecordError, RecordKind};
pub use replay::Replay;
pub use shared::Durable;

/// A durable, totally ordered record of what happened. [`LocalLog`] is the one on our own disk.
///
/// Positions only grow, also over restarts. An entry's receipt is settled
/// [`Outcome::Durable`](bellwire_model::Outcome::Durable) only when the record would survive a
/// power cut, and after [`Log::durable`] says so.
pub trait Log: Send + Sync + fmt::Debug {
    /// Whose positions these are.
    fn id(&self) -> LogId;

    /// Takes `entry` if there is room for it now, and nobody has been waiting for that room.
    /// Entries of one caller keep their order as long as it waits where it is told to; control
    /// records may overtake publishes.
    ///
    /// A closed log takes it and settles its receipt
    /// [`Outcome::Retry`](bellwire_model::Outcome::Retry).
    ///
    /// # Errors
    /// Gives the entry back if there is no room: go on with [`Log::append`].
    fn try_append(&self, entry: Entry) -> Result<(), Entry>;

    /// Takes `entry` when there is room; who came first goes first. Completes when the entry is
    /// queued, not when it is durable.
    ///
    /// # Cancel safety
    /// Dropped before it completes, the entry is not taken and its receipt settles
    /// [`Outcome::Retry`](bellwire_model::Outcome::Retry).
    fn append(&self, entry: Entry) -> Appending<'_>;

    /// How far it is on disk.
    fn durable(&self) -> Durable;

    /// How far receipts are settled: those of every record that begins before it. It follows the
    /// durable end at once, from below.
    fn settled(&self) -> LogPosition;

    /// Blocks until the durable end lies beyond `after`, or for `timeout`; then says where it is.
    /// For threads; tasks use [`Log::follow`].
    ///
    /// # Errors
    /// [`Closed`] if the end is not beyond `after` and moves no more.
    fn wait_durable(&self, after: LogPosition, timeout: Duration) -> Result<Durable, Closed>;

    /// The durable end as a channel; it closes when the end moves no more. Its first
    /// `changed()` may complete at once.
    fn follow(&self) -> watch::Receiver<Durable>;

    /// A reader whose first record is the one at `from`; if positions were skipped there, the
    /// first behind it. Whether there is anything at `from` shows when it reads.
    fn reader(&self, from: LogPosition) -> LogReader;

    /// The lowest position that can be read from.
    fn floor(&self) -> LogPosition;

    /// Nobody will read below `position` any more: what lies wholly below it may go, later and in
    /// the background. A lower position than before changes nothing.
    fn set_floor(&self, position: LogPosition);

    /// Makes all later positions greater than `position`, which some database has seen: the log
    /// is an older copy. Blocks until that is durable.
    ///
    /// # Errors
    /// [`Error::Closed`] if the log ends before; [`Error::NoPositionBeyond`] from 2⁶² on.
    fn ensure_beyond(&self, position: LogPosition) -> Result<(), Error>;

    /// Why publishes wait, if they do.
    fn held(&self) -> Option<Held>;

    /// Takes no more, makes durable what is queued, ends the threads; blocks until all is done.
    /// What cannot be written because the log is held gets
    /// [`Outcome::Retry`](bellwire_model::Outcome::Retry). Readers go on reading.
    fn close(&self);
}

/// See [`Log::append`].
pub type Appending<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Reads a log in order; see [`Log::reader`]. It may outlive the log.
#[derive(Debug)]
pub struct LogReader(Box<dyn ReadRecords>);

impl LogReader {
    /// A reader for another kind of log.
    #[must_use]
    pub fn new(records: impl ReadRecords + 'static) -> Self {
        Self(Box::new(records))
    }

    /// Where it reads on: all records before this have been given.
    #[must_use]
    pub fn position(&self) -> LogPosition {
        self.0.position()
    }

    /// Reads whole records that are durable and begin before `up_to`, about `budget_bytes` of
    /// them, at least one; blocks for the disk. `None` if there is none at present; the position
    /// may have moved even so, over a gap.
    ///
    /// # Errors
    /// [`ReadError::Trimmed`] if the records have been removed, [`ReadError::BadFrame`] if they
    /// are damaged, [`ReadError::Beyond`] if the log ends before the position, [`ReadError::Io`].
    pub fn read(
        &mut self,
        up_to: LogPosition,
        budget_bytes: usize,
    ) -> Result<Option<Chunk<'_>>, ReadError> {
        self.0.read(up_to, budget_bytes)
    }
}

/// What is behind a [`LogReader`]; see there.
pub trait ReadRecords: Send + fmt::Debug {
    /// See [`LogReader::position`].
    fn position(&self) -> LogPosition;

    /// See [`LogReader::read`].
    ///
    /// # Errors
    /// See [`LogReader::read`].
    fn read(
        &mut self,
        up_to: LogPosition,
        budget_bytes: usize,
    ) -> Result<Option<Chunk<'_>>, ReadError>;
}

/// Why publishes wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// The log has as many bytes as it may: the readers are behind.
    Full,
    /// The disk has no more than its reserve left.
    Disk,
}

impl Held {
    /// The stable, lower-case word for it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Disk => "disk",
        }
    }
}

/// Locks; our critical sections leave nothing half done, so a panic elsewhere does not matter.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
