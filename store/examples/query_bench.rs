//! How long questions take with 50 million readings stored while 10,000 messages/s arrive.
//!
//! `cargo run --release -p bellwire-store --example query_bench [million readings] [seconds] [folder]`
//! starts a server of its own (durable, as in service) in a temporary folder, or in the one that is
//! named: that is kept, and is not filled a second time. It fills it with thirty days of
//! 10,000 devices with three metrics, which wake some times a day and report every 6 s for a minute,
//! but for a hundred that report every ten seconds on the last day. Then it writes 10,000 messages of
//! three readings each second, carrying over as often as the service does, while it asks. It prints p50 and p99 of each
//! question in milliseconds: as the asker waits, and of these what PostgreSQL computed and what it
//! waited for a core. `SELECT 1` is asked in the same loop: what the machine adds to any question.
//!
//! `BELLWIRE_BENCH_BIN_DIR` names the folder of another PostgreSQL's programs, for instance of one
//! with TimescaleDB: then all chunks but the last are put into the columnstore first.

#[path = "support/backends.rs"]
mod backends;
mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bellwire_model::{
    DeviceId, DeviceKey, KeepBatch, LogId, LogPosition, MetricKey, MetricName, Reading, Timestamp,
    Value,
};
use bellwire_store::{
    Compacted, Compactor, Config, Database, Metrics, Mode, Queries, TimeRange, Writer,
};
use prometheus::Registry;
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at};
use tokio_postgres::{Client, NoTls};
use tokio_util::task::TaskTracker;

use backends::Spent;
use support::{Outcome, names};

const DEVICES: u32 = 10_000;
const METRICS: u32 = 3;
const DAYS: i32 = 30;
/// A temperature with a decimal, in SQL.
const VALUE: &str = "(200 + floor(50 * random())) * 0.1::float8";
/// 40 times a second 250 messages.
const PULSE: Duration = Duration::from_millis(25);
const MESSAGES_PER_PULSE: u32 = 250;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let millions: f64 = arguments.next().map_or(Ok(50.0), |text| text.parse())?;
    let secs: u64 = arguments.next().map_or(Ok(150), |text| text.parse())?;
    let kept = arguments.next().map(PathBuf::from);
    let temporary = format!("bellwire-query-bench-{}", std::process::id());
    let dir = kept.clone().unwrap_or_else(|| std::env::temp_dir().join(temporary));
    fs::create_dir_all(&dir)?;
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o711))?;
    let bin_dir = std::env::var_os("BELLWIRE_BENCH_BIN_DIR").map(Into::into);
    let statement_timeout_ms = 600_000;
    let config = Config { bin_dir, statement_timeout_ms, ..Config::default() };
    let tracker = TaskTracker::new();
    let metrics = Metrics::register(&Registry::new())?;
    let database = Database::new(config, &dir, tracker.clone(), metrics)?;
    database.ensure_running().await?;
    let measured = measure(&database, &tracker, millions, Duration::from_secs(secs)).await;
    database.stop().await?;
    if kept.is_none() {
        fs::remove_dir_all(&dir)?;
    }
    measured
}

async fn measure(
    database: &Database,
    tracker: &TaskTracker,
    millions: f64,
    duration: Duration,
) -> Outcome<()> {
    let mode = database.migrate().await?.mode;
    let url = database.managed_url().ok_or("a managed server")?;
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
    tracker.spawn(connection);
    let started = Instant::now();
    let is_filled = "SELECT EXISTS (SELECT FROM bellwire.metric)";
    if client.query_one(is_filled, &[]).await?.get(0) {
        println!("filled before, mode {}", mode.label());
    } else {
        fill(&client, mode, millions).await?;
        println!("filled in {:.0} s, mode {}", started.elapsed().as_secs_f64(), mode.label());
    }
    print_size(&client, mode).await?;
    // What an earlier run has left: not in memory, it would be read for each question.
    let mut compactor = database.compactor();
    while compactor.run().await? != Compacted::Rows(0) {}
    let (writer, opened) = database.writer(LogId(1)).await?;
    let queries = database.queries()?;
    let ended = tokio_util::sync::CancellationToken::new();
    let writing =
        tracker.spawn(ended.clone().run_until_cancelled_owned(arrive(writer, opened.position)));
    let carrying = tracker.spawn(ended.clone().run_until_cancelled_owned(carry(compactor)));
    ask(&queries, &client, duration).await?;
    ended.cancel();
    let (_, _) = (writing.await?, carrying.await?);
    Ok(())
}

