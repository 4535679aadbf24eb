//! The database goes away under load, or its connection breaks at the worst places: alerts go on,
//! and afterwards everything is stored once.
//!
//! `BELLWIRE_TEST_OUTAGE_SECS` sets how long the database is away (default 4),
//! `BELLWIRE_TEST_ROUNDS` how often a connection is cut (default 24), `BELLWIRE_TEST_SEED` where.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bellwire_fleet::Histogram;
use bellwire_store::testing;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::device::Device;
use crate::support::dice::{Dice, from_env};
use crate::support::http;
use crate::support::live::Screen;
use crate::support::load::Load;
use crate::support::proxy::{Cut, Proxy};
use crate::support::service::{Service, Settings, wait_until};
use crate::support::watcher::{Watcher, stored_steps};

pub(crate) const RULES: &str = r#"
[[rule]]
name = "too-hot"
when = "temperature > 90"
clear = "temperature < 85"
severity = "critical"
select = "device =~ 'oven-.*'"
summary = "{device} is at {value} °C"
"#;

/// What only history can answer, of a device that has published.
const HISTORY: [&str; 4] = [
    "/api/v1/devices/oven-1/readings?metric=temperature",
    "/api/v1/devices/oven-1/readings?metric=temperature&bucket=1m",
    "/api/v1/alerts?state=resolved",
    "/api/v1/quarantine",
];

/// What the service says while the database does not answer.
pub(crate) const AWAY: [&str; 6] = [
    "stored on a second connection",
    "Failed to write to the database",
    "Failed to open the database",
    "Starting without the database",
    // What the pool finds when a connection has just been cut.
    "Connection could not be recycled",
    // The load cuts its own connections; at 10,000 publishes a second a hundred times a minute.
    "(taken_over), the 100th",
];

/// A service whose database is behind a door, with `more` in its environment.
async fn behind_a_door(more: &[(&str, u64)]) -> (Proxy, Service) {
    let proxy = Proxy::before(&testing::database().await).await;
    let settings = Settings::with_rules(RULES)
        .set("BELLWIRE_DATABASE_URL", proxy.url())
        .set("BELLWIRE_DATABASE_CONNECT_TIMEOUT_MS", 500)
        .set("BELLWIRE_JUDGE_SNAPSHOT_INTERVAL_MS", 100)
        .set("BELLWIRE_LOG_SEGMENT_BYTES", 256 << 10);
    let settings = more.iter().fold(settings, |settings, (name, value)| settings.set(name, value));
    let service = Service::start(settings).await;
    (proxy, service)
}

