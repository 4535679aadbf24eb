//! The release before is killed under load, and this one goes on with its data: what that has left of
//! everything is found, and the fleet goes on.
//!
//! `tests/data/releases` has what the release before left, as a backup by its own hand.
//! `BELLWIRE_TEST_PREVIOUS` names its program: then it runs, is killed under load, and its data directory is
//! taken over as it is. `scripts/drill upgrade` builds it and does that; with `BELLWIRE_TEST_RECORD` it
//! leaves such a backup in that folder.

use std::path::{Path, PathBuf};

use bellwire_fleet::FleetConfig;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Drill, OVEN, RULES, rate};
use crate::backup::{succeed, text};
use crate::support::device::Device;
use crate::support::http;
use crate::support::load::Load;
use crate::support::raw::{RawClient, packet, push_text};
use crate::support::service::{Service, Settings, program};

/// Publishes of each kind that the release before has acknowledged.
const N: u64 = 40;
/// A rule that was made by API.
const RULE: &str = "[[rule]]\nname = \"made-before\"\nwhen = \"n > 1000000\"\n";

fn settings() -> Settings {
    Settings::with_rules(RULES)
        .set("BELLWIRE_LOG_SEGMENT_BYTES", 65_536)
        .set("BELLWIRE_MQTT_SESSION_EXPIRY_MAX_S", u32::MAX)
        .set("BELLWIRE_JUDGE_SNAPSHOT_INTERVAL_MS", 100)
}

/// Unpacks what the release before has left.
fn recorded() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/releases/0.1.0.tar.gz");
    let mut tar = std::process::Command::new("tar");
    tar.arg("-xzf").arg(file).arg("-C").arg(folder.path());
    assert!(tar.status().unwrap().success());
    folder
}

/// Sends JSON, and it is taken.
async fn send(service: &Service, what: &str, body: &str) -> Value {
    let head = format!("{}If-Match: *\r\n", service.authorization());
    let (status, _, said) = http::send(&service.http(), what, &head, body).await.unwrap();
    assert!((200..300).contains(&status), "{what}: {status} {said}");
    serde_json::from_str(&said).unwrap_or_default()
}

/// A session that outlives its connection comes; what it is greeted with says whether it was known.
async fn sleeper(service: &Service) -> (RawClient, bool) {
    let mut body = b"\0\x04MQTT\x04\0\0\x3C".to_vec();
    push_text(&mut body, b"sleeper");
    let mut client = RawClient::dial(&service.mqtt()).await;
    client.send(&packet(0x10, &body)).await;
    let connack = client.packet().await;
    assert_eq!((connack[0], connack[3]), (0x20, 0));
    (client, connack[2] == 1)
}

/// Leaves something of everything that outlives a restart.
async fn leave_everything(service: &Service) {
    let mut device = Device::connect(&service.mqtt(), "left-1").await;
    for n in 1..=N {
        let payload = format!("{{\"n\": {n}, \"seq\": {n}, \"ts\": {}}}", 1_790_000_000 + n);
        for again in 0..=n % 2 {
            device.publish("devices/left-1/telemetry", payload.clone()).await;
            assert!(again < 2);
        }
        device.publish("devices/left-1/telemetry", "{").await;
    }
    let mut oven = Device::connect(&service.mqtt(), OVEN).await;
    oven.publish("devices/oven-1/telemetry", r#"{"temperature": 99}"#).await;
    let (mut sleeper, _) = sleeper(service).await;
    sleeper.send(&packet(0x82, b"\0\x01\0\x04note\x01")).await;
    assert_eq!(sleeper.read(5).await, [0x90, 3, 0, 1, 1]);
    drop(sleeper);
    for _ in 0..3 {
        device.publish("note", "look").await;
    }
    let mut retained = RawClient::connect(&service.mqtt(), "notice", 60).await;
    retained.send(&packet(0x33, b"\0\x06notice\0\x01closed")).await;
    assert_eq!(retained.read(4).await, [0x40, 2, 0, 1]);
    let command = r#"{"payload": {"open": true}, "reply": "none"}"#;
    send(service, "POST /api/v1/devices/left-2/commands", command).await;
    let device = r#"[{"device": "left-3", "labels": {"hall": "7"}}]"#;
    send(service, "POST /api/v1/devices", device).await;
    let rule = json!({"toml": RULE}).to_string();
    send(service, "POST /api/v1/rules", &rule).await;
    service.run(&["device", "add", "keeper"]).await;
}

/// Finds all of that.
async fn find_everything(service: &Service) {
    let path = "/api/v1/devices/left-1/audit";
    let n_twice = N / 2;
    let all = |it: &Value| it["received"] == 2 * N + n_twice;
    let audit = service.wait_for(path, all).await;
    let counts = ["stored", "duplicate", "quarantined", "refused"].map(|key| audit[key].clone());
    assert_eq!(counts, [json!(N), json!(n_twice), json!(N), json!(0)], "{audit}");
    assert_eq!(audit["seq"], json!({"last": N, "gaps": [], "resets": 0}), "{audit}");
    let query = "SELECT count(*), count(DISTINCT value) FROM readings \
                 WHERE device = 'left-1' AND metric = 'n'";
    let row = service.sql().await.query_one(query, &[]).await.unwrap();
    let n = i64::try_from(N).unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (n, n));

    let (mut client, known) = sleeper(service).await;
    assert!(known, "the session is known");
    for _ in 0..3 {
        let publish = client.packet().await;
        assert_eq!(&publish[2..], [b"\0\x04note", &publish[8..10], b"look"].concat());
        client.send(&[0x40, 2, publish[8], publish[9]]).await;
    }
    client.send(&packet(0x82, b"\0\x02\0\x06notice\0")).await;
    assert_eq!(client.read(5).await, [0x90, 3, 0, 2, 0]);
    assert_eq!(client.packet().await, packet(0x31, b"\0\x06noticeclosed"));

    the_command_comes(service).await;
    let (_, device) = service.get("/api/v1/devices/left-3").await;
    assert_eq!(device["labels"]["hall"], "7", "{device}");
    let (_, rule) = service.get("/api/v1/rules/made-before").await;
    assert_eq!(rule["toml"].as_str().map(str::trim), Some(RULE.trim()), "{rule}");
    let devices = service.run(&["device", "list", "--json"]).await;
    assert!(devices.contains("keeper"), "{devices}");
}

