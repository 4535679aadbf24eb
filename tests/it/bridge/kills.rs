//! Bellwire and mosquitto are killed, or the log has no room: nothing is lost, nothing is there twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::bridge::{
    bridged, bridged_with, configure, connected, publish, received, stored_once, url,
};
use crate::support::device::Device;
use crate::support::dice::{Dice, from_env};
use crate::support::mosquitto::Mosquitto;
use crate::support::service::{PATIENCE, Settings, poll, spawn, wait_until};

/// What is said of a broker that was killed.
const GONE: [&str; 1] = ["Bridge `plant` is not connected"];

#[tokio::test(flavor = "multi_thread")]
async fn bellwire_is_killed_again_and_again() {
    let mut service = bridged("mqtt://127.0.0.1:1", "");
    let broker = Mosquitto::start(service.dir()).await;
    configure(&service, &url(&broker), "");
    service.launch().await;
    connected(&service).await;
    let rounds = u32::try_from(from_env("BELLWIRE_TEST_ROUNDS").unwrap_or(4)).unwrap();
    let n = rounds * 500;
    let published = Arc::new(AtomicU32::new(0));
    let counting = Arc::clone(&published);
    let address = broker.address();
    let publishing = spawn(async move {
        let mut publisher = Device::connect(&address, "publisher").await;
        for i in 0..n {
            publish(&mut publisher, "killed", i, i + 1).await;
            counting.store(i + 1, Ordering::Relaxed);
        }
    });
    let mut dice = Dice::seeded(u64::from(std::process::id()));
    for round in 0..rounds {
        let at = round * 500 + u32::try_from(dice.below(400)).unwrap();
        wait_until("so much is published", || published.load(Ordering::Relaxed) >= at).await;
        service.kill().await;
        service.launch().await;
    }
    publishing.await.unwrap();
    let audit = received(&service, "killed", n).await;
    println!("{} of {n} came again", audit["duplicate"]);
    stored_once(&service, "killed", n).await;
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_while_bellwire_is_away_waits_at_the_broker() {
    let mut service = bridged("mqtt://127.0.0.1:1", "");
    let mut broker = Mosquitto::start(service.dir()).await;
    configure(&service, &url(&broker), "");
    service.launch().await;
    connected(&service).await;
    let mut publisher = Device::connect(&broker.address(), "publisher").await;
    publish(&mut publisher, "away", 0, 10).await;
    received(&service, "away", 10).await;
    service.kill().await;
    publish(&mut publisher, "away", 10, 300).await;
    // The broker dies too, and has what it has written down.
    broker.save().await;
    broker.kill().await;
    service.launch().await;
    wait_until("it says so", || service.log().contains(GONE[0])).await;
    broker.launch().await;
    stored_once(&service, "away", 300).await;

    // It dies under a bridge that is connected.
    broker.save().await;
    broker.kill().await;
    broker.launch().await;
    connected(&service).await;
    let mut publisher = Device::connect(&broker.address(), "publisher").await;
    publish(&mut publisher, "away", 300, 400).await;
    stored_once(&service, "away", 400).await;
    assert!(service.log().contains("has kept our session"), "{}", service.log());
    assert!(service.stop().await.success());
    service.assert_quiet(&GONE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_without_room_holds_the_broker_back() {
    let settings = Settings::default()
        .set("BELLWIRE_LOG_SEGMENT_BYTES", 65_536)
        .set("BELLWIRE_LOG_BYTES_MAX", 2 << 20)
        .set("BELLWIRE_MQTT_PACKET_BYTES_MAX", 16_384);
    let mut service = bridged_with(settings, "mqtt://127.0.0.1:1", "");
    let broker = Mosquitto::start(service.dir()).await;
    configure(&service, &url(&broker), "keep_alive_s = 5");
    service.launch().await;
    connected(&service).await;
    // The database takes nothing while someone else has this table.
    let sql = service.sql().await;
    let lock = "BEGIN; LOCK TABLE log_position IN ACCESS EXCLUSIVE MODE";
    sql.batch_execute(lock).await.unwrap();
    let mut publisher = Device::connect(&broker.address(), "publisher").await;
    let padding = " ".repeat(12_000);
    for n in 0..300 {
        let payload = format!("{{\"n\":{n}}}{padding}");
        publisher.publish("devices/held/telemetry", payload).await;
    }
    // That is more than the log takes: the rest waits at the broker.
    let until = tokio::time::Instant::now() + PATIENCE;
    let mut pulse = poll();
    while service.get("/readyz").await.0 != 503 {
        assert!(tokio::time::Instant::now() < until, "the log has room:\n{}", service.log());
        pulse.tick().await;
    }
    sql.batch_execute("COMMIT").await.unwrap();
    stored_once(&service, "held", 300).await;
    assert!(service.stop().await.success());
    service.assert_quiet(&["sockets are held"]);
}
