//! What others try.

use serde_json::{Value, json};

use super::{House, PASSWORD};
use crate::auth::people::Purpose;

const NULL: &Value = &Value::Null;

#[tokio::test]
async fn a_password_is_not_found_by_trying() {
    let house = House::with_users();
    let wrong = json!({"name": "vera", "password": "incorrect horse battery"});
    let mut answers = Vec::new();
    for _ in 0..8 {
        answers.push(house.send("POST /api/v1/session", &[], &wrong).await);
    }
    let statuses: Vec<_> = answers.iter().map(|it| it.status.as_u16()).collect();
    assert_eq!(statuses, [401, 401, 401, 401, 401, 429, 429, 429]);
    let last = answers.last().unwrap();
    assert_eq!(last.code(), "too_many_attempts");
    assert_eq!(last.headers.get("retry-after").unwrap(), "1");
    assert!(last.headers.get("set-cookie").is_none());
    // Not even the right one counts meanwhile; from elsewhere it does, and later.
    let right = json!({"name": "vera", "password": PASSWORD});
    assert_eq!(house.send("POST /api/v1/session", &[], &right).await.status, 429);
    assert_eq!(house.send_from(2, "POST /api/v1/session", &[], &right).await.status, 200);
    house.pass(2);
    assert_eq!(house.send("POST /api/v1/session", &[], &right).await.status, 200);
}

#[tokio::test]
async fn nobody_learns_who_there_is() {
    let house = House::with_users();
    let mut said = Vec::new();
    for name in ["vera", "nobody-of-that-name", "a/b", ""] {
        let body = json!({"name": name, "password": "incorrect horse battery"});
        let mut answer = house.send("POST /api/v1/session", &[], &body).await;
        answer.body["request_id"] = Value::Null;
        said.push((answer.status, answer.body));
    }
    assert!(said.windows(2).all(|two| two[0] == two[1]), "{said:?}");
}

#[tokio::test]
async fn signing_in_begins_another_session_than_the_one_that_was_brought() {
    let house = House::with_users();
    let (planted, _) = house.sign_in("vera").await;
    let body = json!({"name": "root", "password": PASSWORD});
    let answer = house.send("POST /api/v1/session", &[("cookie", &planted)], &body).await;
    assert_ne!(answer.cookie(), planted);
    let before = house.send("GET /api/v1/session", &[("cookie", &planted)], NULL).await;
    assert_eq!(before.status, 401, "and the one before is over");
    // One that was made up is not taken on.
    let made_up = format!("bellwire={}", "ab".repeat(32));
    let answer = house.send("POST /api/v1/session", &[("cookie", &made_up)], &body).await;
    assert_ne!(answer.cookie(), made_up);
}

#[tokio::test]
async fn a_cookie_that_was_signed_out_is_worth_nothing() {
    let house = House::with_users();
    let (cookie, csrf) = house.sign_in("vera").await;
    let headers = [("cookie", &*cookie), ("x-csrf-token", &*csrf)];
    let out = house.send("DELETE /api/v1/session", &headers, NULL).await;
    assert_eq!(out.status, 204);
    assert!(out.headers.get("set-cookie").unwrap().to_str().unwrap().contains("Max-Age=0"));
    let again = house.send("GET /api/v1/session", &[("cookie", &cookie)], NULL).await;
    assert_eq!((again.status.as_u16(), again.code()), (401, "unauthenticated"));
    let house = house.restarted();
    let again = house.send("GET /api/v1/session", &[("cookie", &cookie)], NULL).await;
    assert_eq!(again.status, 401, "nor after a restart");
}

#[tokio::test]
async fn a_cookie_alone_changes_nothing() {
    let house = House::with_users();
    let (cookie, csrf) = house.sign_in("root").await;
    let (_, other) = house.sign_in("root").await;
    let body = json!({"name": "eve", "password": PASSWORD, "role": "admin"});
    let post = async |headers: &[(&str, &str)]| {
        let all: Vec<_> =
            std::iter::once(("cookie", &*cookie)).chain(headers.iter().copied()).collect();
        house.send("POST /api/v1/users", &all, &body).await
    };
    let own = ("origin", "http://bell.test");
    for headers in [
        vec![],
        vec![own],
        vec![own, ("x-csrf-token", "")],
        vec![own, ("x-csrf-token", &*other)],
        vec![("origin", "http://evil.test"), ("x-csrf-token", &*csrf)],
        vec![("origin", "null"), ("x-csrf-token", &*csrf)],
        vec![("sec-fetch-site", "cross-site"), ("x-csrf-token", &*csrf)],
    ] {
        let answer = post(&headers).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (403, "csrf"), "{headers:?}");
    }
    assert_eq!(post(&[own, ("x-csrf-token", &csrf)]).await.status, 201);
}

#[tokio::test]
async fn a_foreign_page_signs_nobody_in() {
    let house = House::with_users();
    let body = json!({"name": "root", "password": PASSWORD});
    let foreign = [("origin", "http://evil.test")];
    let answer = house.send("POST /api/v1/session", &foreign, &body).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (403, "csrf"));
}

