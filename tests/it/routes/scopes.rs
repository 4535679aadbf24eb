//! What happens outside of a scope changes nothing of what is seen inside: not in a list, not in a number,
//! not in the live feed.

use serde_json::{Value, json};

use super::table::ROWS;
use super::{Asking, OUTSIDE, Person, SCOPE, Things, everybody, fill, made, prepare};
use crate::support::events::Events;
use crate::support::live::Screen;
use crate::support::people::{PASSWORD, ask, status};
use crate::support::receiver::Receiver;

/// What stands in an answer whoever looks, and moves with time.
const MOVING: [&str; 6] =
    ["cursor", "last_used", "here", "request_id", "expires_at", "last_seen_at"];

/// Without what moves.
fn still(value: &Value) -> Value {
    match value {
        Value::Array(all) => all.iter().map(still).collect(),
        Value::Object(all) => {
            let stays = all.iter().filter(|(key, _)| !MOVING.contains(&key.as_str()));
            stays.map(|(key, value)| (key.clone(), still(value))).collect()
        }
        other => other.clone(),
    }
}

/// Everything that can be looked at, as somebody sees it.
async fn look(
    asking: &mut Asking<'_>,
    who: &Person,
    things: &Things,
) -> Vec<(&'static str, Value)> {
    let mut seen = Vec::new();
    for row in ROWS.iter().filter(|row| row.what.starts_with("GET ")) {
        let (_, body) = asking.ask(row, who, things).await;
        let body = serde_json::from_str(&body).unwrap_or(Value::String(body));
        seen.push((row.what, still(&body)));
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_outside_changes_nothing_inside() {
    let receiver = Receiver::start().await;
    let (mut service, root) = prepare(&receiver).await;
    let inside = fill(&service, &root, "own-1").await;
    let outside = fill(&service, &root, "zz-1").await;
    // What is made of what came before is there now.
    let kept = |body: &Value| body["audit"].as_array().is_some_and(|all| all.len() == 2);
    service.wait_for("/api/v1/audit", kept).await;
    let everybody = everybody(&service, &root).await;
    let mut asking = Asking { service: &service, root: &root, number: 0 };
    let scoped: Vec<_> = everybody.iter().filter(|who| who.is_scoped()).collect();
    let mut before = Vec::new();
    for who in &scoped {
        before.push(look(&mut asking, who, &inside).await);
    }
    let mut screens = Vec::new();
    for who in &scoped {
        let mut screen = Screen::open_as(&service.http(), None, &who.head).await;
        screen.next_where(|frame| frame["type"] == "snapshot").await;
        screen.send(&json!({"type": "subscribe", "devices": "*"})).await;
        screen.next_where(|frame| frame["type"] == "subscribed").await;
        let mut events = Events::open(&service.http(), "?devices=*", &who.head).await.unwrap();
        let snapshot = events.next_where(|event| event["type"] == "snapshot").await;
        screens.push((screen, events, snapshot["cursor"].as_str().unwrap().to_owned()));
    }

    for device in ["zz-2", "zz-3"] {
        let more = fill(&service, &root, device).await;
        let comment = format!("POST /alerts/{}/comment", more.alert);
        made(&service, &root, &comment, &json!({"comment": "zz-"})).await;
    }
    let cool = json!({"device": outside.device, "telemetry": {"t": 1}});
    made(&service, &root, "POST /telemetry", &cool).await;
    let resolved = format!("/api/v1/alerts?state=resolved&device={}", outside.device);
    let one = |body: &Value| body["alerts"].as_array().is_some_and(|all| all.len() == 1);
    service.wait_for(&resolved, one).await;
    let kept = |body: &Value| body["audit"].as_array().is_some_and(|all| all.len() == 4);
    service.wait_for("/api/v1/audit", kept).await;

    for (who, before) in scoped.iter().zip(before) {
        let after = look(&mut asking, who, &inside).await;
        for (before, after) in before.iter().zip(&after) {
            assert_eq!(before, after, "{who:?}");
        }
    }
    // The first that the feed tells is of an alert inside.
    let comment = format!("POST /alerts/{}/comment", inside.alert);
    made(&service, &root, &comment, &json!({"comment": "look"})).await;
    let is_news = |frame: &Value| {
        let kind = frame["type"].as_str().unwrap_or_default();
        let is_own = frame["device"].as_str().is_some_and(|device| device.starts_with("own-"));
        ["step", "transition", "reading", "gone"].contains(&kind) && !is_own
    };
    for ((screen, events, cursor), who) in screens.iter_mut().zip(&scoped) {
        let (status, _, poll) = ask(
            &service,
            &format!("GET /api/v1/live/poll?cursor={cursor}"),
            &who.head,
            &Value::Null,
        )
        .await;
        assert_eq!((status, poll["frames"].as_array().map(Vec::len)), (200, Some(1)), "{poll}");
        let polled = poll["frames"][0].clone();
        for frame in [screen.next_where(is_news).await, events.next_where(is_news).await, polled] {
            let (text, step) = (frame.to_string(), &frame["step"]);
            assert_eq!((step, &frame["text"]), (&json!("commented"), &json!("look")), "{text}");
            assert!(!text.contains(OUTSIDE), "{text}");
        }
    }
    drop(screens);
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_rules_over_all_has_no_scope_and_who_has_one_counts_nothing() {
    let receiver = Receiver::start().await;
    let (mut service, root) = prepare(&receiver).await;
    let post = async |path: &str, body: Value| {
        let (status, _, body) = ask(&service, &format!("POST /api/v1/{path}"), &root, &body).await;
        (status, body["code"].as_str().unwrap_or_default().to_owned())
    };
    let refused = || (422, "invalid_scope".to_owned());
    let user = json!({"name": "eve", "password": PASSWORD, "role": "admin", "scope": SCOPE});
    assert_eq!(post("users", user).await, refused());
    assert_eq!(
        post("tokens", json!({"name": "x", "role": "admin", "scope": SCOPE})).await,
        refused()
    );
    let patch = json!({"scope": SCOPE});
    let (status_of_patch, _, _) = ask(&service, "PATCH /api/v1/users/root", &root, &patch).await;
    assert_eq!(status_of_patch, 422);

    let token = async |role: &str, scope: Option<&str>| {
        let name = format!("{role} {}", scope.is_some());
        let body = json!({"name": name, "role": role, "scope": scope});
        let token = made(&service, &root, "POST /tokens", &body).await["token"].clone();
        format!("Authorization: Bearer {}\r\n", token.as_str().unwrap())
    };
    let (viewer, part) = (token("viewer", None).await, token("viewer", Some(SCOPE)).await);
    for (head, expected) in [("", 401), (&viewer, 200), (&part, 403)] {
        assert_eq!(status(&service, "GET /metrics", head).await, expected, "{head}");
    }
    let sender = token("telemetry", Some(SCOPE)).await;
    for (device, expected) in [("own-1", 202), ("zz-1", 404)] {
        let body = json!({"device": device, "telemetry": {"t": 1}});
        let (status, _, body) = ask(&service, "POST /api/v1/telemetry", &sender, &body).await;
        assert_eq!(status, expected, "{body}");
    }
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
}
