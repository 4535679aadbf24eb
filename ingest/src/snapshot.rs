//! *Judge's* state at a position, on disk: recovery begins there instead of at the log's birth.
//!
//! A later version may add a part at the end; where it is missing, it was as it begins.
//!
//! Not in it: the window of repetitions, which is rebuilt from the log from `rebuild_from` on.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bellwire_model::{
    DeviceId, DeviceKey, LogId, LogPosition, MetricKey, MetricName, Names, Presence, Registry,
    Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::commands::Commands;
use crate::decode::UnitOf;
use crate::dirs::make_private;
use crate::mapping::Mappings;
use crate::nodes::Node;
use crate::policy::{Terms, TimePolicy};
use crate::present::{DevicePresent, Latest, Present};
use crate::replay::Replays;
use crate::skew::SkewEstimator;
use crate::wire::{WireError, WireValue};
use profile::WireProfile;

const MAGIC: &[u8; 8] = b"BWSNAP\x00\x01";
/// The most snapshots kept above the one that recovery would use.
const SPARE_MAX: usize = 8;

/// Why a snapshot cannot be used or written.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The folder or a file in it cannot be used.
    #[error("failed at snapshot {path}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is damaged, or another version wrote it.
    #[error("snapshot {path} is damaged or from another version")]
    Damaged {
        /// Which file.
        path: PathBuf,
    },
}

/// The positions that belong to a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    /// Every record before it is in the snapshot.
    pub position: LogPosition,
    /// Where reading must begin, to rebuild the window of repetitions.
    pub rebuild_from: LogPosition,
    /// How far the database was, with its ledger, when the snapshot was taken.
    pub committed: LogPosition,
}

/// *Judge's* state as of `position`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Snapshot {
    log: u128,
    position: u64,
    rebuild_from: u64,
    committed: u64,
    devices: Vec<String>,
    metrics: Vec<String>,
    present: Vec<WirePresent>,
    rules: Vec<u8>,
    #[serde(skip)]
    time: WireTime,
    /// The image of the sessions that outlive connections.
    #[serde(skip)]
    sessions: Vec<u8>,
    /// Devices that are online or not, and since when.
    #[serde(skip)]
    presence: Vec<(u32, bool, i64)>,
    /// The text of the mappings.
    #[serde(skip)]
    mappings: String,
    /// Sparkplug's nodes as they are.
    #[serde(skip)]
    nodes: BTreeMap<Box<str>, Node>,
    /// Units, by device and metric.
    #[serde(skip)]
    units: Vec<(u32, u32, Box<str>)>,
    /// Devices with a connection of their own.
    #[serde(skip)]
    connected: Vec<u32>,
    /// What was replayed from quarantine.
    #[serde(skip)]
    replays: Replays,
    /// The image of the commands.
    #[serde(skip)]
    commands: Vec<u8>,
    /// What is said of devices.
    #[serde(skip)]
    profiles: Vec<WireProfile>,
}

/// The part about times, which snapshots of 0.1.0 do not have.
#[derive(Debug, Serialize, Deserialize)]
struct WireTime {
    future_max: Duration,
    past_max: Option<Duration>,
    clocks: Vec<(u32, SkewEstimator)>,
}

impl Default for WireTime {
    fn default() -> Self {
        Self::new(TimePolicy::default(), Vec::new())
    }
}

impl WireTime {
    const fn new(policy: TimePolicy, clocks: Vec<(u32, SkewEstimator)>) -> Self {
        Self { future_max: policy.future_max, past_max: policy.past_max, clocks }
    }
}

/// What a snapshot says beside names and present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The rules' own snapshot.
    pub rules: Vec<u8>,
    /// What decides how publishes are read.
    pub terms: Terms,
    /// What Sparkplug's nodes have said of themselves.
    pub nodes: BTreeMap<Box<str>, Node>,
    /// What was replayed from quarantine.
    pub replays: Replays,
    /// Commands, open ones and those that ended last.
    pub commands: Commands,
    /// What is said of devices.
    pub registry: Registry,
}

