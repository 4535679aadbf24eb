//! What people do: sign in, change passwords, make tokens for their programs.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bellwire_model::Timestamp;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{House, PASSWORD};
use crate::auth::gate::{Difference, Outside, SignInError};
use crate::auth::name::UserName;
use crate::auth::people::{Access, PeopleError, Purpose, User, UserPatch};
use crate::auth::vigil::Vigil;
use crate::auth::{Pass, Role, Who};

const NULL: &Value = &Value::Null;

#[tokio::test]
async fn who_has_signed_in_stays_so_over_a_restart() {
    let house = House::with_users();
    let (cookie, csrf) = house.sign_in("Vera").await;
    let house = house.restarted();
    let me = house.send("GET /api/v1/session", &[("cookie", &cookie)], NULL).await;
    let (name, role, via) = (&me.body["name"], &me.body["role"], &me.body["via"]);
    assert_eq!((name, role, via), (&json!("vera"), &json!("viewer"), &json!("session")));
    assert_eq!(me.body["csrf"], json!(csrf));
    assert_eq!(me.body["expires_at"], json!("2023-11-15T10:13:20.000000Z"), "half a day");
}

#[tokio::test]
async fn a_session_ends_when_it_is_not_used() {
    let house = House::with_users();
    let (cookie, _) = house.sign_in("vera").await;
    let ask = async || house.send("GET /api/v1/session", &[("cookie", &cookie)], NULL).await.status;
    for _ in 0..14 {
        house.pass(43_199);
        assert_eq!(ask().await, 200);
    }
    house.pass(14);
    assert_eq!(ask().await, 401, "a week is over");
}

#[tokio::test]
async fn a_new_password_ends_all_other_sessions() {
    let house = House::with_users();
    let ((own, csrf), (other, _)) = (house.sign_in("vera").await, house.sign_in("vera").await);
    let headers = [("cookie", &*own), ("x-csrf-token", &*csrf)];
    let what = "POST /api/v1/users/vera/password";
    let mut body = json!({"password": "another long password"});
    let answer = house.send(what, &headers, &body).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (403, "wrong_password"));
    body["current"] = json!(PASSWORD);
    assert_eq!(house.send(what, &headers, &body).await.status, 204);
    let ask = async |cookie: &str| {
        house.send("GET /api/v1/session", &[("cookie", cookie)], NULL).await.status.as_u16()
    };
    assert_eq!((ask(&own).await, ask(&other).await), (200, 401));
    let before = json!({"name": "vera", "password": PASSWORD});
    assert_eq!(house.send("POST /api/v1/session", &[], &before).await.status, 401);
    // Others' passwords are for admins.
    let answer = house.send("POST /api/v1/users/olga/password", &headers, &body).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (404, "user_not_found"));
    let token = house.token("vera", Purpose::Viewer).await;
    let answer = house.send(what, &[("authorization", &token)], &body).await;
    assert_eq!(answer.status, 403, "a token does not outlive itself by a password");
}

