//! What every request passes: a name, a limit, its key, and who may read the answer.

use std::collections::BTreeSet;

use bellwire_api::config::Origin;
use serde_json::Value;

use crate::support::{Answer, Service};

/// Asks with these lines in the head, and this body.
async fn ask(service: &Service, what: &str, headers: &str, body: &str) -> Answer {
    let length = body.len();
    let kind = "content-type: application/json\r\n";
    let request = format!(
        "{what} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}{kind}content-length: {length}\r\n\r\n{body}"
    );
    service.send(&request).await
}

#[tokio::test]
async fn every_route_takes_the_methods_that_the_document_says() {
    let service = Service::start().await;
    let document: Value = service.get("/api/v1/openapi.json").await.json();
    assert_eq!(document["openapi"], "3.1.0");
    for (path, item) in document["paths"].as_object().expect("paths") {
        let concrete: String = path
            .split('/')
            .map(|part| if part.starts_with('{') { "1" } else { part })
            .collect::<Vec<_>>()
            .join("/");
        let answer = ask(&service, &format!("BREW {concrete}"), "", "").await;
        assert_eq!(answer.status, 405, "{path}");
        let allowed = answer.header("allow").split(',').filter(|method| *method != "head");
        let allowed: BTreeSet<String> = allowed.map(str::to_owned).collect();
        let described = item.as_object().expect("operations").keys().cloned().collect();
        assert_eq!(allowed, described, "{path}: routed, and described in api/src/openapi");
    }
}

#[tokio::test]
async fn the_document_and_the_rules_are_not_sent_again_to_whoever_has_them() {
    let service = Service::start().await;
    for path in ["/api/v1/openapi.json", "/api/v1/rules"] {
        let first = service.get(path).await;
        let tag = first.header("etag").to_owned();
        assert!(first.status == 200 && tag.starts_with('"'), "{first:?}");
        let known = format!("if-none-match: {tag}\r\n");
        let again = ask(&service, &format!("GET {path}"), &known, "").await;
        assert_eq!((again.status, &*again.body), (304, ""));
        assert_eq!(again.header("etag"), tag);
    }
}

#[tokio::test]
async fn a_request_has_the_name_that_its_client_gives_it_or_a_new_one() {
    let service = Service::start().await;
    let given = ask(&service, "GET /api/v1/devices/none", "x-request-id: ours-1\r\n", "").await;
    assert_eq!(given.header("x-request-id"), "ours-1");
    assert_eq!(given.json()["request_id"], "ours-1");
    let odd = ask(&service, "GET /api/v1/devices/none", "x-request-id: a b\r\n", "").await;
    let id = odd.header("x-request-id").to_owned();
    assert!(id.len() > 16 && odd.json()["request_id"] == id, "{odd:?}");
    assert_ne!(service.get("/api/v1/devices").await.header("x-request-id"), id);
}

