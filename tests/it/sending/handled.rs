//! What operators and time do with alerts decides what is sent: acknowledging, getting worse, escalation,
//! silences that end, inhibition.

use std::time::Duration;

use serde_json::json;
use tokio::time::timeout;

use super::{configure, heat, sending};
use crate::support::http;
use crate::support::receiver::Receiver;
use crate::support::service::{Service, Settings, poll, wait_until};

const RULES: &str = r#"
[[rule]]
name = "too-hot"
levels = { warning = "temperature > 90", critical = "temperature > 100" }

[[rule]]
name = "off"
when = "temperature < 0"
severity = "critical"

[[labels]]
device = "*"
set = { site = "berlin" }

[[inhibit]]
source = 'rule="off"'
target = 'rule="too-hot"'
equal = ["site"]

[[escalation]]
alerts = 'rule="too-hot"'
after = ["3s"]
"#;

/// The crew is told of everything, the boss of what nobody acknowledged in time.
fn config(crew: &Receiver, boss: &Receiver) -> String {
    let channel = |name: &str, receiver: &Receiver| {
        format!("[[channel]]\nname = '{name}'\ntype = 'webhook'\nurl = '{}'\n", receiver.url())
    };
    let route = |name: &str, more: &str| {
        format!(
            "[[route]]\nchannels = ['{name}']\ngroup_by = ['rule', 'device']\ngroup_wait_s = 0\n\
             group_interval_s = 1\nrepeat_interval_s = 60\n{more}\n"
        )
    };
    let channels = [channel("crew", crew), channel("boss", boss)].concat();
    [channels, route("boss", "escalation = 1\ncontinue = true"), route("crew", "")].concat()
}

async fn start() -> (Service, Receiver, Receiver) {
    let (crew, boss) = (Receiver::start().await, Receiver::start().await);
    let mut service = sending(Settings::with_rules(RULES), "");
    configure(&service, &config(&crew, &boss));
    service.launch().await;
    (service, crew, boss)
}

/// What a receiver was told of a device, in order.
fn told(receiver: &Receiver, device: &str) -> Vec<String> {
    receiver.told().get(device).cloned().unwrap_or_default()
}

async fn ack(service: &Service, device: &str) {
    let path = format!("/api/v1/alerts?device={device}&state=firing");
    let one = |body: &serde_json::Value| body["alerts"].as_array().is_some_and(|it| it.len() == 1);
    let alert = service.wait_for(&path, one).await["alerts"][0]["id"].clone();
    let path = format!("/api/v1/alerts/{}/ack", alert.as_str().unwrap());
    let (status, body) = http::post(&service.http(), &path, "{}").await.unwrap();
    assert_eq!(status, 200, "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_is_not_repeated_nor_escalated_until_it_gets_worse() {
    let (mut service, crew, boss) = start().await;
    for device in ["mine", "nobodys", "worse"] {
        heat(&service, device, 95).await;
        wait_until("the crew is told", || told(&crew, device) == ["firing"]).await;
        if device != "nobodys" {
            ack(&service, device).await;
        }
    }
    wait_until("the boss is told", || told(&boss, "nobodys") == ["firing"]).await;
    heat(&service, "worse", 105).await;
    wait_until("it is told again", || told(&crew, "worse") == ["firing", "firing"]).await;
    // Nobody's any more, it goes the way of all that nobody acknowledges.
    wait_until("so is the boss", || told(&boss, "worse") == ["firing"]).await;
    let repeated = async {
        let mut poll = poll();
        while told(&crew, "nobodys").len() < 2 || told(&crew, "worse").len() < 3 {
            poll.tick().await;
        }
    };
    timeout(Duration::from_secs(180), repeated).await.expect("what nobody has is repeated");
    assert_eq!((told(&crew, "mine"), told(&boss, "mine")), (vec!["firing".to_owned()], vec![]));
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_held_back_is_sent_when_nothing_holds_it_any_more() {
    let (mut service, crew, boss) = start().await;
    // An end by itself, as one that is lifted: `mute.rs`.
    let silence = json!({"matchers": "device=quiet", "reason": "r", "for": "3s"}).to_string();
    let (status, body) = http::post(&service.http(), "/api/v1/silences", &silence).await.unwrap();
    assert_eq!(status, 201, "{body}");
    heat(&service, "quiet", 95).await;
    heat(&service, "loud", 95).await;
    wait_until("the loud one is told", || told(&crew, "loud") == ["firing"]).await;
    assert!(told(&crew, "quiet").is_empty());
    wait_until("its silence ends", || told(&crew, "quiet") == ["firing"]).await;

    // While the site is off, nobody is told how warm it is.
    let off = json!({"device": "switch", "telemetry": {"temperature": -1}}).to_string();
    let (status, body) = http::post(&service.http(), "/api/v1/telemetry", &off).await.unwrap();
    assert_eq!(status, 202, "{body}");
    wait_until("that is told", || told(&crew, "switch") == ["firing"]).await;
    heat(&service, "held", 95).await;
    let inhibited = |body: &serde_json::Value| body["alerts"][0]["inhibited"] == true;
    service.wait_for("/api/v1/alerts?device=held&state=firing", inhibited).await;
    heat(&service, "switch", 20).await;
    wait_until("it is over", || told(&crew, "switch") == ["firing", "resolved"]).await;
    wait_until("what it held back is told", || told(&crew, "held") == ["firing"]).await;
    drop(boss);
    assert!(service.stop().await.success());
    service.assert_quiet(&["`boss`"]);
}
