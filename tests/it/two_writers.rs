//! Two services write one log to one database, as after a data directory was restored somewhere
//! else: the older one stops and says why, the newer one goes on.

use std::path::Path;

use bellwire_store::testing;
use serde_json::json;
use tokio::time::Instant;
use tokio_postgres::Client;

use crate::support::device::Device;
use crate::support::load::Load;
use crate::support::service::{PATIENCE, Service, Settings, connect, poll};

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Publishes the numbers of `range`, and waits until `received` of the device's are accounted for.
async fn publish(service: &Service, range: std::ops::Range<u32>, received: u32) {
    let mut device = Device::connect(&service.mqtt(), "counter").await;
    for n in range {
        device.publish("devices/counter/telemetry", format!("{{\"n\": {n}, \"seq\": {n}}}")).await;
    }
    let path = "/api/v1/devices/counter/audit";
    service.wait_for(path, |audit| audit["stored"] == json!(received)).await;
}

/// The accounts follow about once a second. Those that had not would be counted again from the log,
/// and the newer service's is another one there.
async fn accounts_are_stored(sql: &Client) {
    let query = "SELECT ledger_position = position FROM bellwire.log_position";
    let until = Instant::now() + PATIENCE;
    let mut poll = poll();
    while !sql.query_one(query, &[]).await.unwrap().get::<_, bool>(0) {
        assert!(Instant::now() < until, "the accounts are not stored");
        poll.tick().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_older_of_two_services_on_one_log_stops_and_the_newer_goes_on() {
    let database = testing::database().await;
    let settings = Settings::default().set("BELLWIRE_DATABASE_URL", &database.url);
    let mut older = Service::start(settings.clone()).await;
    publish(&older, 0..50, 50).await;
    assert!(older.stop().await.success());
    let mut newer = Service::prepare(settings);
    copy(&older.data_dir(), &newer.data_dir());
    older.launch().await;
    publish(&older, 50..100, 100).await;
    let sql = connect(&database.url).await;
    accounts_are_stored(&sql).await;

    newer.launch().await;
    let mut late = Device::connect(&older.mqtt(), "late").await;
    late.publish("devices/late/telemetry", r#"{"n": 1}"#).await;
    let status = older.ended().await;
    assert_eq!(status.code(), Some(1));
    assert!(older.log().contains("a newer writer has taken the log over"), "{}", older.log());
    let mut load = Load::start(&newer, "load", 1_000.0);
    publish(&newer, 100..150, 150).await;
    load.goes_on(500).await;
    load.finish(&newer).await;

    let query = "SELECT count(*), count(DISTINCT value) FROM readings WHERE device = $1";
    for (device, expected) in [("counter", (150, 150)), ("late", (0, 0))] {
        let row = sql.query_one(query, &[&device]).await.unwrap();
        assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), expected, "{device}");
    }
    assert!(newer.stop().await.success());
    newer.assert_quiet(&["beyond the log"]);
    older.assert_quiet(&["a newer writer has taken the log over"]);
}
