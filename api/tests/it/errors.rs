//! What is answered to requests that are wrong, and when something is missing.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bellwire_api::{Api, Config, Error};

use crate::support::{Answer, Service};

fn check(answer: &Answer, status: u16, code: &str, what: &str) {
    assert_eq!(answer.status, status, "{what}: {answer:?}");
    assert_eq!(answer.header("content-type"), "application/problem+json", "{what}");
    let problem = answer.json();
    assert_eq!(problem["code"], code, "{what}: {problem}");
    assert_eq!(problem["status"], status, "{what}");
    assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{what}");
}

#[tokio::test]
async fn every_wrong_request_is_answered_with_a_stable_code() {
    let service = Service::start().await;
    let readings = "/api/v1/devices/freezer-1/readings";
    for (path, status, code) in [
        ("/api/v1/devices/none", 404, "device_not_found"),
        ("/api/v1/devices/none/latest", 404, "device_not_found"),
        ("/api/v1/devices/none/readings", 404, "device_not_found"),
        ("/api/v1/devices/none/audit", 404, "device_not_found"),
        ("/api/v1/devices/a%2Fb", 404, "device_not_found"),
        ("/api/v1/devices/%ff", 404, "device_not_found"),
        ("/api/v1/devices?limit=0", 400, "invalid_parameter"),
        ("/api/v1/devices?cursor=a%2Fb", 400, "invalid_parameter"),
        ("/api/v1/devices?limt=5", 400, "unknown_parameter"),
        ("/api/v1/devices/freezer-1?x=1", 400, "unknown_parameter"),
        ("/api/v1/devices/freezer-1/latest?x=1", 400, "unknown_parameter"),
        ("/api/v1/devices/freezer-1/audit?x=1", 400, "unknown_parameter"),
        (&format!("{readings}?from=yesterday"), 400, "invalid_parameter"),
        (&format!("{readings}?to=1970-01-01T00:00:00Z&to=x"), 400, "duplicate_parameter"),
        (
            &format!("{readings}?from=2024-01-02T00:00:00Z&to=2024-01-01T00:00:00Z"),
            400,
            "invalid_parameter",
        ),
        (&format!("{readings}?bucket=5"), 400, "invalid_parameter"),
        (&format!("{readings}?metric=a%2Fb"), 400, "invalid_parameter"),
        (&format!("{readings}?cursor=nonsense"), 400, "invalid_parameter"),
        (&format!("{readings}?cursor=broken"), 500, "internal"),
        (
            &format!("{readings}?bucket=1s&from=2024-01-01T00:00:00Z&to=2024-01-02T00:00:00Z"),
            400,
            "too_many_buckets",
        ),
        (&format!("{readings}?fill=null"), 400, "missing_parameter"),
        (&format!("{readings}?points=100"), 400, "missing_parameter"),
        (&format!("{readings}?metric=a&method=minmax"), 400, "missing_parameter"),
        (&format!("{readings}?metric=a&points=100&bucket=1m"), 400, "conflicting_parameters"),
        (&format!("{readings}?bucket=1m&fill=null&limit=5"), 400, "conflicting_parameters"),
        (&format!("{readings}?metric=a&metric=b&points=100"), 400, "duplicate_parameter"),
        (&format!("{readings}?metric=a&points=1"), 400, "invalid_parameter"),
        (&format!("{readings}?bucket=1m&fill=zero"), 400, "invalid_parameter"),
        (&format!("{readings}?format=xml"), 400, "invalid_parameter"),
        (&format!("{readings}?bucket=1s&fill=null"), 400, "too_many_buckets"),
        ("/api/v1/readings?format=csv", 400, "invalid_parameter"),
        ("/api/v1/readings?metric=a&points=5", 400, "unknown_parameter"),
        ("/api/v1/alerts?state=burning", 400, "invalid_parameter"),
        ("/api/v1/alerts?states=firing", 400, "unknown_parameter"),
        ("/api/v1/alerts/0000000000000009", 404, "alert_not_found"),
        ("/api/v1/alerts/+0000000000000a", 404, "alert_not_found"),
        ("/api/v1/alerts/9?x=1", 400, "unknown_parameter"),
        ("/api/v1/rules?x=1", 400, "unknown_parameter"),
        ("/api/v1/quarantine?device=a%2Fb", 400, "invalid_parameter"),
        ("/api/v1/live", 426, "upgrade_required"),
        ("/api/v1/live/events?devices=a%2Fb", 400, "invalid_parameter"),
        ("/api/v1/live/poll?wait=2m", 400, "invalid_parameter"),
        ("/api/v1/nothing", 404, "route_not_found"),
        ("/api", 404, "route_not_found"),
        ("/nothing.js", 404, "route_not_found"),
        ("/assets/nothing", 404, "route_not_found"),
    ] {
        check(&service.get(path).await, status, code, path);
    }
}

