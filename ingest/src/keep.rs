//! *Keep*: writes to the database what *judge* has passed, each record once.
//!
//! At the head of the log it takes the groups that *judge* decoded. Behind it, after the database
//! was away say, it reads the log from disk and takes *judge's* verdicts from the journal: the
//! same rows come out.

use std::sync::Arc;
use std::time::Duration;

use bellwire_model::{
    Clock, DeviceKey, KeepBatch, LedgerFlush, LogPosition, MetricKey, SharedNames, SharedRegistry,
    Timestamp,
};
use hashbrown::HashMap;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::backoff::Backoff;
use crate::decode::UnitOf;
use crate::group::{Bookings, Entry, Group, Heard, Unshelved};
use crate::handoff::{Handoff, Next};
use crate::journal::Journal;
use crate::ledger::{Ledger, SharedLedger};
use crate::log::{Log, ReadError, RecordError};
use crate::metrics::Metrics;
use crate::poison::{self, Aside, Notices};
use crate::policy::SharedTerms;
use crate::ports::{BatchSink, Opened, RefusedPublish, SinkError};
use crate::reread::Rereader;

/// How *keep* makes its transactions.
#[derive(Clone, Copy, Debug)]
pub struct KeepConfig {
    /// The least time from the start of one transaction to the start of the next: at low rates
    /// each costs more than its rows.
    pub flush_interval: Duration,
    /// A transaction takes no further group when it has this many readings.
    pub batch_readings: usize,
    /// Nor when it spans this many bytes of the log: payloads without readings are bounded too.
    pub batch_bytes: u64,
    /// How often the ledger goes to the database.
    pub ledger_interval: Duration,
    /// The longest pause between two tries while the database is away.
    pub backoff_max: Duration,
}

/// What *keep* is connected to.
#[derive(Debug)]
pub struct KeepParts<S> {
    /// What it reads when it is behind.
    pub log: Arc<dyn Log>,
    /// The database.
    pub sink: S,
    /// Names, which *judge* gives.
    pub names: SharedNames,
    /// What is said of devices; from *judge*.
    pub registry: SharedRegistry,
    /// From *judge*.
    pub journal: Arc<Journal>,
    /// From *judge*.
    pub handoff: Arc<Handoff>,
    /// From *judge*.
    pub terms: SharedTerms,
    /// How far *judge* is; closed when it has ended.
    pub judged: watch::Receiver<LogPosition>,
    /// Where *judge* began after recovery: earlier verdicts are in the database only.
    pub judged_from: LogPosition,
    /// Told how far the database is, with its ledger.
    pub committed: watch::Sender<LogPosition>,
    /// The account, empty.
    pub ledger: SharedLedger,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What it counts.
    pub metrics: Metrics,
}

impl KeepParts<()> {
    /// The same, with the database.
    #[must_use]
    pub fn with_sink<S>(self, sink: S) -> KeepParts<S> {
        KeepParts {
            log: self.log,
            sink,
            names: self.names,
            registry: self.registry,
            journal: self.journal,
            handoff: self.handoff,
            terms: self.terms,
            judged: self.judged,
            judged_from: self.judged_from,
            committed: self.committed,
            ledger: self.ledger,
            clock: self.clock,
            metrics: self.metrics,
        }
    }
}

