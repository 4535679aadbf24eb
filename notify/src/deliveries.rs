//! The delivery log: what was sent to whom, and what came of it. The latest 10,000 attempts, in memory
//! and on disk.
//!
//! It is for people to look at. It is not synced: a power cut may take its last seconds.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use bellwire_model::{AlertId, Timestamp};
use serde::{Deserialize, Serialize};

/// The most attempts that are kept.
pub const ENTRIES_MAX: usize = 10_000;
/// The most alerts of them all together.
const ALERTS_MAX: usize = 1_000_000;
/// A file is closed and the next begun behind so many entries or bytes.
const FILE_ENTRIES_MAX: usize = ENTRIES_MAX;
const FILE_BYTES_MAX: u64 = 32 << 20;

/// The file that is written, and the one before.
const NAMES: [&str; 2] = ["deliveries", "deliveries.old"];

/// Why something was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Alerts.
    Alerts,
    /// Somebody tried the channel.
    Test,
}

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Result {
    /// The receiver has it.
    Delivered,
    /// It will be tried again.
    Failed,
    /// The receiver does not want it.
    Rejected,
}

impl Result {
    /// The stable word for it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Rejected => "rejected",
        }
    }
}

/// An attempt to send a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Its number; later ones have greater ones.
    pub number: u64,
    /// When it ended, by our clock, in microseconds since the Unix epoch.
    pub at: i64,
    /// The channel.
    pub channel: String,
    /// Which of the channel's addresses, from 0.
    pub address: usize,
    /// What the message is known by.
    pub message: String,
    /// Why it was sent.
    pub cause: Cause,
    /// What came of it.
    pub result: Result,
    /// In the receiver's words.
    pub said: String,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// The group.
    pub group: String,
    /// How many of its alerts fire.
    pub n_firing: usize,
    /// The alerts that it tells of.
    pub alerts: Vec<u64>,
}

impl Delivery {
    /// When it ended.
    #[must_use]
    pub const fn ended_at(&self) -> Timestamp {
        Timestamp::from_micros(self.at)
    }
}

/// Which attempts are wanted: the latest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryFilter {
    /// Of this channel only.
    pub channel: Option<String>,
    /// That tell of this alert only.
    pub alert: Option<AlertId>,
    /// Only those before this number.
    pub before: Option<u64>,
    /// The most of them.
    pub limit: usize,
}

/// The log.
#[derive(Debug)]
pub struct DeliveryLog {
    dir: PathBuf,
    entries: VecDeque<Delivery>,
    n_alerts: usize,
    next: u64,
    file: Option<File>,
    n_written: usize,
    bytes_written: u64,
}

impl DeliveryLog {
    /// Reads what there is. Lines that cannot be read, as the last one after a crash, are left out.
    ///
    /// # Errors
    /// If a file is there and cannot be read.
    pub fn open(dir: &Path) -> io::Result<Self> {
        let mut log = Self {
            dir: dir.to_owned(),
            entries: VecDeque::new(),
            n_alerts: 0,
            next: 1,
            file: None,
            n_written: 0,
            bytes_written: 0,
        };
        for name in NAMES.into_iter().rev() {
            log.read(&dir.join(name))?;
        }
        Ok(log)
    }

