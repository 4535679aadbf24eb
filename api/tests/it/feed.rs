//! The live feed's contract: a snapshot, then every transition after it, exactly once, in order.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bellwire_model::{AlertState, LogPosition, Timestamp, Value};
use serde_json::json;

use crate::support::{LOG, START, Service, position, times, transition, until, within};

#[tokio::test]
async fn a_transition_reaches_the_operator_with_its_times() {
    let service = Service::start().await;
    let mut client = service.live("").await;
    assert_eq!(
        client.expect("snapshot").await,
        json!({"type": "snapshot", "cursor": format!("{LOG}-999-{}", u32::MAX),
            "resumed": false, "resume": "fresh", "alerts": []})
    );
    service.clock.0.store(1_700_001_001_000_000, Ordering::Relaxed);
    service.happen(&transition(1_000, 0xab, AlertState::Firing));
    let frame = client.expect("transition").await;
    assert_eq!(
        frame,
        json!({"type": "transition", "cursor": format!("{LOG}-1000-0"),
            "alert": {"id": "00000000000000ab", "rule": "too-warm", "device": "freezer-1",
                "severity": "critical", "state": "firing",
                "since": "2023-11-14T22:30:00.000000Z",
                "fired_at": "2023-11-14T22:30:00.000000Z", "resolved_at": null,
                "value": -3.5, "summary": "freezer-1 is at -3.5 °C",
                "acknowledged_by": null, "acknowledged_at": null, "assigned_to": null,
                "snoozed_until": null, "latched": false, "silenced": false, "inhibited": false,
                "escalation": 0, "labels": {}},
            "from": "inactive", "to": "firing", "at": "2023-11-14T22:30:00.000000Z",
            "reason": "#1000", "rule_version": "000000000000feed",
            "times": {"received": "2023-11-14T22:30:00.000000Z",
                "durable": "2023-11-14T22:30:00.001000Z",
                "judged": "2023-11-14T22:30:00.002000Z",
                "sent": "2023-11-14T22:30:01.000000Z"}})
    );
    assert_eq!(service.metric("bellwire_live_latency_seconds_sum"), 1.0);
    assert_eq!(service.metric(r#"bellwire_live_frames_sent_total{type="transition"}"#), 1.0);
    let mut late = service.live("").await;
    let snapshot = late.expect("snapshot").await;
    assert_eq!(snapshot["alerts"], json!([frame["alert"]]));
    assert_eq!(snapshot["cursor"], frame["cursor"]);
}

/// Transition number `n` opens or ends alert `n % 40`, by turns.
fn nth(n: u64) -> bellwire_model::Transition {
    let to = if (n / 40).is_multiple_of(2) { AlertState::Firing } else { AlertState::Resolved };
    transition(START.0 + n, n % 40, to)
}

/// The alerts that are open once `n` transitions have happened.
fn open_after(n: u64) -> BTreeSet<String> {
    let mut open = BTreeSet::new();
    for n in 0..n {
        let it = nth(n);
        let id = it.alert.id.to_string();
        if it.to.is_over() {
            open.remove(&id)
        } else {
            open.insert(id)
        };
    }
    open
}

const N_CLIENTS: usize = 12;
const N_TRANSITIONS: u64 = 9_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn snapshot_and_stream_fit_whenever_a_client_comes() {
    let service = Arc::new(Service::start().await);
    let n_joined = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..N_CLIENTS)
        .map(|n_before| {
            let (service, n_joined) = (Arc::clone(&service), Arc::clone(&n_joined));
            service.tracker.clone().spawn(async move {
                until("clients before me", || n_joined.load(Ordering::Relaxed) >= n_before).await;
                let mut client = service.live("").await;
                let snapshot = client.expect("snapshot").await;
                n_joined.fetch_add(1, Ordering::Relaxed);
                let shown: BTreeSet<String> = snapshot["alerts"]
                    .as_array()
                    .expect("alerts")
                    .iter()
                    .map(|alert| alert["id"].as_str().expect("an id").to_owned())
                    .collect();
                let first = position(&client.expect("transition").await) - START.0;
                assert_eq!(shown, open_after(first), "the snapshot is what was before #{first}");
                for n in first + 1..N_TRANSITIONS {
                    let frame = client.expect("transition").await;
                    assert_eq!(position(&frame), START.0 + n);
                }
            })
        })
        .collect();
    // Judge's own thread, going on while clients come: each finds it somewhere else.
    let judge = {
        let (service, n_joined) = (Arc::clone(&service), Arc::clone(&n_joined));
        std::thread::spawn(move || {
            for n in 0..N_TRANSITIONS {
                let share = N_TRANSITIONS / (N_CLIENTS as u64 + 1);
                while (n / share).min(N_CLIENTS as u64) > n_joined.load(Ordering::Relaxed) as u64 {
                    std::thread::yield_now();
                }
                let it = nth(n);
                service.hub.transition(&it, times(&it));
            }
        })
    };
    for task in tasks {
        within("a client", task).await.expect("no panic");
    }
    judge.join().expect("no panic");
}

#[tokio::test]
async fn what_is_said_twice_is_heard_once() {
    let service = Service::start().await;
    let mut client = service.live("").await;
    client.expect("snapshot").await;
    for n in [999, 1_000, 1_000, 1_001, 1_000, 1_002] {
        service.happen(&transition(n, n, AlertState::Firing));
    }
    for n in [1_000, 1_001, 1_002] {
        assert_eq!(position(&client.expect("transition").await), n);
    }
}

#[tokio::test]
async fn a_burst_beyond_the_pumps_queue_loses_nothing() {
    let service = Service::start_with(|config| {
        config.live.ring_transitions = 50_000.try_into().expect("not zero");
        config.live.client_lag_max = 50_000.try_into().expect("not zero");
    })
    .await;
    let mut client = service.live("").await;
    client.expect("snapshot").await;
    // One thread: the pump cannot run before all of them are in.
    for n in 0..20_000 {
        let it = nth(n);
        service.hub.transition(&it, times(&it));
    }
    for n in 0..20_000 {
        assert_eq!(position(&client.expect("transition").await), START.0 + n);
    }
}

#[tokio::test]
async fn readings_come_only_from_devices_that_were_asked_for() {
    let service = Service::start().await;
    let cold = service.reading("freezer-1", "temperature", Value::Number(-18.5));
    let shut = service.reading("freezer-1", "door", Value::Text("shut".into()));
    let other = service.reading("freezer-2", "temperature", Value::Number(-20.0));
    let mut client = service.live("").await;
    client.expect("snapshot").await;
    assert!(!service.hub.wants(cold.device));
    client.say(r#"{"type":"subscribe","devices":["freezer-1","not-yet"]}"#).await;
    let answer = client.expect("subscribed").await;
    assert_eq!(answer["devices"], json!(["freezer-1", "not-yet"]));
    assert!(service.hub.wants(cold.device));
    assert!(!service.hub.wants(other.device));
    service.hub.readings(&[other.clone(), cold, shut]);
    let at = "2023-11-14T22:13:20.000000Z";
    assert_eq!(
        client.expect("reading").await,
        json!({"type": "reading", "device": "freezer-1", "metric": "temperature", "at": at,
            "value": -18.5})
    );
    assert_eq!(client.expect("reading").await["text"], "shut");

    let new = service.reading("not-yet", "temperature", Value::Number(4.0));
    assert!(service.hub.wants(new.device));
    service.hub.readings(&[new]);
    assert_eq!(client.expect("reading").await["device"], "not-yet");

    client.say(r#"{"type":"subscribe","devices":"*"}"#).await;
    assert_eq!(client.expect("subscribed").await["devices"], json!(["*"]));
    service.hub.readings(std::slice::from_ref(&other));
    assert_eq!(client.expect("reading").await["device"], "freezer-2");

    client.say(r#"{"type":"subscribe","devices":[]}"#).await;
    client.expect("subscribed").await;
    assert!(!service.hub.wants(other.device));
    client.say(r#"{"type":"subscribe","devices":["freezer-2"]}"#).await;
    client.expect("subscribed").await;
    drop(client);
    until("nobody asks", || !service.hub.wants(other.device)).await;
    assert_eq!(service.hub.n_clients(), 0);
}

#[tokio::test]
async fn a_flood_of_readings_is_conflated_and_the_latest_arrives() {
    let service = Service::start_with(|config| {
        config.live.client_readings_max = 8.try_into().expect("not zero");
    })
    .await;
    let mut client = service.live("?devices=freezer-1").await;
    client.expect("snapshot").await;
    let reading = service.reading("freezer-1", "temperature", Value::Number(0.0));
    let readings: Vec<_> = (0..1_000)
        .map(|n| bellwire_model::Reading {
            at: Timestamp::from_secs(n),
            value: Value::Number(f64::from(u32::try_from(n).expect("small"))),
            ..reading.clone()
        })
        .collect();
    service.hub.readings(&readings);
    let mut n_heard = 1;
    while client.expect("reading").await["value"] != 999.0 {
        n_heard += 1;
    }
    let n_conflated = service.metric("bellwire_live_readings_conflated_total");
    assert_eq!(n_conflated, 1_000.0 - f64::from(n_heard));
    assert!(n_conflated > 0.0);
}

#[tokio::test]
async fn a_new_present_sends_every_client_back_for_it() {
    let service = Service::start().await;
    let mut client = service.live("").await;
    client.expect("snapshot").await;
    let firing = transition(4_999, 5, AlertState::Firing);
    let over = transition(4_998, 6, AlertState::Resolved);
    service.hub.set_snapshot(LogPosition(5_000), [firing.alert, over.alert]);
    assert_eq!(client.end().await.0, 4_000);
    let snapshot = service.live("").await.expect("snapshot").await;
    assert_eq!(snapshot["alerts"].as_array().map(Vec::len), Some(1));
    assert_eq!(service.live("").await.expect("snapshot").await, snapshot);
}
