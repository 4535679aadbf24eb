//! Stored readings come back in order of time, each once, wherever they lie.

use bellwire_model::{DeviceKey, MetricKey, Reading, Timestamp, Value};
use bellwire_store::testing::Kind;
use bellwire_store::{Compacted, Database, Wanted, on_every_kind};

use crate::support::{DAY, LOG, NOON, batch, device, metric, names};

on_every_kind! {
    everything_comes_once_in_order_of_time,
    what_is_wanted_comes_and_nothing_else,
    stretches_that_are_too_long_are_halved,
}

/// Readings of three devices and two metrics over three days, one of them a text, in no order.
fn rows() -> Vec<Reading> {
    let mut rows = Vec::new();
    for n in (0..240_u32).rev() {
        let at = Timestamp::from_secs(NOON + DAY * i64::from(n % 3) + i64::from(n / 6) * 61);
        let value = match n % 40 {
            7 => Value::Text(format!("text {n}").into()),
            _ => Value::Number(f64::from(n)),
        };
        rows.push(Reading { device: DeviceKey(n % 3), metric: MetricKey(n % 2), at, value });
    }
    rows
}

/// As lines: second, device, metric, value.
async fn replayed(store: &Database, wanted: &Wanted, limit: usize) -> Vec<String> {
    let mut replay = store.replay(wanted).await.expect("begun").with_limit(limit);
    let mut lines = Vec::new();
    let mut last = Timestamp::EPOCH;
    while let Some(stretch) = replay.next().await.expect("readings") {
        let readings = stretch.in_order();
        assert!(!readings.is_empty() && readings.len() <= limit);
        let names = std::sync::Arc::clone(replay.names());
        for reading in readings {
            assert!(reading.at >= last, "in order of time");
            last = reading.at;
            lines.push(line(
                &reading,
                names.device(reading.device).as_str(),
                names.metric(reading.metric).as_str(),
            ));
        }
    }
    lines
}

fn line(reading: &Reading, device: &str, metric: &str) -> String {
    let value = match &reading.value {
        Value::Number(number) => number.to_string(),
        Value::Text(text) => text.to_string(),
    };
    format!("{} {device} {metric} {value}", reading.at)
}

fn expected(keep: impl Fn(&Reading) -> bool) -> Vec<String> {
    let mut rows: Vec<_> = rows().into_iter().filter(keep).collect();
    rows.sort_by_key(|reading| (reading.at, reading.device, reading.metric));
    let name = |reading: &Reading| {
        let (device, metric) = (device(reading.device.index()), metric(reading.metric.index()));
        line(reading, device.as_str(), metric.as_str())
    };
    rows.iter().map(name).collect()
}

/// Half of them carried over, half of them fresh.
async fn fill(store: &Database) {
    let names = names(3, 2);
    let (mut writer, opened) = store.writer(LOG).await.expect("opened");
    let start = opened.position.0;
    let (first, second) = (rows()[..120].to_vec(), rows()[120..].to_vec());
    writer.write(&batch(start, start + 10, first), &names).await.expect("stored");
    while store.compactor().run().await.expect("carried over") != Compacted::Rows(0) {
        tokio::task::yield_now().await;
    }
    writer.write(&batch(start + 10, start + 20, second), &names).await.expect("stored");
}

async fn everything_comes_once_in_order_of_time(kind: Kind) {
    let database = kind.database().await;
    let store = database.open();
    assert_eq!(replayed(&store, &Wanted::default(), 1_000).await, Vec::<String>::new());
    fill(&store).await;
    assert_eq!(replayed(&store, &Wanted::default(), 1_000).await, expected(|_| true));
}

async fn what_is_wanted_comes_and_nothing_else(kind: Kind) {
    let database = kind.database().await;
    let store = database.open();
    fill(&store).await;
    let at = |secs: i64| Timestamp::from_secs(NOON + secs);
    let wanted = Wanted {
        from: Some(at(61)),
        to: Some(at(DAY + 122)),
        device: Some(device(1)),
        metrics: Some(vec![metric(1), metric(7)]),
    };
    let keep = |reading: &Reading| {
        (at(61)..at(DAY + 122)).contains(&reading.at)
            && (reading.device, reading.metric) == (DeviceKey(1), MetricKey(1))
    };
    let found = replayed(&store, &wanted, 1_000).await;
    assert_eq!(found, expected(keep));
    assert!(!found.is_empty());
    for unknown in [
        Wanted { device: Some(device(9)), ..Wanted::default() },
        Wanted { metrics: Some(vec![metric(9)]), ..Wanted::default() },
    ] {
        assert_eq!(replayed(&store, &unknown, 1_000).await, Vec::<String>::new());
    }
}

async fn stretches_that_are_too_long_are_halved(kind: Kind) {
    let database = kind.database().await;
    let store = database.open();
    fill(&store).await;
    assert_eq!(replayed(&store, &Wanted::default(), 7).await, expected(|_| true));
    let mut replay = store.replay(&Wanted::default()).await.expect("begun").with_limit(1);
    let error = replay.next().await.expect_err("two readings are of one instant");
    assert!(error.to_string().contains("one instant"), "{error}");
}
