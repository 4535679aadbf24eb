//! Real recordings with known failures, over real MQTT: all of it is kept, the rules fire where the
//! failures are and hardly anywhere else, and a backtest of the file says the same.

use std::path::{Path, PathBuf};

use bellwire_fleet::ReplayConfig;
use bellwire_model::{DeviceId, MetricName};

use crate::cli::bellwire;
use crate::journey::around;
use crate::support::service::{Service, Settings};

/// Rows of the recording; 12 of its timestamps come twice, because its clock stepped back once.
const ROWS: i64 = 22_695;

/// `rule device from>to at value` of what the service said, in its order.
async fn said(sql: &tokio_postgres::Client) -> Vec<String> {
    let rows = sql
        .query(
            "SELECT rule, device, from_state, to_state, value, \
                    to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') \
             FROM bellwire.transition WHERE step IS NULL ORDER BY position, ordinal",
            &[],
        )
        .await
        .unwrap();
    let line = |row: &tokio_postgres::Row| {
        let text = |column| row.get::<_, &str>(column);
        let value: Option<f64> = row.get(4);
        format!("{} {} {}>{} {} {value:?}", text(0), text(1), text(2), text(3), text(5))
    };
    rows.iter().map(line).collect()
}

/// The same of what a backtest on the file says.
fn tried(file: &Path, device: &str, rules: &str) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let rules_file = dir.path().join("rules.toml");
    std::fs::write(&rules_file, rules).unwrap();
    let (rules_file, file) = (rules_file.to_str().unwrap(), file.to_str().unwrap());
    let backtest = ["rules", "backtest", rules_file, "--csv", file, "--device", device];
    let output = bellwire(&[&backtest[..], &["--metric", "temperature", "--json"]].concat(), &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let line = |line: &str| {
        let it: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| it[key].as_str().unwrap().to_owned();
        let states = format!("{}>{}", text("from"), text("to"));
        let value = it["value"].as_f64();
        format!("{} {} {states} {} {value:?}", text("rule"), text("device"), text("at"))
    };
    String::from_utf8(output.stdout).unwrap().lines().map(line).collect()
}

/// Hot or cold in an office, with hysteresis, holds and without: what the other recording is tried on.
const AMBIENT: &str = "
[[rule]]
name = \"hot\"
when = \"temperature > 80\"
clear = \"temperature < 78\"
for = \"2h\"
keep_firing_for = \"3h\"

[[rule]]
name = \"cold\"
when = \"temperature < 62\"
";

/// An office's recording, an hour between readings and gaps of days: the backtest says what the service
/// said, reading for reading.
#[tokio::test(flavor = "multi_thread")]
async fn a_backtest_of_the_ambient_recording_is_the_live_run() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let example = std::fs::read_to_string(root.join("deploy/examples/ambient.rules.toml")).unwrap();
    let rules = format!("{AMBIENT}\n{example}");
    let mut service = Service::start(Settings::with_rules(&rules)).await;
    let (device, metric) =
        (DeviceId::new("office").unwrap(), MetricName::new("temperature").unwrap());
    let file = root.join("tests/data/nab/ambient_temperature_system_failure.csv");
    let config = ReplayConfig::new(file.clone(), device, metric, service.mqtt());
    let report = bellwire_fleet::replay_csv(config, around()).await.unwrap();
    let n_rows = report.progress.acknowledged;
    let stored = |audit: &serde_json::Value| audit["stored"].as_u64() == Some(n_rows);
    service.wait_for("/api/v1/devices/office/audit", stored).await;
    let said = said(&service.sql().await).await;
    assert!(said.len() > 20, "{said:?}");
    assert_eq!(said, tried(&file, "office", &rules));
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_machine_recording_is_kept_whole_and_its_failures_fire() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let rules = std::fs::read_to_string(root.join("deploy/examples/machine.rules.toml")).unwrap();
    let mut service = Service::start(Settings::with_rules(&rules)).await;
    let (device, metric) =
        (DeviceId::new("machine").unwrap(), MetricName::new("temperature").unwrap());
    let file = root.join("tests/data/nab/machine_temperature_system_failure.csv");
    let config = ReplayConfig::new(file.clone(), device, metric, service.mqtt());
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

    assert_eq!(said(&sql).await, tried(&file, "machine", &rules));

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
