//! Recordings, freezers and probes: each publishes what it should, whatever the service does.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bellwire_fleet::sink::{Received, SinkConfig};
use bellwire_fleet::{
    Failure, FreezerConfig, FreezerFleet, ProbeConfig, PublishedLog, ReplayConfig, probe,
    replay_csv,
};
use bellwire_model::{DeviceId, MetricName};
use tokio_util::sync::CancellationToken;

use crate::support::{Bench, PATIENCE, n_of, wait_until};

fn text(received: &Received) -> &str {
    std::str::from_utf8(&received.payload).expect("text")
}

fn replay_config(bench: &Bench, path: std::path::PathBuf) -> ReplayConfig {
    let device = DeviceId::new("machine").expect("valid");
    let metric = MetricName::new("temperature").expect("valid");
    ReplayConfig::new(path, device, metric, bench.address())
}

#[tokio::test]
async fn a_recording_is_replayed_row_by_row_across_a_cut() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("recording.csv");
    let mut rows = String::from("timestamp,value\n");
    for n in 0..500 {
        // The clock steps back an hour in the middle, as a real one did.
        let minute = if n < 250 { n } else { n - 60 };
        rows += &format!("2014-01-07 {:02}:{:02}:00,{n}.5\n", minute / 60, minute % 60);
    }
    std::fs::write(&path, rows).expect("written");
    let cut_after = BTreeSet::from([100]);
    let bench = Bench::start(SinkConfig { cut_after, ..SinkConfig::default() }).await;
    let config = replay_config(&bench, path);
    let report = replay_csv(config, bench.surroundings.clone()).await.expect("replayed");
    let seen = bench.finish().await;
    let acks = report.acks.device(&DeviceId::new("machine").expect("valid")).expect("its account");
    assert_eq!(acks.acknowledged.to_string(), "1-500");
    let mut once = Vec::new();
    for received in seen.received.iter().filter(|received| received.acknowledged) {
        assert_eq!(received.topic, "devices/machine/telemetry");
        once.push(text(received));
    }
    assert_eq!(once.len(), 500, "the cut acknowledged nothing of its read");
    assert_eq!(once[0], r#"{"ts":1389052800000,"temperature":0.5,"n":1}"#);
    assert_eq!(once[250], r#"{"ts":1389064200000,"temperature":250.5,"n":251}"#);
}

#[tokio::test]
async fn a_recording_keeps_its_pace() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("recording.csv");
    let rows = "timestamp,value\n2014-01-07 00:00:00,1\n2014-01-07 00:00:10,2\n\
                2014-01-07 00:00:20,3\n";
    std::fs::write(&path, rows).expect("written");
    let bench = Bench::start(SinkConfig::default()).await;
    let config = ReplayConfig { speed: Some(100.0), ..replay_config(&bench, path) };
    let report = replay_csv(config, bench.surroundings.clone()).await.expect("replayed");
    assert!(report.progress.elapsed >= Duration::from_millis(200), "{:?}", report.progress);
    assert_eq!(bench.finish().await.acknowledged, 3);
}

fn quick_freezers(address: String) -> FreezerConfig {
    let failure = Failure {
        freezer: 2,
        after: Duration::from_millis(40),
        warming: Duration::from_millis(20),
        repair_after: None,
    };
    FreezerConfig {
        address,
        freezers: 3,
        interval: Duration::from_millis(2),
        failure: Some(failure),
        ..FreezerConfig::default()
    }
}

