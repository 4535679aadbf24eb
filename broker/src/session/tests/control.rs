//! Everything a client sends beside publishes.

use super::*;

#[test]
fn wrong_control_packets_close_the_connection() {
    for (bytes, kind) in [
        (&b"\xC1\0"[..], CloseKind::Malformed),
        (b"\xC0\x01\0", CloseKind::Malformed),
        (b"\x80\x06\0\x01\0\x01a\0", CloseKind::Malformed),
        (b"\x82\x02\0\x01", CloseKind::Protocol),
        (b"\x82\x06\0\0\0\x01a\0", CloseKind::Protocol),
        (b"\xA2\x02\0\x01", CloseKind::Protocol),
        (b"\x40\x02\0\0", CloseKind::Protocol),
        (b"\x40\x01\0", CloseKind::Malformed),
        (b"\xE0\x01\0", CloseKind::Malformed),
        (b"\xF0\0", CloseKind::Protocol),
        (b"\0\0", CloseKind::Protocol),
        (b"\x20\x02\0\0", CloseKind::Protocol),
        (b"\x50\x02\0\0", CloseKind::Protocol),
        (CONNECT_V3, CloseKind::Protocol),
    ] {
        check(CONNECT_V3, bytes, &[], Some(kind));
    }
}

#[test]
fn a_ping_is_answered() {
    check(CONNECT_V3, b"\xC0\0", &[0xD0, 0], None);
}

#[test]
fn disconnect_forgets_or_keeps_the_will() {
    check(CONNECT_V3, b"\xE0\0", &[], Some(CloseKind::ClientDisconnected));
    check(CONNECT_V5, b"\xE0\x01\x04", &[], Some(CloseKind::ClientDisconnectedWithWill));
}

#[test]
fn nothing_but_connect_may_come_first() {
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\xC0\0", b"\x16\x03\x01", b"\0"] {
        let mut client = Client::new(Config::default());
        client.receive(bytes);
        assert!(client.closed.is_some(), "{bytes:x?}");
        assert!(client.take_output().is_empty());
    }
}

#[test]
fn a_stranger_gets_less_memory_than_a_client() {
    let config = Config { connect_bytes_max: 64, ..Config::default() };
    let mut client = Client::new(config);
    client.receive(b"\x10\x3F");
    assert_eq!(client.closed, Some(CloseKind::PacketTooLarge));
}

#[test]
fn a_client_without_a_name_is_told_the_one_it_gets() {
    let mut client = Client::new(Config::default());
    client.receive(b"\x10\x0D\0\x04MQTT\x05\x02\0\x0A\0\0\0");
    let connack = client.take_output();
    assert!(connack.windows(9).any(|it| it == b"\x12\0\x06auto-1"), "{connack:x?}");
}

#[test]
fn what_comes_behind_connect_in_one_read_is_read_after_it() {
    let mut client = Client::new(Config::default());
    client.receive(&[CONNECT_V3, &publish("t/a", b"1", 1), b"\xC0\0"].concat());
    assert_eq!(client.take_output(), [0x20, 2, 0, 0, 0xD0, 0]);
    assert_eq!(client.batches.len(), 1);
}

#[test]
fn subscriptions_are_granted_or_refused_one_by_one() {
    let filters = b"\0\x01a\x02\0\x03b/#\0\0\x02#a\0\0\x0A$share/g/x\x01\0\x01d\0\0\x09forbidden\0\0\x06hidden\0";
    let v3 = [b"\0\x09", &filters[..]].concat();
    check(CONNECT_V3, &packet(0x82, &v3), &[0x90, 9, 0, 9, 2, 0, 0x80, 1, 0x80, 0x80, 0x80], None);
    let v5 = [b"\0\x09\0", &filters[..]].concat();
    let answer = [0x90, 10, 0, 9, 0, 2, 0, 0x8F, 1, 0x97, 0x87, 0x80];
    check(CONNECT_V5, &packet(0x82, &v5), &answer, None);
    check(
        CONNECT_V5,
        b"\x82\x10\0\x01\0\0\x0A$share/g/x\x04",
        &[0xE0, 1, 0x82],
        Some(CloseKind::Protocol),
    );
}

#[test]
fn a_client_sets_the_life_of_its_session_as_it_leaves() {
    let connect = b"\x10\x13\0\x04MQTT\x05\x02\0\x0A\x05\x11\0\0\0\x09\0\x01c";
    let mut client = Client::connected(Config::default(), connect);
    client.receive(b"\xE0\x07\0\x05\x11\0\0\0\x05");
    assert_eq!(client.closed, Some(CloseKind::ClientDisconnected));
    assert_eq!(client.recorder.expiry_s, Some(5));
}

#[test]
fn unsubscribing_says_what_there_was() {
    let mut client = Client::connected(Config::default(), CONNECT_V5);
    client.receive(b"\x82\x07\0\x01\0\0\x01a\x01");
    client.take_output();
    client.receive(b"\xA2\x09\0\x02\0\0\x01a\0\x01b");
    assert_eq!(client.take_output(), [0xB0, 5, 0, 2, 0, 0, 0x11]);
}

#[test]
fn every_publish_is_routed_when_someone_subscribes() {
    let mut client = Client::connected(Config::default(), CONNECT_V3);
    client.receive(&publish("x", b"0", 0));
    client.recorder.has_subscribers = true;
    client.receive(&[publish("t/a", b"1", 1), publish("x", b"2", 0)].concat());
    let routed: Vec<_> = client.recorder.routed.iter().map(|(topic, _)| topic.as_str()).collect();
    assert_eq!(routed, ["t/a", "x"]);
}
