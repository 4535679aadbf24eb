//! What stays bounded, and who ends, whatever the others do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bellwire_ingest::handoff::Handoff;
use bellwire_ingest::journal::Journal;
use bellwire_ingest::judge::JudgeConfig;
use bellwire_ingest::keep::{Ended, Keep, KeepConfig, KeepParts};
use bellwire_ingest::ledger::SharedLedger;
use bellwire_ingest::log::{Config, Entry, LocalLog, Log};
use bellwire_ingest::metrics::Metrics;
use bellwire_ingest::policy::SharedTerms;
use bellwire_ingest::ports::{BatchSink, Opened, RefusedPublish, SinkError};
use bellwire_ingest::repetition::Limits;
use bellwire_model::{
    ClientId, Delivery, KeepBatch, LogId, LogPosition, Outcome, PublishBatch, PublishRef, QoS,
    Receipt, SharedNames, SharedRegistry,
};
use prometheus::Registry;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::database::Database;
use crate::disk::{SimDisk, temporary_dir};
use crate::life::{AtStart, Life, SimClock, Sizes, open_log, paused_runtime};
use crate::model::Model;
use crate::payload::Meaning;

const LOG: Config =
    Config { segment_bytes: 8192, bytes_max: 4 << 20, disk_reserve_bytes: 0, queue_bytes: 1 << 20 };
const KEEP: KeepConfig = KeepConfig {
    flush_interval: Duration::from_millis(100),
    batch_readings: 1_000,
    batch_bytes: 10_000,
    ledger_interval: Duration::from_secs(1),
    backoff_max: Duration::from_secs(1),
};

/// A database that takes everything, once it is there, and notes how far each batch goes.
#[derive(Debug, Default)]
struct Notes {
    away: u64,
    position: LogPosition,
    extents: Vec<u64>,
    n_ledgers: usize,
    n_tries: Arc<AtomicU64>,
}

impl BatchSink for &mut Notes {
    async fn open(&mut self, _: LogId) -> Result<Opened, SinkError> {
        let (position, ledger_position) = (self.position, LogPosition::ZERO);
        Ok(Opened { position, ledger_position, ledger: Vec::new() })
    }

    async fn write(&mut self, batch: &KeepBatch, _: &SharedNames) -> Result<(), SinkError> {
        self.n_tries.fetch_add(1, Ordering::SeqCst);
        if self.away > 0 {
            self.away -= 1;
            return Err(SinkError::Away("not now".into()));
        }
        self.n_ledgers += usize::from(batch.ledger.is_some());
        if batch.end > batch.start {
            self.extents.push(batch.end.0 - batch.start.0);
        }
        Ok(())
    }

    async fn find_refused(
        &mut self,
        _: &KeepBatch,
        _: &[u32],
        _: &SharedNames,
    ) -> Result<Vec<RefusedPublish>, SinkError> {
        panic!("it refuses nothing")
    }
}

fn unreadable(payload: &[u8], receipt: Receipt) -> Entry {
    let mut publishes = PublishBatch::default();
    publishes.push(&PublishRef {
        topic: "devices/oven/telemetry",
        payload,
        qos: QoS::AtLeastOnce,
        dup: false,
        retain: false,
        packet_id: 1,
    });
    let client = ClientId::new("client").expect("valid");
    Entry::publishes(Delivery { client, publishes, session: Vec::new(), receipt })
}

/// A log of `n_records` payloads that nobody can read.
fn rubbish(n_records: u64) -> (TempDir, Arc<LocalLog>) {
    let dir = temporary_dir();
    let clock = SimClock::new(1_700_000_000);
    let log = open_log(dir.path(), LOG, clock, SimDisk::new(), &Registry::new());
    let (sender, settled) = std::sync::mpsc::sync_channel(1);
    for _ in 0..n_records {
        let sender = sender.clone();
        let receipt = Receipt::new(move |outcome| sender.send(outcome).expect("we listen"));
        assert!(log.try_append(unreadable(&[b'x'; 500], receipt)).is_ok(), "there is room");
        assert_eq!(settled.recv(), Ok(Outcome::Durable));
    }
    (dir, log)
}

