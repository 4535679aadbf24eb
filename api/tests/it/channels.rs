//! `channels` and `deliveries`.

use std::time::Duration;

use bellwire_api::ports::{
    ChannelInfo, Channels, DeliveriesQuery, DeliveryInfo, TestError, TestFuture, TestResult,
};
use bellwire_model::{AlertId, Timestamp};
use serde_json::json;

use crate::support::{Answer, Service};

/// One channel that works, one that fails, and three attempts.
#[derive(Debug)]
pub(crate) struct Wires;

fn at() -> Timestamp {
    Timestamp::from_secs(1_700_000_000)
}

impl Channels for Wires {
    fn list(&self) -> Vec<ChannelInfo> {
        let ops = ChannelInfo {
            name: "ops".to_owned(),
            kind: "webhook",
            state: "ok",
            last_success: Some(at()),
            last_error: None,
            waiting: 0,
            oldest: Duration::ZERO,
        };
        let mail = ChannelInfo {
            name: "mail".to_owned(),
            kind: "email",
            state: "failing",
            last_success: None,
            last_error: Some((at(), "no answer".to_owned())),
            waiting: 2,
            oldest: Duration::from_millis(61_500),
        };
        vec![ops, mail]
    }

    fn test(&self, channel: &str) -> TestFuture<'_> {
        let said = |result| TestResult {
            address: 0,
            result,
            said: "so".to_owned(),
            took: Duration::from_millis(7),
        };
        let answer = match channel {
            "ops" => Ok(vec![said("delivered")]),
            "mail" => Ok(vec![said("failed")]),
            "busy" => Err(TestError::Busy),
            _ => Err(TestError::NoChannel),
        };
        Box::pin(std::future::ready(answer))
    }

    fn deliveries(&self, query: DeliveriesQuery) -> Vec<DeliveryInfo> {
        let one = |number| DeliveryInfo {
            number,
            at: at(),
            channel: "ops".to_owned(),
            address: 0,
            message: "0".repeat(32),
            is_test: false,
            result: "delivered",
            said: "200 OK".to_owned(),
            took: Duration::from_millis(3),
            group: "{}/{}:{}".to_owned(),
            n_firing: 1,
            alerts: vec![AlertId(0xab)],
        };
        let is_wanted = |it: &DeliveryInfo| {
            query.before.is_none_or(|before| it.number < before)
                && query.alert.is_none_or(|alert| it.alerts.contains(&alert))
                && query.channel.as_ref().is_none_or(|channel| *channel == it.channel)
        };
        (1..=3).rev().map(one).filter(is_wanted).take(query.limit).collect()
    }
}

async fn test(service: &Service, name: &str) -> Answer {
    let request = format!(
        "POST /api/v1/channels/{name}/test HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
         content-length: 0\r\n\r\n"
    );
    service.send(&request).await
}

#[tokio::test]
async fn channels_are_listed_and_tried() {
    let service = Service::start().await;
    let list = service.get("/api/v1/channels").await.json();
    assert_eq!(list["channels"][0]["status"], "ok");
    let mail = &list["channels"][1];
    assert_eq!((&mail["type"], &mail["oldest_waiting_s"]), (&json!("email"), &json!(61)));
    assert_eq!(mail["last_error"]["detail"], "no answer");

    let answer = test(&service, "ops").await;
    assert_eq!((answer.status, &answer.json()["delivered"]), (200, &json!(true)));
    let answer = test(&service, "mail").await;
    assert_eq!((answer.status, &answer.json()["delivered"]), (200, &json!(false)));
    assert_eq!(answer.json()["answers"][0]["result"], "failed");
    let answer = test(&service, "nobody").await;
    assert_eq!((answer.status, &answer.json()["code"]), (404, &json!("channel_not_found")));
    let answer = test(&service, "busy").await;
    assert_eq!((answer.status, &answer.json()["code"]), (503, &json!("channel_busy")));
}

#[tokio::test]
async fn deliveries_come_in_pages() {
    let service = Service::start().await;
    let page = service.get("/api/v1/deliveries?limit=2").await.json();
    let ids = |page: &serde_json::Value| -> Vec<String> {
        let all = page["deliveries"].as_array().expect("deliveries");
        all.iter().map(|it| it["id"].as_str().expect("text").to_owned()).collect()
    };
    assert_eq!((ids(&page), &page["next"]), (vec!["3".to_owned(), "2".to_owned()], &json!("2")));
    let page = service.get("/api/v1/deliveries?limit=2&cursor=2").await.json();
    assert_eq!((ids(&page), &page["next"]), (vec!["1".to_owned()], &json!(null)));
    let of_alert = service.get("/api/v1/deliveries?alert=00000000000000ac&channel=ops").await;
    assert!(ids(&of_alert.json()).is_empty());
    for bad in ["alert=x", "cursor=x", "limit=0", "page=1"] {
        assert_eq!(service.get(&format!("/api/v1/deliveries?{bad}")).await.status, 400, "{bad}");
    }
}
