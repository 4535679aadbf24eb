//! What operators do with alerts, over HTTP: what is asked of the port, and what its answers become.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bellwire_api::ports::{
    ActionAnswer, ActionFuture, ActionRequest, AlertHandling, HandlingError, SilenceInfo,
};
use bellwire_model::{
    Acknowledgement, ActionOutcome, Alert, AlertDeed, AlertId, AlertOutcome, AlertState, Deed,
    Handling, LogPosition, Matchers, Silence, SilenceId, SilenceOutcome, Timestamp,
};

use crate::support::{Answer, Service, transition};

/// A port that answers as the test says.
#[derive(Debug, Default)]
pub(crate) struct Hands {
    asked: Mutex<Vec<ActionRequest>>,
    answers: Mutex<VecDeque<Result<ActionAnswer, HandlingError>>>,
    silences: Mutex<Vec<SilenceInfo>>,
}

impl Hands {
    fn will(&self, outcome: ActionOutcome, alerts: Vec<Alert>) {
        let answer = ActionAnswer { outcome, alerts, prior: None };
        self.answers.lock().expect("whole").push_back(Ok(answer));
    }

    fn last(&self) -> ActionRequest {
        self.asked.lock().expect("whole").last().cloned().expect("something was asked")
    }
}

impl AlertHandling for Hands {
    fn act(&self, request: ActionRequest) -> ActionFuture<'_> {
        self.asked.lock().expect("whole").push(request);
        let answer = self.answers.lock().expect("whole").pop_front();
        Box::pin(std::future::ready(answer.unwrap_or(Err(HandlingError::Later))))
    }

    fn silences(&self) -> Vec<SilenceInfo> {
        self.silences.lock().expect("whole").clone()
    }

    fn silence(&self, id: SilenceId) -> Option<SilenceInfo> {
        self.silences().into_iter().find(|info| info.silence.id == id)
    }
}

const ID: &str = "0000000000000001";

fn alert(by: Option<&str>) -> Alert {
    let mut alert = transition(10, 1, AlertState::Firing).alert;
    let at = Timestamp::from_secs(5);
    let acknowledged = by.map(|by| Acknowledgement { by: by.into(), at });
    alert.handling = acknowledged
        .map(|ack| Box::new(Handling { acknowledged: Some(ack), ..Handling::default() }));
    alert
}

