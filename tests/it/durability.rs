//! Acknowledged means kept: a kill leaves the page cache, so the disk itself is made slow, broken
//! and full here.

use std::time::Duration;

use bellwire_fleet::{Bound, FleetConfig};
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::journey::around;
use crate::support::raw::{RawClient, packet, publish};
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

    let mut late = RawClient::connect(&service.mqtt(), "late", 60).await;
    std::fs::write(&broken, "").unwrap();
    late.send_what_goes(&publish(1, TOPIC, b"{\"t\": 1}")).await;
    assert_eq!(late.rest().await, b"", "it is not acknowledged");
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

/// More than a client may have unacknowledged, so that its socket is not read any more, and more
/// than the full log has room for.
const N_FLOOD: u16 = 4_000;
/// Of the client that floods; twice that may pass without a sign of life.
const KEEPALIVE_S: u16 = 1;

/// Floods a service that takes less than that, and checks what happens until `make_room` is done
/// and after it: devices wait and lose nothing, the others do not notice.
async fn holds_back(
    service: &mut Service,
    reason: &str,
    make_full: impl Future<Output = ()>,
    make_room: impl Future<Output = ()>,
) {
    let mut flooding = RawClient::connect(&service.mqtt(), "flooding", KEEPALIVE_S).await;
    flooding.deliver("devices/d/telemetry", b"{\"n\": 0}").await;
    make_full.await;
    let filling = "x".repeat(1_000);
    for n in 1..=N_FLOOD {
        let payload = format!("{{\"n\": {n}, \"filling\": \"{filling}\"}}");
        flooding.publish(n, TOPIC, payload.as_bytes()).await;
    }
    becomes_unavailable(service, reason).await;
    others_go_on(service).await;
    // Nor is it dropped for its silence: it is not listened to.
    let silence = Duration::from_secs(3 * u64::from(KEEPALIVE_S));
    let mut acknowledged = flooding.until_silent_for(silence).await;
    let all: Vec<u8> = (1..=N_FLOOD).flat_map(acknowledgement).collect();
    assert!(acknowledged.len() < all.len(), "all is acknowledged");
    becomes_unavailable(service, reason).await;

    make_room.await;
    acknowledged.extend(flooding.read(all.len() - acknowledged.len()).await);
    assert_eq!(acknowledged, all, "each is acknowledged once, in order");
    flooding.send(&PING).await;
    assert_eq!(flooding.read(2).await, PONG);
    let n_all = u64::from(N_FLOOD) + 1;
    let path = "/api/v1/devices/d/audit";
    let audit = service.wait_for(path, |audit| audit["received"] == json!(n_all)).await;
    assert_eq!(audit["stored"], json!(n_all), "{audit}");
    let query = "SELECT count(*), count(DISTINCT value) FROM readings WHERE metric = 'n'";
    let row = service.sql().await.query_one(query, &[]).await.unwrap();
    let n_all = i64::from(N_FLOOD) + 1;
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (n_all, n_all));
    service.wait_for("/readyz", |body| body["status"] == "ok").await;
    assert!(service.stop().await.success());
}

const PING: [u8; 2] = [0xC0, 0];
const PONG: [u8; 2] = [0xD0, 0];

fn acknowledgement(packet_id: u16) -> [u8; 4] {
    let [high, low] = packet_id.to_be_bytes();
    [0x40, 2, high, low]
}

/// Waits until load balancers are told to stay away, and why.
async fn becomes_unavailable(service: &Service, reason: &str) {
    let until = Instant::now() + PATIENCE;
    let mut poll = crate::support::service::poll();
    loop {
        poll.tick().await;
        let (status, body) = service.get("/readyz").await;
        if body["status"] == "unavailable" {
            assert_eq!(status, 503, "{body}");
            assert!(body.to_string().contains(reason), "{body}");
            return;
        }
        assert!(Instant::now() < until, "{body}\n{}", service.log());
    }
}

/// A device with little to say, messages between clients, and operators.
async fn others_go_on(service: &Service) {
    let mut patient = RawClient::connect(&service.mqtt(), "patient", 60).await;
    patient.send(&packet(0x82, b"\0\x01\0\x04chat\0")).await;
    assert_eq!(patient.read(5).await, [0x90, 3, 0, 1, 0]);
    patient.send(&packet(0x30, b"\0\x04chathello")).await;
    assert_eq!(patient.read(13).await, packet(0x30, b"\0\x04chathello"));
    patient.send(&PING).await;
    assert_eq!(patient.read(2).await, PONG);
    let (status, devices) = service.get("/api/v1/devices").await;
    assert_eq!((status, &devices["devices"][0]["device"]), (200, &json!("d")), "{devices}");
    assert_eq!(service.get("/api/v1/alerts").await.0, 200);
    assert_eq!(service.get("/healthz").await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_holds_devices_back_and_loses_nothing() {
    // Small segments: the next one is needed soon.
    let settings = Settings::default().set("BELLWIRE_LOG_SEGMENT_BYTES", 65_536);
    let mut service = Service::prepare(settings);
    let full = service.dir().join("full");
    service.set_disk(|disk| disk.full_while(&full));
    service.launch().await;
    let make_full = async { std::fs::write(&full, "").unwrap() };
    let make_room = async { std::fs::remove_file(&full).unwrap() };
    holds_back(&mut service, "the disk is full", make_full, make_room).await;
    service.assert_quiet(&["sockets are held", "Cannot prepare the log's next segment"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_log_holds_devices_back_and_loses_nothing() {
    let settings = Settings::default()
        .set("BELLWIRE_LOG_SEGMENT_BYTES", 65_536)
        .set("BELLWIRE_LOG_BYTES_MAX", 2 << 20)
        .set("BELLWIRE_MQTT_PACKET_BYTES_MAX", 16_384);
    let mut service = Service::start(settings).await;
    // The database takes nothing while someone else has this table.
    let sql = service.sql().await;
    let lock = "BEGIN; LOCK TABLE log_position IN ACCESS EXCLUSIVE MODE";
    let make_full = async { sql.batch_execute(lock).await.unwrap() };
    let make_room = async { sql.batch_execute("COMMIT").await.unwrap() };
    holds_back(&mut service, "it is full", make_full, make_room).await;
    service.assert_quiet(&["sockets are held"]);
}
