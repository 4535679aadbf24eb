//! Whatever a device sends: a quarantine row or a closed connection, never a panic, never a lost
//! reading, and the others do not notice.

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::dice::{Dice, from_env};
use crate::support::raw::{RawClient, packet, publish};
use crate::support::service::{Service, Settings};

/// What a device sends below `devices/bad/`, and why it cannot be read.
fn unreadable() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let nested = |n: usize, open: &str, close: &str| {
        format!("{}1{}", open.repeat(n), close.repeat(n)).into_bytes()
    };
    let keys = |n: u32| {
        let members: Vec<_> = (0..n).map(|n| format!("\"{n:x}\":1")).collect();
        format!("{{{}}}", members.join(",")).into_bytes()
    };
    let text = |n: usize| format!("{{\"t\": \"{}\"}}", "x".repeat(n)).into_bytes();
    let key = |n: usize| format!("{{\"{}\": 1}}", "x".repeat(n)).into_bytes();
    let elements = format!("[{}{{}}]", "{},".repeat(10_000)).into_bytes();
    let mut cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("telemetry", nested(200, "{\"a\":", "}"), "too_deep"),
        ("telemetry", nested(100_000, "{\"a\":", "}"), "too_deep"),
        ("telemetry", nested(400_000, "[", "]"), "not_an_object"),
        ("telemetry", b"[".repeat(1_000_000), "bad_json"),
        ("telemetry", keys(100_000), "too_many_readings"),
        ("telemetry", text(5_000), "text_too_long"),
        ("telemetry", text(1_000_000), "text_too_long"),
        ("telemetry", key(100_000), "bad_metric"),
        ("telemetry", elements, "no_readings"),
    ];
    let short: [(&str, &[u8], &str); 43] = [
        ("telemetry", b"{\"t\": 1", "bad_json"),
        ("telemetry", b"{\"t\": 1}}", "bad_json"),
        ("telemetry", b"{\"t\": \"\\ud800\"}", "bad_json"),
        ("telemetry", b"{\"t\": \"\xff\"}", "bad_json"),
        ("telemetry", b"{\"t\": 01}", "bad_json"),
        ("telemetry", b"{\"t\": tru", "bad_json"),
        ("telemetry", b"", "bad_json"),
        ("telemetry", b" \t\n", "bad_json"),
        ("telemetry", b"\0", "bad_json"),
        ("telemetry", b"\xff\xfe", "bad_json"),
        ("telemetry", b"\xef\xbb\xbf{\"t\": 1}", "bad_json"),
        ("telemetry", b"{\"t\": NaN}", "bad_json"),
        ("telemetry", b"{\"t\": 1e999}", "not_finite"),
        ("telemetry", b"{\"t\": -1e999}", "not_finite"),
        ("telemetry", b"[1, 2]", "not_an_object"),
        ("telemetry", b"\"t\"", "not_an_object"),
        ("telemetry", b"null", "not_an_object"),
        ("telemetry", b"{}", "no_readings"),
        ("telemetry", b"[]", "no_readings"),
        ("telemetry", b"{\"t\": null}", "no_readings"),
        ("telemetry", b"{\"ts\": 1, \"seq\": 1}", "no_readings"),
        ("telemetry", b"{\"t\": [1]}", "unsupported_value"),
        ("telemetry", b"{\"t\": 1, \"ts\": 99999999999999999}", "future_timestamp"),
        ("telemetry", b"{\"t\": 1, \"ts\": 999999999999999999}", "bad_timestamp"),
        ("telemetry", b"{\"t\": 1, \"ts\": 1e300}", "bad_timestamp"),
        ("telemetry", b"{\"t\": 1, \"ts\": -1}", "bad_timestamp"),
        ("telemetry", b"{\"t\": 1, \"ts\": true}", "bad_timestamp"),
        ("telemetry", b"{\"t\": 1, \"ts\": \"yesterday\"}", "bad_timestamp"),
        ("telemetry", b"{\"t\": 1, \"ts\": \"2101-01-01T00:00:00Z\"}", "future_timestamp"),
        ("telemetry", b"{\"t\": 1, \"t\": 2}", "duplicate_key"),
        ("telemetry", b"{\"a.b\": 1, \"a\": {\"b\": 2}}", "duplicate_key"),
        ("telemetry", b"{\"\": 1}", "bad_metric"),
        ("telemetry", b"{\"a\\u0000b\": 1}", "bad_metric"),
        ("telemetry", b"{\"a/b\": 1}", "bad_metric"),
        ("telemetry", b"{\"t\": 1, \"seq\": 9223372036854775808}", "bad_seq"),
        ("telemetry", b"{\"t\": 1, \"seq\": \"1\"}", "bad_seq"),
        ("telemetry/t", b"\xff", "bad_utf8"),
        ("telemetry/t", b"", "no_readings"),
        ("telemetry/t", b"inf", "not_finite"),
        ("telemetry/t", b"NaN", "not_finite"),
        ("telemetry/t", b"1e999", "not_finite"),
        ("telemetry/t", b"{\"t\": 1}", "unsupported_value"),
        ("telemetry/t/u", b"1", "bad_topic"),
    ];
    cases.extend(short.map(|(topic, payload, reason)| (topic, payload.to_vec(), reason)));
    cases
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_quarantined_with_its_reason() {
    let mut service = Service::start(Settings::default()).await;
    let cases = unreadable();
    let mut client = RawClient::connect(&service.mqtt(), "bad", 60).await;
    let mut expected = Vec::new();
    for (topic, payload, reason) in &cases {
        client.deliver(&format!("devices/bad/{topic}"), payload).await;
        expected.push((*reason, payload.len()));
    }
    // What the topic does not name a device for stands in nobody's account.
    let named = cases.iter().filter(|(.., reason)| *reason != "bad_topic").count();
    let long = "x".repeat(300);
    for device in ["", ".", "..", "*", "a\u{7f}b", &long] {
        client.deliver(&format!("devices/{device}/telemetry"), b"{\"t\": 1}").await;
        expected.push(("bad_topic", 8));
    }

    let whole = |audit: &Value| audit["received"] == json!(named);
    let audit = service.wait_for("/api/v1/devices/bad/audit", whole).await;
    assert_eq!(audit["quarantined"], json!(named), "{audit}");
    // The account does not say when those that stand in nobody's are written.
    let whole = |body: &Value| {
        body["quarantine"].as_array().is_some_and(|rows| rows.len() >= expected.len())
    };
    let body = service.wait_for("/api/v1/quarantine?limit=100", whole).await;
    let rows = body["quarantine"].as_array().unwrap_or_else(|| panic!("{body}"));
    let found: Vec<_> = rows.iter().rev().map(reason_and_size).collect();
    assert_eq!(found, expected);
    assert!(rows.iter().all(|row| !row["detail"].as_str().unwrap().is_empty()), "{body}");
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
}

