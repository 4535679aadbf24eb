//! Payloads that are read again: what is stored of them, whose they are, and that once is enough.

use bellwire_model::{DeviceId, DeviceKey, PublishRef, QoS, Quarantined, RejectReason, Timestamp};

use super::*;
use crate::mapping::Mappings;
use crate::policy::TimePolicy;
use crate::repetition::Repetition;
use crate::unpack::unpack;

const THEN: Timestamp = Timestamp::from_secs(1_700_000_000);
const NOW: Moment =
    Moment { position: LogPosition(900), received_at: Timestamp::from_secs(1_700_009_000) };

fn terms(mappings: &str) -> Terms {
    let mappings = Arc::new(Mappings::parse(mappings).expect("right"));
    Terms { policy: TimePolicy::default(), mappings }
}

fn replay(topic: &str, payload: &str) -> Replay {
    Replay {
        seen_at: LogPosition(800),
        place: (LogPosition(100), 0),
        received_at: THEN,
        device: DeviceId::new("a").ok(),
        kept: [].into(),
        topic: topic.into(),
        payload: payload.as_bytes().into(),
    }
}

/// What a publish comes to that is received, and then what quarantine has of it.
fn received(topic: &str, payload: &str, decoder: &mut Decoder) -> (Group, Option<Quarantined>) {
    let publish = PublishRef {
        topic,
        payload: payload.as_bytes(),
        qos: QoS::AtLeastOnce,
        dup: false,
        retain: false,
        packet_id: 1,
    };
    let mut batch = bellwire_model::PublishBatch::default();
    batch.push(&publish);
    let mut group = Group::default();
    let moment = Moment { position: LogPosition(100), received_at: THEN };
    unpack(moment, batch.iter(), decoder, &mut group, |_, _, _| Repetition::New);
    let quarantined = group.quarantined.pop();
    (group, quarantined)
}

fn values(group: &Group, names: &SharedNames) -> Vec<String> {
    let names = names.read();
    let text = |reading: &Reading| {
        let at = reading.at.as_micros() / 1_000_000 - 1_700_000_000;
        format!("{} {} {:?}", names.metric(reading.metric), at, reading.value)
    };
    group.output.readings.iter().map(text).collect()
}

#[test]
fn a_mended_mapping_reads_it_as_of_then() {
    const MAPPING: &str = "[[mapping]]\ntopic = 'plant/{device}/{metric}'\nformat = 'scalar'";
    let names = SharedNames::default();
    let mut decoder = Decoder::new(names.clone());
    let replay = replay("plant/b/t", "21.5");
    let mut group = Group::default();
    assert_eq!(unpack_replay(NOW, &replay, &mut decoder, &mut group, || true), None);
    assert_eq!((group.entries.len(), group.duplicates.len()), (0, 0), "no mapping is for it");
    decoder.set_terms(terms(MAPPING));
    assert!(unpack_replay(NOW, &replay, &mut decoder, &mut group, || true).is_some());
    assert_eq!(values(&group, &names), ["t 0 Number(21.5)"]);
    let [entry] = group.entries[..] else { panic!("{group:?}") };
    assert_eq!((entry.fate, entry.n_readings, entry.received_at), (Fate::Replayed, 1, THEN));
    let key = |device| names.read().device_key(device);
    assert_eq!(Some(entry.device), key("b"));
    assert_eq!(group.unshelved, [Unshelved { place: (LogPosition(100), 0), device: key("a") }]);
    assert_eq!(try_replay(&replay, &terms(MAPPING), &SharedNodes::default()), Ok(1));
    let fault = try_replay(&replay, &terms(""), &SharedNodes::default()).expect_err("no mapping");
    assert_eq!(fault.reason, RejectReason::BadTopic);
}

