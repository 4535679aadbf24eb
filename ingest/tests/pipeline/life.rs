//! One life of the service, from start to crash or stop: log, *judge* and *keep* as `src` wires
//! them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::thread::JoinHandle;
use std::time::Duration;

use bellwire_ingest::audit::SharedAudit;
use bellwire_ingest::commands::SharedCommands;
use bellwire_ingest::group::Group;
use bellwire_ingest::handoff::Handoff;
use bellwire_ingest::journal::Journal;
use bellwire_ingest::judge::{JudgeConfig, JudgeError, JudgeParts, JudgeThread};
use bellwire_ingest::keep::{Ended, Keep, KeepConfig, KeepError, KeepParts};
use bellwire_ingest::ledger::SharedLedger;
use bellwire_ingest::log::{Config, Entry, LocalLog, Log, Metrics as LogMetrics, Options};
use bellwire_ingest::metrics::Metrics;
use bellwire_ingest::policy::SharedTerms;
use bellwire_ingest::ports::{BatchSink, Feed, Opened, Phase};
use bellwire_ingest::present::SharedPresent;
use bellwire_ingest::repetition::Limits;
use bellwire_ingest::snapshot::Snapshots;
use bellwire_model::{
    Alert, Clock, LogPosition, Outcome, Receipt, SharedNames, SharedRegistry, StageTimes, Timestamp,
};
use prometheus::Registry;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::database::{Database, Sink, said};
use crate::disk::SimDisk;
use crate::gate::{Gate, PATIENCE};
use crate::model::Model;
use crate::rules::{RuleState, SimRules};

/// A clock that the history moves.
#[derive(Debug)]
pub(crate) struct SimClock(AtomicI64);

impl SimClock {
    pub(crate) fn new(secs: i64) -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(secs * 1_000_000)))
    }

    pub(crate) fn forward(&self, duration: Duration) {
        let micros = i64::try_from(duration.as_micros()).expect("short");
        self.0.fetch_add(micros, Ordering::SeqCst);
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}

/// The sizes of this history.
#[derive(Clone, Debug)]
pub(crate) struct Sizes {
    pub(crate) log: Config,
    pub(crate) handoff: usize,
    pub(crate) journal: u64,
    pub(crate) judge: JudgeConfig,
    pub(crate) keep: KeepConfig,
}

/// Whether the service finds the database when it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AtStart {
    Found,
    Away,
}

/// Hears what is judged; notes what should not be.
#[derive(Debug, Default)]
struct Hearing {
    /// What was durable at the start.
    recovered_to: LogPosition,
    end: Option<LogPosition>,
    recovered: bool,
    faults: Vec<String>,
}

#[derive(Clone, Debug, Default)]
struct SimFeed(Arc<Mutex<Hearing>>);

impl Feed for SimFeed {
    fn judged(&mut self, group: &Group, _: StageTimes, phase: Phase) {
        let mut hearing = self.0.lock().expect("no panic");
        if group.end <= group.start || hearing.end.is_some_and(|end| end > group.start) {
            let fault = format!("{}..{} after {:?}", group.start, group.end, hearing.end);
            hearing.faults.push(fault);
        }
        if hearing.recovered != (phase == Phase::Live) {
            hearing.faults.push(format!("{phase:?} at {}", group.start));
        }
        hearing.end = Some(group.end);
    }

    fn recovered(&mut self, end: LogPosition, _: Vec<Alert>) {
        let mut hearing = self.0.lock().expect("no panic");
        if std::mem::replace(&mut hearing.recovered, true) || end != hearing.recovered_to {
            let fault = format!("recovered at {end}, not {}", hearing.recovered_to);
            hearing.faults.push(fault);
        }
    }
}

type Keeping = Pin<Box<dyn Future<Output = Result<Ended, KeepError>>>>;

/// The service, while it lives.
pub(crate) struct Life {
    pub(crate) dir: PathBuf,
    pub(crate) log: Arc<LocalLog>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) disk: Arc<SimDisk>,
    pub(crate) registry: Registry,
    n_snapshots: Arc<AtomicU64>,
    judge: JoinHandle<Result<(), JudgeError>>,
    judged: watch::Receiver<LogPosition>,
    keep: Option<Keeping>,
    give_up: CancellationToken,
    feed: SimFeed,
    names: SharedNames,
    present: SharedPresent,
    settled: (SyncSender<Outcome>, Receiver<Outcome>),
}

