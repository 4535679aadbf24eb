//! A reading's journey, end to end: device → log → database → account; rule → operator's screen.

use std::time::Duration;

use bellwire_fleet::{Bound, Driver, Faults, FleetConfig, Protocol, Surroundings};
use bellwire_model::{Clock, Timestamp};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::support::live::Screen;
use crate::support::service::{PATIENCE, Service, Settings};

const RULES: &str = r#"
[[labels]]
device = "oven-*"
set = { kind = "oven" }

[[rule]]
name = "too-hot"
when = "temperature > 90"
clear = "temperature < 85"
severity = "critical"
select = "kind = 'oven'"
summary = "{device} is at {value} °C"
"#;

/// The wall clock, for simulated devices.
#[derive(Debug)]
pub(crate) struct WallClock;

impl Clock for WallClock {
    #[expect(clippy::disallowed_methods, reason = "devices have clocks of their own")]
    fn now(&self) -> Timestamp {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        Timestamp::from_micros(i64::try_from(now.as_micros()).unwrap())
    }
}

pub(crate) fn around() -> Surroundings {
    Surroundings::new(std::sync::Arc::new(WallClock), CancellationToken::new())
}

/// A fleet with everything that goes wrong in the field.
fn troubled_fleet(
    service: &Service,
    driver: Driver,
    protocol: Protocol,
    prefix: &str,
) -> FleetConfig {
    FleetConfig {
        address: service.mqtt(),
        devices: 20,
        connections: 10,
        prefix: prefix.to_owned(),
        driver,
        protocol,
        rate: None,
        bound: Bound::Messages(4_000),
        faults: Faults {
            reconnect: 0.002,
            duplicate: 0.05,
            bad_payload: 0.02,
            clock_skew: Duration::from_secs(30),
        },
        patience: PATIENCE,
        ..FleetConfig::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_reading_is_stored_once_whatever_the_fleet_does() {
    let mut service = Service::start(Settings::default()).await;
    let runs = [
        (Driver::Raw, Protocol::V4, "raw-v4"),
        (Driver::Raw, Protocol::V5, "raw-v5"),
        (Driver::Rumqttc, Protocol::V4, "rumqttc"),
    ];
    for (driver, protocol, prefix) in runs {
        let config = troubled_fleet(&service, driver, protocol, prefix);
        let report = bellwire_fleet::run(config, around()).await.unwrap();
        assert!(report.progress.reconnects > 0, "{prefix}: connections were cut");
        assert_eq!(report.unsettled, 0, "{prefix}: everything is acknowledged");
        let url = service.database_url();
        let found = bellwire_fleet::verify_within(&url, &report.acks, PATIENCE).await.unwrap();
        assert!(found.is_exact(), "{prefix}: {found}");
        assert!(found.bad_acknowledged > 0, "{prefix}: {found}");
        check_audits(&service, prefix, &report).await;
    }
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
}

/// For every device the account balances and agrees with what the fleet knows.
pub(crate) async fn check_audits(
    service: &Service,
    prefix: &str,
    report: &bellwire_fleet::FleetReport,
) {
    for (device, acks) in report.acks.iter() {
        let path = format!("/api/v1/devices/{device}/audit");
        let whole = |audit: &serde_json::Value| {
            audit["received"].as_u64() >= Some(acks.acknowledged.count())
                && audit["quarantined"].as_u64() >= Some(acks.bad_acknowledged)
        };
        let audit = service.wait_for(&path, whole).await;
        let count = |key: &str| audit[key].as_u64().unwrap_or_else(|| panic!("{key}: {audit}"));
        let sum = count("stored") + count("duplicate") + count("quarantined") + count("refused");
        assert_eq!(count("received"), sum, "{prefix}: {audit}");
        assert_eq!(count("stored"), acks.acknowledged.count(), "{prefix}: {audit}");
        assert!(count("duplicate") >= acks.repeats_acknowledged, "{prefix}: {audit}");
        assert_eq!(count("readings"), count("stored") * 3, "{prefix}: {audit}");
        assert_eq!(audit["seq"]["gaps"], json!([]), "{prefix}: {audit}");
        assert_eq!(audit["seq"]["last"].as_u64(), Some(acks.acknowledged.count()), "{audit}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_reaches_the_screen_and_the_views() {
    let mut service = Service::start(Settings::with_rules(RULES)).await;
    let mut screen = Screen::open(&service.http(), None).await;
    let snapshot = screen.next().await.unwrap();
    assert_eq!((&snapshot["type"], &snapshot["alerts"]), (&json!("snapshot"), &json!([])));

    screen.send(&json!({"type": "subscribe", "devices": ["oven-1"]})).await;
    screen.next_where(|frame| frame["type"] == "subscribed").await;
    let mut device = crate::support::device::Device::connect(&service.mqtt(), "oven-1").await;
    device.publish("devices/oven-1/telemetry", r#"{"temperature": 91.5, "door": "shut"}"#).await;
    let fired = screen.next_to("firing").await;
    assert_eq!(fired["from"], "inactive");
    assert_eq!(fired["alert"]["summary"], "oven-1 is at 91.5 °C");
    assert_eq!(fired["alert"]["severity"], "critical");
    for stage in ["received", "durable", "judged", "sent"] {
        assert!(fired["times"][stage].is_string(), "{fired}");
    }

    device.publish("devices/oven-1/telemetry", r#"{"temperature": 87}"#).await;
    device.publish("devices/oven-1/telemetry", r#"{"temperature": 84}"#).await;
    let resolved = screen.next_to("resolved").await;
    assert_eq!(resolved["alert"]["id"], fired["alert"]["id"]);
    device.publish("devices/oven-1/telemetry", r#"{"temperature": 84}"#).await;
    let reading = screen.next_where(|f| f["type"] == "reading" && f["value"] == 84.0).await;
    assert_eq!((&reading["device"], &reading["metric"]), (&json!("oven-1"), &json!("temperature")));

    let alerts = service
        .wait_for("/api/v1/alerts?state=resolved", |body| body["alerts"][0].is_object())
        .await;
    assert_eq!(alerts["alerts"][0]["id"], fired["alert"]["id"]);
    let (status, latest) = service.get("/api/v1/devices/oven-1/latest").await;
    assert_eq!(status, 200);
    let values = latest["latest"].as_array().unwrap();
    let temperature = values.iter().find(|value| value["metric"] == "temperature").unwrap();
    assert_eq!(temperature["value"], json!(84.0), "{latest}");
    check_views(&service).await;

    let mut resumed = Screen::open(&service.http(), fired["cursor"].as_str()).await;
    assert_eq!(resumed.next_to("resolved").await["cursor"], resolved["cursor"]);
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
}

/// The views that others script against have what happened.
async fn check_views(service: &Service) {
    let stored = |audit: &serde_json::Value| audit["stored"] == json!(4);
    service.wait_for("/api/v1/devices/oven-1/audit", stored).await;
    let sql = service.sql().await;
    let count = |query: &'static str| {
        let sql = &sql;
        async move { sql.query_one(query, &[]).await.unwrap().get::<_, i64>(0) }
    };
    let readings =
        "SELECT count(*) FROM readings WHERE device = 'oven-1' AND metric = 'temperature'";
    assert_eq!(count(readings).await, 4);
    let texts =
        "SELECT count(*) FROM readings WHERE metric = 'door' AND text = 'shut' AND value IS NULL";
    assert_eq!(count(texts).await, 1);
    let alerts = "SELECT count(*) FROM alerts WHERE rule = 'too-hot' AND state = 'resolved'";
    assert_eq!(count(alerts).await, 1);
    let steps = "SELECT count(*) FROM alert_transitions WHERE device = 'oven-1'";
    assert_eq!(count(steps).await, 2);
    assert_eq!(count("SELECT count(*) FROM devices WHERE device = 'oven-1'").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_are_read_again_when_their_file_changes() {
    let mut service = Service::start(Settings::with_rules(RULES)).await;
    std::fs::write(service.rules_path(), RULES.replace("> 90", ">")).unwrap();
    crate::support::service::wait_until("the mistake is reported", || {
        service.log().contains("The rules in force stay as they are")
    })
    .await;
    std::fs::write(service.rules_path(), RULES.replace("> 90", "> 50").replace("< 85", "< 40"))
        .unwrap();
    let ruled = |body: &serde_json::Value| body["rules"][0]["when"] == "temperature > 50";
    service.wait_for("/api/v1/rules", ruled).await;
    let mut screen = Screen::open(&service.http(), None).await;
    let mut device = crate::support::device::Device::connect(&service.mqtt(), "oven-2").await;
    device.publish("devices/oven-2/telemetry/temperature", "60").await;
    assert_eq!(screen.next_to("firing").await["alert"]["device"], "oven-2");
    assert!(service.stop().await.success());
    service.assert_quiet(&["The rules in force stay as they are"]);
}
