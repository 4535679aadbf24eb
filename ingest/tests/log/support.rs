//! A clock moved by hand, a disk that can be stopped, filled and broken, and a log on top of them.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use bellwire_ingest::log::{
    Config, Disk, Entry, Error, FailStop, LocalLog, Log, LogReader, Metrics, Options, OsDisk,
    Record,
};
use bellwire_model::{
    ClientId, Clock, Delivery, LogPosition, Outcome, PublishBatch, PublishRef, QoS, Receipt,
    Timestamp,
};
use prometheus::Registry;
use tempfile::TempDir;

/// No wait in these tests takes longer, unless something is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Segments as small as they may be, so that a few records fill them.
pub(crate) const SMALL: Config =
    Config { segment_bytes: 8192, bytes_max: 32_768, disk_reserve_bytes: 0, queue_bytes: 65_536 };

/// A clock that moves only when told, also backwards.
#[derive(Debug)]
pub(crate) struct HandClock(AtomicI64);

impl HandClock {
    pub(crate) fn set(&self, now: Timestamp) {
        self.0.store(now.as_micros(), Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}

/// What a [`TestDisk`] does at present.
#[derive(Debug)]
struct DiskState {
    syncs_stopped: bool,
    syncs_fail: bool,
    full: bool,
    free_bytes: u64,
    n_syncs_begun: u64,
    /// Offset and bytes of every write so far.
    writes: Vec<(u64, usize)>,
}

/// The machine's disk, behind a gate.
#[derive(Debug)]
pub(crate) struct TestDisk {
    state: Mutex<DiskState>,
    changed: Condvar,
}

impl TestDisk {
    fn new() -> Arc<Self> {
        let state = DiskState {
            syncs_stopped: false,
            syncs_fail: false,
            full: false,
            free_bytes: u64::MAX,
            n_syncs_begun: 0,
            writes: Vec::new(),
        };
        Arc::new(Self { state: Mutex::new(state), changed: Condvar::new() })
    }

    fn change(&self, change: impl FnOnce(&mut DiskState)) {
        change(&mut self.state.lock().expect("no panic"));
        self.changed.notify_all();
    }

    /// From now on a sync does not return until [`TestDisk::let_syncs_go`].
    pub(crate) fn stop_syncs(&self) {
        self.change(|state| (state.syncs_stopped, state.n_syncs_begun) = (true, 0));
    }

    pub(crate) fn let_syncs_go(&self) {
        self.change(|state| state.syncs_stopped = false);
    }

    /// From now on every sync fails.
    pub(crate) fn fail_syncs(&self) {
        self.change(|state| state.syncs_fail = true);
    }

    /// From now on a write leaves half of its bytes and finds no space for the rest.
    pub(crate) fn fill_up(&self) {
        self.change(|state| state.full = true);
    }

    pub(crate) fn make_space(&self) {
        self.change(|state| state.full = false);
    }

    pub(crate) fn set_free_bytes(&self, free_bytes: u64) {
        self.change(|state| state.free_bytes = free_bytes);
    }

    /// The writes since the last call: where in the file, and how many bytes.
    pub(crate) fn take_writes(&self) -> Vec<(u64, usize)> {
        std::mem::take(&mut self.state.lock().expect("no panic").writes)
    }

    /// Waits until a sync has begun since [`TestDisk::stop_syncs`].
    pub(crate) fn wait_for_sync(&self) {
        let state = self.state.lock().expect("no panic");
        let none = |state: &mut DiskState| state.n_syncs_begun == 0;
        let waited = self.changed.wait_timeout_while(state, PATIENCE, none).expect("no panic");
        assert!(!waited.1.timed_out(), "no sync has begun");
    }
}

impl Disk for TestDisk {
    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.state.lock().expect("no panic");
        state.writes.push((offset, bytes.len()));
        if state.full {
            file.write_all_at(&bytes[..bytes.len() / 2], offset)?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        drop(state);
        OsDisk.write_at(file, bytes, offset)
    }

    fn sync_data(&self, file: &File) -> io::Result<()> {
        let mut state = self.state.lock().expect("no panic");
        state.n_syncs_begun += 1;
        self.changed.notify_all();
        let stopped = |state: &mut DiskState| state.syncs_stopped;
        // Bounded, so that a test that fails meanwhile can still end its log.
        let waited = self.changed.wait_timeout_while(state, PATIENCE, stopped).expect("no panic");
        let state = waited.0;
        if state.syncs_fail {
            return Err(io::Error::from_raw_os_error(5));
        }
        drop(state);
        OsDisk.sync_data(file)
    }

    fn allocate(&self, file: &File, bytes: u64) -> io::Result<()> {
        if self.state.lock().expect("no panic").full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        OsDisk.allocate(file, bytes)
    }

    fn free_bytes(&self, _dir: &Path) -> io::Result<u64> {
        Ok(self.state.lock().expect("no panic").free_bytes)
    }
}

/// A directory, and what a log in it is opened with.
pub(crate) struct Bench {
    pub(crate) dir: TempDir,
    pub(crate) clock: Arc<HandClock>,
    pub(crate) disk: Arc<TestDisk>,
    pub(crate) config: Config,
    /// What `fail_stop` was told.
    pub(crate) failures: Receiver<String>,
    fail_stop: FailStop,
}

impl Bench {
    pub(crate) fn new(config: Config) -> Self {
        let (sender, failures) = sync_channel(8);
        let fail_stop: FailStop = Arc::new(move |error: &Error| {
            sender.send(error.to_string()).expect("the test listens");
        });
        Self {
            dir: tempfile::tempdir().expect("temporary directory"),
            clock: Arc::new(HandClock(AtomicI64::new(1_700_000_000_000_000))),
            disk: TestDisk::new(),
            config,
            failures,
            fail_stop,
        }
    }

    pub(crate) fn try_open_in(&self, dir: &Path) -> Result<(LocalLog, Metrics), Error> {
        let metrics = Metrics::register(&Registry::new()).expect("fresh registry");
        let clock: Arc<dyn Clock> = Arc::<HandClock>::clone(&self.clock);
        let log = LocalLog::open(Options {
            config: self.config.clone(),
            disk: Arc::<TestDisk>::clone(&self.disk),
            ..Options::new(dir, clock, Arc::clone(&self.fail_stop), metrics.clone())
        })?;
        Ok((log, metrics))
    }

    pub(crate) fn try_open(&self) -> Result<LocalLog, Error> {
        self.try_open_in(self.dir.path()).map(|(log, _)| log)
    }

    pub(crate) fn open(&self) -> LocalLog {
        self.try_open().expect("the log opens")
    }

    /// The segment files, oldest first.
    pub(crate) fn segments(&self) -> Vec<PathBuf> {
        segments_in(self.dir.path())
    }
}

/// The segment files in `dir`, oldest first.
pub(crate) fn segments_in(dir: &Path) -> Vec<PathBuf> {
    let items = std::fs::read_dir(dir).expect("the directory is there");
    let paths = items.map(|item| item.expect("readable").path());
    let is_segment = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "seg");
    let mut paths: Vec<_> = paths.filter(is_segment).collect();
    paths.sort();
    paths
}

/// Where receipts tell how they ended.
pub(crate) struct Outcomes {
    sender: SyncSender<(u64, Outcome)>,
    receiver: Receiver<(u64, Outcome)>,
}

impl Outcomes {
    pub(crate) fn new() -> Self {
        let (sender, receiver) = sync_channel(100_000);
        Self { sender, receiver }
    }

