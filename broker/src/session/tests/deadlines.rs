//! Messages to a client, and what happens when it is slow or silent.

use super::*;
use crate::close::Close;
use crate::message::{Message, Outgoing};

fn post(client: &mut Client, qos: QoS, payload: &[u8]) {
    let (topic, properties) = ("m", &[][..]);
    let routed = Routed { topic, properties, payload, qos, retain: false, expires_at: None };
    let message = Message::new(&routed);
    let outgoing = Outgoing { message, qos, retain: false, subscription_ids: vec![], share: None };
    let limits = FlowLimits { messages_max: 100, bytes_max: 1_000_000 };
    client.recorder.flow.post(outgoing, limits);
    client.send();
}

#[test]
fn messages_wait_while_too_many_are_unacknowledged() {
    let config = Config { inflight_messages_max: 1, ..Config::default() };
    let mut client = Client::connected(config, CONNECT_V3);
    post(&mut client, QoS::AtLeastOnce, b"x");
    assert_eq!(client.take_output(), b"\x32\x06\0\x01m\0\x01x");
    post(&mut client, QoS::AtLeastOnce, b"y");
    assert!(client.take_output().is_empty());
    client.receive(b"\x40\x02\0\x01");
    client.send();
    assert_eq!(client.take_output(), b"\x32\x06\0\x01m\0\x02y");
}

#[test]
fn a_client_gets_no_packet_larger_than_it_takes_and_no_more_than_it_receives() {
    // receive maximum 1, maximum packet size 10
    let connect = b"\x10\x16\0\x04MQTT\x05\x02\0\x0A\x08\x21\0\x01\x27\0\0\0\x0A\0\x01c";
    let mut client = Client::connected(Config::default(), connect);
    post(&mut client, QoS::AtMostOnce, b"12345");
    assert!(client.take_output().is_empty());
    post(&mut client, QoS::AtLeastOnce, b"12");
    assert_eq!(client.take_output(), b"\x32\x08\0\x01m\0\x01\x0012");
    post(&mut client, QoS::AtLeastOnce, b"12");
    assert!(client.take_output().is_empty());
}

#[test]
fn a_client_that_does_not_read_is_neither_read_nor_written() {
    let mut client = Client::connected(Config::default(), CONNECT_V3);
    for _ in 0..3 {
        post(&mut client, QoS::AtMostOnce, &[0; 40_000]);
    }
    assert!((80_000..90_000).contains(&client.session.output().len()), "the third one waits");
    assert!(!client.session.may_receive());
    client.session.sent(40_000);
    assert!(client.session.may_receive());
}

#[test]
fn a_silent_client_is_overdue_after_one_and_a_half_keepalives() {
    let mut client = Client::connected(Config::default(), CONNECT_V3);
    let due = client.opened + Duration::from_secs(15);
    assert_eq!(client.deadline(14), Deadline::Next(Some(due)));
    assert_eq!(client.deadline(15), Deadline::Missed(CloseKind::KeepaliveExpired));
    client.receive_at(14, b"\xC0\0");
    assert_eq!(client.deadline(28), Deadline::Next(Some(due + Duration::from_secs(14))));
    client.receive_at(28, b"\xC0");
    assert_eq!(client.deadline(29), Deadline::Missed(CloseKind::KeepaliveExpired), "half a packet");
}

#[test]
fn silence_is_not_the_clients_while_we_do_not_read() {
    let config = Config { unacknowledged_publishes_max: 1, ..Config::default() };
    let mut client = Client::connected(config, CONNECT_V3);
    client.receive(&publish("t/a", b"1", 1));
    let due = client.opened + Duration::from_secs(115);
    assert_eq!(client.deadline(100), Deadline::Next(Some(due)));
    client.session.forgive(client.opened + Duration::from_secs(200));
    let ticket = client.batches.pop().expect("a batch").ticket;
    client.settle(ticket, Outcome::Durable);
    assert_eq!(client.deadline(215), Deadline::Missed(CloseKind::KeepaliveExpired));
}

#[test]
fn a_keepalive_of_zero_promises_nothing() {
    let connect = b"\x10\x0D\0\x04MQTT\x04\x02\0\0\0\x01c";
    let mut client = Client::connected(Config::default(), connect);
    assert_eq!(client.deadline(1_000_000), Deadline::Next(None));
}

#[test]
fn connect_has_a_deadline_that_bytes_do_not_move() {
    let mut client = Client::new(Config::default());
    client.receive_at(9, &CONNECT_V3[..5]);
    let due = client.opened + Duration::from_secs(10);
    assert_eq!(client.deadline(9), Deadline::Next(Some(due)));
    assert_eq!(client.deadline(10), Deadline::Missed(CloseKind::ConnectTimeout));
}

#[test]
fn only_a_connected_client_of_version_5_hears_why_it_ends() {
    let mut client = Client::new(Config::default());
    client.session.close(Close::from(CloseKind::ConnectTimeout));
    client.session.close(Close::malformed(""));
    assert!(client.take_output().is_empty());
    let mut client = Client::connected(Config::default(), CONNECT_V5);
    client.session.close(Close::from(CloseKind::TakenOver));
    assert_eq!(client.take_output(), [0xE0, 1, 0x8E]);
}
