//! Telemetry, its acknowledgements, and publishes that are wrong.

use super::*;

#[test]
fn telemetry_of_one_read_is_one_batch_and_is_acknowledged_when_settled() {
    let mut client = Client::connected(Config::default(), CONNECT_V3);
    let read = [publish("t/a", b"1", 1), publish("t/b", b"2", 0), publish("t/a", b"3", 9)];
    client.receive(&read.concat());
    let batch = client.batches.pop().expect("a batch");
    let topics: Vec<_> = batch.publishes.iter().map(|it| it.expect("valid").topic).collect();
    assert_eq!(topics, ["t/a", "t/b", "t/a"]);
    assert_eq!(batch.n_at_most_once, 1);
    client.session.release();
    assert!(client.take_output().is_empty(), "nothing is acknowledged before it is durable");
    client.settle(batch.ticket, Outcome::Durable);
    assert_eq!(client.take_output(), [0x40, 2, 0, 1, 0x40, 2, 0, 9]);
}

#[test]
fn acknowledgements_keep_the_order_of_arrival_across_topics_and_reads() {
    let mut client = Client::connected(Config::default(), CONNECT_V3);
    client.receive(&publish("t/a", b"1", 1));
    client.receive(&publish("other", b"2", 2));
    client.receive(&publish("t/a", b"3", 3));
    client.session.release();
    assert!(client.take_output().is_empty());
    let second = client.batches.pop().expect("a batch").ticket;
    client.settle(second, Outcome::Durable);
    assert!(client.take_output().is_empty());
    let first = client.batches.pop().expect("a batch").ticket;
    client.settle(first, Outcome::Durable);
    assert_eq!(client.take_output(), [0x40, 2, 0, 1, 0x40, 2, 0, 2, 0x40, 2, 0, 3]);
}

#[test]
fn a_packet_id_used_again_while_unacknowledged_is_acknowledged_each_time() {
    let mut client = Client::connected(Config::default(), CONNECT_V3);
    client.receive(&[publish("t/a", b"1", 7), publish("t/a", b"2", 7)].concat());
    let ticket = client.batches.pop().expect("a batch").ticket;
    client.settle(ticket, Outcome::Durable);
    assert_eq!(client.take_output(), [0x40, 2, 0, 7, 0x40, 2, 0, 7]);
}

#[test]
fn what_the_log_rejects_is_told_in_either_version() {
    let mut client = Client::connected(Config::default(), CONNECT_V5);
    client.receive(b"\x32\x09\0\x03t/a\0\x01\0x");
    let ticket = client.batches.pop().expect("a batch").ticket;
    client.settle(ticket, Outcome::Rejected);
    assert_eq!(client.take_output(), [0x40, 3, 0, 1, 0x97]);

    let mut client = Client::connected(Config::default(), CONNECT_V3);
    client.receive(&publish("t/a", b"x", 1));
    let ticket = client.batches.pop().expect("a batch").ticket.expect("owed");
    client.session.settle(ticket, Outcome::Rejected);
    assert_eq!(client.session.release().end, Some(CloseKind::Rejected));
}

#[test]
fn reading_stops_at_the_bound_of_a_client_that_was_told_none() {
    let config = Config { unacknowledged_publishes_max: 2, ..Config::default() };
    let mut client = Client::connected(config, CONNECT_V3);
    client.receive(&publish("t/a", b"1", 1));
    assert!(client.session.may_receive());
    client.receive(&publish("t/a", b"2", 2));
    assert!(!client.session.may_receive());
    let first = client.batches.remove(0).ticket;
    client.settle(first, Outcome::Durable);
    assert!(client.session.may_receive());
}

#[test]
fn reading_stops_at_the_bound_in_bytes() {
    let config = Config { unacknowledged_bytes_max: 100, ..Config::default() };
    let mut client = Client::connected(config, CONNECT_V5);
    client.receive(&packet(0x32, &[&b"\0\x03t/a\0\x01\0"[..], &[b'x'; 100]].concat()));
    assert!(!client.session.may_receive());
    let ticket = client.batches.pop().expect("a batch").ticket;
    client.settle(ticket, Outcome::Durable);
    assert!(client.session.may_receive());
}

#[test]
fn a_client_that_was_told_its_bound_is_disconnected_beyond_it() {
    let config = Config { unacknowledged_publishes_max: 1, ..Config::default() };
    let mut client = Client::connected(config, CONNECT_V5);
    client.receive(b"\x32\x09\0\x03t/a\0\x01\0x");
    assert_eq!(client.closed, None);
    client.receive(b"\x32\x09\0\x03t/a\0\x02\0x");
    assert_eq!(client.closed, Some(CloseKind::ReceiveMaximumExceeded));
    assert_eq!(client.take_output(), [0xE0, 1, 0x93]);
}

