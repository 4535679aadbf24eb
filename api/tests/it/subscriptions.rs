//! Clients that ask for some alerts and some readings only, over each of the three transports.

use std::time::Duration;

use bellwire_model::{AlertState, Severity, Transition, Value};
use serde_json::{Value as Json, json};

use crate::support::{Client, START, Service, device, position, transition, until};

/// Transition `n`: alert `id` of `rule` on `device` stands so now.
fn step(n: u64, id: u64, (device_name, severity): (&str, Severity), to: AlertState) -> Transition {
    let mut it = transition(START.0 + n, id, to);
    it.alert.device = device(device_name).into();
    it.alert.severity = severity;
    it
}

fn label(service: &Service, device_name: &str, site: &str) {
    let mut devices = service.memory.devices.lock().expect("whole");
    let info = devices.get_mut(&device(device_name)).expect("known");
    info.labels.insert("site".to_owned(), site.to_owned());
}

fn ids(snapshot: &Json) -> Vec<u64> {
    let alerts = snapshot["alerts"].as_array().expect("alerts");
    let id = |alert: &Json| u64::from_str_radix(alert["id"].as_str().expect("an id"), 16);
    alerts.iter().map(|alert| id(alert).expect("hexadecimal")).collect()
}

use AlertState::{Firing, Resolved};
use Severity::{Critical, Warning};

#[tokio::test]
async fn only_alerts_that_were_asked_for_are_heard_of() {
    let service = Service::start_with(|config| {
        config.live.heartbeat_interval_ms = 100.try_into().expect("not zero");
    })
    .await;
    label(&service, "freezer-1", "berlin");
    label(&service, "freezer-2", "paris");
    service.happen(&step(0, 1, ("freezer-1", Critical), Firing));
    service.happen(&step(1, 2, ("freezer-2", Critical), Firing));
    let mut berlin = service.live("?alerts.labels=site%3Dberlin").await;
    let mut bad = service.live("?alerts.severity=critical&alerts.rules=too-warm,other").await;
    let mut other = service.live("?alerts.rules=other").await;
    assert_eq!(ids(&berlin.expect("snapshot").await), [1]);
    assert_eq!(ids(&bad.expect("snapshot").await), [1, 2]);
    assert_eq!(ids(&other.expect("snapshot").await), [0_u64; 0]);
    service.happen(&step(2, 3, ("freezer-1", Warning), Firing));
    service.happen(&step(3, 4, ("freezer-2", Critical), Firing));
    service.happen(&step(4, 1, ("freezer-1", Critical), Resolved));
    for n in [2, 4] {
        assert_eq!(position(&berlin.expect("transition").await), START.0 + n);
    }
    for n in [3, 4] {
        assert_eq!(position(&bad.expect("transition").await), START.0 + n);
    }
    while other.heartbeat().await["cursor"] != cursor(4) {}
}

fn cursor(n: u64) -> String {
    format!("{}-{}-0", crate::support::LOG, START.0 + n)
}

