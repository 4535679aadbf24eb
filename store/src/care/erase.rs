//! Removes what is stored of one device, so that every answer is afterwards what it would be without.
//!
//! Fresh readings are carried over first: what is fresh is counted by snapshots and never deleted
//! singly. Then day by day, each in a transaction of its own that keeps the compactor out: the
//! device's readings go, and its rollups; those of all devices together are made anew, for the
//! buckets that it was in, from the other devices'. Interrupted anywhere and run again, it goes on.

use std::time::Duration;

use bellwire_model::{DeviceId, Timestamp};
use tokio::time::{Instant, sleep};
use tokio_postgres::Client;

use crate::compact::{self, ALL_DEVICES, Level};
use crate::connect::{deadline, failed};
use crate::types::{At, unsigned};
use crate::{Compacted, Database, Error, migrate};

const DOING: &str = "erasing a device's data";

/// How long to wait for the compactor of a running service, and for readers of a fresh table.
const CARRY_LIMIT: Duration = Duration::from_secs(120);
const DAY: Duration = Duration::from_secs(86_400);
/// How often to look meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What there was of a device, and is not there any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    /// Readings.
    pub readings: u64,
    /// Quarantined payloads.
    pub quarantined: u64,
    /// Transitions of its alerts.
    pub transitions: u64,
    /// Its alerts.
    pub alerts: u64,
    /// Commands to it.
    pub commands: u64,
}

/// What speaks against erasing a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// When it was last heard, as far as the accounts are; `None` if never.
    pub last_seen: Option<Timestamp>,
    /// How many of its alerts are open.
    pub open_alerts: u64,
}

impl Database {
    /// How a device stands; `None` if it is not known.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn standing(&self, device: &DeviceId) -> Result<Option<Standing>, Error> {
        let link = self.target().connect("bellwire care").await?;
        migrate::require_current(&link.client).await?;
        let sql = "SELECT d.last_seen, (SELECT count(*) FROM alerts a WHERE a.device = d.device \
                              AND state NOT IN ('inactive', 'resolved')) \
                   FROM devices d WHERE d.device = $1";
        let row = link.client.query_opt(sql, &[&device.as_str()]).await.map_err(failed(DOING))?;
        Ok(row.map(|row| Standing {
            last_seen: row.get::<_, Option<At>>(0).map(|At(at)| at),
            open_alerts: unsigned(row.get(1)),
        }))
    }

    /// Removes what is stored of `device`: all of it, or what has an event time before `before`, a
    /// midnight in UTC (of quarantined payloads the time of receipt), and of alerts those that ended
    /// before. `None` if the device is not known. Its row in the dictionary and its accounts stay.
    /// `progress` is told after each day.
    ///
    /// # Errors
    /// [`Error`]; run again, it goes on.
    pub async fn erase_device(
        &self,
        device: &DeviceId,
        before: Option<Timestamp>,
        mut progress: impl FnMut(Erased) + Send,
    ) -> Result<Option<Erased>, Error> {
        let link = self.target().connect("bellwire erase").await?;
        let client = &link.client;
        migrate::require_current(client).await?;
        let setup = "SET timezone = 'UTC'; SET jit = off; SET statement_timeout = 0; \
                     SET lock_timeout = '60s'; SET client_min_messages = warning";
        client.batch_execute(setup).await.map_err(failed(DOING))?;
        compact::lift_column_limit(client).await?;
        let sql = "SELECT id FROM bellwire.device WHERE name = $1";
        let row = client.query_opt(sql, &[&device.as_str()]).await.map_err(failed(DOING))?;
        let Some(id) = row.map(|row| row.get::<_, i32>(0)) else { return Ok(None) };
        carry_over(self, client).await?;
        let mut erased = Erased::default();
        for day in days(client, id, before).await? {
            erased.readings += erase_day(client, id, day).await?;
            progress(erased);
        }
        let gone = async |sql: &str| {
            client.execute(sql, &[&device.as_str(), &before.map(At)]).await.map_err(failed(DOING))
        };
        erased.quarantined = gone(ERASE_QUARANTINE).await?;
        // While the alerts are there, which say of what a transition is.
        erased.transitions = gone(ERASE_TRANSITIONS).await?;
        erased.alerts = gone(ERASE_ALERTS).await?;
        gone(ERASE_UNITS).await?;
        erased.commands = gone(ERASE_COMMANDS).await?;
        if before.is_none() {
            client.execute(ERASE_LABELS, &[&id]).await.map_err(failed(DOING))?;
        }
        Ok(Some(erased))
    }
}

