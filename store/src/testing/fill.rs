//! A month of a fleet's readings at once, for benches: as the compactor leaves them, minute by minute.

use crate::Database;
use crate::connect::failed;
use crate::error::Error;
use crate::migrate;
use crate::types::At;
use bellwire_model::Timestamp;

const DOING: &str = "filling the database for a bench";

/// What a device reads in minute `m`: a freezer that warms up for an hour once in about two weeks.
const VALUE: &str =
    "CASE WHEN (m + d.n * 37) % 20000 < 60 THEN -5 ELSE -20 + (m * 7 + d.n) % 40 * 0.1 END";

/// Adds `n_devices` devices `device-1…` that read `temperature` once a minute, for `n_days` from `from` on,
/// which is a midnight. Says how many readings there are.
///
/// # Errors
/// [`Error`].
pub async fn fill(
    database: &Database,
    n_devices: u32,
    from: Timestamp,
    n_days: u32,
) -> Result<u64, Error> {
    let link = database.target().connect("bellwire bench").await?;
    let client = &link.client;
    let mode = migrate::require_current(client).await?;
    let setup = format!(
        "SET synchronous_commit = off; SET timezone = 'UTC'; \
         INSERT INTO bellwire.device (name) SELECT 'device-' || n FROM generate_series(1, {n_devices}) n; \
         INSERT INTO bellwire.metric (name) VALUES ('temperature')"
    );
    client.batch_execute(&setup).await.map_err(failed(DOING))?;
    let devices = "(SELECT id, substr(name, 8)::int AS n FROM bellwire.device ORDER BY id) d";
    let reading = format!(
        "INSERT INTO bellwire.reading (at, device_id, metric_id, value) \
         SELECT $1::timestamptz + m * interval '1 minute', d.id, \
                (SELECT id FROM bellwire.metric WHERE name = 'temperature'), {VALUE} \
         FROM generate_series(0, 1439) m, {devices}"
    );
    let rollup = "INSERT INTO bellwire.reading_1h \
         SELECT date_bin('1 hour', at, 'epoch'), 0, metric_id, count(*), sum(value), min(value), max(value), \
                min(at), min(value), max(at), max(value) \
         FROM bellwire.reading WHERE at >= $1 AND at < $1::timestamptz + interval '1 day' GROUP BY 1, 3";
    let mut n_readings = 0;
    for day in 0..n_days {
        let day = At(from + std::time::Duration::from_secs(u64::from(day) * 86_400));
        if mode == crate::Mode::Plain {
            let sql = "SELECT bellwire.ensure_reading_days(ARRAY[$1::timestamptz])";
            client.query(sql, &[&day]).await.map_err(failed(DOING))?;
        }
        n_readings += client.execute(&reading, &[&day]).await.map_err(failed(DOING))?;
        client.execute(rollup, &[&day]).await.map_err(failed(DOING))?;
    }
    // As if it had lain there for long: else autovacuum comes while it is read.
    client.batch_execute("VACUUM ANALYZE bellwire.reading").await.map_err(failed(DOING))?;
    Ok(n_readings)
}
