//! Rules made by API, end to end: they fire, are changed under their alerts, and outlive restarts, the
//! rules file beside them, and the data directory itself.

use serde_json::{Value, json};

use crate::backup::{fail, succeed, text};
use crate::support::device::Device;
use crate::support::http;
use crate::support::live::Screen;
use crate::support::service::{Service, Settings};

/// The rules file.
const FILE: &str = "[[labels]]\ndevice = \"oven-*\"\nset = { kind = \"oven\" }\n\n\
                    [[rule]]\nname = \"of-file\"\nwhen = \"pressure > 9\"\n";

/// A rule of those ovens.
fn hot(limit: u32) -> String {
    format!(
        "[[rule]]\nname = \"hot\"\nwhen = \"temperature > {limit}\"\nselect = \"kind = 'oven'\"\n\
         severity = \"critical\"\n"
    )
}

/// Asks the API to change something; the status and the answer.
async fn send(service: &Service, what: &str, tag: Option<u64>, body: Value) -> (u16, Value) {
    let tag = tag.map(|tag| format!("If-Match: \"{tag}\"\r\n")).unwrap_or_default();
    let what = what.replacen(' ', " /api/v1/rules", 1);
    let (status, _, body) =
        http::send(&service.http(), &what, &tag, &body.to_string()).await.unwrap();
    (status, serde_json::from_str(&body).unwrap_or(Value::Null))
}

async fn names(service: &Service) -> Vec<String> {
    let (status, list) = service.get("/api/v1/rules").await;
    assert_eq!(status, 200);
    let rules = list["rules"].as_array().unwrap();
    rules.iter().map(|rule| rule["name"].as_str().unwrap().to_owned()).collect()
}

/// It is made, fires, and is changed and disabled while it does.
#[tokio::test(flavor = "multi_thread")]
async fn a_rule_made_over_http_is_judged_changed_and_kept() {
    let mut service = Service::start(Settings::with_rules(FILE)).await;
    let (status, made) = send(
        &service,
        "POST ",
        None,
        json!({"toml": hot(90), "author": "Ada", "comment": "ovens burn"}),
    )
    .await;
    assert_eq!((status, &made["source"], &made["revision"]), (201, &json!("api"), &json!(1)));

    let mut screen = Screen::open(&service.http(), None).await;
    let mut oven = Device::connect(&service.mqtt(), "oven-1").await;
    oven.publish("devices/oven-1/telemetry/temperature", "95").await;
    assert_eq!(screen.next_to("firing").await["alert"]["rule"], "hot");
    let (_, trial) = send(&service, "POST /check", None, json!({"toml": hot(80)})).await;
    assert_eq!((&trial["effect"], &trial["devices"]), (&json!("change"), &json!(1)), "{trial}");
    assert_eq!(trial["alerts"]["judged_anew"], 1, "{trial}");

    let (status, _) = send(&service, "PUT /hot", Some(1), json!({"toml": hot(80)})).await;
    assert_eq!(status, 200);
    let carried = screen.next_to("firing").await;
    let reason = carried["reason"].as_str().unwrap();
    assert!(reason.starts_with("the rule was changed and still holds"), "{carried}");
    let (status, stale) = send(&service, "PUT /hot", Some(1), json!({"toml": hot(70)})).await;
    assert_eq!((status, &stale["code"]), (412, &json!("rule_changed")));
    let (status, _) = send(&service, "POST /hot/disable", Some(2), json!({"author": "Bo"})).await;
    assert_eq!(status, 200);
    assert_eq!(screen.next_to("resolved").await["alert"]["id"], carried["alert"]["id"]);
    let (status, _) = send(&service, "POST /hot/enable", Some(3), json!({})).await;
    assert_eq!(status, 200);
    hostile(&service).await;
    by_command(&service).await;

    beside_the_file(&service).await;
    service.kill().await;
    service.launch().await;
    kept(&mut service).await;
    assert!(service.stop().await.success());
    service.assert_quiet(&["is set aside: the rules file has one of this name"]);
}

