//! What the fleet promises about its own publishes, whoever drives it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bellwire_fleet::sink::{Acks, Memory, Seen, SinkConfig};
use bellwire_fleet::{
    Bound, DeviceAcks, Driver, Faults, FleetConfig, FleetReport, Progress, Protocol,
};
use bellwire_model::QoS;

use crate::support::{Bench, n_of, small, wait_until};

/// Per topic, the `n`s in order of arrival, without repetitions by DUP.
fn arrivals(seen: &Seen) -> BTreeMap<String, Vec<u64>> {
    let mut arrivals: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for received in seen.received.iter().filter(|received| !received.dup) {
        if let Some(n) = n_of(received) {
            arrivals.entry(received.topic.clone()).or_default().push(n);
        }
    }
    arrivals
}

/// Fails unless what the fleet holds for acknowledged is what the sink has acknowledged.
fn assert_same_account(report: &FleetReport, seen: &Seen) {
    let mut acknowledged: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
    for received in seen.received.iter().filter(|received| received.acknowledged) {
        let ns = acknowledged.entry(&received.topic).or_default();
        ns.extend(n_of(received));
    }
    for (device, acks) in report.acks.iter() {
        let topic = format!("devices/{device}/telemetry");
        let theirs = acknowledged.remove(topic.as_str()).unwrap_or_default();
        let mine: BTreeSet<u64> =
            acks.acknowledged.ranges().iter().flat_map(|&(a, b)| a..=b).collect();
        assert_eq!(mine, theirs, "{device}");
    }
    assert!(acknowledged.is_empty(), "{acknowledged:?}");
}

async fn every_n_arrives_once_and_in_order(driver: Driver, protocol: Protocol, qos: QoS) {
    let bench = Bench::start(SinkConfig::default()).await;
    let report = bench.run(FleetConfig { driver, protocol, qos, ..small(1000) }).await;
    wait_until(&bench.sink, |seen| seen.publishes == 1000).await;
    let seen = bench.finish().await;
    let arrivals = arrivals(&seen);
    let expected = [("00001", 334), ("00002", 333), ("00003", 333)].map(|(device, last)| {
        (format!("devices/device-{device}/telemetry"), (1..=last).collect::<Vec<_>>())
    });
    assert_eq!(arrivals, BTreeMap::from(expected), "{driver:?} {protocol:?} {qos:?}");
    assert_same_account(&report, &seen);
    assert_eq!(report.progress.published, 1000);
    let acknowledged = if qos == QoS::AtMostOnce { 0 } else { 1000 };
    assert_eq!(report.progress.acknowledged, acknowledged);
    assert_eq!(report.ack_latency.count(), acknowledged);
    assert_eq!((report.unsettled, report.gave_up), (0, 0));
}

#[tokio::test]
async fn every_n_arrives_once_and_in_order_by_our_encoder() {
    for protocol in [Protocol::V4, Protocol::V5] {
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
            every_n_arrives_once_and_in_order(Driver::Raw, protocol, qos).await;
        }
    }
}

#[tokio::test]
async fn every_n_arrives_once_and_in_order_by_rumqttc() {
    for protocol in [Protocol::V4, Protocol::V5] {
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
            every_n_arrives_once_and_in_order(Driver::Rumqttc, protocol, qos).await;
        }
    }
}

#[tokio::test]
async fn what_a_cut_left_unacknowledged_is_sent_again_with_dup_and_the_same_identifier() {
    let cut_after = BTreeSet::from([57, 58, 200, 555]);
    let bench = Bench::start(SinkConfig { cut_after, ..SinkConfig::default() }).await;
    let report = bench.run(small(1000)).await;
    let seen = bench.finish().await;
    assert_same_account(&report, &seen);
    assert_eq!(report.acks.total(|acks| acks.acknowledged.count()), 1000);
    assert_eq!(report.progress.reconnects, 4);
    let mut unacknowledged = BTreeMap::new();
    let mut resent = 0;
    for received in &seen.received {
        let key = (received.topic.clone(), received.payload.clone());
        if received.dup {
            resent += 1;
            // What was lost on the way out was never received: then this is the first we see of it.
            if let Some(earlier) = unacknowledged.remove(&key) {
                assert_eq!(received.packet_id, earlier, "{received:?}");
            }
        }
        if !received.acknowledged {
            unacknowledged.insert(key, received.packet_id);
        }
    }
    assert!(unacknowledged.is_empty(), "{unacknowledged:?}");
    assert!(resent >= 4, "each cut left something: {resent}");
    let in_order = arrivals_with_first_sight(&seen);
    assert!(in_order.values().all(|ns| ns.is_sorted()), "{in_order:?}");
}