async fn send(service: &Service, what: &str, head: &str, body: &str) -> Answer {
    let length = body.len();
    let request = format!(
        "{what} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{head}content-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    );
    service.send(&request.replacen(' ', " /api/v1/", 1)).await
}

async fn act(service: &Service, what: &str, body: &str) -> Answer {
    send(service, &format!("POST alerts/{ID}/{what}"), "", body).await
}

fn outcome(outcome: AlertOutcome) -> ActionOutcome {
    ActionOutcome::Alerts(vec![(AlertId(1), outcome)])
}

#[tokio::test]
async fn each_route_asks_for_what_it_says() {
    let service = Service::start().await;
    let now = Timestamp::from_secs(1_700_000_000);
    let deeds = [
        ("ack", r#"{"comment": "I look"}"#, AlertDeed::Acknowledge),
        ("unack", "{}", AlertDeed::Unacknowledge),
        ("assign", r#"{"to": "bo"}"#, AlertDeed::Assign(Some("bo".into()))),
        ("assign", r#"{"to": null}"#, AlertDeed::Assign(None)),
        ("comment", r#"{"comment": "a valve"}"#, AlertDeed::Comment),
        (
            "snooze",
            r#"{"for": "1h"}"#,
            AlertDeed::Snooze(now + std::time::Duration::from_secs(3_600)),
        ),
        (
            "snooze",
            r#"{"until": "2030-01-01T00:00:00Z"}"#,
            AlertDeed::Snooze(Timestamp::from_secs(1_893_456_000)),
        ),
        ("unsnooze", "{}", AlertDeed::Unsnooze),
    ];
    for (what, body, expected) in deeds {
        service.hands.will(outcome(AlertOutcome::Done), vec![alert(Some("ada"))]);
        let answer = act(&service, what, body).await;
        assert_eq!((answer.status, &answer.json()["acknowledged_by"]), (200, &"ada".into()));
        let Deed::Alerts { ids, what, .. } = service.hands.last().deed else { panic!() };
        assert_eq!((ids, what), (vec![AlertId(1)], expected));
    }
    assert_eq!(&*service.hands.last().author, "anybody");
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused() {
    let service = Service::start().await;
    let long = format!(r#"{{"comment": "{}"}}"#, "x".repeat(2_001));
    for (what, body, status, code) in [
        ("ack", r#"{"to": "bo"}"#, 400, "invalid_body"),
        ("ack", r#"{"seen": "x"}"#, 400, "invalid_parameter"),
        ("ack", r#"{"alerts": []}"#, 400, "invalid_body"),
        ("assign", "{}", 400, "invalid_body"),
        ("assign", r#"{"to": ""}"#, 422, "invalid_text"),
        ("comment", "{}", 400, "invalid_body"),
        ("comment", &long, 422, "invalid_text"),
        ("snooze", "{}", 422, "invalid_time"),
        ("snooze", r#"{"for": "1h", "until": "2030-01-01T00:00:00Z"}"#, 422, "invalid_time"),
        ("snooze", r#"{"for": "soon"}"#, 422, "invalid_time"),
    ] {
        let answer = act(&service, what, body).await;
        assert_eq!((answer.status, &answer.json()["code"]), (status, &code.into()), "{body}");
    }
    let answer = send(&service, "POST alerts/nine/ack", "", "{}").await;
    assert_eq!((answer.status, &answer.json()["code"]), (404, &"alert_not_found".into()));
    for (body, code) in [
        (r#"{"alerts": ["0000000000000001"]}"#, "invalid_body"),
        (r#"{"alerts": ["x"], "action": "ack"}"#, "invalid_body"),
        (r#"{"alerts": [], "action": "ack"}"#, "too_many_alerts"),
    ] {
        let answer = send(&service, "POST alerts/actions", "", body).await;
        assert_eq!(answer.json()["code"], code, "{body}");
    }
    assert!(service.hands.asked.lock().expect("whole").is_empty());
}

#[tokio::test]
async fn what_was_not_done_says_why_and_how_the_alert_stands() {
    let service = Service::start().await;
    for (said, status, code) in [
        (AlertOutcome::Acknowledged, 409, "already_acknowledged"),
        (AlertOutcome::Changed, 409, "alert_changed"),
        (AlertOutcome::Pending, 409, "alert_pending"),
        (AlertOutcome::NotOpen, 404, "alert_not_found"),
    ] {
        service.hands.will(outcome(said), vec![alert(Some("bo"))]);
        let answer = act(&service, "ack", "{}").await;
        assert_eq!((answer.status, &answer.json()["code"]), (status, &code.into()));
        let by = &answer.json()["alert"]["acknowledged_by"];
        assert!(status == 404 || *by == "bo", "{by}");
    }
    let others = [
        ("unack", "{}", AlertOutcome::NotAcknowledged, 409, "not_acknowledged"),
        ("unsnooze", "{}", AlertOutcome::NotSnoozed, 409, "not_snoozed"),
        ("unsnooze", "{}", AlertOutcome::Over, 409, "alert_over"),
        ("snooze", r#"{"for": "1s"}"#, AlertOutcome::TooLate, 422, "ends_too_early"),
    ];
    for (what, body, said, status, code) in others {
        service.hands.will(outcome(said), vec![alert(None)]);
        let answer = act(&service, what, body).await;
        assert_eq!((answer.status, &answer.json()["code"]), (status, &code.into()));
    }
    let answer = act(&service, "ack", "{}").await;
    assert_eq!((answer.status, &answer.json()["code"]), (503, &"log_full".into()));
    service.hands.answers.lock().expect("whole").push_back(Err(HandlingError::KeyReused));
    let what = format!("POST alerts/{ID}/ack");
    let answer = send(&service, &what, "idempotency-key: k\r\n", "{}").await;
    assert_eq!((answer.status, &answer.json()["code"]), (422, &"idempotency_key_reused".into()));
    assert_eq!(service.hands.last().key.as_deref(), Some("k"));
    let all = vec![(AlertId(1), AlertOutcome::Done), (AlertId(2), AlertOutcome::NotOpen)];
    service.hands.will(ActionOutcome::Alerts(all), vec![alert(Some("ada"))]);
    let body = r#"{"alerts": ["0000000000000001", "0000000000000002"], "action": "ack"}"#;
    let answer = send(&service, "POST alerts/actions", "", body).await.json();
    assert_eq!(
        (&answer["done"], &answer["outcomes"][1]["outcome"]),
        (&1.into(), &"not_open".into())
    );
}

fn silence(version: u32) -> SilenceInfo {
    let at = |secs: i64| Timestamp::from_secs(1_700_000_000 + secs);
    let silence = Silence {
        id: SilenceId(7),
        version,
        matchers: Matchers::parse("site=x").expect("right"),
        starts_at: at(0),
        ends_at: at(60),
        schedule: None,
        author: "ada".into(),
        reason: "works".into(),
        created_at: at(0),
        updated_at: at(0),
    };
    SilenceInfo { silence: Arc::new(silence), mutes: true }
}

#[tokio::test]
async fn silences_are_made_changed_and_ended() {
    let service = Service::start().await;
    let done = |said| ActionOutcome::Silence(SilenceId(7), said);
    service.hands.silences.lock().expect("whole").push(silence(1));
    service.hands.will(done(SilenceOutcome::Done), Vec::new());
    let body = r#"{"matchers": "site=\"x\"", "reason": "works", "for": "1m", "schedule": "mon"}"#;
    let made = send(&service, "POST silences", "", body).await;
    assert_eq!((made.status, &made.json()["state"]), (201, &"active".into()));
    assert!(made.head.contains("etag: \"1\""), "{}", made.head);
    let Deed::Silence(draft) = service.hands.last().deed else { panic!() };
    assert_eq!((draft.id, draft.version), (SilenceId(0), Some(0)));
    assert_eq!(draft.schedule.map(|(_, zone)| zone.to_string()), Some("UTC".to_owned()));
    let path = format!("silences/{}", SilenceId(7));
    for (outcome, status, code) in [
        (SilenceOutcome::Changed(4), 412, "silence_changed"),
        (SilenceOutcome::Over, 409, "silence_over"),
        (SilenceOutcome::EndsTooEarly, 422, "ends_too_early"),
        (SilenceOutcome::Full, 507, "too_many_silences"),
        (SilenceOutcome::BadSchedule, 422, "invalid_schedule"),
        (SilenceOutcome::NotFound, 404, "silence_not_found"),
    ] {
        service.hands.will(done(outcome), Vec::new());
        let answer = send(&service, &format!("PUT {path}"), "if-match: \"1\"\r\n", body).await;
        assert_eq!((answer.status, &answer.json()["code"]), (status, &code.into()));
    }
    let answer = send(&service, &format!("PUT {path}"), "", body).await;
    assert_eq!(answer.status, 428);
    service.hands.will(done(SilenceOutcome::Done), Vec::new());
    let answer = send(&service, &format!("DELETE {path}"), "", "").await;
    assert_eq!(answer.status, 200);
    let expected = Deed::Expire { id: SilenceId(7), version: None };
    assert_eq!(service.hands.last().deed, expected);
    for (body, code) in [
        (r#"{"matchers": "site", "reason": "r", "for": "1m"}"#, "invalid_matchers"),
        (r#"{"matchers": "", "reason": "r", "for": "1m"}"#, "invalid_matchers"),
        (r#"{"matchers": "a=b", "reason": " ", "for": "1m"}"#, "invalid_text"),
        (r#"{"matchers": "a=b", "reason": "r"}"#, "invalid_time"),
        (
            r#"{"matchers": "a=b", "reason": "r", "for": "1m", "time_zone": "UTC"}"#,
            "invalid_schedule",
        ),
    ] {
        let answer = send(&service, "POST silences", "", body).await;
        assert_eq!(answer.json()["code"], code, "{body}");
    }
    let all = service.get("/api/v1/silences?state=active,waiting").await.json();
    assert_eq!(all["silences"][0]["matchers"], "site=\"x\"");
    assert_eq!(service.get("/api/v1/silences?state=odd").await.status, 400);
    assert_eq!(service.get("/api/v1/silences/7").await.status, 404);
    assert_eq!(service.get(&format!("/api/v1/{path}")).await.json()["version"], 1);
}

#[tokio::test]
async fn lists_are_filtered_by_handling_and_labels_and_latched_ones_are_open() {
    let service = Service::start().await;
    let mut latched = transition(20, 2, AlertState::Resolved).alert;
    latched.handling = Some(Box::new(Handling { latched: true, ..Handling::default() }));
    service.hub.set_snapshot(LogPosition(100), [alert(Some("ada")), latched]);
    let n = async |query: &str| {
        let page = service.get(&format!("/api/v1/alerts{query}")).await;
        assert_eq!(page.status, 200, "{query}");
        page.json()["alerts"].as_array().map(Vec::len)
    };
    assert_eq!(n("").await, Some(2));
    assert_eq!(n("?latched=true").await, Some(1));
    assert_eq!(n("?acknowledged=true").await, Some(1));
    assert_eq!(n("?acknowledged=false&silenced=false").await, Some(1));
    assert_eq!(n("?assigned_to=bo").await, Some(0));
    assert_eq!(n("?matchers=rule%3D%22too-warm%22,severity%3D~%22crit.*%22").await, Some(2));
    assert_eq!(n("?matchers=rule%3Dother").await, Some(0));
    assert_eq!(service.get("/api/v1/alerts?matchers=rule").await.status, 400);
    assert_eq!(service.get("/api/v1/alerts?latched=yes").await.status, 400);
    let preview =
        send(&service, "POST silences/preview", "", r#"{"matchers": "device=freezer-1"}"#);
    assert_eq!(preview.await.json()["count"], 2);
}
