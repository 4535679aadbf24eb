//! What is changed is in the audit log before it is answered, and by whom it was.

use std::sync::Mutex;

use bellwire_api::ports::{
    AuditEnded, AuditFuture, AuditLog, AuditPage, AuditQuery, Extent, PortError, Replayed,
};
use bellwire_model::{AuditDeed, AuditEntry, AuditOutcome, LogPosition, Timestamp};
use serde_json::{Value as Json, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::backtests::check;
use crate::support::{Answer, Service, until};

/// Keeps deeds in memory.
#[derive(Debug, Default)]
pub(crate) struct Deeds {
    pub(crate) all: Mutex<Vec<AuditDeed>>,
    pub(crate) has_ended: Mutex<bool>,
    pub(crate) asked: Mutex<Vec<AuditQuery>>,
}

impl AuditLog for Deeds {
    fn append(&self, deed: AuditDeed) -> AuditFuture<'_, (), AuditEnded> {
        let has_ended = *self.has_ended.lock().expect("whole");
        if !has_ended {
            self.all.lock().expect("whole").push(deed);
        }
        Box::pin(std::future::ready(if has_ended { Err(AuditEnded) } else { Ok(()) }))
    }

    fn page(&self, query: AuditQuery) -> AuditFuture<'_, AuditPage, PortError> {
        let extent = if query.who.is_none() { Extent::InMemory } else { Extent::Whole };
        self.asked.lock().expect("whole").push(query);
        let entry = |(position, deed): (u64, &AuditDeed)| AuditEntry {
            position: LogPosition(position),
            received_at: Timestamp::from_secs(1_700_000_000),
            deed: deed.clone(),
        };
        let entries = (0..).zip(self.all.lock().expect("whole").iter()).map(entry).collect();
        let next = Some("more".to_owned());
        Box::pin(std::future::ready(Ok(AuditPage { entries, next, extent })))
    }
}

impl Deeds {
    fn last(&self) -> AuditDeed {
        self.all.lock().expect("whole").last().cloned().expect("something was done")
    }

    fn len(&self) -> usize {
        self.all.lock().expect("whole").len()
    }
}