/// Thirty days of every device, a reading as often as `millions` come to; and the last day's of a
/// hundred, every ten seconds. The rollups are those of the same readings, but for first and last.
async fn fill(client: &Client, mode: Mode, millions: f64) -> Outcome<()> {
    client
        .batch_execute(&format!(
            "SET synchronous_commit = off; SET work_mem = '256MB'; SET timezone = 'UTC'; \
             INSERT INTO bellwire.device (name) \
                 SELECT 'device-' || n FROM generate_series(0, {DEVICES} - 1) n; \
             INSERT INTO bellwire.metric (name) \
                 SELECT 'metric-' || n FROM generate_series(0, {METRICS} - 1) n"
        ))
        .await?;
    let per_series_and_day =
        (millions * 1e6 - 2.6e6) / (f64::from(DEVICES * METRICS) * f64::from(DAYS));
    let every = format!("{:.0}", (864_000.0 / per_series_and_day.max(1.0)).clamp(61.0, 86_400.0));
    for day in (0..DAYS).rev() {
        let (table, prepare) = match mode {
            Mode::Timescale => ("reading".to_owned(), String::new()),
            Mode::Plain => (
                "reading".to_owned(),
                format!(
                    "SELECT bellwire.ensure_reading_days(ARRAY[date_trunc('day', now()) - \
                     {day} * interval '1 day', date_trunc('day', now()) - \
                     ({day} + 1) * interval '1 day']);"
                ),
            ),
        };
        client
            .batch_execute(&format!(
                "{prepare} INSERT INTO bellwire.{table} (at, device_id, metric_id, value) \
                 SELECT now() - {day} * interval '1 day' - (s + b) * interval '1 s' \
                        - d * interval '100 us', d, m, {VALUE} \
                 FROM generate_series(1, {DEVICES}) d, generate_series(1, {METRICS}) m, \
                      generate_series(86399 - 86399 % {every}, 0, -{every}) s, \
                      generate_series(54, 0, -6) b \
                 ORDER BY d, m, s DESC, b DESC"
            ))
            .await?;
    }
    client
        .batch_execute(&format!(
            "INSERT INTO bellwire.reading (at, device_id, metric_id, value) \
             SELECT now() - s * interval '1 s', d, m, {VALUE} \
             FROM generate_series(1, 100) d, generate_series(1, {METRICS}) m, \
                  generate_series(0, 86399, 10) s ORDER BY d, m, s DESC"
        ))
        .await?;
    for (table, source, bucket) in [
        ("reading_1m", "", "1 minute"),
        ("reading_1h", "reading_1m", "1 hour"),
        ("reading_1d", "reading_1h", "1 day"),
    ] {
        roll_up(client, table, source, bucket).await?;
    }
    finish(client, mode).await
}

async fn roll_up(client: &Client, table: &str, source: &str, bucket: &str) -> Outcome<()> {
    let (source, time, columns, grouping) = if source.is_empty() {
        (
            "reading",
            "at",
            "count(*), sum(value), min(value), max(value), min(at), min(value), max(at), max(value)",
            "GROUPING SETS ((1, device_id, metric_id), (1, metric_id))",
        )
    } else {
        (
            source,
            "bucket",
            "sum(count), sum(sum), min(min), max(max), min(first_at), min(first), max(last_at), \
             max(last)",
            "1, device_id, metric_id",
        )
    };
    let sql = format!(
        "INSERT INTO bellwire.{table} SELECT * FROM (\
             SELECT date_bin('{bucket}', {time}, 'epoch') AS b, coalesce(device_id, 0) AS d, \
                    metric_id, {columns} FROM bellwire.{source} GROUP BY {grouping}) r \
         ORDER BY b, d, metric_id"
    );
    Ok(client.batch_execute(&sql.replace("(1, ", "(date_bin('1 minute', at, 'epoch'), ")).await?)
}

/// Columnstore or index, statistics, and a checkpoint: as if it had lain there for long.
async fn finish(client: &Client, mode: Mode) -> Outcome<()> {
    let settle = match mode {
        Mode::Timescale => {
            "SELECT compress_chunk(format('%I.%I', chunk_schema, chunk_name)::regclass) \
             FROM timescaledb_information.chunks \
             WHERE hypertable_name IN ('reading', 'reading_1m', 'reading_1h') \
               AND hypertable_schema = 'bellwire' AND range_end < now()"
        }
        Mode::Plain => {
            "SELECT brin_summarize_new_values(i.indexrelid) FROM pg_index i \
             JOIN pg_class c ON c.oid = i.indexrelid AND c.relkind = 'i' \
             JOIN pg_am a ON a.oid = c.relam AND a.amname = 'brin'"
        }
    };
    client.batch_execute(settle).await?;
    client.batch_execute("VACUUM ANALYZE").await?;
    Ok(client.batch_execute("CHECKPOINT").await?)
}

async fn print_size(client: &Client, mode: Mode) -> Outcome<()> {
    let sql = match mode {
        // What is in the columnstore, its own indexes included, per row that it holds.
        Mode::Timescale => {
            "SELECT sum(after_compression_total_bytes)::float8, \
                    (SELECT count(*) FROM bellwire.reading \
                     WHERE at < (SELECT max(range_end) FROM timescaledb_information.chunks \
                                 WHERE hypertable_name = 'reading' AND is_compressed)) \
             FROM hypertable_compression_stats('bellwire.reading')"
        }
        Mode::Plain => {
            "SELECT sum(pg_total_relation_size(inhrelid))::float8, \
                    (SELECT count(*) FROM bellwire.reading) \
             FROM pg_inherits WHERE inhparent = 'bellwire.reading'::regclass"
        }
    };
    let row = client.query_one(sql, &[]).await?;
    let (bytes, n_rows): (f64, i64) = (row.get(0), row.get(1));
    #[expect(clippy::cast_precision_loss, reason = "a count of readings is small")]
    let per_reading = bytes / n_rows.max(1) as f64;
    println!("{n_rows} readings at {per_reading:.1} bytes each");
    Ok(())
}

