//! *Keep*'s hand in the database: each batch of the log is stored exactly once.
//!
//! The position in the log is a row that moves in the same transaction as what the log says up to
//! there, and only if it stands where the batch starts and the writer's epoch is the newest.
//! Whoever is in doubt (a connection cut, a COMMIT without an answer) reads the row again:
//!
//! | the row says | then |
//! |---|---|
//! | another epoch | a newer writer lives: [`WriteError::Fenced`] |
//! | the batch's end | it was committed |
//! | the batch's start | it was not: write it again |
//! | anything else | [`WriteError::Diverged`] |
//!
//! A server that is still about to apply a lost COMMIT holds the row's lock, so a second attempt
//! waits for it and then finds the row moved. That is the whole of exactly-once.

use std::time::Duration;

use bellwire_model::{KeepBatch, LogId, LogPosition, SharedNames};
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use crate::connect::{Target, deadline, failed};
use crate::dictionary::Dictionary;
use crate::encode::Encoder;
use crate::metrics::{Ending, RowKind};
use crate::migrate;
use crate::recent::Recent;
use crate::session::{Identity, Purpose, Session, Transacted, application_name};
use crate::types::unsigned;
use crate::{Error, Metrics, WriteError};

/// Where the database is when a writer opens a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The end of the last committed batch; [`LogPosition::ZERO`] for a log it does not know.
    pub position: LogPosition,
    /// The position as of which the stored ledger is; never above `position`.
    pub ledger_position: LogPosition,
    /// The writer's epoch: higher than any before, from 1.
    pub epoch: u64,
}

/// Writes one log's batches. At most one writer per log succeeds: the one opened last.
#[derive(Debug)]
pub struct Writer {
    target: Target,
    limit: Duration,
    who: Identity,
    session: Option<Session>,
    dictionary: Dictionary,
    recent: Recent,
    encoder: Encoder,
    metrics: Metrics,
}

impl Writer {
    /// Takes `log` over: writers opened before are fenced from now on. `limit` bounds each
    /// transaction.
    pub(crate) async fn open(
        target: Target,
        log: LogId,
        limit: Duration,
        recent: Recent,
        metrics: Metrics,
    ) -> Result<(Self, Opened), Error> {
        let opening = async {
            let session = Session::open(&target, log, limit).await?;
            metrics.connections.inc();
            migrate::require_current(session.client()).await?;
            let (who, n_fresh, opened) = take_over(&session, log).await?;
            Ok::<_, Error>((session, who, n_fresh, opened))
        };
        let (session, who, n_fresh, opened) = match timeout(limit, opening).await {
            Ok(result) => result?,
            Err(_) => return Err(deadline("opening the log's writer", limit)),
        };
        info!(
            log = %log, position = %opened.position, epoch = opened.epoch,
            "Writing log {log} from position {}.", opened.position
        );
        metrics.position_bytes.set(crate::types::int8(opened.position.0));
        recent.begin(who.log_id, who.generation, n_fresh);
        let writer = Self {
            target,
            limit,
            who,
            session: Some(session),
            dictionary: Dictionary::default(),
            recent,
            encoder: Encoder::default(),
            metrics,
        };
        Ok((writer, opened))
    }

    /// Stores `batch`, all of it and once. `names` are those its keys come from; always the same.
    ///
    /// Reconnects by itself, once per call. Returns within twice `database.write_timeout_ms`.
    /// After [`WriteError::Transient`] offer the same batch again, after a while of your choice.
    ///
    /// # Errors
    /// [`WriteError`]; see there what to do.
    ///
    /// # Panics
    /// If the batch has rows but no extent (`start >= end`): it could not be told whether it was
    /// stored. A ledger alone may have none.
    ///
    /// # Cancel safety
    /// Dropped half-way, the batch may or may not be stored; offer it again, and it is once.
    pub async fn write(
        &mut self,
        batch: &KeepBatch,
        names: &SharedNames,
    ) -> Result<(), WriteError> {
        assert!(
            batch.start < batch.end
                || (batch.start == batch.end
                    && batch.readings.is_empty()
                    && batch.quarantined.is_empty()
                    && batch.unshelved.is_empty()
                    && batch.units.is_empty()
                    && batch.transitions.is_empty()
                    && batch.audit.is_empty()
                    && batch.silences.is_empty()
                    && batch.commands.is_empty()),
            "a batch with rows has an extent"
        );
        let started = Instant::now();
        let mut result = self.attempt(Purpose::Store, batch, names).await;
        if let Err(WriteError::Transient(error)) = &result {
            let error = Chain(error).to_string();
            result = self.attempt(Purpose::Store, batch, names).await;
            if result.is_ok() {
                warn!(error, start = %batch.start, "A batch was stored on a second connection only.");
            }
        }
        self.count(batch, &result, started.elapsed());
        result.map(|_| ())
    }

