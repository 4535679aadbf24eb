//! A small fleet in the database, with something for every panel: readings through the store's own writer
//! and compactor, and the rest as the service leaves it.

use std::time::Duration;

use bellwire_model::{
    Clock as _, DeviceId, DeviceKey, KeepBatch, LogId, LogPosition, MetricKey, MetricName, Reading,
    SharedNames, Timestamp, Value,
};
use bellwire_store::testing::TestDatabase;
use bellwire_store::{Compacted, Database};
use tokio_postgres::Client;

/// The device that has something of everything.
pub(super) const DEVICE: &str = "freezer-03";

const LOG: LogId = LogId(0xda5b);
const N_DEVICES: u32 = 12;
const METRICS: [&str; 3] = ["temperature", "humidity", "battery"];

/// Instants before `now` at which each device reads: a minute apart for six hours, 10 seconds apart for the
/// last half hour, and once a day before that.
fn instants(now: Timestamp) -> Vec<Timestamp> {
    let before = |secs: i64| Timestamp::from_micros(now.as_micros() - secs * 1_000_000);
    let days = (1..40).rev().map(|day| before(day * 86_400));
    let minutes = (31..360).rev().map(|minute| before(minute * 60));
    let seconds = (0..180).rev().map(|n| before(n * 10));
    days.chain(minutes).chain(seconds).collect()
}

/// A freezer's: it swings slowly, and the third one has been warming up for half an hour.
fn value(device: u32, metric: usize, age: Duration) -> f64 {
    let minutes = age.as_secs_f64() / 60.0;
    let swing = ((minutes + f64::from(device) * 17.0) / 23.0).sin();
    let thaw = if device == 2 && minutes < 30.0 { (30.0 - minutes) * 0.4 } else { 0.0 };
    match metric {
        0 => -18.0 + swing + thaw,
        1 => 40.0 + 5.0 * swing,
        _ => 3.6 + 0.1 * swing,
    }
}

/// Their names, and the keys of devices and metrics.
fn names() -> (SharedNames, Vec<DeviceKey>, Vec<MetricKey>) {
    let names = SharedNames::default();
    let (devices, metrics) = names.write(|names| {
        let devices = (1..=N_DEVICES).map(|n| {
            let device = DeviceId::new(&format!("freezer-{n:02}")).unwrap();
            names.add_device(&device).unwrap()
        });
        let devices = devices.collect();
        let metrics = METRICS.map(|it| names.add_metric(&MetricName::new(it).unwrap()).unwrap());
        (devices, metrics.to_vec())
    });
    (names, devices, metrics)
}

fn readings(devices: &[DeviceKey], metrics: &[MetricKey], now: Timestamp) -> Vec<Reading> {
    let mut readings = Vec::new();
    for at in instants(now) {
        let age = now.since(at);
        for (n, &device) in (0..).zip(devices) {
            // One has gone quiet: it says nothing of the last two hours.
            if n + 1 == N_DEVICES && age < Duration::from_secs(7_200) {
                continue;
            }
            for (index, &metric) in metrics.iter().enumerate() {
                let value = Value::Number(value(n, index, age));
                readings.push(Reading { device, metric, at, value });
            }
        }
    }
    readings
}

/// What the service leaves beside readings: relative to now, in SQL.
const REST: &str = include_str!("seed.sql");

/// Fills the database, and gives the store on it.
pub(super) async fn fill(database: &TestDatabase, client: &Client) -> Database {
    let store = database.open_with(|config| config.reader.role = Some("dashboards".to_owned()));
    let now = bellwire::clock::SystemClock.now();
    let (names, devices, metrics) = names();
    let readings = readings(&devices, &metrics, now);
    let (mut writer, _) = store.writer(LOG).await.unwrap();
    let end = LogPosition(1_000_000);
    let batch = KeepBatch { start: LogPosition::ZERO, end, readings, ..KeepBatch::default() };
    writer.write(&batch, &names).await.unwrap();
    drop(writer);
    let compactor = &mut store.compactor();
    while !matches!(compactor.run().await.unwrap(), Compacted::Rows(n_rows) if n_rows > 0) {
        tokio::task::yield_now().await;
    }
    client.batch_execute(REST).await.unwrap();
    store.grant_reader().await.unwrap();
    store
}
