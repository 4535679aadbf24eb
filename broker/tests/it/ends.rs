//! Starting on a taken port, and stopping in good order.

use std::net::SocketAddr;
use std::sync::Arc;

use bellwire_broker::access::OpenDoor;
use bellwire_broker::{Broker, Config, Error, Inlet, Metrics, SharedSessions};
use bellwire_model::{Clock, Delivery, Outcome, Timestamp};
use prometheus::Registry;
use tokio_util::task::TaskTracker;

use crate::support::{RawClient, Service, packet, publish, within};

#[derive(Debug)]
struct Nothing;

impl Inlet for Nothing {
    fn claims(&self, _: &str) -> bool {
        false
    }

    async fn submit(&self, _: Delivery) {}
}

impl Clock for Nothing {
    fn now(&self) -> Timestamp {
        Timestamp::EPOCH
    }
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address: SocketAddr = taken.local_addr().unwrap();
    let config = Config { listen: vec![address], ..Config::default() };
    let metrics = Metrics::register(&Registry::new()).unwrap();
    let sessions = SharedSessions::new(&config, metrics).unwrap();
    let (inlet, door, clock) = (Arc::new(Nothing), Arc::new(OpenDoor), Arc::new(Nothing));
    let broker = Broker::bind(config, &sessions, inlet, door, clock, TaskTracker::new());
    let error = broker.await.expect_err("the port is taken");
    assert_eq!(error.to_string(), format!("cannot listen for MQTT on {address}"));
    let Error::Listen { source, .. } = error else { panic!("{error}") };
    assert_eq!(source.kind(), std::io::ErrorKind::AddrInUse);
}

#[tokio::test]
async fn stopping_waits_for_receipts_and_writes_the_last_acknowledgements() {
    let mut service = Service::start().await;
    let mut v3 = RawClient::v3(service.address, "v3").await;
    let mut v5 = RawClient::v5(service.address, "v5").await;
    let mut idle = RawClient::v5(service.address, "idle").await;
    let mut silent = RawClient::open(service.address).await;
    v3.send(&publish("devices/d/telemetry", b"{}", 1)).await;
    let first = service.delivery().await.receipt;
    v5.send(&packet(0x32, b"\0\x09devices/d\0\x02\0x")).await;
    let second = service.delivery().await.receipt;
    service.shutdown.cancel();
    idle.expect_end(&[0xE0, 1, 0x8B]).await;
    silent.expect_end(&[]).await;
    drop((idle, silent));
    first.settle(Outcome::Durable);
    second.settle(Outcome::Durable);
    v3.expect_end(&[0x40, 2, 0, 1]).await;
    v5.expect_end(&[0x40, 2, 0, 2, 0xE0, 1, 0x8B]).await;
    drop((v3, v5));
    service.stop(()).await;
}

#[tokio::test]
async fn stopping_does_not_wait_for_ever() {
    let config = Config { shutdown_timeout_ms: 10, close_timeout_ms: 10, ..Config::default() };
    let mut service = Service::start_with(config, 1).await;
    let mut unsettled = RawClient::v5(service.address, "unsettled").await;
    unsettled.send(&packet(0x32, b"\0\x09devices/d\0\x01\0x")).await;
    let receipt = service.delivery().await.receipt;
    // Nobody takes this one, and the next finds no room.
    let mut other = RawClient::v3(service.address, "other").await;
    other.send(&publish("devices/o/telemetry", b"{}", 1)).await;
    let mut held = RawClient::v3(service.address, "held").await;
    held.send(&publish("devices/h/telemetry", b"{}", 1)).await;
    crate::support::wait_until(|| service.metric("bellwire_mqtt_connections_held", None) == 1.0)
        .await;
    service.shutdown.cancel();
    service.tracker.close();
    within(service.tracker.wait()).await;
    unsettled.expect_end(&[0xE0, 1, 0x8B]).await;
    held.expect_end(&[]).await;
    receipt.settle(Outcome::Durable);
}