    fn read(&mut self, path: &Path) -> io::Result<()> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        for line in BufReader::new(file).split(b'\n') {
            if let Ok(entry) = serde_json::from_slice::<Delivery>(&line?) {
                self.next = self.next.max(entry.number + 1);
                self.push(entry);
            }
        }
        Ok(())
    }

    fn push(&mut self, entry: Delivery) {
        self.n_alerts += entry.alerts.len();
        self.entries.push_back(entry);
        while self.entries.len() > ENTRIES_MAX || self.n_alerts > ALERTS_MAX {
            let Some(oldest) = self.entries.pop_front() else { return };
            self.n_alerts -= oldest.alerts.len();
        }
    }

    /// Adds an attempt; its number is given here. In memory it is there in any case.
    ///
    /// # Errors
    /// If it cannot be written to disk.
    pub fn add(&mut self, mut entry: Delivery) -> io::Result<()> {
        entry.number = self.next;
        self.next += 1;
        let mut line = serde_json::to_vec(&entry).map_err(io::Error::other)?;
        line.push(b'\n');
        self.push(entry);
        let is_full = self.n_written >= FILE_ENTRIES_MAX || self.bytes_written >= FILE_BYTES_MAX;
        if is_full && self.file.take().is_some() {
            fs::rename(self.dir.join(NAMES[0]), self.dir.join(NAMES[1]))?;
        }
        if self.file.is_none() {
            let path = self.dir.join(NAMES[0]);
            let file = File::options().create(true).append(true).open(path)?;
            self.bytes_written = file.metadata()?.len();
            self.n_written = 0;
            self.file = Some(file);
            if self.bytes_written > 0 {
                // The last line may lack its end.
                line.insert(0, b'\n');
            }
        }
        if let Some(file) = &mut self.file {
            file.write_all(&line)?;
        }
        self.n_written += 1;
        self.bytes_written += line.len() as u64;
        Ok(())
    }

    /// The latest attempts that are wanted, the latest first.
    #[must_use]
    pub fn find(&self, filter: &DeliveryFilter) -> Vec<Delivery> {
        let is_wanted = |entry: &&Delivery| {
            filter.before.is_none_or(|before| entry.number < before)
                && filter.channel.as_ref().is_none_or(|channel| *channel == entry.channel)
                && filter.alert.is_none_or(|alert| entry.alerts.contains(&alert.0))
        };
        self.entries.iter().rev().filter(is_wanted).take(filter.limit).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(channel: &str, alert: u64) -> Delivery {
        Delivery {
            number: 0,
            at: 5,
            channel: channel.to_owned(),
            address: 0,
            message: "m".to_owned(),
            cause: Cause::Alerts,
            result: Result::Failed,
            said: "503".to_owned(),
            took_ms: 1,
            group: "g".to_owned(),
            n_firing: 1,
            alerts: vec![alert],
        }
    }

    fn numbers(log: &DeliveryLog, filter: DeliveryFilter) -> Vec<u64> {
        let filter = DeliveryFilter { limit: 10, ..filter };
        log.find(&filter).iter().map(|entry| entry.number).collect()
    }

    #[test]
    fn attempts_are_found_and_outlive_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = DeliveryLog::open(dir.path()).unwrap();
        for (channel, alert) in [("a", 1), ("b", 1), ("a", 2)] {
            log.add(entry(channel, alert)).unwrap();
        }
        drop(log);
        // Torn by a crash.
        let mut file = File::options().append(true).open(dir.path().join(NAMES[0])).unwrap();
        file.write_all(b"{\"number\":9").unwrap();
        let mut log = DeliveryLog::open(dir.path()).unwrap();
        log.add(entry("b", 3)).unwrap();
        let log = DeliveryLog::open(dir.path()).unwrap();
        assert_eq!(numbers(&log, DeliveryFilter::default()), [4, 3, 2, 1]);
        let of_a = DeliveryFilter { channel: Some("a".to_owned()), ..DeliveryFilter::default() };
        assert_eq!(numbers(&log, of_a), [3, 1]);
        let of_alert = DeliveryFilter { alert: Some(AlertId(1)), ..DeliveryFilter::default() };
        assert_eq!(numbers(&log, of_alert), [2, 1]);
        let before = DeliveryFilter { before: Some(3), ..DeliveryFilter::default() };
        assert_eq!(numbers(&log, before), [2, 1]);
    }

    #[test]
    fn the_oldest_go() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = DeliveryLog::open(dir.path()).unwrap();
        (0..2 * ENTRIES_MAX as u64 + 5).for_each(|n| log.add(entry("a", n)).unwrap());
        assert_eq!(log.entries.len(), ENTRIES_MAX);
        let lines = NAMES.map(|name| fs::read_to_string(dir.path().join(name)).unwrap());
        assert_eq!(lines.map(|text| text.lines().count()), [5, ENTRIES_MAX]);
        let log = DeliveryLog::open(dir.path()).unwrap();
        assert_eq!(log.entries.len(), ENTRIES_MAX);
    }
}