#[tokio::test]
async fn sessions_are_seen_and_ended_by_whose_they_are_and_by_admins() {
    let house = House::with_users();
    let ((own, csrf), (other, _)) = (house.sign_in("vera").await, house.sign_in("vera").await);
    house.sign_in("olga").await;
    let list = async |header: (&str, &str)| {
        house.send("GET /api/v1/sessions", &[header], NULL).await.body["sessions"].clone()
    };
    let hers = list(("cookie", &own)).await;
    let rows = hers.as_array().expect("a list");
    assert!(rows.len() == 2 && rows.iter().all(|it| it["user"] == "vera"), "{hers}");
    let current: Vec<_> = rows.iter().filter(|it| it["current"] == true).collect();
    assert_eq!(current.len(), 1, "{hers}");
    let not_this = rows.iter().find(|it| it["current"] == false).expect("the other");
    let what = format!("DELETE /api/v1/sessions/{}", not_this["id"].as_str().expect("an id"));
    let headers = [("cookie", &*own), ("x-csrf-token", &*csrf)];
    assert_eq!(house.send(&what, &headers, NULL).await.status, 204);
    let ask = async |cookie: &str| {
        house.send("GET /api/v1/session", &[("cookie", cookie)], NULL).await.status.as_u16()
    };
    assert_eq!((ask(&own).await, ask(&other).await), (200, 401));
    let answer = house.send(&what, &headers, NULL).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (404, "session_not_found"));

    let admin = house.token("root", Purpose::Admin).await;
    let all = list(("authorization", &admin)).await;
    assert_eq!(all.as_array().map(Vec::len), Some(2), "{all}");
    let of_olga = all.as_array().and_then(|all| all.iter().find(|it| it["user"] == "olga"));
    let what = format!(
        "DELETE /api/v1/sessions/{}",
        of_olga.expect("hers")["id"].as_str().expect("an id")
    );
    let answer = house.send(&what, &headers, NULL).await;
    assert_eq!(answer.code(), "session_not_found", "vera does not see it");
    assert_eq!(house.send(&what, &[("authorization", &admin)], NULL).await.status, 204);
    assert_eq!(list(("authorization", &admin)).await.as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn who_is_removed_or_disabled_is_out() {
    let house = House::with_users();
    let admin = house.token("root", Purpose::Admin).await;
    let admin = [("authorization", &*admin)];
    let (cookie, _) = house.sign_in("vera").await;
    let token = house.token("vera", Purpose::Viewer).await;
    let ask = async |header: (&str, &str)| {
        house.send("GET /api/v1/session", &[header], NULL).await.status.as_u16()
    };
    let disable = json!({"disabled": true});
    let answer = house.send("PATCH /api/v1/users/vera", &admin, &disable).await;
    assert_eq!((answer.status.as_u16(), &answer.body["disabled"]), (200, &json!(true)));
    assert_eq!(ask(("authorization", &token)).await, 401);
    assert_eq!(ask(("cookie", &cookie)).await, 401);
    let body = json!({"name": "vera", "password": PASSWORD});
    assert_eq!(house.send("POST /api/v1/session", &[], &body).await.status, 401);
    let enable = json!({"disabled": false});
    assert_eq!(house.send("PATCH /api/v1/users/vera", &admin, &enable).await.status, 200);
    assert_eq!(ask(("authorization", &token)).await, 200);
    assert_eq!(ask(("cookie", &cookie)).await, 401, "a session does not come back");
    let (cookie, _) = house.sign_in("vera").await;
    assert_eq!(house.send("DELETE /api/v1/users/vera", &admin, NULL).await.status, 204);
    assert_eq!((ask(("authorization", &token)).await, ask(("cookie", &cookie)).await), (401, 401));
    let answer = house.send("DELETE /api/v1/users/root", &admin, NULL).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (409, "last_admin"));
}

#[tokio::test]
async fn a_role_counts_at_once() {
    let house = House::with_users();
    let admin = house.token("root", Purpose::Admin).await;
    let olga = house.token("olga", Purpose::Operator).await;
    let ask = async || {
        let headers = [("authorization", &*olga)];
        house.send("POST /api/v1/quarantine/replay", &headers, NULL).await.code().to_owned()
    };
    assert_ne!(ask().await, "forbidden");
    let body = json!({"role": "viewer", "scope": "site = 'a'"});
    let answer = house.send("PATCH /api/v1/users/olga", &[("authorization", &admin)], &body).await;
    assert_eq!(answer.body["scope"], json!("site = 'a'"), "{answer:?}");
    assert_eq!(ask().await, "forbidden", "her token may not do more than she");
    let me = house.send("GET /api/v1/session", &[("authorization", &olga)], NULL).await;
    assert_eq!((&me.body["role"], &me.body["scope"]), (&json!("viewer"), &json!("site = 'a'")));
    let admin_in_scope = json!({"role": "admin"});
    let headers = [("authorization", &*admin)];
    let answer = house.send("PATCH /api/v1/users/olga", &headers, &admin_in_scope).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (422, "invalid_scope"));
}

