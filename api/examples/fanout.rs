//! What one transition costs: *judge*, which hands it over, and the service, per client that
//! hears it. `cargo run --release -p bellwire-api --example fanout -- 500 100 8` has 500
//! WebSocket clients (in a process of their own) hear 100 transitions a second for 8 seconds.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use bellwire_api::ports::{
    AlertHistory, AlertsQuery, BacktestError, BacktestFuture, BacktestRequest, Backtests,
    BucketRow, BucketsQuery, ChangedBy, DeviceInfo, HealthStatus, Known, LatestReading,
    LatestReadings, NewRule, Page, Place, PortError, PortFuture, QuarantineQuery, Readiness,
    ReadingRow, ReadingsQuery, RuleCheck, RuleDeed, RuleDetail, RuleInfo, RuleTrial, RuleVersion,
    Rules, RulesError, RulesFuture,
};
use bellwire_api::{Api, Config, Health, History, Hub, Metrics, Ports, Present};
use bellwire_model::{
    Alert, AlertId, AlertState, Clock, DeviceId, DeviceKey, DeviceLedger, LogId, LogPosition,
    Quarantined, RuleName, Severity, SharedNames, StageTimes, Timestamp, Transition,
};
use futures_util::StreamExt;
use tokio::time::Instant;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> Outcome {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |n: usize, default: u64| -> Result<u64, std::num::ParseIntError> {
        args.get(n).map_or(Ok(default), |text| text.parse())
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if args.first().is_some_and(|first| first == "listen") {
        let addr = args.get(1).ok_or("an address")?.parse()?;
        return runtime.block_on(listen(addr, number(2, 1)?, number(3, 1)?));
    }
    runtime.block_on(serve(number(0, 500)?, number(1, 100)?, number(2, 8)?))
}

/// Serves `n_clients`, `per_second` transitions for `secs` seconds, and says what it cost.
async fn serve(n_clients: u64, per_second: u64, secs: u64) -> Outcome {
    let registry = prometheus::Registry::new();
    let config = Config { listen: ([127, 0, 0, 1], 0).into(), ..Config::default() };
    let names = SharedNames::default();
    let clock: Arc<dyn Clock> = Arc::new(Nothing);
    let metrics = Metrics::register(&registry)?;
    let hub = Hub::new(LogId(1), config.live.clone(), names, Arc::clone(&clock), metrics);
    hub.set_snapshot(LogPosition(1), []);
    let nothing = Arc::new(Nothing);
    let ports = Ports {
        present: Arc::clone(&nothing) as _,
        history: Arc::clone(&nothing) as _,
        health: Arc::clone(&nothing) as _,
        backtests: Arc::clone(&nothing) as _,
        rules: Arc::clone(&nothing) as _,
        telemetry: nothing,
        registry: Arc::new(()),
    };
    let (tracker, shutdown) = (TaskTracker::new(), CancellationToken::new());
    let api = Api::bind(config, ports, Arc::clone(&hub), registry, clock, tracker.clone()).await?;
    let addr = api.local_addr();
    tracker.spawn(api.run(shutdown.clone()));

    let start = Instant::now();
    for n in 0..10_000 {
        hub.transition(&transition(n + 1), StageTimes::default());
    }
    println!("judge alone: {:.2} µs a transition", start.elapsed().as_secs_f64() * 1e6 / 1e4);
    // The clients must hear none of these.
    tokio::time::sleep(Duration::from_secs(1)).await;

    let n_transitions = per_second * secs;
    let mut clients = Command::new(std::env::current_exe()?)
        .args(["listen", &addr.to_string(), &n_clients.to_string(), &n_transitions.to_string()])
        .spawn()?;
    while (hub.n_clients() as u64) < n_clients {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let (cpu_start, start) = (cpu_ticks()?, Instant::now());
    let mut judge = Duration::ZERO;
    for n in 0..n_transitions {
        let due = start + Duration::from_micros(n * 1_000_000 / per_second);
        tokio::time::sleep_until(due).await;
        let it = transition(n + 20_000);
        let before = Instant::now();
        hub.transition(&it, StageTimes::default());
        judge += before.elapsed();
    }
    let heard = tokio::task::spawn_blocking(move || clients.wait()).await??;
    let cpu_us = (cpu_ticks()? - cpu_start) * 10_000;
    let n_deliveries = n_clients * n_transitions;
    println!(
        "{n_deliveries} deliveries ({heard}): {:.2} CPU-µs each; judge waited {:.2} µs a transition",
        cpu_us as f64 / n_deliveries as f64,
        judge.as_secs_f64() * 1e6 / n_transitions as f64,
    );
    let start = Instant::now();
    let n_wanted = (0..10_000_000).filter(|n| hub.wants(DeviceKey(n % 1_000))).count();
    println!("wants: {:.2} ns ({n_wanted})", start.elapsed().as_secs_f64() * 1e9 / 1e7);
    shutdown.cancel();
    tracker.close();
    tracker.wait().await;
    Ok(())
}

/// `n_clients` that each hear `n_transitions`.
async fn listen(addr: SocketAddr, n_clients: u64, n_transitions: u64) -> Outcome {
    let tracker = TaskTracker::new();
    for _ in 0..n_clients {
        let (mut socket, _) = connect_async(format!("ws://{addr}/api/v1/live")).await?;
        tracker.spawn(async move {
            let mut n_heard = 0;
            while n_heard < n_transitions {
                match socket.next().await {
                    Some(Ok(Message::Text(text))) if text.contains("\"transition\"") => {
                        n_heard += 1
                    }
                    Some(Ok(_)) => {}
                    _ => std::process::exit(1),
                }
            }
        });
    }
    tracker.close();
    tracker.wait().await;
    Ok(())
}

/// User and system time of this process so far, in ticks of 10 ms.
fn cpu_ticks() -> Result<u64, Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let behind_name = stat.rsplit_once(") ").ok_or("an unknown format")?.1;
    let fields: Vec<&str> = behind_name.split(' ').collect();
    Ok(fields[11].parse::<u64>()? + fields[12].parse::<u64>()?)
}

fn transition(position: u64) -> Transition {
    let at = Timestamp::from_secs(1_700_000_000);
    let alert = Alert {
        id: AlertId(position % 100),
        rule: RuleName::new("too-warm").expect("valid"),
        device: bellwire_model::Target::new("freezer-1").expect("valid"),
        severity: Severity::Critical,
        state: AlertState::Firing,
        since: at,
        fired_at: Some(at),
        resolved_at: None,
        value: Some(-3.5),
        summary: "freezer-1 is at -3.5 °C".to_owned(),
    };
    Transition {
        position: LogPosition(position),
        ordinal: 0,
        alert,
        from: AlertState::Inactive,
        to: AlertState::Firing,
        at,
        received_at: at,
        rule_version: 1,
        reason: "temperature > -15 held for 2m".into(),
        correction: None,
        historical: false,
    }
}

/// Knows nothing; for it the time stands still.
#[derive(Debug)]
struct Nothing;

impl Clock for Nothing {
    fn now(&self) -> Timestamp {
        Timestamp::EPOCH
    }
}

impl Backtests for Nothing {
    fn begin(&self, _: BacktestRequest) -> BacktestFuture<'_> {
        Box::pin(std::future::ready(Err(BacktestError::Busy)))
    }
}

