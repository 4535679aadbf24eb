//! Backed up under load, everything destroyed, restored: what was in the backup is there, once, and
//! life goes on from there.

use std::path::Path;
use std::process::Output;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::device::Device;
use crate::support::live::Screen;
use crate::support::load::Load;
use crate::support::server::Server;
use crate::support::service::{PATIENCE, Service, Settings};

const RULES: &str = r#"
[[rule]]
name = "too-hot"
when = "temperature > 90"
clear = "temperature < 85"
severity = "critical"
"#;

/// A log that is so small that it has lost its beginning soon.
fn small_log() -> Settings {
    Settings::with_rules(RULES)
        .set("BELLWIRE_MQTT_PACKET_BYTES_MAX", 65_536)
        .set("BELLWIRE_LOG_BYTES_MAX", 2_097_152)
        .set("BELLWIRE_LOG_SEGMENT_BYTES", 65_536)
        .set("BELLWIRE_JUDGE_SNAPSHOT_INTERVAL_MS", 100)
}

/// Runs a command with the configuration of `service`.
pub(crate) async fn run(service: &Service, arguments: &[&str]) -> Output {
    service.program(arguments).output().await.unwrap()
}

/// Runs it, and it succeeds; its standard output.
pub(crate) async fn succeed(service: &Service, arguments: &[&str]) -> String {
    let output = run(service, arguments).await;
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs it, and it ends with this code, saying this on stderr.
pub(crate) async fn fail(service: &Service, arguments: &[&str], code: i32, said: &str) {
    let output = run(service, arguments).await;
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
    assert!(stderr.contains(said), "{arguments:?}: {stderr}");
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Every step of every alert, in order.
async fn transitions(service: &Service) -> Vec<String> {
    let sql = service.sql().await;
    let query = "SELECT concat_ws(' ', log_id, position, ordinal, at, alert_id, rule, device, \
                        from_state, to_state, value, reason) \
                 FROM bellwire.transition ORDER BY log_id, position, ordinal";
    sql.query(query, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

/// How many rows of the fleet there are twice or more.
async fn n_twice(service: &Service) -> i64 {
    let query = "SELECT count(*) FROM (SELECT FROM readings WHERE metric = 'n' \
                 GROUP BY device, value HAVING count(*) > 1) twice";
    service.sql().await.query_one(query, &[]).await.unwrap().get(0)
}

/// Makes the device's alert fire or resolve; the alert's id.
async fn alert(service: &Service, device: &str, temperature: &str, state: &str) -> String {
    let mut screen = Screen::open(&service.http(), None).await;
    screen.next().await.unwrap();
    let mut client = Device::connect(&service.mqtt(), device).await;
    client.publish(&format!("devices/{device}/telemetry/temperature"), temperature).await;
    let frame = screen.next_where(|frame| frame["to"] == state).await;
    assert_eq!(frame["alert"]["device"], device);
    frame["alert"]["id"].as_str().unwrap().to_owned()
}

/// Waits until the database has everything that the service has received from `device`.
async fn stored(service: &Service, device: &str, n_publishes: u64) {
    let path = format!("/api/v1/devices/{device}/audit");
    service.wait_for(&path, |audit| audit["stored"] == n_publishes).await;
}

async fn backup_and_restore(original: Settings, restored: Settings) -> TempDir {
    let mut service = Service::start(original).await;
    let mut before = Load::start(&service, "before", 4_000.0);
    before.goes_on(20_000).await;
    let open_alert = alert(&service, "oven-1", "95", "firing").await;
    let ended_alert = alert(&service, "oven-2", "96", "firing").await;
    assert_eq!(alert(&service, "oven-2", "20", "resolved").await, ended_alert);
    let before = before.finish(&service).await;

    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("backup");
    let history = transitions(&service).await;
    let mut during = Load::start(&service, "during", 1_000.0);
    during.goes_on(200).await;
    let said = succeed(&service, &["backup", "--to", text(&to), "--json"]).await;
    let manifest: Value = serde_json::from_str(&said).unwrap();
    assert!(manifest["log"]["floor"].as_u64() > Some(0), "{manifest}");
    assert!(manifest["log"]["end"].as_u64() >= manifest["database"]["position"].as_u64());
    during.goes_on(200).await;
    during.finish(&service).await;
    let lost_alert = alert(&service, "oven-3", "97", "firing").await;
    service.kill().await;
    service.destroy().await;

    let mut service = Service::prepare(restored);
    succeed(&service, &["restore", "--from", text(&to), "--check"]).await;
    succeed(&service, &["restore", "--from", text(&to)]).await;
    service.launch().await;
    let url = service.database_url();
    let found = bellwire_fleet::verify_within(&url, &before.acks, PATIENCE).await.unwrap();
    assert!(found.is_exact() && found.acknowledged > 10_000, "{found}");
    crate::journey::check_audits(&service, "before", &before).await;

    // The alert that was open is still the same one, and ends as such.
    assert_eq!(transitions(&service).await, history);
    assert_eq!(alert(&service, "oven-1", "20", "resolved").await, open_alert);
    let next_alert = alert(&service, "oven-3", "97", "firing").await;
    assert_ne!(next_alert, lost_alert, "no alert has the id of another");

    let mut after = Load::start(&service, "after", 1_000.0);
    after.goes_on(500).await;
    after.finish(&service).await;
    stored(&service, "oven-1", 2).await;
    assert_eq!(n_twice(&service).await, 0);
    let later = transitions(&service).await;
    assert_eq!(&later[..history.len()], history);
    assert_eq!(later.len(), history.len() + 2);
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_load_brings_everything_back_once() {
    backup_and_restore(small_log(), small_log()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_ones_own_is_backed_up_with_the_data_directory() {
    let (first, second) = (Server::start().await, Server::start().await);
    let on = |server: &Server| small_log().set("BELLWIRE_DATABASE_URL", server.url());
    let folder = backup_and_restore(on(&first), on(&second)).await;
    let from = folder.path().join("backup");
    // Where something is there already, nothing is restored.
    let mut service = Service::prepare(on(&second));
    let restore = ["restore", "--from", text(&from)];
    fail(&service, &restore, 1, "has Bellwire's tables already").await;
    assert_eq!(std::fs::read_dir(service.data_dir()).unwrap().count(), 0);
    // Only the data directory was lost: the database has more than the backup.
    succeed(&service, &[&restore[..], &["--without-database"]].concat()).await;
    service.launch().await;
    let mut after = Load::start(&service, "later", 1_000.0);
    after.goes_on(500).await;
    after.finish(&service).await;
    assert_eq!(n_twice(&service).await, 0);
    assert!(service.stop().await.success());
    service.assert_quiet(&["beyond the log: going on behind that"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_is_neither_overwritten_nor_mixed() {
    let mut service = Service::start(Settings::default()).await;
    let mut device = Device::connect(&service.mqtt(), "d").await;
    device.publish("devices/d/telemetry/t", "1").await;
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("backup");
    let backup = ["backup", "--to", text(&to)];
    succeed(&service, &backup).await;
    fail(&service, &backup, 1, "is there already").await;
    assert!(service.stop().await.success());
    // Also while it does not run; its server is stopped again.
    let cold = folder.path().join("cold");
    succeed(&service, &["backup", "--to", text(&cold)]).await;
    assert_eq!(service.postgres_pid(), None);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing half-made stays");

    let restore = ["restore", "--from", text(&cold)];
    fail(&service, &restore, 1, "is not empty").await;
    let other = Service::prepare(Settings::default());
    let meta = cold.join("log/meta");
    let whole = std::fs::read(&meta).unwrap();
    std::fs::write(&meta, b"bellwire lag\n").unwrap();
    fail(&other, &["restore", "--from", text(&cold), "--check"], 1, "log/meta is not as").await;
    fail(&other, &restore, 1, "log/meta is not as").await;
    assert!(!other.data_dir().exists());
    std::fs::write(&meta, whole).unwrap();
    let nowhere = ["restore", "--from", text(&cold), "--without-database"];
    fail(&other, &nowhere, 1, "the managed database lies in the data directory").await;

    std::fs::create_dir_all(other.data_dir()).unwrap();
    std::fs::write(other.data_dir().join("restore-unfinished"), "").unwrap();
    fail(&other, &["serve", "--insecure"], 1, "did not end").await;
    std::fs::remove_file(other.data_dir().join("restore-unfinished")).unwrap();
    succeed(&other, &restore).await;
}