/// Why *keep* cannot go on; the service must stop then.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// The database must not be written to any more.
    #[error(transparent)]
    Closed(#[from] SinkError),
    /// The database is older than what *judge* began with.
    #[error(
        "the database is at {ledger_position}, before {judged_from} where judging began: \
         start again to recover from there"
    )]
    Behind {
        /// How far the database accounts.
        ledger_position: LogPosition,
        /// Where *judge* began.
        judged_from: LogPosition,
    },
    /// The database is newer than the log.
    #[error(
        "the database is at {position}, beyond the log's end {end}: start again to go on from there"
    )]
    Ahead {
        /// How far the database is.
        position: LogPosition,
        /// How far the log is.
        end: LogPosition,
    },
    /// The log cannot be read.
    #[error("failed reading the log")]
    Read(#[from] ReadError),
    /// The log holds what this version does not know.
    #[error("failed reading a record")]
    Record(#[from] RecordError),
    /// The journal cannot be read.
    #[error("failed reading the journal")]
    Journal(#[source] std::io::Error),
}

/// How *keep* ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Everything that was judged is in the database.
    Drained,
    /// It was told to give up while the database was away, or *judge* ended before it had caught
    /// up; the rest is in the log.
    GaveUp,
}

/// *Keep*, before it runs.
#[derive(Debug)]
pub struct Keep<S> {
    parts: KeepParts<S>,
    config: KeepConfig,
    rereader: Rereader,
    position: LogPosition,
    ledger_flushed: Instant,
    notices: Notices,
    /// The units that batches have said.
    units: HashMap<(DeviceKey, MetricKey), Arc<str>>,
}

/// What one transaction carries, beside its rows.
#[derive(Debug, Default)]
pub(crate) struct Load {
    pub(crate) batch: KeepBatch,
    /// Those of the batch's readings' publishes, in their order, and more without readings.
    pub(crate) entries: Vec<Entry>,
    pub(crate) heard: Vec<Heard>,
    /// What was refused before it was a record.
    pub(crate) refused: Vec<(DeviceKey, u32, Timestamp)>,
    /// What leaves quarantine, one for each entry that is replayed.
    pub(crate) unshelved: Vec<Unshelved>,
    profiled: Vec<DeviceKey>,
    /// What is set aside because the database refuses it.
    pub(crate) aside: Aside,
}

impl Load {
    fn take(&mut self, mut group: Group) {
        self.batch.end = group.end;
        self.batch.n_publishes += group.entries.len();
        self.batch.readings.append(&mut group.output.readings);
        self.batch.quarantined.append(&mut group.quarantined);
        self.batch.unshelved.extend(group.unshelved.iter().map(|it| it.place));
        self.unshelved.append(&mut group.unshelved);
        self.batch.transitions.append(&mut group.transitions);
        self.batch.commands.extend(group.commands.drain(..).map(|(_, command)| command));
        self.batch.audit.append(&mut group.audit);
        self.batch.silences.extend(group.silences.drain(..).map(|(_, silence)| silence));
        let presence = group.presence.drain(..);
        self.batch.presence.extend(presence.map(|(device, presence, _)| (device, presence)));
        self.profiled.append(&mut group.profiled);
        self.entries.append(&mut group.entries);
        self.heard.append(&mut group.heard);
        self.refused.append(&mut group.refused);
    }

    pub(crate) fn bookings(&self) -> Bookings<'_> {
        let Self { entries, unshelved, heard, refused, .. } = self;
        Bookings { entries, unshelved, heard, refused }
    }
}

impl<S: BatchSink> Keep<S> {
    /// A keeper that begins when it runs.
    #[must_use]
    pub fn new(parts: KeepParts<S>, config: KeepConfig) -> Self {
        let (names, journal) = (parts.names.clone(), Arc::clone(&parts.journal));
        let rereader = Rereader::new(&parts.log, names, journal, parts.terms.clone());
        Self {
            parts,
            config,
            rereader,
            position: LogPosition::ZERO,
            ledger_flushed: Instant::now(),
            notices: Notices::default(),
            units: HashMap::new(),
        }
    }

    /// Writes until *judge* has ended and everything is in the database, or until `give_up` while
    /// the database is awaited. `opened` is where the database stands, if it was opened already.
    ///
    /// Reads files while it runs: give it a thread of its own.
    ///
    /// # Errors
    /// [`KeepError`] if it must not or cannot go on.
    pub async fn run(
        mut self,
        opened: Option<Opened>,
        give_up: CancellationToken,
    ) -> Result<Ended, KeepError> {
        let opened = match opened {
            Some(opened) => opened,
            None => match self.open(&give_up).await? {
                Some(opened) => opened,
                None => return Ok(Ended::GaveUp),
            },
        };
        if !self.begin(opened).await? {
            return Ok(Ended::GaveUp);
        }
        loop {
            let ended = !self.wait_for_work().await;
            let load = self.gather()?;
            if load.batch.end > load.batch.start && !self.commit(load, &give_up).await? {
                return Ok(Ended::GaveUp);
            }
            let drained = ended && self.position == *self.parts.judged.borrow();
            if (drained || self.ledger_due()) && !self.flush_ledger(&give_up).await? {
                return Ok(Ended::GaveUp);
            }
            if drained {
                info!("Kept everything up to {}.", self.position);
                return Ok(Ended::Drained);
            }
        }
    }