    /// Sees whether `batch` could be stored, and stores nothing. The same limits as
    /// [`Writer::write`], without its second attempt.
    pub(crate) async fn probe(
        &mut self,
        batch: &KeepBatch,
        names: &SharedNames,
    ) -> Result<(), WriteError> {
        self.metrics.probes.inc();
        self.attempt(Purpose::Probe, batch, names).await.map(|_| ())
    }

    /// One attempt within the limit.
    async fn attempt(
        &mut self,
        purpose: Purpose,
        batch: &KeepBatch,
        names: &SharedNames,
    ) -> Result<Ending, WriteError> {
        let limit = self.limit;
        match timeout(limit, self.attempt_unbounded(purpose, batch, names)).await {
            Ok(result) => result,
            Err(_) => Err(WriteError::Transient(deadline("storing a batch", limit))),
        }
    }

    async fn attempt_unbounded(
        &mut self,
        purpose: Purpose,
        batch: &KeepBatch,
        names: &SharedNames,
    ) -> Result<Ending, WriteError> {
        // Put back only after a clean end: an error or a dropped future closes the connection.
        let mut session = match self.session.take() {
            Some(session) => session,
            None => {
                let session = Session::open(&self.target, self.who.log, self.limit)
                    .await
                    .map_err(WriteError::of)?;
                self.metrics.connections.inc();
                if self.settle(&session, purpose, batch).await? == Settled::Stored {
                    self.session = Some(session);
                    return Ok(Ending::FoundCommitted);
                }
                session
            }
        };
        let ending = match self.transact(&mut session, purpose, batch, names).await {
            Ok(Transacted::Committed) => Ending::Committed,
            Ok(Transacted::NotAtStart) => {
                self.look_again(&mut session, purpose, batch, names).await?
            }
            Err(error) => {
                // Refused within the COPY, the connection is well, and a search goes on with it.
                // Refused before, it is not: the COPY's end, sent ahead, has an answer of its own
                // that would be taken for another statement's.
                if matches!(error, WriteError::Refused { row: Some(_), .. })
                    && session.rollback().await.is_ok()
                {
                    self.session = Some(session);
                }
                return Err(error);
            }
        };
        self.session = Some(session);
        Ok(ending)
    }

    /// The database is not where we thought: the batch is stored already, or a generation was
    /// closed, and it goes to the next.
    async fn look_again(
        &mut self,
        session: &mut Session,
        purpose: Purpose,
        batch: &KeepBatch,
        names: &SharedNames,
    ) -> Result<Ending, WriteError> {
        session.rollback().await.map_err(WriteError::of)?;
        if self.settle(session, purpose, batch).await? == Settled::Stored {
            return Ok(Ending::FoundCommitted);
        }
        match self.transact(session, purpose, batch, names).await? {
            Transacted::Committed => Ok(Ending::Committed),
            // The row moved under us and back: only a restored backup does that.
            Transacted::NotAtStart => Err(self.diverged(batch, Some(batch.start))),
        }
    }

    async fn transact(
        &mut self,
        session: &mut Session,
        purpose: Purpose,
        batch: &KeepBatch,
        names: &SharedNames,
    ) -> Result<Transacted, WriteError> {
        let who = self.who;
        let transacting = async {
            self.dictionary.ensure(session.client(), batch, names).await?;
            session.transact((who, purpose), batch, &self.dictionary, &mut self.encoder).await
        };
        let transacted = transacting.await.map_err(WriteError::of)?;
        if (purpose, transacted) == (Purpose::Store, Transacted::Committed) {
            self.keep_in_mind(batch);
        }
        Ok(transacted)
    }