#[tokio::test]
async fn a_misspelt_parameter_is_answered_with_the_right_one() {
    let service = Service::start().await;
    let answer = service.get("/api/v1/devices/freezer-1/readings?form=2024-01-01T00:00:00Z").await;
    let detail = answer.json()["detail"].as_str().map(str::to_owned).expect("a detail");
    assert_eq!(detail, "`form` is not known here; did you mean `from`?");
}

#[tokio::test]
async fn without_the_database_history_says_so_and_the_present_goes_on() {
    let service = Service::start().await;
    service.kept.away.store(true, Ordering::Relaxed);
    for path in [
        "/api/v1/devices/freezer-1/readings",
        "/api/v1/devices/freezer-1/readings?bucket=1m",
        "/api/v1/devices/freezer-1/audit",
        "/api/v1/alerts?state=resolved",
        "/api/v1/alerts/0000000000000009",
        "/api/v1/quarantine",
    ] {
        let answer = service.get(path).await;
        check(&answer, 503, "database_away", path);
        assert_eq!(answer.header("retry-after"), "5");
    }
    for path in ["/api/v1/devices", "/api/v1/alerts", "/api/v1/rules", "/readyz"] {
        assert_eq!(service.get(path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn a_database_that_does_not_answer_is_given_up() {
    let service = Service::start_with(|config| {
        config.history_timeout_ms = 20.try_into().expect("not zero");
        config.history_queries_max = 1.try_into().expect("not zero");
    })
    .await;
    service.kept.stuck.store(true, Ordering::Relaxed);
    let (one, two) =
        tokio::join!(service.get("/api/v1/quarantine"), service.get("/api/v1/quarantine"));
    check(&one, 503, "history_timeout", "the one that asks");
    check(&two, 503, "history_timeout", "the one that waits, or asks next");
}

#[tokio::test]
async fn only_reading_is_offered_and_bodies_are_bounded() {
    let service = Service::start().await;
    let post = |path: &str, bytes: usize| {
        let body = "x".repeat(bytes);
        format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {bytes}\r\n\r\n{body}"
        )
    };
    for path in ["/api/v1/devices/freezer-1/latest", "/", "/healthz"] {
        check(&service.send(&post(path, 2)).await, 405, "method_not_allowed", path);
    }
    let head = "HEAD /api/v1/devices HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let answer = service.send(head).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
    let head = "POST /api/v1/devices HTTP/1.1\r\nhost: x\r\nconnection: close\r\n";
    let long = format!("{head}content-length: 99999999\r\n\r\n");
    check(&service.send(&long).await, 413, "body_too_large", "a long body");
}

#[tokio::test]
async fn what_is_no_http_harms_no_one() {
    let service = Service::start().await;
    for nonsense in ["\x16\x03\x01\x02", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "\r\n\r\n\0"] {
        use tokio::io::AsyncWriteExt;
        let mut stream = tokio::net::TcpStream::connect(service.addr).await.expect("it listens");
        drop(stream.write_all(nonsense.as_bytes()).await);
    }
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(100_000));
    assert!(matches!(service.send(&long).await.status, 414 | 431));
    assert_eq!(service.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let service = Service::start().await;
    let config = Config { listen: service.addr, ..Config::default() };
    let ports = bellwire_api::Ports::nothing();
    let (hub, registry) = (Arc::clone(&service.hub), service.registry.clone());
    let clock = Arc::clone(&service.clock) as _;
    let bound = Api::bind(config, ports, hub, registry, clock, service.tracker.clone()).await;
    let error: Error = bound.expect_err("taken");
    assert_eq!(error.to_string(), format!("cannot listen for HTTP on {}", service.addr));
}

#[tokio::test]
async fn before_the_present_is_known_live_clients_are_sent_away() {
    let service = Service::start_unready(|_| {}).await;
    for path in ["/api/v1/live/events", "/api/v1/live/poll", "/api/v1/alerts"] {
        check(&service.get(path).await, 503, "starting", path);
    }
    service.hub.set_snapshot(crate::support::START, []);
    assert_eq!(service.get("/api/v1/alerts").await.status, 200);
}
