//! `bellwire demo`: everything embedded, with a fleet of freezers of which one fails.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bellwire_fleet::{
    AckLog, Failure as Breakdown, FleetReport, FreezerConfig, FreezerFleet, Histogram, ProbeConfig,
    PublishedLog, Surroundings,
};
use bellwire_model::DeviceLedger;
use clap::Args;
use serde::Serialize;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{Common, EXIT_FAILURE, EXIT_OK, Failure};
use crate::app::{App, Stopped};
use crate::clock::SystemClock;
use crate::measure::Quantiles;
use crate::measure::scrape::Scrape;
use crate::measure::screen::{self, SharedSeen};
use crate::{logging, runtime};

/// How long the demo waits at its end for readings on their way to the database.
const SETTLE: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    #[command(flatten)]
    common: Common,
    /// How long to run, e.g. 20s or 2m; until Ctrl-C if absent
    #[arg(long, value_parser = parse_duration, value_name = "TIME")]
    duration: Option<Duration>,
    /// Write what was counted and measured to this file (JSON); a probe then measures latency
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// How many freezers
    #[arg(long, default_value_t = 12)]
    freezers: u32,
}

/// Reads `20s`, `500ms`, `2m`, `1h`.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let wrong = || format!("`{text}` is no duration: write 20s, 500ms, 2m or 1h");
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let ms = match unit {
        "ms" => 1,
        "s" | "" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    number.checked_mul(ms).map(Duration::from_millis).ok_or_else(wrong)
}

/// What the demo counted and measured. Durations are milliseconds.
#[derive(Debug, Serialize)]
struct Report {
    published: u64,
    acknowledged: u64,
    received: u64,
    stored: u64,
    duplicate: u64,
    quarantined: u64,
    refused: u64,
    transitions: u64,
    ack_ms: Option<Quantiles>,
    stored_ms: Option<Quantiles>,
    alert_ms: Option<Quantiles>,
}

pub(super) fn run(args: &DemoArgs) -> Result<u8, Failure> {
    logging::start("warn,bellwire=info")?;
    runtime::multi_thread()?.block_on(async {
        let scratch = Scratch::make()?;
        let mut config = args.common.load()?;
        config.insecure = true;
        if config.data_dir.as_os_str().is_empty() {
            config.data_dir = scratch.0.join("data");
        }
        if config.rules.is_none() {
            let rules = scratch.0.join("rules.toml");
            std::fs::write(&rules, include_str!("demo.rules.toml"))?;
            config.rules = Some(rules);
        }
        config.mqtt.listen = config.mqtt.listen.into_iter().map(free_address).collect();
        config.http.listen = free_address(config.http.listen);
        let app = App::start(config).await?;
        show(args, app).await
    })
}

/// The address, or any port of it if the port is taken: a demo should not fail for that.
fn free_address(address: SocketAddr) -> SocketAddr {
    match TcpListener::bind(address) {
        Ok(_) => address,
        Err(_) => SocketAddr::new(address.ip(), 0),
    }
}

/// A folder that goes when the demo ends. Others may enter it: PostgreSQL may be another user.
struct Scratch(PathBuf);