#[tokio::test]
async fn the_freezer_that_fails_warms_up_and_the_others_stay_cold() {
    let bench = Bench::start(SinkConfig::default()).await;
    let freezers = FreezerFleet::new(quick_freezers(bench.address())).expect("makes sense");
    let names: Vec<_> = freezers.devices().iter().map(|device| device.as_str()).collect();
    assert_eq!(names, ["freezer-01", "freezer-02", "freezer-03"]);
    let stop = bench.surroundings.stop.clone();
    let enough = async {
        wait_until(&bench.sink, |seen| {
            ["freezer-01", "freezer-02", "freezer-03"].into_iter().all(|client| {
                seen.received.iter().filter(|received| received.client == client).count() >= 100
            })
        })
        .await;
        stop.cancel();
    };
    let (report, ()) = tokio::join!(freezers.run(bench.surroundings.clone()), enough);
    let seen = bench.finish().await;
    let mut warm = BTreeSet::new();
    for received in &seen.received {
        let (_, rest) = text(received).split_once("\"temperature\":").expect("it has one");
        let temperature = rest.split(',').next().and_then(|number| number.parse::<f64>().ok());
        if temperature.expect("a number") > -15.0 {
            warm.insert(received.client.as_str());
        }
    }
    assert_eq!(warm, BTreeSet::from(["freezer-02"]));
    assert_eq!(report.acks.total(|acks| acks.acknowledged.count()), seen.acknowledged);
    assert_eq!(report.unsettled, 0);
}

#[tokio::test]
async fn freezers_outlive_the_service_and_lose_nothing() {
    let bench = Bench::start_apart(77).await;
    let listen = bench.sink.address();
    let mut surroundings = bench.surroundings.clone();
    surroundings.stop = CancellationToken::new();
    let freezers = FreezerFleet::new(quick_freezers(bench.address())).expect("makes sense");
    let stop = surroundings.stop.clone();
    let story = async {
        wait_until(&bench.sink, |seen| seen.acknowledged >= 30).await;
        let first = bench.finish().await;
        let again = Bench::start(SinkConfig { listen, ..SinkConfig::default() }).await;
        wait_until(&again.sink, |seen| seen.acknowledged >= 30).await;
        stop.cancel();
        (first, again)
    };
    let (report, (first, again)) = tokio::join!(freezers.run(surroundings), story);
    let second = again.finish().await;
    for (device, acks) in report.acks.iter() {
        assert!(acks.unacknowledged().is_empty(), "{device}: {acks:?}");
        let arrived: BTreeSet<_> = (first.received.iter().chain(&second.received))
            .filter(|received| received.client == device.as_str())
            .filter_map(n_of)
            .collect();
        assert_eq!(arrived, (1..acks.next).collect::<BTreeSet<_>>(), "{device}");
    }
    assert!(report.progress.reconnects >= 3, "{:?}", report.progress);
}

#[tokio::test]
async fn a_probe_remembers_when_each_crossing_was_sent() {
    let bench = Bench::start(SinkConfig::default()).await;
    let published = Arc::new(PublishedLog::default());
    let mut surroundings = bench.surroundings.clone();
    surroundings.published = Some(Arc::clone(&published));
    let config =
        ProbeConfig { interval: Duration::from_millis(1), ..ProbeConfig::new(bench.address()) };
    let stop = surroundings.stop.clone();
    let enough = async {
        wait_until(&bench.sink, |seen| seen.acknowledged >= 20).await;
        stop.cancel();
    };
    let running = async { tokio::join!(probe(config.clone(), surroundings), enough) };
    let (report, ()) = tokio::time::timeout(PATIENCE, running).await.expect("ends in time");
    let seen = bench.finish().await;
    assert_eq!(report.progress.acknowledged, seen.acknowledged);
    let mut before = None;
    for received in &seen.received {
        let (_, rest) = text(received).split_once("\"probe\":").expect("it has one");
        let value: f64 = rest.split(',').next().expect("more").parse().expect("a number");
        let n = config.n_of(value);
        assert_eq!(Some(n), n_of(received));
        assert_eq!(value > config.threshold, n % 2 == 1);
        let sent = published.by_n(&config.device, n).expect("remembered");
        assert!(before < Some(sent.sent_at), "in order");
        assert_eq!(published.by_time(&config.device, sent.at), Some(sent));
        before = Some(sent.sent_at);
    }
}
