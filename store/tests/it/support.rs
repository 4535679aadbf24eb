//! Batches to write and answers to compare.

use std::future::Future;
use std::time::Duration;

use bellwire_model::alert::Alert;
use bellwire_model::{
    AlertId, AlertState, DeviceId, DeviceKey, KeepBatch, LogId, LogPosition, MetricKey, MetricName,
    Quarantined, Reading, RejectReason, RuleName, Severity, SharedNames, Timestamp, Transition,
    Value,
};
use bellwire_store::Database;
use bellwire_store::testing::TestDatabase;
use tokio_postgres::{Client, NoTls};
use tokio_util::task::TaskTracker;

/// The log that tests write.
pub(crate) const LOG: LogId = LogId(0x5eed);
/// 2024-01-15T12:00:00Z.
pub(crate) const NOON: i64 = 1_705_320_000;
/// Seconds of a day.
pub(crate) const DAY: i64 = 86_400;

/// Names `device-0…` and `metric-0…`.
pub(crate) fn names(n_devices: usize, n_metrics: usize) -> SharedNames {
    let names = SharedNames::default();
    names.write(|names| {
        for n in 0..n_devices {
            names.add_device(&device(n)).expect("room");
        }
        for n in 0..n_metrics {
            names.add_metric(&metric(n)).expect("room");
        }
    });
    names
}

pub(crate) fn device(n: usize) -> DeviceId {
    DeviceId::new(&format!("device-{n}")).expect("valid")
}

pub(crate) fn metric(n: usize) -> MetricName {
    MetricName::new(&format!("metric-{n}")).expect("valid")
}

pub(crate) fn reading(secs: i64, value: f64) -> Reading {
    Reading {
        device: DeviceKey(0),
        metric: MetricKey(0),
        at: Timestamp::from_secs(secs),
        value: Value::Number(value),
    }
}

/// `n_readings` with values counting up from `first`, a second apart from noon.
pub(crate) fn readings(first: u32, n_readings: u32) -> Vec<Reading> {
    (first..first + n_readings).map(|n| reading(NOON + i64::from(n % 3600), f64::from(n))).collect()
}

pub(crate) fn batch(start: u64, end: u64, readings: Vec<Reading>) -> KeepBatch {
    KeepBatch { start: LogPosition(start), end: LogPosition(end), readings, ..KeepBatch::default() }
}

pub(crate) fn quarantined(position: u64, secs: i64) -> Quarantined {
    Quarantined {
        position: LogPosition(position),
        ordinal: 0,
        received_at: Timestamp::from_secs(secs),
        device: Some(device(0)),
        topic: "devices/device-0/telemetry".into(),
        payload: vec![0, 255, b'{'].into(),
        reason: RejectReason::BadJson,
        detail: "ends at byte 3".into(),
        kept: Some([1, u64::MAX].into()),
    }
}

/// A step of the alert that the record at 10 began.
pub(crate) fn transition(position: u64, from: AlertState, to: AlertState) -> Transition {
    let rule = RuleName::new("too-warm").expect("valid");
    let at = Timestamp::from_secs(NOON + i64::try_from(position).expect("small"));
    Transition {
        position: LogPosition(position),
        ordinal: 1,
        alert: Alert {
            id: AlertId::of(&rule, &device(0).into(), LogPosition(10), 1),
            rule,
            device: device(0).into(),
            severity: Severity::Critical,
            state: to,
            since: Timestamp::from_secs(NOON),
            fired_at: (to != AlertState::Pending).then_some(at),
            resolved_at: (to == AlertState::Resolved).then_some(at),
            value: Some(-3.5),
            summary: "device-0 is at -3.5 °C".into(),
            labels: None,
            handling: None,
        },
        from,
        to,
        at,
        received_at: at + Duration::from_millis(5),
        rule_version: u64::MAX - 1,
        reason: "temperature > -15".into(),
        correction: None,
        historical: false,
        step: None,
    }
}

/// A plain connection beside the store's.
pub(crate) async fn sql(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("a connection");
    TaskTracker::new().spawn(connection);
    client
}

/// The one number that `query` gives.
pub(crate) async fn number(client: &Client, query: &str) -> i64 {
    client.query_one(query, &[]).await.expect("a row").get(0)
}

/// How many readings there are, and how many different values.
pub(crate) async fn tally(client: &Client) -> (i64, i64) {
    let query = "SELECT count(*), count(DISTINCT value) FROM readings";
    let row = client.query_one(query, &[]).await.expect("a row");
    (row.get(0), row.get(1))
}

/// The store on `database`, and a plain connection beside it.
pub(crate) async fn open(database: &TestDatabase) -> (Database, Client) {
    (database.open(), sql(&database.url).await)
}

/// Waits until `condition` holds, at most 30 seconds.
pub(crate) async fn wait_until<F>(what: &str, mut condition: impl FnMut() -> F)
where
    F: Future<Output = bool>,
{
    let mut look = tokio::time::interval(Duration::from_millis(10));
    let waiting = async {
        while !condition().await {
            look.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting)
        .await
        .unwrap_or_else(|_| panic!("waited 30 s in vain until {what}"));
}
