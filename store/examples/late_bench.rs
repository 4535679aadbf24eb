//! What readings cost that come late, into chunks that are in the columnstore, beside the same number
//! that came in time; and what they do to size and questions until they are put into columns too.
//!
//! `cargo run --release -p bellwire-store --example late_bench [million readings]` starts a server of
//! its own in a temporary folder (durable, as in service) and writes a reading a minute of 1,000
//! devices with three metrics to yesterday, then puts what it wrote into columns, then writes as many
//! again, half a minute beside the first: each meets a minute that is in columns. All through the
//! writer and the compactor. `BELLWIRE_BENCH_BIN_DIR` names the folder of a PostgreSQL with
//! TimescaleDB; on plain PostgreSQL, where there are no columns, late is as any other.

#[path = "support/cost.rs"]
mod cost;
mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use bellwire_model::{
    DeviceKey, KeepBatch, LogId, LogPosition, MetricKey, Reading, Timestamp, Value,
};
use bellwire_store::{Compacted, Config, Database, Metrics, Mode};
use prometheus::Registry;
use tokio::time::Instant;
use tokio_postgres::{Client, NoTls};
use tokio_util::task::TaskTracker;

use cost::Start;
use support::{Outcome, names};

const DEVICES: u32 = 1_000;
const METRICS: u32 = 3;
const PER_BATCH: usize = 9_000;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Outcome<()> {
    let millions: f64 = std::env::args().nth(1).map_or(Ok(1.0), |text| text.parse())?;
    let dir = std::env::temp_dir().join(format!("bellwire-late-bench-{}", std::process::id()));
    fs::create_dir_all(&dir)?;
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o711))?;
    let metrics = Metrics::register(&Registry::new())?;
    let bin_dir = std::env::var_os("BELLWIRE_BENCH_BIN_DIR").map(Into::into);
    let config = Config { bin_dir, ..Config::default() };
    let database = Database::new(config, &dir, TaskTracker::new(), metrics)?;
    database.ensure_running().await?;
    let measured = measure(&database, &dir, millions).await;
    database.stop().await?;
    fs::remove_dir_all(&dir)?;
    measured
}

async fn measure(database: &Database, dir: &Path, millions: f64) -> Outcome<()> {
    let mode = database.migrate().await?.mode;
    let url = database.managed_url().ok_or("a managed server")?;
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
    TaskTracker::new().spawn(connection);
    let midnight = "SELECT extract(epoch FROM date_trunc('day', now()))::int8 - 86400";
    let midnight: i64 = client.query_one(midnight, &[]).await?.get(0);
    let n_minutes = (millions * 1e6 / f64::from(DEVICES * METRICS)).clamp(1.0, 1_440.0);
    #[expect(clippy::cast_possible_truncation, reason = "at most 1,440")]
    let n_minutes = n_minutes as i64;
    let mut position = 0;
    for (name, second) in [("in time", 0), ("late, into columns", 30), ("late again", 45)] {
        let readings = readings(midnight + second, n_minutes);
        store(database, dir, &client, name, &readings, &mut position).await?;
        look(&client, "  before it is in columns").await?;
        if mode == Mode::Timescale {
            let start = Start::now(dir, &client).await?;
            client.batch_execute(INTO_COLUMNS).await?;
            client.batch_execute("VACUUM ANALYZE").await?;
            start.end(dir, &client, readings.len()).await?.print("  into columns");
            look(&client, "  in columns").await?;
        }
    }
    Ok(())
}

/// As the policy does it, every five minutes: also chunks of which some is in rows.
const INTO_COLUMNS: &str = "SELECT compress_chunk(chunk) \
     FROM unnest('{reading, reading_1m, reading_1h}'::text[]) t, \
          show_chunks(('bellwire.' || t)::regclass) chunk";

/// Minute by minute, each device's metrics.
fn readings(from: i64, n_minutes: i64) -> Vec<Reading> {
    let at = |minute: i64| Timestamp::from_secs(from + minute * 60);
    let each = |minute: i64| {
        (0..DEVICES * METRICS).map(move |n| Reading {
            device: DeviceKey(n / METRICS),
            metric: MetricKey(n % METRICS),
            at: at(minute),
            value: Value::Number(
                f64::from((n * 7 + u32::try_from(minute).unwrap_or(0)) % 50) * 0.1,
            ),
        })
    };
    (0..n_minutes).flat_map(each).collect()
}

/// Writes them, carries them over, and prints what each cost.
async fn store(
    database: &Database,
    dir: &Path,
    client: &Client,
    name: &str,
    readings: &[Reading],
    position: &mut u64,
) -> Outcome<()> {
    println!("{name}: {} readings", readings.len());
    let names = names(DEVICES, METRICS);
    let (mut writer, _) = database.writer(LogId(1)).await?;
    let start = Start::now(dir, client).await?;
    for rows in readings.chunks(PER_BATCH) {
        let (begin, end) = (LogPosition(*position), LogPosition(*position + 1));
        *position += 1;
        let batch =
            KeepBatch { start: begin, end, readings: rows.to_vec(), ..KeepBatch::default() };
        writer.write(&batch, &names).await?;
    }
    start.end(dir, client, readings.len()).await?.print("  writer");
    let start = Start::now(dir, client).await?;
    let mut compactor = database.compactor();
    while compactor.run().await? != Compacted::Rows(0) {}
    start.end(dir, client, readings.len()).await?.print("  compactor");
    Ok(())
}

/// Prints size and how long two questions take, the best of five.
async fn look(client: &Client, name: &str) -> Outcome<()> {
    let size = "SELECT (SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c \
                        WHERE c.relkind = 'r' AND c.relnamespace IN \
                              ('bellwire'::regnamespace, to_regnamespace('_timescaledb_internal')) \
                          AND c.relname NOT LIKE 'fresh%')::float8 / 1e6, \
                       (SELECT count(*) FROM bellwire.reading)::float8 / 1e6";
    let row = client.query_one(size, &[]).await?;
    let (megabytes, millions): (f64, f64) = (row.get(0), row.get(1));
    let mut best = [f64::MAX; 2];
    let of_reading = "SELECT count(*), avg(value) FROM bellwire.reading \
         WHERE device_id = 500 AND metric_id = 2 \
           AND at >= date_trunc('day', now()) - interval '23 hours' \
           AND at < date_trunc('day', now()) - interval '22 hours'";
    let of_minutes = "SELECT count(*), sum(sum) FROM bellwire.reading_1m \
         WHERE device_id = 500 AND metric_id = 2 \
           AND bucket >= date_trunc('day', now()) - interval '1 day'";
    for _ in 0..5 {
        for (best, sql) in best.iter_mut().zip([of_reading, of_minutes]) {
            let asked = Instant::now();
            client.query_one(sql, &[]).await?;
            *best = best.min(asked.elapsed().as_secs_f64() * 1e3);
        }
    }
    println!(
        "{name:28} {megabytes:.0} MB with rollups, {:.1} bytes per reading; one series: an hour \
         {:.1} ms, a day by minutes {:.1} ms",
        megabytes / millions,
        best[0],
        best[1]
    );
    Ok(())
}
