//! Registering devices, and their labels.

use serde_json::{Value as Json, json};

use crate::support::{Answer, Service};

const ONE: &str = "/api/v1/devices/freezer-1";

async fn send(service: &Service, what: &str, headers: &str, body: &Json) -> Answer {
    let body = body.to_string();
    let length = body.len();
    let request = format!(
        "{what} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    service.send(&request).await
}

fn code(answer: &Answer) -> (u16, Json) {
    (answer.status, answer.json()["code"].clone())
}

#[tokio::test]
async fn changes_say_what_was_seen_and_hear_what_is_wrong() {
    let service = Service::start().await;
    let (put, patch) = (format!("PUT {ONE}"), format!("PATCH {ONE}"));
    let labels = json!({"labels": {"site": "berlin"}, "model": "P7"});
    let answer = send(&service, &put, "", &labels).await;
    assert_eq!(code(&answer).0, 428, "nobody overwrites what he has not seen: {answer:?}");
    let answer = send(&service, &put, "if-none-match: *\r\n", &labels).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert!(answer.header("etag").starts_with('"'));
    let answer =
        send(&service, &patch, "if-match: *\r\n", &json!({"labels": {"site": null}})).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer = send(&service, &format!("DELETE {ONE}"), "if-match: *\r\n", &json!({})).await;
    assert_eq!(answer.status, 204, "{answer:?}");
    let many = json!([{"device": "a", "labels": {"k": "v"}}, {"device": "b"}]);
    let answer = send(&service, "POST /api/v1/devices", "", &many).await;
    assert_eq!((answer.status, answer.json()), (200, json!({"devices": 2})));
    let seen = format!("{:?}", service.memory.changes.lock().expect("whole"));
    for said in ["berlin", "P7", "Replaced", "Remove", "(\"b\", Put"] {
        assert!(seen.contains(said), "{said}: {seen}");
    }
    let answer = send(&service, &put, "if-match: \"6\"\r\n", &labels).await;
    assert_eq!(code(&answer), (412, json!("device_changed")));
    let answer = send(&service, &put, "if-match: *\r\n", &labels).await;
    assert_eq!(code(&answer), (507, json!("registry_full")));
}

#[tokio::test]
async fn wrong_labels_and_devices_are_named() {
    let service = Service::start().await;
    let put = format!("PUT {ONE}");
    for (body, expected) in [
        (json!({"labels": {"a b": "c"}}), (422, "invalid_label")),
        (json!({"labels": {"a": "x".repeat(257)}}), (422, "invalid_label")),
        (json!({"label": {}}), (400, "invalid_body")),
        (json!({"labels": {"a": 1}}), (400, "invalid_body")),
        (json!({"model": "x", "labels": {"model": "y"}}), (422, "invalid_label")),
    ] {
        let answer = send(&service, &put, "if-match: *\r\n", &body).await;
        assert_eq!(code(&answer), (expected.0, json!(expected.1)), "{body}");
    }
    let many = json!([{"device": "a"}, {"device": "b/c"}]);
    let answer = send(&service, "POST /api/v1/devices", "", &many).await;
    assert_eq!(code(&answer), (422, json!("invalid_device")));
    assert!(answer.body.contains('1'), "which one it is: {}", answer.body);
    let wrong = service.get("/api/v1/devices?select=wrong").await;
    assert_eq!(wrong.status, 400, "{wrong:?}");
    let offline = service.get("/api/v1/devices?online=false&prefix=freezer").await.json();
    assert_eq!(offline["devices"], json!([]));
    assert_eq!(service.memory.changes.lock().expect("whole").len(), 0, "nothing was changed");
}
