//! Reading quarantined payloads again, and trying mappings on payloads, as the API asks for it.

use std::fmt::Debug;
use std::pin::Pin;

use bellwire_model::{
    DeviceId, Label, MetricName, Presence, Quarantined, RejectReason, Timestamp, Value,
};

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

/// A payload, and the mappings to try on it.
#[derive(Clone, Debug)]
pub struct MappingTrial {
    /// Where it would be published.
    pub topic: String,
    /// The payload.
    pub payload: Vec<u8>,
    /// The mappings as TOML; those in force if absent.
    pub toml: Option<String>,
    /// When it would be received.
    pub received_at: Timestamp,
}

/// One reading that would be stored.
#[derive(Clone, Debug, PartialEq)]
pub struct TrialReading {
    /// Whose.
    pub device: DeviceId,
    /// Of what.
    pub metric: MetricName,
    /// Event time.
    pub at: Timestamp,
    /// What was read.
    pub value: Value,
}

/// What a payload would come to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TriedMapping {
    /// The pattern of the mapping that reads the topic, or `built in`; absent if it is no telemetry.
    pub read_by: Option<String>,
    /// What would be stored, in order.
    pub readings: Vec<TrialReading>,
    /// Which devices are there by it, or no more.
    pub presence: Vec<(DeviceId, Presence)>,
    /// What devices say of themselves.
    pub labels: Vec<(DeviceId, Label)>,
    /// Why it would be in quarantine, and what and where that is, for a person.
    pub fault: Option<(RejectReason, Box<str>)>,
}

/// One thing that is wrong in a text of mappings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappingMistake {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What would be right, if that can be said.
    pub help: Option<String>,
}

/// Reads quarantined payloads again, as the mappings say now.
pub trait Shelf: Debug + Send + Sync {
    /// Takes one page of them; done when they are on disk.
    fn replay(&self, query: QuarantineQuery, mode: ReplayMode) -> ShelfFuture<'_>;

    /// What a payload would come to; nothing is stored. It takes as long as reading it does.
    ///
    /// # Errors
    /// Every mistake in the mappings.
    fn try_mapping(&self, trial: &MappingTrial) -> Result<TriedMapping, Vec<MappingMistake>>;
}
