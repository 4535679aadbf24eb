//! Measures the log: what a publish costs, how long an acknowledgement takes, and how long the
//! disk's fdatasync takes in the same run.
//!
//! `log_bench [PRODUCERS] [IN_FLIGHT] [PUBLISHES_PER_ENTRY] [PUBLISH_BYTES] [SECONDS] [DIR]`;
//! defaults 20, 4, 30, 150, 5, a temporary directory in the working directory.

use std::error::Error;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bellwire_ingest::log::{Config, Entry, LocalLog, Log, Metrics, Options};
use bellwire_model::{
    ClientId, Clock, Delivery, PublishBatch, PublishRef, QoS, Receipt, Timestamp,
};
use prometheus::Registry;
use tokio::time::Instant;

#[derive(Debug)]
struct MonotonicClock(Instant);

impl Clock for MonotonicClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(1_700_000_000) + self.0.elapsed()
    }
}

#[derive(Clone, Copy)]
struct Load {
    n_producers: usize,
    in_flight: usize,
    publishes_per_entry: usize,
    publish_bytes: usize,
    seconds: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: usize| -> Result<usize, Box<dyn Error>> {
        Ok(arguments.next().map_or(Ok(default), |text| text.parse())?)
    };
    let load = Load {
        n_producers: number(20)?,
        in_flight: number(4)?,
        publishes_per_entry: number(30)?,
        publish_bytes: number(150)?.max(60),
        seconds: number(5)?.min(5) as u64,
    };
    let base = arguments.next().map_or_else(|| PathBuf::from("."), PathBuf::from);
    let dir = tempfile::tempdir_in(base)?;

    let metrics = Metrics::register(&Registry::new())?;
    let clock: Arc<dyn Clock> = Arc::new(MonotonicClock(Instant::now()));
    let fail_stop = Arc::new(|error: &bellwire_ingest::log::Error| panic!("{error}"));
    let options = Options {
        config: Config { disk_reserve_bytes: 0, ..Config::default() },
        ..Options::new(dir.path(), clock, fail_stop, metrics.clone())
    };
    let log: Arc<dyn Log> = Arc::new(LocalLog::open(options)?);

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build()?;
    let (begun, cpu_begun) = (Instant::now(), cpu_seconds());
    let latencies = runtime.block_on(run(&log, load));
    let (seconds, cpu) = (begun.elapsed().as_secs_f64(), cpu_seconds() - cpu_begun);
    log.close();
    report(load, &metrics, latencies, seconds, cpu);
    Ok(())
}

/// Lets producers append for the load's time, and gives every entry's time to its receipt.
async fn run(log: &Arc<dyn Log>, load: Load) -> Vec<Duration> {
    let stop = Arc::new(AtomicBool::new(false));
    let tracker = tokio_util::task::TaskTracker::new();
    let producers: Vec<_> = (0..load.n_producers)
        .map(|n| tracker.spawn(produce(Arc::clone(log), n, load, Arc::clone(&stop))))
        .collect();
    // The timer needs a driver that this runtime has not: a thread waits instead.
    let timer = Arc::clone(&stop);
    let seconds = Duration::from_secs(load.seconds);
    let waiter = std::thread::spawn(move || {
        std::thread::park_timeout(seconds);
        timer.store(true, Ordering::Relaxed);
    });
    let mut latencies = Vec::new();
    for producer in producers {
        latencies.extend(producer.await.unwrap_or_default());
    }
    // It has only set a flag.
    let _ = waiter.join();
    latencies
}

