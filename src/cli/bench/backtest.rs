//! `bellwire bench backtest`: a month of a fleet's history judged by the engine alone, read from the
//! database alone, and both together.

use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bellwire_alerts::RuleSet;
use bellwire_model::{DeviceId, MetricName, Names, Reading, Timestamp, Value};
use bellwire_store::{Config, Database, Metrics, Wanted, testing};
use clap::Args;
use prometheus::Registry;
use tokio::runtime::Runtime;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::super::{EXIT_OK, Failure};
use crate::backtest::stored::{self, Limits, Said};
use crate::backtest::trial::{Rules, Trial};
use crate::backtest::words::{count, thousands};
use crate::clock::SystemClock;
use crate::runtime;

#[derive(Debug, Args)]
pub(super) struct BacktestArgs {
    /// Devices, each with a reading a minute
    #[arg(long, default_value_t = 1_000)]
    devices: u32,
    /// Days of history
    #[arg(long, default_value_t = 30)]
    days: u32,
}

const DAY_MICROS: i64 = 86_400_000_000;

const RULE: &str = "
[[rule]]
name = \"freezer-too-warm\"
when = \"temperature > limit\"
clear = \"temperature < limit - 2\"
for = \"10m\"
keep_firing_for = \"5m\"
severity = \"critical\"
params = { limit = -15 }
";

pub(super) fn run(args: &BacktestArgs) -> Result<u8, Failure> {
    let dir = std::env::temp_dir().join(format!("bellwire-bench-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    // PostgreSQL may run as another user.
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o711))?;
    let runtime = runtime::single_thread()?;
    let measured = measure(args, &dir, &runtime);
    std::fs::remove_dir_all(&dir).context("cannot remove the bench's folder")?;
    measured?;
    Ok(EXIT_OK)
}

fn measure(args: &BacktestArgs, dir: &Path, runtime: &Runtime) -> anyhow::Result<()> {
    let metrics = Metrics::register(&Registry::new())?;
    let database = Database::new(Config::default(), dir, TaskTracker::new(), metrics)?;
    runtime.block_on(database.ensure_running())?;
    let measured = measure_on(args, &database, runtime);
    runtime.block_on(database.stop())?;
    measured
}

fn measure_on(args: &BacktestArgs, database: &Database, runtime: &Runtime) -> anyhow::Result<()> {
    runtime.block_on(database.migrate())?;
    // Whole days, up to now: what is far older than the database lies together, and is slow to read.
    let midnight = SystemClock::shared().now().as_micros() / DAY_MICROS * DAY_MICROS;
    let from = Timestamp::from_micros(midnight - i64::from(args.days) * DAY_MICROS);
    let started = Instant::now();
    let n_readings = runtime.block_on(testing::fill(database, args.devices, from, args.days))?;
    println!(
        "{}, {}, one reading a minute: {} (stored in {:.0} s)",
        count(args.devices.into(), "device"),
        count(args.days.into(), "day"),
        count(n_readings, "reading"),
        started.elapsed().as_secs_f64()
    );
    engine_alone(args, from)?;
    let started = Instant::now();
    let n_read = runtime.block_on(read_all(database))?;
    say("read and put in order, not judged", n_read, started.elapsed());
    whole("read and judged by one rule", runtime, database, None)?;
    let other = RULE.replace("-15", "-16").replace("10m", "5m");
    whole("the same, and compared with another version", runtime, database, Some(&other))
}

fn say(what: &str, n_readings: u64, took: Duration) {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate for a person"
    )]
    let rate = (n_readings as f64 / took.as_secs_f64()) as u64;
    println!("{what:46} {:7.1} s  {:>12} readings/s", took.as_secs_f64(), thousands(rate));
}

fn rules(text: &str) -> anyhow::Result<Arc<RuleSet>> {
    let rules = RuleSet::parse(text).map_err(|errors| anyhow::anyhow!(errors[0].to_string()))?;
    Ok(Arc::new(rules))
}

fn tried(against: Option<&str>) -> anyhow::Result<Rules> {
    let running = against.map(rules).transpose()?;
    let registry = bellwire_model::Registry::default();
    Ok(Rules { tried: rules(RULE)?, running, registry, flap_within: Duration::from_mins(5) })
}

/// Two days of the same fleet, in memory beforehand.
fn engine_alone(args: &BacktestArgs, from: Timestamp) -> anyhow::Result<()> {
    let mut names = Names::default();
    let metric = names.add_metric(&MetricName::new("temperature")?).context("the first metric")?;
    let mut keys = Vec::new();
    for n in 1..=args.devices {
        keys.push(names.add_device(&DeviceId::new(&format!("device-{n}"))?).context("too many")?);
    }
    let minutes = (0..2 * 1_440_u32).flat_map(|minute| keys.iter().map(move |key| (minute, *key)));
    let readings: Vec<_> = minutes
        .map(|(minute, device)| {
            let at = from + Duration::from_secs(u64::from(minute) * 60);
            let n = minute * 7 + device.0;
            let warm = (minute + device.0 * 37) % 20_000 < 60;
            let value = if warm { -5.0 } else { f64::from(n % 40).mul_add(0.1, -20.0) };
            Reading { device, metric, at, value: Value::Number(value) }
        })
        .collect();
    let mut trial = Trial::new(&tried(None)?.in_order()?);
    let started = Instant::now();
    trial.observe_all(&readings, &names, &mut |_| anyhow::Ok(()))?;
    say("the engine alone, one rule", readings.len() as u64, started.elapsed());
    Ok(())
}

async fn read_all(database: &Database) -> anyhow::Result<u64> {
    let mut replay = database.replay(&Wanted::default()).await?;
    let mut n_read = 0;
    while let Some(stretch) = replay.next().await? {
        n_read += stretch.in_order().len() as u64;
    }
    Ok(n_read)
}

/// A backtest as the command line does it.
fn whole(
    what: &str,
    runtime: &Runtime,
    database: &Database,
    against: Option<&str>,
) -> anyhow::Result<()> {
    let limits = Limits { wanted: Wanted::default(), readings_max: u64::MAX, time_max: None };
    let mut n_transitions = 0;
    let started = Instant::now();
    let outcome = stored::run(runtime, database, &tried(against)?, limits, |said| {
        n_transitions += u64::from(matches!(said, Said::Transition(_)));
        ControlFlow::Continue(())
    })?;
    say(what, outcome.n_readings, started.elapsed());
    println!(
        "  {} of {}",
        count(n_transitions, "transition"),
        count(outcome.tried.episodes.len() as u64, "alert")
    );
    Ok(())
}
