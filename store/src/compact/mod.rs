//! The compactor: carries fresh readings over into `reading`, sorted, and keeps the rollups.
//!
//! A generation's life, in `bellwire.fresh_state`:
//!
//! | step | state | who is kept out |
//! |---|---|---|
//! | open | writers add to it | |
//! | close | the next is open; `oldest` is still this one | a writer's batch for it: its position no longer moves |
//! | carry over | one transaction: rows into `reading`, rollups, `oldest` = `open` | other compactors, by an advisory lock |
//! | empty | its table is truncated, and may be opened again | statements that began before it was carried over |
//!
//! **Invariant:** each snapshot of the database sees each reading once: in its generation's table
//! while `fresh_state` says so, in `reading` from then on. Killed anywhere, the next run goes on
//! where the state says.

mod index;
mod read;
mod rollup;
mod write;

use std::time::Duration;

use tokio::time::{Instant, timeout};
use tokio_postgres::Client;
use tracing::debug;

pub(crate) use self::rollup::{ALL_DEVICES, Level};
use self::write::Carrier;
use crate::connect::{Link, Target, deadline, failed};
use crate::types::unsigned;
use crate::{Config, Error, Metrics, migrate};

/// The advisory lock of all compactors of a database: "bellcomp" in ASCII.
const LOCK: i64 = 0x6265_6c6c_636f_6d70;

/// Pages of a generation's table that are carried over at once: 64 MB, some 1.3 million readings
/// that are sorted together. It bounds this process's memory (about 150 MB meanwhile), and makes
/// runs long enough that a device's part of one fills a page.
const SLICE_PAGES: i64 = 8_192;

/// Milliseconds that emptying a table waits for readers; who comes meanwhile waits behind it.
const EMPTY_LOCK_MS: u32 = 200;

/// What one run did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compacted {
    /// So many readings were carried over; 0: there were none.
    Rows(u64),
    /// Another compactor is at work on this database.
    Elsewhere,
    /// The table that would be next is still being read by a statement that began long ago.
    Waiting,
}

/// Carries fresh readings over. One per process; of several on one database, one works.
#[derive(Debug)]
pub struct Compactor {
    target: Target,
    limit: Duration,
    link: Option<(Link, Carrier)>,
    metrics: Metrics,
}

/// `bellwire.fresh_state`.
#[derive(Clone, Copy, Debug)]
struct State {
    open: i64,
    oldest: i64,
    closed_rows: u64,
    spare_is_empty: bool,
}

impl Compactor {
    pub(crate) fn new(target: Target, config: &Config, metrics: Metrics) -> Self {
        Self { target, limit: config.compact_timeout(), link: None, metrics }
    }

    /// Closes the open generation if it has rows, and carries over what is closed.
    ///
    /// # Errors
    /// [`Error`]; transient ones while the database is away. Run again: nothing is lost or doubled.
    ///
    /// # Cancel safety
    /// Dropped half-way, the transaction is undone, or was committed: run again.
    pub async fn run(&mut self) -> Result<Compacted, Error> {
        let started = Instant::now();
        // Put back only after a clean end.
        let (link, mut carrier) = match self.link.take() {
            Some(pair) if !pair.0.client.is_closed() => pair,
            _ => self.connect().await?,
        };
        let compacted = run_on(&link.client, &mut carrier, self.limit).await?;
        self.link = Some((link, carrier));
        if let Compacted::Rows(n_rows @ 1..) = compacted {
            self.metrics.compacted.inc_by(n_rows);
            self.metrics.compact_seconds.observe(started.elapsed().as_secs_f64());
            debug!(n_rows, "Carried fresh readings over.");
        }
        Ok(compacted)
    }

    async fn connect(&self) -> Result<(Link, Carrier), Error> {
        let link = self.target.connect("bellwire compactor").await?;
        let mode = migrate::require_current(&link.client).await?;
        let ms = self.limit.as_millis();
        let setup = format!(
            "SET client_min_messages = warning; SET timezone = 'UTC'; SET jit = off; \
             SET statement_timeout = {ms}; SET lock_timeout = {ms}; \
             SET idle_in_transaction_session_timeout = {ms}; SET work_mem = '64MB'; \
             CREATE TEMP TABLE rollup_in (LIKE bellwire.reading_1m) ON COMMIT DELETE ROWS"
        );
        link.client.batch_execute(&setup).await.map_err(failed("setting the session up"))?;
        lift_column_limit(&link.client).await?;
        Ok((link, Carrier::new(mode)))
    }
}

/// Lets statements of this session take as many rows out of TimescaleDB's columns as they must. The
/// default is 100,000: a hundred rollups that come late would meet it, at each try again.
pub(crate) async fn lift_column_limit(client: &Client) -> Result<(), Error> {
    // Releases before 2.12 have no limit, and no such setting.
    let sql = "SELECT set_config(name, '0', false) FROM pg_settings \
               WHERE name = 'timescaledb.max_tuples_decompressed_per_dml_transaction'";
    client.execute(sql, &[]).await.map_err(failed("setting the session up"))?;
    Ok(())
}

/// Keeps compactors out until the end of the transaction; one at work is waited for.
pub(crate) async fn keep_out(client: &Client) -> Result<(), Error> {
    let doing = "waiting for the compactor";
    client.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await.map_err(failed(doing))?;
    Ok(())
}

async fn run_on(
    client: &Client,
    carrier: &mut Carrier,
    limit: Duration,
) -> Result<Compacted, Error> {
    let doing = "looking for another compactor";
    let row = client.query_one("SELECT pg_try_advisory_lock($1)", &[&LOCK]).await;
    if !row.map_err(failed(doing))?.get::<_, bool>(0) {
        return Ok(Compacted::Elsewhere);
    }
    let compacted = step(client, carrier, limit).await?;
    client
        .execute("SELECT pg_advisory_unlock($1)", &[&LOCK])
        .await
        .map_err(failed("letting other compactors in"))?;
    Ok(compacted)
}

