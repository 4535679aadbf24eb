//! `bellwire device export` and `erase`: one device's data, given out and removed, while the service
//! runs and while not.

use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::backup::{fail, run, succeed, text};
use crate::support::device::Device;
use crate::support::server::Server;
use crate::support::service::{PATIENCE, Service, Settings, poll};

const RULES: &str = r#"
[[rule]]
name = "too-hot"
when = "temperature > 90"
severity = "critical"
"#;

/// Three publishes of `oven-1`, of which one cannot be read, and one of `oven-2`, all stored.
async fn filled(settings: Settings) -> Service {
    let service = Service::start(settings).await;
    let mut device = Device::connect(&service.mqtt(), "oven-1").await;
    // Of 2023-11-14, and of today.
    let old = r#"{"temperature": 20.5, "door": "open", "ts": 1700000000}"#;
    for payload in [old, r#"{"temperature": 95}"#, "{"] {
        device.publish("devices/oven-1/telemetry", payload).await;
    }
    device.publish("devices/oven-2/telemetry", r#"{"temperature": 30}"#).await;
    for (device, n_publishes) in [("oven-1", 3), ("oven-2", 1)] {
        let kept = |audit: &Value| {
            audit["stored"].as_u64().unwrap() + audit["quarantined"].as_u64().unwrap()
                == n_publishes
        };
        service.wait_for(&format!("/api/v1/devices/{device}/audit"), kept).await;
    }
    // The accounts go to the database once a second.
    let sql = service.sql().await;
    let behind = "SELECT count(*) FROM devices WHERE last_seen IS NULL";
    settled(&sql, behind, 0).await;
    service
}

/// Waits until `query` gives this number.
async fn settled(sql: &tokio_postgres::Client, query: &str, expected: i64) {
    let mut look = poll();
    let settling = async {
        while sql.query_one(query, &[]).await.unwrap().get::<_, Option<i64>>(0) != Some(expected) {
            look.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, settling).await.expect(query);
}

fn lines(exported: &str) -> Vec<Value> {
    exported.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// How many lines there are of a kind.
fn n_of(lines: &[Value], kind: &str) -> usize {
    lines.iter().filter(|line| line["type"] == kind).count()
}

/// It has all of `oven-1`, whole.
fn check_export(exported: &str) {
    let lines = lines(exported);
    for (kind, n_lines) in
        [("device", 1), ("account", 1), ("reading", 3), ("quarantined", 1), ("alert", 1)]
    {
        assert_eq!(n_of(&lines, kind), n_lines, "{kind}: {exported}");
    }
    assert_eq!(lines[0]["device"], "oven-1");
    let old: Vec<_> =
        lines.iter().filter(|line| line["at"] == "2023-11-14T22:13:20.000000Z").collect();
    assert_eq!((old[0]["metric"].as_str(), &old[0]["text"]), (Some("door"), &json!("open")));
    assert_eq!((old[1]["metric"].as_str(), &old[1]["value"]), (Some("temperature"), &json!(20.5)));
    let end = lines.last().unwrap();
    assert_eq!((&end["type"], &end["lines"]["reading"]), (&json!("end"), &json!(3)));
    let without_end = lines.len() as u64 - 1;
    let counts = end["lines"].as_object().unwrap().values();
    assert_eq!(counts.map(|n| n.as_u64().unwrap()).sum::<u64>(), without_end);
}

/// What the views have of `device`, in order of their names.
async fn in_views(service: &Service, device: &str) -> Vec<i64> {
    let sql = service.sql().await;
    let mut counts = Vec::new();
    for view in ["alert_transitions", "alerts", "readings", "readings_1d", "readings_1m"] {
        let count = format!("SELECT count(*) FROM {view} WHERE device = $1");
        counts.push(sql.query_one(&count, &[&device]).await.unwrap().get(0));
    }
    counts
}

fn mode_of(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_exported_with_and_without_the_service() {
    let mut service = filled(Settings::with_rules(RULES)).await;
    check_export(&succeed(&service, &["device", "export", "oven-1"]).await);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("oven-1.ndjson");
    let to_file = ["device", "export", "oven-1", "--output", text(&file)];
    let said = run(&service, &to_file).await;
    assert!(said.status.success() && said.stdout.is_empty(), "{said:?}");
    assert!(String::from_utf8_lossy(&said.stderr).contains("3 reading"), "{said:?}");
    check_export(&std::fs::read_to_string(&file).unwrap());
    assert_eq!(mode_of(&file), 0o600);
    // What is there is not overwritten; where nothing was given out, nothing is left.
    fail(&service, &to_file, 1, "cannot make").await;
    check_export(&std::fs::read_to_string(&file).unwrap());
    let nothing = folder.path().join("nothing");
    let stranger = ["device", "export", "oven-9", "--output", text(&nothing)];
    fail(&service, &stranger, 1, "no device `oven-9` is known").await;
    fail(&service, &["device", "export", "oven/+"], 2, "invalid value").await;
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);

    check_export(&succeed(&service, &["device", "export", "oven-1"]).await);
    assert_eq!(service.postgres_pid(), None, "its server is stopped again");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_erased_once_one_insists() {
    let mut service = filled(Settings::with_rules(RULES)).await;
    let erase = ["device", "erase", "oven-1"];
    fail(&service, &erase, 1, "was heard within the last hour").await;
    fail(&service, &["device", "erase", "oven-9", "--force"], 1, "--yes").await;
    fail(&service, &["device", "erase", "oven-9", "--yes"], 1, "no device `oven-9` is known").await;
    // Nobody is asked where nobody is.
    let mut asking = service.program(&["device", "erase", "oven-1", "--force"]);
    let output = asking.stdin(Stdio::null()).output().await.unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("--yes erases without"));
    assert_eq!(in_views(&service, "oven-1").await[2], 3, "nothing is gone");

    // What is old may go at any time: no more comes of it.
    let older = ["device", "erase", "oven-1", "--before", "2024-01-01", "--yes", "--json"];
    let erased: Value = serde_json::from_str(&succeed(&service, &older).await).unwrap();
    let expected = json!({
        "device": "oven-1", "readings": 2, "quarantined": 0, "transitions": 0, "alerts": 0,
        "commands": 0, "credentials": "kept",
    });
    assert_eq!(erased, expected);
    fail(&service, &["device", "erase", "oven-1", "--before", "soon"], 2, "invalid value").await;

    let token = succeed(&service, &["device", "add", "oven-1"]).await;
    assert!(token.starts_with("bwd_"), "{token}");
    let state = async || {
        let listed = succeed(&service, &["device", "list", "--json"]).await;
        serde_json::from_str::<Value>(&listed).unwrap()[0]["state"].clone()
    };
    let data = ["device", "erase", "oven-1", "--before", "2024-01-01", "--force", "--yes"];
    assert!(succeed(&service, &data).await.contains("Its credentials stay."));
    assert_eq!(state().await, "active");

    let all = ["device", "erase", "oven-1", "--force", "--yes"];
    let said = succeed(&service, &all).await;
    assert!(said.contains("Its credentials are revoked."), "{said}");
    assert_eq!(state().await, "revoked");
    assert!(said.contains("1 readings, 1 quarantined payloads, 1 alerts"), "{said}");
    assert_eq!(in_views(&service, "oven-1").await, [0; 5]);
    assert_eq!(in_views(&service, "oven-2").await[2], 1);
    goes_on(&mut service).await;
}

/// The account still balances, and what comes is stored as ever, also after a restart.
async fn goes_on(service: &mut Service) {
    let (_, audit) = service.get("/api/v1/devices/oven-1/audit").await;
    assert_eq!((&audit["received"], &audit["stored"]), (&json!(3), &json!(2)), "{audit}");
    let mut device = Device::connect(&service.mqtt(), "oven-1").await;
    device.publish("devices/oven-1/telemetry/temperature", "21").await;
    service.wait_for("/api/v1/devices/oven-1/audit", |audit| audit["stored"] == 3).await;
    assert_eq!(in_views(service, "oven-1").await[2], 1);
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
    let exported = lines(&succeed(service, &["device", "export", "oven-1"]).await);
    assert_eq!((n_of(&exported, "reading"), n_of(&exported, "account")), (1, 1));
    // Stopped, its server is started for it, and stopped.
    succeed(service, &["device", "add", "oven-1"]).await;
    let kept = ["device", "erase", "oven-1", "--force", "--yes", "--keep-credentials"];
    assert!(succeed(service, &kept).await.contains("Its credentials stay."));
    let again = ["device", "erase", "oven-2", "--force", "--yes"];
    assert!(succeed(service, &again).await.contains("It has no credentials."));
    assert_eq!(service.postgres_pid(), None);
    service.launch().await;
    assert_eq!(in_views(service, "oven-1").await[2], 0);
    assert!(service.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_database_is_away_nothing_is_given_out_or_removed() {
    let server = Server::start().await;
    let service = Service::prepare(Settings::default().set("BELLWIRE_DATABASE_URL", server.url()));
    succeed(&service, &["migrate"]).await;
    server.stop().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("d.ndjson");
    let export = ["device", "export", "d", "--output", text(&file)];
    fail(&service, &export, 69, "the database is unavailable").await;
    assert!(!file.exists());
    fail(&service, &["device", "erase", "d", "--yes"], 69, "the database is unavailable").await;
}

/// Readings keep coming in meanwhile, and being carried over.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_goes_on_talking_is_erased_up_to_then() {
    let mut service = Service::start(Settings::default()).await;
    let mut device = Device::connect(&service.mqtt(), "d").await;
    let is_erased = std::cell::Cell::new(false);
    let talking = async {
        let (mut n_publishes, mut n_after) = (0, 0);
        while n_after < 20 {
            device.publish("devices/d/telemetry/n", n_publishes.to_string()).await;
            n_publishes += 1;
            n_after += i64::from(is_erased.get());
        }
        n_publishes
    };
    let erasing = async {
        let path = "/api/v1/devices/d/audit";
        service.wait_for(path, |audit| audit["stored"].as_u64() > Some(20)).await;
        let erase = ["device", "erase", "d", "--force", "--yes", "--json"];
        let said = succeed(&service, &erase).await;
        is_erased.set(true);
        serde_json::from_str::<Value>(&said).unwrap()["readings"].as_i64().unwrap()
    };
    let (n_publishes, n_erased): (i64, i64) = tokio::join!(talking, erasing);
    assert!(n_erased > 20 && n_erased <= n_publishes - 20, "{n_erased} of {n_publishes}");
    let sql = service.sql().await;
    settled(&sql, "SELECT count(*) FROM readings", n_publishes - n_erased).await;
    settled(&sql, "SELECT sum(count)::int8 FROM readings_1d", n_publishes - n_erased).await;
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
}