    /// Opens the database, however long it takes; `None` if told to give up.
    async fn open(&mut self, give_up: &CancellationToken) -> Result<Option<Opened>, KeepError> {
        let log = self.parts.log.id();
        let mut pause = Backoff::new(self.config.backoff_max, log);
        loop {
            let opening = self.parts.sink.open(log);
            let Some(result) = unless(give_up, opening).await else { return Ok(None) };
            match result {
                Ok(opened) => return Ok(Some(opened)),
                Err(SinkError::Away(error) | SinkError::Refused(error)) => {
                    pause.failed("open", error.as_ref());
                }
                Err(closed @ SinkError::Closed(_)) => return Err(closed.into()),
            }
            if !pause.wait(give_up).await {
                return Ok(None);
            }
        }
    }

    /// Takes up the ledger, and counts again what it does not account for yet; false if *judge*
    /// has ended before it came that far.
    async fn begin(&mut self, opened: Opened) -> Result<bool, KeepError> {
        let Opened { position, ledger_position, ledger: stored } = opened;
        let judged_from = self.parts.judged_from;
        if ledger_position < judged_from {
            return Err(KeepError::Behind { ledger_position, judged_from });
        }
        let end = self.parts.log.durable().end;
        if position > end {
            return Err(KeepError::Ahead { position, end });
        }
        let mut ledger = Ledger::default();
        ledger.load(stored, &self.parts.names);
        if self.parts.judged.wait_for(|judged| *judged >= position).await.is_err() {
            return Ok(false);
        }
        self.position = ledger_position;
        while self.position < position {
            let group = self.rereader.read(self.position, position)?;
            ledger.enter(group.bookings());
            self.position = group.end;
        }
        self.parts.ledger.set(ledger);
        self.parts.committed.send_replace(ledger_position);
        info!("The database is at {position}; its ledger was at {ledger_position}.");
        Ok(true)
    }

    /// Waits until there is something to write; false if *judge* has ended.
    async fn wait_for_work(&mut self) -> bool {
        let position = self.position;
        // Also where no account has changed: a held log waits for `committed`.
        let ledger_pending = *self.parts.committed.borrow() < position;
        let ledger_at = self.ledger_flushed + self.config.ledger_interval;
        tokio::select! {
            judged = self.parts.judged.wait_for(|judged| *judged > position) => judged.is_ok(),
            () = tokio::time::sleep_until(ledger_at), if ledger_pending => true,
        }
    }

    /// Gathers groups up to the limit of a batch, or all that are judged.
    fn gather(&mut self) -> Result<Load, KeepError> {
        let mut load = Load::default();
        load.batch.start = self.position;
        load.batch.end = self.position;
        let judged = *self.parts.judged.borrow_and_update();
        while load.batch.end < judged && !self.is_full(&load.batch) {
            let group = match self.parts.handoff.next(load.batch.end, judged) {
                Next::Group(group) => *group,
                Next::ReadTo(end) => {
                    let group = self.rereader.read(load.batch.end, end)?;
                    self.parts.metrics.keep_read_from_disk(group.end.0 - group.start.0);
                    group
                }
            };
            self.take_units(&group, &mut load.batch);
            load.take(group);
        }
        self.profile(&mut load);
        Ok(load)
    }

    /// Adds those units that no batch has said yet, or of which another was said last.
    fn take_units(&mut self, group: &Group, batch: &mut KeepBatch) {
        for UnitOf { device, metric, unit } in &group.output.units {
            let key = (*device, *metric);
            if self.units.get(&key) != Some(unit) {
                self.units.insert(key, Arc::clone(unit));
                batch.units.push((*device, *metric, Arc::clone(unit)));
            }
        }
    }

    /// Adds what is said now of the devices that the load is about. *Judge* may be ahead: then what it
    /// knows is written sooner than the record that says it is passed, and again with that.
    fn profile(&self, load: &mut Load) {
        let mut keys = std::mem::take(&mut load.profiled);
        keys.sort_unstable();
        keys.dedup();
        if keys.is_empty() {
            return;
        }
        let (names, registry) = (self.parts.names.read(), self.parts.registry.read());
        let of = |key| (key, registry.get(names.device(key)).cloned().unwrap_or_default());
        load.batch.profiles = keys.into_iter().map(of).collect();
    }

    const fn is_full(&self, batch: &KeepBatch) -> bool {
        batch.readings.len() >= self.config.batch_readings
            || batch.end.0 - batch.start.0 >= self.config.batch_bytes
    }