const ERASE_LABELS: &str = "UPDATE bellwire.device \
     SET labels = '{}', registered = NULL, born = '{}' WHERE id = $1";

const ERASE_QUARANTINE: &str = "DELETE FROM bellwire.quarantine \
     WHERE device = $1 AND ($2::timestamptz IS NULL OR received_at < $2)";

/// An alert goes whole, with all that was ever told of it, or stays whole. One that is open, or ended
/// later, is not from before; but where everything goes, it does.
const ERASE_TRANSITIONS: &str = "DELETE FROM bellwire.transition WHERE device = $1 \
     AND ($2::timestamptz IS NULL OR NOT EXISTS \
          (SELECT FROM bellwire.transition later \
           WHERE later.alert_id = transition.alert_id AND later.at >= $2) AND NOT EXISTS \
          (SELECT FROM bellwire.alert WHERE id = transition.alert_id \
           AND state NOT IN ('inactive', 'resolved')))";
const ERASE_ALERTS: &str = "DELETE FROM bellwire.alert WHERE device = $1 \
     AND ($2::timestamptz IS NULL OR since < $2) AND NOT EXISTS (SELECT FROM bellwire.transition WHERE alert_id = alert.id)";

/// Units are of no time: they go where everything goes.
const ERASE_UNITS: &str = "DELETE FROM bellwire.unit WHERE $2::timestamptz IS NULL \
     AND device_id = (SELECT id FROM bellwire.device WHERE name = $1)";
const ERASE_COMMANDS: &str = "DELETE FROM bellwire.command \
     WHERE device = $1 AND ($2::timestamptz IS NULL OR ended_at < $2)";

/// Has everything carried over that is fresh now.
async fn carry_over(database: &Database, client: &Client) -> Result<(), Error> {
    let open = fresh_state(client, "open").await?;
    let until = Instant::now() + CARRY_LIMIT;
    let mut compactor = database.compactor();
    loop {
        let compacted = compactor.run().await?;
        if compacted == Compacted::Rows(0) || fresh_state(client, "oldest").await? > open {
            return Ok(());
        }
        if Instant::now() > until {
            return Err(deadline("carrying fresh readings over", CARRY_LIMIT));
        }
        sleep(LOOK_EVERY).await;
    }
}

async fn fresh_state(client: &Client, column: &str) -> Result<i64, Error> {
    let sql = format!("SELECT {column} FROM bellwire.fresh_state");
    Ok(client.query_one(&sql, &[]).await.map_err(failed(DOING))?.get(0))
}

