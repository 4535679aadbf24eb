//! What cannot be read says why, costs little, and never takes readable parts with it.

use bellwire_model::RejectReason;

use crate::decode;
use crate::families::hex;

fn check(format: &str, payload: impl AsRef<[u8]>, expected: &[&str], reason: RejectReason) {
    let mapping = format!("[[mapping]]\ntopic = 'x/{{device}}'\nformat = '{format}'");
    let payload = payload.as_ref();
    let (readings, decoded) = decode(&mapping, "x/d", payload);
    assert_eq!(readings, expected, "{format} {payload:x?}");
    let fault = decoded.fault.map(|fault| fault.reason);
    assert_eq!(fault, Some(reason), "{format} {payload:x?}");
}

#[test]
fn lines_fail_one_by_one() {
    for line in [
        "m",
        "m x",
        "m,t v=1",
        "m,t= v=1",
        ",t=1 v=1",
        "m v=nan",
        "m v=1x",
        "m v=\"open",
        "m v=1 now",
        "m v=1 5 6",
        "m v=\"a\"b",
        "m =1",
        "m v=9223372036854775808i",
    ] {
        check("influx", line, &[], RejectReason::BadLine);
        check("influx", format!("m ok=1\n{line}"), &["d m.ok=1"], RejectReason::BadLine);
    }
    check("influx", "m a=1\nm v=1 -5", &["d m.a=1"], RejectReason::BadTimestamp);
    check("influx", "m,c=0 value=1\nm,c=1 value=2", &["d m=1"], RejectReason::DuplicateKey);
    check("influx", "m v=1 1767229200000000000", &[], RejectReason::FutureTimestamp);
    check("influx", "# nothing\n", &[], RejectReason::NoReadings);
    check("influx", b"m v=\xff", &[], RejectReason::BadUtf8);
}

#[test]
fn lists_say_what_is_wrong() {
    for (payload, expected, reason) in [
        ("{}", &[][..], RejectReason::BadSenml),
        ("[1]", &[], RejectReason::BadSenml),
        ("[", &[], RejectReason::BadJson),
        ("[]", &[], RejectReason::NoReadings),
        (r#"[{"n":"a","vd":"Zm9v"},{"n":"b","v":1}]"#, &["d b=1"], RejectReason::UnsupportedValue),
        (r#"[{"n":"a","v":"1"},{"n":"b","v":1}]"#, &["d b=1"], RejectReason::BadSenml),
        (r#"[{"n":"a","v":1,"x_":1}]"#, &["d a=1"], RejectReason::BadSenml),
        (r#"[{"bver":11,"n":"a","v":1}]"#, &["d a=1"], RejectReason::BadSenml),
        (r#"[{"n":"a","v":1},{"n":"a","v":2}]"#, &["d a=1"], RejectReason::DuplicateKey),
        (r#"[{"n":"a","v":1,"t":1e12}]"#, &[], RejectReason::BadTimestamp),
        (r#"[{"n":"a","v":1,"t":1767229200}]"#, &[], RejectReason::FutureTimestamp),
    ] {
        check("senml", payload, expected, reason);
    }
}

#[test]
fn hostile_cbor_is_refused_at_once() {
    let nested = "81".repeat(100_000);
    for payload in [
        "",
        "ff",
        "a1",
        "a16161",
        "1c",
        "a1616101 00",
        "616161",
        // Lengths that nothing follows: a text, an array, a map.
        "a1 6161 7b7fffffffffffffff",
        "9b7fffffffffffffff",
        "bb7fffffffffffffff",
        "a1 6161 5b7fffffffffffffff",
        "a1 6161 7f7f7f7f",
        "a1 6161 62ff00",
        &nested,
    ] {
        let payload = hex(payload);
        let (readings, decoded) =
            decode("[[mapping]]\ntopic = 'x/{device}'\nformat = 'cbor'", "x/d", &payload);
        assert!(readings.is_empty());
        assert!(decoded.fault.is_some(), "{payload:x?}");
    }
    check("cbor", hex("a2 6161 4101 6162 01"), &["d b=1"], RejectReason::UnsupportedValue);
    check("cbor", hex("a2 6161 fb7ff0000000000000 6162 01"), &["d b=1"], RejectReason::NotFinite);
    check("senml_cbor", hex("81a2000102"), &[], RejectReason::BadCbor);
}

#[test]
fn an_array_under_a_key_must_be_there() {
    let mapping = "[[mapping]]\ntopic = 'x/{device}'\nformat = 'json'\neach = 'a.b'";
    for (payload, expected, reason) in [
        ("{}", &[][..], RejectReason::NoReadings),
        ("[]", &[], RejectReason::NotAnObject),
        (r#"{"a": {"b": []}}"#, &[], RejectReason::NoReadings),
        (r#"{"a": {"b": {"t": 1}}, "u": 2}"#, &["d u=2"], RejectReason::NotAnObject),
        (r#"{"a": {"b": [5, {"t": 1}]}}"#, &["d t=1"], RejectReason::NotAnObject),
        (r#"{"a": {"b": [{"t": 1}]}"#, &[], RejectReason::BadJson),
    ] {
        let (readings, decoded) = decode(mapping, "x/d", payload.as_bytes());
        assert_eq!(readings, expected, "{payload}");
        assert_eq!(decoded.fault.map(|fault| fault.reason), Some(reason), "{payload}");
    }
}

#[test]
fn a_device_must_be_named() {
    let mapping = "[[mapping]]\ntopic = 'g'\nformat = 'json'\ndevice_key = 'id'";
    let payload = br#"[{"id": "a", "t": 1}, {"t": 2}, {"t": 3, "id": "a/b"}, {"id": 7, "t": 4}]"#;
    let (readings, decoded) = decode(mapping, "g", payload);
    assert_eq!(readings, ["a t=1", "7 t=4"]);
    assert!(decoded.device.is_some(), "the first is whose account it is");
    let reason = decoded.fault.map(|fault| fault.reason);
    assert_eq!(reason, Some(RejectReason::NoDevice));
}