#[derive(Debug, Serialize, Deserialize)]
struct WirePresent {
    device: u32,
    first_seen: i64,
    last_seen: i64,
    latest: Vec<(u32, i64, WireValue<'static>)>,
}

impl WirePresent {
    fn new(device: DeviceKey, present: &DevicePresent) -> Self {
        let latest = present.latest.iter().map(|latest| {
            let value = match WireValue::from(&latest.value) {
                WireValue::Number(number) => WireValue::Number(number),
                WireValue::Text(text) => WireValue::Text(text.into_owned().into()),
            };
            (latest.metric.0, latest.at.as_micros(), value)
        });
        Self {
            device: device.0,
            first_seen: present.first_seen.as_micros(),
            last_seen: present.last_seen.as_micros(),
            latest: latest.collect(),
        }
    }

    fn restore(self, present: &mut Present) {
        let latest = self.latest.into_iter().map(|(metric, at, value)| Latest {
            metric: MetricKey(metric),
            at: Timestamp::from_micros(at),
            value: value.into(),
            unit: None,
        });
        let first_seen = Timestamp::from_micros(self.first_seen);
        let last_seen = Timestamp::from_micros(self.last_seen);
        let mut device = DevicePresent::new(first_seen, last_seen);
        device.latest = latest.collect();
        present.restore(DeviceKey(self.device), device);
    }
}

impl Snapshot {
    /// Takes the state of everything but the rules, whose own snapshot is `rules`.
    #[must_use]
    pub fn take(
        log: LogId,
        places: Places,
        names: &Names,
        present: &Present,
        (terms, nodes): (Terms, BTreeMap<Box<str>, Node>),
        rules: Vec<u8>,
    ) -> Self {
        let clocks = present.devices().filter_map(|(key, it)| Some((key.0, it.clock.clone()?)));
        Self {
            log: log.0,
            position: places.position.0,
            rebuild_from: places.rebuild_from.0,
            committed: places.committed.0,
            devices: names.devices().iter().map(ToString::to_string).collect(),
            metrics: names.metrics().iter().map(ToString::to_string).collect(),
            present: present.devices().map(|(key, device)| WirePresent::new(key, device)).collect(),
            rules,
            time: WireTime::new(terms.policy, clocks.collect()),
            sessions: Vec::new(),
            presence: present
                .devices()
                .filter_map(|(key, it)| it.presence.map(|it| (key, it)))
                .map(|(key, (presence, at))| (key.0, presence.is_online(), at.as_micros()))
                .collect(),
            mappings: terms.mappings.text().as_ref().to_owned(),
            nodes,
            units: units(present),
            connected: present
                .devices()
                .filter_map(|(key, device)| device.is_connected.then_some(key.0))
                .collect(),
            replays: Replays::default(),
            commands: Vec::new(),
            profiles: Vec::new(),
        }
    }

    /// Adds what was replayed from quarantine.
    pub fn set_replays(&mut self, replays: Replays) {
        self.replays = replays;
    }

    /// Adds the image of commands.
    pub fn set_commands(&mut self, commands: Vec<u8>) {
        self.commands = commands;
    }

    /// The positions that belong to it.
    #[must_use]
    pub const fn places(&self) -> Places {
        Places {
            position: LogPosition(self.position),
            rebuild_from: LogPosition(self.rebuild_from),
            committed: LogPosition(self.committed),
        }
    }

    /// The image of the sessions that outlive connections, once.
    pub fn take_sessions(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.sessions)
    }

    /// Adds the image of the sessions that outlive connections; taken when every receipt of what the
    /// snapshot has is settled.
    pub fn set_sessions(&mut self, image: Vec<u8>) {
        self.sessions = image;
    }

    /// Adds what is said of devices.
    pub fn set_registry(&mut self, registry: &Registry) {
        self.profiles = profile::save(registry);
    }

