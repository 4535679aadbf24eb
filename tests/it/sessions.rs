//! MQTT sessions over a `kill -9`: subscriptions, what waits for clients that are away, retained
//! messages, and QoS 2 in the middle of its four packets.

use crate::support::raw::{RawClient, packet};
use crate::support::service::{Service, Settings};

const QOS_2: u8 = 0x34;
const DUP: u8 = 0x08;

/// Connects as `name` with a session that outlives the connection; whether it was there before.
async fn connect(service: &Service, name: &str) -> (RawClient, bool) {
    let mut client = RawClient::dial(&service.mqtt()).await;
    let mut body = b"\0\x04MQTT\x04\0\0\x3C".to_vec();
    body.extend([0, u8::try_from(name.len()).unwrap()]);
    body.extend(name.as_bytes());
    client.send(&packet(0x10, &body)).await;
    let connack = client.read(4).await;
    assert_eq!((&connack[..2], connack[3]), (&[0x20, 2][..], 0));
    (client, connack[2] == 1)
}

fn publish(first: u8, topic: &str, packet_id: u8, payload: &str) -> Vec<u8> {
    let topic_bytes = u8::try_from(topic.len()).unwrap();
    let head = [&[0, topic_bytes][..], topic.as_bytes(), &[0, packet_id]].concat();
    packet(first, &[&head, payload.as_bytes()].concat())
}

async fn subscribe(client: &mut RawClient, filter: &str, qos: u8) {
    let filter_bytes = u8::try_from(filter.len()).unwrap();
    let body = [&[0, 9, 0, filter_bytes][..], filter.as_bytes(), &[qos]].concat();
    client.send(&packet(0x82, &body)).await;
    assert_eq!(client.read(5).await, [0x90, 3, 0, 9, qos]);
}

/// Reads QoS 2 messages on `topic` with these payloads in this order, and goes through to their end.
async fn receive(client: &mut RawClient, topic: &str, payloads: &[&str]) {
    let (mut got, mut n_released) = (Vec::new(), 0);
    while n_released < payloads.len() {
        let head = client.read(2).await;
        let body = client.read(head[1].into()).await;
        match head[0] {
            0x62 => {
                client.send(&[0x70, 2, body[0], body[1]]).await;
                n_released += 1;
            }
            first => {
                assert_eq!(first & !DUP, QOS_2);
                let (name, rest) = body[2..].split_at(topic.len());
                assert_eq!(name, topic.as_bytes());
                client.send(&[0x50, 2, rest[0], rest[1]]).await;
                got.push(String::from_utf8(rest[2..].to_vec()).unwrap());
            }
        }
    }
    assert_eq!(got, payloads);
}

async fn restart(service: &mut Service) {
    service.kill().await;
    service.launch().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_loses_and_repeats_nothing_of_a_session() {
    let mut service = Service::start(Settings::default()).await;
    let (mut away, was_there) = connect(&service, "away").await;
    assert!(!was_there);
    subscribe(&mut away, "plant/#", 2).await;
    drop(away);
    let (mut publisher, _) = connect(&service, "publisher").await;
    publisher.send(&publish(QOS_2, "plant/a", 1, "one")).await;
    assert_eq!(publisher.read(4).await, [0x50, 2, 0, 1]);
    restart(&mut service).await;

    // What is taken and not released is known: sent again, it is not passed on again.
    let (mut publisher, was_there) = connect(&service, "publisher").await;
    assert!(was_there);
    publisher.send(&publish(QOS_2 | DUP, "plant/a", 1, "one")).await;
    assert_eq!(publisher.read(4).await, [0x50, 2, 0, 1]);
    publisher.send(&[0x62, 2, 0, 1]).await;
    assert_eq!(publisher.read(4).await, [0x70, 2, 0, 1]);
    restart(&mut service).await;

    // Released, its identifier is free for another.
    let (mut publisher, _) = connect(&service, "publisher").await;
    publisher.send(&publish(QOS_2, "plant/a", 1, "two")).await;
    assert_eq!(publisher.read(4).await, [0x50, 2, 0, 1]);
    let (mut away, was_there) = connect(&service, "away").await;
    assert!(was_there);
    receive(&mut away, "plant/a", &["one", "two"]).await;
    drop(away);
    publisher.send(&[0x62, 2, 0, 1]).await;
    assert_eq!(publisher.read(4).await, [0x70, 2, 0, 1]);
    assert!(service.stop().await.success());
    service.launch().await;
    let (mut away, was_there) = connect(&service, "away").await;
    assert!(was_there, "a stop in good order keeps it as well");
    away.send(&[0xC0, 0]).await;
    assert_eq!(away.read(2).await, [0xD0, 0], "nothing comes a second time");
    assert!(service.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_neither_loses_nor_repeats_qos_2_telemetry() {
    let mut service = Service::start(Settings::default()).await;
    let (mut device, _) = connect(&service, "d").await;
    let topic = "devices/d/telemetry/t";
    for n in 1..=3 {
        device.send(&publish(QOS_2, topic, n, &n.to_string())).await;
        assert_eq!(device.read(4).await, [0x50, 2, 0, n]);
        restart(&mut service).await;
        device = connect(&service, "d").await.0;
        device.send(&publish(QOS_2 | DUP, topic, n, &n.to_string())).await;
        assert_eq!(device.read(4).await, [0x50, 2, 0, n]);
        device.send(&[0x62, 2, 0, n]).await;
        assert_eq!(device.read(4).await, [0x70, 2, 0, n]);
    }
    let account = service.wait_for("/api/v1/devices/d/audit", |it| it["stored"] == 3).await;
    assert_eq!((&account["received"], &account["readings"]), (&3.into(), &3.into()));
    let rows = "SELECT string_agg(value::text, ' ' ORDER BY at) FROM readings WHERE device = 'd'";
    let found: String = service.sql().await.query_one(rows, &[]).await.unwrap().get(0);
    assert_eq!(found, "1 2 3");
    assert!(service.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn retained_messages_outlive_a_kill() {
    let mut service = Service::start(Settings::default()).await;
    let (mut publisher, _) = connect(&service, "publisher").await;
    for (n, (topic, payload)) in [("a", "1"), ("b", "2"), ("a", "3"), ("b", "")].iter().enumerate()
    {
        let id = u8::try_from(n).unwrap() + 1;
        publisher.send(&publish(0x33, topic, id, payload)).await;
        assert_eq!(publisher.read(4).await, [0x40, 2, 0, id]);
    }
    restart(&mut service).await;
    let (mut late, _) = connect(&service, "late").await;
    subscribe(&mut late, "+", 0).await;
    assert_eq!(late.read(6).await, [0x31, 4, 0, 1, b'a', b'3']);
    late.send(&[0xC0, 0]).await;
    assert_eq!(late.read(2).await, [0xD0, 0]);
    assert!(service.stop().await.success());
}