async fn step(client: &Client, carrier: &mut Carrier, limit: Duration) -> Result<Compacted, Error> {
    let mut state = read_state(client).await?;
    if state.oldest == state.open {
        if !state.spare_is_empty && !empty_spare(client, state).await? {
            return Ok(Compacted::Waiting);
        }
        match close(client).await? {
            Some(closed) => state = closed,
            None => return Ok(Compacted::Rows(0)),
        }
    }
    carry_over(client, carrier, state, limit).await?;
    let carried = State { oldest: state.open, ..state };
    // Mostly at once; else the next run does.
    empty_spare(client, carried).await?;
    Ok(Compacted::Rows(state.closed_rows))
}

async fn read_state(client: &Client) -> Result<State, Error> {
    let row = client
        .query_one(
            "SELECT open, oldest, closed_rows, spare_is_empty FROM bellwire.fresh_state",
            &[],
        )
        .await
        .map_err(failed("reading the fresh readings' state"))?;
    Ok(State {
        open: row.get(0),
        oldest: row.get(1),
        closed_rows: unsigned(row.get(2)),
        spare_is_empty: row.get(3),
    })
}

/// Closes the open generation; `None` if it is empty. Whoever writes a batch meanwhile holds its
/// log's row, so it is in the closed one, and counted, or it comes later and looks again.
async fn close(client: &Client) -> Result<Option<State>, Error> {
    let doing = "closing a generation";
    let closing = async {
        client.batch_execute("BEGIN; SELECT FROM bellwire.fresh_state FOR UPDATE").await?;
        let row = client
            .query_one(
                "SELECT coalesce(sum(fresh_rows), 0)::int8, \
                        coalesce(array_agg(id) FILTER (WHERE fresh_rows > 0), '{}') \
                 FROM (SELECT id, fresh_rows FROM bellwire.log_position ORDER BY log FOR UPDATE) l",
                &[],
            )
            .await?;
        let (n_rows, logs): (i64, Vec<i32>) = (row.get(0), row.get(1));
        if n_rows == 0 {
            client.batch_execute("ROLLBACK").await?;
            return Ok(false);
        }
        client
            .execute(
                "UPDATE bellwire.fresh_state \
                 SET open = open + 1, closed_rows = $1, closed_logs = $2, spare_is_empty = false",
                &[&n_rows, &logs],
            )
            .await?;
        client
            .batch_execute(
                "UPDATE bellwire.log_position \
                 SET generation = (SELECT open FROM bellwire.fresh_state), fresh_rows = 0; \
                 COMMIT",
            )
            .await?;
        Ok(true)
    };
    match closing.await.map_err(failed(doing))? {
        true => read_state(client).await.map(Some),
        false => Ok(None),
    }
}

/// Carries the closed generation over, in one transaction.
async fn carry_over(
    client: &Client,
    carrier: &mut Carrier,
    state: State,
    limit: Duration,
) -> Result<(), Error> {
    let doing = "carrying fresh readings over";
    client.batch_execute("BEGIN").await.map_err(failed(doing))?;
    let table = table_of(state.oldest);
    let size = format!(
        "SELECT pg_relation_size('bellwire.{table}') / current_setting('block_size')::int8"
    );
    let n_pages: i64 = client.query_one(&size, &[]).await.map_err(failed(doing))?.get(0);
    let mut n_rows = 0;
    for first in (0..n_pages).step_by(usize::try_from(SLICE_PAGES).unwrap_or(1)) {
        let pages = first..first.saturating_add(SLICE_PAGES);
        let carrying = carrier.carry(client, table, pages);
        n_rows += match timeout(limit, carrying).await {
            Ok(carried) => carried?,
            Err(_) => return Err(deadline(doing, limit)),
        };
    }
    if n_rows != state.closed_rows {
        let value = format!("{n_rows} of {} rows in {table}", state.closed_rows);
        return Err(Error::Damaged { what: "a generation of fresh readings", value });
    }
    client
        .batch_execute(
            "UPDATE bellwire.fresh_state SET oldest = open, carried_by = pg_current_xact_id(); \
             COMMIT",
        )
        .await
        .map_err(failed(doing))?;
    carrier.summarize(client).await
}

/// Empties the table that no generation uses, unless a statement may still read it: truncation,
/// unlike all else, is seen by snapshots from before it. Says whether it is empty.
async fn empty_spare(client: &Client, state: State) -> Result<bool, Error> {
    let doing = "emptying a table of fresh readings";
    let row = client
        .query_one(
            "SELECT EXISTS (SELECT FROM pg_stat_activity, bellwire.fresh_state \
                 WHERE datname = current_database() AND pid <> pg_backend_pid() \
                   AND age(backend_xmin) >= age(carried_by::xid))",
            &[],
        )
        .await
        .map_err(failed(doing))?;
    if row.get(0) {
        return Ok(false);
    }
    let table = table_of(state.open + 1);
    let sql = format!(
        "BEGIN; SET LOCAL lock_timeout = {EMPTY_LOCK_MS}; TRUNCATE bellwire.{table}; \
         UPDATE bellwire.fresh_state SET spare_is_empty = true; COMMIT"
    );
    match client.batch_execute(&sql).await.map_err(failed(doing)) {
        Ok(()) => Ok(true),
        Err(error) if error.is_lock_timeout() => {
            client.batch_execute("ROLLBACK").await.map_err(failed(doing))?;
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Where a generation's rows lie.
pub(crate) const fn table_of(generation: i64) -> &'static str {
    if generation % 2 == 0 { "fresh_0" } else { "fresh_1" }
}
