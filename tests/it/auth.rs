//! Who may use the API: set-up, signing in, tokens, from the command line and over HTTP, over restarts and
//! without the database.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite};

use crate::support::people::{
    PASSWORD, add_user, ask, rules_of_two_sites, run_with, sign_in, signed_in, status,
    wait_for_status,
};
use crate::support::service::{PATIENCE, Service, Settings};

#[tokio::test(flavor = "multi_thread")]
async fn whoever_can_read_the_log_makes_the_first_admin_and_nobody_else() {
    let mut service = Service::start(Settings::guarded()).await;
    let (_, _, ways) = ask(&service, "GET /api/v1/session/ways", "", &Value::Null).await;
    assert_eq!((&ways["setup_needed"], &ways["open"]), (&json!(true), &json!(false)));
    let (code, _, body) = ask(&service, "GET /api/v1/devices", "", &Value::Null).await;
    assert_eq!((code, &body["code"]), (403, &json!("setup_needed")));
    let mut first =
        json!({"code": "123456-123456-123456-123456", "name": "eve", "password": PASSWORD});
    let (code, _, body) = ask(&service, "POST /api/v1/setup", "", &first).await;
    assert_eq!((code, &body["code"]), (403, &json!("wrong_setup_code")));
    let file = service.data_dir().join("setup-code");
    let setup = std::fs::read_to_string(&file).unwrap().trim().to_owned();
    assert!(service.log().contains(&setup), "it is said on stderr");
    first = json!({"code": setup, "name": "root", "password": PASSWORD});
    let (code, head, body) = ask(&service, "POST /api/v1/setup", "", &first).await;
    assert_eq!(code, 201, "{body}");
    let root = signed_in(&head, &body);
    assert!(!file.exists());
    assert_eq!(status(&service, "GET /api/v1/users", &root).await, 200);
    assert_eq!(status(&service, "POST /api/v1/setup", "").await, 400);
    // A crash signs nobody out, and a damaged file starts nothing.
    service.kill().await;
    service.launch().await;
    assert_eq!(status(&service, "GET /api/v1/users", &root).await, 200);
    assert_eq!(status(&service, "DELETE /api/v1/session", &root).await, 204);
    service.kill().await;
    service.launch().await;
    assert_eq!(status(&service, "GET /api/v1/users", &root).await, 401);
    let people = std::fs::read_to_string(service.data_dir().join("people.json")).unwrap();
    let sessions = std::fs::read_to_string(service.data_dir().join("sessions.json")).unwrap();
    assert!(!people.contains(PASSWORD) && people.contains("$argon2id$"), "{people}");
    let secret = root.split('=').nth(1).unwrap().split('\r').next().unwrap();
    assert!(!sessions.contains(secret));
    assert!(service.stop().await.success());
    service.assert_quiet(&["a wrong set-up code"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_makes_people_whom_a_running_service_knows() {
    let mut service = Service::prepare(Settings::guarded());
    add_user(&service, "root", "admin").await;
    service.launch().await;
    assert!(!service.data_dir().join("setup-code").exists());
    let root = sign_in(&service, "root").await;
    add_user(&service, "vera", "viewer").await;
    let body = json!({"name": "vera", "password": PASSWORD});
    let asking = async {
        let mut poll = crate::support::service::poll();
        loop {
            let (code, head, body) = ask(&service, "POST /api/v1/session", "", &body).await;
            if code == 200 {
                break signed_in(&head, &body);
            }
            poll.tick().await;
        }
    };
    let vera = timeout(PATIENCE, asking).await.expect("she is known");
    assert_eq!(status(&service, "GET /api/v1/users", &vera).await, 403);
    let create = ["token", "create", "ci", "--user", "vera", "--role", "viewer"];
    let token = service.run(&create).await;
    let bearer = format!("Authorization: Bearer {token}\r\n");
    wait_for_status(&service, "GET /api/v1/devices", &bearer, 200).await;
    let listed = service.run(&["token", "list"]).await;
    assert!(listed.contains("vera/ci") && !listed.contains(&token), "{listed}");

    // What has been revoked is out within a second, live clients too.
    let mut screen =
        live(&service, &[("authorization", &format!("Bearer {token}"))]).await.unwrap();
    service.run(&["token", "revoke", &token]).await;
    let ended = async { while let Some(Ok(_)) = screen.next().await {} };
    timeout(PATIENCE, ended).await.expect("the feed ends");
    assert_eq!(status(&service, "GET /api/v1/devices", &bearer).await, 401);
    service.run(&["people", "role", "vera", "operator"]).await;
    service.run(&["people", "scope", "vera", "site = 'berlin'"]).await;
    let scoped = |body: &Value| body["scope"] == "site = 'berlin'" && body["role"] == "operator";
    service.wait_for("/api/v1/users/vera", scoped).await;
    run_with(&service, &["people", "passwd", "vera", "--password-file", "-"], "another long one")
        .await;
    wait_for_status(&service, "GET /api/v1/session", &vera, 401).await;
    let last = service.program(&["people", "remove", "root"]).output().await.unwrap();
    assert_eq!(last.status.code(), Some(1), "{last:?}");
    let bad = ["people", "scope", "vera", "site = "];
    assert_eq!(service.program(&bad).output().await.unwrap().status.code(), Some(2));

    // The command line itself comes with the token of the data directory, or with another.
    service.run(&["device", "register", "d-1"]).await;
    let mut other = service.program(&["device", "register", "d-2"]);
    let refused = other.env("BELLWIRE_TOKEN", &token).output().await.unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("Sign in"), "{refused:?}");
    assert_eq!(status(&service, "GET /api/v1/session", &root).await, 200);
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Opens the live feed with these lines of head.
async fn live(service: &Service, headers: &[(&'static str, &str)]) -> Result<Socket, u16> {
    let url = format!("ws://{}/api/v1/live", service.http());
    let mut request = url.into_client_request().unwrap();
    for (name, value) in headers {
        let value = HeaderValue::from_str(value).unwrap();
        request.headers_mut().insert(HeaderName::from_static(name), value);
    }
    match connect_async(request).await {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::Error::Http(answer)) => Err(answer.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_live_feed_is_for_our_own_pages_and_ends_with_the_session() {
    let mut service = Service::prepare(Settings::guarded());
    add_user(&service, "root", "admin").await;
    service.launch().await;
    assert_eq!(live(&service, &[]).await.err(), Some(401));
    let root = sign_in(&service, "root").await;
    let cookie = root.lines().next().unwrap().strip_prefix("Cookie: ").unwrap().to_owned();
    let foreign = [("cookie", &*cookie), ("origin", "http://evil.example")];
    assert_eq!(live(&service, &foreign).await.err(), Some(403));
    let own = format!("http://{}", service.http());
    let mut screen = live(&service, &[("cookie", &cookie), ("origin", &own)]).await.unwrap();
    let first = timeout(PATIENCE, screen.next()).await.unwrap().unwrap().unwrap();
    assert!(first.to_text().unwrap().contains("snapshot"), "{first}");
    assert_eq!(status(&service, "DELETE /api/v1/session", &root).await, 204);
    let ended = async { while let Some(Ok(_)) = screen.next().await {} };
    timeout(PATIENCE, ended).await.expect("the feed ends");
    assert_eq!(live(&service, &[("cookie", &cookie)]).await.err(), Some(401));
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_in_needs_no_database() {
    let mut service = Service::prepare(Settings::guarded());
    add_user(&service, "root", "admin").await;
    service.launch().await;
    let pid = service.postgres_pid().expect("it is managed");
    crate::support::service::send_signal(pid, libc::SIGSTOP);
    let root = sign_in(&service, "root").await;
    assert_eq!(status(&service, "GET /api/v1/session", &root).await, 200);
    let body = json!({"name": "vera", "password": PASSWORD, "role": "viewer"});
    assert_eq!(ask(&service, "POST /api/v1/users", &root, &body).await.0, 201);
    sign_in(&service, "vera").await;
    crate::support::service::send_signal(pid, libc::SIGCONT);
    assert!(service.stop().await.success());
}

const SITES: [(&str, &str); 2] = [("b-*", "berlin"), ("p-*", "paris")];

/// A service with alerts of two sites, and how root and vera, who sees one of them, have signed in.
async fn with_two_sites() -> (Service, String, String) {
    let settings = Settings { rules: Some(rules_of_two_sites(SITES)), ..Settings::guarded() };
    let mut service = Service::prepare(settings);
    add_user(&service, "root", "admin").await;
    add_user(&service, "vera", "operator").await;
    service.run(&["people", "scope", "vera", "site = 'berlin'"]).await;
    service.launch().await;
    let (root, vera) = (sign_in(&service, "root").await, sign_in(&service, "vera").await);
    let posts = json!([
        {"device": "b-1", "telemetry": {"t": 9}}, {"device": "p-1", "telemetry": {"t": 9}},
    ]);
    let (code, _, body) = ask(&service, "POST /api/v1/telemetry", &root, &posts).await;
    assert_eq!(code, 202, "{body}");
    let firing = |body: &Value| body["alerts"].as_array().is_some_and(|all| all.len() == 4);
    service.wait_for("/api/v1/alerts?state=firing", firing).await;
    (service, root, vera)
}

async fn see(service: &Service, who: &str, path: &str) -> (u16, Value) {
    let (code, _, body) = ask(service, &format!("GET {path}"), who, &Value::Null).await;
    (code, body)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_outside_a_scope_is_not_there() {
    let (mut service, _, vera) = with_two_sites().await;
    let get = async |path: &str| see(&service, &vera, path).await;
    let (_, all) = service.get("/api/v1/alerts?state=firing").await;
    let (code, body) = get("/api/v1/alerts?state=firing").await;
    let seen = body["alerts"].as_array().unwrap().iter();
    let mut seen: Vec<_> = seen.map(|it| it["device"].as_str().unwrap()).collect();
    seen.sort_unstable();
    assert_eq!((code, seen), (200, vec!["b-1", "{site=\"berlin\"}"]));
    for alert in all["alerts"].as_array().unwrap() {
        let there = alert["device"].as_str().unwrap().contains('b');
        let (code, _) = get(&format!("/api/v1/alerts/{}", alert["id"].as_str().unwrap())).await;
        assert_eq!(code, if there { 200 } else { 404 }, "{alert}");
    }
    let is_kept = |body: &Value| body["audit"].as_array().is_some_and(|all| all.len() == 2);
    service.wait_for("/api/v1/audit", is_kept).await;
    for what in ["devices", "latest", "audit"] {
        let (code, body) = get(&format!("/api/v1/{what}")).await;
        let rows = body[what].as_array().unwrap();
        let is_own = rows.iter().all(|row| row["device"] == "b-1");
        assert!(code == 200 && !rows.is_empty() && is_own, "{what}: {body}");
    }
    let select = "select=site%20%3D%20'berlin'%20or%20site%20%3D%20'paris'";
    let (_, body) = get(&format!("/api/v1/devices?{select}")).await;
    assert_eq!(body["devices"].as_array().map(Vec::len), Some(1), "{body}");
    let (code, _) = get("/api/v1/devices?select=site%3D'x')%20or%20(site%3D'paris'").await;
    assert_eq!(code, 400, "no bracket opens the scope");
    for rest in ["", "/latest", "/readings?metric=t", "/audit", "/commands"] {
        let path = |device: &str| format!("/api/v1/devices/{device}{rest}");
        let ((own, _), (other, body)) = (get(&path("b-1")).await, get(&path("p-1")).await);
        let (absent, not_there) = get(&path("p-9")).await;
        assert_eq!((own, other, absent), (200, 404, 404), "{rest}");
        assert_eq!(
            (&body["code"], &not_there["code"]),
            (&json!("device_not_found"), &body["code"])
        );
    }
    for path in ["readings?bucket=1m&metric=t", "deliveries"] {
        let (code, body) = get(&format!("/api/v1/{path}")).await;
        assert!(code == 403 && body["code"] == "out_of_scope", "{path}: {body}");
    }
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_a_scope_acts_within_it() {
    let (mut service, root, vera) = with_two_sites().await;
    let post = async |path: &str, body: Value| {
        let (code, _, body) = ask(&service, &format!("POST /api/v1/{path}"), &vera, &body).await;
        (code, body["code"].as_str().unwrap_or_default().to_owned())
    };
    let not_there = || (404, "device_not_found".to_owned());
    let refused = || (403, "out_of_scope".to_owned());
    assert_eq!(post("devices/p-1/commands", json!({"payload": 1})).await, not_there());
    assert_eq!(post("devices/b-1/commands", json!({"payload": 1})).await.0, 202);
    let one = |device: &str| json!({"device": device, "telemetry": {"t": 1}});
    assert_eq!(post("telemetry", json!([one("b-1"), one("p-1")])).await, not_there());
    assert_eq!(post("telemetry", one("b-1")).await.0, 202);
    assert_eq!(post("quarantine/replay", json!({"dry_run": true})).await, refused());
    let replay = |device: &str| json!({"dry_run": true, "device": device});
    assert_eq!(post("quarantine/replay", replay("p-1")).await, refused());
    assert_eq!(post("quarantine/replay", replay("b-1")).await.0, 200);
    assert_eq!(post("rules/warm/backtest", json!({})).await, refused());
    assert_eq!(post("rules/check", json!({"remove": "warm"})).await, refused());

    // It follows the labels, and another scope counts at once.
    let seen =
        async |device: &str| see(&service, &vera, &format!("/api/v1/devices/{device}")).await.0;
    service.run(&["device", "label", "p-1", "site=berlin"]).await;
    assert_eq!(seen("p-1").await, 200);
    let patch = json!({"scope": "site = 'rome'"});
    assert_eq!(ask(&service, "PATCH /api/v1/users/vera", &root, &patch).await.0, 200);
    assert_eq!((seen("b-1").await, seen("p-1").await), (404, 404));
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_live_feed_tells_of_a_scope_what_is_in_it() {
    let (mut service, root, vera) = with_two_sites().await;
    let cookie = |lines: &str| lines.lines().next().unwrap()["Cookie: ".len()..].to_owned();
    let mut screen = live(&service, &[("cookie", &cookie(&vera))]).await.unwrap();
    let next = async |screen: &mut Socket| {
        loop {
            let message = timeout(PATIENCE, screen.next()).await.expect("a frame in time");
            let text = message.expect("it goes on").unwrap();
            let Ok(frame) = serde_json::from_str::<Value>(text.to_text().unwrap_or_default())
            else {
                continue;
            };
            if ["snapshot", "transition", "reading"].contains(&frame["type"].as_str().unwrap()) {
                break frame;
            }
        }
    };
    let snapshot = next(&mut screen).await;
    let alerts = snapshot["alerts"].as_array().unwrap().iter();
    let mut devices: Vec<_> = alerts.map(|it| it["device"].as_str().unwrap()).collect();
    devices.sort_unstable();
    assert_eq!(devices, ["b-1", "{site=\"berlin\"}"], "{snapshot}");
    screen.send(Message::text(r#"{"type": "subscribe", "devices": "*"}"#)).await.unwrap();
    // Of what happens in paris first nothing comes; then berlin does.
    let mut readings = false;
    let mut resolved = Vec::new();
    for (device, t) in [("p-1", 1), ("b-1", 1)] {
        let post = json!({"device": device, "telemetry": {"t": t}});
        assert_eq!(ask(&service, "POST /api/v1/telemetry", &root, &post).await.0, 202);
    }
    while resolved.len() < 2 {
        let frame = next(&mut screen).await;
        assert!(
            !frame.to_string().contains("p-1") && !frame.to_string().contains("paris"),
            "{frame}"
        );
        readings |= frame["type"] == "reading";
        // What was over within its second is said not to have been.
        let is_over = ["resolved", "inactive"].contains(&frame["to"].as_str().unwrap_or_default());
        if frame["type"] == "transition" && is_over {
            resolved.push(frame["alert"]["device"].as_str().unwrap().to_owned());
        }
    }
    assert!(resolved.contains(&"b-1".to_owned()), "{resolved:?}, readings: {readings}");
    let (code, poll) = see(&service, &vera, "/api/v1/live/poll").await;
    assert!(code == 200 && !poll.to_string().contains("paris"), "{poll}");

    // Another scope ends the feed: whoever comes back gets another snapshot.
    let patch = json!({"scope": "site = 'paris'"});
    assert_eq!(ask(&service, "PATCH /api/v1/users/vera", &root, &patch).await.0, 200);
    let ended = async { while let Some(Ok(_)) = screen.next().await {} };
    timeout(PATIENCE, ended).await.expect("the feed ends");
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_are_handled_within_a_scope() {
    let (mut service, _, vera) = with_two_sites().await;
    let (_, all) = service.get("/api/v1/alerts?state=firing").await;
    let ids = |text: &str| -> Vec<String> {
        let alerts = all["alerts"].as_array().unwrap().iter();
        let of = alerts.filter(|it| it["device"].as_str().unwrap().contains(text));
        of.map(|it| it["id"].as_str().unwrap().to_owned()).collect()
    };
    let post = async |path: &str, body: Value| {
        let (code, _, body) = ask(&service, &format!("POST /api/v1/{path}"), &vera, &body).await;
        (code, body)
    };
    for (text, expected) in [("b", 200), ("p", 404)] {
        for id in ids(text) {
            let (code, body) = post(&format!("alerts/{id}/ack"), json!({})).await;
            assert_eq!(code, expected, "{text}: {body}");
        }
    }
    let both = [ids("b-1"), ids("p-1")].concat();
    let mixed = json!({"action": "comment", "comment": "x", "alerts": both});
    let (code, body) = post("alerts/actions", mixed).await;
    assert_eq!((code, &body["code"]), (404, &json!("alert_not_found")));
    let (code, body) = post("silences/preview", json!({"matchers": "rule=~\".*warm\""})).await;
    assert_eq!((code, &body["count"]), (200, &json!(2)), "{body}");
    let silence = json!({"matchers": "site=paris", "reason": "x", "for": "1h"});
    let (code, body) = post("silences", silence).await;
    assert_eq!((code, &body["code"]), (403, &json!("out_of_scope")));
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
}
