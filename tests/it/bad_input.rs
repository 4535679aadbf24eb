//! Whatever a device sends: a quarantine row or a closed connection, never a panic, never a lost
//! reading, and the others do not notice.

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::raw::{RawClient, packet, publish};
use crate::support::service::{Service, Settings};

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_quarantined_with_its_reason() {
    let mut service = Service::start(Settings::default()).await;
    let deep = format!("{}1{}", "{\"a\":".repeat(200), "}".repeat(200));
    let many: Vec<_> = (0..20_000).map(|n| format!("\"k{n}\":1")).collect();
    let many = format!("{{{}}}", many.join(","));
    let long = format!("{{\"t\": \"{}\"}}", "x".repeat(5_000));
    let cases: Vec<(&str, &[u8], &str)> = vec![
        ("telemetry", b"{\"t\": 1", "bad_json"),
        ("telemetry", b"", "bad_json"),
        ("telemetry", b"\xff\xfe", "bad_json"),
        ("telemetry", b"{\"t\": NaN}", "bad_json"),
        ("telemetry", b"{\"t\": 1e999}", "not_finite"),
        ("telemetry", b"[1, 2]", "not_an_object"),
        ("telemetry", b"{}", "no_readings"),
        ("telemetry", b"{\"t\": [1]}", "unsupported_value"),
        ("telemetry", b"{\"t\": 1, \"ts\": 99999999999999999}", "future_timestamp"),
        ("telemetry", b"{\"t\": 1, \"ts\": 999999999999999999}", "bad_timestamp"),
        ("telemetry", b"{\"t\": 1, \"ts\": -1}", "bad_timestamp"),
        ("telemetry", b"{\"t\": 1, \"ts\": \"2101-01-01T00:00:00Z\"}", "future_timestamp"),
        ("telemetry", b"{\"t\": 1, \"t\": 2}", "duplicate_key"),
        ("telemetry", deep.as_bytes(), "too_deep"),
        ("telemetry", many.as_bytes(), "too_many_readings"),
        ("telemetry", long.as_bytes(), "text_too_long"),
        ("telemetry/t", b"\xff", "bad_utf8"),
        ("telemetry/t", b"inf", "not_finite"),
        ("telemetry/t/u", b"1", "bad_topic"),
    ];
    let mut client = RawClient::connect(&service.mqtt(), "bad", 60).await;
    for (packet_id, (topic, payload, _)) in (1..).zip(&cases) {
        client.publish(packet_id, format!("devices/bad/{topic}").as_bytes(), payload).await;
        client.acknowledged(packet_id, Instant::now()).await;
    }
    client.publish(500, b"devices//telemetry", b"{\"t\": 1}").await;
    client.acknowledged(500, Instant::now()).await;
    // U+0000, which PostgreSQL cannot hold, and the ends of what a number can be.
    client
        .publish(
            501,
            b"devices/bad/telemetry",
            b"{\"s\": \"a\\u0000b\", \"x\": 1e308, \"y\": 5e-324}",
        )
        .await;
    client.acknowledged(501, Instant::now()).await;

    let n_cases = cases.len();
    // What the topic does not name a device for stands in nobody's account.
    let named = cases.iter().filter(|(.., reason)| *reason != "bad_topic").count();
    let whole = |audit: &Value| audit["received"] == json!(named + 1);
    let audit = service.wait_for("/api/v1/devices/bad/audit", whole).await;
    assert_eq!((&audit["quarantined"], &audit["stored"]), (&json!(named), &json!(1)), "{audit}");
    let (_, body) = service.get("/api/v1/quarantine?limit=100").await;
    let rows = body["quarantine"].as_array().unwrap_or_else(|| panic!("{body}"));
    assert_eq!(rows.len(), n_cases + 1, "{body}");
    let reasons: Vec<_> = rows.iter().rev().map(|row| row["reason"].as_str().unwrap()).collect();
    let expected: Vec<_> = cases.iter().map(|(.., reason)| *reason).chain(["bad_topic"]).collect();
    assert_eq!(reasons, expected);
    let text = "SELECT text FROM readings WHERE device = 'bad' AND metric = 's'";
    let row = service.sql().await.query_one(text, &[]).await.unwrap();
    assert_eq!(row.get::<_, String>(0), "a\u{fffd}b");
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
    service.assert_quiet(&["MQTT", "client"]);
}