    /// Puts names and present in place, both of them empty, and returns the rest.
    ///
    /// # Errors
    /// If a name is none, or the mappings or commands cannot be read.
    pub fn restore(self, names: &mut Names, present: &mut Present) -> Result<Restored, WireError> {
        let damaged = || WireError { what: "a name" };
        for device in &self.devices {
            let id = DeviceId::new(device).map_err(|_| damaged())?;
            names.add_device(&id).ok_or_else(damaged)?;
        }
        for metric in &self.metrics {
            let name = MetricName::new(metric).map_err(|_| damaged())?;
            names.add_metric(&name).ok_or_else(damaged)?;
        }
        self.present.into_iter().for_each(|device| device.restore(present));
        let WireTime { future_max, past_max, clocks } = self.time;
        for (device, clock) in clocks {
            present.restore_clock(DeviceKey(device), clock);
        }
        for (device, is_online, at) in self.presence {
            let at = Timestamp::from_micros(at);
            present.presence(DeviceKey(device), Presence::from(is_online), at);
        }
        for device in self.connected {
            present.connection(DeviceKey(device), Presence::Online);
        }
        let mappings = Mappings::parse(&self.mappings);
        let mappings = mappings.map_err(|_| WireError { what: "the mappings" })?.into();
        let terms = Terms { policy: TimePolicy { future_max, past_max }, mappings };
        for (device, metric, unit) in self.units {
            let (device, metric) = (DeviceKey(device), MetricKey(metric));
            present.unit(&UnitOf { device, metric, unit: unit.into() });
        }
        let commands = Commands::from_image(&self.commands);
        let commands = commands.ok_or(WireError { what: "the commands" })?;
        let registry = profile::restore(self.profiles)?;
        let (rules, nodes, replays) = (self.rules, self.nodes, self.replays);
        Ok(Restored { rules, terms, nodes, replays, commands, registry })
    }
}

/// The folder of snapshots of one log.
///
/// The newest one says how far the database was. What recovery from there on needs is kept, even
/// if the database has gone further since: it may be away at the next start.
#[derive(Debug)]
pub struct Snapshots {
    dir: PathBuf,
    /// Of each snapshot, by ascending position.
    kept: Vec<Places>,
}

impl Snapshots {
    /// Opens the folder; snapshots of another log and unfinished ones are removed.
    ///
    /// # Errors
    /// If the folder cannot be used.
    pub fn open(dir: &Path, log: LogId) -> Result<Self, SnapshotError> {
        let io = |source| SnapshotError::Io { path: dir.to_owned(), source };
        make_private(dir).map_err(io)?;
        let mut kept = Vec::new();
        for entry in fs::read_dir(dir).map_err(io)? {
            let path = entry.map_err(io)?.path();
            // One that is whole and was not renamed yet is unfinished too.
            let is_finished = path.extension().is_some_and(|extension| extension == "snapshot");
            match read(&path) {
                Ok(snapshot) if is_finished && snapshot.log == log.0 => {
                    kept.push(snapshot.places());
                }
                // It may be whole, and be needed.
                Err(error @ SnapshotError::Io { .. }) if is_finished => return Err(error),
                _ => fs::remove_file(&path).map_err(|source| SnapshotError::Io { path, source })?,
            }
        }
        kept.sort_unstable_by_key(|places| places.position);
        Ok(Self { dir: dir.to_owned(), kept })
    }

    /// How far the database was, with its ledger, when the newest snapshot was taken: a lower
    /// bound of where it is.
    #[must_use]
    pub fn committed(&self) -> LogPosition {
        self.kept.iter().map(|places| places.committed).max().unwrap_or_default()
    }

    /// The newest snapshot that is not above `position`.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn newest_up_to(&self, position: LogPosition) -> Result<Option<Snapshot>, SnapshotError> {
        match self.kept.iter().rev().find(|places| places.position <= position) {
            Some(places) => read(&self.path(places.position)).map(Some),
            None => Ok(None),
        }
    }

    /// Writes a snapshot, synced, then removes those that nobody needs: below the newest one not
    /// above [`Snapshots::committed`], and the closest neighbours when there are too many above.
    ///
    /// # Errors
    /// If it cannot be written; older ones are then still there.
    pub fn write(&mut self, snapshot: &Snapshot) -> Result<(), SnapshotError> {
        let places = snapshot.places();
        let path = self.path(places.position);
        let io = |source| SnapshotError::Io { path: path.clone(), source };
        let body = encode(snapshot).map_err(|error| io(io::Error::other(error)))?;
        let temporary = path.with_extension("tmp");
        let mut file = File::create(&temporary).map_err(io)?;
        let crc = crc32fast::hash(&body).to_le_bytes();
        [MAGIC.as_slice(), &crc, &body]
            .into_iter()
            .try_for_each(|part| file.write_all(part))
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(&temporary, &path))
            .and_then(|()| File::open(&self.dir)?.sync_all())
            .map_err(io)?;
        self.kept.retain(|other| other.position != places.position);
        self.kept.push(places);
        self.kept.sort_unstable_by_key(|places| places.position);
        self.thin()
    }

    /// The record below which the log is not needed to recover.
    #[must_use]
    pub fn floor(&self) -> LogPosition {
        let committed = self.committed();
        let usable = self.kept.iter().rev().find(|places| places.position <= committed);
        usable.map_or(LogPosition::ZERO, |places| places.position.min(places.rebuild_from))
    }

    fn thin(&mut self) -> Result<(), SnapshotError> {
        let committed = self.committed();
        let usable = self.kept.partition_point(|places| places.position <= committed);
        for places in self.kept.drain(..usable.saturating_sub(1)).collect::<Vec<_>>() {
            self.remove(places)?;
        }
        while self.kept.len() > SPARE_MAX + 1 {
            // The one in the middle of the smallest gap goes; first and last stay.
            let at = |index: usize| self.kept[index].position.0;
            let gap = |index: usize| at(index + 1) - at(index - 1);
            let middle = 1..self.kept.len() - 1;
            let Some(index) = middle.min_by_key(|&index| gap(index)) else { break };
            let places = self.kept.remove(index);
            self.remove(places)?;
        }
        Ok(())
    }

    fn remove(&self, places: Places) -> Result<(), SnapshotError> {
        let path = self.path(places.position);
        fs::remove_file(&path).map_err(|source| SnapshotError::Io { path, source })
    }

    fn path(&self, at: LogPosition) -> PathBuf {
        self.dir.join(format!("{:020}.snapshot", at.0))
    }
}

