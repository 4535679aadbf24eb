//! History over HTTP, whole: pages of any size have every row once, files have all of them, and a
//! file that could not be finished does not look whole.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::device::Device;
use crate::support::http;
use crate::support::server::Server;
use crate::support::service::{PATIENCE, Service, Settings};

/// When the first reading was taken: a whole number of 10 s.
const START: &str = "2023-11-14T22:13:20Z";
/// The same as devices say it.
const START_SECS: u64 = 1_700_000_000;

/// Publishes `n` readings of `metric`, a second apart, a thousand in each payload.
async fn publish_series(device: &mut Device, name: &str, n: u64) {
    for first in (0..n).step_by(1_000) {
        let rows: Vec<String> = (first..n.min(first + 1_000))
            .map(|i| format!(r#"{{"ts":{},"level":{}}}"#, START_SECS + i, i % 100))
            .collect();
        let payload = format!("[{}]", rows.join(","));
        device.publish(&format!("devices/{name}/telemetry"), payload).await;
    }
}

/// Waits until the account says that so many readings of the device are stored.
async fn stored(service: &Service, name: &str, n: u64) {
    let path = format!("/api/v1/devices/{name}/audit");
    service.wait_for(&path, |audit| audit["readings"] == n).await;
}

/// All rows of a list, page after page of at most `limit`.
async fn all_pages(service: &Service, path: &str, list: &str, limit: usize) -> Vec<Value> {
    let mut rows = Vec::new();
    let mut cursor = String::new();
    loop {
        let (status, body) = service.get(&format!("{path}&limit={limit}{cursor}")).await;
        assert_eq!(status, 200, "{body}");
        let page = body[list].as_array().unwrap().clone();
        assert!(page.len() <= limit, "{} rows for a limit of {limit}", page.len());
        rows.extend(page);
        match body["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return rows,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_any_size_have_every_bucket_once() {
    let mut service = Service::start(Settings::default()).await;
    let mut device = Device::connect(&service.mqtt(), "press").await;
    for i in 0..7 {
        let payload =
            format!(r#"{{"ts":{},"a":{i},"b":{i},"c":{i},"d":{i},"e":{i}}}"#, START_SECS + 5 * i);
        device.publish("devices/press/telemetry", payload).await;
    }
    stored(&service, "press", 35).await;
    let path = format!("/api/v1/devices/press/readings?bucket=10s&from={START}");
    let whole = all_pages(&service, &path, "buckets", 1_000).await;
    assert_eq!(whole.len(), 20, "four buckets of five metrics");
    for limit in [1, 2, 3, 4, 5, 6, 7, 19, 20, 21] {
        let paged = all_pages(&service, &path, "buckets", limit).await;
        assert_eq!(paged, whole, "limit {limit}");
    }
    let path = format!("/api/v1/devices/press/readings?from={START}");
    let whole = all_pages(&service, &path, "readings", 1_000).await;
    assert_eq!(whole.len(), 35);
    for limit in [1, 4, 5, 6, 35] {
        assert_eq!(all_pages(&service, &path, "readings", limit).await, whole, "limit {limit}");
    }
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_are_gathered_by_a_label() {
    let rules = r#"
[[labels]]
device = "oven-*"
set = { site = "berlin-2" }

[[labels]]
device = "kiln-*"
set = { site = "aachen" }
"#;
    let mut service = Service::start(Settings::with_rules(rules)).await;
    for (name, level) in [("oven-1", 10), ("oven-2", 20), ("kiln-1", 30), ("loner", 40)] {
        let mut device = Device::connect(&service.mqtt(), name).await;
        let payload = format!(r#"{{"ts":{START_SECS},"level":{level}}}"#);
        device.publish(&format!("devices/{name}/telemetry"), payload).await;
        stored(&service, name, 1).await;
    }
    let path = format!("/api/v1/readings?metric=level&bucket=1m&by=site&from={START}");
    for limit in [1_000, 1, 2] {
        let found = all_pages(&service, &path, "buckets", limit).await;
        let groups: Vec<_> =
            found.iter().map(|it| (&it["group"], &it["avg"], &it["count"])).collect();
        let expected = [
            (&Value::Null, &json!(40.0), &json!(1)),
            (&json!("aachen"), &json!(30.0), &json!(1)),
            (&json!("berlin-2"), &json!(15.0), &json!(2)),
        ];
        assert_eq!(groups, expected, "limit {limit}");
    }
    let found = all_pages(&service, &path.replace("site", "nothing"), "buckets", 10).await;
    assert_eq!(found[0]["count"], 4, "nobody has the label: {found:?}");
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_has_all_rows_of_many_pages() {
    let n = 25_000;
    let mut service = Service::start(Settings::default()).await;
    let mut device = Device::connect(&service.mqtt(), "tank").await;
    publish_series(&mut device, "tank", n).await;
    stored(&service, "tank", n).await;
    let ask = async |more: &str| {
        let path = format!("/api/v1/devices/tank/readings?from={START}&{more}");
        let (status, body) = http::get(&service.http(), &path).await.unwrap();
        assert_eq!(status, 200, "{body}");
        body
    };
    let csv = ask("format=csv").await;
    let mut lines = csv.lines();
    assert_eq!(lines.next(), Some("at,metric,value,text"));
    let distinct: BTreeSet<&str> = lines.clone().collect();
    assert_eq!((lines.count() as u64, distinct.len() as u64), (n, n));
    let ndjson = ask("format=ndjson").await;
    let values = ndjson.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let sum: f64 = values.map(|row| row["value"].as_f64().unwrap()).sum();
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let expected = (0..n).map(|i| (i % 100) as f64).sum::<f64>();
    assert!((sum - expected).abs() < 1e-6, "{sum} is not {expected}");
    let buckets = ask("format=csv&bucket=1s").await;
    assert_eq!(buckets.lines().count() as u64, n + 1);
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_cut_by_a_database_that_went_away_does_not_look_whole() {
    // More than sockets buffer.
    let n = 300_000;
    let server = Server::start().await;
    let settings = Settings::default()
        .set("BELLWIRE_DATABASE_URL", server.url())
        .set("BELLWIRE_DATABASE_CONNECT_TIMEOUT_MS", 500);
    let mut service = Service::start(settings).await;
    let mut device = Device::connect(&service.mqtt(), "silo").await;
    publish_series(&mut device, "silo", n).await;
    stored(&service, "silo", n).await;
    let mut stream = TcpStream::connect(service.http()).await.unwrap();
    let path = format!("/api/v1/devices/silo/readings?from={START}&format=ndjson");
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![0; 1_000];
    stream.read_exact(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"));
    server.stop().await;
    // The connection may end with a reset as well: only what came counts.
    let _end = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("it ends");
    assert!(!answer.ends_with(b"0\r\n\r\n"), "the last chunk says that it is whole");
    let (_, metrics) = http::get(&service.http(), "/metrics").await.unwrap();
    assert!(metrics.contains("bellwire_http_exports_cut_total 1"), "{metrics}");
    server.go_on().await;
    assert!(service.stop().await.success());
    let expected = ["An export was cut off"].into_iter().chain(crate::outage::AWAY);
    service.assert_quiet(&expected.collect::<Vec<_>>());
}
