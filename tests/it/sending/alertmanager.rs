//! A real Alertmanager receives our alerts, groups them and resolves them.

use serde_json::{Value, json};

use super::{RULES, heat, sending, test_channel};
use crate::support::alertmanager::Alertmanager;
use crate::support::receiver::Receiver;
use crate::support::service::{Service, Settings, poll, wait_until};

async fn alerts(alertmanager: &Alertmanager) -> Vec<Value> {
    let alerts = alertmanager.get("/api/v2/alerts?filter=rule%3D%22too-hot%22").await;
    alerts.as_array().expect("alerts").clone()
}

fn config(alertmanager: &Alertmanager) -> String {
    format!("[[channel]]\nname = 'am'\ntype = 'alertmanager'\nurl = '{}'\n", alertmanager.url())
}

#[tokio::test(flavor = "multi_thread")]
async fn alertmanager_receives_groups_and_resolves() {
    let hook = Receiver::start().await;
    let mut service: Service = sending(Settings::with_rules(RULES), "");
    let alertmanager = Alertmanager::start(service.dir(), &hook.url()).await;
    super::configure(&service, &config(&alertmanager));
    service.launch().await;
    heat(&service, "oven-1", 95).await;
    heat(&service, "oven-2", 95).await;
    let mut pulse = poll();
    let received = loop {
        let received = alerts(&alertmanager).await;
        if received.len() == 2 {
            break received;
        }
        pulse.tick().await;
    };
    let one = received.iter().find(|it| it["labels"]["device"] == "oven-1").expect("oven-1");
    assert_eq!(one["labels"]["alertname"], "too-hot");
    assert_eq!(
        (&one["labels"]["site"], &one["labels"]["severity"]),
        (&json!("berlin"), &json!("critical"))
    );
    assert_eq!(one["annotations"]["summary"], "oven-1 is at 95 °C");
    wait_until("it groups both and tells", || {
        hook.taken().iter().any(|message| {
            let body = message.json();
            body["groupLabels"] == json!({"rule": "too-hot"})
                && body["status"] == "firing"
                && body["alerts"].as_array().is_some_and(|alerts| alerts.len() == 2)
        })
    })
    .await;
    let groups = alertmanager.get("/api/v2/alerts/groups").await;
    assert_eq!(groups[0]["alerts"].as_array().map(Vec::len), Some(2), "{groups}");

    // A kill changes nothing: what it was told is remembered.
    service.kill().await;
    service.launch().await;
    heat(&service, "oven-1", 80).await;
    heat(&service, "oven-2", 80).await;
    wait_until("it says that all is over", || {
        hook.taken().last().is_some_and(|last| last.json()["status"] == "resolved")
    })
    .await;
    let last = hook.taken().pop().unwrap().json();
    let over = last["alerts"].as_array().unwrap();
    assert!(over.iter().all(|alert| alert["status"] == "resolved"), "{last}");
    assert!(alerts(&alertmanager).await.is_empty(), "nothing is left open");

    let (_, answer) = test_channel(&service, "am").await;
    assert_eq!(answer["delivered"], true, "{answer}");
    let left = alertmanager.get("/api/v2/alerts?filter=alertname%3D%22BellwireTest%22").await;
    assert_eq!(left, json!([]), "the test leaves nothing open");
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
}
