//! What is stored, read back in order of time: for backtests.
//!
//! All of it is of one snapshot. Readings lie sorted by device, not by time, so the server gives a
//! stretch of time as it finds it, as binary COPY, and it is sorted here: that costs a third of what the
//! server's own sort does (docs/decisions/0041). The rollups say how long a stretch may be.

mod plan;
mod rows;

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;

use bellwire_model::{DeviceId, MetricName, Names, Reading, Timestamp, Value};
use futures_util::TryStreamExt;
use tokio_postgres::Client;

use self::plan::{Span, Wants};
use self::rows::Rows;
use crate::connect::{Link, failed};
use crate::{Database, Error, migrate};

const DOING: &str = "reading stored history";

/// How many readings one stretch should have: 32 MB of them.
const TARGET: u64 = 1_000_000;

/// The most readings that are held at once. A stretch that has more is halved and read again.
const READINGS_MAX: usize = 4_000_000;

/// Which readings are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// From this event time on, inclusive; from the first if absent.
    pub from: Option<Timestamp>,
    /// Up to this event time, exclusive; to the last if absent.
    pub to: Option<Timestamp>,
    /// Of this device only.
    pub device: Option<DeviceId>,
    /// Of these metrics only; of all if absent.
    pub metrics: Option<Vec<MetricName>>,
}

/// Stored readings on their way, stretch by stretch. Dropped, its connection is closed.
#[derive(Debug)]
pub struct Replay {
    link: Link,
    wants: Wants,
    /// Devices and metrics by their ids in the database.
    keys: Keys,
    names: Arc<Names>,
    /// What is still to be read.
    spans: VecDeque<Span>,
    n_expected: u64,
    /// The most readings to hold.
    limit: usize,
}

impl Database {
    /// Begins to read what is wanted.
    ///
    /// # Errors
    /// [`Error`]; transient ones while the database is away.
    pub async fn replay(&self, wanted: &Wanted) -> Result<Replay, Error> {
        let link = self.target().connect("bellwire backtest").await?;
        let client = &link.client;
        migrate::require_current(client).await?;
        // Without parallel workers: those are for whoever waits for an answer.
        let setup = "SET timezone = 'UTC'; SET datestyle = 'ISO'; SET jit = off; SET statement_timeout = 0; \
                     SET max_parallel_workers_per_gather = 0; \
                     BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        client.batch_execute(setup).await.map_err(failed(DOING))?;
        let mut names = Names::default();
        let keys = Keys::read(client, &mut names).await?;
        let wants = Wants::of(wanted, &keys, &names);
        let mut spans = VecDeque::new();
        let mut n_expected = 0;
        if !wants.is_void() {
            let counts = plan::counts(client, &wants).await?;
            n_expected = counts.iter().map(|(_, n)| n).sum();
            spans = plan::spans(&wants, &counts, TARGET);
        }
        let names = Arc::new(names);
        Ok(Replay { link, wants, keys, names, spans, n_expected, limit: READINGS_MAX })
    }
}

impl Replay {
    /// With room for so many readings only: for tests.
    #[doc(hidden)]
    #[must_use]
    pub fn with_limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// The names that the readings' keys mean: of all devices and metrics.
    #[must_use]
    pub const fn names(&self) -> &Arc<Names> {
        &self.names
    }

    /// About how many readings there are: numbers that came in the last minute, and texts, are not
    /// counted.
    #[must_use]
    pub const fn n_expected(&self) -> u64 {
        self.n_expected
    }

    /// The next stretch of time; `None` at the end.
    ///
    /// # Errors
    /// [`Error`]: then the rest cannot be had.
    ///
    /// # Cancel safety
    /// Not cancel safe: drop it then.
    pub async fn next(&mut self) -> Result<Option<Stretch>, Error> {
        while let Some(span) = self.spans.pop_front() {
            let mut rows = Rows::new(&self.keys, self.limit);
            let client = &self.link.client;
            let sql = self.wants.copy_out(client, span).await?;
            let stream = client.copy_out(&sql).await.map_err(failed(DOING))?;
            let mut stream = pin!(stream);
            while let Some(chunk) = stream.try_next().await.map_err(failed(DOING))? {
                rows.push(&chunk)?;
            }
            match rows.end()? {
                Ok(readings) if readings.is_empty() => {}
                Ok(readings) => return Ok(Some(Stretch(readings))),
                Err(kept) => {
                    let [first, second] = span.halved(&kept).ok_or(Error::Crowded)?;
                    self.spans.push_front(second);
                    self.spans.push_front(first);
                }
            }
        }
        Ok(None)
    }
}

/// The readings of a stretch of time, one at least, as they came. Whoever takes them sorts them, while
/// the server gives the next ones: it is the slowest of all.
#[derive(Debug)]
pub struct Stretch(Vec<Reading>);

impl Stretch {
    /// By time, then device, then metric; several of one metric at one instant, by value.
    #[must_use]
    pub fn in_order(self) -> Vec<Reading> {
        let Self(mut readings) = self;
        readings.sort_by(in_order);
        readings
    }
}

/// By time, device, metric, value: numbers before texts.
fn in_order(a: &Reading, b: &Reading) -> std::cmp::Ordering {
    (a.at, a.device, a.metric).cmp(&(b.at, b.device, b.metric)).then_with(|| {
        match (&a.value, &b.value) {
            (Value::Number(a), Value::Number(b)) => a.total_cmp(b),
            (Value::Number(_), Value::Text(_)) => std::cmp::Ordering::Less,
            (Value::Text(_), Value::Number(_)) => std::cmp::Ordering::Greater,
            (Value::Text(a), Value::Text(b)) => a.cmp(b),
        }
    })
}

/// Our keys by the database's ids, which begin at 1 and have few gaps.
#[derive(Debug, Default)]
struct Keys {
    devices: Vec<u32>,
    metrics: Vec<u32>,
}

/// No name has this id.
const NONE: u32 = u32::MAX;

impl Keys {
    async fn read(client: &Client, names: &mut Names) -> Result<Self, Error> {
        let mut keys = Self::default();
        // By name: where several devices have something due at one time, their order is that of live.
        let sql = "SELECT id, name FROM bellwire.device ORDER BY name";
        for row in client.query(sql, &[]).await.map_err(failed(DOING))? {
            let name: &str = row.get(1);
            let damaged = || Error::Damaged { what: "a device's name", value: name.into() };
            let id = DeviceId::new(name).map_err(|_| damaged())?;
            let key = names.add_device(&id).ok_or(Error::Crowded)?;
            put(&mut keys.devices, row.get(0), key.0);
        }
        let sql = "SELECT id, name FROM bellwire.metric ORDER BY name";
        for row in client.query(sql, &[]).await.map_err(failed(DOING))? {
            let name: &str = row.get(1);
            let damaged = || Error::Damaged { what: "a metric's name", value: name.into() };
            let id = MetricName::new(name).map_err(|_| damaged())?;
            let key = names.add_metric(&id).ok_or(Error::Crowded)?;
            put(&mut keys.metrics, row.get(0), key.0);
        }
        Ok(keys)
    }

    /// The database's id of the name with this key.
    fn id_of(ids: &[u32], key: u32) -> Option<usize> {
        ids.iter().position(|found| *found == key)
    }
}

fn put(keys: &mut Vec<u32>, id: i32, key: u32) {
    let Ok(id) = usize::try_from(id) else { return };
    if keys.len() <= id {
        keys.resize(id + 1, NONE);
    }
    keys[id] = key;
}
