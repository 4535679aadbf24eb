//! Quarantine, after the mapping was mended: payloads are read again, once, whatever happens meanwhile.

use serde_json::{Value, json};

use crate::support::device::Device;
use crate::support::http;
use crate::support::service::{Service, Settings, wait_until};

const WRONG: &str = "[[mapping]]\ntopic = 'plant/{device}/{metric}'\nformat = 'json'\n";
const RIGHT: &str = "[[mapping]]\ntopic = 'plant/{device}/{metric}'\nformat = 'influx'\n";

/// How many readings of the device the database has, by metric.
async fn stored(service: &Service, device: &str) -> Vec<(String, i64)> {
    let sql = "SELECT metric, count(*) FROM readings WHERE device = $1 GROUP BY 1 ORDER BY 1";
    let rows = service.sql().await.query(sql, &[&device]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

async fn audit(service: &Service, device: &str) -> Value {
    let path = format!("/api/v1/devices/{device}/audit");
    service.wait_for(&path, |audit| audit["quarantined"].is_number()).await
}

/// Waits until the device's account says so.
async fn wait_for_account(service: &Service, device: &str, column: &str, n: u64) {
    let path = format!("/api/v1/devices/{device}/audit");
    let audit = service.wait_for(&path, |audit| audit[column] == n).await;
    let count = |key: &str| audit[key].as_u64().unwrap();
    let ends: u64 = ["stored", "duplicate", "quarantined", "refused"].map(count).iter().sum();
    assert_eq!(count("received"), ends, "{audit}");
}

async fn replay(service: &Service, body: Value) -> Value {
    let path = "/api/v1/quarantine/replay";
    let (status, answer) = http::post(&service.http(), path, &body.to_string()).await.unwrap();
    assert!(matches!(status, 200 | 202), "{status}: {answer}");
    serde_json::from_str(&answer).unwrap()
}

async fn mend(service: &Service) {
    let path = service.dir().join("mappings.toml");
    std::fs::write(&path, RIGHT).unwrap();
    let is_read = || service.log().contains("Read the mappings in");
    wait_until("the mappings are in force", is_read).await;
}

async fn start() -> (Service, Device) {
    let mut service = Service::prepare(Settings::default());
    let path = service.dir().join("mappings.toml");
    std::fs::write(&path, WRONG).unwrap();
    service.set("BELLWIRE_MAPPINGS", path.display());
    service.launch().await;
    let client = Device::connect(&service.mqtt(), "gateway").await;
    (service, client)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_mended_mapping_reads_leaves_quarantine_once() {
    let (mut service, mut client) = start().await;
    for n in 0..150 {
        client.publish("plant/oven/heat", format!("a v={n} 1700000{n:03}000000000")).await;
    }
    client.publish("plant/oven/heat", "not so").await;
    client.publish("devices/oven/telemetry", r#"{"t": 1, "u": [}"#).await;
    wait_for_account(&service, "oven", "quarantined", 152).await;

    let tried = replay(&service, json!({"device": "oven", "dry_run": true})).await;
    assert_eq!((&tried["replayed"], &tried["left"][0]["reason"]), (&json!(0), &json!("bad_json")));
    mend(&service).await;
    let tried = service.program(&["quarantine", "replay", "--topic", "plant/#", "--dry-run"]);
    let tried = { tried }.output().await.unwrap();
    let said = String::from_utf8_lossy(&tried.stdout).into_owned();
    assert!(
        said.contains("bad_line")
            && said
                .ends_with("150 payloads would leave quarantine, with 150 new readings; 1 stay.\n"),
        "{said}"
    );
    assert_eq!(tried.status.code(), Some(1), "one stays");
    assert_eq!(audit(&service, "oven").await["quarantined"], 152, "nothing has changed");

    // Twice at the same time, and then a crash: what is in the log is done once.
    let all = json!({"topic": "plant/#"});
    let (first, second) =
        tokio::join!(replay(&service, all.clone()), replay(&service, all.clone()));
    // What one has replayed the other may not find any more.
    assert!(first["next"].is_string() || second["next"].is_string(), "{first} {second}");
    service.kill().await;
    service.launch().await;
    service.wait_for("/api/v1/quarantine", |body| body["quarantine"].is_array()).await;
    let output = service.program(&["quarantine", "replay", "--all"]).output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.ends_with("2 stay.\n"), "{output:?}");
    wait_for_account(&service, "oven", "quarantined", 2).await;
    assert_eq!(stored(&service, "oven").await, [("heat.a.v".to_owned(), 150)]);
    assert_eq!(audit(&service, "oven").await["readings"], 150);
    let (_, left) = service.get("/api/v1/quarantine").await;
    assert_eq!(left["quarantine"].as_array().map(Vec::len), Some(2), "{left}");
    let nothing = service.program(&["quarantine", "replay"]).output().await.unwrap();
    assert_eq!(nothing.status.code(), Some(2), "{nothing:?}");

    drop(client);
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
}

/// The part that could be read is stored already.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_stored_of_a_payload_is_not_stored_again() {
    let mut service = Service::prepare(Settings::default());
    service.set("BELLWIRE_INGEST_TIME_PAST_MAX_DAYS", 30);
    service.launch().await;
    let mut client = Device::connect(&service.mqtt(), "oven").await;
    let payload = r#"[{"t": 1, "u": 2}, {"ts": 1700000000, "t": 3}]"#;
    client.publish("devices/oven/telemetry", payload).await;
    wait_for_account(&service, "oven", "quarantined", 1).await;
    let one = |metric: &str, n| (metric.to_owned(), n);
    assert_eq!(stored(&service, "oven").await, [one("t", 1), one("u", 1)]);

    drop(client);
    assert!(service.stop().await.success());
    service.set("BELLWIRE_INGEST_TIME_PAST_MAX_DAYS", 10_000);
    service.launch().await;
    let (_, shelf) = service.get("/api/v1/quarantine").await;
    let id = shelf["quarantine"][0]["id"].clone();
    let done = replay(&service, json!({"ids": [id]})).await;
    assert_eq!((&done["replayed"], &done["readings"]), (&json!(1), &json!(1)), "{done}");
    wait_for_account(&service, "oven", "stored", 1).await;
    assert_eq!(stored(&service, "oven").await, [one("t", 2), one("u", 1)]);
    let (_, latest) = service.get("/api/v1/devices/oven/latest").await;
    assert_eq!(latest["latest"][0]["value"], 1.0, "what is older is not the latest: {latest}");
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
}
