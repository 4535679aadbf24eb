//! The log of what was acknowledged: per device, which `n`s the service has promised to keep.
//!
//! It outlives the process as a file of plain lines, so that another can check the promise.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use bellwire_model::DeviceId;

use crate::{FleetError, RangeSet};

const HEADER: &str = "bellwire acknowledgements 1";

/// One device's account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceAcks {
    /// The first `n` it published, or would have.
    pub first: u64,
    /// The `n` after the last one it published.
    pub next: u64,
    /// The `n`s that were acknowledged. The others from `first` to `next` were published, and may
    /// or may not be stored: once at most.
    pub acknowledged: RangeSet,
    /// Publishes refused by a reason code (MQTT 5); their `n`s are not in `acknowledged`.
    pub refused: u64,
    /// Payloads repeated on purpose as publishes of their own.
    pub repeats_sent: u64,
    /// Those of them that were acknowledged.
    pub repeats_acknowledged: u64,
    /// Payloads that nobody can read, published on purpose.
    pub bad_sent: u64,
    /// Those of them that were acknowledged: as many must be in quarantine at least.
    pub bad_acknowledged: u64,
}

impl DeviceAcks {
    /// Of a device that has published nothing and will begin with `first`.
    #[must_use]
    pub fn starting_at(first: u64) -> Self {
        Self {
            first,
            next: first,
            acknowledged: RangeSet::default(),
            refused: 0,
            repeats_sent: 0,
            repeats_acknowledged: 0,
            bad_sent: 0,
            bad_acknowledged: 0,
        }
    }

    /// How many readings of `n` it published.
    #[must_use]
    pub const fn published(&self) -> u64 {
        self.next - self.first
    }

    /// The `n`s it published that were not acknowledged.
    #[must_use]
    pub fn unacknowledged(&self) -> RangeSet {
        let mut published = RangeSet::default();
        if self.next > self.first {
            published.insert_range(self.first, self.next - 1);
        }
        published.minus(&self.acknowledged)
    }
}

/// What each device published and which of it was acknowledged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AckLog {
    devices: BTreeMap<DeviceId, DeviceAcks>,
}

impl AckLog {
    /// Takes a device's account in; an earlier one of the same device is replaced.
    pub fn insert(&mut self, device: DeviceId, acks: DeviceAcks) {
        self.devices.insert(device, acks);
    }

    /// Takes all of another log's devices in.
    pub fn extend(&mut self, other: Self) {
        self.devices.extend(other.devices);
    }

    /// The devices by name.
    pub fn iter(&self) -> impl Iterator<Item = (&DeviceId, &DeviceAcks)> {
        self.devices.iter()
    }

    /// One device's account.
    #[must_use]
    pub fn device(&self, device: &DeviceId) -> Option<&DeviceAcks> {
        self.devices.get(device)
    }

    /// How many devices it knows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.devices.len()
    }

    /// Whether it knows none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.devices.is_empty()
    }

    /// A sum over all devices.
    #[must_use]
    pub fn total(&self, of: impl Fn(&DeviceAcks) -> u64) -> u64 {
        self.devices.values().map(of).sum()
    }

    /// Writes it to a file, whole or not at all.
    ///
    /// # Errors
    /// [`FleetError::Write`].
    pub fn save(&self, path: &Path) -> Result<(), FleetError> {
        let failed = |source| FleetError::Write { path: path.to_owned(), source };
        let mut name = path.as_os_str().to_owned();
        name.push(".part");
        let part = Path::new(&name);
        let mut out = BufWriter::new(File::create(part).map_err(failed)?);
        self.write(&mut out).and_then(|()| out.flush()).map_err(failed)?;
        std::fs::rename(part, path).map_err(failed)
    }

    fn write(&self, out: &mut impl Write) -> std::io::Result<()> {
        writeln!(out, "{HEADER}")?;
        for (device, acks) in &self.devices {
            // Names have no control characters, so tabs keep the fields apart.
            writeln!(
                out,
                "{device}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}",
                acks.first,
                acks.next,
                acks.refused,
                acks.repeats_sent,
                acks.repeats_acknowledged,
                acks.bad_sent,
                acks.bad_acknowledged,
                acks.acknowledged,
            )?;
        }
        Ok(())
    }

    /// Reads what [`AckLog::save`] wrote.
    ///
    /// # Errors
    /// [`FleetError::Read`], or [`FleetError::Line`] if it is something else.
    pub fn load(path: &Path) -> Result<Self, FleetError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| FleetError::Read { path: path.to_owned(), source })?;
        let wrong = |line, problem| FleetError::Line { path: path.to_owned(), line, problem };
        let mut lines = text.lines().zip(1..);
        if lines.next().is_none_or(|(header, _)| header != HEADER) {
            return Err(wrong(1, "is not the first line of a log of acknowledgements"));
        }
        let mut log = Self::default();
        for (text, line) in lines {
            let (device, acks) =
                parse(text).ok_or_else(|| wrong(line, "is not a device's account"))?;
            log.insert(device, acks);
        }
        Ok(log)
    }
}

fn parse(line: &str) -> Option<(DeviceId, DeviceAcks)> {
    let mut fields = line.split('\t');
    let device = DeviceId::new(fields.next()?).ok()?;
    let mut number = || fields.next()?.parse().ok();
    let acks = DeviceAcks {
        first: number()?,
        next: number()?,
        refused: number()?,
        repeats_sent: number()?,
        repeats_acknowledged: number()?,
        bad_sent: number()?,
        bad_acknowledged: number()?,
        acknowledged: fields.next()?.parse().ok()?,
    };
    let within = acks.acknowledged.ranges().iter().all(|r| r.0 >= acks.first && r.1 < acks.next);
    (acks.first <= acks.next && within && fields.next().is_none()).then_some((device, acks))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> AckLog {
        let mut log = AckLog::default();
        for (name, acknowledged) in [("a b", "1-4,6-9"), ("freezer-03", "-")] {
            let acks = DeviceAcks {
                next: 11,
                acknowledged: acknowledged.parse().expect("ranges"),
                bad_sent: 3,
                bad_acknowledged: 2,
                ..DeviceAcks::starting_at(1)
            };
            log.insert(DeviceId::new(name).expect("valid"), acks);
        }
        log
    }

    #[test]
    fn a_saved_log_reads_back() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("acks");
        log().save(&path).expect("saved");
        assert_eq!(AckLog::load(&path).expect("loaded"), log());
        assert_eq!(std::fs::read_dir(dir.path()).expect("readable").count(), 1, "no part left");
    }

    #[test]
    fn what_was_not_acknowledged_is_known() {
        let log = log();
        let unacknowledged = |name| {
            log.device(&DeviceId::new(name).expect("valid")).expect("known").unacknowledged()
        };
        assert_eq!(unacknowledged("a b").to_string(), "5,10");
        assert_eq!(unacknowledged("freezer-03").to_string(), "1-10");
        assert_eq!(log.total(DeviceAcks::published), 20);
    }

    #[test]
    fn another_file_is_refused_with_its_line() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("acks");
        let check = |text: String, line: usize| {
            std::fs::write(&path, text).expect("written");
            match AckLog::load(&path) {
                Err(FleetError::Line { line: found, .. }) => assert_eq!(found, line),
                other => panic!("{other:?}"),
            }
        };
        check("timestamp,value\n".to_owned(), 1);
        check(String::new(), 1);
        check(format!("{HEADER}\na\t1\t3\t0\t0\t0\t0\t0\t1-2\nb\t1\t3\t0\t0\t0\t0\t0\t1-3\n"), 3);
    }
}