/// Per topic, each `n` where it was first received.
fn arrivals_with_first_sight(seen: &Seen) -> BTreeMap<&str, Vec<u64>> {
    let mut arrivals: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for received in &seen.received {
        let ns = arrivals.entry(&received.topic).or_default();
        if let Some(n) = n_of(received).filter(|n| !ns.contains(n)) {
            ns.push(n);
        }
    }
    arrivals
}

#[tokio::test]
async fn rumqttc_publishes_again_what_a_cut_left_unacknowledged() {
    for protocol in [Protocol::V4, Protocol::V5] {
        let cut_after = BTreeSet::from([20, 150]);
        let bench = Bench::start(SinkConfig { cut_after, ..SinkConfig::default() }).await;
        let config = FleetConfig { driver: Driver::Rumqttc, protocol, ..small(300) };
        let report = bench.run(config).await;
        let seen = bench.finish().await;
        assert_same_account(&report, &seen);
        assert_eq!(report.acks.total(|acks| acks.acknowledged.count()), 300, "{protocol:?}");
        assert_eq!(report.progress.reconnects, 2, "{protocol:?}");
    }
}

#[tokio::test]
async fn nothing_counts_as_acknowledged_that_was_not() {
    for driver in [Driver::Raw, Driver::Rumqttc] {
        let bench = Bench::acknowledging(Acks::First(40)).await;
        let drain = Duration::from_millis(50);
        let bound = Bound::Duration(Duration::from_millis(50));
        let report = bench.run(FleetConfig { driver, drain, bound, ..small(0) }).await;
        let seen = bench.finish().await;
        assert_same_account(&report, &seen);
        assert_eq!(report.acks.total(|acks| acks.acknowledged.count()), 40, "{driver:?}");
        assert_eq!(report.progress.acknowledged, 40);
        assert!(report.unsettled > 0);
        let unacknowledged = report.acks.total(|acks| acks.unacknowledged().count());
        assert_eq!(unacknowledged + 40, report.progress.published, "{driver:?}");
    }
}

#[tokio::test]
async fn no_more_than_the_window_is_on_its_way() {
    let window = u64::from(small(0).in_flight);
    for driver in [Driver::Raw, Driver::Rumqttc] {
        let bench = Bench::acknowledging(Acks::First(0)).await;
        let config = FleetConfig { driver, ..small(1000) };
        let stop = bench.surroundings.stop.clone();
        let filled = async {
            wait_until(&bench.sink, |seen| seen.publishes == 2 * window).await;
            stop.cancel();
        };
        let config = FleetConfig { drain: Duration::from_millis(50), ..config };
        let (report, ()) = tokio::join!(bench.run(config), filled);
        assert_eq!(report.progress.published, 2 * window, "{driver:?}");
        assert_eq!(bench.finish().await.publishes, 2 * window, "{driver:?}");
    }
}

#[tokio::test]
async fn the_servers_receive_maximum_is_kept() {
    let config = SinkConfig { receive_maximum: 3, acks: Acks::First(0), ..SinkConfig::default() };
    let bench = Bench::start(config).await;
    let bound = Bound::Duration(Duration::from_millis(50));
    let drain = Duration::from_millis(50);
    let config = FleetConfig { protocol: Protocol::V5, connections: 1, bound, drain, ..small(0) };
    let report = bench.run(config).await;
    assert_eq!(report.progress.published, 3);
    assert_eq!(bench.finish().await.publishes, 3);
}

