//! Devices come and go: rules, operators and the database hear of it.

use serde_json::{Value, json};

use crate::support::device::Device;
use crate::support::live::Screen;
use crate::support::service::{Service, Settings};

const RULES: &str = r#"
[[rule]]
name = "away"
when = "online = false"
"#;

async fn wait_until_online(service: &Service, device: &str, online: impl Into<Value>) {
    let (path, online) = (format!("/api/v1/devices/{device}"), online.into());
    service.wait_for(&path, |body: &Value| body["online"] == online).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_that_come_and_go_are_seen_alarmed_and_stored() {
    let mut service = Service::start(Settings::with_rules(RULES)).await;
    let mut screen = Screen::open(&service.http(), None).await;
    let mut oven = Device::connect(&service.mqtt(), "oven-1").await;
    oven.publish("devices/oven-1/telemetry", r#"{"temperature": 20}"#).await;
    wait_until_online(&service, "oven-1", true).await;
    drop(oven);
    let fired = screen.next_to("firing").await;
    assert_eq!(
        (&fired["alert"]["rule"], &fired["alert"]["device"]),
        (&json!("away"), &json!("oven-1"))
    );
    wait_until_online(&service, "oven-1", false).await;
    let mut oven = Device::connect(&service.mqtt(), "oven-1").await;
    oven.publish("devices/oven-1/telemetry", r#"{"temperature": 20}"#).await;
    screen.next_to("resolved").await;

    // Others speak for some devices, and for them the status topic does.
    let mut gateway = Device::connect(&service.mqtt(), "gateway").await;
    gateway.publish("devices/oven-2/telemetry/temperature", "20").await;
    gateway.publish("devices/oven-2/status", "online").await;
    wait_until_online(&service, "oven-2", true).await;
    gateway.publish("devices/oven-2/status", r#"{"state": "offline"}"#).await;
    wait_until_online(&service, "oven-2", false).await;
    assert_eq!(screen.next_to("firing").await["alert"]["device"], "oven-2");
    let audit = service.wait_for("/api/v1/devices/oven-2/audit", |it| it["received"] == 3).await;
    assert_eq!((&audit["stored"], &audit["readings"]), (&json!(3), &json!(1)), "{audit}");

    // It is the service that goes, not the devices.
    service.kill().await;
    service.launch().await;
    wait_until_online(&service, "oven-1", true).await;
    wait_until_online(&service, "oven-2", false).await;
    let (_, alerts) = service.get("/api/v1/alerts?state=firing").await;
    assert_eq!(alerts["alerts"].as_array().map(Vec::len), Some(1), "{alerts}");
    let sql = service.sql().await;
    let online = "SELECT device, online FROM devices WHERE device LIKE 'oven-%' ORDER BY device";
    let rows = sql.query(online, &[]).await.unwrap();
    let found: Vec<(String, Option<bool>)> =
        rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(found, [("oven-1".to_owned(), Some(true)), ("oven-2".to_owned(), Some(false))]);
    drop((oven, gateway));
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
}
