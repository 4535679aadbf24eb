//! What must be done to the tables now and then: room for the days ahead, retention, and on
//! TimescaleDB the policies and a chunk interval that follows the rate.
//!
//! All of it compares what is with what the configuration wants and changes only what differs, so
//! it may run at any time, by any number of processes.

use std::time::Duration;

use tokio_postgres::Client;
use tracing::{info, warn};

use crate::connect::{Target, failed};
use crate::{Config, Error, Mode, migrate};

const DOING: &str = "looking after the tables";

/// Milliseconds that dropping a day waits for those who read it; who comes meanwhile waits behind.
const LOCK_MS: u32 = 2_000;

/// Readings that a chunk should have at most: 1 GB in rows. Beyond, the chunk that is written to
/// does not stay in memory, and recent readings are long in rows.
const CHUNK_READINGS_MAX: f64 = 20_000_000.0;

/// The chunk intervals that are used, in minutes: parts or multiples of a day.
const CHUNK_MINUTES: [u32; 9] = [15, 30, 60, 120, 240, 480, 720, 1_440, 10_080];

/// The tables that retention cuts: name, time column, days to keep.
fn retained(config: &Config) -> [(&'static str, &'static str, Option<u32>); 4] {
    [
        ("reading", "at", config.retention_days),
        ("reading_1m", "bucket", config.retention_1m_days),
        ("reading_1h", "bucket", config.retention_1h_days),
        ("reading_1d", "bucket", config.retention_1d_days),
    ]
}

/// Does all of it once.
pub(crate) async fn run(target: &Target, config: &Config) -> Result<(), Error> {
    let link = target.connect("bellwire upkeep").await?;
    let mode = migrate::require_current(&link.client).await?;
    let setup = format!(
        "SET client_min_messages = warning; SET timezone = 'UTC'; SET lock_timeout = {LOCK_MS}; \
         SET statement_timeout = {}",
        config.compact_timeout_ms
    );
    link.client.batch_execute(&setup).await.map_err(failed(DOING))?;
    match mode {
        Mode::Plain => plain(&link.client, config).await,
        Mode::Timescale => timescale(&link.client, config).await,
    }
}

async fn plain(client: &Client, config: &Config) -> Result<(), Error> {
    client
        .execute(
            "SELECT bellwire.ensure_reading_days( \
                 ARRAY(SELECT date_trunc('day', now()) + n * interval '1 day' \
                       FROM generate_series(0, 2) n))",
            &[],
        )
        .await
        .map_err(failed(DOING))?;
    for (table, column, days) in retained(config) {
        let Some(days) = days else { continue };
        let days = i64::from(days);
        if table == "reading" {
            drop_days(client, days).await?;
        }
        // Of the readings, those of the long past, which share a partition.
        let table = if table == "reading" { "reading_past" } else { table };
        let sql = format!(
            "DELETE FROM bellwire.{table} \
             WHERE {column} < date_trunc('day', now()) - $1::int8 * interval '1 day'"
        );
        client.execute(&sql, &[&days]).await.map_err(failed(DOING))?;
    }
    Ok(())
}

