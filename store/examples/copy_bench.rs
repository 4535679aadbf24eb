//! What the writer costs beside the bare COPY of the same rows into the same table, and what
//! carrying them over costs afterwards.
//!
//! `cargo run --release -p bellwire-store --example copy_bench [transactions per turn]` starts a
//! server of its own in a temporary folder (durable, as in service), writes 10,000 readings per
//! transaction in two ways, turn by turn, and prints readings/s, CPU seconds per million readings
//! of this process and of the server's, and bytes of write-ahead log per reading:
//! - `bare COPY`: one COPY and COMMIT, rows prepared;
//! - `writer`: [`Writer::write`], all included;
//! - `compactor`: what the writer wrote, carried over and rolled up.
//!
//! `BELLWIRE_BENCH_BIN_DIR` names the folder of another PostgreSQL's programs, for instance of one
//! with TimescaleDB.

#[path = "support/cost.rs"]
mod cost;
mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::pin::pin;

use bellwire_model::{
    DeviceKey, KeepBatch, LogId, LogPosition, MetricKey, Reading, SharedNames, Timestamp, Value,
};
use bellwire_store::{Compacted, Config, Database, Metrics, Writer};
use bytes::Bytes;
use futures_util::SinkExt;
use prometheus::Registry;
use tokio_postgres::{Client, NoTls};
use tokio_util::task::TaskTracker;

use cost::{Cost, Start};
use support::{Outcome, names};

const ROWS: usize = 10_000;
const DEVICES: u32 = 1_000;
const METRICS: u32 = 3;
/// The ways take turns this often, so that a slow minute of the machine hits all of them.
const ROUNDS: usize = 10;

// As in the service.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Outcome<()> {
    let n_transactions: usize = std::env::args().nth(1).map_or(Ok(30), |text| text.parse())?;
    let dir = std::env::temp_dir().join(format!("bellwire-copy-bench-{}", std::process::id()));
    fs::create_dir_all(&dir)?;
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o711))?;
    let metrics = Metrics::register(&Registry::new())?;
    let tracker = TaskTracker::new();
    let bin_dir = std::env::var_os("BELLWIRE_BENCH_BIN_DIR").map(Into::into);
    let database =
        Database::new(Config { bin_dir, ..Config::default() }, &dir, tracker.clone(), metrics)?;
    database.ensure_running().await?;
    let measured = measure(&database, &dir, &tracker, n_transactions).await;
    database.stop().await?;
    fs::remove_dir_all(&dir)?;
    measured
}

async fn measure(
    database: &Database,
    dir: &Path,
    tracker: &TaskTracker,
    n_transactions: usize,
) -> Outcome<()> {
    database.migrate().await?;
    let url = database.managed_url().ok_or("a managed server")?;
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
    tracker.spawn(connection);
    let names = names(DEVICES, METRICS);
    let now: i64 = client
        .query_one("SELECT extract(epoch FROM date_trunc('day', now()))::int8", &[])
        .await?
        .get(0);
    let readings = readings(now + 43_200);
    let rows = encoded(&readings, now + 43_200);
    let (mut writer, _) = database.writer(LogId(1)).await?;
    let mut position = 0;
    // Makes the partition and the names.
    write(&mut writer, &mut position, &readings, &names, 1).await?;
    database.compactor().run().await?;
    let mut costs = [Cost::default(); 3];
    for _ in 0..ROUNDS {
        // The table that is not open: as empty as the other.
        let table = if generation(&client).await? % 2 == 0 { "fresh_1" } else { "fresh_0" };
        let start = Start::now(dir, &client).await?;
        copy(&client, table, &rows, n_transactions).await?;
        costs[0] += start.end(dir, &client, n_transactions * ROWS).await?;
        client.batch_execute(&format!("TRUNCATE bellwire.{table}")).await?;
        let start = Start::now(dir, &client).await?;
        write(&mut writer, &mut position, &readings, &names, n_transactions).await?;
        costs[1] += start.end(dir, &client, n_transactions * ROWS).await?;
        let start = Start::now(dir, &client).await?;
        let mut compactor = database.compactor();
        while compactor.run().await? != Compacted::Rows(0) {}
        costs[2] += start.end(dir, &client, n_transactions * ROWS).await?;
    }
    for (name, cost) in ["bare COPY", "writer", "compactor"].into_iter().zip(costs) {
        cost.print(name);
    }
    let ratio = costs[1].server_cpu_secs / costs[0].server_cpu_secs;
    println!("writer / bare COPY: {ratio:.2} of PostgreSQL's CPU");
    Ok(())
}

async fn generation(client: &Client) -> Outcome<i64> {
    Ok(client.query_one("SELECT open FROM bellwire.fresh_state", &[]).await?.get(0))
}

fn readings(noon: i64) -> Vec<Reading> {
    (0..u32::try_from(ROWS).expect("small"))
        .map(|n| Reading {
            device: DeviceKey(n / METRICS % DEVICES),
            metric: MetricKey(n % METRICS),
            at: Timestamp::from_micros(noon * 1_000_000 + i64::from(n) * 33),
            value: Value::Number(f64::from(n) * 0.25),
        })
        .collect()
}

/// The same rows as the writer makes of them, but for the ids.
fn encoded(readings: &[Reading], noon: i64) -> Bytes {
    let mut rows = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
    for (reading, n) in readings.iter().zip(0_i64..) {
        let at = noon * 1_000_000 + n * 33 - 946_684_800_000_000;
        rows.extend(5_i16.to_be_bytes());
        rows.extend(8_i32.to_be_bytes());
        rows.extend(at.to_be_bytes());
        rows.extend(4_i32.to_be_bytes());
        rows.extend((reading.device.0 + 1).to_be_bytes());
        rows.extend(4_i32.to_be_bytes());
        rows.extend((reading.metric.0 + 1).to_be_bytes());
        rows.extend(8_i32.to_be_bytes());
        rows.extend(reading.value.number().unwrap_or_default().to_be_bytes());
        rows.extend((-1_i32).to_be_bytes());
    }
    rows.extend((-1_i16).to_be_bytes());
    rows.into()
}

async fn copy(client: &Client, table: &str, rows: &Bytes, n_transactions: usize) -> Outcome<()> {
    let sql = format!("COPY bellwire.{table} FROM STDIN (FORMAT binary)");
    let statement = client.prepare(&sql).await?;
    for _ in 0..n_transactions {
        let mut sink = pin!(client.copy_in::<_, Bytes>(&statement).await?);
        for chunk in rows.chunks(64 * 1024) {
            sink.feed(rows.slice_ref(chunk)).await?;
        }
        sink.finish().await?;
    }
    Ok(())
}

async fn write(
    writer: &mut Writer,
    position: &mut u64,
    readings: &[Reading],
    names: &SharedNames,
    n_transactions: usize,
) -> Outcome<()> {
    let mut batch = KeepBatch { readings: readings.to_vec(), ..KeepBatch::default() };
    for _ in 0..n_transactions {
        batch.start = LogPosition(*position);
        *position += 1_000;
        batch.end = LogPosition(*position);
        writer.write(&batch, names).await?;
    }
    Ok(())
}
