//! What the API asks the database: plain structs out, one statement per function.
//!
//! All of it is read-only, on connections of its own, each statement within
//! `database.statement_timeout_ms`, each answer at most [`ROWS_MAX`] rows, or [`BUCKETS_MAX`] buckets.

mod alerts;
mod audit;
mod buckets;
mod commands;
mod devices;
mod groups;
mod names;
mod quarantine;
mod readings;
mod registry;
mod snapshot;
mod status;

use std::ops::Deref;
use std::time::Duration;

use deadpool_postgres::{
    Connect, Hook, HookError, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime,
};
use futures_util::future::BoxFuture;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::task::TaskTracker;
use tracing::debug;

pub use self::alerts::{AlertPage, HandlingFilter};
pub use self::audit::AuditFilter;
pub use self::buckets::{BUCKETS_MAX, Bucket};
pub use self::devices::{DeviceRow, StoredLedger};
use self::names::MetricNames;
pub use self::quarantine::{QuarantineFilter, QuarantinePlace, QuarantineRow};
pub use self::readings::{ReadingPlace, ReadingRow, TimeRange};
pub use self::status::{Committed, ServerInfo};
use crate::connect::{Target, deadline, failed};
use crate::metrics::QueryKind;
use crate::recent::Recent;
use crate::{Config, Error, Metrics};

/// The most rows of one answer; a greater limit is lowered to it.
pub const ROWS_MAX: usize = 10_000;

/// What the API asks. Cheap to clone; all clones share the connections.
#[derive(Clone, Debug)]
pub struct Queries {
    pool: Pool,
    limit: Duration,
    metrics: Metrics,
    recent: Recent,
    names: MetricNames,
}

impl Queries {
    pub(crate) fn new(
        target: &Target,
        config: &Config,
        recent: Recent,
        metrics: Metrics,
    ) -> Result<Self, Error> {
        let mut pg = target.pg().clone();
        pg.application_name("bellwire api");
        // Fast recycling can hand out dead connections.
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Verified };
        let connector = Connector { tls: target.tls().clone(), tracker: target.tracker().clone() };
        let limit = config.statement_timeout();
        let ms = config.statement_timeout_ms;
        let setup = format!(
            "SET timezone = 'UTC'; SET statement_timeout = {ms}; \
             SET default_transaction_read_only = on; SET jit = off"
        );
        let pool = Pool::builder(Manager::from_connect(pg, connector, recycling))
            .max_size(config.pool_size)
            .runtime(Runtime::Tokio1)
            .create_timeout(Some(config.connect_timeout()))
            .recycle_timeout(Some(config.connect_timeout()))
            .wait_timeout(Some(limit))
            .post_create(Hook::async_fn(move |client, _| {
                let setup = setup.clone();
                Box::pin(
                    async move { client.batch_execute(&setup).await.map_err(HookError::Backend) },
                )
            }))
            .build()
            .map_err(|_| Error::Limit { key: "pool_size", expected: "1 to 1000" })?;
        Ok(Self { pool, limit, metrics, recent, names: MetricNames::default() })
    }

    /// Does `work` within the limit and counts it.
    async fn bounded<T>(
        &self,
        kind: QueryKind,
        doing: &'static str,
        work: impl Future<Output = Result<T, Error>> + Send,
    ) -> Result<T, Error> {
        let started = Instant::now();
        // The server's own timeout ends a slow statement; this one covers a silent network.
        let result = match timeout(self.limit, work).await {
            Ok(result) => result,
            Err(_) => Err(deadline(doing, self.limit)),
        };
        let (seconds, errors) = self.metrics.query(kind);
        seconds.observe(started.elapsed().as_secs_f64());
        if result.is_err() {
            errors.inc();
        }
        result
    }

    /// Runs `sql` within the limit and counts it.
    async fn run(
        &self,
        kind: QueryKind,
        doing: &'static str,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error> {
        self.bounded(kind, doing, async {
            let client = self.lend().await?;
            let statement = client.prepare_cached(sql).await.map_err(failed(doing))?;
            let rows = client.query(&statement, parameters).await;
            client.give_back();
            rows.map_err(failed(doing))
        })
        .await
    }

    /// A connection of the pool's.
    async fn lend(&self) -> Result<Lent, Error> {
        Ok(Lent(Some(self.pool.get().await.map_err(Error::Pool)?)))
    }
}

/// A connection of the pool's, in the middle of something: dropped before it is given back, it is
/// closed, for it would be of no use to others.
#[derive(Debug)]
struct Lent(Option<Object>);

impl Lent {
    fn give_back(mut self) {
        drop(self.0.take());
    }
}

impl Deref for Lent {
    type Target = Object;

    fn deref(&self) -> &Object {
        self.0.as_ref().expect("it is there until it is given back")
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(client) = self.0.take() {
            drop(Object::take(client));
        }
    }
}

/// `limit` as a parameter of `LIMIT`.
fn row_limit(limit: usize) -> i64 {
    i64::try_from(limit.min(ROWS_MAX)).unwrap_or(i64::MAX)
}

/// Reads back a word that we wrote.
pub(crate) fn word<T>(
    what: &'static str,
    text: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<T, Error> {
    read(text).ok_or_else(|| Error::Damaged { what, value: text.into() })
}

/// Connects for the pool, with the connections' tasks on our tracker.
struct Connector {
    tls: MakeRustlsConnect,
    tracker: TaskTracker,
}

impl Connect for Connector {
    fn connect(
        &self,
        pg: &tokio_postgres::Config,
    ) -> BoxFuture<'_, Result<(tokio_postgres::Client, JoinHandle<()>), tokio_postgres::Error>>
    {
        let pg = pg.clone();
        Box::pin(async move {
            let (client, connection) = pg.connect(self.tls.clone()).await?;
            let task = self.tracker.spawn(async move {
                if let Err(error) = connection.await {
                    debug!(%error, "A database connection ended.");
                }
            });
            Ok((client, task))
        })
    }
}
