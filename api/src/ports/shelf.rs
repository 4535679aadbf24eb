//! Reading quarantined payloads again, as the API asks for it.

use std::fmt::Debug;
use std::pin::Pin;

use bellwire_model::{Quarantined, RejectReason};

use super::{PortError, QuarantineQuery};

/// Whether payloads are read again, or it is only tried what would come of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayMode {
    /// Nothing changes.
    Try,
    /// Those that can be read leave quarantine.
    Replay,
}

/// Why a payload stays in quarantine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeftReason {
    /// It still cannot be read.
    Unreadable {
        /// The stable reason.
        reason: RejectReason,
        /// What and where, for a person.
        detail: Box<str>,
    },
    /// It came in by another log, of a data directory that is gone: its account is closed.
    AnotherLog,
    /// It is from before it was noted which of its readings are stored: some might be stored twice.
    NotNoted,
}

/// A payload that stays.
#[derive(Clone, Debug)]
pub struct Left {
    /// The payload.
    pub quarantined: Quarantined,
    /// Why.
    pub reason: LeftReason,
}

/// What came of a page of quarantined payloads.
#[derive(Clone, Debug, Default)]
pub struct Replayed {
    /// How many can be read now.
    pub n_payloads: usize,
    /// How many readings they have that were not stored.
    pub n_readings: u64,
    /// The others.
    pub left: Vec<Left>,
    /// Where the page ended, if there may be more.
    pub next: Option<String>,
}

/// Why payloads are not read again.
#[derive(Debug, thiserror::Error)]
pub enum ShelfError {
    /// They could not be fetched.
    #[error(transparent)]
    Port(#[from] PortError),
    /// The log had no room in time, or the service stops; some may be on their way.
    #[error("the log has no room")]
    Later,
}

/// What [`Shelf`] answers with.
pub type ShelfFuture<'a> = Pin<Box<dyn Future<Output = Result<Replayed, ShelfError>> + Send + 'a>>;

/// Reads quarantined payloads again, as the mappings say now.
pub trait Shelf: Debug + Send + Sync {
    /// Takes one page of them; done when they are on disk.
    fn replay(&self, query: QuarantineQuery, mode: ReplayMode) -> ShelfFuture<'_>;
}
