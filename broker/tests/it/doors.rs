//! Limits on those who are not in yet: handshakes, and the rate of new connections.

use bellwire_broker::{Config, DoorConfig};

use crate::proxies::{behind_proxies, header};
use crate::support::{RawClient, Service, connect, wait_until};

#[tokio::test]
async fn when_there_are_too_many_handshakes_the_next_waits_and_clients_go_on() {
    let door = DoorConfig { handshakes_max: 3, ..DoorConfig::default() };
    let service = Service::start_with(Config { door, ..Config::default() }, 1).await;
    let mut inside = RawClient::v3(service.address, "inside").await;
    let mut silent = Vec::new();
    for _ in 0..3 {
        silent.push(RawClient::open(service.address).await);
    }
    wait_until(|| service.metric("bellwire_mqtt_handshakes", None) == 3.0).await;
    wait_until(|| service.metric("bellwire_mqtt_handshakes_full_total", None) == 1.0).await;
    let mut next = RawClient::open(service.address).await;
    next.send(&connect(4, "next")).await;
    inside.settled_with(&[]).await;
    assert_eq!(service.handle.connections(), 4, "the next one is not taken yet");
    silent.pop();
    next.expect(&[0x20, 2, 0, 0]).await;
    service.stop((inside, silent, next)).await;
}

#[tokio::test]
async fn one_source_cannot_take_all_handshakes() {
    let door = DoorConfig { handshakes_per_source_max: 2, ..DoorConfig::default() };
    let service = Service::start_with(behind_proxies(door), 1).await;
    let open = async |source: [u8; 4], port| {
        let mut client = RawClient::open(service.address).await;
        client.send(&header(source, port)).await;
        client
    };
    let silent = [open([203, 0, 113, 9], 1).await, open([203, 0, 113, 9], 2).await];
    let all = || service.handle.connections();
    wait_until(|| all() == 2).await;
    let mut third = open([203, 0, 113, 9], 3).await;
    assert_eq!(third.read_or_nothing().await, b"");
    let refused = "bellwire_mqtt_connections_refused_total";
    assert_eq!(service.metric(refused, Some("handshakes_per_source_max")), 1.0);
    let mut other = open([203, 0, 113, 10], 1).await;
    other.send(&connect(4, "other")).await;
    other.expect(&[0x20, 2, 0, 0]).await;
    // Who is in makes room for the next.
    let [mut first, second] = silent;
    first.send(&connect(4, "first")).await;
    first.expect(&[0x20, 2, 0, 0]).await;
    let mut again = open([203, 0, 113, 9], 4).await;
    again.send(&connect(4, "again")).await;
    again.expect(&[0x20, 2, 0, 0]).await;
    service.stop((first, second, third, other, again)).await;
}

#[tokio::test]
async fn a_source_beyond_its_rate_takes_nothing_of_the_rate_of_all() {
    let door = DoorConfig {
        connects_per_second_max: 1,
        connects_burst: 5,
        connects_per_source_per_second_max: 1,
        connects_per_source_burst: 2,
        ..DoorConfig::default()
    };
    let service = Service::start_with(behind_proxies(door), 1).await;
    for n in 0..20 {
        let mut client = RawClient::open(service.address).await;
        client.send_what_goes(&header([203, 0, 113, 9], n)).await;
        client.send_what_goes(&connect(4, &n.to_string())).await;
        client.read_or_nothing().await;
    }
    let refused = "bellwire_mqtt_connections_refused_total";
    assert!(service.metric(refused, Some("connects_per_source_per_second_max")) > 0.0);
    assert_eq!(service.metric(refused, Some("connects_per_second_max")), 0.0);
    let mut other = RawClient::open(service.address).await;
    other.send(&header([203, 0, 113, 10], 1)).await;
    other.send(&connect(4, "other")).await;
    other.expect(&[0x20, 2, 0, 0]).await;
    service.stop(other).await;
}

#[tokio::test]
async fn more_connections_than_the_rate_allows_are_closed_and_counted() {
    let door =
        DoorConfig { connects_per_second_max: 1, connects_burst: 3, ..DoorConfig::default() };
    let service = Service::start_with(Config { door, ..Config::default() }, 1).await;
    let mut inside = RawClient::v3(service.address, "inside").await;
    let mut n_admitted = 0;
    for n in 0..10 {
        let mut client = RawClient::open(service.address).await;
        client.send_what_goes(&connect(4, &n.to_string())).await;
        n_admitted += u32::from(client.read_or_nothing().await == [0x20, 2, 0, 0]);
    }
    assert!((2..8).contains(&n_admitted), "{n_admitted}");
    let refused = "bellwire_mqtt_connections_refused_total";
    let n_refused = service.metric(refused, Some("connects_per_second_max"));
    assert_eq!(n_refused, f64::from(10 - n_admitted));
    inside.settled_with(&[]).await;
    service.stop(inside).await;
}
