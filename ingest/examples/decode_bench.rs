//! What decoding costs: CPU time and allocations for a payload of three metrics, in each format, and
//! what estimating a device's clock adds. Not wall time, so that a busy machine does not matter much.
//!
//! `cargo run --release -p bellwire-ingest --example decode_bench [-- SECONDS]`; with `hostile` instead:
//! what payloads of 1 MiB cost that are made to cost much, in CPU time a byte.

#[path = "../tests/payloads/bombs.rs"]
mod bombs;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bellwire_ingest::decode::{Decoder, Output};
use bellwire_ingest::mapping::Mappings;
use bellwire_ingest::skew::SkewEstimator;
use bellwire_model::{LogPosition, PublishRef, QoS, SharedNames, Timestamp};

/// The system's allocator, counting.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: everything is the system's; only a number is counted beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(pointer, layout, bytes) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const DEVICES: usize = 1_000;
/// As many payloads as a group of the log has, before its output is taken away.
const GROUP: usize = 1_000;

/// What the topics of each format mean.
const MAPPINGS: &str = "
[[mapping]]
topic = 'json/{device}'
format = 'json'
time_key = 'ts'
seq_key = 'seq'

[[mapping]]
topic = 'cbor/{device}'
format = 'cbor'
time_key = 'ts'

[[mapping]]
topic = 'influx/{device}'
format = 'influx'

[[mapping]]
topic = 'senml/{device}'
format = 'senml'

[[mapping]]
topic = 'senml_cbor/{device}'
format = 'senml_cbor'

[[mapping]]
topic = 'scalar/{device}/{metric}'
format = 'scalar'

[[mapping]]
preset = 'sparkplug'
";

/// CPU time of this thread, in nanoseconds.
fn cpu_nanos() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is writable and lives through the call.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) } != 0;
    assert!(!failed, "every Linux has this clock");
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

/// Decodes `payload` from many devices for `duration`, and prints what each took.
fn measure(name: &str, payload: &[u8], topics: &[String], duration: Duration) {
    let mut decoder = Decoder::new(SharedNames::default());
    let mappings = Mappings::parse(MAPPINGS).expect("they are right");
    decoder.set_mappings(Arc::new(mappings));
    let mut out = Output::default();
    let received_at = Timestamp::from_secs(1_700_000_000);
    let birth = edge_birth();
    for topic in topics.iter().filter(|topic| topic.contains("/NDATA/")) {
        let (topic, payload) = (&*topic.replace("NDATA", "NBIRTH"), &*birth);
        let qos = QoS::AtLeastOnce;
        let publish = PublishRef { topic, payload, qos, dup: false, retain: false, packet_id: 1 };
        decoder.set_place(LogPosition(1), 0);
        decoder.decode(&publish, received_at, &mut out);
    }
    decoder.set_place(LogPosition(2), 0);
    let mut group = || {
        out.readings.clear();
        out.spans.clear();
        for topic in topics.iter().cycle().take(GROUP) {
            let publish = PublishRef {
                topic,
                payload,
                qos: QoS::AtLeastOnce,
                dup: false,
                retain: false,
                packet_id: 1,
            };
            std::hint::black_box(decoder.decode(&publish, received_at, &mut out));
        }
    };
    // Names and buffers are made.
    group();
    let (allocations, begun, mut n_payloads) =
        (ALLOCATIONS.load(Ordering::Relaxed), cpu_nanos(), 0);
    while u128::from(cpu_nanos() - begun) < duration.as_nanos() {
        group();
        n_payloads += GROUP;
    }
    let nanos = (cpu_nanos() - begun) as f64 / n_payloads as f64;
    let per_reading = nanos / (out.readings.len() as f64 / GROUP as f64).max(1.0);
    let allocated = ALLOCATIONS.load(Ordering::Relaxed) - allocations;
    let per_payload = allocated as f64 / n_payloads as f64;
    println!(
        "{name:<12} {nanos:>8.0} ns  {per_reading:>6.0} ns a reading  {per_payload:>6.2} allocations  {:>4} B",
        payload.len()
    );
}