fn reason_and_size(row: &Value) -> (&str, usize) {
    let size = row["payload_bytes"].as_u64().unwrap();
    (row["reason"].as_str().unwrap(), usize::try_from(size).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_readable_part_of_a_payload_is_stored() {
    let mut service = Service::start(Settings::default()).await;
    let mut client = RawClient::connect(&service.mqtt(), "part", 60).await;
    let topic = "devices/part/telemetry";
    let partly: [&[u8]; 6] = [
        b"{\"a\": 1, \"b\": [2]}",
        b"{\"a\": 2, \"b/c\": 2}",
        b"{\"a\": 3, \"seq\": -1}",
        b"{\"a\": 4, \"a\": 5}",
        b"[{\"a\": 6}, 7, {\"a\": 8}, {\"a\": 9, \"ts\": 99999999999}]",
        b"[{\"a\": 10, \"ts\": 1}, {}]",
    ];
    for payload in partly {
        client.deliver(topic, payload).await;
    }
    // The ends of what a number, a time and a text can be. PostgreSQL cannot hold U+0000.
    let whole: [&[u8]; 4] = [
        b"{\"s\": \"a\\u0000b\", \"x\": 1e308, \"y\": 5e-324}",
        b"{\"x\": -1e308, \"y\": -0.0, \"z\": 1e-999, \"ts\": 0}",
        b"{\"x\": 18446744073709551616, \"y\": -9223372036854775809, \"ts\": 99999999}",
        b"{\"s\": \"\\ud83d\\ude00\\u202e\\uffff\", \"ts\": \"1970-01-01T00:00:00.000001+00:00\"}",
    ];
    for payload in whole {
        client.deliver(topic, payload).await;
    }
    let done = |audit: &Value| audit["received"] == json!(10);
    let audit = service.wait_for("/api/v1/devices/part/audit", done).await;
    assert_eq!((&audit["quarantined"], &audit["stored"]), (&json!(6), &json!(4)), "{audit}");
    let sql = service.sql().await;
    let query = "SELECT value FROM readings WHERE device = 'part' AND metric = 'a' ORDER BY 1";
    let values = sql.query(query, &[]).await.unwrap();
    let values: Vec<f64> = values.iter().map(|row| row.get(0)).collect();
    assert_eq!(values, [1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0]);
    let query = "SELECT text FROM readings WHERE device = 'part' AND metric = 's' ORDER BY at";
    let texts = sql.query(query, &[]).await.unwrap();
    let texts: Vec<String> = texts.iter().map(|row| row.get(0)).collect();
    assert_eq!(texts, ["\u{1f600}\u{202e}\u{ffff}", "a\u{fffd}b"]);
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_packet_ends_its_own_connection_only() {
    let mut service = Service::start(Settings::default()).await;
    let mut innocent = RawClient::connect(&service.mqtt(), "innocent", 60).await;
    let too_long = [&[0x32, 0xff, 0xff, 0xff, 0x7f][..], &[0; 1000]].concat();
    let broken: Vec<(&str, Vec<u8>)> = vec![
        ("a topic that is not UTF-8", publish(1, b"devices/\xff/telemetry", b"{}")),
        ("a topic with U+0000", publish(1, b"devices/a\0/telemetry", b"{}")),
        ("a topic with a wildcard", publish(1, b"devices/+/telemetry", b"{}")),
        ("packet id 0", publish(0, b"devices/a/telemetry", b"{}")),
        ("QoS 3", packet(0x36, b"\0\x01a\0\x01x")),
        ("a packet larger than allowed", too_long),
        ("a length without end", vec![0x32, 0xff, 0xff, 0xff, 0xff, 0xff]),
        ("a second CONNECT", packet(0x10, b"\0\x04MQTT\x04\x02\0\x3c\0\x01x")),
        ("a reserved type", packet(0xF0, b"")),
    ];
    for (what, bytes) in &broken {
        let mut client = RawClient::connect(&service.mqtt(), "broken", 60).await;
        client.send(bytes).await;
        assert_eq!(client.rest().await, b"", "{what}");
        innocent.publish(7, b"devices/innocent/telemetry", b"{\"t\": 1}").await;
        innocent.acknowledged(7, Instant::now()).await;
    }
    let mut garbage = RawClient::dial(&service.mqtt()).await;
    garbage.send(b"GET / HTTP/1.1\r\n\r\n").await;
    assert_eq!(garbage.rest().await, b"");
    let whole = |audit: &Value| audit["stored"] == json!(broken.len());
    service.wait_for("/api/v1/devices/innocent/audit", whole).await;
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
}

/// Packets with bits turned, bytes cut, doubled and swapped: `BELLWIRE_TEST_ROUNDS` connections,
/// 300 if it is not set; `BELLWIRE_TEST_SEED` repeats a run.
#[tokio::test(flavor = "multi_thread")]
async fn damaged_packets_hurt_nobody_else() {
    let rounds = from_env("BELLWIRE_TEST_ROUNDS").unwrap_or(300);
    let mut dice = Dice::seeded(7);
    let mut service = Service::start(Settings::default()).await;
    let mut innocent = RawClient::connect(&service.mqtt(), "innocent", 60).await;
    for round in 0..rounds {
        let mut client = RawClient::dial(&service.mqtt()).await;
        let level = if round % 2 == 0 { 4 } else { 5 };
        client.send_what_goes(&damaged(conversation(level), &mut dice)).await;
        client.finish().await;
        client.rest().await;
        innocent.deliver("devices/innocent/telemetry", b"{\"t\": 1}").await;
    }
    let whole = |audit: &Value| audit["stored"].as_u64() >= Some(rounds);
    let audit = service.wait_for("/api/v1/devices/innocent/audit", whole).await;
    let count = |key: &str| audit[key].as_u64().unwrap();
    let sum = count("stored") + count("duplicate") + count("quarantined") + count("refused");
    assert_eq!(count("received"), sum, "{audit}");
    let (status, audit) = service.get("/api/v1/devices/d/audit").await;
    assert_eq!(status, 200, "some got through: {audit}");
    assert!(service.stop().await.success());
    // A client that asks for QoS 2 or a retained message is told why it is closed.
    service.assert_quiet(&["qos_not_supported", "retain_not_supported"]);
}

/// What a client says from CONNECT to DISCONNECT, in MQTT 3.1.1 or 5.
fn conversation(level: u8) -> Vec<u8> {
    let properties: &[u8] = if level == 5 { &[0] } else { &[] };
    let connect = [b"\0\x04MQTT", &[level, 2, 0, 60][..], properties, b"\0\x04dice"].concat();
    let publish = [b"\0\x13devices/d/telemetry\0\x01", properties, b"{\"t\": 1}"].concat();
    let subscribe = [b"\0\x02", properties, b"\0\x09devices/#\x01"].concat();
    let unsubscribe = [b"\0\x03", properties, b"\0\x09devices/#"].concat();
    [
        packet(0x10, &connect),
        packet(0x32, &publish),
        packet(0x82, &subscribe),
        packet(0x32, &publish),
        packet(0xC0, b""),
        packet(0xA2, &unsubscribe),
        packet(0xE0, b""),
    ]
    .concat()
}

/// Damages one to four places. Half the time CONNECT, without which nothing is read, is spared.
fn damaged(mut bytes: Vec<u8>, dice: &mut Dice) -> Vec<u8> {
    let connect_bytes = 2 + u64::from(bytes[1]);
    for _ in 0..=dice.below(4) {
        let from = if dice.below(2) == 0 { 0 } else { connect_bytes };
        let end = bytes.len() as u64;
        if end <= from + 1 {
            break;
        }
        let at = usize::try_from(from + dice.below(end - from)).unwrap();
        match dice.below(5) {
            0 => bytes[at] ^= 1 << dice.below(8),
            1 => bytes[at] = u8::try_from(dice.below(256)).unwrap(),
            2 => bytes.truncate(at.max(1)),
            3 => {
                let again = bytes[at..].to_vec();
                bytes.extend(again);
            }
            _ => {
                bytes.remove(at);
            }
        }
    }
    bytes
}
