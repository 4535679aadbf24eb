//! Telemetry out of a broker that others wrote: each reading is stored once, whoever is killed.

mod fake;
mod kills;
mod outward;
mod refusals;
mod tls;

use serde_json::Value;

use crate::support::device::Device;
use crate::support::mosquitto::Mosquitto;
use crate::support::service::{Service, Settings};

/// A service that is prepared to bridge from a broker at `url`, with `more` in the bridge's table.
fn bridged(url: &str, more: &str) -> Service {
    bridged_with(Settings::default(), url, more)
}

fn bridged_with(settings: Settings, url: &str, more: &str) -> Service {
    let mut service = Service::prepare(settings);
    configure(&service, url, more);
    let config = service.dir().join("bellwire.toml");
    service.set("BELLWIRE_CONFIG", config.display());
    service
}

/// Writes what the next start reads.
fn configure(service: &Service, url: &str, more: &str) {
    let text =
        format!("[[bridge]]\nname = 'plant'\nurl = '{url}'\nreconnect_max_ms = 1000\n{more}\n");
    std::fs::write(service.dir().join("bellwire.toml"), text).unwrap();
}

fn url(broker: &Mosquitto) -> String {
    format!("mqtt://{}", broker.address())
}

/// The bridge's check in `/readyz`.
fn check(readiness: &Value) -> &Value {
    let checks = readiness["checks"].as_array().expect("checks");
    checks.iter().find(|check| check["name"] == "bridge").expect("there is a bridge")
}

async fn connected(service: &Service) {
    service.wait_for("/readyz", |said| check(said)["status"] == "ok").await;
}

/// Publishes the numbers from `from` to below `to` as a metric of a device, without a time of their own:
/// equal bytes are then told apart by nothing but DUP and packet identifier.
async fn publish(publisher: &mut Device, device: &str, from: u32, to: u32) {
    for n in from..to {
        publisher.publish(&format!("devices/{device}/telemetry"), format!("{{\"n\":{n}}}")).await;
    }
}

/// Waits until as many publishes of a device were received, repetitions left out, and gives its account.
async fn received(service: &Service, device: &str, n: u32) -> Value {
    let path = format!("/api/v1/devices/{device}/audit");
    let new = |audit: &Value| {
        let of = |key: &str| audit[key].as_u64().unwrap_or_default();
        of("received") - of("duplicate")
    };
    service.wait_for(&path, |audit| new(audit) >= u64::from(n)).await
}

/// Each number from 0 to below `n` is stored, and none twice.
async fn stored_once(service: &Service, device: &str, n: u32) {
    let audit = received(service, device, n).await;
    assert_eq!(audit["stored"], n, "{audit}");
    let sql = service.sql().await;
    let rows = "SELECT count(*), count(DISTINCT value), min(value), max(value) FROM readings \
                WHERE device = $1 AND metric = 'n'";
    let row = sql.query_one(rows, &[&device]).await.unwrap();
    let found = (row.get::<_, i64>(0), row.get::<_, i64>(1), row.get::<_, f64>(2), row.get(3));
    assert_eq!(found, (i64::from(n), i64::from(n), 0.0, f64::from(n - 1)));
}

/// The value of a metric of the bridge.
async fn metric(service: &Service, name: &str) -> f64 {
    let metrics = service.metrics().await;
    let line = metrics.lines().find(|line| line.starts_with(&format!("{name} ")));
    let line = line.unwrap_or_else(|| panic!("no {name} in {metrics}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_services_share_what_is_published() {
    let share = "share = 'bellwire'";
    let mut first = bridged("mqtt://127.0.0.1:1", "");
    let broker = Mosquitto::start(first.dir()).await;
    configure(&first, &url(&broker), share);
    let mut second = bridged(&url(&broker), share);
    first.launch().await;
    second.launch().await;
    connected(&first).await;
    connected(&second).await;
    let mut publisher = Device::connect(&broker.address(), "publisher").await;
    publish(&mut publisher, "shared", 0, 200).await;
    let of = async |service: &Service| {
        metric(service, "bellwire_bridge_acknowledged_total{bridge=\"plant\"}").await
    };
    let mut pulse = crate::support::service::poll();
    loop {
        let (one, other) = (of(&first).await, of(&second).await);
        if one + other >= 200.0 {
            assert!(one >= 50.0 && other >= 50.0, "{one} and {other}");
            assert!((one + other - 200.0).abs() < 0.5, "{one} and {other}");
            break;
        }
        pulse.tick().await;
    }
    let mut all = Vec::new();
    for service in [&mut first, &mut second] {
        let n = of(service).await;
        service.wait_for("/api/v1/devices/shared/audit", |audit| audit["stored"] == n).await;
        let sql = service.sql().await;
        let rows = sql.query("SELECT value FROM readings WHERE metric = 'n'", &[]).await.unwrap();
        all.extend(rows.iter().map(|row| row.get::<_, f64>(0)));
        assert!(service.stop().await.success());
        service.assert_quiet(&[]);
    }
    all.sort_by(f64::total_cmp);
    assert_eq!(all, (0..200).map(f64::from).collect::<Vec<_>>());
}
