//! The registry: labels by command line, API and births, which rules and lists see at once.

use serde_json::{Value, json};

use crate::support::device::Device;
use crate::support::http;
use crate::support::server::Server;
use crate::support::service::{Service, Settings};

const RULES: &str = r#"
[[rule]]
name = "warm"
when = "t > 5"
severity = "warning"
select = "kind = 'freezer'"

[[labels]]
device = "f-*"
set = { site = "file", floor = "1" }
"#;

async fn change(service: &Service, what: &str, headers: &str, body: Value) -> (u16, Value) {
    let (status, _, body) =
        http::send(&service.http(), what, headers, &body.to_string()).await.unwrap();
    (status, serde_json::from_str(&body).unwrap_or(Value::Null))
}

/// The device's labels, once they have this one.
async fn wait_for_label(service: &Service, device: &str, name: &str, value: &str) -> Value {
    let path = format!("/api/v1/devices/{device}");
    let shown = service.wait_for(&path, |body| body["labels"][name] == value).await;
    shown["labels"].clone()
}

async fn alerts(service: &Service) -> Vec<Value> {
    let (_, body) = service.get("/api/v1/alerts?state=firing").await;
    body["alerts"].as_array().unwrap_or_else(|| panic!("{body}")).clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_sees_a_label_at_once_and_after_a_crash() {
    let mut service = Service::start(Settings::with_rules(RULES)).await;
    service.run(&["device", "register", "f-1", "--model", "Polar 9"]).await;
    let (_, ahead) = service.get("/api/v1/devices/f-1").await;
    assert_eq!(
        (&ahead["first_seen"], &ahead["registered"]),
        (&json!(null), &json!(true)),
        "{ahead}"
    );

    let mut client = Device::connect(&service.mqtt(), "f-1").await;
    client.publish("devices/f-1/telemetry", r#"{"t": 9}"#).await;
    service.wait_for("/api/v1/devices/f-1/audit", |audit| audit["stored"] == 1).await;
    assert_eq!(alerts(&service).await.len(), 0, "it is no freezer yet");
    let said = service.run(&["device", "label", "f-1", "kind=freezer", "site=berlin"]).await;
    assert!(said.contains("kind=freezer"), "{said}");
    client.publish("devices/f-1/telemetry", r#"{"t": 9}"#).await;
    let is_firing = |body: &Value| body["alerts"].as_array().is_some_and(|all| all.len() == 1);
    service.wait_for("/api/v1/alerts?state=firing", is_firing).await;

    service.kill().await;
    service.launch().await;
    let labels = wait_for_label(&service, "f-1", "kind", "freezer").await;
    let expected = json!({"kind": "freezer", "site": "berlin", "floor": "1", "model": "Polar 9"});
    assert_eq!(labels, expected, "the registry counts more than the file");
    let row = service.sql().await;
    let row = row.query_one("SELECT model, labels->>'kind' FROM devices WHERE device = 'f-1'", &[]);
    let row = row.await.unwrap();
    assert_eq!((row.get::<_, &str>(0), row.get::<_, &str>(1)), ("Polar 9", "freezer"));

    service.run(&["device", "label", "f-1", "site-", "kind-"]).await;
    let labels = wait_for_label(&service, "f-1", "site", "file").await;
    assert_eq!(labels["kind"], json!(null));
    let none = |body: &Value| body["alerts"].as_array().is_some_and(Vec::is_empty);
    service.wait_for("/api/v1/alerts?state=firing", none).await;
    drop(client);
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_overwrites_what_he_has_not_seen_and_lists_are_filtered() {
    let mut service = Service::start(Settings::default()).await;
    let many = json!((0..20).map(|n| json!({
        "device": format!("d-{n:02}"), "labels": {"site": if n % 2 == 0 { "a" } else { "b" }},
    })).collect::<Vec<_>>());
    let (status, body) = change(&service, "POST /api/v1/devices", "", many).await;
    assert!(status == 200 || status == 201, "{status} {body}");
    let path = "/api/v1/devices?select=site%20%3D%20'a'&limit=6";
    let (_, first) = service.get(path).await;
    assert_eq!(first["devices"].as_array().map(Vec::len), Some(6), "{first}");
    let next = first["next"].as_str().expect("there are ten");
    let (_, rest) = service.get(&format!("{path}&cursor={next}")).await;
    assert_eq!(rest["devices"].as_array().map(Vec::len), Some(4), "{rest}");

    let what = "PUT /api/v1/devices/d-00";
    let (status, body) = change(&service, what, "", json!({"labels": {"site": "c"}})).await;
    assert!(status == 428 || status == 400, "{status} {body}");
    let (_, head, _) = http::get_whole(&service.http(), "/api/v1/devices/d-00").await.unwrap();
    let etag =
        head.lines().find_map(|line| line.strip_prefix("etag: ")).expect("an ETag").to_owned();
    let seen = format!("If-Match: {etag}\r\n");
    let (status, body) = change(&service, what, &seen, json!({"labels": {"site": "c"}})).await;
    assert_eq!((status, &body["labels"]["site"]), (200, &json!("c")), "{body}");
    let (status, body) = change(&service, what, &seen, json!({"labels": {"site": "d"}})).await;
    assert_eq!(status, 412, "{body}");
    let (status, body) =
        change(&service, what, "If-Match: *\r\n", json!({"labels": {"a b": "c"}})).await;
    assert_eq!((status, &body["code"]), (422, &json!("invalid_label")), "{body}");

    let file = service.dir().join("devices.csv");
    std::fs::write(&file, "device,site,model\nd-01,c,M1\nd-40,c,\n").unwrap();
    service.run(&["device", "import", file.to_str().unwrap()]).await;
    let found = service.run(&["device", "find", "--label", "site=c"]).await;
    let ids: Vec<_> = found.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(ids, ["d-00", "d-01", "d-40"], "{found}");
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn births_say_labels_and_the_database_may_be_away() {
    let server = Server::start().await;
    let settings = Settings::default().set("BELLWIRE_DATABASE_URL", server.url());
    let mut service = Service::prepare(settings);
    let path = service.dir().join("mappings.toml");
    let mapping =
        "[[mapping]]\ntopic = 'birth/{device}'\nformat = 'json'\nlabels = ['info.model', 'site']\n";
    std::fs::write(&path, mapping).unwrap();
    service.set("BELLWIRE_MAPPINGS", path.display());
    service.launch().await;
    let mut client = Device::connect(&service.mqtt(), "gateway").await;
    client.publish("birth/p-1", r#"{"info": {"model": "P7"}, "site": "wien", "t": 1}"#).await;
    wait_for_label(&service, "p-1", "model", "P7").await;

    server.stop().await;
    service.run(&["device", "label", "p-1", "site=linz"]).await;
    client.publish("birth/p-1", r#"{"info": {"model": "P8"}, "site": "graz", "t": 2}"#).await;
    let labels = wait_for_label(&service, "p-1", "model", "P8").await;
    assert_eq!(labels["site"], "linz", "what a person says counts more than a birth");
    service.kill().await;
    server.go_on().await;
    service.launch().await;
    service.wait_for("/api/v1/devices/p-1/audit", |audit| audit["stored"] == 2).await;
    let rows = service.sql().await;
    let sql = "SELECT labels->>'site', model FROM devices WHERE device = 'p-1'";
    let row = rows.query_one(sql, &[]).await.unwrap();
    assert_eq!((row.get::<_, &str>(0), row.get::<_, &str>(1)), ("linz", "P8"));
    drop(client);
    assert!(service.stop().await.success());
}
