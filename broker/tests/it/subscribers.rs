//! Messages from publishers to subscribers.

use bellwire_broker::Config;
use bellwire_model::QoS;

use crate::support::{RawClient, Service, packet, publish, subscribe, text, wait_until};

async fn subscriber(service: &Service, id: &str, filters: &[(&str, u8)]) -> RawClient {
    let mut client = RawClient::v3(service.address, id).await;
    for &(filter, qos) in filters {
        client.send(&subscribe(filter, qos)).await;
        client.expect(&[0x90, 3, 0, 1, qos]).await;
    }
    client
}

#[tokio::test]
async fn wildcards_find_their_messages() {
    let service = Service::start().await;
    let mut plus = subscriber(&service, "plus", &[("a/+", 0)]).await;
    let mut hash = subscriber(&service, "hash", &[("a/#", 0)]).await;
    let mut none = subscriber(&service, "none", &[("b", 0)]).await;
    let mut publisher = RawClient::v3(service.address, "p").await;
    for topic in ["a", "a/b", "a/b/c", "c"] {
        publisher.send(&publish(topic, b"!", 0)).await;
    }
    publisher.settled_with(&[]).await;
    plus.settled_with(&publish("a/b", b"!", 0)).await;
    let all = [publish("a", b"!", 0), publish("a/b", b"!", 0), publish("a/b/c", b"!", 0)];
    hash.settled_with(&all.concat()).await;
    none.settled_with(&[]).await;
    service.stop((plus, hash, none, publisher)).await;
}

#[tokio::test]
async fn overlapping_subscriptions_deliver_once_at_the_higher_qos() {
    let service = Service::start().await;
    let mut client = subscriber(&service, "s", &[("#", 0), ("a/+", 1), ("a/b", 0)]).await;
    let mut publisher = RawClient::v3(service.address, "p").await;
    publisher.send(&publish("a/b", b"!", 5)).await;
    publisher.send(&publish("a/b", b"?", 0)).await;
    publisher.settled_with(&[0x40, 2, 0, 5]).await;
    client.settled_with(&[publish("a/b", b"!", 1), publish("a/b", b"?", 0)].concat()).await;
    service.stop((client, publisher)).await;
}

#[tokio::test]
async fn telemetry_reaches_subscribers_too() {
    let mut service = Service::start().await;
    service.settle_all();
    let mut client = subscriber(&service, "s", &[("devices/+/telemetry", 1)]).await;
    let mut publisher = RawClient::v3(service.address, "p").await;
    publisher.send(&publish("devices/d/telemetry", b"{}", 5)).await;
    publisher.expect(&[0x40, 2, 0, 5]).await;
    client.expect(&publish("devices/d/telemetry", b"{}", 1)).await;
    service.stop((client, publisher)).await;
}

#[tokio::test]
async fn a_subscription_that_ended_delivers_nothing() {
    let service = Service::start().await;
    let mut client = subscriber(&service, "s", &[("a", 0)]).await;
    client.send(&packet(0xA2, &[&[0, 2][..], &text("a")].concat())).await;
    client.expect(&[0xB0, 2, 0, 2]).await;
    assert_eq!(service.handle.publish("a", b"!", QoS::AtMostOnce).unwrap(), 0);
    client.send(&subscribe("a", 0)).await;
    client.expect(&[0x90, 3, 0, 1, 0]).await;
    assert_eq!(service.handle.publish("a", b"!", QoS::AtMostOnce).unwrap(), 1);
    client.settled_with(&publish("a", b"!", 0)).await;
    drop(client);
    wait_until(|| service.handle.subscriptions() == 0).await;
    wait_until(|| service.handle.connections() == 0).await;
    service.stop(()).await;
}

#[tokio::test]
async fn the_service_publishes_by_its_handle() {
    let service = Service::start().await;
    let mut client = subscriber(&service, "s", &[("devices/d/commands", 1)]).await;
    let n_sent = service.handle.publish("devices/d/commands", b"go", QoS::AtLeastOnce).unwrap();
    assert_eq!(n_sent, 1);
    client.expect(&publish("devices/d/commands", b"go", 1)).await;
    assert!(service.handle.publish("devices/+/commands", b"", QoS::AtMostOnce).is_err());
    service.stop(client).await;
}

#[tokio::test]
async fn version_5_subscribers_get_properties_identifiers_and_not_their_own() {
    let service = Service::start().await;
    let mut client = RawClient::v5(service.address, "s").await;
    // Subscription identifiers 7 and 8; the first with No Local.
    client.send(&packet(0x82, b"\0\x01\x02\x0B\x07\0\x01a\x04")).await;
    client.expect(&[0x90, 4, 0, 1, 0, 0]).await;
    client.send(&packet(0x82, b"\0\x02\x02\x0B\x08\0\x01#\0")).await;
    client.expect(&[0x90, 4, 0, 2, 0, 0]).await;
    client.send(&packet(0x30, b"\0\x01a\0own")).await;
    client.expect(&packet(0x30, b"\0\x01a\x02\x0B\x08own")).await;
    let mut publisher = RawClient::v5(service.address, "p").await;
    publisher.send(&packet(0x30, b"\0\x01a\x07\x26\0\x01k\0\x01v!")).await;
    client.expect(&packet(0x30, b"\0\x01a\x0B\x0B\x08\x0B\x07\x26\0\x01k\0\x01v!")).await;
    service.stop((client, publisher)).await;
}