/// Whoever has seen an alert open must not be left with it.
#[tokio::test]
async fn an_alert_that_is_not_asked_for_any_more_is_said_to_be_gone() {
    let service = Service::start().await;
    label(&service, "freezer-1", "berlin");
    let mut bad = service.live("?alerts.severity=critical").await;
    let mut berlin = service.live("?alerts.labels=site%3Dberlin").await;
    bad.expect("snapshot").await;
    berlin.expect("snapshot").await;
    service.happen(&step(0, 1, ("freezer-1", Critical), Firing));
    // Less bad; then it moves, which is told with the next transition; then it is over.
    service.happen(&step(1, 1, ("freezer-1", Warning), Firing));
    for n in [0, 1] {
        assert_eq!(position(&berlin.expect("transition").await), START.0 + n);
    }
    label(&service, "freezer-1", "paris");
    service.happen(&step(2, 1, ("freezer-1", Warning), AlertState::Recovering));
    service.happen(&step(3, 1, ("freezer-1", Warning), Resolved));
    service.happen(&step(4, 2, ("freezer-1", Critical), Firing));
    assert_eq!(position(&bad.expect("transition").await), START.0);
    let gone = |n| json!({"type": "gone", "cursor": cursor(n), "id": "0000000000000001"});
    assert_eq!(bad.expect("gone").await, gone(1));
    assert_eq!(position(&bad.expect("transition").await), START.0 + 4);
    assert_eq!(berlin.expect("gone").await, gone(2));
    assert_eq!(service.metric(r#"bellwire_live_frames_sent_total{type="gone"}"#), 2.0);

    // Who comes back hears the same, from memory as from history.
    for (from, ring) in [("from_memory", 100), ("from_history", 1)] {
        let again = Service::start_with(|config| {
            config.live.ring_transitions = ring.try_into().expect("not zero");
        })
        .await;
        let mut watcher = again.live("").await;
        watcher.expect("snapshot").await;
        for n in 0..5 {
            let mut it = step(n, 1, ("freezer-1", if n == 0 { Critical } else { Warning }), Firing);
            it.from = if n == 0 { AlertState::Inactive } else { Firing };
            again.happen(&it);
            watcher.expect("transition").await;
        }
        let mut back = again.live(&format!("?alerts.severity=critical&cursor={}", cursor(0))).await;
        assert_eq!(back.expect("gone").await, gone(1), "{from}");
        let snapshot = loop {
            let frame = back.next().await.expect("it goes on");
            // History does not know what it was before what is asked for: then it says so again.
            if frame["type"] != "gone" {
                break frame;
            }
        };
        assert_eq!(snapshot["resume"], from);
        assert_eq!(ids(&snapshot), [0_u64; 0]);
    }
}

#[tokio::test]
async fn the_cursor_of_one_who_hears_nothing_moves_on() {
    let service = Service::start_with(|config| {
        config.live.ring_transitions = 64.try_into().expect("not zero");
        config.live.client_lag_max = 64.try_into().expect("not zero");
        config.live.heartbeat_interval_ms = 100.try_into().expect("not zero");
    })
    .await;
    let mut quiet = service.live("?alerts.severity=critical").await;
    let mut all = service.live("").await;
    quiet.expect("snapshot").await;
    all.expect("snapshot").await;
    // Many times what memory holds, and it is not thrown out.
    for n in 0..1_000 {
        service.happen(&step(n, n % 10, ("freezer-1", Warning), Firing));
        all.expect("transition").await;
    }
    while quiet.heartbeat().await["cursor"] != cursor(999) {}
    service.happen(&step(1_000, 77, ("freezer-1", Critical), Firing));
    assert_eq!(position(&quiet.expect("transition").await), START.0 + 1_000);
    let poll =
        format!("/api/v1/live/poll?wait=1s&alerts.severity=critical&cursor={}", cursor(1_000));
    service.happen(&step(1_001, 5, ("freezer-1", Warning), Firing));
    assert_eq!(service.get(&poll).await.json(), json!({"cursor": cursor(1_001), "frames": []}));
}

#[tokio::test]
async fn a_client_may_change_what_it_asks_for() {
    let service = Service::start().await;
    let mut client = service.live("").await;
    client.expect("snapshot").await;
    service.happen(&step(0, 1, ("freezer-1", Critical), Firing));
    service.happen(&step(1, 2, ("freezer-1", Warning), Firing));
    client.say(r#"{"type":"subscribe","alerts":{"severity":"critical"}}"#).await;
    // What it had asked for until then comes first.
    for n in [0, 1] {
        assert_eq!(position(&client.expect("transition").await), START.0 + n);
    }
    let answer = client.expect("subscribed").await;
    assert_eq!(
        answer,
        json!({"type": "subscribed", "devices": [], "readings": {"devices": []},
            "alerts": {"severity": "critical"}})
    );
    let snapshot = client.expect("snapshot").await;
    assert_eq!((ids(&snapshot), &snapshot["resume"]), (vec![1], &json!("subscribed")));
    service.happen(&step(2, 2, ("freezer-1", Warning), Resolved));
    service.happen(&step(3, 1, ("freezer-1", Critical), Resolved));
    assert_eq!(position(&client.expect("transition").await), START.0 + 3);
    client.say(r#"{"type":"subscribe","alerts":{}}"#).await;
    assert_eq!(client.expect("subscribed").await["alerts"], json!({}));
    assert_eq!(ids(&client.expect("snapshot").await), [0_u64; 0]);
    client.say(r#"{"type":"subscribe","alerts":{"severity":"bad"}}"#).await;
    assert_eq!(client.expect("error").await["code"], "bad_message");
    service.happen(&step(4, 5, ("freezer-1", Warning), Firing));
    client.expect("transition").await;
}

#[tokio::test]
async fn readings_are_chosen_by_label_and_metric_and_devices_move_in_and_out() {
    let service = Service::start().await;
    label(&service, "freezer-1", "berlin");
    let mut client =
        service.live("?readings.labels=site%3Dberlin&readings.metrics=temperature").await;
    client.expect("snapshot").await;
    let reading = |name: &str, metric: &str, value| {
        service.reading(name, metric, Value::Number(f64::from(value)))
    };
    service.hub.readings(&[
        reading("freezer-2", "temperature", 1),
        reading("freezer-1", "door", 2),
        reading("freezer-1", "temperature", 3),
    ]);
    assert_eq!(client.expect("reading").await["value"], 3.0);
    label(&service, "freezer-1", "paris");
    label(&service, "freezer-2", "berlin");
    // It counts within a second.
    let mut value = 10;
    loop {
        value += 2;
        let out = reading("freezer-1", "temperature", value + 1);
        service.hub.readings(&[reading("freezer-2", "temperature", value), out]);
        let frame = tokio::time::timeout(Duration::from_millis(50), client.expect("reading")).await;
        if frame.is_ok_and(|frame| frame["device"] == "freezer-2") {
            break;
        }
    }
    while let Ok(frame) =
        tokio::time::timeout(Duration::from_millis(50), client.expect("reading")).await
    {
        assert_eq!(frame["device"], "freezer-2");
    }
}

#[tokio::test]
async fn polls_ask_for_the_same_and_hear_readings_while_they_wait() {
    let service = Service::start().await;
    service.happen(&step(0, 1, ("freezer-1", Warning), Firing));
    let first = service.get("/api/v1/live/poll?alerts.severity=critical").await.json();
    assert_eq!(ids(&first["frames"][0]), [0_u64; 0]);
    let cursor = first["cursor"].as_str().expect("a cursor");
    let poll = format!("/api/v1/live/poll?devices=freezer-1&cursor={cursor}");
    let cold = service.reading("freezer-1", "temperature", Value::Number(-18.5));
    let (answer, ()) = tokio::join!(service.get(&poll), async {
        until("it waits", || service.hub.wants(cold.device)).await;
        service.hub.readings(std::slice::from_ref(&cold));
    });
    assert_eq!(answer.json()["frames"][0]["value"], -18.5);
    let wrong = service.get("/api/v1/live/poll?alerts.severity=bad").await;
    assert_eq!((wrong.status, &wrong.json()["code"]), (400, &json!("invalid_parameter")));
}

#[tokio::test]
async fn who_is_here_is_told_to_all() {
    let service = Service::start().await;
    let mut first = service.live("").await;
    first.expect("snapshot").await;
    while first.operators().await["here"][0]["n"] != 1 {}
    let mut second: Client = service.live("").await;
    second.expect("snapshot").await;
    let news = loop {
        let news = first.operators().await;
        if news["here"][0]["n"] == 2 {
            break news;
        }
    };
    assert_eq!(news["here"][0]["name"], "anybody");
    let list = service.get("/api/v1/live/operators").await.json();
    assert_eq!(list["here"], news["here"]);
    drop(second);
    while first.operators().await["here"][0]["n"] != 1 {}
}