#[tokio::test]
async fn who_asks_too_much_is_told_when_to_come_back() {
    let service = Service::start_with(|config| {
        config.rate.requests_per_second = 1;
        config.rate.burst = 3.try_into().expect("not zero");
    })
    .await;
    let path = "/api/v1/rules";
    let first = service.get(path).await;
    assert_eq!(first.status, 200);
    assert_eq!(first.header("ratelimit-policy"), r#""client";q=3;w=3"#);
    assert_eq!(first.header("ratelimit"), r#""client";r=2;t=0"#);
    let mut last = first;
    for _ in 0..20 {
        last = service.get(path).await;
        if last.status != 200 {
            break;
        }
    }
    assert_eq!((last.status, &last.json()["code"]), (429, &"too_many_requests".into()));
    assert!(!last.header("retry-after").is_empty());
    assert_eq!(service.get("/healthz").await.status, 200, "whoever watches is not counted");
    let count = service.metric("bellwire_http_rate_limited_total");
    assert!(count >= 1.0, "{count}");
}

#[tokio::test]
async fn pages_of_other_origins_may_ask_only_where_the_settings_say_so() {
    let preflight = "origin: https://ops.example.org\r\naccess-control-request-method: PUT\r\n\
        access-control-request-headers: if-match\r\n";
    let from = "origin: https://ops.example.org\r\n";
    let (what, get) = ("OPTIONS /api/v1/rules/a", "GET /api/v1/rules");
    let closed = Service::start().await;
    let answer = ask(&closed, what, preflight, "").await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (405, ""));
    assert_eq!(ask(&closed, get, from, "").await.header("access-control-allow-origin"), "");
    let origin = Origin::try_from("https://ops.example.org".to_owned()).expect("valid");
    let open = Service::start_with(|config| config.cors_origins = vec![origin.clone()]).await;
    let answer = ask(&open, what, preflight, "").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-origin"), origin.as_str());
    assert_eq!(answer.header("access-control-allow-credentials"), "true");
    assert!(answer.header("access-control-allow-methods").contains("put"), "{answer:?}");
    assert!(answer.header("access-control-allow-headers").contains("if-match"), "{answer:?}");
    let answer = ask(&open, get, from, "").await;
    assert_eq!(answer.header("access-control-allow-origin"), origin.as_str());
    assert!(answer.header("vary").contains("origin"), "{answer:?}");
    assert!(answer.header("access-control-expose-headers").contains("etag"), "{answer:?}");
    let other = preflight.replace("ops.", "evil.");
    let answer = ask(&open, what, &other, "").await;
    assert_eq!(answer.header("access-control-allow-origin"), "");
}

#[tokio::test]
async fn a_request_with_a_key_is_done_once() {
    let service = Service::start().await;
    let asked = || service.memory.changes.lock().expect("whole").len();
    let put = |key: &str, body: &str| {
        let headers = format!("if-match: *\r\nidempotency-key: {key}\r\n");
        let body = body.to_owned();
        let service = &service;
        async move { ask(service, "PUT /api/v1/devices/freezer-1", &headers, &body).await }
    };
    let first = put("k1", r#"{"model": "m"}"#).await;
    assert_eq!((first.status, first.header("idempotency-replayed"), asked()), (200, "", 1));
    let again = put("k1", r#"{"model": "m"}"#).await;
    assert_eq!((again.status, again.header("idempotency-replayed"), asked()), (200, "true", 1));
    assert_eq!((again.body, again.head.contains("etag: ")), (first.body, true));
    let other = put("k1", r#"{"model": "n"}"#).await;
    assert_eq!((other.status, &other.json()["code"]), (422, &"idempotency_key_reused".into()));
    assert_eq!(put("k2", r#"{"model": "m"}"#).await.status, 200);
    assert_eq!(asked(), 2);
    for key in ["\u{fc}", "a b", "", &"x".repeat(201)] {
        let wrong = put(key, "{}").await;
        assert_eq!((wrong.status, &wrong.json()["code"]), (400, &"invalid_idempotency_key".into()));
    }
    // A refusal is an answer; what may be otherwise the next time is not.
    let refused = put("k3", r#"{"labels": {"1": "x"}}"#).await;
    assert_eq!((refused.status, put("k3", r#"{"labels": {"1": "x"}}"#).await.status), (422, 422));
    assert_eq!(asked(), 2);
}

#[tokio::test]
async fn lists_link_to_their_next_page() {
    let service = Service::start().await;
    for path in ["/api/v1/devices", "/api/v1/latest"] {
        let first = service.get(&format!("{path}?limit=1")).await;
        let link = first.header("link").to_owned();
        assert_eq!(link, format!("<{path}?limit=1&cursor=freezer-1>; rel=\"next\""));
        let next = link.trim_start_matches('<').split('>').next().expect("a link").to_owned();
        assert_eq!(service.get(&next).await.header("link"), "", "{path}: the last page");
    }
}

#[tokio::test]
async fn the_reference_is_a_page_of_files_and_loads_nothing_from_elsewhere() {
    let service = Service::start().await;
    let page = service.get("/api/v1/docs").await;
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    let policy = page.header("content-security-policy");
    assert!(policy.contains("script-src 'self';") && !policy.contains("unsafe"), "{policy}");
    let loaded = page.body.split(['"']).filter(|it| it.starts_with("docs/"));
    let loaded: Vec<&str> = loaded.collect();
    assert_eq!(loaded, ["docs/page.css", "docs/page.js"]);
    for file in loaded {
        assert_eq!(service.get(&format!("/api/v1/{file}")).await.status, 200, "{file}");
    }
    assert!(!page.body.contains("://") && !page.body.contains("<style"), "{}", page.body);
    assert_eq!(service.get("/api/v1/docs/other.js").await.status, 404);
}

// Found by schemathesis: a list of the fields' values was read as the object.
#[tokio::test]
async fn a_list_is_no_object() {
    let service = Service::start().await;
    for what in ["POST /api/v1/rules/too-warm/backtest", "POST /api/v1/quarantine/replay"] {
        let answer = ask(&service, what, "", "[null, null]").await;
        assert_eq!((answer.status, &answer.json()["code"]), (400, &"invalid_body".into()));
    }
}