/// Drops the partitions of days that are past retention; one that is being read is left to the
/// next time.
async fn drop_days(client: &Client, days: i64) -> Result<(), Error> {
    let rows = client
        .query(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid \
             WHERE i.inhparent = 'bellwire.reading'::regclass \
               AND c.relname ~ '^reading_[0-9]{8}$' \
               AND right(c.relname, 8) < \
                   to_char(now() - $1::int8 * interval '1 day', 'YYYYMMDD') \
             ORDER BY c.relname",
            &[&days],
        )
        .await
        .map_err(failed(DOING))?;
    for row in rows {
        let name: &str = row.get(0);
        let dropped = client.batch_execute(&format!("DROP TABLE bellwire.{name}")).await;
        match dropped.map_err(failed("dropping a day past retention")) {
            Ok(()) => info!("Dropped {name}: its day is past database.retention_days."),
            Err(error) if error.is_lock_timeout() => {
                warn!("{name} is past database.retention_days, but is being read: later then.");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn timescale(client: &Client, config: &Config) -> Result<(), Error> {
    follow_rate(client).await?;
    for (table, _, days) in retained(config) {
        let wanted = days.map(|days| format!("{days} days"));
        set_policy(client, &Policy::RETENTION, table, wanted.as_deref()).await?;
    }
    if has_columnstore(client).await? {
        let minutes = config.columnstore_after_minutes;
        let wanted = (minutes > 0).then(|| format!("{minutes} minutes"));
        for table in ["reading", "reading_1m", "reading_1h"] {
            set_policy(client, &Policy::COLUMNSTORE, table, wanted.as_deref()).await?;
        }
    }
    Ok(())
}

async fn has_columnstore(client: &Client) -> Result<bool, Error> {
    let sql = "SELECT current_setting('timescaledb.license', true) IS DISTINCT FROM 'apache'";
    Ok(client.query_one(sql, &[]).await.map_err(failed(DOING))?.get(0))
}

/// A kind of policy, by the functions that make it; in the form that every release knows.
struct Policy {
    job: &'static str,
    key: &'static str,
    add: &'static str,
    remove: &'static str,
}

impl Policy {
    const RETENTION: Self = Self {
        job: "policy_retention",
        key: "drop_after",
        add: "SELECT add_retention_policy($1::text::regclass, $2::text::interval)",
        remove: "SELECT remove_retention_policy($1::text::regclass)",
    };
    const COLUMNSTORE: Self = Self {
        job: "policy_compression",
        key: "compress_after",
        // Chunks can be short: the default would look twice a day only.
        add: "SELECT add_compression_policy($1::text::regclass, $2::text::interval, \
                     schedule_interval => interval '5 minutes')",
        remove: "SELECT remove_compression_policy($1::text::regclass)",
    };
}

/// Makes the table's policy what is wanted; `None`: none.
async fn set_policy(
    client: &Client,
    policy: &Policy,
    table: &str,
    wanted: Option<&str>,
) -> Result<(), Error> {
    let name = format!("bellwire.{table}");
    let row = client
        .query_one(
            "SELECT count(*), \
                    count(*) FILTER (WHERE (config->>$3::text)::interval = $4::text::interval) \
             FROM timescaledb_information.jobs \
             WHERE hypertable_schema = 'bellwire' AND hypertable_name = $1 AND proc_name = $2",
            &[&table, &policy.job, &policy.key, &wanted],
        )
        .await
        .map_err(failed(DOING))?;
    let (n_policies, n_right): (i64, i64) = (row.get(0), row.get(1));
    if n_policies > n_right {
        client.execute(policy.remove, &[&name]).await.map_err(failed(DOING))?;
    }
    if n_right == 0
        && let Some(wanted) = wanted
    {
        client.execute(policy.add, &[&name, &wanted]).await.map_err(failed(DOING))?;
        info!("TimescaleDB's {} of {table} is {wanted} now.", policy.key);
    }
    Ok(())
}

/// Sets the interval of chunks to come after the rate of the last day.
async fn follow_rate(client: &Client) -> Result<(), Error> {
    let row = client
        .query_one(
            "SELECT coalesce(sum(count), 0)::float8, count(DISTINCT bucket), \
                    (SELECT extract(epoch FROM time_interval)::int8 / 60 \
                     FROM timescaledb_information.dimensions \
                     WHERE hypertable_schema = 'bellwire' AND hypertable_name = 'reading') \
             FROM bellwire.reading_1h \
             WHERE device_id = 0 AND bucket >= now() - interval '24 hours' AND bucket <= now()",
            &[],
        )
        .await
        .map_err(failed(DOING))?;
    let (n_readings, n_hours, present): (f64, i64, i64) = (row.get(0), row.get(1), row.get(2));
    if n_hours == 0 {
        return Ok(());
    }
    let hours = u32::try_from(n_hours).map_or(24.0, f64::from);
    let wanted = chunk_minutes(n_readings / (hours * 60.0), present);
    if i64::from(wanted) != present {
        let interval = format!("{wanted} minutes");
        client
            .execute(
                "SELECT set_chunk_time_interval('bellwire.reading', $1::text::interval)",
                &[&interval],
            )
            .await
            .map_err(failed(DOING))?;
        info!("New chunks of readings span {wanted} minutes, after the rate of the last day.");
    }
    Ok(())
}

/// The longest interval with few enough readings; the present one if that is nearly as good.
fn chunk_minutes(readings_per_minute: f64, present: i64) -> u32 {
    let fits = |minutes: u32| readings_per_minute * f64::from(minutes) <= CHUNK_READINGS_MAX;
    let best = CHUNK_MINUTES.into_iter().rev().find(|&minutes| fits(minutes));
    let best = best.unwrap_or(CHUNK_MINUTES[0]);
    match u32::try_from(present) {
        Ok(present) if present == best.saturating_mul(2) && fits(present / 3 * 2) => present,
        Ok(present) if present.saturating_mul(2) == best && !fits(best / 2 * 3) => present,
        _ => best,
    }
}

/// How often it is worth doing.
pub(crate) const EVERY: Duration = Duration::from_secs(3_600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_get_shorter_as_the_rate_grows() {
        let minutes = |per_second: f64| chunk_minutes(per_second * 60.0, 0);
        assert_eq!(minutes(10.0), 10_080);
        assert_eq!(minutes(200.0), 1_440);
        assert_eq!(minutes(10_000.0), 30);
        assert_eq!(minutes(1_000_000.0), 15);
    }

    #[test]
    fn a_rate_at_the_border_does_not_change_it_back_and_forth() {
        let border = CHUNK_READINGS_MAX / 60.0;
        assert_eq!(chunk_minutes(border * 0.99, 30), 30);
        assert_eq!(chunk_minutes(border * 1.01, 60), 60);
        assert_eq!(chunk_minutes(border * 0.60, 30), 60);
        assert_eq!(chunk_minutes(border * 1.70, 60), 30);
    }
}