/// Shows publishes of many devices to the estimators of their clocks for `duration`.
fn measure_clocks(duration: Duration) {
    let begun_at = Timestamp::from_secs(1_700_000_000);
    let mut clocks = vec![SkewEstimator::new(begun_at, begun_at); DEVICES];
    let (begun, mut n_publishes) = (cpu_nanos(), 0_u64);
    let mut received_at = begun_at;
    while u128::from(cpu_nanos() - begun) < duration.as_nanos() {
        received_at = received_at + Duration::from_millis(100);
        for (late_micros, clock) in (0..).zip(&mut clocks) {
            let at = received_at - Duration::from_micros(late_micros);
            std::hint::black_box(clock.observe(at, received_at));
            n_publishes += 1;
        }
    }
    let nanos = (cpu_nanos() - begun) as f64 / n_publishes as f64;
    let bytes = size_of::<SkewEstimator>();
    println!("{:<12} {nanos:>8.1} ns  {bytes} B per device", "its clock");
}

/// Reads each hostile payload some times, and prints what that took.
fn measure_bombs() {
    const N: u64 = 5;
    let mappings = Mappings::parse(include_str!("../tests/payloads/hostile.toml"));
    let mappings = Arc::new(mappings.expect("they are right"));
    let received_at = Timestamp::from_secs(1_700_000_000);
    for bombs::Bomb { name, topic, payload } in bombs::all() {
        let mut decoder = Decoder::new(SharedNames::default());
        decoder.set_mappings(Arc::clone(&mappings));
        let (allocations, begun) = (ALLOCATIONS.load(Ordering::Relaxed), cpu_nanos());
        for _ in 0..N {
            let mut out = Output::default();
            let (payload, qos) = (&*payload, QoS::AtLeastOnce);
            let publish =
                PublishRef { topic, payload, qos, dup: false, retain: false, packet_id: 1 };
            std::hint::black_box(decoder.decode(&publish, received_at, &mut out));
        }
        let nanos = (cpu_nanos() - begun) / N;
        let allocated = (ALLOCATIONS.load(Ordering::Relaxed) - allocations) / N;
        let per_byte = nanos as f64 / bombs::BYTES as f64;
        println!(
            "{name:<30} {topic:<20} {:>8.2} ms  {per_byte:>6.1} ns/B  {allocated:>8} allocations",
            nanos as f64 / 1e6
        );
    }
}