#[tokio::test]
async fn a_token_is_shown_once_to_who_made_it() {
    let house = House::with_users();
    let (cookie, csrf) = house.sign_in("olga").await;
    let headers = [("cookie", &*cookie), ("x-csrf-token", &*csrf)];
    let make = async |body: Value| house.send("POST /api/v1/tokens", &headers, &body).await;
    let made = make(json!({"name": "gateway", "role": "telemetry", "expires_in": "7d"})).await;
    assert_eq!(made.status, 201, "{made:?}");
    let token = format!("Bearer {}", made.body["token"].as_str().unwrap());
    assert_eq!(made.body["expires_at"], json!("2023-11-21T22:13:20.000000Z"));
    let me = house.send("GET /api/v1/session", &[("authorization", &token)], NULL).await;
    assert_eq!(me.body["name"], json!("olga/gateway"));
    let list = house.send("GET /api/v1/tokens", &headers, NULL).await;
    let shown = &list.body["tokens"][0];
    assert_eq!(shown["last_used"], json!("2023-11-14T22:13:00.000000Z"), "to the minute");
    assert!(shown["token"].is_null() && !list.body.to_string().contains("hash"), "{list:?}");
    for (body, code) in [
        (json!({"name": "a", "role": "admin"}), "more_than_user"),
        (json!({"name": "gateway", "role": "viewer"}), "token_exists"),
        (json!({"name": "a", "role": "viewer", "expires_in": "366d"}), "invalid_body"),
        (json!({"name": "a", "role": "viewer", "user": "root"}), "forbidden"),
        (json!({"name": "a/b", "role": "viewer"}), "invalid_token_name"),
    ] {
        assert_eq!(make(body).await.code(), code);
    }
    let viewer = house.token("root", Purpose::Viewer).await;
    let viewer = [("authorization", &*viewer)];
    let body = json!({"name": "a", "role": "viewer"});
    let answer = house.send("POST /api/v1/tokens", &viewer, &body).await;
    assert_eq!(answer.code(), "forbidden", "a token makes no tokens");
    // Nobody sees or revokes what is another's.
    let (cookie, csrf) = house.sign_in("vera").await;
    let headers = [("cookie", &*cookie), ("x-csrf-token", &*csrf)];
    let list = house.send("GET /api/v1/tokens", &headers, NULL).await;
    assert_eq!(list.body, json!({"tokens": []}));
    let what = format!("DELETE /api/v1/tokens/{}", made.body["id"].as_str().unwrap());
    assert_eq!(house.send(&what, &headers, NULL).await.code(), "token_not_found");
}

#[tokio::test]
async fn the_machines_own_token_is_an_admins_and_there_before_anybody_is() {
    let house = House::empty().restarted();
    let token = house.store.local.lock().unwrap().clone().expect("it is shown");
    let local = [("authorization", &*format!("Bearer {token}"))];
    let me = house.send("GET /api/v1/session", &local, NULL).await;
    assert_eq!((&me.body["name"], &me.body["role"]), (&json!("local"), &json!("admin")));
    let body = json!({"name": "root", "password": PASSWORD, "role": "admin"});
    assert_eq!(house.send("POST /api/v1/users", &local, &body).await.status, 201);
    let token = json!({"name": "t", "role": "admin", "user": "root"});
    assert_eq!(house.send("POST /api/v1/tokens", &local, &token).await.status, 201);
    let house = house.restarted();
    let answer = house.send("GET /api/v1/session", &local, NULL).await;
    assert_eq!(answer.status, 401, "each start has another");
}

