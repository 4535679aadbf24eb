//! Devices whose clocks are wrong: what is kept, what is not, and what an operator sees of it.

use std::sync::Arc;
use std::time::Duration;

use bellwire_fleet::{Bound, Faults, FleetConfig, Surroundings};
use bellwire_model::{Clock, Timestamp};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::journey::WallClock;
use crate::support::http;
use crate::support::service::{PATIENCE, Service, Settings};

/// What a publish may be delayed on a busy machine, milliseconds: the estimate lacks the shortest.
const DELAY_MS: i64 = 5_000;

/// A clock that is wrong by so many seconds.
#[derive(Debug)]
struct WrongClock(i64);

impl Clock for WrongClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(WallClock.now().as_micros() + self.0 * 1_000_000)
    }
}

/// Devices publish 50 times each, by a clock that is wrong by so many seconds.
async fn publish(service: &Service, prefix: &str, devices: u32, secs: i64, skew: Duration) {
    let config = FleetConfig {
        address: service.mqtt(),
        devices,
        connections: 1,
        prefix: prefix.to_owned(),
        rate: Some(500.0),
        bound: Bound::Messages(50 * u64::from(devices)),
        faults: Faults { clock_skew: skew, ..Faults::default() },
        patience: PATIENCE,
        ..FleetConfig::default()
    };
    let around = Surroundings::new(Arc::new(WrongClock(secs)), CancellationToken::new());
    let report = bellwire_fleet::run(config, around).await.unwrap();
    assert_eq!(report.unsettled, 0, "{prefix}: everything is acknowledged");
}

/// The device's account once all its publishes are in it.
async fn account(service: &Service, device: &str) -> Value {
    let path = format!("/api/v1/devices/{device}/audit");
    service.wait_for(&path, |audit| audit["received"] == 50).await
}

async fn device(service: &Service, device: &str) -> Value {
    let (status, body) = service.get(&format!("/api/v1/devices/{device}")).await;
    assert_eq!(status, 200, "{body}");
    body
}

/// The value of a metric without labels.
async fn metric(service: &Service, name: &str) -> u64 {
    let (_, text) = http::get(&service.http(), "/metrics").await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn clocks_that_are_wrong_are_seen_and_what_is_too_far_off_is_quarantined() {
    let settings = Settings::default()
        .set("BELLWIRE_INGEST_TIME_FUTURE_MAX_SECS", 100)
        .set("BELLWIRE_INGEST_TIME_PAST_MAX_DAYS", 1);
    let mut service = Service::start(settings).await;
    let wrong: [(&str, i64, Option<&str>); 5] = [
        ("right", 0, None),
        ("ahead", 90, None),
        ("behind", -7_200, None),
        ("far-ahead", 3_600, Some("future_timestamp")),
        ("far-behind", -200_000, Some("past_timestamp")),
    ];
    let mut shown = Vec::new();
    for (prefix, secs, refused) in wrong {
        publish(&service, prefix, 1, secs, Duration::ZERO).await;
        let name = format!("{prefix}-00001");
        let audit = account(&service, &name).await;
        let fate = if refused.is_some() { "quarantined" } else { "stored" };
        assert_eq!(audit[fate], 50, "{audit}");
        let device = device(&service, &name).await;
        let skew_ms = device["clock_skew_ms"].as_i64().unwrap();
        let truth_ms = secs * 1_000;
        assert!((truth_ms - DELAY_MS..=truth_ms).contains(&skew_ms), "{prefix}: {device}");
        if let Some(reason) = refused {
            let path = format!("/api/v1/quarantine?device={name}&limit=1");
            let found = service.wait_for(&path, |body| body["quarantine"][0].is_object()).await;
            assert_eq!(found["quarantine"][0]["reason"], json!(reason));
        }
        shown.push((name, device));
    }
    assert_eq!(metric(&service, "bellwire_devices_clock_skewed").await, 4);
    // What was quarantined is not counted.
    assert_eq!(metric(&service, "bellwire_ingest_lateness_seconds_count").await, 150);

    assert!(service.stop().await.success());
    service.launch().await;
    for (name, before) in shown {
        let after = device(&service, &name).await;
        for key in ["clock_skew_ms", "clock_skew_since"] {
            assert_eq!(after[key], before[key], "{name}: a restart changes nothing");
        }
    }
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_clock_of_a_fleet_is_estimated() {
    let mut service = Service::start(Settings::default()).await;
    publish(&service, "drifted", 10, 0, Duration::from_secs(60)).await;
    let mut skews = Vec::new();
    for n in 1..=10 {
        let name = format!("drifted-{n:05}");
        account(&service, &name).await;
        skews.push(device(&service, &name).await["clock_skew_ms"].as_i64().unwrap());
    }
    assert!(skews.iter().all(|ms| (-60_000 - DELAY_MS..=60_000).contains(ms)), "{skews:?}");
    let (least, greatest) = (skews.iter().min().unwrap(), skews.iter().max().unwrap());
    assert!(greatest - least > 2 * DELAY_MS, "each has a clock of its own: {skews:?}");
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
}
