//! Acknowledged means kept: PUBACK leaves when the receipt is settled, in order, in one write.

use bellwire_broker::Config;
use bellwire_model::{Outcome, QoS};

use crate::support::{RawClient, Service, publish, wait_until};

#[tokio::test]
async fn an_acknowledgement_waits_for_its_receipt() {
    let mut service = Service::start().await;
    let mut client = RawClient::v3(service.address, "c").await;
    client.send(&publish("devices/d/telemetry", b"{}", 7)).await;
    let delivery = service.delivery().await;
    assert_eq!(delivery.client.as_str(), "c");
    let publishes: Vec<_> = delivery.publishes.iter().map(Result::unwrap).collect();
    let [it] = publishes[..] else { panic!("one publish, not {publishes:?}") };
    assert_eq!((it.topic, it.payload), ("devices/d/telemetry", &b"{}"[..]));
    assert_eq!((it.qos, it.packet_id), (QoS::AtLeastOnce, 7));
    client.settled_with(&[]).await;
    delivery.receipt.settle(Outcome::Durable);
    client.expect(&[0x40, 2, 0, 7]).await;
    service.stop(client).await;
}

#[tokio::test]
async fn what_came_in_one_write_is_one_delivery_and_acknowledged_in_one_write() {
    let mut service = Service::start().await;
    let mut client = RawClient::v3(service.address, "c").await;
    let publishes: Vec<u8> =
        (1..=100).flat_map(|id| publish("devices/d/telemetry", b"{\"a\":1}", id)).collect();
    client.send(&publishes).await;
    let delivery = service.delivery().await;
    assert_eq!(delivery.publishes.len(), 100);
    let writes = service.metric("bellwire_mqtt_writes_total", None);
    delivery.receipt.settle(Outcome::Durable);
    let acks: Vec<u8> = (1..=100).flat_map(|id| [0x40, 2, 0, id]).collect();
    assert_eq!(client.read_once().await, acks);
    assert_eq!(service.metric("bellwire_mqtt_writes_total", None), writes + 1.0);
    service.stop(client).await;
}

#[tokio::test]
async fn acknowledgements_keep_the_order_of_arrival_however_receipts_settle() {
    let mut service = Service::start().await;
    let mut client = RawClient::v3(service.address, "c").await;
    let mut receipts = Vec::new();
    for id in [1, 3, 5] {
        client.send(&publish("devices/d/telemetry", b"{}", id)).await;
        receipts.push(service.delivery().await.receipt);
        client.send(&publish("other", b"", id + 1)).await;
    }
    client.settled_with(&[]).await;
    receipts.pop().unwrap().settle(Outcome::Durable);
    receipts.pop().unwrap().settle(Outcome::Durable);
    client.settled_with(&[]).await;
    receipts.pop().unwrap().settle(Outcome::Durable);
    let acks: Vec<u8> = (1..=6).flat_map(|id| [0x40, 2, 0, id]).collect();
    client.expect(&acks).await;
    service.stop(client).await;
}

#[tokio::test]
async fn a_publish_that_is_no_telemetry_is_acknowledged_at_once() {
    let service = Service::start().await;
    let mut client = RawClient::v3(service.address, "c").await;
    client.send(&publish("other", b"x", 9)).await;
    client.expect(&[0x40, 2, 0, 9]).await;
    service.stop(client).await;
}

#[tokio::test]
async fn what_was_not_stored_closes_the_connection_unacknowledged() {
    let mut service = Service::start().await;
    let mut v3 = RawClient::v3(service.address, "v3").await;
    v3.send(&publish("devices/d/telemetry", b"{}", 1)).await;
    drop(service.delivery().await.receipt);
    v3.expect_end(&[]).await;
    let mut v5 = RawClient::v5(service.address, "v5").await;
    v5.send(b"\x32\x0F\0\x09devices/d\0\x01\0x").await;
    service.delivery().await.receipt.settle(Outcome::Retry);
    v5.expect_end(&[0xE0, 1, 0x89]).await;
    service.stop((v3, v5)).await;
}