impl Scratch {
    fn make() -> anyhow::Result<Self> {
        let dir = std::env::temp_dir().join(format!("bellwire-demo-{}", std::process::id()));
        std::fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        Ok(Self(dir))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs the fleet against the service until it is time, then takes stock.
async fn show(args: &DemoArgs, mut app: App) -> Result<u8, Failure> {
    let endpoints = app.endpoints().clone();
    let mqtt = endpoints.mqtt.first().context("the fleet speaks plain MQTT: set mqtt.listen")?;
    let (mqtt, http) = (mqtt.to_string(), endpoints.http.to_string());
    greet(args, &mqtt, &http);
    let before = Scrape::take(&http).await?;
    let stop = CancellationToken::new();
    let published = Arc::new(PublishedLog::default());
    let seen = SharedSeen::default();
    let watching = screen::watch(&http, Arc::clone(&published), seen.clone(), || {}, stop.clone());
    let acting = act(args, &mqtt, &published, &stop);
    let failure = tokio::select! {
        failure = app.failed() => Some(failure),
        acted = async { tokio::try_join!(acting, watching) } => {
            let (fleet, ()) = acted?;
            return take_stock(args, app, fleet, &before, &seen).await;
        }
    };
    app.stop().await;
    Err(failure.context("the service failed")?.into())
}

fn greet(args: &DemoArgs, mqtt: &str, http: &str) {
    println!("\n  Console   http://{http}/");
    println!(
        "  MQTT      {mqtt}   (mosquitto_pub -p {} -q 1 -t devices/mine/telemetry -m '{{\"temperature\": 21}}')",
        mqtt.rsplit(':').next().unwrap_or_default()
    );
    println!("  Fleet     {} freezers; freezer-07 is about to fail.", args.freezers);
    match args.duration {
        Some(duration) => println!("  Ends      after {} s.\n", duration.as_secs()),
        None => println!("  Ends      with Ctrl-C.\n"),
    }
}

/// The fleet, and the probe if latency is to be measured, until the time is up or Ctrl-C.
async fn act(
    args: &DemoArgs,
    mqtt: &str,
    published: &Arc<PublishedLog>,
    stop: &CancellationToken,
) -> anyhow::Result<Vec<FleetReport>> {
    let around = || Surroundings {
        published: Some(Arc::clone(published)),
        ..Surroundings::new(SystemClock::shared(), stop.child_token())
    };
    let freezers = FreezerFleet::new(FreezerConfig {
        address: mqtt.to_owned(),
        freezers: args.freezers,
        interval: Duration::from_millis(500),
        failure: (args.freezers > 0).then(|| breakdown(args)),
        ..FreezerConfig::default()
    })?;
    let fleet = async {
        let freezers = freezers.run(around());
        if args.report.is_some() {
            let probe = bellwire_fleet::probe(ProbeConfig::new(mqtt.to_owned()), around());
            let (freezers, probe) = tokio::join!(freezers, probe);
            vec![freezers, probe]
        } else {
            vec![freezers.await]
        }
    };
    let end = async {
        match args.duration {
            Some(duration) => tokio::select! {
                () = sleep(duration) => {}
                interrupted = tokio::signal::ctrl_c() => interrupted?,
            },
            None => tokio::signal::ctrl_c().await?,
        }
        stop.cancel();
        anyhow::Ok(())
    };
    let (fleet, end) = tokio::join!(fleet, end);
    end.map(|()| fleet)
}

/// One freezer fails early enough to be seen, and is repaired.
fn breakdown(args: &DemoArgs) -> Breakdown {
    let freezer = args.freezers.min(7);
    match args.duration {
        // Too warm an eighth of the time constant after the failure: within half the time.
        Some(duration) => Breakdown {
            freezer,
            after: duration / 10,
            warming: duration * 2,
            repair_after: Some(duration / 2),
        },
        None => Breakdown {
            freezer,
            after: Duration::from_secs(10),
            warming: Duration::from_secs(60),
            repair_after: Some(Duration::from_secs(25)),
        },
    }
}

/// Waits for the account to be whole, checks it, and writes the report.
async fn take_stock(
    args: &DemoArgs,
    app: App,
    fleet: Vec<FleetReport>,
    before: &Scrape,
    seen: &SharedSeen,
) -> Result<u8, Failure> {
    let (mut acks, mut ack_latency) = (AckLog::default(), Histogram::default());
    let (mut published, mut acknowledged) = (0, 0);
    for run in fleet {
        published += run.progress.published;
        acknowledged += run.progress.acknowledged;
        ack_latency.merge(&run.ack_latency);
        acks.extend(run.acks);
    }
    let total = settle(&app, acknowledged).await;
    let after = Scrape::take(&app.endpoints().http.to_string()).await?;
    let seen = seen.get();
    let report = Report {
        published,
        acknowledged,
        received: total.received,
        stored: total.stored,
        duplicate: total.duplicate,
        quarantined: total.quarantined,
        refused: total.refused,
        transitions: seen.transitions,
        ack_ms: Quantiles::of(&ack_latency),
        stored_ms: after.quantiles_since(before, "bellwire_stored_latency_seconds"),
        alert_ms: Quantiles::of(&seen.latency),
    };
    let exact = match &app.endpoints().database {
        Some(url) => bellwire_fleet::verify(url, &acks).await?.is_exact(),
        None => true,
    };
    let balances = total.balances() && total.received >= acknowledged && exact;
    let stopped = app.stop().await;
    println!("{}", serde_json::to_string_pretty(&report)?);
    if let Some(path) = &args.report {
        write_report(path, &report)?;
    }
    if !balances {
        eprintln!("bellwire: the account does not balance");
    }
    Ok(if balances && stopped == Stopped::Clean { EXIT_OK } else { EXIT_FAILURE })
}

fn write_report(path: &Path, report: &Report) -> anyhow::Result<()> {
    let text = serde_json::to_vec_pretty(report)?;
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Waits until everything acknowledged is in the account, and gives its sum.
async fn settle(app: &App, acknowledged: u64) -> DeviceLedger {
    let until = Instant::now() + SETTLE;
    loop {
        let total = app.ledger().with(|ledger| ledger.total()).unwrap_or_default();
        if total.received >= acknowledged || Instant::now() > until {
            return total;
        }
        sleep(Duration::from_millis(20)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_their_unit() {
        assert_eq!(parse_duration("20s"), Ok(Duration::from_secs(20)));
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(parse_duration("7"), Ok(Duration::from_secs(7)));
        for wrong in ["", "s", "1.5s", "5 s", "3d"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }
}
