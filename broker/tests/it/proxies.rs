//! Behind a proxy that says for whom it connects; and the limits of those it names.

use std::sync::Arc;

use bellwire_broker::{Config, DoorConfig, ProxyConfig, Transport};
use tokio::net::TcpStream;

use crate::certs::{Authority, Files, over_tls};
use crate::support::{RawClient, Service, connect, wait_until};
use crate::tls::{Visitors, anywhere};

/// A PROXY header of version 2 for a client at this address.
pub(crate) fn header(client: [u8; 4], port: u16) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0C".to_vec();
    header.extend(client);
    header.extend([10, 0, 0, 1]);
    header.extend(port.to_be_bytes());
    header.extend(1883_u16.to_be_bytes());
    header
}

/// The same for a client with an IPv6 address.
fn header_v6(client: &str) -> Vec<u8> {
    let client: std::net::Ipv6Addr = client.parse().unwrap();
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24".to_vec();
    header.extend(client.octets());
    header.extend([0; 16]);
    header.extend([0x30, 0x39, 0x07, 0x5B]);
    header
}

/// Every plain listener takes proxies' word.
pub(crate) fn behind_proxies(door: DoorConfig) -> Config {
    let proxy = ProxyConfig { listeners: anywhere(), ..ProxyConfig::default() };
    Config { door, proxy, ..Config::default() }
}

/// A client that a proxy connects; what it is answered.
async fn answer(service: &Service, header: &[u8], id: &str) -> (RawClient, Vec<u8>) {
    let mut client = RawClient::open(service.address).await;
    client.send_what_goes(&[header, &connect(4, id)].concat()).await;
    let answer = client.read_or_nothing().await;
    (client, answer)
}

const CONNACK: &[u8] = &[0x20, 2, 0, 0];

