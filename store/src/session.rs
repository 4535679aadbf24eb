//! The writer's connection with its prepared statements, and the one transaction of *keep* on it.
//!
//! Two round trips a batch: `BEGIN`, the position, all small rows and the start of the COPY travel
//! together; when the server has agreed to the position, the COPY's data and `COMMIT` do. A
//! statement that fails turns `COMMIT` into a rollback, so sending it early risks nothing.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use bellwire_model::{KeepBatch, LogId};
use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt, join};
use futures_util::sink::SinkExt;
use hashbrown::HashMap;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, CopyInSink, Statement};

use crate::compact::table_of;
use crate::connect::{Link, Target, failed};
use crate::dictionary::Dictionary;
use crate::encode::{self, Cell, Encoder};
use crate::handling;
use crate::types::{int8, pg_micros};
use crate::{Error, deeds, profiles, rows};

const MOVE_POSITION: &str = "UPDATE bellwire.log_position SET position = $4, \
     ledger_position = CASE WHEN $5 THEN $4 ELSE ledger_position END, \
     fresh_rows = fresh_rows + $7 \
     WHERE log = $1 AND epoch = $2 AND position = $3 AND generation = $6";

/// A writer of one log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity {
    pub(crate) log: LogId,
    /// The log's number in the database.
    pub(crate) log_id: i32,
    /// Ours while it is the newest.
    pub(crate) epoch: i64,
    /// The generation of fresh readings that we add to, while it is open.
    pub(crate) generation: i64,
}

/// What a transaction is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Storing what it carries.
    Store,
    /// Seeing whether it could be stored: it is undone. What the server checks at COMMIT only is
    /// checked all the same.
    Probe,
}

impl Purpose {
    const fn last_words(self) -> &'static str {
        match self {
            Self::Store => "COMMIT",
            Self::Probe => "SET CONSTRAINTS ALL IMMEDIATE; ROLLBACK",
        }
    }
}

/// How a transaction ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transacted {
    /// It is committed, or could be.
    Committed,
    /// The database is not at the batch's start or in our generation, or not ours any more; the
    /// transaction is open.
    NotAtStart,
}

/// A connection with its prepared statements.
#[derive(Debug)]
pub(crate) struct Session {
    link: Link,
    statements: HashMap<Box<str>, Statement>,
}

/// A statement on its way: its parameters and what it does.
struct Planned {
    statement: Statement,
    parameters: rows::Parameters,
    doing: &'static str,
}

impl Session {
    /// Connects, and makes sure that a commit is on disk when it is answered, and that no lock of
    /// ours outlives `limit` if we vanish.
    pub(crate) async fn open(target: &Target, log: LogId, limit: Duration) -> Result<Self, Error> {
        let link = target.connect(&application_name(log)).await?;
        let ms = limit.as_millis();
        let setup = format!(
            "SET client_min_messages = warning; SET timezone = 'UTC'; \
             SET statement_timeout = {ms}; SET lock_timeout = {ms}; \
             SET idle_in_transaction_session_timeout = {ms}; \
             SELECT set_config('synchronous_commit', 'on', false) \
             WHERE current_setting('synchronous_commit') = 'off'"
        );
        link.client.batch_execute(&setup).await.map_err(failed("setting the session up"))?;
        Ok(Self { link, statements: HashMap::new() })
    }

    pub(crate) const fn client(&self) -> &Client {
        &self.link.client
    }

    /// Undoes an open transaction.
    pub(crate) async fn rollback(&self) -> Result<(), Error> {
        self.link.client.batch_execute("ROLLBACK").await.map_err(failed("rolling back"))
    }

    /// Writes `batch` in one transaction. All names are in `dictionary`.
    ///
    /// # Cancel safety
    /// Not cancel safe: drop the session with the future.
    pub(crate) async fn transact(
        &mut self,
        (who, purpose): (Identity, Purpose),
        batch: &KeepBatch,
        dictionary: &Dictionary,
        encoder: &mut Encoder,
    ) -> Result<Transacted, Error> {
        let planned = self.plan(who, batch, dictionary).await?;
        let copy = if batch.readings.is_empty() {
            None
        } else {
            Some(self.statement(&encode::copy_in(table_of(who.generation)), COPYING).await?)
        };
        let client = &self.link.client;
        let mut first: Vec<BoxFuture<'_, Result<u64, Error>>> = Vec::with_capacity(8);
        first.push(
            async { client.batch_execute("BEGIN").await.map(|()| 0).map_err(failed("beginning")) }
                .boxed(),
        );
        first.extend(planned.iter().map(|planned| planned.run(client).boxed()));
        let start = async {
            match &copy {
                Some(statement) => {
                    client.copy_in(statement).await.map(Some).map_err(failed(COPYING))
                }
                None => Ok(None),
            }
        };
        let (counts, sink) = join(in_order(first), start).await;
        let counts = counts?;
        if counts[1] != 1 {
            return Ok(Transacted::NotAtStart);
        }
        match sink? {
            Some(sink) => {
                let sink = (sink, purpose.last_words());
                copy_and_commit(client, sink, batch, dictionary, encoder).await?;
            }
            None => {
                client.batch_execute(purpose.last_words()).await.map_err(failed(COMMITTING))?;
            }
        }
        Ok(Transacted::Committed)
    }

