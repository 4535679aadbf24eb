//! `POST telemetry`.

use std::sync::Mutex;

use bellwire_api::ports::{Posts, Telemetry, TelemetryError, TelemetryFuture};
use serde_json::{Value as Json, json};

use crate::support::{Answer, Service};

/// Takes what comes, unless it is told what to answer.
#[derive(Debug, Default)]
pub(crate) struct Basket {
    pub(crate) taken: Mutex<Vec<Posts>>,
    pub(crate) answer: Mutex<Option<TelemetryError>>,
}

impl Telemetry for Basket {
    fn take(&self, posts: Posts) -> TelemetryFuture<'_> {
        let answer = match *self.answer.lock().expect("whole") {
            Some(error) => Err(error),
            None => {
                self.taken.lock().expect("whole").push(posts);
                Ok(())
            }
        };
        Box::pin(std::future::ready(answer))
    }
}

const PATH: &str = "/api/v1/telemetry";

async fn post(service: &Service, body: &Json, headers: &str) -> Answer {
    let (body, head) = (body.to_string(), "host: x\r\nconnection: close");
    let kind = "content-type: application/json";
    let length = body.len();
    let request = format!(
        "POST {PATH} HTTP/1.1\r\n{head}\r\n{kind}\r\n{headers}content-length: {length}\r\n\r\n{body}"
    );
    service.send(&request).await
}

#[tokio::test]
async fn what_is_taken_is_accepted_with_its_key() {
    let service = Service::start().await;
    let body = json!([
        {"device": "freezer-1", "telemetry": {"t": -18.5}},
        {"device": "freezer-2", "telemetry": [{"t": 1}, {"t": 2}]},
    ]);
    let answer = post(&service, &body, "idempotency-key: abc-1\r\n").await;
    assert_eq!((answer.status, answer.json()), (202, json!({"accepted": 2})));
    let taken = service.basket.taken.lock().expect("whole").clone();
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].key.as_deref(), Some("abc-1"));
    let payloads: Vec<_> = taken[0]
        .posts
        .iter()
        .map(|post| (post.device.as_str(), String::from_utf8(post.payload.clone()).expect("text")))
        .collect();
    assert_eq!(
        payloads,
        [
            ("freezer-1", "{\"t\":-18.5}".to_owned()),
            ("freezer-2", "[{\"t\":1},{\"t\":2}]".to_owned())
        ]
    );
}

#[tokio::test]
async fn what_is_not_taken_says_why() {
    let service = Service::start().await;
    let one = json!({"device": "freezer-1", "telemetry": {"t": 1}});
    *service.basket.answer.lock().expect("whole") = Some(TelemetryError::Later);
    let answer = post(&service, &one, "").await;
    assert_eq!((answer.status, &answer.json()["code"]), (503, &json!("log_full")));
    *service.basket.answer.lock().expect("whole") = Some(TelemetryError::Refused);
    let answer = post(&service, &one, "").await;
    assert_eq!((answer.status, &answer.json()["code"]), (413, &json!("telemetry_too_large")));
    let wrong = json!({"device": "a/b", "telemetry": {"t": 1}});
    let answer = post(&service, &wrong, "").await;
    assert_eq!((answer.status, &answer.json()["code"]), (422, &json!("invalid_device")));
    let key = format!("idempotency-key: {}\r\n", "x".repeat(201));
    let answer = post(&service, &one, &key).await;
    let code = &answer.json()["code"];
    assert_eq!((answer.status, code), (400, &json!("invalid_idempotency_key")));
    assert_eq!(service.get(PATH).await.status, 405);
}
