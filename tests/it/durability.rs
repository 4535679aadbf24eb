//! Acknowledged means kept: a kill leaves the page cache, so the disk itself is made slow, broken
//! and full here.

use std::time::Duration;

use bellwire_fleet::{Bound, FleetConfig};
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::journey::around;
use crate::support::raw::RawClient;
use crate::support::service::{PATIENCE, Service, Settings, spawn, wait_until};

const SYNC_DELAY: Duration = Duration::from_millis(300);
const TOPIC: &[u8] = b"devices/d/telemetry";

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledgement_comes_before_the_sync() {
    let mut service = Service::prepare(Settings::default());
    service.set_disk(|disk| disk.sync_delay(SYNC_DELAY));
    service.launch().await;
    let mut client = RawClient::connect(&service.mqtt(), "slow", 60).await;
    for packet_id in 1..=5 {
        let sent = Instant::now();
        client.publish(packet_id, TOPIC, b"{\"t\": 1}").await;
        let waited = client.acknowledged(packet_id, sent).await;
        assert!(waited >= SYNC_DELAY, "acknowledged after {waited:?}");
    }
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_acknowledged_after_a_failed_sync() {
    let mut service = Service::prepare(Settings::default());
    let broken = service.dir().join("broken");
    service.set_disk(|disk| disk.fails_while(&broken));
    service.launch().await;
    let stop = CancellationToken::new();
    let config = FleetConfig {
        address: service.mqtt(),
        devices: 10,
        connections: 10,
        rate: Some(2_000.0),
        bound: Bound::Duration(PATIENCE),
        drain: Duration::ZERO,
        ..FleetConfig::default()
    };
    let mut surroundings = around();
    surroundings.stop = stop.clone();
    let (progress, watching) = tokio::sync::watch::channel(bellwire_fleet::Progress::default());
    surroundings.progress = Some(progress);
    let fleet = spawn(bellwire_fleet::run(config, surroundings));
    wait_until("the fleet publishes", || watching.borrow().acknowledged > 500).await;

    std::fs::write(&broken, "").unwrap();
    let status = service.ended().await;
    assert_eq!(status.code(), Some(1), "it stops");
    assert!(service.log().contains("acknowledges nothing more"), "{}", service.log());
    stop.cancel();
    let report = fleet.await.unwrap().unwrap();

    service.mend_disk();
    service.launch().await;
    let url = service.database_url();
    let found = bellwire_fleet::verify_within(&url, &report.acks, PATIENCE).await.unwrap();
    assert!(found.acknowledged > 500 && found.is_exact(), "{found}");
    assert!(service.stop().await.success());
    service.assert_quiet(&["acknowledges nothing more"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_holds_devices_back_and_loses_nothing() {
    // Small segments: a full disk shows when the next one is made.
    let settings = Settings::default().set("BELLWIRE_LOG_SEGMENT_BYTES", 65_536);
    let settings = settings.set("BELLWIRE_LOG_BYTES_MAX", 1 << 30);
    let mut service = Service::prepare(settings);
    let full = service.dir().join("full");
    service.set_disk(|disk| disk.full_while(&full));
    service.launch().await;
    let mut client = RawClient::connect(&service.mqtt(), "patient", 60).await;
    client.publish(1, TOPIC, b"{\"n\": 1}").await;
    client.acknowledged(1, Instant::now()).await;

    std::fs::write(&full, "").unwrap();
    client.publish(2, TOPIC, b"{\"n\": 2}").await;
    let held = |body: &serde_json::Value| body["status"] == "unavailable";
    let until = Instant::now() + PATIENCE;
    let mut poll = crate::support::service::poll();
    loop {
        poll.tick().await;
        let (status, body) = service.get("/readyz").await;
        if held(&body) {
            assert_eq!(status, 503, "{body}");
            break;
        }
        assert!(Instant::now() < until, "{body}\n{}", service.log());
    }
    for _ in 0..3 {
        client.send(&[0xC0, 0]).await;
        assert_eq!(client.read(2).await, [0xD0, 0], "a ping is answered, the publish is not");
    }
    assert_eq!(service.get("/api/v1/devices").await.0, 200, "operators are answered");

    std::fs::remove_file(&full).unwrap();
    client.acknowledged(2, Instant::now()).await;
    client.publish(3, TOPIC, b"{\"n\": 3}").await;
    client.acknowledged(3, Instant::now()).await;
    let path = "/api/v1/devices/d/audit";
    let audit = service.wait_for(path, |audit| audit["received"] == json!(3)).await;
    assert_eq!(audit["stored"], json!(3), "{audit}");
    assert!(service.stop().await.success());
    service.assert_quiet(&["disk", "log is held", "space"]);
}
