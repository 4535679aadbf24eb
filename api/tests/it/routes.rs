//! Every route, when all is well.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bellwire_api::ports::{
    BucketRow, Check, DatabaseInfo, DeviceInfo, HealthStatus, LatestReading, ReadingRow,
};
use bellwire_model::{
    AlertState, ClockSkew, DeviceLedger, LogPosition, Quarantined, RejectReason, SeqLedger,
    Timestamp, Value,
};
use serde_json::json;

use crate::support::{Service, device, info, metric, transition};

#[tokio::test]
async fn devices_are_listed_by_name_page_by_page() {
    let service = Service::start().await;
    let first = service.get("/api/v1/devices?limit=1").await;
    assert_eq!(first.status, 200);
    assert_eq!(
        first.json(),
        json!({"devices": [{
            "device": "freezer-1",
            "first_seen": "2020-09-13T12:26:40.000000Z",
            "last_seen": "2023-11-14T22:13:20.000000Z",
            "online": true,
            "clock_skew_ms": null,
            "clock_skew_since": null,
            "labels": {"kind": "freezer"},
            "model": null,
            "registered": false,
        }], "next": "freezer-1"})
    );
    let second = service.get("/api/v1/devices?limit=1&cursor=freezer-1").await.json();
    assert_eq!(second["devices"][0]["device"], "freezer-2");
    assert_eq!(second["next"], json!(null));
}

#[tokio::test]
async fn a_device_is_shown_with_how_far_its_clock_is_off() {
    let service = Service::start().await;
    for (estimate_micros, shown) in
        [(90_000_400, 90_000), (-7_200_000_600, -7_200_001), (-400, 0), (0, 0)]
    {
        let since = Timestamp::from_secs(1_700_000_000);
        let skew = ClockSkew { estimate_micros, jitter: Duration::from_millis(3), since };
        let known = DeviceInfo { clock_skew: Some(skew), ..info("freezer-1") };
        service.memory.devices.lock().expect("whole").insert(device("freezer-1"), known);
        for path in ["/api/v1/devices/freezer-1", "/api/v1/devices?limit=1"] {
            let body = service.get(path).await.json();
            let device = body.get("devices").map_or(&body, |list| &list[0]);
            assert_eq!(device["clock_skew_ms"], shown, "{path}: {estimate_micros}");
            assert_eq!(device["clock_skew_since"], "2023-11-14T22:13:20.000000Z");
        }
    }
}

#[tokio::test]
async fn a_device_is_shown_with_its_latest_readings() {
    let service = Service::start().await;
    let at = Timestamp::from_secs(1_700_000_000);
    *service.memory.latest.lock().expect("whole") = vec![
        LatestReading {
            metric: metric("temperature"),
            at,
            value: Value::Number(-18.5),
            unit: Some("Cel".into()),
        },
        LatestReading { metric: metric("door"), at, value: Value::Text("shut".into()), unit: None },
    ];
    let one = service.get("/api/v1/devices/freezer-2").await.json();
    assert_eq!(one["device"], "freezer-2");
    let latest = service.get("/api/v1/devices/freezer%2D1/latest").await.json();
    assert_eq!(
        latest,
        json!({"device": "freezer-1", "latest": [
            {"metric": "door", "at": "2023-11-14T22:13:20.000000Z", "text": "shut"},
            {"metric": "temperature", "at": "2023-11-14T22:13:20.000000Z", "unit": "Cel", "value": -18.5},
        ]})
    );
}

#[tokio::test]
async fn the_latest_of_all_devices_come_in_pages_of_devices() {
    let service = Service::start().await;
    let at = Timestamp::from_secs(1_700_000_000);
    let value = Value::Number(-18.5);
    *service.memory.latest.lock().expect("whole") =
        vec![LatestReading { metric: metric("temperature"), at, value, unit: None }];
    let first = service.get("/api/v1/latest?metric=temperature&limit=1").await.json();
    let row = json!({"device": "freezer-1", "metric": "temperature",
        "at": "2023-11-14T22:13:20.000000Z", "value": -18.5});
    assert_eq!(first, json!({"latest": [row], "next": "freezer-1"}));
    let rest = service.get("/api/v1/latest?cursor=freezer-1").await.json();
    assert_eq!(rest["latest"][0]["device"], "freezer-2");
    assert_eq!(rest["next"], json!(null));
    let other = service.get("/api/v1/latest?metric=door").await.json();
    assert_eq!(other["latest"], json!([]));
}

