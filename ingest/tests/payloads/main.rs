//! What payloads of other fleets come to: they go in as their documentation shows them, and come
//! out as the readings a person would expect.

mod births;
mod bombs;
mod families;
mod faults;
mod hostile;
mod sparkplug;

use std::sync::Arc;

use bellwire_ingest::mapping::Mappings;
use bellwire_ingest::policy::TimePolicy;
use bellwire_ingest::trial::{Reader, Trial, try_publish};
use bellwire_model::{Timestamp, Value};

/// 2026-01-01T00:00:00Z
const RECEIVED: Timestamp = Timestamp::from_secs(1_767_225_600);

/// What a publish comes to.
fn tried(mappings: &str, topic: &str, payload: &[u8]) -> Trial {
    let mappings = Mappings::parse(mappings).unwrap_or_else(|errors| panic!("{errors:?}"));
    try_publish(&Arc::new(mappings), TimePolicy::default(), (topic, payload), RECEIVED)
}

/// `device metric=value unit` of each reading, and `@seconds` where its time is not that of receipt.
fn decode(mappings: &str, topic: &str, payload: &[u8]) -> (Vec<String>, Trial) {
    let trial = tried(mappings, topic, payload);
    assert_ne!(trial.reader, Reader::Nobody, "{topic} is telemetry");
    let lines = trial.readings.iter().map(|reading| {
        let value = match &reading.value {
            Value::Number(number) => number.to_string(),
            Value::Text(text) => format!("{text:?}"),
        };
        let unit = reading.unit.as_ref().map(|unit| format!(" {unit}")).unwrap_or_default();
        let at = match reading.at {
            RECEIVED => String::new(),
            at => format!("@{}", at.as_micros() as f64 / 1e6),
        };
        format!("{} {}={value}{unit}{at}", reading.device, reading.metric)
    });
    (lines.collect(), trial)
}

#[test]
fn it_is_told_who_reads_a_topic() {
    let mappings = "[[mapping]]\npreset = 'shelly'";
    for (topic, reader) in [
        ("devices/a/telemetry", Reader::Builtin),
        ("shellies/a/relay/0", Reader::Mapping("shellies/{device}/{metric}/{metric}".into())),
        ("shellies/a/relay/0/command", Reader::Nobody),
        ("a/b", Reader::Nobody),
    ] {
        assert_eq!(tried(mappings, topic, b"on").reader, reader, "{topic}");
    }
    let trial = tried("", "devices/a/telemetry", br#"{"t":1,"seq":7}"#);
    assert_eq!(trial.readings[0].seq, Some(7));
}