    /// Writes a batch; false if told to give up. Then paces the next one.
    async fn commit(
        &mut self,
        mut load: Load,
        give_up: &CancellationToken,
    ) -> Result<bool, KeepError> {
        let begun = Instant::now();
        let started = self.parts.clock.now();
        if !self.write(&mut load, give_up).await? {
            return Ok(false);
        }
        let n_readings = load.batch.readings.len();
        self.position = load.batch.end;
        if let Some(ledger) = load.aside.take_ledger() {
            self.parts.metrics.keep_quarantined(load.aside.n_publishes());
            self.notices.set_aside(&load.aside);
            self.parts.ledger.set(ledger);
            self.ledger_is_at(self.position)?;
        } else {
            self.parts.ledger.with(|ledger| ledger.enter(load.bookings()));
        }
        self.parts.metrics.kept(n_readings, &load.entries, started, self.parts.clock.now());
        self.report_lag();
        if !self.is_full(&load.batch) {
            tokio::time::sleep_until(begun + self.config.flush_interval).await;
        }
        Ok(true)
    }

    fn report_lag(&self) {
        let judged = *self.parts.judged.borrow();
        self.parts.metrics.keep_lag(judged.0.saturating_sub(self.position.0));
    }

    fn ledger_due(&self) -> bool {
        self.ledger_flushed.elapsed() >= self.config.ledger_interval
    }

    /// Writes the ledger as of here, in a transaction of its own; false if told to give up.
    async fn flush_ledger(&mut self, give_up: &CancellationToken) -> Result<bool, KeepError> {
        self.ledger_flushed = Instant::now();
        let devices = self.parts.ledger.with(Ledger::take_changed).unwrap_or_default();
        let batch = KeepBatch {
            start: self.position,
            end: self.position,
            ledger: Some(LedgerFlush { devices }),
            ..KeepBatch::default()
        };
        if !self.write(&mut Load { batch, ..Load::default() }, give_up).await? {
            return Ok(false);
        }
        self.ledger_is_at(self.position)?;
        Ok(true)
    }

    /// The database accounts for everything up to `position`: nothing before it is read again.
    fn ledger_is_at(&mut self, position: LogPosition) -> Result<(), KeepError> {
        self.ledger_flushed = Instant::now();
        self.parts.committed.send_replace(position);
        self.parts.journal.trim(position).map_err(KeepError::Journal)
    }

    /// Gives a batch to the database until it is taken, without what it refuses of it; false if
    /// told to give up.
    async fn write(
        &mut self,
        load: &mut Load,
        give_up: &CancellationToken,
    ) -> Result<bool, KeepError> {
        let mut pause = Backoff::new(self.config.backoff_max, self.parts.log.id());
        loop {
            self.report_lag();
            let writing = self.write_or_find_refused(load);
            let Some(result) = unless(give_up, writing).await else { return Ok(false) };
            match result {
                Ok(refused) if refused.is_empty() => {
                    pause.succeeded();
                    return Ok(true);
                }
                Ok(refused) => {
                    poison::set_aside(load, &refused, &mut self.rereader)?;
                    poison::account(load, &self.parts.ledger);
                    continue;
                }
                Err(SinkError::Away(error) | SinkError::Refused(error)) => {
                    self.parts.metrics.keep_retried();
                    pause.failed("write to", error.as_ref());
                }
                Err(closed @ SinkError::Closed(_)) => return Err(closed.into()),
            }
            if !pause.wait(give_up).await {
                return Ok(false);
            }
        }
    }

    /// Offers a batch. Gives the publishes that must be left out for it to be taken, none if it is
    /// taken; [`SinkError::Refused`] if it is refused and no publish is to blame.
    async fn write_or_find_refused(
        &mut self,
        load: &Load,
    ) -> Result<Vec<RefusedPublish>, SinkError> {
        let (sink, names) = (&mut self.parts.sink, &self.parts.names);
        let error = match sink.write(&load.batch, names).await {
            Ok(()) => return Ok(Vec::new()),
            Err(SinkError::Refused(error)) => error,
            Err(other) => return Err(other),
        };
        let n_readings: Vec<u32> = load.entries.iter().map(|entry| entry.n_readings).collect();
        let refused = sink.find_refused(&load.batch, &n_readings, names).await?;
        if refused.is_empty() { Err(SinkError::Refused(error)) } else { Ok(refused) }
    }
}

/// What `trying` gives, or `None` if told to give up first: a silent network could hold it for
/// minutes. Whether a batch was stored is found out at the next start.
async fn unless<T>(give_up: &CancellationToken, trying: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        result = trying => Some(result),
        () = give_up.cancelled() => None,
    }
}