#[test]
fn what_is_stored_already_is_left_out() {
    let names = SharedNames::default();
    let mut decoder = Decoder::new(names.clone());
    let ahead = 1_700_000_000 + 3_600;
    let payload = format!(
        r#"[{{"ts":1699999990,"seq":1,"t":1,"h":2}},{{"ts":{ahead},"seq":2,"t":3}},{{"ts":1699999991,"t":4}}]"#
    );
    let topic = "devices/a/telemetry";
    let (group, quarantined) = received(topic, &payload, &mut decoder);
    let quarantined = quarantined.expect("it is ahead");
    assert_eq!(quarantined.reason, RejectReason::FutureTimestamp);
    let stored = values(&group, &names);
    assert_eq!(quarantined.kept.as_ref().map(|kept| kept.len()), Some(stored.len()));
    let replay = Replay { kept: quarantined.kept.expect("noted"), ..replay(topic, &payload) };
    let mut lenient = terms("");
    lenient.policy.future_max = std::time::Duration::from_secs(7_200);
    decoder.set_terms(lenient);
    let mut group = Group::default();
    assert!(unpack_replay(NOW, &replay, &mut decoder, &mut group, || true).is_some());
    assert_eq!(values(&group, &names), ["t 3600 Number(3.0)"]);
    assert_eq!(group.heard.len(), 1, "the other counter was heard before");
    assert_eq!(group.heard[0].seq, Some(2));
    let whole = Replay { kept: [].into(), ..replay };
    let mut group = Group::default();
    assert!(unpack_replay(NOW, &whole, &mut decoder, &mut group, || true).is_some());
    assert_eq!(values(&group, &names).len(), stored.len() + 1);
}

#[test]
fn one_that_was_replayed_before_is_noted_and_no_more() {
    let mut decoder = Decoder::new(SharedNames::default());
    let mut group = Group::default();
    let replay = replay("devices/a/telemetry", r#"{"t":1}"#);
    assert_eq!(unpack_replay(NOW, &replay, &mut decoder, &mut group, || false), None);
    assert_eq!(group.duplicates, [(NOW.position, 0)]);
    assert_eq!((group.output.readings.len(), group.entries.len()), (0, 0));
}

#[test]
fn presence_of_long_ago_says_nothing_of_now() {
    let mut decoder = Decoder::new(SharedNames::default());
    let mut group = Group::default();
    let replay = replay("devices/a/status", "online");
    let decoded = unpack_replay(NOW, &replay, &mut decoder, &mut group, || true);
    assert_eq!(decoded.expect("understood").told, None);
    assert_eq!(group.presence, []);
    assert_eq!(group.entries[0].device, DeviceKey(0));
}

#[test]
fn a_payload_is_replayed_once_for_each_time_it_is_seen() {
    let mut replays = Replays::default();
    let mut admit = |place: u64, seen_at: u64, position: u64| {
        let place = (LogPosition(place), 0);
        let replay = Replay { place, seen_at: LogPosition(seen_at), ..replay("t", "") };
        replays.admit(&replay, LogPosition(position))
    };
    assert!(admit(1, 50, 60));
    assert!(!admit(1, 55, 70), "the database was not at 60 yet");
    assert!(!admit(1, 60, 75), "a position is where a record begins");
    assert!(admit(2, 55, 80));
    assert!(admit(1, 61, 90), "it was replayed in vain, and is there still");
    assert!(!admit(1, 90, 95));
}

#[test]
fn what_is_forgotten_is_not_replayed() {
    let mut replays = Replays::default();
    let mut admit = |place: u64, seen_at: u64, position: u64| {
        let place = (LogPosition(place), 0);
        let replay = Replay { place, seen_at: LogPosition(seen_at), ..replay("t", "") };
        replays.admit(&replay, LogPosition(position))
    };
    let n = REMEMBERED_MAX as u64;
    assert!((0..=n).all(|place| admit(place, 10, 1_000 + place)));
    assert!(!admit(n + 1, 1_000, 5_000_000), "the first one's place is forgotten");
    assert!(admit(0, 1_001, 5_000_001));
    assert!(!admit(1, 1_001, 5_000_002));
}
