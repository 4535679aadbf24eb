//! `bellwire bench`: rate, CPU cost and latency of the whole service on this machine, each beside
//! something measured in the same run.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{anyhow, bail};
use bellwire_fleet::bench::cpu_time;
use bellwire_fleet::{Bound, FleetConfig, FleetReport, Histogram, Surroundings};
use clap::{Args, Subcommand};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{EXIT_FAILURE, EXIT_OK, Failure};
use crate::clock::SystemClock;
use crate::measure::Quantiles;
use crate::measure::child::{CpuTimes, Service};
use crate::measure::mosquitto::Mosquitto;
use crate::measure::scrape::{self, Scrape};
use crate::{logging, open_files, runtime};

/// How long verification waits for readings on their way to the database.
const SETTLE: Duration = Duration::from_secs(120);

mod backtest;
mod brokers;
mod connections;
mod latency;
mod storm;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct BenchArgs {
    #[command(subcommand)]
    part: Option<Part>,
    #[command(flatten)]
    load: Load,
    #[command(flatten)]
    steady: latency::Steady,
    /// Devices of the part that asks for the latest readings of all; 0 leaves it out
    #[arg(long, default_value_t = 10_000)]
    devices: u32,
}

/// How much at once, and for how long.
#[derive(Clone, Copy, Debug, Args)]
struct Load {
    /// Seconds of each part
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Connections that publish
    #[arg(long, default_value_t = 100)]
    connections: u32,
    /// Publishes on their way per connection
    #[arg(long, default_value_t = 32)]
    in_flight: u16,
}

impl Load {
    /// Of as many devices as there are connections, as fast as whoever listens there acknowledges.
    fn at(self, address: &str) -> FleetConfig {
        FleetConfig {
            address: address.to_owned(),
            devices: self.connections,
            connections: self.connections,
            prefix: "load".to_owned(),
            rate: None,
            in_flight: self.in_flight,
            bound: Bound::Duration(Duration::from_secs(self.seconds)),
            ..FleetConfig::default()
        }
    }
}

/// What is measured apart from the whole service's journey.
#[derive(Debug, Subcommand)]
enum Part {
    /// What an idle connection costs, and how fast clients come in, beside other brokers
    Connections(connections::ConnectionsArgs),
    /// Clients that reconnect all at once, and what others notice of it
    Storm(storm::StormArgs),
    /// The cost of acknowledging a publish durably, beside other brokers
    Brokers(brokers::BrokersArgs),
    /// From a device's publish to its alert on operators' screens, step by step
    Latency(latency::LatencyArgs),
    /// Rules tried on a month of a fleet's history
    Backtest(backtest::BacktestArgs),
}

const RULES: &str = "
[[rule]]
name = \"probe\"
when = \"probe > 0\"
severity = \"info\"
select = \"device = 'probe-01'\"

[[rule]]
name = \"hot\"
when = \"temperature > 1000\"
severity = \"info\"
";

pub(super) fn run(args: &BenchArgs) -> Result<u8, Failure> {
    logging::start("warn")?;
    open_files::raise()?;
    match &args.part {
        None => {}
        Some(Part::Connections(args)) => return connections::run(args),
        Some(Part::Storm(args)) => return storm::run(args),
        Some(Part::Brokers(args)) => return brokers::run(args),
        Some(Part::Latency(args)) => return latency::run(args),
        Some(Part::Backtest(args)) => return backtest::run(args),
    }
    // One thread: the generator shall cost the service as little as it can.
    runtime::single_thread()?.block_on(async {
        let service = Service::start(RULES).await?;
        let measured = journey(args, &service).await;
        let (exact, ours) = service.stop_after(measured).await?;
        on_mosquitto(async |subject| yardstick(args.load, ours, subject).await).await?;
        Ok(if exact { EXIT_OK } else { EXIT_FAILURE })
    })
}

/// Every part of the whole service's journey; whether nothing was lost, and what it cost.
async fn journey(args: &BenchArgs, service: &Service) -> anyhow::Result<(bool, Saturated)> {
    let (exact, ours) = saturate(args, service).await?;
    let exact = latency::measure(args.load, args.steady, service).await? && exact;
    let exact = latest(args, service).await? && exact;
    Ok((exact, ours))
}

