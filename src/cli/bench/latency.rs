//! `bellwire bench latency`: from a device's publish to its alert on operators' screens, by a client
//! outside and by the service's own count, in steps; beside fdatasync and the machine's own lateness.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bellwire_fleet::bench::time_fdatasync;
use bellwire_fleet::{
    FleetConfig, FleetReport, Histogram, ProbeConfig, PublishedLog, Surroundings,
};
use clap::Args;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::super::{EXIT_FAILURE, EXIT_OK, Failure};
use super::{Load, RULES, around, check, on_thread, print_cpu, print_line};
use crate::clock::SystemClock;
use crate::measure::Quantiles;
use crate::measure::child::{CpuTimes, Service};
use crate::measure::scrape::Scrape;
use crate::measure::screen::{self, STEPS, Seen, SharedSeen};
use crate::runtime;

/// From one probe to the next, and from one fdatasync beside it to the next: both find the same
/// disk, each moment counted alike, however long it lasts.
const PULSE: Duration = Duration::from_millis(20);
/// What the thread that measures lateness sleeps.
const NAP: Duration = Duration::from_millis(1);

#[derive(Debug, Args)]
pub(super) struct LatencyArgs {
    #[command(flatten)]
    steady: Steady,
    /// For how long: of the 50 probes of a second half a one is above the 99th percentile
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Connections that publish
    #[arg(long, default_value_t = 100)]
    connections: u32,
}

/// What goes on while latency is measured.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Steady {
    /// Publishes per second of the part that measures latency
    #[arg(long, default_value_t = 5_000.0)]
    pub(super) rate: f64,
    /// Operators' screens of the part that measures latency
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    operators: u32,
}

pub(super) fn run(args: &LatencyArgs) -> Result<u8, Failure> {
    let load = Load { seconds: args.seconds, connections: args.connections, in_flight: 32 };
    runtime::single_thread()?.block_on(async {
        let service = Service::start(RULES).await?;
        let measured = measure(load, args.steady, &service).await;
        let exact = service.stop_after(measured).await?;
        Ok(if exact { EXIT_OK } else { EXIT_FAILURE })
    })
}

/// What was found.
struct Found {
    report: FleetReport,
    seen: Seen,
    /// fdatasync in the service's folder.
    syncs: Histogram,
    /// How late a thread woke that did nothing but sleep.
    late: Histogram,
    cpu: [CpuTimes; 2],
    own: [Scrape; 2],
}

/// A steady rate beside which a probe crosses a rule's threshold and operators' screens watch;
/// whether nothing was lost.
pub(super) async fn measure(load: Load, steady: Steady, service: &Service) -> anyhow::Result<bool> {
    let found = watch_steady(load, steady, service).await?;
    println!(
        "steady: {} publishes/s, three metrics, a probe 50 times a second, {} operators",
        steady.rate, steady.operators
    );
    let since = |name: &str| found.own[1].quantiles_since(&found.own[0], name);
    print_cpu(&found.cpu[0], &found.cpu[1], found.report.progress.acknowledged);
    print_line("acknowledged after", Quantiles::of(&found.report.ack_latency));
    print_line("stored after", since("bellwire_stored_latency_seconds"));
    let outside = Quantiles::of(&found.seen.latency);
    print_line("on the screens after", outside);
    for (step, took) in STEPS.iter().zip(&found.seen.steps) {
        print_line(&format!("  … {step}"), Quantiles::of(took));
    }
    let own = since("bellwire_live_delivery_seconds");
    print_line("its own count: handed over", since("bellwire_live_latency_seconds"));
    print_line("its own count: delivered", own);
    print_line("the log's own fdatasync", since("bellwire_log_sync_seconds"));
    print_line("fdatasync beside it", Quantiles::of(&found.syncs));
    print_line("an idle thread is late by", Quantiles::of(&found.late));
    if let Some(sync) = Quantiles::of(&found.syncs) {
        let bound = 2.0 * sync.p99 + 3.0;
        println!("  objective                   p99 of 2 × fdatasync p99 + 3 = {bound:.2} ms");
        for (who, quantiles) in [("outside", outside), ("its own count", own)] {
            let Some(Quantiles { p99, .. }) = quantiles else { continue };
            let verdict = if p99 <= bound { "kept" } else { "missed" };
            println!("    {who:25} {verdict}: {p99:.2} ms");
        }
    }
    check(service, &found.report).await
}

async fn watch_steady(load: Load, steady: Steady, service: &Service) -> anyhow::Result<Found> {
    let config = FleetConfig {
        prefix: "steady".to_owned(),
        rate: Some(steady.rate),
        ..load.at(&service.mqtt)
    };
    let (stop, published, seen) =
        (CancellationToken::new(), Arc::new(PublishedLog::default()), SharedSeen::default());
    let watching = {
        let (http, published, seen) = (service.http.clone(), Arc::clone(&published), seen.clone());
        let (stop, n) = (stop.clone(), steady.operators);
        on_thread("operators", async move || watch_all(n, &http, &published, &seen, &stop).await)?
    };
    let lateness = {
        let stop = stop.clone();
        on_thread("lateness", async move || Ok(sleep_beside(&stop)))?
    };
    let probe_around = Surroundings {
        published: Some(published),
        ..Surroundings::new(SystemClock::shared(), stop.clone())
    };
    let probe = ProbeConfig { interval: PULSE, ..ProbeConfig::new(service.mqtt.clone()) };
    let probing = async { anyhow::Ok(bellwire_fleet::probe(probe, probe_around).await) };
    let syncing = sync_beside(service, stop.clone());
    let before = (service.cpu()?, Scrape::take(&service.http).await?);
    let loading = async {
        let report = bellwire_fleet::run(config, around()).await?;
        stop.cancel();
        anyhow::Ok(report)
    };
    let (report, (), _, syncs, late) =
        tokio::try_join!(loading, watching, probing, syncing, lateness)?;
    let after = (service.cpu()?, Scrape::take(&service.http).await?);
    let (cpu, own) = ([before.0, after.0], [before.1, after.1]);
    Ok(Found { report, seen: seen.get(), syncs, late, cpu, own })
}

/// Has so many screens watch until `stop`; all of them note what they see in one place.
async fn watch_all(
    n_operators: u32,
    address: &str,
    published: &Arc<PublishedLog>,
    seen: &SharedSeen,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let watch = |_| {
        let published = Arc::clone(published);
        screen::watch(address, published, seen.clone(), || {}, stop.clone())
    };
    futures_util::future::try_join_all((0..n_operators).map(watch)).await.map(drop)
}

/// Times fdatasync in the same folder while the service works.
async fn sync_beside(service: &Service, stop: CancellationToken) -> anyhow::Result<Histogram> {
    let mut all = Histogram::default();
    let dir = service.data_dir();
    while !stop.is_cancelled() {
        let next = Instant::now() + PULSE;
        let dir = dir.clone();
        let one = tokio::task::spawn_blocking(move || time_fdatasync(&dir, 1));
        all.merge(&one.await.context("the sampler ended badly")??);
        tokio::select! {
            () = stop.cancelled() => {}
            () = sleep_until(next) => {}
        }
    }
    Ok(all)
}

/// How late a thread wakes that has nothing to do but sleep: what no process on this machine can be
/// better than.
fn sleep_beside(stop: &CancellationToken) -> Histogram {
    let mut all = Histogram::default();
    while !stop.is_cancelled() {
        let due = Instant::now() + NAP;
        std::thread::sleep(NAP);
        all.record(due.elapsed());
    }
    all
}
