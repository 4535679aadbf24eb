//! What a stretch of the log came to once it was decoded and judged: *judge* hands it to *keep*.

use std::sync::Arc;

use bellwire_model::{
    AuditEntry, Command, DeviceKey, LogPosition, Presence, Quarantined, Reading, Silence,
    Timestamp, Transition,
};

use crate::decode::Output;

/// What became of one publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Every reading goes to the database.
    Stored,
    /// It repeats an earlier one.
    Duplicate,
    /// Some part could not be read.
    Quarantined,
    /// It was in quarantine, and all of it is read now.
    Replayed,
    /// It was in quarantine, was replayed, and stays there: the database refuses it.
    Left,
}

/// A payload that leaves quarantine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unshelved {
    /// Its record, and which publish of that it is.
    pub place: (LogPosition, u32),
    /// In whose account it is as quarantined, if in any.
    pub device: Option<DeviceKey>,
}

/// One publish's line in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Whose.
    pub device: DeviceKey,
    /// When it was received.
    pub received_at: Timestamp,
    /// The newest time in its payload, if that has any.
    pub newest: Option<Timestamp>,
    /// What became of it.
    pub fate: Fate,
    /// Readings that go to the database.
    pub n_readings: u32,
}

/// An instant of a device, with its counter, or one that another's publish spoke of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Whose.
    pub device: DeviceKey,
    /// When it was received.
    pub received_at: Timestamp,
    /// The device's own counter.
    pub seq: Option<u64>,
    /// Whether that is how far the counter has come.
    pub when: When,
}

/// Whether something comes now, or came long ago and was in quarantine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// It comes now.
    Now,
    /// It came long ago: it may fill a gap, and is no new beginning.
    Before,
}

/// What accounts hear of a stretch of the log.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bookings<'a> {
    /// A line per publish.
    pub entries: &'a [Entry],
    /// What leaves quarantine.
    pub unshelved: &'a [Unshelved],
    /// Devices that were heard of.
    pub heard: &'a [Heard],
    /// Publishes that were refused: on whose topics, how many, and when that was noted.
    pub refused: &'a [(DeviceKey, u32, Timestamp)],
}

/// Everything the log says from `start` to `end`.
#[derive(Debug, Default)]
pub struct Group {
    /// The first record.
    pub start: LogPosition,
    /// One past the last.
    pub end: LogPosition,
    /// Readings and instants, without those of repetitions.
    pub output: Output,
    /// A line per publish whose topic names a device.
    pub entries: Vec<Entry>,
    /// Devices that were heard of, and their counters, in the order they came.
    pub heard: Vec<Heard>,
    /// Payloads that could not be read.
    pub quarantined: Vec<Quarantined>,
    /// Publishes that were refused before they were records: on whose topics, how many, and when
    /// that was noted.
    pub refused: Vec<(DeviceKey, u32, Timestamp)>,
    /// Payloads that leave quarantine: one for each entry that is replayed, in their order.
    pub unshelved: Vec<Unshelved>,
    /// Publishes that repeat an earlier one, and replays that come too late: record and ordinal.
    pub duplicates: Vec<(LogPosition, u32)>,
    /// Devices whose clocks were found to have been set.
    pub clock_steps: u64,
    /// Devices that came or went, in order, and when.
    pub presence: Vec<(DeviceKey, Presence, Timestamp)>,
    /// Devices of which the registry says something else, or may.
    pub profiled: Vec<DeviceKey>,
    /// Labels that were refused: there were too many, or they changed too often.
    pub n_labels_refused: u64,
    /// Topics of commands to nodes of Sparkplug that must tell all again.
    pub rebirths: Vec<Box<str>>,
    /// Messages of Sparkplug that were lost.
    pub n_lost: u64,
    /// Commands as they stand after each change, in order, and by which record.
    pub commands: Vec<(LogPosition, Command)>,
    /// Publishes that answer no command which waits for it: record and ordinal.
    pub strays: Vec<(LogPosition, u32)>,
    /// What people and programs did.
    pub audit: Vec<AuditEntry>,
    /// Silences as they stand after each change, in order, and by which record.
    pub silences: Vec<(LogPosition, Arc<Silence>)>,
    /// What the rules said, and what was done with alerts.
    pub transitions: Vec<Transition>,
}

impl Group {
    /// An empty group that begins at `start`.
    #[must_use]
    pub fn at(start: LogPosition) -> Self {
        Self { start, end: start, ..Self::default() }
    }

    /// What accounts hear of it.
    #[must_use]
    pub fn bookings(&self) -> Bookings<'_> {
        let Self { entries, unshelved, heard, refused, .. } = self;
        Bookings { entries, unshelved, heard, refused }
    }

    /// How much it weighs in a queue, in readings: every row counts as one at least, and so does
    /// every piece of log of a reading's size, as payloads and texts are kept as they came.
    #[must_use]
    pub fn weight(&self) -> usize {
        let log_bytes = usize::try_from(self.end.0 - self.start.0).unwrap_or(usize::MAX);
        self.output.readings.len()
            + self.entries.len()
            + self.output.units.len()
            + self.presence.len()
            + self.refused.len()
            + self.profiled.len()
            + self.audit.len()
            + 16 * (self.quarantined.len() + self.transitions.len())
            + 16 * (self.commands.len() + self.silences.len())
            + log_bytes / size_of::<Reading>()
            + 1
    }
}
