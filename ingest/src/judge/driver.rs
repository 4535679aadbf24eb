//! The thread of *judge*: reads what is durable, judges it, tells everyone, and writes snapshots.

use std::sync::Arc;
use std::time::Duration;

use bellwire_model::{Clock, LogPosition, SharedNames, StageTimes, Timestamp};
use tokio::sync::watch;
use tracing::{error, info};

use super::core::Judge;
use crate::group::Group;
use crate::handoff::Handoff;
use crate::journal::Journal;
use crate::log::{Closed, Entry, Log, LogReader, ReadError, RecordError};
use crate::metrics::Metrics;
use crate::ports::{Feed, Phase, Rules};
use crate::present::SharedPresent;
use crate::snapshot::{SnapshotError, Snapshots};
use crate::snapshots::SnapshotWriter;

/// How much log is judged at once: bounds a group to some thousand readings.
const READ_BYTES: usize = 256 << 10;
/// A tick is written at most this often, and only while a deadline is pending.
const TICK: Duration = Duration::from_secs(1);

/// How often *judge* writes its state down.
#[derive(Clone, Copy, Debug)]
pub struct JudgeConfig {
    /// At least after this much time in which something was judged.
    pub snapshot_interval: Duration,
    /// At least after this much log: a full log needs snapshots to move its floor.
    pub snapshot_bytes: u64,
}

/// What *judge* is connected to.
#[derive(Debug)]
pub struct JudgeParts<R, F> {
    /// What it follows, and where it writes ticks.
    pub log: Arc<dyn Log>,
    /// The alert rules, empty.
    pub rules: R,
    /// Who hears at once.
    pub feed: F,
    /// Names, empty.
    pub names: SharedNames,
    /// The present, empty.
    pub present: SharedPresent,
    /// What was decided and is not in the database yet.
    pub journal: Arc<Journal>,
    /// To *keep*.
    pub handoff: Arc<Handoff>,
    /// Where snapshots lie.
    pub snapshots: Snapshots,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What it counts.
    pub metrics: Metrics,
}