/// Time stands still in it while anything can go on, and jumps when nothing can.
pub(crate) fn paused_runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().start_paused(true).build().expect("a runtime")
}

pub(crate) fn open_log(
    dir: &Path,
    config: Config,
    clock: Arc<SimClock>,
    disk: Arc<SimDisk>,
    registry: &Registry,
) -> Arc<LocalLog> {
    let metrics = LogMetrics::register(registry).expect("fresh registry");
    let fail_stop = Arc::new(|error: &bellwire_ingest::log::Error| panic!("{error}"));
    let options = Options::new(&dir.join("log"), clock, fail_stop, metrics);
    Arc::new(LocalLog::open(Options { config, disk, ..options }).expect("the log opens"))
}

fn journal(dir: &Path, sizes: &Sizes) -> Arc<Journal> {
    let journal = Journal::with_file_bytes(&dir.join("journal"), sizes.journal);
    Arc::new(journal.expect("made"))
}

impl Life {
    /// Starts the service on an open log.
    pub(crate) fn start(
        runtime: &Runtime,
        dir: &Path,
        (log, disk, registry): (Arc<LocalLog>, Arc<SimDisk>, Registry),
        sizes: &Sizes,
        (database, at_start): (&Database, AtStart),
        clock: &Arc<SimClock>,
    ) -> Self {
        let snapshots = Snapshots::open(&dir.join("snapshots"), log.id()).expect("it opens");
        let mut sink = database.sink();
        database.tables().away = at_start == AtStart::Away;
        let opened = (at_start == AtStart::Found).then(|| {
            database.tables().moods.clear();
            database.allow(1);
            runtime.block_on(sink.open(log.id())).expect("it is there")
        });
        let committed = opened.as_ref().map_or(snapshots.committed(), |it| it.ledger_position);
        let (committed, n_snapshots) = (watch::Sender::new(committed), Arc::new(AtomicU64::new(0)));
        let (names, terms) = (SharedNames::default(), SharedTerms::default());
        let journal = journal(dir, sizes);
        let handoff = Arc::new(Handoff::with_limit(sizes.handoff));
        let metrics = Metrics::register(&registry).expect("fresh registry");
        let (gate, feed) = (Gate::new(Arc::clone(&log)), SimFeed::default());
        feed.0.lock().expect("no panic").recovered_to = log.durable().end;
        let (state, present) = (RuleState::default(), SharedPresent::default());
        let said = SharedRegistry::default();
        let parts = JudgeParts {
            log: Arc::<Gate>::clone(&gate),
            rules: SimRules { state, n_snapshots: Arc::clone(&n_snapshots) },
            feed: feed.clone(),
            names: names.clone(),
            present: present.clone(),
            registry: said.clone(),
            journal: Arc::clone(&journal),
            handoff: Arc::clone(&handoff),
            terms: terms.clone(),
            sessions: Arc::new(()),
            commands: SharedCommands::default(),
            audit: SharedAudit::default(),
            snapshots,
            clock: Arc::<SimClock>::clone(clock),
            metrics: metrics.clone(),
        };
        let judge =
            JudgeThread::recover(parts, committed.subscribe(), sizes.judge).expect("all there");
        let (judged, give_up) = (judge.judged(), CancellationToken::new());
        let parts = KeepParts {
            log: Arc::<LocalLog>::clone(&log),
            sink,
            names: names.clone(),
            registry: said,
            journal,
            handoff,
            terms,
            judged: judged.clone(),
            judged_from: *judged.borrow(),
            committed,
            ledger: SharedLedger::default(),
            clock: Arc::<SimClock>::clone(clock),
            metrics,
        };
        let keep = keeping(runtime, (parts, sizes.keep), opened, give_up.clone());
        Self {
            dir: dir.to_owned(),
            log,
            gate,
            disk,
            registry,
            n_snapshots,
            judge: std::thread::spawn(move || judge.run()),
            judged,
            keep: Some(keep),
            give_up,
            feed,
            names,
            present,
            settled: sync_channel(1_000),
        }
    }

    /// A receipt that this life notes.
    pub(crate) fn receipt(&self) -> Receipt {
        let sender = self.settled.0.clone();
        Receipt::new(move |outcome| sender.send(outcome).expect("the life listens"))
    }

