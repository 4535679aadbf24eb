//! One snapshot of the database, with what is fresh in it.
//!
//! Readings lie in three places: carried over (`reading` and the rollups), fresh in tables, and the
//! same fresh ones in memory. Which fresh ones belong to a snapshot of the database, that snapshot
//! says; so every answer is of one instant, wherever its parts come from.

use bellwire_model::{DeviceId, MetricName};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::{Lent, Queries};
use crate::Error;
use crate::connect::failed;
use crate::recent::{Extent, Fresh, Recent, Wanted};
use crate::types::unsigned;

/// A read-only transaction. Dropped without [`Snapshot::end`], its connection is closed.
#[derive(Debug)]
pub(super) struct Snapshot {
    client: Lent,
    doing: &'static str,
    /// The device that was asked for: all, or one, or one that is not known.
    pub(super) device: Asked,
    /// The same of the metric.
    pub(super) metric: Asked,
    /// The generations that are not carried over.
    generations: Vec<Extent>,
}

/// What a name that was asked for is in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// None was named: all.
    All,
    /// This one.
    Id(i32),
    /// There is none of that name.
    Unknown,
}

impl Asked {
    fn of(name: Option<&str>, id: Option<i32>) -> Self {
        match (name, id) {
            (None, _) => Self::All,
            (Some(_), Some(id)) => Self::Id(id),
            (Some(_), None) => Self::Unknown,
        }
    }

    /// As a parameter: NULL is all.
    pub(super) const fn id(self) -> Option<i32> {
        match self {
            Self::Id(id) => Some(id),
            Self::All | Self::Unknown => None,
        }
    }
}

const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

const LOOK: &str = "SELECT (SELECT id FROM bellwire.device WHERE name = $1), \
            (SELECT id FROM bellwire.metric WHERE name = $2), \
            open, oldest, closed_rows, closed_logs, \
            (SELECT coalesce(sum(fresh_rows), 0)::int8 FROM bellwire.log_position), \
            (SELECT coalesce(array_agg(id), '{}') FROM bellwire.log_position WHERE fresh_rows > 0) \
     FROM bellwire.fresh_state";

impl Snapshot {
    /// Begins one, and looks up what was named.
    pub(super) async fn begin(
        queries: &Queries,
        doing: &'static str,
        device: Option<&DeviceId>,
        metric: Option<&MetricName>,
    ) -> Result<Self, Error> {
        let mut snapshot = Self {
            client: queries.lend().await?,
            doing,
            device: Asked::All,
            metric: Asked::All,
            generations: Vec::with_capacity(2),
        };
        let (device_name, metric_name) =
            (device.map(DeviceId::as_str), metric.map(MetricName::as_str));
        snapshot.batch(BEGIN).await?;
        let rows = snapshot.query(LOOK, &[&device_name, &metric_name]).await?;
        let row = rows.first().ok_or(Error::NotMigrated)?;
        snapshot.device = Asked::of(device_name, row.get(0));
        snapshot.metric = Asked::of(metric_name, row.get(1));
        let (open, oldest): (i64, i64) = (row.get(2), row.get(3));
        if oldest != open {
            let (n_rows, logs) = (unsigned(row.get(4)), row.get(5));
            snapshot.generations.push(Extent { number: oldest, n_rows, logs });
        }
        let (n_rows, logs) = (unsigned(row.get(6)), row.get(7));
        snapshot.generations.push(Extent { number: open, n_rows, logs });
        Ok(snapshot)
    }

    /// Whether there can be no answer but an empty one.
    pub(super) fn is_void(&self) -> bool {
        self.device == Asked::Unknown || self.metric == Asked::Unknown
    }

    /// The fresh rows in memory; where they are not all there, the tables that have them instead.
    pub(super) fn fresh(
        &self,
        recent: &Recent,
        wanted: &Wanted,
        mut visitor: impl FnMut(Fresh),
    ) -> Vec<&'static str> {
        let generations = self.generations.iter().filter(|extent| extent.n_rows > 0);
        generations
            .filter(|extent| recent.visit(extent, wanted, &mut visitor).is_none())
            .map(|extent| crate::compact::table_of(extent.number))
            .collect()
    }

    pub(super) async fn query(
        &self,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error> {
        let statement = self.client.prepare_cached(sql).await.map_err(failed(self.doing))?;
        self.client.query(&statement, parameters).await.map_err(failed(self.doing))
    }

    async fn batch(&self, sql: &str) -> Result<(), Error> {
        self.client.batch_execute(sql).await.map_err(failed(self.doing))
    }

    /// Ends it, and gives the connection back.
    pub(super) async fn end(self) -> Result<(), Error> {
        self.batch("COMMIT").await?;
        self.client.give_back();
        Ok(())
    }
}
