//! Which routes leave what, and what is cut or counted.

use axum::body::Body;
use axum::http::Method;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;

use super::*;
use crate::live::testing::app;

/// Every method of every route that could change something is in one of the lists, and nothing else is.
#[tokio::test]
async fn the_lists_have_every_route_that_could_change_something() {
    let router = TowerToHyperService::new(routes::router(app()));
    let mut wrong = Vec::new();
    for template in routes::TEMPLATES {
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            let path = template.replace(['{', '}'], "");
            let request = Request::builder().method(&method).uri(path).body(Body::empty());
            let answer = router.call(request.expect("a request")).await;
            let is_there = answer.expect("an answer").status() != StatusCode::METHOD_NOT_ALLOWED;
            let method = method.as_str();
            let in_writes = WRITES.iter().filter(|it| (it.0, it.1) == (method, template)).count();
            let in_others = OTHERS.iter().filter(|it| **it == (method, template)).count();
            if in_writes + in_others != usize::from(is_there) {
                wrong.push(format!(
                    "{method} {template}: there {is_there}, listed {in_writes} and {in_others}"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_is_too_long_is_cut_and_says_so() {
    let short = json!({ "a": "ü" });
    assert_eq!(&*text_of(&short), r#"{"a":"ü"}"#);
    for long in ["x".repeat(70_000), "\"".repeat(70_000), "ü".repeat(70_000), "\0".repeat(70_000)]
    {
        let text = text_of(&json!([long]));
        assert!(text.len() <= AuditDeed::JSON_BYTES_MAX, "{}", text.len());
        let cut: Value = serde_json::from_str(&text).expect("JSON still");
        assert_eq!(cut["cut"], true);
        assert!(cut["bytes"].as_u64() > Some(70_000), "{}", cut["bytes"]);
        assert!(cut["beginning"].as_str().is_some_and(|it| it.starts_with("[\"")));
    }
}

#[test]
fn of_many_refusals_some_are_told_and_the_others_counted() {
    let flood = Flood::default();
    let mut now = Instant::now();
    for _ in 0..2 {
        let all: Vec<_> = (0..15).map(|_| flood.refused(now)).collect();
        let counted = [Refusal::CountedFirst].into_iter().chain([Refusal::Counted; 4]);
        let expected: Vec<_> = [Refusal::Told; 10].into_iter().chain(counted).collect();
        assert_eq!(all, expected);
        // Until they are told of, nobody gets a line: the next second does not begin.
        now += Duration::from_secs(1);
        assert_eq!(flood.refused(now), Refusal::Counted);
        assert_eq!(flood.take(), 6);
    }
    assert_eq!(flood.refused(now), Refusal::Told);
    assert_eq!(flood.take(), 0);
}

/// A change of something, with this body.
fn change(body: Body) -> Request {
    let request = Request::builder().method(Method::POST).uri(routes::REPLAY);
    request.header("content-type", "application/json").body(body).expect("a request")
}

/// What a problem says: its status, its code, and after how many seconds to come again.
async fn problem(answer: Response) -> (u16, Value, Option<String>) {
    let (parts, body) = answer.into_parts();
    let bytes = axum::body::to_bytes(body, 1 << 20).await.expect("a body");
    let body: Value = serde_json::from_slice(&bytes).expect("JSON");
    let after = parts.headers.get("retry-after").and_then(|it| it.to_str().ok());
    (parts.status.as_u16(), body["code"].clone(), after.map(str::to_owned))
}

#[tokio::test(start_paused = true)]
async fn as_many_change_something_as_there_are_places_and_others_are_told_to_come_again() {
    let app = app();
    let router = TowerToHyperService::new(routes::router(Arc::clone(&app)));
    let ask = || router.call(change(Body::from("{}")));
    let places = u32::try_from(ACTING_MAX).expect("few");
    let all = app.places.acquire_many(places).await.expect("open");
    let answer = ask().await.expect("an answer");
    let told = (503, json!("writes_full"), Some("5".to_owned()));
    assert_eq!(problem(answer).await, told);
    assert_eq!(app.metrics.http.writes_refused.get(), 1);
    // Who waits gets the next place.
    let (answer, ()) = tokio::join!(ask(), async { drop(all) });
    let (_, code, _) = problem(answer.expect("an answer")).await;
    assert_ne!(code, "writes_full");
    assert_eq!(app.places.available_permits(), ACTING_MAX, "it is given back");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_holds_no_place_and_ends() {
    let app = app();
    let router = TowerToHyperService::new(routes::router(Arc::clone(&app)));
    let never = futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>();
    let slow = router.call(change(Body::from_stream(never)));
    tokio::pin!(slow);
    let begun = std::future::poll_fn(|cx| std::task::Poll::Ready(slow.as_mut().poll(cx)));
    assert!(begun.await.is_pending());
    assert_eq!(app.places.available_permits(), ACTING_MAX);
    let (status, code, _) = problem(slow.await.expect("an answer")).await;
    assert_eq!((status, code), (408, json!("body_timeout")));
}