fn around() -> Surroundings {
    Surroundings::new(SystemClock::shared(), CancellationToken::new())
}

/// A broker among those compared, whatever it is.
#[derive(Clone, Copy, Debug)]
struct Subject {
    name: &'static str,
    address: SocketAddr,
    pid: u32,
}

/// What saturation came to.
#[derive(Clone, Copy)]
struct Saturated {
    /// Publishes acknowledged per second.
    rate: f64,
    /// CPU-seconds per million publishes.
    cpu: f64,
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn saturated(report: &FleetReport, elapsed: Duration, cpu: Duration) -> Saturated {
    let n = report.progress.acknowledged as f64;
    Saturated { rate: n / elapsed.as_secs_f64(), cpu: cpu.as_secs_f64() / (n / 1e6) }
}

/// Measures a mosquitto of our own, if it is installed.
async fn on_mosquitto(
    measure: impl AsyncFnOnce(Subject) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let Some(mosquitto) = Mosquitto::start().await? else {
        println!("mosquitto is not installed: nothing to compare with");
        return Ok(());
    };
    let (address, pid) = (mosquitto.address.parse()?, mosquitto.pid()?);
    measure(Subject { name: "mosquitto", address, pid }).await
}

/// The same load on mosquitto, which acknowledges from memory and stores nothing.
async fn yardstick(load: Load, ours: Saturated, subject: Subject) -> anyhow::Result<()> {
    let before = cpu_time(subject.pid)?;
    let report = bellwire_fleet::run(load.at(&subject.address.to_string()), around()).await?;
    let cpu = cpu_time(subject.pid)? - before;
    let theirs = saturated(&report, report.progress.elapsed, cpu);
    println!("mosquitto under the same load: acknowledged from memory, nothing stored");
    println!("  acknowledged                {:.0}/s", theirs.rate);
    println!("  mosquitto                   {:.2} CPU-s per million publishes", theirs.cpu);
    println!(
        "  ours, durable and stored: {:.1} × its rate at {:.2} × its CPU",
        ours.rate / theirs.rate,
        ours.cpu / theirs.cpu
    );
    Ok(())
}

/// Saturates the service; then waits until all of it is stored.
async fn saturate(args: &BenchArgs, service: &Service) -> anyhow::Result<(bool, Saturated)> {
    let config = args.load.at(&service.mqtt);
    let before = (service.cpu()?, Scrape::take(&service.http).await?);
    let begun = Instant::now();
    let report = bellwire_fleet::run(config, around()).await?;
    let acked_after = report.progress.elapsed;
    let lag = Scrape::take(&service.http).await?;
    wait_stored(service, &before.1, report.progress.acknowledged).await?;
    let stored_after = begun.elapsed();
    let cpu = service.cpu()?;
    let after = Scrape::take(&service.http).await?;
    println!(
        "saturated: {} connections × {} on their way, QoS 1, three metrics",
        args.load.connections, args.load.in_flight
    );
    print_rates(&report, acked_after, stored_after);
    print_cpu(&before.0, &cpu, report.progress.acknowledged);
    print_line("acknowledged after", Quantiles::of(&report.ack_latency));
    print_line("stored after", after.quantiles_since(&before.1, "bellwire_stored_latency_seconds"));
    println!(
        "  database behind at the end  {:.1} MB of log",
        lag.sum("bellwire_keep_lag_bytes") / 1e6
    );
    let ours = saturated(&report, stored_after, cpu.service - before.0.service);
    Ok((check(service, &report).await?, ours))
}

#[expect(clippy::cast_precision_loss, reason = "rates for people")]
fn print_rates(report: &FleetReport, acked_after: Duration, stored_after: Duration) {
    let n = report.progress.acknowledged as f64;
    println!("  acknowledged (durable)      {:.0}/s", n / acked_after.as_secs_f64());
    println!("  acknowledged and stored     {:.0}/s", n / stored_after.as_secs_f64());
}

#[expect(clippy::cast_precision_loss, reason = "costs for people")]
fn print_cpu(before: &CpuTimes, after: &CpuTimes, publishes: u64) {
    let per_million = |cpu: Duration| cpu.as_secs_f64() / (publishes as f64 / 1e6);
    println!(
        "  service                     {:.2} CPU-s per million publishes",
        per_million(after.service - before.service)
    );
    println!(
        "  PostgreSQL                  {:.2} CPU-s per million publishes",
        per_million(after.postgres - before.postgres)
    );
}

fn print_line(what: &str, quantiles: Option<Quantiles>) {
    if let Some(Quantiles { p50, p99 }) = quantiles {
        println!("  {what:27} p50 {p50:.2} ms, p99 {p99:.2} ms");
    }
}

/// Waits until as many publishes as this are in the database's account.
async fn wait_stored(service: &Service, before: &Scrape, publishes: u64) -> anyhow::Result<()> {
    let name = "bellwire_stored_latency_seconds_count";
    let until = Instant::now() + SETTLE;
    #[expect(clippy::cast_precision_loss, reason = "far below 2⁵³")]
    let wanted = before.sum(name) + publishes as f64;
    while Scrape::take(&service.http).await?.sum(name) < wanted {
        if Instant::now() > until {
            bail!("not everything was stored within {} s", SETTLE.as_secs());
        }
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

async fn check(service: &Service, report: &FleetReport) -> anyhow::Result<bool> {
    let found = bellwire_fleet::verify_within(&service.database, &report.acks, SETTLE).await?;
    println!("  {found}\n");
    Ok(found.is_exact())
}

/// A large fleet at twice the steady rate, of which all latest readings are asked for again and
/// again: the first time each of its devices has published once.
#[expect(clippy::cast_precision_loss, reason = "bytes for people")]
async fn latest(args: &BenchArgs, service: &Service) -> anyhow::Result<bool> {
    if args.devices == 0 {
        return Ok(true);
    }
    let config = |n_first, bound| FleetConfig {
        devices: args.devices,
        prefix: "large".to_owned(),
        rate: Some(2.0 * args.steady.rate),
        bound,
        n_first,
        ..args.load.at(&service.mqtt)
    };
    let once = config(1, Bound::Messages(args.devices.into()));
    let mut exact = check(service, &bellwire_fleet::run(once, around()).await?).await?;
    let stop = CancellationToken::new();
    let loading = async {
        let for_long = Bound::Duration(Duration::from_secs(args.load.seconds));
        let report = bellwire_fleet::run(config(1_000_000, for_long), around()).await?;
        stop.cancel();
        anyhow::Ok(report)
    };
    let asking = {
        let (http, stop) = (service.http.clone(), stop.clone());
        on_thread("asking", async move || ask_again(&http, "/api/v1/latest", stop).await)?
    };
    let (report, (asked, bytes)) = tokio::try_join!(loading, asking)?;
    println!(
        "latest readings of {} devices, at {} publishes/s",
        args.devices,
        2.0 * args.steady.rate
    );
    println!("  an answer                   {:.1} MB", bytes as f64 / 1e6);
    print_line("answered whole after", Quantiles::of(&asked));
    exact &= check(service, &report).await?;
    Ok(exact)
}

/// Does `work` on a thread of its own: what one measures is not to wait behind the other. Gives what
/// waits for its end.
fn on_thread<T: Send + 'static>(
    name: &str,
    work: impl AsyncFnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<impl Future<Output = anyhow::Result<T>>> {
    let run = move || runtime::single_thread()?.block_on(work());
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(run)?;
    let panicked = format!("the thread `{name}` panicked");
    Ok(async move {
        let joined = tokio::task::spawn_blocking(move || thread.join()).await?;
        joined.map_err(|_| anyhow!(panicked))?
    })
}

/// Times the answers for `path`, one after the other; gives also the length of the last.
async fn ask_again(
    address: &str,
    path: &str,
    stop: CancellationToken,
) -> anyhow::Result<(Histogram, usize)> {
    let (mut all, mut bytes) = (Histogram::default(), 0);
    while !stop.is_cancelled() {
        let begun = Instant::now();
        bytes = scrape::get(address, path).await?.len();
        all.record(begun.elapsed());
        tokio::select! {
            () = stop.cancelled() => {}
            () = sleep(Duration::from_millis(50)) => {}
        }
    }
    Ok((all, bytes))
}
