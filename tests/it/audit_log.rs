//! The audit log: every change, by whom it was, once, whatever happens.

use std::collections::BTreeSet;

use bellwire_api::auditing::WRITES;
use serde_json::{Value, json};

use crate::support::http;
use crate::support::people::signed_in;
use crate::support::server::Server;
use crate::support::service::{Service, Settings};

/// Asks for a change, which is made; the answer.
async fn change(service: &Service, what: &str, headers: &str, body: &Value) -> Value {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let (status, _, answer) = http::send(&service.http(), what, headers, &body).await.unwrap();
    assert!((200..300).contains(&status), "{what}: {status} {answer}");
    serde_json::from_str(&answer).unwrap_or(Value::Null)
}

fn toml(name: &str, limit: u32) -> Value {
    json!({"toml": format!("[[rule]]\nname = \"{name}\"\nwhen = \"t > {limit}\"\n")})
}

/// Every route by which something is changed, in an order in which each can: its template, what is
/// asked with which body, and to what it is done.
fn all_writes() -> Vec<(&'static str, &'static str, Value, &'static str)> {
    let labels = |site: &str| json!({"labels": {"site": site}});
    let none = Value::Null;
    vec![
        ("/api/v1/rules", "POST /api/v1/rules", toml("hot", 90), "hot"),
        ("/api/v1/rules/{name}", "PUT /api/v1/rules/hot", toml("hot", 80), "hot"),
        ("/api/v1/rules/{name}/disable", "POST /api/v1/rules/hot/disable", none.clone(), "hot"),
        ("/api/v1/rules/{name}/enable", "POST /api/v1/rules/hot/enable", none.clone(), "hot"),
        (
            "/api/v1/rules/{name}/restore",
            "POST /api/v1/rules/hot/restore?version=1",
            none.clone(),
            "hot",
        ),
        ("/api/v1/rules/{name}", "DELETE /api/v1/rules/hot", none.clone(), "hot"),
        ("/api/v1/rules", "POST /api/v1/rules", toml("check", 90), "check"),
        ("/api/v1/rules/check", "PUT /api/v1/rules/check", toml("check", 80), "check"),
        ("/api/v1/rules/check", "DELETE /api/v1/rules/check", none.clone(), "check"),
        (
            "/api/v1/devices",
            "POST /api/v1/devices",
            json!([{"device": "d-1", "labels": {"site": "a"}}, {"device": "d-2"}]),
            "2 devices",
        ),
        ("/api/v1/devices/{id}", "PUT /api/v1/devices/d-1", labels("b"), "d-1"),
        ("/api/v1/devices/{id}", "PATCH /api/v1/devices/d-1", labels("c"), "d-1"),
        (
            "/api/v1/devices/{id}/commands",
            "POST /api/v1/devices/d-1/commands",
            json!({"payload": {"on": true}}),
            "d-1 COMMAND",
        ),
        (
            "/api/v1/devices/{id}/commands/{command}",
            "DELETE /api/v1/devices/d-1/commands/COMMAND",
            none.clone(),
            "d-1 COMMAND",
        ),
        ("/api/v1/devices/{id}", "DELETE /api/v1/devices/d-1", none, "d-1"),
        ("/api/v1/quarantine/replay", "POST /api/v1/quarantine/replay", json!({}), "all"),
    ]
}

/// Does all of it; what the audit log must say then, the latest first: action and target.
async fn do_all(service: &Service) -> Vec<(String, String)> {
    let (mut expected, mut command) = (Vec::new(), String::new());
    for (template, what, body, target) in all_writes() {
        let what = what.replace("COMMAND", &command);
        // Who imports has seen nothing, and a rule that is made is not there yet.
        let is_new = matches!(template, "/api/v1/rules" | "/api/v1/devices");
        let any = if is_new { "" } else { "If-Match: *\r\n" };
        let answer = change(service, &what, any, &body).await;
        if template.ends_with("/commands") {
            answer["id"].as_str().expect("an id").clone_into(&mut command);
        }
        let method = what.split(' ').next().unwrap();
        let known = WRITES.iter().find(|it| (it.0, it.1) == (method, template));
        let (_, _, action) = known.unwrap_or_else(|| panic!("{method} {template} is listed"));
        expected.push(((*action).to_owned(), target.replace("COMMAND", &command)));
    }
    expected.reverse();
    expected
}

fn lines(body: &Value) -> Vec<(String, String)> {
    let lines = body["audit_log"].as_array().unwrap_or_else(|| panic!("{body}"));
    let text = |line: &Value, key: &str| line[key].as_str().unwrap().to_owned();
    lines.iter().map(|line| (text(line, "action"), text(line, "target"))).collect()
}

