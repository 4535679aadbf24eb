//! All doors for telemetry are one: what comes through any of them becomes the same readings, the same
//! quarantine and the same account.

use serde_json::{Value, json};

use crate::support::device::Device;
use crate::support::http;
use crate::support::mosquitto::Mosquitto;
use crate::support::service::{Service, Settings};

const DOORS: [&str; 4] = ["listener", "bridge", "rumqttd", "http"];

/// What a device says on each door, in this order.
const PAYLOADS: [&str; 11] = [
    r#"{"ts":1700000000,"temperature":21.5,"door":{"open":true},"note":"first"}"#,
    // Once more: it has its own time, so it is the same event.
    r#"{"ts":1700000000,"temperature":21.5,"door":{"open":true},"note":"first"}"#,
    r#"[{"ts":1700000001,"temperature":22},{"ts":1700000002,"temperature":23,"seq":1}]"#,
    r#"{"ts":"2023-11-14T22:13:23Z","temperature":24,"seq":2}"#,
    // A part of it cannot be read; the rest is stored.
    r#"[{"ts":1700000004,"temperature":25},{"ts":1700000004,"temperature":[1]}]"#,
    r#"{"ts":"yesterday","temperature":26}"#,
    r#"{"ts":99999999999,"temperature":27}"#,
    r#"17"#,
    r#"{}"#,
    // Without a time: equal bytes are two events.
    r#"{"untimed":1}"#,
    r#"{"untimed":1}"#,
];

/// Opens the MQTT door of this name.
async fn open(service: &Service, broker: &Mosquitto, door: &str) -> Device {
    let address = match door {
        "listener" => service.mqtt(),
        "bridge" => broker.address(),
        _ => {
            let text = std::fs::read(service.data_dir().join("endpoints.json")).unwrap();
            let endpoints: Value = serde_json::from_slice(&text).unwrap();
            endpoints["rumqttd"].as_str().expect("rumqttd listens").to_owned()
        }
    };
    Device::connect(&address, &format!("door-{door}")).await
}

/// Says everything through this door.
async fn say(service: &Service, broker: &Mosquitto, door: &str) {
    let device = format!("door-{door}");
    if door == "http" {
        for payload in PAYLOADS {
            let body = format!("{{\"device\":\"{device}\",\"telemetry\":{payload}}}");
            let (status, answer) =
                http::post(&service.http(), "/api/v1/telemetry", &body).await.unwrap();
            assert_eq!(status, 202, "{answer}");
        }
        return;
    }
    let mut client = open(service, broker, door).await;
    for payload in PAYLOADS {
        client.publish(&format!("devices/{device}/telemetry"), payload).await;
    }
}

/// What became of it: account, readings, and why what was quarantined is.
async fn outcome(service: &Service, sql: &tokio_postgres::Client, door: &str) -> Value {
    let device = format!("door-{door}");
    let n = PAYLOADS.len();
    let path = format!("/api/v1/devices/{device}/audit");
    let mut audit = service.wait_for(&path, |audit| audit["received"] == n).await;
    audit.as_object_mut().unwrap().remove("device");
    let rows = "SELECT metric, CASE WHEN metric <> 'untimed' THEN at::text END, value, text \
                FROM readings WHERE device = $1 ORDER BY metric, at";
    let rows = sql.query(rows, &[&device]).await.unwrap();
    let readings: Vec<_> = rows
        .iter()
        .map(|row| {
            let value: Option<f64> = row.get(2);
            let (at, text): (Option<String>, Option<String>) = (row.get(1), row.get(3));
            json!([row.get::<_, String>(0), at, value, text])
        })
        .collect();
    let (status, body) = service.get(&format!("/api/v1/quarantine?device={device}")).await;
    assert_eq!(status, 200, "{body}");
    let quarantined = body["quarantine"].as_array().unwrap_or_else(|| panic!("{body}"));
    let reasons: Vec<_> = quarantined.iter().map(|it| it["reason"].clone()).collect();
    json!({"audit": audit, "readings": readings, "quarantine": reasons})
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_payloads_become_the_same_on_every_door() {
    let settings = Settings::default().set("BELLWIRE_RUMQTTD_LISTEN", "127.0.0.1:0");
    let mut service = Service::prepare(settings);
    let broker = Mosquitto::start(service.dir()).await;
    let config = service.dir().join("bellwire.toml");
    let bridge = format!("[[bridge]]\nname = 'plant'\nurl = 'mqtt://{}'\n", broker.address());
    std::fs::write(&config, bridge).unwrap();
    service.set("BELLWIRE_CONFIG", config.display());
    service.launch().await;
    let are_there = |said: &Value| {
        said["checks"].as_array().unwrap().iter().all(|check| check["status"] == "ok")
    };
    service.wait_for("/readyz", are_there).await;
    for door in DOORS {
        say(&service, &broker, door).await;
    }
    let sql = service.sql().await;
    let expected = outcome(&service, &sql, "listener").await;
    let counts = ["received", "stored", "duplicate", "quarantined", "refused"];
    let counts = counts.map(|key| expected["audit"][key].as_u64().unwrap());
    assert_eq!((counts[0], counts[2], counts[4]), (11, 1, 0), "{expected}");
    assert_eq!(counts[1] + counts[2] + counts[3], 11, "nothing vanishes: {expected}");
    for door in DOORS {
        assert_eq!(outcome(&service, &sql, door).await, expected, "{door}");
    }
    // Whoever is connected to a bridge is not the devices behind it.
    let online =
        sql.query("SELECT device FROM devices WHERE online ORDER BY 1", &[]).await.unwrap();
    let online: Vec<String> = online.iter().map(|row| row.get(0)).collect();
    assert!(!online.contains(&"door-bridge".to_owned()), "{online:?}");
    assert!(!online.contains(&"door-rumqttd".to_owned()), "{online:?}");
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
}
