//! The thread of *judge*: reads what is durable, judges it, tells everyone, and writes snapshots.

use std::sync::Arc;
use std::time::Duration;

use bellwire_model::{Clock, LogPosition, SharedNames, SharedRegistry, StageTimes, Timestamp};
use tokio::sync::watch;
use tracing::info;

use super::core::Judge;
use crate::audit::SharedAudit;
use crate::commands::SharedCommands;
use crate::group::Group;
use crate::handoff::Handoff;
use crate::journal::Journal;
use crate::log::{Closed, Entry, Frame, Log, LogReader, ReadError, Record, RecordError};
use crate::metrics::{Lateness, Metrics};
use crate::policy::SharedTerms;
use crate::ports::{Feed, Phase, Rules, Sessions};
use crate::present::SharedPresent;
use crate::repetition::Limits;
use crate::snapshot::{Places, SnapshotError, Snapshots};
use crate::snapshots::SnapshotWriter;

/// How much log is judged at once: bounds a group to some thousand readings.
const READ_BYTES: usize = 256 << 10;
/// A tick is written at most this often, and only while a deadline is pending.
const TICK: Duration = Duration::from_secs(1);

/// While the log is held, a snapshot is written this often.
const HELD_INTERVAL: Duration = Duration::from_secs(1);

/// When a snapshot was last taken, and what it said.
#[derive(Clone, Copy, Debug)]
struct Taken {
    position: LogPosition,
    committed: LogPosition,
    at: Timestamp,
}