    pub(crate) fn receipt(&self, n: u64) -> Receipt {
        let sender = self.sender.clone();
        Receipt::new(move |outcome| {
            // The test may have heard enough.
            let _ = sender.try_send((n, outcome));
        })
    }

    /// The next one; waits for it.
    pub(crate) fn next(&self) -> (u64, Outcome) {
        self.receiver.recv_timeout(PATIENCE).expect("a receipt settles")
    }

    /// One that has already settled.
    pub(crate) fn try_next(&self) -> Option<(u64, Outcome)> {
        self.receiver.try_recv().ok()
    }
}

/// A publish whose payload is `n` in text, padded to `bytes`.
pub(crate) fn publish(n: u64, bytes: usize, outcomes: &Outcomes) -> Entry {
    publish_with(n, bytes, outcomes.receipt(n))
}

/// The same with any receipt.
pub(crate) fn publish_with(n: u64, bytes: usize, receipt: Receipt) -> Entry {
    let digits = n.to_string();
    let payload = "0".repeat(bytes.saturating_sub(digits.len())) + &digits;
    let mut publishes = PublishBatch::default();
    publishes.push(&PublishRef {
        topic: "devices/d/telemetry",
        payload: payload.as_bytes(),
        qos: QoS::AtLeastOnce,
        dup: false,
        retain: false,
        packet_id: 1,
    });
    let client = ClientId::new("client").expect("valid");
    Entry::publishes(Delivery { client, publishes, session: Vec::new(), receipt })
}

/// Appends publish `n`, and waits until it is durable.
pub(crate) fn append_durably(log: &dyn Log, n: u64, bytes: usize, outcomes: &Outcomes) {
    log.try_append(publish(n, bytes, outcomes)).expect("there is room");
    assert_eq!(outcomes.next(), (n, Outcome::Durable));
}

/// What a record says: the number of a publish, or the text of a control record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Publish(u64),
    Control(String),
}