fn main() {
    if std::env::args().nth(1).is_some_and(|first| first == "hostile") {
        return measure_bombs();
    }
    let seconds = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(2);
    let duration = Duration::from_secs(seconds);
    let topics: Vec<_> = (0..DEVICES).map(|n| format!("devices/freezer-{n}/telemetry")).collect();
    for (name, payload) in [
        (
            "numbers",
            r#"{"ts":1700000000123,"seq":4711,"temperature":-18.4,"humidity":41.2,"door":false}"#,
        ),
        ("no time", r#"{"temperature":-18.4,"humidity":41.2,"door":false}"#),
        (
            "RFC 3339",
            r#"{"ts":"2023-11-14T22:13:20.123Z","temperature":-18.4,"humidity":41.2,"door":false}"#,
        ),
        (
            "nested",
            r#"{"ts":1700000000123,"air":{"temperature":-18.4,"humidity":41.2},"door":false}"#,
        ),
        (
            "one text",
            r#"{"ts":1700000000123,"temperature":-18.4,"humidity":41.2,"mode":"defrost"}"#,
        ),
        ("no JSON", r#"{"ts":1700000000123,"temperature":-18.4,"humidity":41.2,"door":fal"#),
    ] {
        measure(name, payload.as_bytes(), &topics, duration);
    }
    measure_formats(duration);
    measure_clocks(duration);
}

/// Decodes the same three metrics, where they fit, in each format of mappings.
fn measure_formats(duration: Duration) {
    for (topic, payload) in [
        (
            "json",
            br#"{"ts":1700000000123,"seq":4711,"temperature":-18.4,"humidity":41.2,"door":false}"#
                .to_vec(),
        ),
        ("cbor", cbor()),
        (
            "influx",
            b"air,site=b temperature=-18.4,humidity=41.2,door=f 1700000000123000000".to_vec(),
        ),
        (
            "senml",
            br#"[{"bt":1700000000.123,"n":"temperature","v":-18.4},{"n":"humidity","v":41.2},{"n":"door","vb":false}]"#
                .to_vec(),
        ),
        ("senml_cbor", senml_cbor()),
        ("scalar", b"-18.4".to_vec()),
    ] {
        let end = if topic == "scalar" { "/temperature" } else { "" };
        let topics: Vec<_> = (0..DEVICES).map(|n| format!("{topic}/freezer-{n}{end}")).collect();
        measure(topic, &payload, &topics, duration);
    }
    let topics: Vec<_> = (0..DEVICES).map(|n| format!("spBv1.0/g/NDATA/freezer-{n}")).collect();
    measure("sparkplug", &edge_data(), &topics, duration);
}

/// A field of Protocol Buffers that has a length.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, u8::try_from(bytes.len()).expect("short")], bytes].concat()
}

/// The metrics of a payload: what tells each, its alias, its type and its double.
fn edge_metrics(name: impl Fn(&str) -> Vec<u8>) -> Vec<u8> {
    let metric = |(alias, text): (u8, &str)| {
        let double = [&[13 << 3 | 1], 41.2_f64.to_le_bytes().as_slice()].concat();
        field(2, &[name(text), vec![2 << 3, alias, 4 << 3, 10], double].concat())
    };
    [(1, "temperature"), (2, "humidity"), (3, "door")].into_iter().flat_map(metric).collect()
}

/// A birth that gives three metrics their aliases; field 3 is `seq`.
fn edge_birth() -> Vec<u8> {
    [edge_metrics(|name| field(1, name.as_bytes())), vec![3 << 3, 0]].concat()
}

/// Three metrics by alias, with a time.
fn edge_data() -> Vec<u8> {
    // 1,700,000,000,123 as a varint.
    let time = vec![1 << 3, 0xfb, 0xd0, 0x95, 0xff, 0xbc, 0x31];
    [time, edge_metrics(|_| Vec::new()), vec![3 << 3, 1]].concat()
}

/// A short text in CBOR.
fn text(text: &str) -> Vec<u8> {
    let head = 0x60 | u8::try_from(text.len()).expect("short");
    [&[head], text.as_bytes()].concat()
}

/// A number in CBOR.
fn number(number: f64) -> Vec<u8> {
    [&[0xfb], number.to_be_bytes().as_slice()].concat()
}

fn cbor() -> Vec<u8> {
    let time = [&[0x1b], 1_700_000_000_123_u64.to_be_bytes().as_slice()].concat();
    let (temperature, humidity) = (number(-18.4), number(41.2));
    [
        vec![0xa4],
        [text("ts"), time].concat(),
        [text("temperature"), temperature].concat(),
        [text("humidity"), humidity].concat(),
        [text("door"), vec![0xf4]].concat(),
    ]
    .concat()
}

/// Labels are numbers: -3 the base time, 0 the name, 2 the value, 4 the boolean.
fn senml_cbor() -> Vec<u8> {
    [
        vec![0x83, 0xa3, 0x22],
        number(1_700_000_000.123),
        [vec![0x00], text("temperature"), vec![0x02], number(-18.4)].concat(),
        [vec![0xa2, 0x00], text("humidity"), vec![0x02], number(41.2)].concat(),
        [vec![0xa2, 0x00], text("door"), vec![0x04, 0xf4]].concat(),
    ]
    .concat()
}
