//! What *keep* writes in one transaction.

use std::sync::Arc;

use crate::{
    AuditEntry, Command, DeviceId, DeviceKey, DeviceLedger, LogPosition, MetricKey, Presence,
    Profile, Reading, RejectReason, Silence, Timestamp, Transition,
};

/// A payload of which we could not read some part, kept as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// The log record it came in.
    pub position: LogPosition,
    /// Which publish of that record, from 0.
    pub ordinal: u32,
    /// When we received it.
    pub received_at: Timestamp,
    /// The device its topic names, if it names one.
    pub device: Option<DeviceId>,
    /// Where it was published.
    pub topic: Box<str>,
    /// As it came.
    pub payload: Box<[u8]>,
    /// The first thing that was wrong.
    pub reason: RejectReason,
    /// What and where, for a person: `"temperature" is an array`.
    pub detail: Box<str>,
    /// Which of its readings are stored, as hashes of device, metric and time; `None`: it was
    /// written by a version that did not note it.
    pub kept: Option<Box<[u64]>>,
}

/// The ledger as of a position: what the database needs to go on from there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LedgerFlush {
    /// The devices that changed since the last flush, whole: these replace what is stored.
    pub devices: Vec<LedgerRow>,
}

/// One device's row in a [`LedgerFlush`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerRow {
    /// Whose.
    pub device: DeviceKey,
    /// When its first publish was received.
    pub first_seen: Timestamp,
    /// When its latest publish was received.
    pub last_seen: Timestamp,
    /// Its account.
    pub ledger: DeviceLedger,
}

/// What *keep* writes in one transaction: everything the log says from `start` to `end`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KeepBatch {
    /// The position the database must be at.
    pub start: LogPosition,
    /// The position it will be at.
    pub end: LogPosition,
    /// How many publishes it is of; nothing is stored of that.
    pub n_publishes: usize,
    /// Readings in log order.
    pub readings: Vec<Reading>,
    /// Payloads that could not be read.
    pub quarantined: Vec<Quarantined>,
    /// Payloads that were in quarantine and are read now: record and ordinal.
    pub unshelved: Vec<(LogPosition, u32)>,
    /// What the rules said, and what was done with alerts, in order.
    pub transitions: Vec<Transition>,
    /// Which devices came or went, in order.
    pub presence: Vec<(DeviceKey, Presence)>,
    /// Units that are not stored yet, or another was, in order: whose, of what, which.
    pub units: Vec<(DeviceKey, MetricKey, Arc<str>)>,
    /// Commands as they stand after each change, in order: of several of one, the last counts.
    pub commands: Vec<Command>,
    /// What people and programs did, in order.
    pub audit: Vec<AuditEntry>,
    /// Silences as they stand after each change, in order: of several of one, the last counts.
    pub silences: Vec<Arc<Silence>>,
    /// What is said of devices, as of `end` or later; each at most once.
    pub profiles: Vec<(DeviceKey, Arc<Profile>)>,
    /// The ledger as of `end`, if it is to be written this time.
    pub ledger: Option<LedgerFlush>,
}

impl KeepBatch {
    /// Whether it has no rows: then only the position moves.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.readings.is_empty()
            && self.quarantined.is_empty()
            && self.unshelved.is_empty()
            && self.transitions.is_empty()
            && self.presence.is_empty()
            && self.units.is_empty()
            && self.commands.is_empty()
            && self.audit.is_empty()
            && self.silences.is_empty()
            && self.profiles.is_empty()
            && self.ledger.is_none()
    }
}