/// A record as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) position: LogPosition,
    pub(crate) received_at: Timestamp,
    pub(crate) said: Said,
}

/// Reads on to the durable end.
pub(crate) fn read_on(reader: &mut LogReader, log: &dyn Log, budget_bytes: usize) -> Vec<Seen> {
    let end = log.durable().end;
    let mut seen = Vec::new();
    while let Some(chunk) = reader.read(end, budget_bytes).expect("readable") {
        for frame in chunk.frames() {
            let said = match frame.record().expect("a known record") {
                Record::Publishes { mut publishes, .. } => {
                    let publish = publishes.next().expect("one publish").expect("whole");
                    let payload = std::str::from_utf8(publish.payload).expect("text");
                    Said::Publish(payload.parse().expect("a number"))
                }
                Record::Tick => Said::Control("tick".into()),
                Record::Started { version } => Said::Control(version.into()),
                Record::Rules { text } => Said::Control(text.into()),
                Record::TimePolicy(policy) => Said::Control(format!("{policy:?}")),
                Record::Presence(changes) => Said::Control(format!("{changes:?}")),
                Record::Devices(changes) => Said::Control(format!("{changes:?}")),
                Record::Mappings { text } => Said::Control(text.into()),
                Record::Refused(counts) => Said::Control(format!("{counts:?}")),
                Record::Replay(replay) => Said::Control(replay.topic.into()),
                Record::Audit(deed) => Said::Control(format!("{deed:?}")),
                Record::Commands(events) => Said::Control(format!("{events:?}")),
                Record::Action(action) => Said::Control(format!("{action:?}")),
            };
            seen.push(Seen { position: frame.position, received_at: frame.received_at, said });
        }
    }
    assert_eq!(reader.position(), end);
    seen
}

/// Everything from the floor to the durable end.
pub(crate) fn read_all(log: &dyn Log) -> Vec<Seen> {
    read_on(&mut log.reader(log.floor()), log, 1 << 16)
}

/// The numbers of the publishes among `seen`.
pub(crate) fn numbers(seen: &[Seen]) -> Vec<u64> {
    let number = |seen: &Seen| match seen.said {
        Said::Publish(n) => Some(n),
        Said::Control(_) => None,
    };
    seen.iter().filter_map(number).collect()
}

/// Waits until `holds`; gives the processor away in between.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = tokio::time::Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::yield_now();
    }
}
