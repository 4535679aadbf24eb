//! Every route, by everybody.

use axum::http::Method;
use serde_json::Value;

use super::House;
use crate::auth::Role;
use crate::auth::people::Purpose;
use crate::auth::table::{Need, TABLE, need};
use crate::routes::TEMPLATES;

/// Routes that are open to whoever reaches the port, or have a rule of their own.
const OPEN: [&str; 3] = ["/metrics", "/healthz", "/readyz"];

const METHODS: [Method; 5] =
    [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

/// A path that the template takes.
fn path(template: &str) -> String {
    let parts = template.split('/').map(|part| if part.starts_with('{') { "7" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

/// Whether what is refused is said as it should be.
fn is_refused(answer: &super::Answer) -> bool {
    matches!((answer.status.as_u16(), answer.code()), (401, "unauthenticated") | (403, "forbidden"))
}

#[tokio::test]
async fn every_route_is_open_to_whom_it_is_for_and_to_nobody_else() {
    let house = House::with_users();
    let who = [
        None,
        Some((Purpose::Telemetry, house.token("olga", Purpose::Telemetry).await)),
        Some((Purpose::Viewer, house.token("root", Purpose::Viewer).await)),
        Some((Purpose::Operator, house.token("root", Purpose::Operator).await)),
        Some((Purpose::Admin, house.token("root", Purpose::Admin).await)),
    ];
    for (template, method, need) in TABLE {
        for who in &who {
            let may = match (need, who.as_ref().map(|(purpose, _)| *purpose)) {
                (Need::Nothing, _) | (Need::Anyone, Some(_)) => true,
                (_, None) => false,
                (Need::Telemetry, Some(purpose)) => purpose != Purpose::Viewer,
                (Need::Role(least), Some(purpose)) => {
                    purpose.role().is_some_and(|role| role >= *least)
                }
            };
            let token = who.as_ref().map(|(_, token)| ("authorization", token.as_str()));
            let what = format!("{method} {}", path(template));
            let headers: Vec<_> = token.into_iter().collect();
            let answer = house.send(&what, &headers, &Value::Null).await;
            let shown = who.as_ref().map(|(purpose, _)| purpose);
            // What a handler itself refuses, it says otherwise but for these two.
            let own = ["/api/v1/tokens", "/api/v1/users/{name}/password"].contains(template);
            if !(may && own) {
                assert_eq!(is_refused(&answer), !may, "{what} by {shown:?}: {answer:?}");
            }
            assert_ne!(answer.status, 405, "{what} is in the table and no route");
        }
    }
}

#[tokio::test]
async fn there_is_no_route_that_is_not_in_the_table() {
    let house = House::with_users();
    // Without a gate nothing is refused: what answers is a route.
    let mut open = std::sync::Arc::try_unwrap(house.app).expect("nobody else has it");
    open.gate = None;
    let house = House { app: std::sync::Arc::new(open), ..house };
    for template in TEMPLATES.iter().filter(|template| !OPEN.contains(template)) {
        for method in METHODS {
            let answer =
                house.send(&format!("{method} {}", path(template)), &[], &Value::Null).await;
            let is_route = answer.status != 405;
            assert_eq!(is_route, need(template, &method).is_some(), "{method} {template}");
        }
    }
}

#[tokio::test]
async fn what_is_not_in_the_table_nobody_may_do() {
    let house = House::with_users();
    let admin = house.token("root", Purpose::Admin).await;
    let answer = house.send("PUT /api/v1/alerts", &[("authorization", &admin)], &Value::Null).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (405, "method_not_allowed"));
    assert_eq!(answer.headers.get("allow").unwrap(), "GET,HEAD");
    assert_eq!(need("/api/v1/devices", &Method::HEAD), Some(Need::Role(Role::Viewer)));
    assert_eq!(need("", &Method::GET), None);
}

#[tokio::test]
async fn metrics_are_for_this_machine_and_whoever_may_look() {
    let house = House::with_users();
    let answer = house.send("GET /metrics", &[], &Value::Null).await;
    assert_eq!(answer.status, 401, "it comes from another machine");
    let viewer = house.token("vera", Purpose::Viewer).await;
    let answer = house.send("GET /metrics", &[("authorization", &viewer)], &Value::Null).await;
    assert_eq!(answer.status, 200);
    let telemetry = house.token("olga", Purpose::Telemetry).await;
    let answer = house.send("GET /metrics", &[("authorization", &telemetry)], &Value::Null).await;
    assert_eq!(answer.status, 403);
    for open in ["/healthz", "/readyz", "/"] {
        let answer = house.send(&format!("GET {open}"), &[], &Value::Null).await;
        assert!(![401, 403].contains(&answer.status.as_u16()), "{open}");
    }
}
