//! `POST quarantine/replay`.

use std::sync::Mutex;

use bellwire_api::ports::{
    Left, LeftReason, MappingMistake, MappingTrial, QuarantineQuery, ReplayMode, Replayed, Shelf,
    ShelfError, ShelfFuture, TriedMapping,
};
use bellwire_model::{LogPosition, Quarantined, RejectReason, Timestamp};
use serde_json::{Value as Json, json};

use crate::support::{Answer, Service, device};

/// Notes what it is asked, and answers what it is told.
#[derive(Debug, Default)]
pub(crate) struct Bin {
    pub(crate) asked: Mutex<Vec<String>>,
    pub(crate) answer: Mutex<Replayed>,
    pub(crate) is_full: Mutex<bool>,
    /// Nothing is answered while somebody holds it.
    pub(crate) gate: tokio::sync::Mutex<()>,
}

impl Shelf for Bin {
    fn replay(&self, query: QuarantineQuery, mode: ReplayMode) -> ShelfFuture<'_> {
        self.asked.lock().expect("whole").push(format!("{mode:?} {query:?}"));
        let answer = self.answer.lock().expect("whole").clone();
        let is_full = *self.is_full.lock().expect("whole");
        let answer = if is_full { Err(ShelfError::Later) } else { Ok(answer) };
        Box::pin(async move {
            let _open = self.gate.lock().await;
            answer
        })
    }

    /// Whatever is tried comes to nothing, unless it is `wrong`.
    fn try_mapping(&self, trial: &MappingTrial) -> Result<TriedMapping, Vec<MappingMistake>> {
        if trial.toml.as_deref() != Some("wrong") {
            return Ok(TriedMapping::default());
        }
        let (message, help) = ("it is wrong".to_owned(), None);
        Err(vec![MappingMistake { line: 1, column: 1, message, help }])
    }
}

async fn post(service: &Service, body: &Json) -> Answer {
    post_to(service, "quarantine/replay", body).await
}

async fn post_to(service: &Service, path: &str, body: &Json) -> Answer {
    let body = body.to_string();
    let length = body.len();
    let request = format!(
        "POST /api/v1/{path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    service.send(&request).await
}

fn left(ordinal: u32, reason: LeftReason) -> Left {
    let quarantined = Quarantined {
        position: LogPosition(77),
        ordinal,
        received_at: Timestamp::EPOCH,
        device: Some(device("freezer-1")),
        topic: "plant/x".into(),
        payload: [].into(),
        reason: RejectReason::BadTopic,
        detail: "as it was".into(),
        kept: None,
    };
    Left { quarantined, reason }
}

#[tokio::test]
async fn what_comes_of_it_is_told_for_each() {
    let service = Service::start().await;
    let detail = "ends at byte 3".into();
    let unreadable = LeftReason::Unreadable { reason: RejectReason::BadJson, detail };
    *service.bin.answer.lock().expect("whole") = Replayed {
        n_payloads: 2,
        n_readings: 7,
        left: vec![
            left(0, unreadable),
            left(1, LeftReason::AnotherLog),
            left(2, LeftReason::NotNoted),
        ],
        next: Some("more".to_owned()),
    };
    let answer = post(&service, &json!({"device": "freezer-1", "cursor": "here"})).await;
    let body = answer.json();
    assert_eq!(answer.status, 202, "{body}");
    assert_eq!((&body["replayed"], &body["readings"]), (&json!(2), &json!(7)));
    assert_eq!((&body["next"], &body["dry_run"]), (&json!("more"), &json!(false)));
    assert_eq!(
        body["left"][0],
        json!({"id": "77-0", "topic": "plant/x", "device": "freezer-1", "reason": "bad_json",
            "detail": "ends at byte 3"})
    );
    let reasons = [1, 2].map(|n: usize| body["left"][n]["reason"].clone());
    assert_eq!(reasons, [json!("another_log"), json!("not_noted")]);
    let answer = post(&service, &json!({"ids": ["77-0"], "dry_run": true})).await;
    assert_eq!((answer.status, &answer.json()["dry_run"]), (200, &json!(true)));
    let asked = service.bin.asked.lock().expect("whole").clone();
    assert!(asked[0].starts_with("Replay") && asked[0].contains("after: Some(\"here\")"));
    assert!(
        asked[1].starts_with("Try") && asked[1].contains("places: Some([(LogPosition(77), 0)])")
    );
}

#[tokio::test]
async fn a_full_log_and_mistakes_are_problems() {
    let service = Service::start().await;
    let answer = post(&service, &json!({"limit": 1_000})).await;
    assert_eq!((answer.status, answer.json()["code"].clone()), (400, json!("invalid_body")));
    let answer = post(&service, &json!({"devise": "a"})).await;
    assert_eq!((answer.status, answer.json()["code"].clone()), (400, json!("invalid_body")));
    *service.bin.is_full.lock().expect("whole") = true;
    let answer = post(&service, &json!({})).await;
    assert_eq!((answer.status, answer.json()["code"].clone()), (503, json!("log_full")));
    let plain = "POST /api/v1/quarantine/replay HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
                 content-type: text/plain\r\ncontent-length: 2\r\n\r\n{}";
    let answer = service.send(plain).await;
    assert_eq!(answer.status, 415, "a page of another origin could send that");
}

#[tokio::test]
async fn a_mapping_is_tried_and_what_is_wrong_with_it_is_an_answer() {
    let service = Service::start().await;
    let mut body = json!({"topic": "t", "payload": "p"});
    let answer = post_to(&service, "mappings/try", &body).await;
    assert_eq!((answer.status, &answer.json()["read_by"]), (200, &Json::Null));
    body["toml"] = json!("wrong");
    let answer = post_to(&service, "mappings/try", &body).await;
    assert_eq!((answer.status, &answer.json()["errors"][0]["column"]), (200, &json!(1)));
    let answer = post_to(&service, "mappings/try", &json!({"topic": "t"})).await;
    assert_eq!((answer.status, &answer.json()["code"]), (400, &json!("invalid_body")));
}
