//! Telemetry over HTTP goes the way that telemetry goes.

use serde_json::{Value, json};

use crate::support::device::Device;
use crate::support::http;
use crate::support::live::Screen;
use crate::support::service::{Service, Settings};

const RULES: &str = r#"
[[rule]]
name = "too-hot"
when = "temperature > 90"
"#;

async fn post(service: &Service, key: &str, body: &Value) -> (u16, Value) {
    let headers = format!("Idempotency-Key: {key}\r\n");
    let what = "POST /api/v1/telemetry";
    let (status, _, body) =
        http::send(&service.http(), what, &headers, &body.to_string()).await.unwrap();
    (status, serde_json::from_str(&body).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_accepted_is_counted_judged_and_stored_once() {
    let mut service = Service::start(Settings::with_rules(RULES)).await;
    let mut screen = Screen::open(&service.http(), None).await;
    let mut listener = Device::connect(&service.mqtt(), "listener").await;
    listener.subscribe("devices/+/telemetry").await;
    let hot = json!({"device": "oven-1", "telemetry": {"temperature": 91}});
    assert_eq!(post(&service, "a", &hot).await, (202, json!({"accepted": 1})));
    assert_eq!(screen.next_to("firing").await["alert"]["device"], "oven-1");
    let (topic, payload) = listener.receive().await;
    assert_eq!((&*topic, &*payload), ("devices/oven-1/telemetry", r#"{"temperature":91}"#));

    // Sent again, as after a lost answer; then the same reading once more; then what cannot be read.
    assert_eq!(post(&service, "a", &hot).await.0, 202);
    assert_eq!(post(&service, "b", &hot).await.0, 202);
    let bad =
        json!([{"device": "oven-1", "telemetry": [{"temperature": 20}, {"temperature": [1]}]}]);
    assert_eq!(post(&service, "c", &bad).await, (202, json!({"accepted": 1})));
    let path = "/api/v1/devices/oven-1/audit";
    let audit = service.wait_for(path, |audit| audit["received"] == 4).await;
    let counts = ["stored", "duplicate", "quarantined", "refused", "readings"];
    assert_eq!(counts.map(|key| audit[key].as_u64()), [2, 1, 1, 0, 3].map(Some), "{audit}");
    let readings = "SELECT count(*) FROM readings WHERE device = 'oven-1'";
    let sql = service.sql().await;
    assert_eq!(sql.query_one(readings, &[]).await.unwrap().get::<_, i64>(0), 3);

    // It is in the log: the service may die at once.
    assert_eq!(post(&service, "d", &hot).await.0, 202);
    service.kill().await;
    service.launch().await;
    assert_eq!(post(&service, "d", &hot).await.0, 202);
    let audit = service.wait_for(path, |audit| audit["received"] == 6).await;
    assert_eq!((&audit["stored"], &audit["duplicate"]), (&json!(3), &json!(2)), "{audit}");
    drop(listener);
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_sent_again_counts_once_for_each_device() {
    let mut service = Service::start(Settings::default()).await;
    // No time of their own: the key alone says that it is the same request.
    let item = |device: &str, n: u32| json!({"device": device, "telemetry": {"n": n}});
    let batch = json!([item("a", 1), item("b", 1), item("a", 1), item("a", 2)]);
    for _ in 0..2 {
        assert_eq!(post(&service, "batch-1", &batch).await, (202, json!({"accepted": 4})));
    }
    assert_eq!(post(&service, "batch-2", &json!([item("b", 1)])).await.0, 202);
    for (device, expected) in [("a", [6, 3, 3]), ("b", [3, 2, 1])] {
        let path = format!("/api/v1/devices/{device}/audit");
        let audit = service.wait_for(&path, |audit| audit["received"] == expected[0]).await;
        let counts = ["received", "stored", "duplicate"].map(|key| audit[key].as_u64());
        assert_eq!(counts, expected.map(Some), "{audit}");
    }
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
}
