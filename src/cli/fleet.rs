//! `bellwire fleet`: simulates devices over real MQTT and proves that nothing acknowledged is
//! missing.

use std::path::PathBuf;
use std::time::Duration;

use bellwire_fleet::{
    AckLog, Bound, Driver, Faults, FleetConfig, FleetReport, Protocol, ReplayConfig, Surroundings,
};
use bellwire_model::{DeviceId, MetricName, QoS};
use clap::{Args, Subcommand, ValueEnum};
use tokio_util::sync::CancellationToken;

use super::{EXIT_FAILURE, EXIT_OK, Failure};
use crate::clock::SystemClock;
use crate::measure::Quantiles;
use crate::{logging, runtime};

/// How long verification waits for readings on their way to the database.
const VERIFY_PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Args)]
pub(super) struct FleetArgs {
    #[command(subcommand)]
    command: FleetCommand,
}

#[derive(Debug, Subcommand)]
enum FleetCommand {
    /// Publish as many simulated devices
    Run(Box<RunArgs>),
    /// Publish a recording (CSV with `timestamp,value`, times in UTC) as one device
    Replay(ReplayArgs),
    /// Hold a log of acknowledgements against the database
    Verify(VerifyArgs),
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum DriverArg {
    /// Our own encoder: cheap, resends with DUP
    Raw,
    /// The client library rumqttc
    Rumqttc,
}

#[derive(Debug, Args)]
struct RunArgs {
    /// Where MQTT listens
    #[arg(long, default_value = "127.0.0.1:1883", value_name = "ADDRESS")]
    mqtt: String,
    /// How many devices
    #[arg(long, default_value_t = 100)]
    devices: u32,
    /// TCP connections; with fewer than devices each publishes for several
    #[arg(long, default_value_t = 100)]
    connections: u32,
    /// What device names begin with
    #[arg(long, default_value = "device")]
    prefix: String,
    /// Who speaks MQTT for the devices
    #[arg(long, value_enum, default_value = "raw")]
    driver: DriverArg,
    /// Speak MQTT 5 instead of 3.1.1
    #[arg(long)]
    v5: bool,
    /// Quality of service, 0 or 1
    #[arg(long, default_value_t = 1)]
    qos: u8,
    /// Publishes per second of all devices together; 0 is as fast as they are acknowledged
    #[arg(long, default_value_t = 1_000.0)]
    rate: f64,
    /// Publishes on their way per connection
    #[arg(long, default_value_t = 32)]
    in_flight: u16,
    /// Seconds to run
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// What chance is made of: the same seed gives the same run
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The first `n` of each device; a second run against the same database needs a later one
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// Chance per publish that the connection is cut behind it
    #[arg(long, default_value_t = 0.0)]
    cut: f64,
    /// Chance per publish that the same payload is published again
    #[arg(long, default_value_t = 0.0)]
    repeat: f64,
    /// Chance per publish that an unreadable one comes before it
    #[arg(long, default_value_t = 0.0)]
    bad: f64,
    /// Each device's clock is off by up to so many seconds
    #[arg(long, default_value_t = 0.0)]
    skew: f64,
    /// Write what was acknowledged to this file
    #[arg(long, value_name = "FILE")]
    acks: Option<PathBuf>,
    /// Check against this database when done (a postgres:// URL)
    #[arg(long, value_name = "URL")]
    verify: Option<String>,
}

#[derive(Debug, Args)]
struct ReplayArgs {
    /// The recording
    #[arg(value_name = "CSV")]
    file: PathBuf,
    /// Who publishes it
    #[arg(long, default_value = "machine")]
    device: String,
    /// What the values measure
    #[arg(long, default_value = "temperature")]
    metric: String,
    /// Where MQTT listens
    #[arg(long, default_value = "127.0.0.1:1883", value_name = "ADDRESS")]
    mqtt: String,
    /// How many times faster than recorded; 0 is as fast as acknowledged
    #[arg(long, default_value_t = 0.0)]
    speed: f64,
}

#[derive(Debug, Args)]
struct VerifyArgs {
    /// What was acknowledged
    #[arg(value_name = "FILE")]
    acks: PathBuf,
    /// The database (a postgres:// URL)
    #[arg(long, value_name = "URL")]
    database: String,
}

pub(super) fn run(args: &FleetArgs) -> Result<u8, Failure> {
    logging::start("info")?;
    runtime::multi_thread()?.block_on(async {
        match &args.command {
            FleetCommand::Run(args) => publish(args).await,
            FleetCommand::Replay(args) => replay(args).await,
            FleetCommand::Verify(args) => verify(&args.database, &AckLog::load(&args.acks)?).await,
        }
    })
}

fn surroundings() -> Surroundings {
    Surroundings::new(SystemClock::shared(), CancellationToken::new())
}

async fn publish(args: &RunArgs) -> Result<u8, Failure> {
    let qos = match args.qos {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        other => return Err(anyhow::anyhow!("--qos {other}: must be 0 or 1").into()),
    };
    let config = FleetConfig {
        address: args.mqtt.clone(),
        devices: args.devices,
        connections: args.connections,
        prefix: args.prefix.clone(),
        driver: match args.driver {
            DriverArg::Raw => Driver::Raw,
            DriverArg::Rumqttc => Driver::Rumqttc,
        },
        protocol: if args.v5 { Protocol::V5 } else { Protocol::V4 },
        qos,
        rate: (args.rate > 0.0).then_some(args.rate),
        in_flight: args.in_flight,
        bound: Bound::Duration(Duration::try_from_secs_f64(args.seconds)?),
        seed: args.seed,
        n_first: args.first,
        faults: Faults {
            reconnect: args.cut,
            duplicate: args.repeat,
            bad_payload: args.bad,
            clock_skew: Duration::try_from_secs_f64(args.skew)?,
        },
        ..FleetConfig::default()
    };
    let report = bellwire_fleet::run(config, surroundings()).await?;
    tell(&report);
    if let Some(path) = &args.acks {
        report.acks.save(path)?;
    }
    match &args.verify {
        Some(url) => verify(url, &report.acks).await,
        None => Ok(EXIT_OK),
    }
}

async fn replay(args: &ReplayArgs) -> Result<u8, Failure> {
    let (device, metric) = (DeviceId::new(&args.device)?, MetricName::new(&args.metric)?);
    let mut config = ReplayConfig::new(args.file.clone(), device, metric, args.mqtt.clone());
    config.speed = (args.speed > 0.0).then_some(args.speed);
    tell(&bellwire_fleet::replay_csv(config, surroundings()).await?);
    Ok(EXIT_OK)
}

fn tell(report: &FleetReport) {
    let progress = &report.progress;
    let seconds = progress.elapsed.as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = progress.acknowledged as f64 / seconds.max(1e-9);
    println!(
        "{} published, {} acknowledged in {seconds:.1} s ({rate:.0}/s), {} resent, {} reconnects",
        progress.published, progress.acknowledged, progress.resent, progress.reconnects
    );
    if let Some(Quantiles { p50, p99 }) = Quantiles::of(&report.ack_latency) {
        println!("acknowledged after {p50:.2} ms (p50), {p99:.2} ms (p99)");
    }
}

async fn verify(url: &str, acks: &AckLog) -> Result<u8, Failure> {
    let report = bellwire_fleet::verify_within(url, acks, VERIFY_PATIENCE).await?;
    println!("{report}");
    Ok(if report.is_exact() { EXIT_OK } else { EXIT_FAILURE })
}