/// The days on which there is something of the device, their first instants. Each table has a retention
/// of its own.
async fn days(client: &Client, id: i32, before: Option<Timestamp>) -> Result<Vec<At>, Error> {
    let part = |table: &str, time: &str| {
        format!(
            "SELECT date_bin('1 day', {time}, 'epoch') FROM bellwire.{table} \
             WHERE device_id = $1 AND ($2::timestamptz IS NULL OR {time} < $2)"
        )
    };
    let rollups = Level::ALL.into_iter().map(|level| part(level.table(), "bucket"));
    let parts: Vec<_> = std::iter::once(part("reading", "at")).chain(rollups).collect();
    let sql = format!("{} ORDER BY 1", parts.join(" UNION "));
    let rows = client.query(&sql, &[&id, &before.map(At)]).await.map_err(failed(DOING))?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Removes a day's; says how many readings that were.
async fn erase_day(client: &Client, id: i32, day: At) -> Result<u64, Error> {
    client.batch_execute("BEGIN").await.map_err(failed(DOING))?;
    let erased = within_day(client, id, day).await;
    let end = if erased.is_ok() { "COMMIT" } else { "ROLLBACK" };
    client.batch_execute(end).await.map_err(failed(DOING))?;
    erased
}

async fn within_day(client: &Client, id: i32, day: At) -> Result<u64, Error> {
    compact::keep_out(client).await?;
    let last = At(day.0 + DAY.saturating_sub(Duration::from_micros(1)));
    let sql = "DELETE FROM bellwire.reading WHERE device_id = $1 AND at BETWEEN $2 AND $3";
    let n_readings = client.execute(sql, &[&id, &day, &last]).await.map_err(failed(DOING))?;
    for level in Level::ALL {
        let table = level.table();
        let sql = format!(
            "DELETE FROM bellwire.{table} WHERE device_id = $1 \
             AND bucket BETWEEN $2 AND $3 RETURNING metric_id, bucket"
        );
        let rows = client.query(&sql, &[&id, &day, &last]).await.map_err(failed(DOING))?;
        let (metrics, buckets): (Vec<i32>, Vec<At>) =
            rows.iter().map(|row| (row.get::<_, i32>(0), row.get::<_, At>(1))).unzip();
        gather_anew(client, table, &metrics, &buckets).await?;
    }
    Ok(n_readings)
}

/// Makes the rows of all devices together anew for these buckets.
async fn gather_anew(
    client: &Client,
    table: &str,
    metrics: &[i32],
    buckets: &[At],
) -> Result<(), Error> {
    if metrics.is_empty() {
        return Ok(());
    }
    let touched = "(SELECT * FROM unnest($1::int4[], $2::timestamptz[]))";
    let delete = format!(
        "DELETE FROM bellwire.{table} \
         WHERE device_id = {ALL_DEVICES} AND (metric_id, bucket) IN {touched}"
    );
    // A sum beyond the range of float8 would be an error: it becomes infinite instead.
    let gather = format!(
        "INSERT INTO bellwire.{table} \
         SELECT bucket, {ALL_DEVICES}, metric_id, count, \
                CASE WHEN great IS NULL THEN coalesce(small, 0) \
                     WHEN abs(great) < 8.98e307 / 2::float8 ^ 64 \
                     THEN coalesce(small, 0) + great * 2::float8 ^ 64 \
                     ELSE sign(great) * 'Infinity'::float8 END, \
                min, max, first_at, first, last_at, last \
         FROM (SELECT r.bucket, r.metric_id, sum(r.count)::int8 AS count, \
                      sum(r.sum) FILTER (WHERE abs(r.sum) <= 1e290) AS small, \
                      sum(r.sum / 2::float8 ^ 64) FILTER (WHERE abs(r.sum) > 1e290) AS great, \
                      min(r.min) AS min, max(r.max) AS max, min(r.first_at) AS first_at, \
                      (array_agg(r.first ORDER BY r.first_at, r.first))[1] AS first, \
                      max(r.last_at) AS last_at, \
                      (array_agg(r.last ORDER BY r.last_at DESC, r.last DESC))[1] AS last \
               FROM bellwire.{table} r \
               WHERE r.device_id <> {ALL_DEVICES} AND (r.metric_id, r.bucket) IN {touched} \
                 AND r.bucket >= (SELECT min(b) FROM unnest($2::timestamptz[]) b) \
                 AND r.bucket <= (SELECT max(b) FROM unnest($2::timestamptz[]) b) \
               GROUP BY 1, 2) g"
    );
    for sql in [delete, gather] {
        client.execute(&sql, &[&metrics, &buckets]).await.map_err(failed(DOING))?;
    }
    Ok(())
}
