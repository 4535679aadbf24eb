//! What payloads come to: a table of what users send and what they may expect.

use std::time::Duration;

use bellwire_model::{PublishRef, QoS, RejectReason, SharedNames, Timestamp};
use proptest::prelude::*;

use super::{Decoder, Output};
use crate::policy::TimePolicy;

const RECEIVED: Timestamp = Timestamp::from_secs(1_700_000_000);

/// `metric@seconds=value` of each reading, seconds relative to receive time, and the fault.
fn decode(topic: &str, payload: &[u8]) -> (Vec<String>, Option<RejectReason>) {
    let names = SharedNames::default();
    let mut decoder = Decoder::new(names.clone());
    let mut out = Output::default();
    let publish = PublishRef {
        topic,
        payload,
        qos: QoS::AtLeastOnce,
        dup: false,
        retain: false,
        packet_id: 1,
    };
    let decoded = decoder.decode(&publish, RECEIVED, &mut out);
    let covered: u32 = out.spans.iter().map(|span| span.len).sum();
    assert_eq!(covered as usize, out.readings.len(), "every reading is in one span");
    let names = names.read();
    let readings = out.readings.iter().map(|reading| {
        let offset = (reading.at.as_micros() - RECEIVED.as_micros()) / 1_000_000;
        let value = match &reading.value {
            bellwire_model::Value::Number(number) => number.to_string(),
            bellwire_model::Value::Text(text) => format!("{text:?}"),
        };
        format!("{}@{offset}={value}", names.metric(reading.metric))
    });
    (readings.collect(), decoded.fault.map(|fault| fault.reason))
}

fn check(payload: &str, expected: &[&str], fault: Option<RejectReason>) {
    let (readings, actual) = decode("devices/d/telemetry", payload.as_bytes());
    assert_eq!(readings, expected, "{payload}");
    assert_eq!(actual, fault, "{payload}");
}

