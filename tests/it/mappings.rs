//! Other topics and payloads: mapped, mapped anew while a client is connected, and after a crash.

use serde_json::{Value, json};

use crate::support::device::Device;
use crate::support::service::{Service, Settings};

const TASMOTA: &str = "[[mapping]]\npreset = 'tasmota'\n";
const LINES: &str = "[[mapping]]\ntopic = 'lines/{device}'\nformat = 'influx'\n";

/// The latest value of a metric.
async fn wait_for_latest(service: &Service, device: &str, metric: &str, value: Value) {
    let path = format!("/api/v1/devices/{device}/latest");
    let has = |body: &Value| {
        let latest = body["latest"].as_array();
        let found = latest.and_then(|all| all.iter().find(|it| it["metric"] == metric));
        found.is_some_and(|found| found["value"] == value)
    };
    service.wait_for(&path, has).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mapped_topics_are_telemetry_from_when_they_are_mapped() {
    let mut service = Service::prepare(Settings::default());
    let path = service.dir().join("mappings.toml");
    std::fs::write(&path, TASMOTA).unwrap();
    service.set("BELLWIRE_MAPPINGS", path.display());
    service.launch().await;
    let mut client = Device::connect(&service.mqtt(), "gateway").await;
    client.publish("tele/plug/SENSOR", r#"{"ENERGY": {"Power": 9}}"#).await;
    wait_for_latest(&service, "plug", "ENERGY.Power", json!(9.0)).await;

    // Ordinary MQTT until it is mapped; the client stays connected, and on the same topic.
    client.publish("lines/meter", "power w=1").await;
    std::fs::write(&path, format!("{TASMOTA}{LINES}wrong = 1\n")).unwrap();
    crate::support::service::wait_until("the mistake is reported", || {
        service.log().contains("The mappings in force stay as they are")
    })
    .await;
    std::fs::write(&path, format!("{TASMOTA}{LINES}")).unwrap();
    crate::support::service::wait_until("the mappings are in force", || {
        service.log().contains("Read the mappings in")
    })
    .await;
    client.publish("lines/meter", "power w=2").await;
    wait_for_latest(&service, "meter", "power.w", json!(2.0)).await;
    client.publish("lines/meter", "power w=").await;

    service.kill().await;
    service.launch().await;
    wait_for_latest(&service, "meter", "power.w", json!(2.0)).await;
    let path = "/api/v1/devices/meter/audit";
    let audit = service.wait_for(path, |audit| audit["received"] == 2).await;
    assert_eq!((&audit["stored"], &audit["quarantined"]), (&json!(1), &json!(1)), "{audit}");
    drop(client);
    assert!(service.stop().await.success());
    service.assert_quiet(&["The mappings in force stay as they are"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn units_are_shown_and_stored() {
    let mut service = Service::prepare(Settings::default());
    let path = service.dir().join("mappings.toml");
    std::fs::write(&path, "[[mapping]]\ntopic = 'senml/{device}'\nformat = 'senml'\n").unwrap();
    service.set("BELLWIRE_MAPPINGS", path.display());
    service.launch().await;
    let mut client = Device::connect(&service.mqtt(), "gateway").await;
    client
        .publish("senml/oven", r#"[{"n": "t", "u": "Cel", "v": 21.5}, {"n": "n", "v": 1}]"#)
        .await;
    wait_for_latest(&service, "oven", "t", json!(21.5)).await;
    let (_, latest) = service.get("/api/v1/devices/oven/latest").await;
    assert_eq!(
        (&latest["latest"][1]["unit"], &latest["latest"][0]["unit"]),
        (&json!("Cel"), &json!(null))
    );
    service.wait_for("/api/v1/devices/oven/audit", |audit| audit["stored"] == 1).await;
    let rows =
        service.sql().await.query("SELECT device, metric, unit FROM units", &[]).await.unwrap();
    let rows: Vec<[String; 3]> = rows.iter().map(|row| [0, 1, 2].map(|n| row.get(n))).collect();
    assert_eq!(rows, [["oven", "t", "Cel"]]);
    drop(client);
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
}