#[test]
fn wrong_publishes_close_the_connection() {
    let closed = |kind| Some(kind);
    for (bytes, kind) in [
        (publish("a/#", b"", 1), CloseKind::TopicInvalid),
        (publish("+", b"", 0), CloseKind::TopicInvalid),
        (publish("a\0b", b"", 0), CloseKind::TopicInvalid),
        (publish("", b"", 0), CloseKind::TopicInvalid),
        (publish(&"a/".repeat(32), b"", 0), CloseKind::TopicInvalid),
        (publish(&"a".repeat(1025), b"", 0), CloseKind::TopicInvalid),
        (publish_with(0x30, b"a\xFF", b"", 0), CloseKind::Malformed),
        (publish_with(0x30, b"\xED\xA0\x80", b"", 0), CloseKind::Malformed),
        (publish_with(0x32, b"a", b"", 0), CloseKind::Protocol),
        (publish_with(0x36, b"a", b"", 1), CloseKind::Malformed),
        (publish_with(0x38, b"a", b"", 0), CloseKind::Malformed),
        (packet(0x32, b"\0\x01a"), CloseKind::Malformed),
        (vec![0x30, 0xFF, 0xFF, 0xFF, 0xFF], CloseKind::Malformed),
        (vec![0x30, 0xFF, 0xFF, 0xFF, 0x7F], CloseKind::PacketTooLarge),
    ] {
        check(CONNECT_V3, &bytes, &[], closed(kind));
    }
    check(CONNECT_V5, b"\x30\x03\0\0\0", &[0xE0, 1, 0x90], closed(CloseKind::TopicInvalid));
    check(CONNECT_V5, b"\x30\x07\0\x01a\x03\x23\0\x21", &[0xE0, 1, 0x94], {
        closed(CloseKind::TopicAliasInvalid)
    });
    check(CONNECT_V5, b"\x30\x07\0\x01a\x03\x23\0\0", &[0xE0, 1, 0x94], {
        closed(CloseKind::TopicAliasInvalid)
    });
    check(CONNECT_V5, b"\x30\x06\0\0\x03\x23\0\x01", &[0xE0, 1, 0x82], {
        closed(CloseKind::Protocol)
    });
}

#[test]
fn an_alias_stands_for_its_topic() {
    let mut client = Client::connected(Config::default(), CONNECT_V5);
    client.recorder.has_subscribers = true;
    client.receive(b"\x30\x08\0\x01x\x03\x23\0\x011\x30\x07\0\0\x03\x23\0\x012");
    assert_eq!(client.closed, None);
    let routed = std::mem::take(&mut client.recorder.routed);
    assert_eq!(routed, [("x".to_owned(), b"1".to_vec()), ("x".to_owned(), b"2".to_vec())]);
}

#[test]
fn what_a_client_may_not_publish_is_refused_in_its_version() {
    check(CONNECT_V5, b"\x30\x0D\0\x09forbidden\0x", &[], None);
    check(CONNECT_V5, b"\x32\x0F\0\x09forbidden\0\x01\0x", &[0x40, 3, 0, 1, 0x87], None);
    check(CONNECT_V5, b"\x34\x0F\0\x09forbidden\0\x01\0x", &[0x50, 3, 0, 1, 0x87], None);
    check(CONNECT_V5, b"\x32\x0B\0\x06$SYS/x\0\x01\0", &[0x40, 3, 0, 1, 0x87], None);
    check(CONNECT_V3, &publish("forbidden", b"", 0), &[], None);
    check(CONNECT_V3, &publish("forbidden", b"", 1), &[], Some(CloseKind::NotAuthorized));
}

#[test]
fn a_retained_publish_is_acknowledged_when_it_is_durable_or_refused() {
    let mut client = Client::connected(Config::default(), CONNECT_V5);
    client.receive(b"\x33\x07\0\x01a\0\x01\0x");
    assert!(client.take_output().is_empty());
    let ticket = client.batches.remove(0).ticket;
    client.settle(ticket, Outcome::Durable);
    assert_eq!(client.take_output(), [0x40, 2, 0, 1]);
    client.receive(b"\x31\x05\0\x01b\0x\x33\x07\0\x01c\0\x02\0x");
    assert_eq!(client.recorder.retained, ["a", "b"]);
    let ticket = client.batches.remove(0).ticket;
    client.settle(ticket, Outcome::Durable);
    assert_eq!(client.take_output(), [0x40, 3, 0, 2, 0x97]);
}

#[test]
fn publishes_before_a_wrong_one_reach_the_log() {
    let mut client = Client::connected(Config::default(), CONNECT_V3);
    client.receive(&[publish("t/a", b"1", 1), publish("t/#", b"2", 2)].concat());
    assert_eq!(client.closed, Some(CloseKind::TopicInvalid));
    assert_eq!(client.batches.len(), 1);
}
