//! No bytes make a format panic, and every reading has its place.

use std::fmt::Write;

use bellwire_model::RejectReason;
use proptest::prelude::*;

use crate::{bombs, decode, tried};

/// One mapping of each format, each with all of its options.
const MAPPINGS: &str = include_str!("hostile.toml");

const TOPICS: [&str; 12] = [
    "json/d",
    "each/d",
    "cbor/d",
    "influx/d",
    "senml/d",
    "senml_cbor/d",
    "spBv1.0/g/NBIRTH/e",
    "scalar/d/m",
    "status/d",
    "devices/d/telemetry",
    "devices/d/telemetry/m",
    "spBv1.0/g/DDATA/e/d",
];

/// Reads the payload in every format.
fn read_all(payload: &[u8]) {
    for topic in TOPICS {
        let trial = tried(MAPPINGS, topic, payload);
        let is_accounted = !trial.readings.is_empty()
            || !trial.presence.is_empty()
            || trial.fault.is_some()
            || ["status/d", "spBv1.0/g/DDATA/e/d"].contains(&topic);
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

/// The most memory that a payload may take while it is read, beyond itself.
const BYTES_MAX: u64 = 48 << 20;

/// The most memory that this process has had, in bytes.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("this is Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("it has a peak");
    let kilobytes = line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number");
    kilobytes << 10
}

#[test]
fn bombs_take_no_memory_and_are_accounted_for() {
    for bomb in bombs::all() {
        let (name, topic) = (bomb.name, bomb.topic);
        let before = peak_bytes();
        let trial = tried(MAPPINGS, topic, &bomb.payload);
        let grown = peak_bytes() - before;
        assert!(grown < BYTES_MAX, "{name}, {topic}: {grown} bytes more");
        assert!(trial.readings.len() <= 50_000, "{name}, {topic}: {}", trial.readings.len());
        let detail = trial.fault.as_ref().map_or(0, |fault| fault.detail.len());
        assert!(detail < 1_000, "{name}, {topic}: a detail of {detail} bytes");
        // A message without metrics says nothing, and is right.
        let is_silent = trial.fault.is_none() && trial.readings.is_empty();
        assert!(!is_silent || name == "a large body", "{name}, {topic}: silent");
        let longest =
            trial.readings.iter().filter_map(|it| it.unit.as_ref()).map(|it| it.len()).max();
        assert!(longest.unwrap_or(0) <= 64, "{name}, {topic}: a unit of {longest:?} bytes");
    }
}

/// What fuzzing begins with: the first byte chooses the topic. `fuzz/fuzz_targets/payload.rs` reads it so
/// too.
#[test]
fn the_corpus_and_what_is_near_it_do_no_harm() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/payload");
    let mut seeds: Vec<_> = std::fs::read_dir(folder)
        .expect("there is a corpus")
        .map(|file| std::fs::read(file.expect("listed").path()).expect("readable"))
        .collect();
    seeds.sort();
    assert!(seeds.len() >= TOPICS.len(), "one for each format");
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut dice = move |n: usize| {
        // xorshift64, https://www.jstatsoft.org/article/view/v008i14
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).expect("31 bits") % n.max(1)
    };
    for seed in &seeds {
        read_one(seed);
        for _ in 0..400 {
            let mut payload = seed.clone();
            for _ in 0..1 + dice(4) {
                let at = dice(payload.len());
                match dice(5) {
                    0 => payload.truncate(at),
                    1 => drop(
                        payload
                            .splice(at..at, [0, 0x7f, 0xff, b'"', b'{'][dice(5)..].iter().copied()),
                    ),
                    2 => payload.extend_from_within(at..),
                    _ => payload.get_mut(at).into_iter().for_each(|byte| *byte ^= 1 << dice(8)),
                }
            }
            read_one(&payload);
        }
    }
}

fn read_one(bytes: &[u8]) {
    let Some((&which, payload)) = bytes.split_first() else { return };
    drop(tried(MAPPINGS, TOPICS[usize::from(which) % TOPICS.len()], payload));
}