#[tokio::test]
async fn the_address_is_the_clients() {
    let visitors = Arc::new(Visitors::default());
    let gatekeeper = Arc::clone(&visitors);
    let config = behind_proxies(DoorConfig::default());
    let service = Service::start_guarded(config, 1, gatekeeper).await;
    let (v4, answered) = answer(&service, &header([203, 0, 113, 9], 50_000), "v4").await;
    assert_eq!(answered, CONNACK);
    let (v6, answered) = answer(&service, &header_v6("2001:db8::7"), "v6").await;
    assert_eq!(answered, CONNACK);
    // LOCAL: the proxy speaks for itself.
    let (local, answered) = answer(&service, b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", "local").await;
    assert_eq!(answered, CONNACK);
    let seen: Vec<_> =
        visitors.0.lock().unwrap().iter().map(|peer| peer.address.to_string()).collect();
    assert_eq!(seen[..2], ["203.0.113.9:50000", "[2001:db8::7]:12345"]);
    assert!(seen[2].starts_with("127.0.0.1:"));
    service.stop((v4, v6, local)).await;
}

#[tokio::test]
async fn without_a_header_or_with_one_of_version_1_nobody_comes_in() {
    let service = Service::start_with(behind_proxies(DoorConfig::default()), 1).await;
    for header in [&b""[..], b"PROXY TCP4 203.0.113.9 10.0.0.1 50000 1883\r\n"] {
        let (_client, answered) = answer(&service, header, "c").await;
        assert_eq!(answered, b"", "{header:?}");
    }
    let failed = service.metric("bellwire_mqtt_handshakes_failed_total", Some("proxy"));
    assert_eq!(failed, 2.0);
    service.stop(()).await;
}

#[tokio::test]
async fn only_trusted_proxies_are_believed() {
    let mut config = behind_proxies(DoorConfig::default());
    config.proxy.trusted = vec!["10.0.0.0/8".parse().unwrap()];
    let service = Service::start_with(config, 1).await;
    let (_client, answered) = answer(&service, &header([203, 0, 113, 9], 1), "c").await;
    assert_eq!(answered, b"");
    let refused =
        service.metric("bellwire_mqtt_connections_refused_total", Some("untrusted_proxy"));
    assert_eq!(refused, 1.0);
    service.stop(()).await;
}

#[tokio::test]
async fn the_header_comes_before_tls() {
    let authority = Authority::new("authority");
    let files = Files::new(&authority);
    let visitors = Arc::new(Visitors::default());
    let proxy = ProxyConfig { listeners: anywhere(), ..ProxyConfig::default() };
    let config = Config { tls_listen: anywhere(), tls: files.config(), proxy, ..Config::default() };
    let service = Service::start_guarded(config, 1, Arc::clone(&visitors) as _).await;
    let stream = TcpStream::connect(service.at(Transport::Tls)).await.unwrap();
    let mut proxy = RawClient(stream);
    proxy.send(&header([203, 0, 113, 9], 50_000)).await;
    let client = over_tls(proxy.0, authority.client(None)).await.unwrap();
    let client = client.connected("c").await;
    assert_eq!(visitors.0.lock().unwrap()[0].address.to_string(), "203.0.113.9:50000");
    service.stop(client).await;
}

fn refused(service: &Service, limit: &str) -> f64 {
    service.metric("bellwire_mqtt_connections_refused_total", Some(limit))
}

#[tokio::test]
async fn a_source_has_no_more_connections_than_allowed_and_others_come_in() {
    let door = DoorConfig { connections_per_source_max: 2, ..DoorConfig::default() };
    let service = Service::start_with(behind_proxies(door), 1).await;
    let of = |port| header([203, 0, 113, 9], port);
    let (first, answered) = answer(&service, &of(1), "1").await;
    assert_eq!(answered, CONNACK);
    let (second, answered) = answer(&service, &of(2), "2").await;
    assert_eq!(answered, CONNACK);
    assert_eq!(answer(&service, &of(3), "3").await.1, b"");
    assert_eq!(refused(&service, "connections_per_source_max"), 1.0);
    let (other, answered) = answer(&service, &header([203, 0, 113, 10], 1), "4").await;
    assert_eq!(answered, CONNACK);
    drop(first);
    wait_until(|| service.handle.connections() == 2).await;
    drop((second, other));
    wait_until(|| service.metric("bellwire_mqtt_sources", None) <= 2.0).await;
    // An IPv6 network of 64 bits is one source.
    let (first, _) = answer(&service, &header_v6("2001:db8::1"), "5").await;
    let (second, answered) = answer(&service, &header_v6("2001:db8::2"), "6").await;
    assert_eq!(answered, CONNACK);
    assert_eq!(answer(&service, &header_v6("2001:db8::3"), "7").await.1, b"");
    let (other, answered) = answer(&service, &header_v6("2001:db8:0:1::1"), "8").await;
    assert_eq!(answered, CONNACK);
    service.stop((first, second, other)).await;
}

#[tokio::test]
async fn a_source_that_reconnects_in_a_loop_is_slowed_and_others_come_in() {
    let door = DoorConfig {
        connects_per_source_per_second_max: 1,
        connects_per_source_burst: 3,
        ..DoorConfig::default()
    };
    let service = Service::start_with(behind_proxies(door), 1).await;
    let mut n_admitted = 0;
    for n in 0..10 {
        let (_gone, answered) = answer(&service, &header([203, 0, 113, 9], n), "loop").await;
        n_admitted += u32::from(answered == CONNACK);
    }
    // One more may have come with each second that this took.
    assert!((3..8).contains(&n_admitted), "{n_admitted}");
    let n_refused = refused(&service, "connects_per_source_per_second_max");
    assert_eq!(n_refused, f64::from(10 - n_admitted));
    let (other, answered) = answer(&service, &header([203, 0, 113, 10], 1), "other").await;
    assert_eq!(answered, CONNACK);
    service.stop(other).await;
}

#[tokio::test]
async fn without_limits_per_client_there_are_none() {
    let door = DoorConfig {
        connections_per_source_max: 1,
        handshakes_per_source_max: 1,
        connects_per_source_per_second_max: 1,
        connects_per_source_burst: 1,
        ..DoorConfig::default()
    };
    let config = behind_proxies(door).without_limits_per_client();
    let service = Service::start_with(config, 1).await;
    let mut clients = Vec::new();
    for n in 0..5 {
        let (client, answered) =
            answer(&service, &header([203, 0, 113, 9], n), &n.to_string()).await;
        assert_eq!(answered, CONNACK);
        clients.push(client);
    }
    service.stop(clients).await;
}