#[tokio::test]
async fn what_others_change_is_taken_up() {
    let house = House::with_users();
    let (cookie, _) = house.sign_in("vera").await;
    let stop = CancellationToken::new();
    house.app.tracker.spawn(Arc::clone(house.gate()).run(stop.clone()));
    house.store.people.lock().unwrap().remove("vera").unwrap();
    house.store.changed.store(1, Ordering::Relaxed);
    let mut changes = house.gate().changes();
    while house.send("GET /api/v1/session", &[("cookie", &cookie)], NULL).await.status == 200 {
        changes.changed().await.unwrap();
    }
    stop.cancel();
    house.app.tracker.close();
    house.app.tracker.wait().await;
    assert!(house.store.local.lock().unwrap().is_none(), "it does not outlive the service");
}

#[tokio::test]
async fn what_others_change_is_taken_up_by_a_change_that_is_refused() {
    let house = House::with_users();
    let token = house.token("vera", Purpose::Viewer).await;
    assert_eq!(
        house.send("GET /api/v1/session", &[("authorization", &token)], NULL).await.status,
        200
    );
    house.store.people.lock().unwrap().remove("vera").unwrap();
    house.store.changed.store(1, Ordering::Relaxed);
    let (_, root) = (house.gate().take_outside(), UserName::new("root").unwrap());
    let again = User::new(Role::Viewer, Timestamp::from_secs(1));
    let refused = house.gate().change(move |people| people.add(root, again)).await;
    assert!(matches!(refused, Err(SignInError::People(PeopleError::Exists(_)))), "{refused:?}");
    assert_eq!(
        house.send("GET /api/v1/session", &[("authorization", &token)], NULL).await.status,
        401
    );
    let Outside { kept, n_more: 0 } = house.gate().take_outside() else { panic!("all are kept") };
    assert!(
        matches!(&kept[..], [Difference::User { name, before: Some(_), after: None }] if name.as_str() == "vera"),
        "{kept:?}"
    );
}

/// Who a token's bearer is.
fn bearer(house: &House, token: &str) -> Who {
    let id = token.split('_').nth(1).unwrap();
    let headers = [(axum::http::header::AUTHORIZATION, token.parse().unwrap())];
    let source = crate::auth::origin::Source {
        address: [10, 0, 0, 1].into(),
        wire: crate::auth::origin::Wire::Plain,
        nearness: crate::auth::origin::Nearness::Elsewhere,
    };
    let who = house.gate().admit(&headers.into_iter().collect(), source).unwrap().who;
    assert_eq!(who.pass, Pass::Token(id.into()));
    who
}

#[tokio::test]
async fn who_stays_is_seen_out_when_they_may_do_less() {
    let house = House::with_users();
    let change = async |patch: UserPatch| {
        house.gate().change(move |people| people.change("olga", patch)).await.unwrap();
    };
    let token = house.token("olga", Purpose::Operator).await;
    let who = bearer(&house, &token);
    let mut vigil = Vigil::over(&house.app, &who);
    // What concerns others does not disturb her.
    house.token("vera", Purpose::Viewer).await;
    let nothing = std::future::ready(());
    tokio::select! { biased; () = vigil.ended() => panic!("nothing has changed"), () = nothing => {} }
    change(UserPatch { scope: Some(Some("site = 'a'".to_owned())), ..UserPatch::default() }).await;
    vigil.ended().await;
    let mut vigil = Vigil::over(&house.app, &bearer(&house, &token));
    change(UserPatch { access: Some(Access::Disabled), ..UserPatch::default() }).await;
    vigil.ended().await;
    let mut anybody = Vigil::over(&crate::live::testing::app(), &Who::anybody());
    let nothing = std::future::ready(());
    tokio::select! { biased; () = anybody.ended() => panic!("he has no end"), () = nothing => {} }
}

#[tokio::test(start_paused = true)]
async fn who_stays_is_seen_out_when_their_token_ends() {
    let house = House::with_users();
    let token = house.token("olga", Purpose::Operator).await;
    let mut vigil = Vigil::over(&house.app, &bearer(&house, &token));
    house.pass(3_599);
    let ended = tokio::time::timeout(std::time::Duration::from_millis(400), vigil.ended()).await;
    assert!(ended.is_err(), "not yet");
    house.pass(1);
    vigil.ended().await;
}
