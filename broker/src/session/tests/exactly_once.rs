//! QoS 2 in both directions.

use super::*;
use crate::message::{Message, Outgoing};

/// A QoS 2 publish on `topic`.
fn exactly_once(topic: &str, payload: &[u8], packet_id: u16) -> Vec<u8> {
    publish_with(0x34, topic.as_bytes(), payload, packet_id)
}

#[test]
fn a_publish_is_taken_once_however_often_it_comes_before_its_release() {
    let mut client = Client::connected(Config::default(), CONNECT_V3);
    client.receive(&exactly_once("t/a", b"1", 7));
    client.receive(&publish_with(0x3C, b"t/a", b"1", 7));
    client.session.release();
    assert!(client.take_output().is_empty(), "the repetition overtakes nothing");
    let ticket = client.batches.remove(0).ticket;
    client.settle(ticket, Outcome::Durable);
    assert_eq!(client.take_output(), [0x50, 2, 0, 7, 0x50, 2, 0, 7]);
    assert!(client.batches.is_empty(), "it is not stored again");
    client.receive(b"\x62\x02\0\x07");
    assert_eq!(client.take_output(), [0x70, 2, 0, 7]);
    client.receive(&exactly_once("t/a", b"2", 7));
    assert_eq!(client.batches.len(), 1, "released, the identifier is new again");
}

#[test]
fn other_publishes_are_routed_once() {
    let mut client = Client::connected(Config::default(), CONNECT_V3);
    client.recorder.has_subscribers = true;
    client.receive(&[exactly_once("x", b"1", 7), exactly_once("x", b"1", 7)].concat());
    assert_eq!(client.take_output(), [0x50, 2, 0, 7, 0x50, 2, 0, 7]);
    assert_eq!(client.recorder.routed.len(), 1);
}

#[test]
fn an_unknown_release_is_answered() {
    check(CONNECT_V3, b"\x62\x02\0\x05", &[0x70, 2, 0, 5], None);
    check(CONNECT_V5, b"\x62\x02\0\x05", &[0x70, 3, 0, 5, 0x92], None);
}

#[test]
fn a_kept_session_answers_when_its_changes_are_durable() {
    let mut client = Client::connected(Config::default(), CONNECT_V3);
    client.recorder.is_kept = true;
    client.receive(&exactly_once("x", b"1", 7));
    assert!(client.take_output().is_empty());
    let ticket = client.batches.remove(0).ticket;
    client.settle(ticket, Outcome::Durable);
    assert_eq!(client.take_output(), [0x50, 2, 0, 7]);
    client.receive(b"\x62\x02\0\x07");
    assert!(
        client.take_output().is_empty(),
        "a restart must not take the identifier for unreleased"
    );
    let ticket = client.batches.remove(0).ticket;
    client.settle(ticket, Outcome::Durable);
    assert_eq!(client.take_output(), [0x70, 2, 0, 7]);
    client.receive(b"\x82\x06\0\x01\0\x01a\x01");
    assert!(client.take_output().is_empty(), "nor is a subscription acknowledged before");
    let ticket = client.batches.remove(0).ticket;
    client.settle(ticket, Outcome::Durable);
    assert_eq!(client.take_output(), [0x90, 3, 0, 1, 1]);
}

#[test]
fn what_the_log_rejects_frees_its_identifier() {
    let mut client = Client::connected(Config::default(), CONNECT_V5);
    client.receive(b"\x34\x09\0\x03t/a\0\x01\0x");
    let ticket = client.batches.remove(0).ticket.expect("owed");
    client.session.settle(ticket, Outcome::Rejected);
    assert_eq!(client.session.release().rejected, [1]);
    assert_eq!(client.take_output(), [0x50, 3, 0, 1, 0x97]);
}

#[test]
fn a_flood_without_release_is_ended() {
    let config = Config { unacknowledged_publishes_max: 2, ..Config::default() };
    for (connect, property) in [(CONNECT_V3, &b""[..]), (CONNECT_V5, b"\0")] {
        let mut client = Client::connected(config.clone(), connect);
        for id in 1..=3_u16 {
            client.receive(&publish_with(0x34, b"x", property, id));
        }
        assert_eq!(client.closed, Some(CloseKind::ReceiveMaximumExceeded));
    }
}

#[test]
fn a_message_is_sent_released_and_over() {
    let mut client = Client::connected(Config::default(), CONNECT_V5);
    let qos = QoS::ExactlyOnce;
    let (topic, properties, payload) = ("m", &[][..], &b"x"[..]);
    let routed = Routed { topic, properties, payload, qos, retain: false, expires_at: None };
    let message = Message::new(&routed);
    let outgoing = Outgoing { message, qos, retain: false, subscription_ids: vec![], share: None };
    let limits = FlowLimits { messages_max: 100, bytes_max: 1_000 };
    client.recorder.flow.post(outgoing, limits);
    client.send();
    assert_eq!(client.take_output(), b"\x34\x07\0\x01m\0\x01\0x");
    client.recorder.flow.resume();
    client.send();
    assert_eq!(client.take_output(), b"\x3C\x07\0\x01m\0\x01\0x", "again, with DUP");
    client.receive(b"\x40\x02\0\x01");
    assert_eq!(client.recorder.flow.len(), 1, "PUBACK does not end it");
    client.receive(b"\x50\x02\0\x01");
    assert_eq!(client.take_output(), [0x62, 2, 0, 1]);
    client.recorder.flow.resume();
    client.send();
    assert_eq!(client.take_output(), [0x62, 2, 0, 1], "released, it is not sent again");
    client.receive(b"\x70\x02\0\x01");
    assert_eq!(client.recorder.flow.len(), 0);
    client.receive(b"\x50\x02\0\x01");
    assert_eq!(client.take_output(), [0x62, 3, 0, 1, 0x92]);
}