    /// Reads the log's row to learn what became of `batch`.
    async fn settle(
        &mut self,
        session: &Session,
        purpose: Purpose,
        batch: &KeepBatch,
    ) -> Result<Settled, WriteError> {
        let row = session
            .client()
            .query_opt(
                "SELECT id, epoch, position, generation, fresh_rows \
                 FROM bellwire.log_position WHERE log = $1",
                &[&self.who.log.to_string()],
            )
            .await
            .map_err(|source| {
                WriteError::of(Error::Query { doing: "reading the position", source })
            })?;
        let Some(row) = row else { return Err(self.diverged(batch, None)) };
        let (id, epoch): (i32, i64) = (row.get(0), row.get(1));
        let found = LogPosition(unsigned(row.get(2)));
        if epoch != self.who.epoch {
            return Err(WriteError::Fenced);
        }
        if id != self.who.log_id {
            return Err(self.diverged(batch, Some(found)));
        }
        let (generation, n_fresh): (i64, i64) = (row.get(3), row.get(4));
        if found == batch.start {
            self.follow(generation, n_fresh);
            Ok(Settled::NotStored)
        } else if found == batch.end {
            // It may have gone to the generation before the one that is open now.
            if purpose == Purpose::Store {
                self.keep_in_mind(batch);
            }
            self.follow(generation, n_fresh);
            Ok(Settled::Stored)
        } else {
            Err(self.diverged(batch, Some(found)))
        }
    }

    /// Goes on in the generation that the log's row names.
    fn follow(&mut self, generation: i64, n_fresh: i64) {
        if self.who.generation != generation {
            self.who.generation = generation;
            self.recent.begin(self.who.log_id, generation, unsigned(n_fresh));
        }
    }

    /// `batch` is committed: its readings can be asked for.
    fn keep_in_mind(&self, batch: &KeepBatch) {
        let dictionary = &self.dictionary;
        self.recent.add(self.who.generation, &batch.readings, |reading| {
            dictionary.ids(reading.device, reading.metric)
        });
    }

    const fn diverged(&self, batch: &KeepBatch, found: Option<LogPosition>) -> WriteError {
        WriteError::Diverged { start: batch.start, end: batch.end, found }
    }

    fn count(&self, batch: &KeepBatch, result: &Result<Ending, WriteError>, elapsed: Duration) {
        let ending = match result {
            Ok(ending) => *ending,
            Err(WriteError::Fenced) => Ending::Fenced,
            Err(WriteError::Diverged { .. }) => Ending::Diverged,
            Err(WriteError::Transient(_)) => Ending::Transient,
            Err(WriteError::Refused { .. }) => Ending::Refused,
            Err(WriteError::Unusable(_)) => Ending::Unusable,
        };
        self.metrics.count_write(ending);
        if result.is_err() {
            return;
        }
        self.metrics.write_seconds.observe(elapsed.as_secs_f64());
        self.metrics.position_bytes.set(crate::types::int8(batch.end.0));
        self.metrics.count_rows(RowKind::Reading, batch.readings.len());
        self.metrics.count_rows(RowKind::Quarantined, batch.quarantined.len());
        self.metrics.count_rows(RowKind::Transition, batch.transitions.len());
        self.metrics.count_rows(RowKind::Command, batch.commands.len());
        self.metrics.count_rows(RowKind::Audit, batch.audit.len());
        let n_ledger_rows = batch.ledger.as_ref().map_or(0, |flush| flush.devices.len());
        self.metrics.count_rows(RowKind::Ledger, n_ledger_rows);
    }
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Settled {
    Stored,
    NotStored,
}

/// Makes or finds the log's row, and raises its epoch.
///
/// The state's row is locked, so that a generation that is being closed is not taken for open.
async fn take_over(session: &Session, log: LogId) -> Result<(Identity, u64, Opened), Error> {
    // A writer that was frozen in the middle of a COPY would hold the row's lock for ever. Whoever
    // loses a connection here reads the row, and is fenced.
    session
        .client()
        .execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND application_name = $1 \
               AND pid <> pg_backend_pid()",
            &[&application_name(log)],
        )
        .await
        .map_err(failed("ending earlier writers"))?;
    let row = session
        .client()
        .query_one(
            "WITH state AS (SELECT open FROM bellwire.fresh_state FOR SHARE) \
             INSERT INTO bellwire.log_position (log, epoch, position, ledger_position, generation) \
             SELECT $1, 1, 0, 0, open FROM state \
             ON CONFLICT (log) DO UPDATE \
             SET epoch = log_position.epoch + 1, opened_at = now() \
             RETURNING id, epoch, position, ledger_position, generation, fresh_rows",
            &[&log.to_string()],
        )
        .await
        .map_err(failed("taking the log over"))?;
    let who = Identity { log, log_id: row.get(0), epoch: row.get(1), generation: row.get(4) };
    let opened = Opened {
        position: LogPosition(unsigned(row.get(2))),
        ledger_position: LogPosition(unsigned(row.get(3))),
        epoch: unsigned(who.epoch),
    };
    Ok((who, unsigned(row.get(5)), opened))
}

/// An error with its causes, for a log line.
struct Chain<'a>(&'a Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = std::error::Error::source(self.0);
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