#[tokio::test]
async fn tokens_end_and_are_revoked() {
    let house = House::with_users();
    let token = house.token("vera", Purpose::Viewer).await;
    let ask = async |token: &str| {
        house.send("GET /api/v1/session", &[("authorization", token)], NULL).await.status.as_u16()
    };
    assert_eq!(ask(&token).await, 200);
    house.pass(3_600);
    assert_eq!(ask(&token).await, 401, "it has ended");
    let token = house.token("vera", Purpose::Viewer).await;
    let id = token.split('_').nth(1).unwrap().to_owned();
    let admin = house.token("root", Purpose::Admin).await;
    let what = format!("DELETE /api/v1/tokens/{id}");
    assert_eq!(house.send(&what, &[("authorization", &admin)], NULL).await.status, 204);
    assert_eq!(ask(&token).await, 401, "it is revoked");
}

#[tokio::test]
async fn a_token_counts_in_the_head_only() {
    let house = House::with_users();
    let token = house.token("root", Purpose::Admin).await;
    let token = token.strip_prefix("Bearer ").unwrap();
    for path in [
        format!("/api/v1/devices?token={token}"),
        format!("/api/v1/devices?access_token={token}"),
        format!("/api/v1/devices?authorization=Bearer%20{token}"),
    ] {
        assert_eq!(house.send(&format!("GET {path}"), &[], NULL).await.status, 401, "{path}");
    }
}

#[tokio::test]
async fn garbage_is_nobody() {
    let house = House::with_users();
    let token = house.token("root", Purpose::Admin).await;
    let secret = token.rsplit('_').next().unwrap();
    let id = token.split('_').nth(1).unwrap();
    let long = format!("Bearer bwt_{}", "a".repeat(20_000));
    let wrong = format!("Bearer bwt_{id}_{}", "0".repeat(64));
    let other = format!("Bearer bwt_ffffffffffff_{secret}");
    for garbage in [
        "",
        " ",
        "Bearer",
        "Bearer ",
        "Bearer  ",
        "Basic cm9vdDpyb290",
        "bearer bwt_",
        "Bearer bwl_",
        "Bearer bwt__",
        "Bearer bwl_zz",
        &long,
        &wrong,
        &other,
    ] {
        let headers = [("authorization", garbage)];
        let answer = house.send("GET /api/v1/devices", &headers, NULL).await;
        assert_eq!(answer.status, 401, "{:.40}", garbage);
        assert_eq!(answer.headers.get("www-authenticate").unwrap(), "Bearer");
    }
    // One that is wrong is not made good by a cookie.
    let (cookie, _) = house.sign_in("root").await;
    let headers = [("authorization", &*wrong), ("cookie", &*cookie)];
    assert_eq!(house.send("GET /api/v1/devices", &headers, NULL).await.status, 401);
}

#[tokio::test]
async fn nobody_takes_over_a_service_that_is_not_set_up() {
    let house = House::empty().restarted();
    for path in ["/api/v1/devices", "/api/v1/session", "/api/v1/live/poll"] {
        let answer = house.send(&format!("GET {path}"), &[], NULL).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (403, "setup_needed"), "{path}");
    }
    let mut body =
        json!({"code": "000000-000000-000000-000000", "name": "eve", "password": PASSWORD});
    for code in ["", "000000-000000-000000-000000", "-"] {
        body["code"] = code.into();
        let answer = house.send_from(6, "POST /api/v1/setup", &[], &body).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (403, "wrong_setup_code"));
    }
    let code = house.store.code.lock().unwrap().clone().expect("it is shown");
    let right = json!({"code": code.to_uppercase(), "name": "Root", "password": PASSWORD});
    let weak = json!({"code": code, "name": "root", "password": "short"});
    let answer = house.send("POST /api/v1/setup", &[], &weak).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (422, "invalid_password"));
    let answer = house.send("POST /api/v1/setup", &[], &right).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!((&answer.body["name"], &answer.body["role"]), (&json!("root"), &json!("admin")));
    assert!(house.store.code.lock().unwrap().is_none(), "the code is gone");
    let cookie = answer.cookie();
    let me = house.send("GET /api/v1/users", &[("cookie", &cookie)], NULL).await;
    assert_eq!(me.status, 200);
    let again = json!({"code": code, "name": "eve", "password": PASSWORD});
    let answer = house.send("POST /api/v1/setup", &[], &again).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (409, "set_up"));
}

#[tokio::test]
async fn the_set_up_code_is_not_found_by_trying() {
    let house = House::empty().restarted();
    let body = json!({"code": "1", "name": "eve", "password": PASSWORD});
    let mut last = 0;
    for _ in 0..7 {
        last = house.send("POST /api/v1/setup", &[], &body).await.status.as_u16();
    }
    assert_eq!(last, 429);
}