#[tokio::test]
async fn what_is_rejected_is_told() {
    let mut service = Service::start().await;
    let mut v3 = RawClient::v3(service.address, "v3").await;
    v3.send(&publish("devices/d/telemetry", b"{}", 1)).await;
    service.delivery().await.receipt.settle(Outcome::Rejected);
    v3.expect_end(&[]).await;
    let mut v5 = RawClient::v5(service.address, "v5").await;
    v5.send(b"\x32\x0F\0\x09devices/d\0\x01\0x").await;
    service.delivery().await.receipt.settle(Outcome::Rejected);
    v5.expect(&[0x40, 3, 0, 1, 0x97]).await;
    v5.settled_with(&[]).await;
    service.stop((v3, v5)).await;
}

#[tokio::test]
async fn a_held_connection_still_hears_what_was_settled() {
    let mut service = Service::start_with(Config::default(), 1).await;
    let mut held = RawClient::v3(service.address, "held").await;
    held.send(&publish("devices/h/telemetry", b"{}", 1)).await;
    let first = service.delivery().await.receipt;
    let mut other = RawClient::v3(service.address, "other").await;
    other.send(&publish("devices/o/telemetry", b"{}", 1)).await;
    let deliveries = &service.deliveries;
    wait_until(|| deliveries.len() == 1).await;
    held.send(&publish("devices/h/telemetry", b"{}", 2)).await;
    wait_until(|| service.metric("bellwire_mqtt_connections_held", None) == 1.0).await;
    first.settle(Outcome::Durable);
    held.expect(&[0x40, 2, 0, 1]).await;
    service.settle_all();
    held.expect(&[0x40, 2, 0, 2]).await;
    other.expect(&[0x40, 2, 0, 1]).await;
    assert_eq!(service.metric("bellwire_mqtt_connections_held", None), 0.0);
    service.stop((held, other)).await;
}

#[tokio::test]
async fn a_client_that_floods_is_not_read_beyond_its_bound() {
    let config = Config { unacknowledged_publishes_max: 10, ..Config::default() };
    let mut service = Service::start_with(config, 1000).await;
    let mut client = RawClient::v3(service.address, "flood").await;
    let mut n_publishes = 0;
    let mut receipts = Vec::new();
    for id in 1..=10 {
        client.send(&publish("devices/d/telemetry", b"{}", id)).await;
        let delivery = service.delivery().await;
        n_publishes += delivery.publishes.len();
        receipts.push(delivery.receipt);
    }
    assert_eq!(n_publishes, 10);
    client.send(&publish("devices/d/telemetry", b"{}", 11)).await;
    // Another connection's delivery comes, so the broker has had its turn.
    let mut other = RawClient::v3(service.address, "other").await;
    other.send(&publish("devices/o/telemetry", b"{}", 1)).await;
    assert_eq!(service.delivery().await.client.as_str(), "other");
    receipts.into_iter().for_each(|receipt| receipt.settle(Outcome::Durable));
    assert_eq!(service.delivery().await.client.as_str(), "flood");
    service.stop((client, other)).await;
}

#[tokio::test]
async fn qos_0_telemetry_that_is_not_stored_is_counted_and_the_client_stays() {
    let mut service = Service::start().await;
    let mut client = RawClient::v3(service.address, "c").await;
    let both = [publish("devices/d/telemetry", b"{}", 0), publish("devices/d/telemetry", b"{}", 0)];
    client.send(&both.concat()).await;
    service.delivery().await.receipt.settle(Outcome::Retry);
    wait_until(|| service.metric("bellwire_mqtt_publishes_lost_total", None) == 2.0).await;
    client.settled_with(&[]).await;
    service.stop(client).await;
}

#[tokio::test]
async fn a_receipt_settled_after_its_connection_is_gone_does_no_harm() {
    let mut service = Service::start().await;
    let mut client = RawClient::v3(service.address, "c").await;
    client.send(&publish("devices/d/telemetry", b"{}", 1)).await;
    let late = service.delivery().await.receipt;
    let mut again = RawClient::v3(service.address, "c").await;
    client.expect_end(&[]).await;
    late.settle(Outcome::Durable);
    again.settled_with(&[]).await;
    service.stop((client, again)).await;
}