/// Keeps `in_flight` entries of one client under way.
async fn produce(log: Arc<dyn Log>, n: usize, load: Load, stop: Arc<AtomicBool>) -> Vec<Duration> {
    let client = ClientId::new(&format!("client-{n}")).expect("a valid name");
    let room = Arc::new(tokio::sync::Semaphore::new(load.in_flight));
    let latencies = Arc::new(Mutex::new(Vec::with_capacity(1 << 16)));
    let batch = batch(load);
    while !stop.load(Ordering::Relaxed) {
        let permit = Arc::clone(&room).acquire_owned().await.expect("never closed");
        let (begun, times) = (Instant::now(), Arc::clone(&latencies));
        let receipt = Receipt::new(move |_| {
            times.lock().expect("no panic").push(begun.elapsed());
            drop(permit);
        });
        let delivery = Delivery {
            client: client.clone(),
            publishes: batch.clone(),
            session: Vec::new(),
            receipt,
        };
        if let Err(entry) = log.try_append(Entry::publishes(delivery)) {
            log.append(entry).await;
        }
    }
    let all = u32::try_from(load.in_flight).expect("few");
    let _settled = room.acquire_many(all).await.expect("never closed");
    std::mem::take(&mut *latencies.lock().expect("no panic"))
}

fn batch(load: Load) -> PublishBatch {
    const TOPIC: &str = "devices/freezer-000017/telemetry";
    let payload = "x".repeat(load.publish_bytes - TOPIC.len());
    let mut batch = PublishBatch::default();
    for packet_id in 1..=load.publishes_per_entry {
        batch.push(&PublishRef {
            topic: TOPIC,
            payload: payload.as_bytes(),
            qos: QoS::AtLeastOnce,
            dup: false,
            retain: false,
            packet_id: packet_id as u16,
        });
    }
    batch
}

/// User and system time of this process.
fn cpu_seconds() -> f64 {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: `usage` is writable and lives through the call.
    let failed = unsafe { libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) } != 0;
    assert!(!failed, "getrusage does not fail for oneself");
    // SAFETY: a plain struct of integers, zeroed before and filled by the successful call.
    let usage = unsafe { usage.assume_init() };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

fn report(load: Load, metrics: &Metrics, mut latencies: Vec<Duration>, seconds: f64, cpu: f64) {
    latencies.sort();
    let percentile = |hundredths: usize| {
        let index = (latencies.len() * hundredths / 10_000).min(latencies.len() - 1);
        latencies[index].as_secs_f64() * 1000.0
    };
    let publishes = metrics.publishes.get() as f64;
    let (n_groups, n_syncs) =
        (metrics.group_records.get_sample_count(), metrics.sync_seconds.get_sample_count());
    println!(
        "{} producers x {} in flight, {} publishes of {} bytes per entry",
        load.n_producers, load.in_flight, load.publishes_per_entry, load.publish_bytes
    );
    println!(
        "  {:.0} publishes/s, {:.0} entries/s, {:.1} MB/s, {:.3} CPU-s per million publishes",
        publishes / seconds,
        latencies.len() as f64 / seconds,
        metrics.bytes.get() as f64 / seconds / 1e6,
        cpu / publishes * 1e6
    );
    println!(
        "  ack p50 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms",
        percentile(5_000),
        percentile(9_900),
        percentile(9_990)
    );
    println!(
        "  {n_groups} groups of {:.1} entries; fdatasync mean {:.2} ms, p50 < {:.2} ms, p99 < {:.2} ms",
        metrics.group_records.get_sample_sum() / n_groups as f64,
        metrics.sync_seconds.get_sample_sum() / n_syncs as f64 * 1000.0,
        bucket_of(&metrics.sync_seconds, 0.5) * 1000.0,
        bucket_of(&metrics.sync_seconds, 0.99) * 1000.0
    );
}

/// The upper bound of the bucket in which the quantile lies.
fn bucket_of(histogram: &prometheus::Histogram, quantile: f64) -> f64 {
    use prometheus::core::Metric;
    let metric = histogram.metric();
    let histogram = metric.get_histogram();
    let wanted = (histogram.get_sample_count() as f64 * quantile).ceil() as u64;
    let buckets = histogram.get_bucket().iter();
    let bucket = buckets.into_iter().find(|bucket| bucket.cumulative_count() >= wanted);
    bucket.map_or(f64::INFINITY, prometheus::proto::Bucket::upper_bound)
}