impl bellwire_api::ports::Telemetry for Nothing {
    fn take(&self, _: bellwire_api::ports::Posts) -> bellwire_api::ports::TelemetryFuture<'_> {
        Box::pin(std::future::ready(Err(bellwire_api::ports::TelemetryError::Later)))
    }
}

impl Rules for Nothing {
    fn list(&self) -> Vec<RuleInfo> {
        Vec::new()
    }

    fn rule(&self, _: &RuleName) -> Option<RuleDetail> {
        None
    }

    fn versions(&self, _: &RuleName) -> Option<Vec<RuleVersion>> {
        None
    }

    fn create(&self, _: NewRule, _: ChangedBy) -> RulesFuture<'_, RuleDetail> {
        Box::pin(std::future::ready(Err(RulesError::Waiting)))
    }

    fn change(
        &self,
        _: RuleName,
        _: RuleDeed,
        _: Known,
        _: ChangedBy,
    ) -> RulesFuture<'_, Option<RuleDetail>> {
        Box::pin(std::future::ready(Err(RulesError::Waiting)))
    }

    fn check(&self, _: RuleTrial) -> RulesFuture<'_, RuleCheck> {
        Box::pin(std::future::ready(Err(RulesError::Waiting)))
    }
}

impl Present for Nothing {
    fn device(&self, device: &DeviceId) -> Option<DeviceInfo> {
        Some(DeviceInfo {
            device: device.clone(),
            first_seen: Some(Timestamp::EPOCH),
            last_seen: Some(Timestamp::EPOCH),
            online: true,
            clock_skew: None,
            labels: BTreeMap::new(),
            sources: bellwire_api::ports::LabelSources::default(),
        })
    }

    fn latest(&self, _: &DeviceId) -> Option<Vec<LatestReading>> {
        None
    }

    fn latest_of_all(
        &self,
        _: Option<&bellwire_model::MetricName>,
        _: Option<&DeviceId>,
        _: usize,
    ) -> LatestReadings {
        LatestReadings::default()
    }
}

fn away<T: Send + 'static>() -> PortFuture<'static, T> {
    Box::pin(async { Err(PortError::DatabaseAway) })
}

impl History for Nothing {
    fn readings(&self, _: ReadingsQuery) -> PortFuture<'_, Page<ReadingRow>> {
        away()
    }

    fn buckets(&self, _: BucketsQuery) -> PortFuture<'_, Page<BucketRow>> {
        away()
    }

    fn alerts(&self, _: AlertsQuery) -> PortFuture<'_, Page<Alert>> {
        away()
    }

    fn alert(&self, _: AlertId) -> PortFuture<'_, Option<AlertHistory>> {
        away()
    }

    fn transitions(&self, _: Place, _: usize) -> PortFuture<'_, Vec<Transition>> {
        away()
    }

    fn quarantine(&self, _: QuarantineQuery) -> PortFuture<'_, Page<Quarantined>> {
        away()
    }

    fn ledger(&self, _: DeviceId) -> PortFuture<'_, Option<DeviceLedger>> {
        away()
    }

    fn ledgers(
        &self,
        _: Option<DeviceId>,
        _: usize,
    ) -> PortFuture<'_, Vec<(DeviceId, DeviceLedger)>> {
        away()
    }
}

impl Health for Nothing {
    fn readiness(&self) -> Readiness {
        Readiness { status: HealthStatus::Ok, checks: Vec::new(), database: None }
    }
}
