//! What this room needs from others; `src` connects it.

use std::error::Error;
use std::future::Future;
use std::sync::Arc;

use bellwire_model::{
    Action, Alert, DeviceKey, KeepBatch, LogId, LogPosition, Names, Observation, Presence, Profile,
    Registry, SharedNames, Silence, StageTimes, Timestamp, Transition,
};

use crate::group::Group;
use crate::ledger::StoredLedger;

/// The record that is being judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Where it lies.
    pub position: LogPosition,
    /// When it was received.
    pub received_at: Timestamp,
}

/// The alert rules. Deterministic: the same calls in the same order give the same transitions.
pub trait Rules: Send {
    /// From this record on these are the rules; `text` was checked before it was logged.
    fn load(&mut self, text: &str, moment: Moment, names: &Names, out: &mut Vec<Transition>);

    /// The service began (again).
    fn started(&mut self, moment: Moment);

    /// Time has passed.
    fn tick(&mut self, moment: Moment, names: &Names, out: &mut Vec<Transition>);

    /// Readings of one device at one instant.
    fn observe(&mut self, observation: &Observation<'_>, names: &Names, out: &mut Vec<Transition>);

    /// A device came or went.
    fn presence(
        &mut self,
        change: (DeviceKey, Presence),
        moment: Moment,
        names: &Names,
        out: &mut Vec<Transition>,
    );

    /// This is said of devices from here on.
    fn relabel(
        &mut self,
        changes: &[(DeviceKey, Arc<Profile>)],
        moment: Moment,
        names: &Names,
        out: &mut Vec<Transition>,
    );

    /// An operator does something; silences as they stand after it are added to `silences`.
    fn act(
        &mut self,
        action: &Action,
        moment: Moment,
        out: &mut Vec<Transition>,
        silences: &mut Vec<Arc<Silence>>,
    );

    /// A group of records is done: the time to bring metrics up to date.
    fn judged(&self);

    /// The alerts that are open: not over, or latched.
    fn active(&self) -> Vec<Alert>;

    /// The earliest wall-clock instant at which a tick could change something.
    fn next_deadline(&self) -> Option<Timestamp>;

    /// Appends everything needed to go on from here, rules included, to `out`.
    fn snapshot(&self, names: &Names, out: &mut Vec<u8>);

    /// Goes on from what [`Rules::snapshot`] wrote, when `registry` said of devices what it says.
    ///
    /// # Errors
    /// If the bytes are not what this version writes.
    fn restore(
        &mut self,
        bytes: &[u8],
        names: &mut Names,
        registry: &Registry,
    ) -> Result<(), Box<dyn Error + Send + Sync>>;
}

/// The sessions of clients that outlive connections. They change with records of the log, whose part
/// of that is opaque here, and go into snapshots.
pub trait Sessions: Send + Sync + std::fmt::Debug {
    /// All of them. It has the changes of every record whose receipt is settled, and perhaps more.
    fn image(&self) -> Vec<u8>;

    /// Puts an image in place; an empty one is of no sessions.
    ///
    /// # Errors
    /// If the bytes are not what this version writes.
    fn restore(&self, image: &[u8]) -> Result<(), Box<dyn Error + Send + Sync>>;

    /// Makes a record's changes again; the image may have them already.
    ///
    /// # Errors
    /// If the bytes are not what this version writes.
    fn replay(&self, changes: &[u8]) -> Result<(), Box<dyn Error + Send + Sync>>;

    /// All changes up to here are made again.
    fn recovered(&self, now: Timestamp);
}

/// No sessions, and none to come.
impl Sessions for () {
    fn image(&self) -> Vec<u8> {
        Vec::new()
    }

    fn restore(&self, _image: &[u8]) -> Result<(), Box<dyn Error + Send + Sync>> {
        Ok(())
    }

    fn replay(&self, _changes: &[u8]) -> Result<(), Box<dyn Error + Send + Sync>> {
        Ok(())
    }

    fn recovered(&self, _now: Timestamp) {}
}

/// Whether what is judged happens now, or is read again after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It was judged before the restart; the same transitions come out again.
    Recovery,
    /// It has just become durable.
    Live,
}

/// Who hears what was judged, at once: the operators' live feed.
pub trait Feed: Send {
    /// A group was judged. Must not block: the next group waits.
    fn judged(&mut self, group: &Group, times: StageTimes, phase: Phase);

    /// Recovery is over: everything before `end` is judged, and these alerts are open.
    fn recovered(&mut self, end: LogPosition, active: Vec<Alert>);
}

/// Where the database stood when it was opened.
#[derive(Debug, Default)]
pub struct Opened {
    /// Every record before it is in the database.
    pub position: LogPosition,
    /// The ledger accounts for every record before it; not above `position`.
    pub ledger_position: LogPosition,
    /// The ledger as of there.
    pub ledger: Vec<StoredLedger>,
}

/// Why the database did not take a batch.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// Not now: give it again later. Whether it was taken after all, the sink finds out itself.
    #[error("the database is away")]
    Away(#[source] Box<dyn Error + Send + Sync>),
    /// Not with what is in it, however often it is given: [`BatchSink::find_refused`] says what.
    #[error("the database refuses something in the batch")]
    Refused(#[source] Box<dyn Error + Send + Sync>),
    /// Never again: another writer has taken over, or the database is not where it should be.
    #[error("the database must not be written to any more")]
    Closed(#[source] Box<dyn Error + Send + Sync>),
}

/// A publish that the database will not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedPublish {
    /// Which of the batch's publishes, from 0.
    pub index: usize,
    /// What the database said.
    pub detail: String,
}

/// The database, to *keep*.
pub trait BatchSink: Send {
    /// Connects and takes over as the only writer of this log.
    fn open(&mut self, log: LogId) -> impl Future<Output = Result<Opened, SinkError>> + Send;

    /// Writes a batch, all of it or nothing, once.
    fn write(
        &mut self,
        batch: &KeepBatch,
        names: &SharedNames,
    ) -> impl Future<Output = Result<(), SinkError>> + Send;

    /// Which publishes of a batch it refuses, and stores nothing; none if it refuses something
    /// else of it. `n_readings` says how many of the batch's readings are of each, in order.
    fn find_refused(
        &mut self,
        batch: &KeepBatch,
        n_readings: &[u32],
        names: &SharedNames,
    ) -> impl Future<Output = Result<Vec<RefusedPublish>, SinkError>> + Send;
}