/// Writes 10,000 messages each second, for ever.
async fn arrive(mut writer: Writer, position: LogPosition) -> Outcome<()> {
    let names = names(DEVICES, METRICS);
    let mut pulse = interval(PULSE);
    let (mut position, mut device) = (position.0, 0);
    loop {
        pulse.tick().await;
        let at = Timestamp::from_micros(now_micros());
        let mut readings = Vec::with_capacity((MESSAGES_PER_PULSE * METRICS) as usize);
        for _ in 0..MESSAGES_PER_PULSE {
            device = (device + 1) % DEVICES;
            readings.extend((0..METRICS).map(|metric| Reading {
                device: DeviceKey(device),
                metric: MetricKey(metric),
                at,
                value: Value::Number(f64::from(device % 50) * 0.1),
            }));
        }
        let (start, end) = (LogPosition(position), LogPosition(position + 1));
        position += 1;
        writer.write(&KeepBatch { start, end, readings, ..KeepBatch::default() }, &names).await?;
    }
}

async fn carry(mut compactor: Compactor) -> Outcome<()> {
    let every = Config::default().compact_interval();
    let mut pulse = interval_at(Instant::now() + every, every);
    pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        pulse.tick().await;
        let started = Instant::now();
        let compacted = compactor.run().await?;
        println!("  carried over: {compacted:?} in {:.1} s", started.elapsed().as_secs_f64());
    }
}

const QUESTIONS: [&str; 4] =
    ["24 h by 5 min, one device", "last hour raw, one device", "30 d by day, fleet", "SELECT 1"];

/// Asks one question after the other, of another device each time.
async fn ask(queries: &Queries, client: &Client, duration: Duration) -> Outcome<()> {
    let mut times: [Times; 4] = Default::default();
    let metric = MetricName::new("metric-1")?;
    let own = client.query_one("SELECT pg_backend_pid()", &[]).await?.get(0);
    // Makes the connection that is then used.
    queries.devices(None, 1).await?;
    let started = Instant::now();
    let mut n_asked = 0_u32;
    while started.elapsed() < duration {
        let mut pids = backends::named(client, "bellwire api").await?;
        pids.push(own);
        n_asked += 1;
        // Every other one is of those that report often.
        let device =
            if n_asked.is_multiple_of(2) { n_asked % 100 } else { n_asked * 7_919 % DEVICES };
        let device = DeviceId::new(&format!("device-{device}"))?;
        let to = Timestamp::from_micros(now_micros());
        let since = |secs: i64| TimeRange {
            from: Timestamp::from_micros(to.as_micros() - secs * 1_000_000),
            to,
        };
        let (five_minutes, a_day) = (Duration::from_secs(300), Duration::from_secs(86_400));
        let month = since(i64::from(DAYS) * 86_400);
        let chart =
            queries.buckets(Some(&device), Some(&metric), since(86_400), five_minutes, 1_000);
        times[0].take(&pids, chart).await?;
        times[1].take(&pids, queries.readings(&device, None, since(3_600), None, 10_000)).await?;
        times[2].take(&pids, queries.buckets(None, Some(&metric), month, a_day, 1_000)).await?;
        times[3].take(&pids, client.query_one("SELECT 1", &[])).await?;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for (name, times) in QUESTIONS.into_iter().zip(times) {
        times.print(name);
    }
    Ok(())
}

/// Milliseconds that a question took, each time.
#[derive(Default)]
struct Times {
    whole: Vec<f64>,
    computing: Vec<f64>,
    queueing: Vec<f64>,
}

impl Times {
    async fn take<T, E>(
        &mut self,
        pids: &[i32],
        asking: impl Future<Output = Result<T, E>>,
    ) -> Outcome<()>
    where
        Box<dyn std::error::Error + Send + Sync>: From<E>,
    {
        let before = Spent::of(pids);
        let asked = Instant::now();
        asking.await?;
        self.whole.push(asked.elapsed().as_secs_f64() * 1e3);
        let spent = Spent::of(pids) - before;
        self.computing.push(spent.computing_ms);
        self.queueing.push(spent.queueing_ms);
        Ok(())
    }

    fn print(self, name: &str) {
        let n = self.whole.len();
        let [(p50, p99), (work_p50, work_p99), (_, queue_p99)] =
            [self.whole, self.computing, self.queueing].map(|mut millis| {
                millis.sort_by(f64::total_cmp);
                let at = |share: usize| millis[(n * share / 100).min(n - 1)];
                (at(50), at(99))
            });
        println!(
            "{name:26} p50 {p50:5.1}, p99 {p99:5.1} ms; PostgreSQL computed {work_p50:5.1}, \
             {work_p99:5.1}, waited for a core p99 {queue_p99:5.1} ({n})"
        );
    }
}

#[expect(clippy::disallowed_methods, reason = "a bench of its own, without the service's clock")]
fn now_micros() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