fn parts<'a>(
    (dir, log): (&TempDir, &Arc<LocalLog>),
    judged: watch::Receiver<LogPosition>,
    sink: &'a mut Notes,
    registry: &Registry,
) -> KeepParts<&'a mut Notes> {
    KeepParts {
        log: Arc::<LocalLog>::clone(log),
        sink,
        names: SharedNames::default(),
        registry: SharedRegistry::default(),
        journal: Arc::new(Journal::create(&dir.path().join("journal")).expect("made")),
        handoff: Arc::new(Handoff::default()),
        terms: SharedTerms::default(),
        judged,
        judged_from: LogPosition::ZERO,
        committed: watch::Sender::new(LogPosition::ZERO),
        ledger: SharedLedger::default(),
        clock: SimClock::new(1_700_000_000),
        metrics: Metrics::register(registry).expect("fresh registry"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_bounded_also_where_the_log_has_no_readings() {
    let (dir, log) = rubbish(200);
    let end = log.durable().end;
    let (judge, judged) = watch::channel(end);
    drop(judge);
    let mut notes = Notes::default();
    let parts = parts((&dir, &log), judged, &mut notes, &Registry::new());
    let ended = Keep::new(parts, KEEP).run(None, CancellationToken::new()).await;
    assert_eq!(ended.expect("it ends well"), Ended::Drained);
    assert_eq!(notes.extents.iter().sum::<u64>(), end.0);
    let largest = notes.extents.iter().max().expect("some").to_owned();
    assert!(largest <= KEEP.batch_bytes + LOG.segment_bytes, "{largest} bytes in a batch");
}

/// Where each of the log's records ends.
fn ends(log: &LocalLog) -> Vec<LogPosition> {
    let (end, mut reader) = (log.durable().end, log.reader(LogPosition::ZERO));
    let mut begins = Vec::new();
    while let Some(chunk) = reader.read(end, 1 << 16).expect("readable") {
        begins.extend(chunk.frames().map(|frame| frame.position));
    }
    begins.into_iter().skip(1).chain([end]).collect()
}

#[tokio::test(start_paused = true)]
async fn batches_are_small_while_little_comes_and_grow_with_what_waits() {
    let (dir, log) = rubbish(60);
    let ends = ends(&log);
    let (judge, judged) = watch::channel(LogPosition::ZERO);
    let mut notes = Notes::default();
    let parts = parts((&dir, &log), judged, &mut notes, &Registry::new());
    let feeding = async {
        let (idle, rest) = ends.split_at(5);
        let (busy, waiting) = rest.split_at(40);
        let every = |interval, records: Vec<LogPosition>| {
            let judge = &judge;
            async move {
                let mut pulse = tokio::time::interval(interval);
                for end in records {
                    pulse.tick().await;
                    judge.send_replace(end);
                }
                pulse.tick().await;
            }
        };
        every(10 * KEEP.flush_interval, idle.to_vec()).await;
        every(KEEP.flush_interval / 10, busy.to_vec()).await;
        judge.send_replace(*waiting.last().expect("some"));
        drop(judge);
    };
    let keep = Keep::new(parts, KEEP).run(None, CancellationToken::new());
    let (ended, ()) = tokio::join!(keep, feeding);
    assert_eq!(ended.expect("it ends well"), Ended::Drained);
    let n_records = |extents: &[u64]| {
        let mut begin = 0;
        let counts = extents.iter().map(|extent| {
            let end = begin + extent;
            let within = |at: &&LogPosition| begin < at.0 && at.0 <= end;
            let count = ends.iter().filter(within).count();
            begin = end;
            count
        });
        counts.collect::<Vec<_>>()
    };
    let counts = n_records(&notes.extents);
    assert_eq!(counts[..5], [1; 5], "{counts:?}");
    assert_eq!(counts.iter().sum::<usize>(), 60, "{counts:?}");
    // Forty within four times the interval, and then fifteen at once, which is about a limit.
    assert!(counts[5..].len() <= 8, "{counts:?}");
    assert!(counts[6..].iter().max() >= Some(&10), "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn keep_ends_if_judge_ends_before_it_has_caught_up() {
    let (dir, log) = rubbish(20);
    let (judge, judged) = watch::channel(LogPosition::ZERO);
    drop(judge);
    let mut notes = Notes { position: log.durable().end, ..Notes::default() };
    let parts = parts((&dir, &log), judged, &mut notes, &Registry::new());
    let ledger = parts.ledger.clone();
    let keep = Keep::new(parts, KEEP).run(None, CancellationToken::new());
    let ended = tokio::time::timeout(Duration::from_secs(60), keep).await.expect("it ends");
    assert_eq!(ended.expect("no error of its own"), Ended::GaveUp);
    assert_eq!(notes.n_ledgers, 0, "what was not judged is not accounted for");
    assert!(ledger.with(|_| ()).is_none(), "and nobody is shown a wrong account");
}

#[tokio::test(start_paused = true)]
async fn the_ledger_follows_also_where_it_has_nothing_to_say() {
    let (dir, log) = rubbish(0);
    log.append(Entry::tick()).await;
    let mut durable = log.follow();
    durable.wait_for(|durable| durable.end > LogPosition::ZERO).await.expect("it goes on");
    let end = log.durable().end;
    let (judge, judged) = watch::channel(LogPosition::ZERO);
    let mut notes = Notes::default();
    let parts = parts((&dir, &log), judged, &mut notes, &Registry::new());
    let mut committed = parts.committed.subscribe();
    let keep = Keep::new(parts, KEEP).run(None, CancellationToken::new());
    judge.send_replace(end);
    tokio::select! {
        ended = keep => panic!("keep has ended: {ended:?}"),
        moved = tokio::time::timeout(Duration::from_secs(60), committed.wait_for(|it| *it == end)) => {
            moved.expect("in time").expect("keep lives");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_lag_says_what_the_database_does_not_have() {
    let (dir, log) = rubbish(3);
    let end = log.durable().end;
    let (_judge, judged) = watch::channel(end);
    let mut notes = Notes { away: u64::MAX, ..Notes::default() };
    let n_tries = Arc::clone(&notes.n_tries);
    let registry = Registry::new();
    let parts = parts((&dir, &log), judged, &mut notes, &registry);
    let give_up = CancellationToken::new();
    let keep = Keep::new(parts, KEEP).run(None, give_up.clone());
    let look = async {
        let mut again = tokio::time::interval(Duration::from_millis(10));
        while n_tries.load(Ordering::SeqCst) < 3 {
            again.tick().await;
        }
        let families = registry.gather();
        let lag = families.iter().find(|family| family.name() == "bellwire_keep_lag_bytes");
        let lag = lag.expect("registered").get_metric()[0].get_gauge().get_value();
        give_up.cancel();
        lag as u64
    };
    let (ended, lag) = tokio::join!(keep, look);
    assert_eq!(ended.expect("told to"), Ended::GaveUp);
    assert_eq!(lag, end.0);
}

/// The window of repetitions must not hold on to more than a small log can keep: nothing new
/// would come in, so nothing old would leave the window, for ever.
#[test]
fn a_small_log_goes_on_however_much_comes_within_the_window() {
    let runtime = paused_runtime();
    let bytes_max = 4 * LOG.segment_bytes;
    let limits = Limits { log_bytes_max: bytes_max / 2, ..Limits::default() };
    let snapshot_interval = Duration::from_secs(60);
    let sizes = Sizes {
        log: Config { bytes_max, ..LOG },
        handoff: 1_000,
        journal: 1_000,
        judge: JudgeConfig { snapshot_interval, snapshot_bytes: 1, window: limits },
        keep: KEEP,
    };
    let (dir, clock, disk) = (temporary_dir(), SimClock::new(1_700_000_000), SimDisk::new());
    let registry = Registry::new();
    let log =
        open_log(dir.path(), sizes.log.clone(), Arc::clone(&clock), Arc::clone(&disk), &registry);
    let database = Database::new(Model::new(limits.publishes_max));
    let log_parts = (Arc::clone(&log), disk, registry);
    let found = (&database, AtStart::Found);
    let mut life = Life::start(&runtime, dir.path(), log_parts, &sizes, found, &clock);
    let mut archive = log.reader(LogPosition::ZERO);
    database.allow(u64::MAX);
    for n in 0..300 {
        let payload = format!("{n:500}").into_bytes();
        let key = ("devices/oven/telemetry".to_owned(), payload.clone());
        database.model.lock().expect("no panic").meanings.insert(key, Meaning::Rubbish("oven"));
        life.append(unreadable(&payload, life.receipt()));
        let end = log.durable().end;
        while let Some(chunk) = archive.read(end, 1 << 16).expect("readable") {
            chunk.frames().for_each(|frame| database.model.lock().expect("no panic").take(&frame));
        }
        life.judge_to(end);
        life.keep_until(&runtime, || database.tables().ledger_position == end);
        clock.forward(Duration::from_millis(100));
        // Once more, now that the database has it.
        life.judge_to(end);
    }
    life.stop(&runtime, &database, AtStart::Found);
    database.assert_complete(log.durable().end);
}