/// The command line does the same: a rule of its own, from its first to its last version.
async fn by_command(service: &Service) {
    let path = service.dir().join("cold.toml");
    let write = |limit: i32| {
        let text = format!("[[rule]]\nname = \"too cold\"\nwhen = \"temperature < {limit}\"\n");
        std::fs::write(&path, text).unwrap();
    };
    write(0);
    let said = succeed(service, &["rules", "create", text(&path), "--author", "Cy"]).await;
    assert_eq!(said, "Created the rule too cold.\n");
    write(-5);
    fail(service, &["rules", "change", text(&path)], 1, "+when = \"temperature < -5\"").await;
    let said = succeed(service, &["rules", "change", text(&path), "--yes"]).await;
    assert_eq!(said, "Changed the rule too cold: it is at revision 2 now.\n");
    succeed(service, &["rules", "disable", "too cold", "--comment", "too many"]).await;
    let list = succeed(service, &["rules", "list"]).await;
    assert!(list.contains("too cold") && list.contains("api   disabled    warning"), "{list}");
    succeed(service, &["rules", "enable", "too cold"]).await;
    let shown = succeed(service, &["rules", "show", "too cold"]).await;
    assert_eq!(shown, std::fs::read_to_string(&path).unwrap());
    let diff = succeed(service, &["rules", "diff", "too cold", "--from", "1"]).await;
    assert!(diff.starts_with("--- version 1\n+++ version 4\n"), "{diff}");
    succeed(service, &["rules", "delete", "too cold"]).await;
    let versions = succeed(service, &["rules", "versions", "too cold"]).await;
    assert!(versions.contains("Cy") && versions.contains("too many"), "{versions}");
    assert_eq!(versions.lines().count(), 5, "{versions}");
    fail(service, &["rules", "show", "too cold"], 1, "No rule is named").await;
    fail(service, &["rules", "disable", "of-file"], 1, "edit the file to change it").await;
    std::fs::write(&path, "[[rule]]\nname = \"x\"\nwhen = \"t >> 1\"\n").unwrap();
    fail(service, &["rules", "create", text(&path)], 78, "cold.toml:3:12").await;
}

/// The file is read again; where it has the same name, it wins.
async fn beside_the_file(service: &Service) {
    let more = format!("{FILE}\n[[rule]]\nname = \"hot\"\nwhen = \"temperature > 1000\"\n");
    std::fs::write(service.rules_path(), &more).unwrap();
    let of_file = |list: &Value| list["rules"][1]["when"] == "temperature > 1000";
    let list = service.wait_for("/api/v1/rules", of_file).await;
    assert_eq!((&list["rules"][1]["source"], &list["rules"][2]), (&json!("file"), &Value::Null));
    let (status, refused) = send(service, "PUT /hot", Some(4), json!({"toml": hot(70)})).await;
    assert_eq!((status, &refused["code"]), (409, &json!("rule_in_file")));
    std::fs::write(service.rules_path(), FILE).unwrap();
    let made = |list: &Value| list["rules"][1]["source"] == "api";
    service.wait_for("/api/v1/rules", made).await;
    assert_eq!(names(service).await, ["of-file", "hot"]);
}

/// What is no rule is refused with its place, and nothing of it stays.
async fn hostile(service: &Service) {
    let deep = format!("[[rule]]\nname = \"a\"\nwhen = \"{}t > 1\"\n", "(".repeat(20_000));
    let labels = format!("{}[[labels]]\ndevice = \"*\"\nset = {{ kind = \"oven\" }}\n", hot(1));
    for toml in [&*deep, &labels, "[[rule", "\u{0}", "", "rule = [{ name = 'a', when = 't > 1' }]"]
    {
        let (status, refused) = send(service, "POST ", None, json!({"toml": toml})).await;
        assert_eq!((status, &refused["code"]), (422, &json!("invalid_rule")), "{refused}");
        let error = &refused["errors"][0];
        assert!(error["line"].is_u64() && error["column"].is_u64(), "{refused}");
    }
    assert_eq!(names(service).await, ["of-file", "hot"]);
}

/// Every version is there after a crash, and after everything is restored from a backup.
async fn kept(service: &mut Service) {
    let check = async |service: &Service| {
        let (_, versions) = service.get("/api/v1/rules/hot/versions").await;
        let shown: Vec<_> = versions["versions"].as_array().unwrap().iter().collect();
        let actions: Vec<_> = shown.iter().map(|it| it["action"].as_str().unwrap()).collect();
        assert_eq!(actions, ["enable", "disable", "change", "create"]);
        let authors: Vec<_> = shown.iter().map(|it| it["author"].as_str().unwrap()).collect();
        assert_eq!(authors, ["api", "Bo", "api", "Ada"]);
        let (_, second) = service.get("/api/v1/rules/hot/versions/2").await;
        let diff = second["diff"].as_str().unwrap();
        assert!(
            diff.contains("-when = \"temperature > 90\"\n+when = \"temperature > 80\""),
            "{diff}"
        );
        let (_, one) = service.get("/api/v1/rules/hot").await;
        assert_eq!((&one["toml"], &one["revision"]), (&json!(hot(80)), &json!(4)));
    };
    check(service).await;
    let to = service.dir().join("backup");
    succeed(service, &["backup", "--to", text(&to)]).await;
    service.kill().await;
    service.destroy().await;
    succeed(service, &["restore", "--from", text(&to)]).await;
    service.launch().await;
    check(service).await;
    let mut screen = Screen::open(&service.http(), None).await;
    let mut oven = Device::connect(&service.mqtt(), "oven-2").await;
    oven.publish("devices/oven-2/telemetry/temperature", "85").await;
    assert_eq!(screen.next_to("firing").await["alert"]["device"], "oven-2");
    let (status, _) = send(service, "DELETE /hot", Some(4), json!({})).await;
    assert_eq!(status, 204);
    assert_eq!(screen.next_to("resolved").await["alert"]["rule"], "hot");
}