#[tokio::test]
async fn readings_come_one_by_one_or_gathered() {
    let service = Service::start().await;
    let row = |secs, number| ReadingRow {
        at: Timestamp::from_secs(secs),
        metric: metric("temperature"),
        value: Value::Number(number),
    };
    *service.kept.readings.lock().expect("whole") = vec![row(0, 1.0), row(60, 2.5)];
    let path = "/api/v1/devices/freezer-1/readings?metric=temperature\
        &from=1970-01-01T00:00:00Z&to=1970-01-01T02:00:00%2B01:00&limit=1";
    let first = service.get(path).await.json();
    assert_eq!(
        first,
        json!({"readings": [
            {"at": "1970-01-01T00:00:00.000000Z", "metric": "temperature", "value": 1.0},
        ], "next": "1"})
    );
    let question = service.kept.last_question();
    assert!(question.contains("from: Timestamp(0), to: Timestamp(3600000000)"), "{question}");
    let second = service.get(&format!("{path}&cursor=1")).await.json();
    assert_eq!(second["readings"][0]["value"], 2.5);
    assert_eq!(second["next"], json!(null));

    *service.kept.buckets.lock().expect("whole") = vec![BucketRow {
        at: Timestamp::EPOCH,
        group: None,
        metric: metric("temperature"),
        avg: 1.75,
        min: 1.0,
        max: 2.5,
        count: 2,
        first: 1.0,
        last: 2.5,
    }];
    let path = "/api/v1/devices/freezer-1/readings?bucket=5m&from=1970-01-01T00:00:00Z";
    let gathered = service.get(path).await.json();
    assert_eq!(
        gathered,
        json!({"buckets": [{"at": "1970-01-01T00:00:00.000000Z", "metric": "temperature",
            "avg": 1.75, "min": 1.0, "max": 2.5, "count": 2, "first": 1.0, "last": 2.5}],
            "next": null})
    );
    assert!(service.kept.last_question().contains("bucket: 300s"));
    let path = "/api/v1/readings?metric=temperature&bucket=1d&from=1970-01-01T00:00:00Z";
    assert_eq!(service.get(path).await.json(), gathered);
    assert!(service.kept.last_question().contains("device: None"));
    service.kept.buckets.lock().expect("whole")[0].group = Some("berlin-2".into());
    let grouped = service.get(&format!("{path}&by=site")).await.json();
    let mut expected = gathered;
    expected["buckets"][0]["group"] = json!("berlin-2");
    assert_eq!(grouped, expected);
    assert!(service.kept.last_question().contains(r#"by: Some("site")"#));
    let file = service.get(&format!("{path}&by=site&format=csv")).await.body;
    let line = "1970-01-01T00:00:00.000000Z,berlin-2,temperature,1.75,1.0,2.5,2,1.0,2.5";
    let header = "at,group,metric,avg,min,max,count,first,last";
    assert!(file.contains(&format!("{header}\r\n{line}\r\n")), "{file}");
    let one_by_one = service.get("/api/v1/readings?metric=temperature").await;
    assert_eq!(one_by_one.status, 400);
}

#[tokio::test]
async fn who_does_not_say_when_gets_the_last_day() {
    let service = Service::start().await;
    service.clock.0.store(200_000_000_000, Ordering::Relaxed);
    service.get("/api/v1/devices/freezer-1/readings").await;
    let question = service.kept.last_question();
    assert!(question.contains("from: Timestamp(113600000000)"), "{question}");
    assert!(question.contains(&format!("to: Timestamp({})", i64::MAX)), "{question}");
}

#[tokio::test]
async fn a_devices_account_has_exactly_the_stable_fields() {
    let service = Service::start().await;
    *service.kept.ledger.lock().expect("whole") = Some(DeviceLedger {
        received: 10,
        stored: 6,
        duplicate: 2,
        quarantined: 1,
        refused: 1,
        readings: 18,
        seq: SeqLedger { last: Some(12), gaps: vec![(4, 5), (9, 9)], resets: 1 },
    });
    assert_eq!(
        service.get("/api/v1/devices/freezer-1/audit").await.json(),
        json!({"device": "freezer-1", "received": 10, "stored": 6, "duplicate": 2,
            "quarantined": 1, "refused": 1, "readings": 18,
            "seq": {"last": 12, "gaps": [[4, 5], [9, 9]], "resets": 1}})
    );
    let page = service.get("/api/v1/audit?limit=2").await.json();
    assert_eq!((&page["audit"][1]["device"], &page["next"]), (&json!("oven-2"), &json!("oven-2")));
    assert_eq!(page["audit"][0]["received"], 10);
    let rest = service.get("/api/v1/audit?limit=2&cursor=oven-2").await.json();
    assert_eq!((&rest["audit"][0]["device"], &rest["next"]), (&json!("oven-3"), &json!(null)));
}

#[tokio::test]
async fn open_alerts_come_from_memory_and_ended_ones_from_history() {
    let service = Service::start().await;
    service.kept.away.store(true, Ordering::Relaxed);
    let mut client = service.live("").await;
    client.expect("snapshot").await;
    for (position, id) in [(1_000, 1), (1_001, 2), (1_002, 3)] {
        service.happen(&transition(position, id, AlertState::Firing));
        client.expect("transition").await;
    }
    let open = service.get("/api/v1/alerts").await.json();
    assert_eq!(open["alerts"].as_array().map(Vec::len), Some(3));
    assert_eq!(
        open["alerts"][2],
        json!({"id": "0000000000000001", "rule": "too-warm", "device": "freezer-1",
            "severity": "critical", "state": "firing", "since": "2023-11-14T22:30:00.000000Z",
            "fired_at": "2023-11-14T22:30:00.000000Z", "resolved_at": null, "value": -3.5,
            "summary": "freezer-1 is at -3.5 °C", "acknowledged_by": null, "acknowledged_at": null,
            "assigned_to": null, "snoozed_until": null, "latched": false, "silenced": false,
            "inhibited": false, "escalation": 0, "labels": {}})
    );
    let none = service.get("/api/v1/alerts?state=pending&device=freezer-1").await.json();
    assert_eq!(none, json!({"alerts": [], "next": null}));

    service.kept.away.store(false, Ordering::Relaxed);
    let ended = transition(900, 9, AlertState::Resolved).alert;
    *service.kept.alerts.lock().expect("whole") = vec![ended.clone(), ended];
    let mut ids = Vec::new();
    let mut next = String::new();
    loop {
        let path = format!("/api/v1/alerts?state=firing,resolved&limit=2&cursor={next}");
        let page = service.get(&path).await.json();
        for alert in page["alerts"].as_array().expect("alerts") {
            ids.push(alert["id"].as_str().expect("an id").trim_start_matches('0').to_owned());
        }
        match page["next"].as_str() {
            Some(token) => next = token.to_owned(),
            None => break,
        }
    }
    assert_eq!(ids, ["3", "2", "1", "9", "9"]);
}

#[tokio::test]
async fn one_alert_has_every_transition_once() {
    let service = Service::start().await;
    let before = transition(990, 7, AlertState::Firing);
    service.kept.transitions.lock().expect("whole").push(before.clone());
    service.hub.set_snapshot(LogPosition(1_000), [before.alert]);
    let mut client = service.live("").await;
    client.expect("snapshot").await;
    service.happen(&transition(1_000, 7, AlertState::Recovering));
    client.expect("transition").await;
    let alert = service.get("/api/v1/alerts/0000000000000007").await.json();
    assert_eq!(alert["state"], "recovering");
    assert_eq!(alert["complete"], true);
    let reasons: Vec<_> =
        alert["transitions"].as_array().expect("a list").iter().map(|it| &it["reason"]).collect();
    assert_eq!(reasons, ["#990", "#1000"]);

    service.kept.away.store(true, Ordering::Relaxed);
    let alert = service.get("/api/v1/alerts/0000000000000007").await.json();
    assert_eq!(alert["complete"], false);
    assert_eq!(alert["transitions"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn quarantined_payloads_are_shown_as_they_came() {
    let service = Service::start().await;
    let it = Quarantined {
        position: LogPosition(77),
        ordinal: 2,
        received_at: Timestamp::EPOCH,
        device: Some(device("freezer-1")),
        topic: "devices/freezer-1/telemetry".into(),
        payload: b"{\"t\":".to_vec().into(),
        reason: RejectReason::BadJson,
        detail: "ends too early".into(),
        kept: Some([].into()),
    };
    let binary = Quarantined { payload: vec![0xff, 0].into(), ..it.clone() };
    *service.kept.quarantined.lock().expect("whole") = vec![it, binary];
    let shown = service.get("/api/v1/quarantine?device=freezer-1").await.json();
    assert_eq!(
        shown["quarantine"][0],
        json!({"id": "77-2", "received_at": "1970-01-01T00:00:00.000000Z",
            "device": "freezer-1", "topic": "devices/freezer-1/telemetry", "reason": "bad_json",
            "detail": "ends too early", "payload_bytes": 5, "payload": "{\"t\":",
            "payload_base64": null})
    );
    assert_eq!(shown["quarantine"][1]["payload_base64"], "/wA=");
    assert_eq!(shown["quarantine"][1]["payload"], json!(null));
    let path = "/api/v1/quarantine?reason=bad_json&topic=plant/%23&from=2023-01-01T00:00:00Z";
    service.get(path).await;
    let question = service.kept.last_question();
    assert!(question.contains("reason: Some(BadJson), topic: Some(\"plant/#\")"), "{question}");
    let answer = service.get("/api/v1/quarantine?reason=bad_luck").await;
    assert_eq!(answer.status, 400);
}

#[tokio::test]
async fn readiness_stays_200_while_the_work_is_done() {
    let service = Service::start().await;
    assert_eq!(service.get("/healthz").await.json(), json!({"status": "ok"}));
    for (status, label, code) in [
        (HealthStatus::Ok, "ok", 200),
        (HealthStatus::Degraded, "degraded", 200),
        (HealthStatus::Unavailable, "unavailable", 503),
    ] {
        let check = Check { name: "database", status, detail: "as it is".to_owned() };
        {
            let mut readiness = service.condition.0.lock().expect("whole");
            readiness.status = status;
            readiness.checks = vec![check];
            readiness.database = Some(DatabaseInfo {
                mode: "timescale",
                postgresql: "17.5".to_owned(),
                timescaledb: Some("2.20.0".to_owned()),
                schema: 2,
            });
        }
        let ready = service.get("/readyz").await;
        assert_eq!(ready.status, code);
        assert_eq!(
            ready.json(),
            json!({"status": label, "checks": [
                {"name": "database", "status": label, "detail": "as it is"},
            ], "database": {
                "mode": "timescale", "postgresql": "17.5", "timescaledb": "2.20.0", "schema": 2,
            }, "version": env!("CARGO_PKG_VERSION")})
        );
    }
}

#[tokio::test]
async fn requests_are_counted_by_route() {
    let service = Service::start().await;
    service.get("/api/v1/devices/freezer-1").await;
    service.get("/api/v1/devices/none").await;
    service.get("/no/such.page").await;
    let metrics = service.get("/metrics").await;
    assert!(metrics.header("content-type").starts_with("text/plain"));
    for line in [
        r#"bellwire_http_requests_total{method="get",route="/api/v1/devices/{id}",status="2xx"} 1"#,
        r#"bellwire_http_requests_total{method="get",route="/api/v1/devices/{id}",status="4xx"} 1"#,
        r#"bellwire_http_request_duration_seconds_count{route="unmatched"} 1"#,
        r#"bellwire_live_clients{transport="websocket"} 0"#,
    ] {
        assert!(metrics.body.contains(line), "{line} in {}", metrics.body);
    }
}

#[tokio::test]
async fn pages_may_load_nothing_from_elsewhere() {
    let service = Service::start().await;
    for path in ["/", "/devices/freezer.1", "/favicon.svg"] {
        let page = service.get(path).await;
        assert_eq!(page.status, 200, "{path}");
        let policy = page.header("content-security-policy");
        assert!(policy.contains("default-src 'none'"), "{path}: {policy}");
        assert_eq!(page.header("x-content-type-options"), "nosniff");
    }
    let api = service.get("/api/v1/devices").await;
    assert_eq!(api.header("cache-control"), "no-store");
    assert_eq!(api.header("content-type"), "application/json");
}
