//! What a careless or hostile client gets: an answer and the end of its own connection.

use bellwire_broker::Config;
use bellwire_model::Outcome;

use crate::support::{RawClient, Service, connect, packet, publish, wait_until};

#[tokio::test]
async fn a_client_that_breaks_the_rules_hurts_only_itself() {
    let service = Service::start().await;
    let mut bystander = RawClient::v3(service.address, "bystander").await;
    for (bytes, code) in [
        (packet(0x30, b"\0\x03a/#\0"), 0x90),
        (packet(0x30, b"\0\x03a\0b\0"), 0x90),
        (packet(0x30, b"\0\x02a\xFF\0"), 0x81),
        (packet(0x32, b"\0\x01a\0\0\0"), 0x82),
        (packet(0x30, b"\0\x01a\x03\x23\0\x63"), 0x94),
        (vec![0x30, 0xFF, 0xFF, 0xFF, 0xFF], 0x81),
        (vec![0x30, 0xFF, 0xFF, 0xFF, 0x7F], 0x95),
        (packet(0x82, b"\0\x01"), 0x81),
        (packet(0xF0, b""), 0x82),
        (connect(5, "again"), 0x82),
    ] {
        let mut client = RawClient::v5(service.address, "hostile").await;
        client.send(&bytes).await;
        client.expect_end(&[0xE0, 1, code]).await;
    }
    let mut v3 = RawClient::v3(service.address, "v3").await;
    v3.send(&packet(0x36, b"\0\x01a\0\x01")).await;
    v3.expect_end(&[]).await;
    bystander.settled_with(&[]).await;
    assert!(service.metric("bellwire_mqtt_connections_closed_total", Some("malformed")) >= 3.0);
    service.stop((bystander, v3)).await;
}

#[tokio::test]
async fn an_oversized_packet_is_refused_from_its_header_and_the_reason_arrives() {
    let config = Config { packet_bytes_max: 1000, ..Config::default() };
    let mut service = Service::start_with(config, 10).await;
    let mut client = RawClient::v5(service.address, "c").await;
    let fits = packet(0x30, &[&b"\0\x09devices/d\0"[..], &[b'x'; 985]].concat());
    assert_eq!(fits.len(), 1000);
    client.send(&fits).await;
    service.delivery().await.receipt.settle(Outcome::Durable);
    // Its bytes keep coming although nobody wants them: the reason must not be lost to a reset.
    client.send_what_goes(&packet(0x30, &[b'x'; 100_000])).await;
    client.expect_end(&[0xE0, 1, 0x95]).await;
    service.stop(client).await;
}

#[tokio::test]
async fn strangers_are_answered_as_their_version_allows() {
    let service = Service::start().await;
    for (bytes, answer) in [
        (packet(0x10, b"\0\x04MQTT\x03\x02\0\0\0\x01c"), &[0x20, 2, 0, 1][..]),
        (packet(0x10, b"\0\x06MQIsdp\x03\x02\0\0\0\x01c"), &[0x20, 2, 0, 1]),
        (packet(0x10, b"\0\x04MQTT\x06\x02\0\0\0\0\x01c"), &[0x20, 3, 0, 0x84, 0]),
        (packet(0x10, b"\0\x04MQTT\x04\0\0\0\0\0"), &[0x20, 2, 0, 2]),
        (packet(0x10, b"\0\x04MQTT\x05\x02\0\0\0\0\x01\x07"), &[0x20, 3, 0, 0x85, 0]),
        (packet(0x10, b"\0\x04MQTT\x05\x02\0\0\x04\x15\0\x01x\0\x01c"), &[0x20, 3, 0, 0x8C, 0]),
        (packet(0x10, b"\0\x04MQTT\x05\x1E\0\0\0\0\x01c\0\0\x01w\0\0"), &[0x20, 3, 0, 0x81, 0]),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), &[]),
        (b"\x16\x03\x01\x02\x00\x01".to_vec(), &[]),
    ] {
        let mut client = RawClient::open(service.address).await;
        client.send(&bytes).await;
        client.expect_end(answer).await;
    }
    service.stop(()).await;
}

#[tokio::test]
async fn a_new_connection_takes_over_from_the_old_one() {
    let mut service = Service::start().await;
    let mut old = RawClient::v5(service.address, "same").await;
    old.send(&packet(0x32, b"\0\x09devices/d\0\x01\0x")).await;
    let unsettled = service.delivery().await.receipt;
    let mut new = RawClient::v3(service.address, "same").await;
    old.expect_end(&[0xE0, 1, 0x8E]).await;
    unsettled.settle(Outcome::Durable);
    new.settled_with(&[]).await;
    let mut third = RawClient::v3(service.address, "same").await;
    new.expect_end(&[]).await;
    third.settled_with(&[]).await;
    wait_until(|| service.handle.connections() == 1).await;
    service.stop((old, new, third)).await;
}

#[tokio::test]
async fn there_are_no_more_connections_than_allowed() {
    let config = Config { connections_max: 2, ..Config::default() };
    let service = Service::start_with(config, 1).await;
    let first = RawClient::v3(service.address, "1").await;
    let mut second = RawClient::v3(service.address, "2").await;
    let mut third = RawClient::open(service.address).await;
    third.expect_end(&[]).await;
    assert_eq!(service.metric("bellwire_mqtt_connections_refused_total", None), 1.0);
    second.settled_with(&[]).await;
    drop(first);
    wait_until(|| service.handle.connections() == 1).await;
    let service_address = service.address;
    // The permit follows the place by a moment.
    crate::support::within(async {
        loop {
            let mut again = RawClient::open(service_address).await;
            again.send_what_goes(&connect(4, "3")).await;
            if again.read_or_nothing().await == [0x20, 2, 0, 0] {
                break;
            }
        }
    })
    .await;
    service.stop((second, third)).await;
}

#[tokio::test]
async fn packet_ids_used_again_are_acknowledged_each_time() {
    let mut service = Service::start().await;
    service.settle_all();
    let mut client = RawClient::v3(service.address, "c").await;
    let same: Vec<u8> =
        (0..1000).flat_map(|_| publish("devices/d/telemetry", b"{}", 0xFFFF)).collect();
    client.send(&same).await;
    client.expect(&[0x40, 2, 0xFF, 0xFF].repeat(1000)).await;
    service.stop(client).await;
}

#[tokio::test]
async fn a_client_has_no_more_subscriptions_than_allowed() {
    let config = Config { subscriptions_per_client_max: 1, ..Config::default() };
    let service = Service::start_with(config, 1).await;
    let mut client = RawClient::v5(service.address, "c").await;
    client.send(&packet(0x82, b"\0\x01\0\0\x01a\0\0\x01b\0\0\x01a\x01")).await;
    client.expect(&[0x90, 6, 0, 1, 0, 0, 0x97, 1]).await;
    assert_eq!(service.handle.subscriptions(), 1);
    service.stop(client).await;
}