#[tokio::test]
async fn a_version_3_subscriber_gets_a_version_5_publish_without_properties() {
    let service = Service::start().await;
    let mut client = subscriber(&service, "s", &[("a", 0)]).await;
    let mut publisher = RawClient::v5(service.address, "p").await;
    publisher.send(&packet(0x30, b"\0\x01a\x07\x26\0\x01k\0\x01v!")).await;
    client.expect(&publish("a", b"!", 0)).await;
    service.stop((client, publisher)).await;
}

#[tokio::test]
async fn a_subscriber_that_never_reads_loses_qos_0_and_holds_up_nobody() {
    let config = Config { outbox_messages_max: 20, ..Config::default() };
    let service = Service::start_with(config, 1).await;
    let mut lazy = subscriber(&service, "lazy", &[("a", 0)]).await;
    let mut keen = subscriber(&service, "keen", &[("b", 0)]).await;
    let payload = vec![b'x'; 100_000];
    // More than the kernel buffers between us and it.
    let mut n_sent = 0;
    while service.metric("bellwire_mqtt_messages_dropped_total", Some("outbox_full")) < 10.0 {
        n_sent += service.handle.publish("a", &payload, QoS::AtMostOnce).unwrap();
        tokio::task::yield_now().await;
        assert!(n_sent < 10_000, "a queue must have filled");
    }
    service.handle.publish("b", b"!", QoS::AtMostOnce).unwrap();
    keen.expect(&publish("b", b"!", 0)).await;
    lazy.expect(&publish("a", &payload, 0)).await;
    service.stop((lazy, keen)).await;
}

#[tokio::test]
async fn a_subscriber_that_never_reads_qos_1_is_disconnected() {
    let config = Config { outbox_messages_max: 5, inflight_messages_max: 2, ..Config::default() };
    let service = Service::start_with(config, 1).await;
    let mut lazy = RawClient::v5(service.address, "lazy").await;
    lazy.send(&packet(0x82, b"\0\x01\0\0\x01a\x01")).await;
    lazy.expect(&[0x90, 4, 0, 1, 0, 1]).await;
    let publish = || service.handle.publish("a", b"!", QoS::AtLeastOnce).unwrap();
    publish();
    publish();
    lazy.expect(&packet(0x32, b"\0\x01a\0\x01\0!")).await;
    lazy.expect(&packet(0x32, b"\0\x01a\0\x02\0!")).await;
    // It acknowledges neither: the next five wait, and for one more there is no room.
    for _ in 0..5 {
        publish();
    }
    lazy.settled_with(&[]).await;
    publish();
    lazy.expect_end(&[0xE0, 1, 0x97]).await;
    assert_eq!(service.metric("bellwire_mqtt_connections_closed_total", Some("slow_reader")), 1.0);
    service.stop(lazy).await;
}

fn connect_with_will(id: &str) -> Vec<u8> {
    let body = [&b"\0\x04MQTT\x04\x06\0\x3C"[..], &text(id), &text("gone"), &text(id)].concat();
    packet(0x10, &body)
}

#[tokio::test]
async fn a_will_tells_of_a_lost_client_and_not_of_one_that_left() {
    let service = Service::start().await;
    let mut watcher = subscriber(&service, "w", &[("gone", 0)]).await;
    for id in ["leaves", "lost", "wrong"] {
        let mut client = RawClient::open(service.address).await;
        client.send(&connect_with_will(id)).await;
        client.expect(&[0x20, 2, 0, 0]).await;
        match id {
            "leaves" => {
                client.send(&[0xE0, 0]).await;
                client.expect_end(&[]).await;
            }
            "lost" => drop(client),
            _ => {
                client.send(&publish("#", b"", 0)).await;
                client.expect_end(&[]).await;
            }
        }
        if id != "leaves" {
            watcher.expect(&publish("gone", id.as_bytes(), 0)).await;
        }
    }
    watcher.settled_with(&[]).await;
    service.stop(watcher).await;
}

#[tokio::test]
async fn a_will_on_a_telemetry_topic_goes_to_the_log() {
    let mut service = Service::start().await;
    let mut client = RawClient::open(service.address).await;
    let will = [text("devices/d/status"), text("offline")].concat();
    let body = [&b"\0\x04MQTT\x04\x06\0\x3C\0\x01c"[..], &will].concat();
    client.send(&packet(0x10, &body)).await;
    client.expect(&[0x20, 2, 0, 0]).await;
    drop(client);
    let delivery = service.delivery().await;
    let publish = delivery.publishes.iter().next().unwrap().unwrap();
    assert_eq!((publish.topic, publish.payload), ("devices/d/status", &b"offline"[..]));
    service.stop(()).await;
}