/// What each client sent.
async fn transmissions(seed: u64, faults: Faults) -> BTreeMap<String, Vec<Vec<u8>>> {
    let bench = Bench::start(SinkConfig::default()).await;
    bench.run(FleetConfig { seed, faults, ..small(600) }).await;
    let seen = bench.finish().await;
    let mut sent: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    for received in seen.received {
        sent.entry(received.client).or_default().push(received.payload);
    }
    sent
}

#[tokio::test]
async fn the_same_seed_gives_the_same_bytes() {
    let faults = Faults {
        duplicate: 0.05,
        bad_payload: 0.05,
        clock_skew: Duration::from_secs(60),
        ..Faults::default()
    };
    let once = transmissions(7, faults).await;
    assert_eq!(once, transmissions(7, faults).await);
    assert_ne!(once, transmissions(8, faults).await);
}

#[tokio::test]
async fn faults_are_counted_as_they_are_made() {
    let bench = Bench::start(SinkConfig::default()).await;
    let faults = Faults {
        reconnect: 0.01,
        duplicate: 0.05,
        bad_payload: 0.05,
        clock_skew: Duration::from_secs(60),
    };
    let report = bench.run(FleetConfig { faults, ..small(3000) }).await;
    let seen = bench.finish().await;
    assert_same_account(&report, &seen);
    let total = |of: fn(&DeviceAcks) -> u64| report.acks.total(of);
    assert_eq!(total(|acks| acks.acknowledged.count()), 3000);
    assert_eq!(total(|acks| acks.bad_acknowledged), total(|acks| acks.bad_sent));
    assert_eq!(total(|acks| acks.repeats_acknowledged), total(|acks| acks.repeats_sent));
    let of_all = total(|acks| acks.bad_sent + acks.repeats_sent) + 3000;
    assert_eq!(report.progress.published, of_all);
    let bad: BTreeSet<_> = (seen.received.iter())
        .filter(|received| n_of(received).is_none())
        .map(|received| (&received.topic, &received.payload))
        .collect();
    assert_eq!(bad.len() as u64, total(|acks| acks.bad_sent), "no two are alike");
    assert!((75..300).contains(&bad.len()), "{}", bad.len());
    assert!((10..60).contains(&report.progress.reconnects), "{}", report.progress.reconnects);
    let clocks: BTreeSet<_> = (seen.received.iter())
        .filter(|received| n_of(received) == Some(1))
        .map(|received| &received.payload[.."{\"ts\":1764000000123456".len()])
        .collect();
    assert_eq!(clocks.len(), 3, "each device has its own");
}

#[tokio::test]
async fn a_rate_is_kept() {
    let bench = Bench::start(SinkConfig { memory: Memory::Counts, ..SinkConfig::default() }).await;
    let (sender, mut progress) = tokio::sync::watch::channel(Progress::default());
    let mut surroundings = bench.surroundings.clone();
    surroundings.progress = Some(sender);
    let config = FleetConfig {
        address: bench.address(),
        rate: Some(2_000.0),
        bound: Bound::Messages(1000),
        ..small(0)
    };
    let report = bellwire_fleet::run(config, surroundings).await.expect("runs");
    // The schedule's last publish is due 500 ms after its first; nothing may come early.
    assert!(report.progress.elapsed >= Duration::from_millis(490), "{:?}", report.progress);
    assert_eq!(progress.borrow_and_update().acknowledged, 1000);
    assert_eq!(bench.finish().await.publishes, 1000);
}

#[tokio::test]
async fn without_a_service_a_run_says_so() {
    let bench = Bench::start_apart(78).await;
    let (address, surroundings) = (bench.address(), bench.surroundings.clone());
    bench.finish().await;
    let config = FleetConfig { address, patience: Duration::from_millis(20), ..small(10) };
    let error = bellwire_fleet::run(config, surroundings).await.expect_err("nobody listens");
    assert!(error.to_string().starts_with("no connection to 127.0.0.78:"), "{error}");
}