fn request(line: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

async fn send(service: &Service, line: &str, headers: &str, body: &str) -> Answer {
    service.send(&request(line, headers, body)).await
}

fn json(text: &Option<Box<str>>) -> Json {
    text.as_deref().map_or(Json::Null, |text| serde_json::from_str(text).expect("JSON"))
}

#[tokio::test]
async fn a_change_is_told_with_what_was_before_and_is_after() {
    let service = Service::start().await;
    let body = r#"{"toml": "text"}"#;
    let made = send(&service, "POST /api/v1/rules", "x-request-id: r-1\r\n", body).await;
    assert_eq!(made.status, 201, "{made:?}");
    let deed = service.deeds.last();
    assert_eq!((&*deed.who, &*deed.via), ("anybody", "nothing"));
    assert_eq!((&*deed.action, &*deed.target), ("rule.create", "too-warm"));
    assert_eq!((deed.outcome, deed.status), (AuditOutcome::Done, 201));
    assert_eq!(deed.address, Some("127.0.0.1".parse().expect("an address")));
    assert_eq!(deed.request.as_deref(), Some("r-1"));
    assert_eq!((json(&deed.before), json(&deed.after)), (Json::Null, made.json()));
    let path = "/api/v1/rules/too-warm";
    let any = "if-match: *\r\n";
    assert_eq!(send(&service, &format!("POST {path}/enable"), any, "").await.status, 200);
    assert_eq!(&*service.deeds.last().action, "rule.enable");
    assert_eq!(send(&service, &format!("DELETE {path}"), any, "").await.status, 204);
    let deed = service.deeds.last();
    assert_eq!((&*deed.action, deed.after), ("rule.delete", None));
    assert_eq!(service.deeds.len(), 3);
}

#[tokio::test]
async fn what_changes_nothing_is_not_told() {
    let service = Service::start().await;
    let any = "if-match: *\r\n";
    for (line, headers, body, status) in [
        ("GET /api/v1/rules", "", "", 200),
        ("POST /api/v1/rules/check", "", r#"{"toml": "x"}"#, 200),
        ("POST /api/v1/quarantine/replay", "", r#"{"dry_run": true}"#, 200),
        ("POST /api/v1/rules", "", "no JSON", 400),
        ("PUT /api/v1/rules/x", "", r#"{"toml": "x"}"#, 428),
        ("DELETE /api/v1/alerts", any, "", 405),
        ("POST /api/v1/nowhere", any, "", 404),
    ] {
        assert_eq!(send(&service, line, headers, body).await.status, status, "{line}");
    }
    assert_eq!(service.deeds.len(), 0, "{:?}", service.deeds);
}

#[tokio::test]
async fn what_may_have_been_done_is_told_as_unknown() {
    let service = Service::start().await;
    *service.bin.is_full.lock().expect("whole") = true;
    let answer = send(&service, "POST /api/v1/quarantine/replay", "", "{}").await;
    check(&answer, 503, "log_full");
    let deed = service.deeds.last();
    assert_eq!((&*deed.action, deed.outcome), ("quarantine.replay", AuditOutcome::Unknown));
    assert_eq!((deed.before, deed.after, deed.status), (None, None, 503));
}

#[tokio::test]
async fn nobody_is_told_that_it_is_done_before_the_audit_log_has_it() {
    let service = Service::start().await;
    *service.deeds.has_ended.lock().expect("whole") = true;
    let answer = send(&service, "POST /api/v1/rules", "", r#"{"toml": "text"}"#).await;
    check(&answer, 503, "audit_log_closed");
}

#[tokio::test]
async fn a_change_whose_client_has_gone_is_told_too() {
    let service = Service::start().await;
    let n_asked = || service.bin.asked.lock().expect("whole").len();
    *service.bin.answer.lock().expect("whole") = Replayed { n_payloads: 3, ..Replayed::default() };
    let gate = service.bin.gate.lock().await;
    let mut stream = TcpStream::connect(service.addr).await.expect("it listens");
    let body = r#"{"device": "a", "reason": "bad_json"}"#;
    let request = request("POST /api/v1/quarantine/replay", "", body);
    stream.write_all(request.as_bytes()).await.expect("it reads");
    until("it was asked", || n_asked() == 1).await;
    drop(stream);
    until("it has gone", || service.metric("bellwire_http_connections") < 1.0).await;
    drop(gate);
    until("it is told", || service.deeds.len() == 1).await;
    let deed = service.deeds.last();
    assert_eq!(&*deed.target, "device=a reason=bad_json");
    assert_eq!(json(&deed.after), json!({"replayed": 3, "readings": 0, "left": 0}));
}

#[tokio::test]
async fn the_audit_log_is_shown() {
    let service = Service::start().await;
    send(&service, "POST /api/v1/rules", "x-request-id: r-2\r\n", r#"{"toml": "text"}"#).await;
    let shown = service.get("/api/v1/audit-log?who=anybody&action=rule.*&limit=7&cursor=c").await;
    let mut expected = json!({"id": "0", "at": "2023-11-14T22:13:20.000000Z", "who": "anybody",
        "via": "nothing", "address": "127.0.0.1", "request": "r-2", "action": "rule.create",
        "target": "too-warm", "outcome": "done", "status": 201, "before": null});
    let mut line = shown.json()["audit_log"][0].clone();
    expected["after"] = line["after"].take();
    line["after"] = expected["after"].clone();
    assert_eq!((line, expected["after"]["name"].as_str()), (expected.clone(), Some("too-warm")));
    assert_eq!((&shown.json()["next"], &shown.json()["partial"]), (&json!("more"), &Json::Null));
    let query = service.deeds.asked.lock().expect("whole").last().cloned().expect("asked");
    assert_eq!((query.action.as_deref(), query.limit), (Some("rule.*"), 7));
    assert_eq!(query.after.as_deref(), Some("c"));
    assert_eq!(service.get("/api/v1/audit-log").await.json()["partial"], true);
    check(&service.get("/api/v1/audit-log?by=x").await, 400, "unknown_parameter");
}