/// Why *judge* cannot begin, or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// The log no longer has what recovery needs.
    #[error(
        "the log begins at {floor} and no snapshot reaches back to {committed}, where the database is: \
         the readings between are in neither"
    )]
    Gap {
        /// Where the log begins.
        floor: LogPosition,
        /// Where the database is.
        committed: LogPosition,
    },
    /// A snapshot cannot be read.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// A snapshot was read, but cannot be put in place.
    #[error("the snapshot at {position} cannot be restored")]
    Restore {
        /// Which.
        position: LogPosition,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The log cannot be read.
    #[error("the log cannot be read at {position}")]
    Read {
        /// Where.
        position: LogPosition,
        /// Why.
        #[source]
        source: ReadError,
    },
    /// The log holds what this version does not know.
    #[error("the record at {position} cannot be judged")]
    Record {
        /// Where.
        position: LogPosition,
        /// Why.
        #[source]
        source: RecordError,
    },
    /// The journal cannot be written, so *keep* would miss what was decided.
    #[error("failed writing the journal of {position}")]
    Journal {
        /// Where.
        position: LogPosition,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// *Judge*, recovered and ready to run on a thread of its own.
#[derive(Debug)]
pub struct JudgeThread<R, F> {
    core: Judge<R>,
    log: Arc<dyn Log>,
    reader: LogReader,
    feed: F,
    names: SharedNames,
    journal: Arc<Journal>,
    handoff: Arc<Handoff>,
    judged: watch::Sender<LogPosition>,
    snapshots: SnapshotWriter,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    config: JudgeConfig,
    position: LogPosition,
    /// What was durable when recovery began: up to there everything was judged before.
    recovered_to: LogPosition,
    snapshot_at: (LogPosition, Timestamp),
    ticked_at: Timestamp,
}

impl<R: Rules, F: Feed> JudgeThread<R, F> {
    /// Puts the newest usable snapshot in place and rebuilds the window of repetitions.
    ///
    /// `committed` is how far the database (with its ledger) is; a lower bound is as good.
    ///
    /// # Errors
    /// [`JudgeError`] if the log and the snapshots do not reach back that far, or are damaged.
    pub fn recover(
        parts: JudgeParts<R, F>,
        committed: watch::Receiver<LogPosition>,
        config: JudgeConfig,
    ) -> Result<Self, JudgeError> {
        let JudgeParts { log, rules, feed, names, present, journal, handoff, snapshots, clock, metrics } = parts;
        let base = *committed.borrow();
        let mut core = Judge::new(log.id(), names.clone(), present, rules);
        let (position, reader) = begin(log.as_ref(), &snapshots, base, &mut core)?;
        let now = clock.now();
        let recovered_to = log.durable().end;
        info!("Judging again from {position} to {recovered_to}.");
        Ok(Self {
            core,
            reader,
            feed,
            names,
            journal,
            handoff,
            judged: watch::Sender::new(position),
            snapshots: SnapshotWriter::start(snapshots, committed, Arc::clone(&log), metrics.clone()),
            log,
            clock,
            metrics,
            config,
            position,
            recovered_to,
            snapshot_at: (position, now),
            ticked_at: now,
        })
    }

    /// How far has been judged; closed when *judge* has ended.
    #[must_use]
    pub fn judged(&self) -> watch::Receiver<LogPosition> {
        self.judged.subscribe()
    }

    /// Judges until the log is closed and all of it is judged, then writes a last snapshot.
    ///
    /// # Errors
    /// [`JudgeError`] if it cannot go on; the service must stop then.
    pub fn run(mut self) -> Result<(), JudgeError> {
        loop {
            let durable = self.log.durable();
            if self.position < durable.end {
                self.judge_up_to(durable.end, durable.at)?;
                self.snapshot_if_due();
                continue;
            }
            self.tick_if_due();
            if let Err(Closed) = self.log.wait_durable(self.position, self.patience()) {
                break;
            }
        }
        let snapshot = self.core.snapshot(self.position);
        self.snapshots.finish(snapshot);
        info!("Judged everything up to {}.", self.position);
        Ok(())
    }

    fn judge_up_to(&mut self, end: LogPosition, durable_at: Timestamp) -> Result<(), JudgeError> {
        let position = self.position;
        let read = |source| JudgeError::Read { position, source };
        let Some(chunk) = self.reader.read(end, READ_BYTES).map_err(read)? else { return Ok(()) };
        let mut group = Group::at(position);
        for frame in chunk.frames() {
            let frame = frame.map_err(read)?;
            self.core
                .judge(&frame, &mut group)
                .map_err(|source| JudgeError::Record { position: frame.position, source })?;
        }
        group.end = chunk.end();
        let phase = if position < self.recovered_to { Phase::Recovery } else { Phase::Live };
        let judged = self.clock.now();
        self.journal.append(&group).map_err(|source| JudgeError::Journal { position, source })?;
        let times = StageTimes { received: Timestamp::EPOCH, durable: durable_at, judged };
        self.feed.judged(&group, times, phase, &self.names);
        self.metrics.judged(&group, phase, judged, self.log.durable().end.0.saturating_sub(group.end.0));
        self.position = group.end;
        self.handoff.offer(group);
        self.judged.send_replace(self.position);
        Ok(())
    }

    /// Writes a tick into the log if a deadline has passed and none was written within a second.
    fn tick_if_due(&mut self) {
        let now = self.clock.now();
        let due = self.core.rules().next_deadline().is_some_and(|deadline| deadline <= now);
        if due && now.since(self.ticked_at) >= TICK {
            self.ticked_at = now;
            // No room means that ticks are waiting already.
            let _ = self.log.try_append(Entry::tick());
        }
    }

    /// How long to wait for the log: until a tick may be due.
    fn patience(&self) -> Duration {
        match self.core.rules().next_deadline() {
            Some(deadline) => {
                let now = self.clock.now();
                let next_tick = self.ticked_at + TICK;
                deadline.max(next_tick).since(now).clamp(Duration::from_millis(1), TICK)
            }
            None => TICK,
        }
    }

    fn snapshot_if_due(&mut self) {
        let (at, written) = self.snapshot_at;
        let now = self.clock.now();
        let due = self.position.0 - at.0 >= self.config.snapshot_bytes
            || now.since(written) >= self.config.snapshot_interval;
        if due && self.snapshots.is_idle() {
            self.snapshots.write(self.core.snapshot(self.position));
            self.snapshot_at = (self.position, now);
        }
    }
}

/// Puts the newest usable snapshot in place; gives where judging begins and a reader there.
fn begin<R: Rules>(
    log: &dyn Log,
    snapshots: &Snapshots,
    committed: LogPosition,
    core: &mut Judge<R>,
) -> Result<(LogPosition, LogReader), JudgeError> {
    let Some(snapshot) = snapshots.newest_up_to(committed)? else {
        if log.floor() > LogPosition::ZERO && committed < log.durable().end {
            return Err(JudgeError::Gap { floor: log.floor(), committed });
        }
        let begin = log.floor();
        return Ok((begin, log.reader(begin)));
    };
    let (position, rebuild_from) = (snapshot.position(), snapshot.rebuild_from());
    let mut reader = log.reader(rebuild_from);
    core.restore(snapshot).map_err(|source| JudgeError::Restore { position, source })?;
    let read = |source| JudgeError::Read { position: rebuild_from, source };
    while let Some(chunk) = reader.read(position, READ_BYTES).map_err(read)? {
        for frame in chunk.frames() {
            let frame = frame.map_err(read)?;
            core.rebuild(&frame)
                .map_err(|source| JudgeError::Record { position: frame.position, source })?;
        }
    }
    Ok((position, reader))
}

impl<R, F> Drop for JudgeThread<R, F> {
    fn drop(&mut self) {
        if self.position < self.log.durable().end {
            error!("Judge ended at {} of {}.", self.position, self.log.durable().end);
        }
    }
}