fn read(path: &Path) -> Result<Snapshot, SnapshotError> {
    let bytes =
        fs::read(path).map_err(|source| SnapshotError::Io { path: path.to_owned(), source })?;
    let damaged = || SnapshotError::Damaged { path: path.to_owned() };
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(damaged)?;
    let (crc, body) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
    if crc32fast::hash(body) != u32::from_le_bytes(*crc) {
        return Err(damaged());
    }
    decode(body).map_err(|_| damaged())
}

/// One part after the other.
fn encode(snapshot: &Snapshot) -> postcard::Result<Vec<u8>> {
    let body = postcard::to_stdvec(snapshot)?;
    let body = postcard::to_extend(&snapshot.time, body)?;
    let body = postcard::to_extend(&snapshot.sessions, body)?;
    let body = postcard::to_extend(&snapshot.presence, body)?;
    let body = postcard::to_extend(&snapshot.mappings, body)?;
    let body = postcard::to_extend(&snapshot.nodes, body)?;
    let body = postcard::to_extend(&snapshot.units, body)?;
    let body = postcard::to_extend(&snapshot.connected, body)?;
    let body = postcard::to_extend(&snapshot.replays, body)?;
    let body = postcard::to_extend(&snapshot.commands, body)?;
    postcard::to_extend(&snapshot.profiles, body)
}

/// The units that are known.
fn units(present: &Present) -> Vec<(u32, u32, Box<str>)> {
    let latest = present.devices().flat_map(|(key, it)| it.latest.iter().map(move |it| (key, it)));
    let known = latest.filter_map(|(key, latest)| {
        let unit = latest.unit.as_deref()?;
        Some((key.0, latest.metric.0, unit.into()))
    });
    known.collect()
}

fn decode(body: &[u8]) -> postcard::Result<Snapshot> {
    let (mut snapshot, first): (Snapshot, _) = postcard::take_from_bytes(body)?;
    if first.is_empty() {
        return Ok(snapshot);
    }
    let mut rest;
    (snapshot.time, rest) = postcard::take_from_bytes(first)?;
    if !rest.is_empty() {
        (snapshot.sessions, rest) = postcard::take_from_bytes(rest)?;
    }
    if !rest.is_empty() {
        (snapshot.presence, rest) = postcard::take_from_bytes(rest)?;
    }
    if !rest.is_empty() {
        (snapshot.mappings, rest) = postcard::take_from_bytes(rest)?;
    }
    if !rest.is_empty() {
        (snapshot.nodes, rest) = postcard::take_from_bytes(rest)?;
        (snapshot.units, rest) = postcard::take_from_bytes(rest)?;
        (snapshot.connected, rest) = postcard::take_from_bytes(rest)?;
    }
    if !rest.is_empty() {
        (snapshot.replays, rest) = postcard::take_from_bytes(rest)?;
    }
    if !rest.is_empty() {
        (snapshot.commands, rest) = postcard::take_from_bytes(rest)?;
    }
    if !rest.is_empty() {
        (snapshot.profiles, _) = postcard::take_from_bytes(rest)?;
    }
    Ok(snapshot)
}

mod profile;
#[cfg(test)]
mod tests;
