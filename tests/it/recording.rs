//! A real machine's recording with known failures, over real MQTT: all of it is kept, and the
//! rules fire where the failures are, and hardly anywhere else.

use std::path::PathBuf;

use bellwire_fleet::ReplayConfig;
use bellwire_model::{DeviceId, MetricName};

use crate::journey::around;
use crate::support::service::{Service, Settings};

/// Rows of the recording; 12 of its timestamps come twice, because its clock stepped back once.
const ROWS: i64 = 22_695;

#[tokio::test(flavor = "multi_thread")]
async fn the_machine_recording_is_kept_whole_and_its_failures_fire() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let rules = std::fs::read_to_string(root.join("deploy/examples/machine.rules.toml")).unwrap();
    let mut service = Service::start(Settings::with_rules(&rules)).await;
    let (device, metric) =
        (DeviceId::new("machine").unwrap(), MetricName::new("temperature").unwrap());
    let file = root.join("tests/data/nab/machine_temperature_system_failure.csv");
    let config = ReplayConfig::new(file, device, metric, service.mqtt());
    let report = bellwire_fleet::replay_csv(config, around()).await.unwrap();
    assert_eq!(report.progress.acknowledged, u64::try_from(ROWS).unwrap());

    let stored = |audit: &serde_json::Value| audit["stored"].as_i64() == Some(ROWS);
    let audit = service.wait_for("/api/v1/devices/machine/audit", stored).await;
    assert_eq!(audit["duplicate"], 0, "{audit}");
    let sql = service.sql().await;
    let row = sql
        .query_one(
            "SELECT count(*), count(DISTINCT at) FROM readings \
             WHERE device = 'machine' AND metric = 'temperature'",
            &[],
        )
        .await
        .unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (ROWS, ROWS - 12));

    // The labelled failures of tests/data/nab/README.md.
    let fired = sql
        .query(
            "SELECT DISTINCT CASE \
                 WHEN at BETWEEN '2013-12-10 06:25Z' AND '2013-12-12 05:35Z' THEN '1 before' \
                 WHEN at BETWEEN '2013-12-15 17:50Z' AND '2013-12-17 17:00Z' THEN '2 shutdown' \
                 WHEN at BETWEEN '2014-01-27 14:20Z' AND '2014-01-29 13:30Z' THEN '3 hidden' \
                 WHEN at BETWEEN '2014-02-07 14:55Z' AND '2014-02-09 14:05Z' THEN '4 failure' \
                 ELSE 'outside at ' || at::text END AS place \
             FROM alert_transitions WHERE device = 'machine' AND to_state = 'firing' ORDER BY place",
            &[],
        )
        .await
        .unwrap();
    let places: Vec<String> = fired.iter().map(|row| row.get(0)).collect();
    assert_eq!(places[..4], ["1 before", "2 shutdown", "3 hidden", "4 failure"]);
    assert!(places.len() <= 5, "{places:?}");
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
}