    /// Appends a record and waits until it is durable.
    pub(crate) fn append(&self, entry: Entry) {
        assert!(self.log.try_append(entry).is_ok(), "there is room");
        let outcome = self.settled.1.recv_timeout(PATIENCE);
        assert_eq!(outcome.expect("the receipt settles"), Outcome::Durable);
    }

    pub(crate) fn judged(&self) -> LogPosition {
        *self.judged.borrow()
    }

    /// Lets *judge* go on up to `end`, and waits until it has.
    pub(crate) fn judge_to(&self, end: LogPosition) {
        self.gate.open_to(end);
        self.rest();
    }

    /// Waits until *judge* has come to rest.
    pub(crate) fn rest(&self) {
        self.gate.wait_for_judge(&self.n_snapshots, || self.judge.is_finished());
        assert!(!self.judge.is_finished(), "judge goes on");
    }

    /// Lets *keep* go on until `done`, polled after each of its steps.
    pub(crate) fn keep_until(&mut self, runtime: &Runtime, mut done: impl FnMut() -> bool) {
        let keep = self.keep.as_mut().expect("it lives");
        runtime.block_on(std::future::poll_fn(|context| {
            if let Poll::Ready(ended) = keep.as_mut().poll(context) {
                panic!("keep has ended: {ended:?}");
            }
            if done() { Poll::Ready(()) } else { Poll::Pending }
        }));
    }

    /// Stops as the service does: log, *judge*, *keep*, each when its input has ended.
    pub(crate) fn stop(mut self, runtime: &Runtime, database: &Database, at_end: AtStart) {
        self.log.close();
        self.gate.open_to(self.log.durable().end);
        self.gate.shut();
        let keep = self.keep.take().expect("it lives");
        if at_end == AtStart::Away {
            self.give_up.cancel();
        }
        let ended = runtime.block_on(keep).expect("keep ends well");
        if at_end == AtStart::Found {
            assert_eq!(ended, Ended::Drained);
        }
        let (names, present) = (self.names.clone(), self.present.clone());
        self.end();
        let model = database.model.lock().expect("no panic");
        assert_present(&names, &present, &model);
    }

    /// Ends after the copy of a crash was made; what it does now, nobody sees.
    pub(crate) fn abandon(mut self) {
        self.keep = None;
        self.disk.let_syncs_go();
        self.gate.shut();
        self.end();
    }

    fn end(self) {
        let judged = self.judge.join().expect("judge does not panic");
        judged.expect("judge does not fail");
        self.log.close();
        let faults = &self.feed.0.lock().expect("no panic").faults;
        assert!(faults.is_empty(), "the feed heard {faults:?}");
    }
}

/// Everything is judged: then the present is what the model says.
fn assert_present(names: &SharedNames, present: &SharedPresent, model: &Model) {
    let (names, mut latest, mut seen) = (names.read(), BTreeMap::new(), BTreeMap::new());
    let (mut clocks, mut presence) = (BTreeMap::new(), BTreeMap::new());
    present.with(|present| {
        for (key, device) in present.devices() {
            let name = names.device(key).to_string();
            for known in &device.latest {
                let key = (name.clone(), names.metric(known.metric).to_string());
                latest.insert(key, (known.at, said(&known.value)));
            }
            clocks.extend(device.clock.clone().map(|clock| (name.clone(), clock)));
            let said = device.presence.map(|(said, since)| (said.is_online(), since));
            presence.extend(said.map(|said| (name.clone(), said)));
            seen.insert(name, (device.first_seen, device.last_seen));
        }
    });
    assert_eq!(latest, model.latest(), "the latest values");
    assert_eq!(clocks, model.clocks, "how far clocks are off");
    assert_eq!(presence, model.presence, "who is there, and since when");
    assert_eq!(seen, model.seen, "when devices were seen");
}

fn keeping(
    runtime: &Runtime,
    (parts, config): (KeepParts<Sink>, KeepConfig),
    opened: Option<Opened>,
    give_up: CancellationToken,
) -> Keeping {
    let _inside = runtime.enter();
    Box::pin(Keep::new(parts, config).run(opened, give_up))
}

/// The limits of the window of repetitions in these histories.
pub(crate) const fn window(publishes_max: usize) -> Limits {
    Limits { publishes_max, mark_every: 8, log_bytes_max: u64::MAX }
}