/// A device crosses its threshold and comes back `times` times; each step reaches a screen. Gives
/// how long each took from before the publish to the screen.
pub(crate) async fn alerts_go_on(service: &Service, times: u32) -> Histogram {
    let mut screen = Screen::open(&service.http(), None).await;
    screen.next().await.expect("a snapshot");
    let mut device = Device::connect(&service.mqtt(), "oven-1").await;
    let mut latency = Histogram::default();
    for _ in 0..times {
        for (payload, state) in
            [(r#"{"temperature": 95}"#, "firing"), (r#"{"temperature": 80}"#, "resolved")]
        {
            let begun = Instant::now();
            let seeing = async {
                let frame = screen.next_to(state).await;
                (frame, begun.elapsed())
            };
            let publishing = device.publish("devices/oven-1/telemetry", payload);
            let ((frame, elapsed), ()) = tokio::join!(seeing, publishing);
            assert_eq!(frame["alert"]["device"], "oven-1");
            latency.record(elapsed);
        }
    }
    latency
}

pub(crate) fn print(what: &str, latency: &Histogram) {
    let ms = |q| latency.quantile(q).map(|it| it.as_secs_f64() * 1e3);
    println!("alert latency, {what}: p50 {:?} ms, p99 {:?} ms", ms(500), ms(990));
}

fn database_status(readiness: &Value) -> &str {
    let checks = readiness["checks"].as_array().expect("checks");
    let database = checks.iter().find(|check| check["name"] == "database").expect("its check");
    database["status"].as_str().expect("a word")
}

/// Waits until readiness, which stays 200, says so of the database.
pub(crate) async fn database_is(service: &Service, status: &str) {
    service.wait_for("/readyz", |readiness| database_status(readiness) == status).await;
}

/// History says that it is away, whatever is asked.
async fn history_is_away(service: &Service) {
    for path in HISTORY {
        let begun = Instant::now();
        let (status, head, body) = http::get_whole(&service.http(), path).await.unwrap();
        println!("{path}: {status} after {:?}", begun.elapsed());
        assert_eq!(status, 503, "{path}: {body}");
        assert!(head.contains("content-type: application/problem+json"), "{path}: {head}");
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["code"], "database_away", "{path}: {body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_database_is_away_alerts_go_on_over_restarts_and_nothing_is_lost() {
    let away_for = Duration::from_secs(from_env("BELLWIRE_TEST_OUTAGE_SECS").unwrap_or(4));
    // Grace is for what can end: stopping does not wait for a database that is away.
    let (proxy, mut service) = behind_a_door(&[("BELLWIRE_SHUTDOWN_GRACE_MS", 600_000)]).await;
    let watcher = Watcher::open(&service.http()).await;
    let mut load = Load::start(&service, "load", 2_000.0);
    load.goes_on(1_000).await;
    print("database there", &alerts_go_on(&service, 50).await);
    database_is(&service, "ok").await;

    proxy.shut();
    let until = Instant::now() + away_for;
    database_is(&service, "degraded").await;
    load.goes_on(1_000).await;
    print("database away", &alerts_go_on(&service, 50).await);
    history_is_away(&service).await;
    let latest = "/api/v1/devices/oven-1/latest";
    service.wait_for(latest, |body| body["latest"][0]["value"] == json!(80.0)).await;

    assert!(service.stop().await.success());
    service.launch().await;
    database_is(&service, "degraded").await;
    load.goes_on(1_000).await;
    print("database away, after a restart", &alerts_go_on(&service, 20).await);
    history_is_away(&service).await;
    service.kill().await;
    service.launch().await;
    database_is(&service, "degraded").await;
    let mut latency = alerts_go_on(&service, 20).await;
    while Instant::now() < until {
        load.goes_on(500).await;
        latency.merge(&alerts_go_on(&service, 20).await);
    }
    print("database away, after a kill", &latency);

    proxy.open().await;
    database_is(&service, "ok").await;
    print("catching up", &alerts_go_on(&service, 20).await);
    load.goes_on(1_000).await;
    load.finish(&service).await;
    watcher.assert_saw_all(&service).await;
    assert!(service.stop().await.success());
    service.assert_quiet(&AWAY);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_network_to_the_database_is_no_different() {
    // A transaction may take longer than this test: none is waited for.
    let (proxy, mut service) = behind_a_door(&[
        ("BELLWIRE_DATABASE_WRITE_TIMEOUT_MS", 600_000),
        ("BELLWIRE_SHUTDOWN_GRACE_MS", 500),
    ])
    .await;
    let watcher = Watcher::open(&service.http()).await;
    let mut load = Load::start(&service, "load", 1_000.0);
    alerts_go_on(&service, 2).await;
    service.wait_for(HISTORY[0], |body| body["readings"][0].is_object()).await;
    proxy.go_silent();
    load.goes_on(1_000).await;
    alerts_go_on(&service, 10).await;
    assert!(service.stop().await.success());
    service.launch().await;
    database_is(&service, "degraded").await;
    load.goes_on(1_000).await;
    alerts_go_on(&service, 10).await;
    history_is_away(&service).await;
    proxy.open().await;
    database_is(&service, "ok").await;
    load.finish(&service).await;
    watcher.assert_saw_all(&service).await;
    assert!(service.stop().await.success());
    service.assert_quiet(&AWAY);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_takes_long_to_start_keeps_nobody_waiting() {
    let mut service = Service::start(Settings::with_rules(RULES)).await;
    alerts_go_on(&service, 2).await;
    assert!(service.stop().await.success());
    let starting = StartingServer::on(&service.data_dir().join("postgres"));
    service.launch().await;
    database_is(&service, "degraded").await;
    alerts_go_on(&service, 2).await;
    drop(starting);
    database_is(&service, "ok").await;
    assert!(service.stop().await.success());
    service.launch().await;
    let sql = service.sql().await;
    assert_eq!(stored_steps(&sql).await.len(), 8);
    assert!(service.stop().await.success());
    service.assert_quiet(&["Starting without the database"]);
}

/// What a PostgreSQL server looks like from outside while it recovers from a crash, which can
/// take minutes.
struct StartingServer {
    process: Child,
    pid_file: PathBuf,
}

impl StartingServer {
    fn on(cluster: &Path) -> Self {
        let process =
            Command::new("cat").current_dir(cluster).stdin(Stdio::piped()).spawn().unwrap();
        let (pid, cluster_shown) = (process.id(), cluster.display());
        let text = format!(
            "{pid}\n{cluster_shown}\n1700000000\n5432\n{cluster_shown}/run\n\n\nstarting\n"
        );
        let pid_file = cluster.join("postmaster.pid");
        std::fs::write(&pid_file, text).unwrap();
        Self { process, pid_file }
    }
}

impl Drop for StartingServer {
    fn drop(&mut self) {
        std::fs::remove_file(&self.pid_file).unwrap();
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_cut_in_copy_and_around_commit_store_everything_once() {
    let (proxy, mut service) = behind_a_door(&[("BELLWIRE_KEEP_FLUSH_INTERVAL_MS", 50)]).await;
    let watcher = Watcher::open(&service.http()).await;
    let load = Load::start(&service, "load", 2_000.0);
    let mut dice = Dice::seeded(11);
    let n_cuts = usize::try_from(from_env("BELLWIRE_TEST_ROUNDS").unwrap_or(24)).unwrap();
    proxy.arm((0..n_cuts).map(|round| match round % 4 {
        0 => Cut::Bytes(500 + dice.below(40_000)),
        1 => Cut::CopyBytes(dice.below(20_000)),
        2 => Cut::Commit(dice.below(4)),
        _ => Cut::Answer(dice.below(4)),
    }));
    // The writer's connection stands: only new ones have cuts.
    proxy.cut_all();
    while proxy.n_cut() < n_cuts {
        let before = proxy.n_cut();
        alerts_go_on(&service, 2).await;
        wait_until("the next cut", || proxy.n_cut() > before).await;
    }
    load.finish(&service).await;
    watcher.assert_saw_all(&service).await;
    assert!(service.stop().await.success());
    service.assert_quiet(&AWAY);
}