#[test]
fn objects_become_readings() {
    check(
        r#"{"t": 1.5, "on": true, "mode": "eco"}"#,
        &["t@0=1.5", "on@0=1", "mode@0=\"eco\""],
        None,
    );
    check(
        r#"{"motor": {"speed": 3, "temp": {"a": -1}}, "x": 0}"#,
        &["motor.speed@0=3", "motor.temp.a@0=-1", "x@0=0"],
        None,
    );
    check(r#"{"t": 1, "ts": 1699999990}"#, &["t@-10=1"], None);
    check(r#"{"ts": "2023-11-14T22:13:10Z", "t": 1, "seq": 7}"#, &["t@-10=1"], None);
    check(r#"{"t": null, "u": 2}"#, &["u@0=2"], None);
    check(r#"{"a\u0062": "x\"y"}"#, &["ab@0=\"x\\\"y\""], None);
    check(r#"{"inner": {"ts": 5, "seq": 6}}"#, &["inner.ts@0=5", "inner.seq@0=6"], None);
}

#[test]
fn arrays_carry_several_instants() {
    check(r#"[{"t": 1, "ts": 1699999990}, {"t": 2}]"#, &["t@-10=1", "t@0=2"], None);
    check(r#"[{"t": 1}, 5, {"t": 2}]"#, &["t@0=1", "t@0=2"], Some(RejectReason::NotAnObject));
    check(r#"[]"#, &[], Some(RejectReason::NoReadings));
}

#[test]
fn the_readable_part_is_kept() {
    check(
        r#"{"t": 1, "list": [1, 2], "u": 2}"#,
        &["t@0=1", "u@0=2"],
        Some(RejectReason::UnsupportedValue),
    );
    check(r#"{"t": 1, "t": 2}"#, &["t@0=1"], Some(RejectReason::DuplicateKey));
    check(r#"{"t": 1, "a/b": 2}"#, &["t@0=1"], Some(RejectReason::BadMetric));
    check(r#"{"t": 1, "": 2}"#, &["t@0=1"], Some(RejectReason::BadMetric));
    check(r#"{"t": 1, "seq": -4}"#, &["t@0=1"], Some(RejectReason::BadSeq));
    check(
        r#"[{"t": 1}, {"t": 2, "ts": "yesterday"}]"#,
        &["t@0=1"],
        Some(RejectReason::BadTimestamp),
    );
}

#[test]
fn what_cannot_be_read_says_why() {
    for (payload, reason) in [
        ("", RejectReason::BadJson),
        (r#"{"t": 1"#, RejectReason::BadJson),
        (r#"{"t": NaN}"#, RejectReason::BadJson),
        (r#"{"t": 1} x"#, RejectReason::BadJson),
        (r#"{"t": 1e999}"#, RejectReason::NotFinite),
        ("5", RejectReason::NotAnObject),
        ("null", RejectReason::NotAnObject),
        (r#"[[{"t": 1}]]"#, RejectReason::NotAnObject),
        ("{}", RejectReason::NoReadings),
        (r#"{"ts": 1699999990}"#, RejectReason::NoReadings),
        (r#"{"t": 1, "ts": 1700000301}"#, RejectReason::FutureTimestamp),
        (r#"{"t": 1, "ts": 99999999999999999999}"#, RejectReason::BadTimestamp),
        (r#"{"t": 1, "ts": -5}"#, RejectReason::BadTimestamp),
        (r#"{"t": 1, "ts": true}"#, RejectReason::BadTimestamp),
    ] {
        check(payload, &[], Some(reason));
    }
    let deep = format!("{}1{}", r#"{"a":"#.repeat(17), "}".repeat(17));
    check(&deep, &[], Some(RejectReason::TooDeep));
    check(&format!("{{\"t\": \"{}\"}}", "x".repeat(1025)), &[], Some(RejectReason::TextTooLong));
}

#[test]
fn limits_bound_a_payload() {
    let keys: Vec<_> = (0..1_100).map(|n| format!("\"k{n}\":{n}")).collect();
    let (readings, fault) =
        decode("devices/d/telemetry", format!("{{{}}}", keys.join(",")).as_bytes());
    assert_eq!((readings.len(), fault), (1_000, Some(RejectReason::TooManyReadings)));
}

/// What the fault says, and the newest time in seconds relative to receive time, under a policy of
/// one minute ahead and one day back.
fn decode_strictly(payload: &str) -> (Option<(RejectReason, String)>, Option<i64>) {
    let mut decoder = Decoder::new(SharedNames::default());
    decoder.set_policy(TimePolicy {
        future_max: Duration::from_secs(60),
        past_max: Some(Duration::from_secs(86_400)),
    });
    let publish = PublishRef {
        topic: "devices/d/telemetry",
        payload: payload.as_bytes(),
        qos: QoS::AtLeastOnce,
        dup: false,
        retain: false,
        packet_id: 1,
    };
    let decoded = decoder.decode(&publish, RECEIVED, &mut Output::default());
    let newest = decoded.newest.map(|it| (it.as_micros() - RECEIVED.as_micros()) / 1_000_000);
    (decoded.fault.map(|fault| (fault.reason, fault.detail.into())), newest)
}

#[test]
fn the_policy_says_which_times_are_taken() {
    let refused = |reason, detail: &str| Some((reason, detail.to_owned()));
    let (future, past) = (RejectReason::FutureTimestamp, RejectReason::PastTimestamp);
    for (payload, fault, newest) in [
        (r#"{"t": 1, "ts": 1700000060}"#, None, 60),
        (r#"{"t": 1, "ts": 1699913600}"#, None, -86_400),
        (
            r#"{"t": 1, "ts": 1700000061}"#,
            refused(future, "\"ts\" is 61 s ahead of receive time"),
            61,
        ),
        (
            r#"{"t": 1, "ts": 1699913599}"#,
            refused(past, "\"ts\" is 86401 s behind receive time"),
            -86_401,
        ),
    ] {
        assert_eq!(decode_strictly(payload), (fault, Some(newest)), "{payload}");
    }
}

#[test]
fn the_newest_time_of_a_payload_is_told() {
    let newest = |payload| decode_strictly(payload).1;
    assert_eq!(newest(r#"[{"t": 1, "ts": 1699999990}, {"t": 1, "ts": 1699999980}]"#), Some(-10));
    assert_eq!(newest(r#"[{"t": 1, "ts": 1700009999}, {"t": 1}]"#), Some(9_999));
    assert_eq!(newest(r#"{"t": 1}"#), None);
    assert_eq!(newest(r#"{"ts": 1699999990, "t": 1"#), None, "no JSON has no time");
}

#[test]
fn scalars_have_their_metric_in_the_topic() {
    for (payload, expected, fault) in [
        ("21.5", &["t@0=21.5"][..], None),
        (" true\n", &["t@0=1"], None),
        ("\"open\"", &["t@0=\"open\""], None),
        ("open", &["t@0=\"open\""], None),
        ("NaN", &[], Some(RejectReason::NotFinite)),
        ("", &[], Some(RejectReason::NoReadings)),
        ("{\"a\":1}", &[], Some(RejectReason::UnsupportedValue)),
    ] {
        let (readings, actual) = decode("devices/d/telemetry/t", payload.as_bytes());
        assert_eq!(readings, expected, "{payload}");
        if fault.is_some() {
            assert_eq!(actual, fault, "{payload}");
        }
    }
    assert_eq!(decode("devices/d/telemetry/t", b"\xff").1, Some(RejectReason::BadUtf8));
    assert_eq!(decode("devices//telemetry", b"{}").1, Some(RejectReason::BadTopic));
}

proptest! {
    /// To the last bit: what is stored, judged and shown is what was measured.
    #[test]
    fn every_number_is_read_as_it_was_written(number in any::<f64>().prop_filter("finite", |it| it.is_finite())) {
        for payload in [format!("{{\"t\":{number:?}}}"), format!("{{\"t\":{number}}}")] {
            let (readings, fault) = decode("devices/d/telemetry", payload.as_bytes());
            prop_assert_eq!(fault, None, "{}", payload);
            prop_assert_eq!(&readings, &[format!("t@0={number}")], "{}", payload);
        }
    }

    #[test]
    fn no_bytes_panic(payload in proptest::collection::vec(any::<u8>(), 0..200)) {
        decode("devices/d/telemetry", &payload);
        decode("devices/d/telemetry/t", &payload);
    }

    #[test]
    fn no_json_like_text_panics(payload in "[\\[\\]{}\",:a-c0-9.e+-]{0,60}") {
        decode("devices/d/telemetry", payload.as_bytes());
    }
}