/// How often *judge* writes its state down, and what it remembers.
#[derive(Clone, Copy, Debug)]
pub struct JudgeConfig {
    /// At least after this much time in which something was judged.
    pub snapshot_interval: Duration,
    /// At least after this much log: a full log needs snapshots to move its floor.
    pub snapshot_bytes: u64,
    /// How far back it looks for repetitions.
    pub window: Limits,
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
    /// What is said of devices, empty.
    pub registry: SharedRegistry,
    /// What was decided and is not in the database yet.
    pub journal: Arc<Journal>,
    /// To *keep*.
    pub handoff: Arc<Handoff>,
    /// To *keep*, empty.
    pub terms: SharedTerms,
    /// The clients' sessions, empty.
    pub sessions: Arc<dyn Sessions>,
    /// Commands, empty.
    pub commands: SharedCommands,
    /// What people did last, empty.
    pub audit: SharedAudit,
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
    /// What a record says of clients' sessions cannot be read.
    #[error("the changes in sessions at {position} cannot be made again")]
    Sessions {
        /// Where.
        position: LogPosition,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
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
    journal: Arc<Journal>,
    handoff: Arc<Handoff>,
    judged: watch::Sender<LogPosition>,
    snapshots: SnapshotWriter,
    terms: SharedTerms,
    sessions: Arc<dyn Sessions>,
    committed: watch::Receiver<LogPosition>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    lateness: Lateness,
    config: JudgeConfig,
    position: LogPosition,
    /// What was durable when recovery began: up to there everything was judged before.
    recovered_to: LogPosition,
    phase: Phase,
    snapshot_taken: Taken,
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
        let JudgeParts {
            log,
            rules,
            feed,
            names,
            present,
            registry,
            journal,
            handoff,
            terms,
            sessions,
            commands,
            audit,
            snapshots,
            clock,
            metrics,
        } = parts;
        let base = *committed.borrow();
        let known = (present, registry);
        let mut core = Judge::new(log.id(), names, known, terms.clone(), config.window, rules)
            .with_commands(commands)
            .with_audit(audit);
        let (position, reader) =
            begin(log.as_ref(), &snapshots, base, &mut core, sessions.as_ref())?;
        terms.set(position, core.terms());
        journal.begin_at(position);
        let now = clock.now();
        let recovered_to = log.durable().end;
        info!("Judging again from {position} to {recovered_to}.");
        Ok(Self {
            core,
            reader,
            feed,
            journal,
            handoff,
            judged: watch::Sender::new(position),
            snapshots: SnapshotWriter::start(
                snapshots,
                Arc::clone(&log),
                Arc::clone(&sessions),
                metrics.clone(),
            ),
            terms,
            sessions,
            committed,
            log,
            clock,
            lateness: metrics.lateness(),
            metrics,
            config,
            position,
            recovered_to,
            phase: Phase::Recovery,
            snapshot_taken: Taken { position, committed: base, at: now },
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
            if self.phase == Phase::Recovery && self.position >= self.recovered_to {
                self.phase = Phase::Live;
                self.sessions.recovered(self.clock.now());
                self.feed.recovered(self.position, self.core.rules().active());
            }
            let durable = self.log.durable();
            if self.position < durable.end {
                // Recovery ends exactly where it began to be live.
                let end = match self.phase {
                    Phase::Recovery => self.recovered_to,
                    Phase::Live => durable.end,
                };
                self.judge_up_to(end, durable.at)?;
                self.snapshot_if_due();
                continue;
            }
            self.snapshot_if_due();
            self.tick_if_due();
            if let Err(Closed) = self.log.wait_durable(self.position, self.patience()) {
                break;
            }
        }
        let snapshot = self.core.snapshot(self.position, *self.committed.borrow());
        self.snapshots.finish(snapshot);
        info!("Judged everything up to {}.", self.position);
        Ok(())
    }

    fn judge_up_to(&mut self, end: LogPosition, durable_at: Timestamp) -> Result<(), JudgeError> {
        let position = self.position;
        let read = |source| JudgeError::Read { position, source };
        let Some(chunk) = self.reader.read(end, READ_BYTES).map_err(read)? else {
            // Positions were skipped when the log was moved on: there is nothing between.
            self.position = self.reader.position();
            self.judged.send_replace(self.position);
            return Ok(());
        };
        let mut group = Group::at(position);
        for frame in chunk {
            let first_span = group.output.spans.len();
            self.core
                .judge(&frame, &mut group)
                .map_err(|source| JudgeError::Record { position: frame.position, source })?;
            if self.phase == Phase::Recovery {
                replay(self.sessions.as_ref(), &frame)?;
            }
            if self.phase == Phase::Live {
                self.lateness.observe(frame.received_at, &group.output.spans[first_span..]);
            }
        }
        group.end = chunk.end();
        self.lateness.flush();
        self.metrics.skewed(self.core.n_skewed());
        self.core.rules().judged();
        let judged = self.clock.now();
        self.journal.append(&group).map_err(|source| JudgeError::Journal { position, source })?;
        let times = StageTimes { received: Timestamp::EPOCH, durable: durable_at, judged };
        self.feed.judged(&group, times, self.phase);
        self.metrics.judged(
            &group,
            self.phase,
            judged,
            self.log.durable().end.0.saturating_sub(group.end.0),
        );
        self.position = group.end;
        self.handoff.offer(group);
        self.judged.send_replace(self.position);
        Ok(())
    }

    /// Writes a tick into the log if a deadline has passed and none was written within a second.
    fn tick_if_due(&mut self) {
        let now = self.clock.now();
        let due = self.core.next_deadline().is_some_and(|deadline| deadline <= now);
        if due && now.since(self.ticked_at) >= TICK {
            self.ticked_at = now;
            // No room means that ticks are waiting already.
            let _ = self.log.try_append(Entry::tick());
        }
    }

    /// How long to wait for the log: until a tick may be due.
    fn patience(&self) -> Duration {
        match self.core.next_deadline() {
            Some(deadline) => {
                let now = self.clock.now();
                let next_tick = self.ticked_at + TICK;
                deadline.max(next_tick).since(now).clamp(Duration::from_millis(1), TICK)
            }
            None => TICK,
        }
    }

    /// Has a snapshot written if there is something new to say and it is time. A held log waits
    /// for its floor, which only a snapshot moves.
    fn snapshot_if_due(&mut self) {
        let (last, position) = (self.snapshot_taken, self.position);
        let committed = *self.committed.borrow();
        if (position == last.position && committed <= last.committed) || !self.snapshots.is_idle() {
            return;
        }
        let now = self.clock.now();
        let waited = now.since(last.at);
        let due = position.0 - last.position.0 >= self.config.snapshot_bytes
            || waited >= self.config.snapshot_interval
            || (waited >= HELD_INTERVAL && self.log.held().is_some());
        if due {
            self.snapshots.write(self.core.snapshot(position, committed));
            self.snapshot_taken = Taken { position, committed, at: now };
            self.terms.forget_before(committed);
        }
    }
}

/// Makes the changes in sessions again that a record has.
fn replay(sessions: &dyn Sessions, frame: &Frame<'_>) -> Result<(), JudgeError> {
    let position = frame.position;
    let record = frame.record().map_err(|source| JudgeError::Record { position, source })?;
    match record {
        Record::Publishes { session, .. } if !session.is_empty() => {
            sessions.replay(session).map_err(|source| JudgeError::Sessions { position, source })
        }
        _ => Ok(()),
    }
}

/// Puts the newest usable snapshot in place; gives where judging begins and a reader there.
fn begin<R: Rules>(
    log: &dyn Log,
    snapshots: &Snapshots,
    committed: LogPosition,
    core: &mut Judge<R>,
    sessions: &dyn Sessions,
) -> Result<(LogPosition, LogReader), JudgeError> {
    let Some(mut snapshot) = snapshots.newest_up_to(committed)? else {
        if log.floor() > LogPosition::ZERO && committed < log.durable().end {
            return Err(JudgeError::Gap { floor: log.floor(), committed });
        }
        let position = log.floor();
        return Ok((position, log.reader(position)));
    };
    let Places { position, rebuild_from, .. } = snapshot.places();
    let read = |source| JudgeError::Read { position: rebuild_from, source };
    let mut reader = log.reader(rebuild_from);
    let restoring = sessions.restore(&snapshot.take_sessions());
    restoring
        .and_then(|()| core.restore(snapshot))
        .map_err(|source| JudgeError::Restore { position, source })?;
    while let Some(chunk) = reader.read(position, READ_BYTES).map_err(read)? {
        for frame in chunk {
            core.rebuild(&frame)
                .map_err(|source| JudgeError::Record { position: frame.position, source })?;
        }
    }
    Ok((position, reader))
}
