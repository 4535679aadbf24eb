//! No bytes make a format panic, and every reading has its place.

use std::fmt::Write;

use bellwire_model::RejectReason;
use proptest::prelude::*;

use crate::{decode, tried};

/// One mapping of each format, each with all of its options.
const MAPPINGS: &str = "
[[mapping]]
topic = 'json/{device}'
format = 'json'
time_key = 'a'
seq_key = 'b.a'
device_key = 'c'
root = 'b'
omit = ['a.b']
arrays = 'index'

[[mapping]]
topic = 'each/{device}'
format = 'json'
time_key = 'a'
base_time_key = 'b'
device_key = 'c'
each = 'a.b'
arrays = 'index'

[[mapping]]
topic = 'cbor/{device}'
format = 'cbor'
time_key = 'a'
each = 'b'

[[mapping]]
topic = 'influx/+'
format = 'influx'
device_tag = 'a'
name_tags = ['b']

[[mapping]]
topic = 'senml/+'
format = 'senml'

[[mapping]]
topic = 'senml_cbor/{device}'
format = 'senml_cbor'

[[mapping]]
topic = 'spBv1.0/#'
format = 'sparkplug'

[[mapping]]
topic = 'scalar/{device}/{metric}'
format = 'scalar'

[[mapping]]
topic = 'status/{device}'
format = 'status'
";

const TOPICS: [&str; 9] = [
    "json/d",
    "each/d",
    "cbor/d",
    "influx/d",
    "senml/d",
    "senml_cbor/d",
    "spBv1.0/g/NBIRTH/e",
    "scalar/d/m",
    "status/d",
];

/// Reads the payload in every format.
fn read_all(payload: &[u8]) {
    for topic in TOPICS {
        let trial = tried(MAPPINGS, topic, payload);
        let is_accounted = !trial.readings.is_empty()
            || !trial.presence.is_empty()
            || trial.fault.is_some()
            || topic == "status/d";
        assert!(is_accounted, "{topic}: nothing is silent");
        for reading in &trial.readings {
            assert!(reading.value.number().is_none_or(f64::is_finite), "{topic}");
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(payload in proptest::collection::vec(any::<u8>(), 0..200)) {
        read_all(&payload);
    }

    #[test]
    fn no_json_like_text_panics(payload in "[\\[\\]{}\",:abcntv0-9.e+-]{0,80}") {
        read_all(payload.as_bytes());
    }

    #[test]
    fn no_record_like_text_panics(
        records in proptest::collection::vec("\\{\"(bn|n|bt|t|v|vs|vb|vd|s|bver|x_)\":(\"[ab:/]{0,4}\"|-?[0-9]{1,13}|true|1e300)(,\"(n|t|v|u)\":(\"[ab]\"|[0-9]{1,12}))?\\}", 0..6)
    ) {
        read_all(format!("[{}]", records.join(",")).as_bytes());
    }

    #[test]
    fn no_line_like_text_panics(payload in "([ab]{1,2}(,[ab]=[ab]){0,2} [ab]=(\"[ab\\\\\"]{0,3}\"?|-?[0-9]{1,3}[iu]?|t) ?-?[0-9]{0,19}[\r\n]{0,2}|[\\\\,= \"]{0,3}){0,5}") {
        read_all(payload.as_bytes());
    }

    /// Each byte begins as a field of a payload or of a metric would, or is a short length.
    #[test]
    fn no_protocol_buffers_panic(payload in proptest::collection::vec(
        prop_oneof![
            Just(0x08_u8), Just(0x12), Just(0x18), Just(0x0a), Just(0x10), Just(0x20), Just(0x4a),
            Just(0x50), Just(0x58), Just(0x65), Just(0x7a), Just(0xff), Just(0x1a), 0_u8..24,
            Just(b'a'),
        ],
        0..80,
    )) {
        read_all(&payload);
    }

    /// Each byte begins as a map of two, an array, a text or a number would.
    #[test]
    fn no_cbor_like_bytes_panic(payload in proptest::collection::vec(
        prop_oneof![
            Just(0xa2_u8), Just(0x82), Just(0x9f), Just(0xbf), Just(0xff), Just(0x61), Just(0x7f),
            Just(0xc1), Just(0xfb), Just(0xf9), Just(0x1b), Just(0xf6), Just(0x21), 0_u8..24,
            Just(b'a'), Just(b'b'),
        ],
        0..80,
    )) {
        read_all(&payload);
    }
}

#[test]
fn a_million_keys_cost_what_a_thousand_do() {
    let mut members = String::from("{");
    for n in 0..1_000_000 {
        write!(members, "\"k{n}\":1,").expect("a text takes all");
    }
    members.push_str("\"end\":1}");
    let mapping = "[[mapping]]\ntopic = 'x/{device}'\nformat = 'json'";
    let (readings, decoded) = decode(mapping, "x/d", members.as_bytes());
    assert_eq!(readings.len(), 1_000);
    let reason = decoded.fault.map(|fault| fault.reason);
    assert_eq!(reason, Some(RejectReason::TooManyReadings));
}
