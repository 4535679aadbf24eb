//! Any payload in any format; the first byte chooses the topic, and so the format.
#![no_main]

use std::sync::{Arc, LazyLock};

use bellwire_ingest::mapping::Mappings;
use bellwire_ingest::policy::TimePolicy;
use bellwire_ingest::trial::try_publish;
use bellwire_model::Timestamp;

static MAPPINGS: LazyLock<Arc<Mappings>> = LazyLock::new(|| {
    let text = include_str!("../../ingest/tests/payloads/hostile.toml");
    Arc::new(Mappings::parse(text).expect("they are right"))
});

/// As in `ingest/tests/payloads/hostile.rs`, whose corpus it is, and the built-in ones.
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

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((&which, payload)) = bytes.split_first() else { return };
    let topic = TOPICS[usize::from(which) % TOPICS.len()];
    let received_at = Timestamp::from_secs(1_767_225_600);
    let trial = try_publish(&MAPPINGS, TimePolicy::default(), (topic, payload), received_at);
    assert!(trial.readings.iter().all(|it| it.value.number().is_none_or(f64::is_finite)));
});