    /// The statements before the COPY; the position's comes first.
    async fn plan(
        &mut self,
        who: Identity,
        batch: &KeepBatch,
        dictionary: &Dictionary,
    ) -> Result<Vec<Planned>, Error> {
        let position: rows::Parameters = vec![
            Box::new(who.log.to_string()),
            Box::new(who.epoch),
            Box::new(int8(batch.start.0)),
            Box::new(int8(batch.end.0)),
            Box::new(batch.ledger.is_some()),
            Box::new(who.generation),
            Box::new(int8(batch.readings.len() as u64)),
        ];
        let ledger = batch.ledger.as_ref().map_or(&[][..], |flush| &flush.devices);
        let kinds = [
            (MOVE_POSITION, "moving the position", vec![position]),
            (
                rows::INSERT_QUARANTINE,
                "storing quarantined payloads",
                rows::quarantine(who.log_id, &batch.quarantined),
            ),
            (
                rows::DELETE_QUARANTINE,
                "taking payloads out of quarantine",
                rows::unshelved(who.log_id, &batch.unshelved),
            ),
            (
                rows::INSERT_TRANSITION,
                "storing transitions",
                rows::transitions(who.log_id, &batch.transitions),
            ),
            (rows::UPSERT_ALERT, "storing alerts", rows::alerts(&batch.transitions)),
            (
                rows::UPSERT_LEDGER,
                "storing the ledger",
                rows::ledger(who.log_id, dictionary, ledger),
            ),
            (
                rows::UPDATE_PRESENCE,
                "storing who is online",
                rows::presence(dictionary, &batch.presence),
            ),
            (rows::UPSERT_UNIT, "storing units", rows::units(dictionary, &batch.units)),
            (rows::UPSERT_COMMAND, "storing commands", rows::commands(&batch.commands)),
            (deeds::INSERT, "storing the audit log", deeds::rows(who.log_id, &batch.audit)),
            (handling::UPSERT_SILENCE, "storing silences", handling::silences(&batch.silences)),
            (
                profiles::UPDATE,
                "storing what is said of devices",
                profiles::rows(dictionary, &batch.profiles),
            ),
        ];
        let mut planned = Vec::new();
        for (sql, doing, all) in kinds {
            for parameters in all {
                let statement = self.statement(sql, doing).await?;
                planned.push(Planned { statement, parameters, doing });
            }
        }
        Ok(planned)
    }

    /// `sql`, prepared once per connection.
    async fn statement(&mut self, sql: &str, doing: &'static str) -> Result<Statement, Error> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.link.client.prepare(sql).await.map_err(failed(doing))?;
        self.statements.insert(sql.into(), statement.clone());
        Ok(statement)
    }
}

/// What `pg_stat_activity` shows for a writer of `log`; PostgreSQL keeps 63 bytes of it.
pub(crate) fn application_name(log: LogId) -> String {
    format!("bellwire keep {log}")
}

const COPYING: &str = "copying readings";
const COMMITTING: &str = "committing";

impl Planned {
    async fn run(&self, client: &Client) -> Result<u64, Error> {
        let parameters: Vec<&(dyn ToSql + Sync)> =
            self.parameters.iter().map(|parameter| &**parameter as &(dyn ToSql + Sync)).collect();
        client.execute(&self.statement, &parameters).await.map_err(failed(self.doing))
    }
}

async fn copy_and_commit(
    client: &Client,
    (sink, last_words): (CopyInSink<Bytes>, &str),
    batch: &KeepBatch,
    dictionary: &Dictionary,
    encoder: &mut Encoder,
) -> Result<(), Error> {
    let mut sink = pin!(sink);
    encoder.begin();
    for reading in &batch.readings {
        let (device, metric) =
            (dictionary.device(reading.device), dictionary.metric(reading.metric));
        encoder.push(device, metric, pg_micros(reading.at), Cell::from(&reading.value));
        if let Some(chunk) = encoder.chunk() {
            sink.feed(chunk).await.map_err(failed(COPYING))?;
        }
    }
    sink.feed(encoder.end()).await.map_err(failed(COPYING))?;
    // The COPY stands before COMMIT in the connection's queue since it began.
    let (copied, committed) = join(sink.finish(), client.batch_execute(last_words)).await;
    copied.map_err(failed(COPYING))?;
    committed.map_err(failed(COMMITTING))
}

/// Awaits all of `futures`. Each is first polled, and thereby sent, in order and before this is:
/// what is joined after it must not overtake. (`join_all` promises no order.)
async fn in_order<T: Send>(
    mut futures: Vec<BoxFuture<'_, Result<T, Error>>>,
) -> Result<Vec<T>, Error> {
    let mut results: Vec<Option<Result<T, Error>>> = futures.iter().map(|_| None).collect();
    poll_fn(|cx| {
        let mut all = Poll::Ready(());
        for (future, result) in futures.iter_mut().zip(&mut results) {
            if result.is_none() {
                match Pin::new(future).poll(cx) {
                    Poll::Ready(ready) => *result = Some(ready),
                    Poll::Pending => all = Poll::Pending,
                }
            }
        }
        all
    })
    .await;
    results.into_iter().flatten().collect()
}