/// What the database's view has, the latest first.
async fn rows(service: &Service) -> Vec<(String, String)> {
    let sql = "SELECT action, target FROM audit_log ORDER BY at DESC";
    let rows = service.sql().await.query(sql, &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

const AUDIT_LOG: &str = "/api/v1/audit-log?limit=1000";

#[tokio::test(flavor = "multi_thread")]
async fn every_write_is_told_once_also_after_a_crash() {
    let tried: BTreeSet<_> = all_writes()
        .iter()
        .map(|(template, what, ..)| (what.split(' ').next().unwrap(), *template))
        .chain(PEOPLE.map(|(method, template, _)| (method, template)))
        .chain(
            handled()
                .iter()
                .map(|(template, what, _)| (what.split(' ').next().unwrap(), *template)),
        )
        .collect();
    let listed: BTreeSet<_> = WRITES.iter().map(|it| (it.0, it.1)).collect();
    assert_eq!(tried, listed, "every route by which something is changed is tried here");

    let mut service = Service::start(Settings::default()).await;
    let expected = do_all(&service).await;
    // Right after the answer.
    service.kill().await;
    service.launch().await;
    let (status, shown) = service.get(AUDIT_LOG).await;
    assert_eq!((status, lines(&shown)), (200, expected.clone()));
    let restored = &shown["audit_log"][11];
    assert_eq!(restored["action"], "rule.restore", "{restored}");
    let limit = |side: &str| restored[side]["when"].as_str().unwrap().to_owned();
    assert_eq!((limit("before"), limit("after")), ("t > 80".to_owned(), "t > 90".to_owned()));
    let patched = &shown["audit_log"][4];
    assert_eq!(patched["before"], json!({"site": "b"}), "{patched}");
    assert_eq!(patched["after"], json!({"site": "c"}), "{patched}");
    assert_eq!((&patched["who"], &patched["address"]), (&json!("anybody"), &json!("127.0.0.1")));
    let imported = &shown["audit_log"][6];
    assert_eq!(imported["before"], json!({"d-1": null, "d-2": null}), "{imported}");
    assert_eq!(imported["after"], json!({"d-1": {"site": "a"}, "d-2": {}}), "{imported}");
    let cancelled = &shown["audit_log"][2];
    assert_eq!(cancelled["before"]["state"], "queued", "{cancelled}");
    assert_eq!(cancelled["after"]["state"], "cancelled", "{cancelled}");

    // Page by page, by filters, and on the command line.
    let (mut paged, mut cursor) = (Vec::new(), String::new());
    loop {
        let (_, page) = service.get(&format!("/api/v1/audit-log?limit=3{cursor}")).await;
        paged.extend(lines(&page));
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(paged, expected);
    let (_, rules) = service.get("/api/v1/audit-log?action=rule.*&target=check").await;
    assert_eq!(lines(&rules).len(), 3, "{rules}");
    let (_, none) = service.get("/api/v1/audit-log?who=eve").await;
    assert_eq!(lines(&none), []);
    let said = service.run(&["audit-log", "--target", "d-1", "--action", "device.*"]).await;
    let first = said.lines().next().unwrap_or_default();
    assert!(said.lines().count() == 3 && first.contains("device.delete"), "{said}");

    assert!(service.stop().await.success());
    service.launch().await;
    assert_eq!(rows(&service).await, expected, "each once");
    assert_eq!(lines(&service.get(AUDIT_LOG).await.1), expected);
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_on_while_the_database_is_away() {
    let server = Server::start().await;
    let settings = Settings::default().set("BELLWIRE_DATABASE_URL", server.url());
    let mut service = Service::start(settings).await;
    change(&service, "POST /api/v1/rules", "", &toml("before", 1)).await;
    server.stop().await;
    for n in 0..20 {
        change(&service, "POST /api/v1/rules", "", &toml(&format!("away-{n}"), 1)).await;
    }
    let expected: Vec<_> = (0..20).rev().map(|n| format!("away-{n}")).collect();
    let targets = |body: &Value| -> Vec<String> {
        lines(body).into_iter().map(|(_, target)| target).filter(|it| it != "before").collect()
    };
    for _ in 0..2 {
        let shown = service.wait_for(AUDIT_LOG, |body| body["partial"] == true).await;
        assert_eq!(targets(&shown), expected);
        service.kill().await;
        service.launch().await;
    }
    server.go_on().await;
    let shown = service.wait_for(AUDIT_LOG, |body| body["partial"].is_null()).await;
    assert_eq!((targets(&shown), lines(&shown).len()), (expected, 21));
    // What is stopped drains, if its writer has found the database too.
    service.wait_for("/readyz", |body| body["status"] == "ok").await;
    assert!(service.stop().await.success());
    service.launch().await;
    assert_eq!(rows(&service).await.len(), 21, "none twice");
    assert!(service.stop().await.success());
}

/// What operators do with alerts, in an order in which each can: template, what is asked, with which body.
fn handled() -> Vec<(&'static str, &'static str, Value)> {
    let none = || json!({});
    let silence = |time: &str| json!({"matchers": "device=\"d\"", "for": time, "reason": "repair"});
    let many = json!({"alerts": ["ALERT"], "action": "comment", "comment": "two"});
    vec![
        ("/api/v1/alerts/{id}/assign", "POST /api/v1/alerts/ALERT/assign", json!({"to": "bob"})),
        (
            "/api/v1/alerts/{id}/comment",
            "POST /api/v1/alerts/ALERT/comment",
            json!({"comment": "one"}),
        ),
        ("/api/v1/alerts/{id}/snooze", "POST /api/v1/alerts/ALERT/snooze", json!({"for": "1h"})),
        ("/api/v1/alerts/{id}/unsnooze", "POST /api/v1/alerts/ALERT/unsnooze", none()),
        ("/api/v1/alerts/{id}/ack", "POST /api/v1/alerts/ALERT/ack", none()),
        ("/api/v1/alerts/{id}/unack", "POST /api/v1/alerts/ALERT/unack", none()),
        ("/api/v1/alerts/actions", "POST /api/v1/alerts/actions", many),
        ("/api/v1/silences", "POST /api/v1/silences", silence("1h")),
        ("/api/v1/silences/{id}", "PUT /api/v1/silences/SILENCE", silence("2h")),
        ("/api/v1/silences/{id}", "DELETE /api/v1/silences/SILENCE", Value::Null),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_operators_do_with_alerts_is_told() {
    let mut service = Service::start(Settings::default()).await;
    change(&service, "POST /api/v1/rules", "", &toml("hot", 10)).await;
    let reading = json!({"device": "d", "telemetry": {"t": 11}});
    change(&service, "POST /api/v1/telemetry", "", &reading).await;
    let fired = |body: &Value| body["alerts"].as_array().is_some_and(|all| !all.is_empty());
    let shown = service.wait_for("/api/v1/alerts?state=firing", fired).await;
    let alert = shown["alerts"][0]["id"].as_str().unwrap().to_owned();
    let (mut silence, mut expected) = (String::new(), vec!["rule.create".to_owned()]);
    for (template, what, body) in handled() {
        let what = what.replace("ALERT", &alert).replace("SILENCE", &silence);
        let body = serde_json::from_str(&body.to_string().replace("ALERT", &alert)).unwrap();
        let answer = change(&service, &what, "If-Match: *\r\n", &body).await;
        if what.ends_with("/silences") {
            answer["id"].as_str().expect("an id").clone_into(&mut silence);
        }
        let method = what.split(' ').next().unwrap();
        let known = WRITES.iter().find(|it| (it.0, it.1) == (method, template));
        expected.push(known.unwrap_or_else(|| panic!("{what} is listed")).2.to_owned());
    }
    service.kill().await;
    service.launch().await;
    let (_, shown) = service.get(AUDIT_LOG).await;
    let told: Vec<_> = lines(&shown).into_iter().rev().map(|(action, _)| action).collect();
    assert_eq!(told, expected);
    let silenced = &shown["audit_log"][1];
    assert_eq!((&silenced["target"], &silenced["who"]), (&json!(silence), &json!("anybody")));
    assert!(silenced["before"]["ends_at"].is_string(), "{silenced}");
    assert!(service.stop().await.success());
}

/// What people do to people: those routes, in an order in which each can, and to whom or what it is done.
const PEOPLE: [(&str, &str, &str); 11] = [
    ("POST", "/api/v1/setup", "ada"),
    ("POST", "/api/v1/users", "bob"),
    ("PATCH", "/api/v1/users/{name}", "bob"),
    ("POST", "/api/v1/users/{name}/password", "bob"),
    ("POST", "/api/v1/session", "bob"),
    ("DELETE", "/api/v1/session", "bob"),
    ("POST", "/api/v1/session", "bob"),
    ("DELETE", "/api/v1/sessions/{id}", "bob"),
    ("POST", "/api/v1/tokens", "TOKEN"),
    ("DELETE", "/api/v1/tokens/{id}", "TOKEN"),
    ("DELETE", "/api/v1/users/{name}", "bob"),
];
/// No line of the audit log has any of these.
const PASSWORDS: [&str; 3] = ["correct horse battery", "staple and chain saw", "my name is secret"];

/// Asks for something as whoever these lines of a head say; head and answer.
async fn ask(service: &Service, what: &str, head: &str, body: &Value, status: u16) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let (found, head, answer) = http::send(&service.http(), what, head, &body).await.unwrap();
    assert_eq!(found, status, "{what}: {answer}");
    Answer { head, body: serde_json::from_str(&answer).unwrap_or(Value::Null) }
}

struct Answer {
    head: String,
    body: Value,
}

impl Answer {
    /// The lines of a head that show who has signed in.
    fn session(&self) -> String {
        signed_in(&self.head, &self.body)
    }
}

/// Ada has set the service up and made bob, who may look: the code that took, and her session.
async fn ada_and_bob(service: &Service) -> (String, String) {
    let code = std::fs::read_to_string(service.data_dir().join("setup-code")).unwrap();
    let body = json!({"code": code.trim(), "name": "ada", "password": PASSWORDS[0]});
    let ada = ask(service, "POST /api/v1/setup", "", &body, 201).await.session();
    let body = json!({"name": "bob", "password": PASSWORDS[0], "role": "viewer"});
    ask(service, "POST /api/v1/users", &ada, &body, 201).await;
    (code, ada)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_do_and_are_refused_is_told_without_their_secrets() {
    let mut service = Service::start(Settings::guarded()).await;
    let (code, ada) = ada_and_bob(&service).await;
    let body = json!({"role": "operator"});
    ask(&service, "PATCH /api/v1/users/bob", &ada, &body, 200).await;
    let body = json!({"password": PASSWORDS[1]});
    ask(&service, "POST /api/v1/users/bob/password", &ada, &body, 204).await;
    let body = json!({"name": "bob", "password": PASSWORDS[1]});
    let bob = ask(&service, "POST /api/v1/session", "", &body, 200).await.session();
    // What he may not do, and who does not get in.
    ask(&service, "DELETE /api/v1/users/ada", &bob, &Value::Null, 403).await;
    ask(&service, "DELETE /api/v1/session", &bob, &Value::Null, 204).await;
    ask(&service, "POST /api/v1/session", "", &body, 200).await;
    let sessions = ask(&service, "GET /api/v1/sessions", &ada, &Value::Null, 200).await.body;
    let of_bob = sessions["sessions"].as_array().unwrap().iter().find(|it| it["user"] == "bob");
    let id = of_bob.expect("bob's session")["id"].as_str().unwrap();
    ask(&service, &format!("DELETE /api/v1/sessions/{id}"), &ada, &Value::Null, 204).await;
    for name in ["bob", PASSWORDS[2]] {
        let body = json!({"name": name, "password": PASSWORDS[0]});
        ask(&service, "POST /api/v1/session", "", &body, 401).await;
    }
    let body = json!({"name": "ci", "role": "viewer"});
    let made = ask(&service, "POST /api/v1/tokens", &ada, &body, 201).await.body;
    let id = made["id"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned();
    let revoke = format!("DELETE /api/v1/tokens/{id}");
    ask(&service, &revoke, &ada, &Value::Null, 204).await;
    ask(&service, "DELETE /api/v1/users/bob", &ada, &Value::Null, 204).await;

    service.kill().await;
    service.launch().await;
    let all = ask(&service, &format!("GET {AUDIT_LOG}"), &ada, &Value::Null, 200).await.body;
    let text = all.to_string();
    let token = made["token"].as_str().expect("it is shown once");
    for secret in PASSWORDS.iter().chain([&code.trim(), &token]) {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    let lines = all["audit_log"].as_array().unwrap();
    let of = |outcome: &str| {
        let those = lines.iter().rev().filter(|line| line["outcome"] == outcome);
        let word = |line: &Value, key: &str| line[key].as_str().unwrap().to_owned();
        let line = |line| (word(line, "action"), word(line, "target"), word(line, "who"));
        those.map(line).collect::<Vec<_>>()
    };
    let expected = PEOPLE.iter().map(|(method, template, target)| {
        let known = WRITES.iter().find(|it| (it.0, it.1) == (*method, *template));
        let (_, _, action) = known.unwrap_or_else(|| panic!("{method} {template} is listed"));
        let who = if template.ends_with("/session") { "bob" } else { "ada" };
        ((*action).to_owned(), target.replace("TOKEN", &id), who.to_owned())
    });
    assert_eq!(of("done"), expected.collect::<Vec<_>>());
    let refused = |action: &str, target: &str, who: &str| {
        (action.to_owned(), target.to_owned(), who.to_owned())
    };
    assert_eq!(
        of("refused"),
        [
            refused("user.delete", "/api/v1/users/ada", "bob"),
            refused("session.create", "bob", "nobody"),
            refused("session.create", "(no user)", "nobody"),
        ]
    );
    // It is for admins.
    let (status, _) = http::get(&service.http(), AUDIT_LOG).await.unwrap();
    assert_eq!(status, 401);
    assert!(service.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_before_is_what_was_replaced() {
    let mut service = Service::start(Settings::guarded()).await;
    let (_, ada) = ada_and_bob(&service).await;
    let all: Vec<_> = (0..40).map(|n| json!({"scope": format!("site = 's{n}'")})).collect();
    let patches = all.iter().map(|body| ask(&service, "PATCH /api/v1/users/bob", &ada, body, 200));
    futures_util::future::join_all(patches).await;
    let path = "GET /api/v1/audit-log?action=user.update&limit=1000";
    let told = ask(&service, path, &ada, &Value::Null, 200).await.body;
    let lines = told["audit_log"].as_array().unwrap();
    let scopes = |side: &str| {
        let mut all: Vec<_> = lines.iter().map(|line| line[side]["scope"].to_string()).collect();
        all.sort();
        all
    };
    let (before, after) = (scopes("before"), scopes("after"));
    assert_eq!(after.len(), 40);
    // A chain: each made what exactly one other replaced, but for the first and the last.
    let n_missing = before.iter().filter(|scope| !after.contains(scope)).count();
    let distinct: BTreeSet<_> = before.iter().collect();
    assert_eq!((distinct.len(), n_missing), (40, 1), "{before:?}");
    assert!(service.stop().await.success());
}

/// Waits for the last line of this action; what was, and what is.
async fn told_of(service: &Service, action: &str, target: &str) -> (Value, Value) {
    let path = format!("/api/v1/audit-log?action={action}&limit=1");
    let is_there = |it: &Value| it["audit_log"][0]["target"] == target;
    let mut answer = service.wait_for(&path, is_there).await;
    let mut line = answer["audit_log"][0].take();
    let by = (&line["who"], &line["via"], &line["outcome"], &line["address"]);
    assert_eq!(by, (&json!("nobody"), &json!("file"), &json!("done"), &Value::Null), "{line}");
    (line["before"].take(), line["after"].take())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_command_line_changes_of_people_is_told() {
    let mut service = Service::start(Settings::guarded()).await;
    let (_, ada) = ada_and_bob(&service).await;
    service.run(&["people", "role", "bob", "operator"]).await;
    let (before, after) = told_of(&service, "user.update", "bob").await;
    assert_eq!((&before["role"], &after["role"]), (&json!("viewer"), &json!("operator")));

    let file = service.dir().join("password");
    std::fs::write(&file, PASSWORDS[1]).unwrap();
    let file = file.display().to_string();
    service.run(&["people", "passwd", "bob", "--password-file", &file]).await;
    let (before, after) = told_of(&service, "user.password", "bob").await;
    assert!(before == after && !before.is_null(), "{before} {after}");

    let create = ["token", "create", "ci", "--user", "bob", "--role", "viewer"];
    let token = service.run(&create).await;
    let id = token.split('_').nth(1).unwrap();
    let (before, after) = told_of(&service, "token.create", id).await;
    assert_eq!(
        (&before, &after["name"], &after["user"]),
        (&Value::Null, &json!("ci"), &json!("bob"))
    );
    service.run(&["token", "revoke", id]).await;
    assert_eq!(told_of(&service, "token.delete", id).await, (after, Value::Null));

    service.run(&["people", "remove", "bob"]).await;
    assert_eq!(told_of(&service, "user.delete", "bob").await.1, Value::Null);
    // What is done over HTTP is told once.
    let body = json!({"name": "eve", "password": PASSWORDS[0], "role": "viewer"});
    ask(&service, "POST /api/v1/users", &ada, &body, 201).await;
    service.run(&["people", "disable", "eve"]).await;
    told_of(&service, "user.update", "eve").await;
    let answer = service.wait_for("/api/v1/audit-log?action=user.create", |_| true).await;
    let made: Vec<_> =
        answer["audit_log"].as_array().unwrap().iter().map(|it| &it["via"]).collect();
    assert!(made.iter().all(|via| *via != "file") && made.len() >= 2, "{answer}");
    assert!(service.stop().await.success());
    let written = std::fs::read_to_string(service.data_dir().join("people.json")).unwrap();
    assert!(written.contains("eve") && !written.contains(PASSWORDS[1]), "hashes only");
}