/// What the device is told when it comes, if that is within the hour for which a command is good.
async fn the_command_comes(service: &Service) {
    let (_, commands) = service.get("/api/v1/devices/left-2/commands").await;
    let command = &commands["commands"][0];
    assert_eq!(command["payload"], json!({"open": true}), "{commands}");
    if command["state"] == "expired" {
        return;
    }
    let mut left = Device::connect(&service.mqtt(), "left-2").await;
    left.subscribe("devices/left-2/commands").await;
    let (_, payload) = left.receive().await;
    assert_eq!(serde_json::from_str::<Value>(&payload).unwrap(), json!({"open": true}));
}

/// The alert that was open still is, and ends under its id.
async fn the_alert_ends(service: &Service, open: &Value) {
    let mut oven = Device::connect(&service.mqtt(), OVEN).await;
    oven.publish("devices/oven-1/telemetry", r#"{"temperature": 20}"#).await;
    let path = format!("/api/v1/alerts/{}", open["id"].as_str().unwrap());
    service.wait_for(&path, |alert| alert["state"] == "resolved").await;
}

async fn open_alert(service: &Service) -> Value {
    let path = "/api/v1/alerts?state=firing";
    let one = |it: &Value| it["alerts"].as_array().is_some_and(|alerts| alerts.len() == 1);
    let alert = service.wait_for(path, one).await["alerts"][0].clone();
    assert_eq!(alert["device"], OVEN);
    alert
}

/// The release before runs, leaves everything, and is killed under load; this one takes over.
async fn taken_over(previous: PathBuf) -> Drill {
    let mut service = Service::prepare(settings());
    service.set_program(previous);
    service.launch().await;
    let mut drill = Drill::begin(service).await;
    leave_everything(&drill.service).await;
    let open = open_alert(&drill.service).await;
    if let Some(folder) = std::env::var_os("BELLWIRE_TEST_RECORD") {
        let stored = |it: &Value| it["stored"] == N;
        drill.service.wait_for("/api/v1/devices/left-1/audit", stored).await;
        let to = PathBuf::from(folder).join("backup");
        succeed(&drill.service, &["backup", "--to", text(&to)]).await;
    }
    drill.load.goes_on(500).await;
    drill.service.kill().await;
    drill.say("the release before is killed under load");
    drill.service.set_program(program());
    drill.service.launch().await;
    drill.say("this release runs");
    assert_eq!(open_alert(&drill.service).await["id"], open["id"]);
    find_everything(&drill.service).await;
    the_alert_ends(&drill.service, &open).await;
    drill
}

/// What the release before has left is restored, and the fleet comes.
async fn restored() -> Drill {
    let mut service = Service::prepare(settings());
    let folder = recorded();
    succeed(&service, &["restore", "--from", text(folder.path())]).await;
    service.launch().await;
    let open = open_alert(&service).await;
    let fleet = Load::config(&service, "later", rate());
    let load = Load::run(fleet.clone());
    find_everything(&service).await;
    the_alert_ends(&service, &open).await;
    load.finish(&service).await;
    let fleet = FleetConfig { prefix: "latest".to_owned(), ..fleet };
    Drill::begin_as(service, fleet, None).await
}

#[tokio::test(flavor = "multi_thread")]
async fn upgrade_from_the_release_before() {
    let drill = match std::env::var_os("BELLWIRE_TEST_PREVIOUS") {
        Some(program) => taken_over(program.into()).await,
        None => restored().await,
    };
    assert!(drill.service.run(&["migrate", "--check"]).await.contains("nothing"));
    drill.end(&[]).await;
}
