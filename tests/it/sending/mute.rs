//! What is silenced is not told; when it is not any more and still fires, it is.

use serde_json::{Value, json};

use super::{RULES, heat, hook, sending};
use crate::support::http;
use crate::support::receiver::Receiver;
use crate::support::service::{Service, Settings, wait_until};

/// Silences a device; gives the silence's path.
async fn silence(service: &Service, device: &str) -> String {
    let matchers = format!("device=\"{device}\"");
    let body = json!({"matchers": matchers, "reason": "it is mended", "for": "1h"}).to_string();
    let (status, made) = http::post(&service.http(), "/api/v1/silences", &body).await.unwrap();
    assert_eq!(status, 201, "{made}");
    let made: Value = serde_json::from_str(&made).unwrap();
    format!("/api/v1/silences/{}", made["id"].as_str().unwrap())
}

async fn lift(service: &Service, path: &str) {
    let what = format!("DELETE {path}");
    let (status, _, said) = http::send(&service.http(), &what, "", "").await.unwrap();
    assert!(status < 300, "{status} {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_silenced_is_told_when_it_is_not_any_more() {
    let receiver = Receiver::start().await;
    let mut service = sending(Settings::with_rules(RULES), &hook(&receiver, ""));
    service.launch().await;
    let told = |device: &str| receiver.told().get(device).cloned().unwrap_or_default();
    let (first, second) = (silence(&service, "oven-1").await, silence(&service, "oven-2").await);
    for n in 1..=3 {
        heat(&service, &format!("oven-{n}"), 95).await;
    }
    wait_until("the loud one is told", || told("oven-3") == ["firing"]).await;
    // Over while it is silenced: nobody hears of it.
    heat(&service, "oven-2", 80).await;
    // A kill does not make it loud.
    service.kill().await;
    service.launch().await;
    heat(&service, "oven-4", 95).await;
    wait_until("so is the next", || told("oven-4") == ["firing"]).await;
    assert_eq!((told("oven-1"), told("oven-2")), (Vec::<String>::new(), Vec::new()));

    lift(&service, &first).await;
    wait_until("it is told", || told("oven-1") == ["firing"]).await;
    let _ = silence(&service, "oven-1").await;
    heat(&service, "oven-1", 80).await;
    wait_until("who heard of it hears of its end", || {
        told("oven-1").last().is_some_and(|last| last == "resolved")
    })
    .await;
    lift(&service, &second).await;
    heat(&service, "oven-4", 80).await;
    wait_until("so is the last end", || {
        told("oven-4").last().is_some_and(|last| last == "resolved")
    })
    .await;
    assert!(told("oven-2").is_empty());
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
}
