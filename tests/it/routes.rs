//! P6 for people: every route of the API × every role × with and without a scope × session and token, and
//! that nothing of what is outside of a scope shows, in whatever is answered.

mod scopes;
mod table;

use std::collections::BTreeSet;

use bellwire_api::auth::table::TABLE;
use serde_json::{Value, json};

use crate::support::events::Events;
use crate::support::http;
use crate::support::people::{add_user, ask, rules_of_two_sites, sign_in};
use crate::support::receiver::Receiver;
use crate::support::service::{Service, Settings};
use table::{ROWS, Row, Session};

/// Devices of two sites: `own-…` are within the scope, `zz-…` are not.
const SITES: [(&str, &str); 2] = [("own-*", "here"), ("zz-*", "zz-site")];

const SCOPE: &str = "site = 'here'";
/// It is in whatever tells of what lies outside.
const OUTSIDE: &str = "zz-";

/// Somebody, and how they come in.
#[derive(Debug)]
struct Person {
    user: &'static str,
    /// Their column in the table.
    column: usize,
    /// The lines of head that show who they are.
    head: String,
    by_token: bool,
}

impl Person {
    fn is_scoped(&self) -> bool {
        self.column >= 4
    }
}

/// Something of a device: what the table's words stand for.
#[derive(Clone, Debug)]
struct Things {
    device: &'static str,
    alert: String,
    command: String,
    silence: String,
}

impl Things {
    /// Of a device that there is not.
    fn absent() -> Self {
        let none = |digits| "a".repeat(digits);
        Self { device: "absent-1", alert: none(16), command: none(32), silence: none(32) }
    }

    fn put_into(&self, text: &str) -> String {
        let words = [
            ("DEVICE", self.device),
            ("ALERT", &self.alert),
            ("COMMAND", &self.command),
            ("SILENCE", &self.silence),
        ];
        words.iter().fold(text.to_owned(), |text, (word, value)| text.replace(word, value))
    }
}

/// A service with something of everything inside of the scope and outside, and its admin.
async fn prepare(receiver: &Receiver) -> (Service, String) {
    let settings = Settings { rules: Some(rules_of_two_sites(SITES)), ..Settings::guarded() }
        .set("BELLWIRE_HTTP_RATE_REQUESTS_PER_SECOND", 0)
        .set("BELLWIRE_HTTP_AUTH_METRICS", "token");
    let mut service = Service::prepare(settings);
    let config = service.dir().join("bellwire.toml");
    let channel =
        format!("[[channel]]\nname = 'ops'\ntype = 'webhook'\nurl = '{}'\n", receiver.url());
    std::fs::write(&config, channel).unwrap();
    service.set("BELLWIRE_CONFIG", config.display());
    for (name, role) in [
        ("root", "admin"),
        ("vera", "viewer"),
        ("olga", "operator"),
        ("vic", "viewer"),
        ("oskar", "operator"),
        ("another", "viewer"),
    ] {
        add_user(&service, name, role).await;
    }
    for name in ["vic", "oskar"] {
        service.run(&["people", "scope", name, SCOPE]).await;
    }
    service.launch().await;
    let root = sign_in(&service, "root").await;
    for name in ["r", "check"] {
        let rule = format!("[[rule]]\nname = \"{name}\"\nwhen = \"t > 1000\"\n");
        made(&service, &root, "POST /rules", &json!({"toml": rule})).await;
    }
    (service, root)
}

/// Has something made by an admin; the answer.
async fn made(service: &Service, root: &str, what: &str, body: &Value) -> Value {
    let what = what.replacen(' ', " /api/v1", 1);
    let (status, _, answer) = ask(service, &what, root, body).await;
    assert!((200..300).contains(&status), "{what}: {status} {answer}");
    answer
}

/// Something of everything of a device.
async fn fill(service: &Service, root: &str, device: &'static str) -> Things {
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{value}")).to_owned();
    let posts = json!([
        {"device": device, "telemetry": {"t": 9}},
        {"device": device, "telemetry": {"t": {"a": []}, "ts": "never"}},
    ]);
    made(service, root, "POST /telemetry", &posts).await;
    let one = |body: &Value| body["alerts"].as_array().is_some_and(|all| all.len() == 1);
    let alerts = format!("/api/v1/alerts?state=firing&device={device}");
    let alert = text(&service.wait_for(&alerts, one).await["alerts"][0]["id"]);
    let some = |body: &Value| body["quarantine"].as_array().is_some_and(|all| !all.is_empty());
    service.wait_for(&format!("/api/v1/quarantine?device={device}"), some).await;
    let what = format!("POST /devices/{device}/commands");
    let command = text(&made(service, root, &what, &json!({"payload": device})).await["id"]);
    let matchers = format!("device=\"{device}\", rule=\"no\"");
    let silence = json!({"matchers": matchers, "reason": "r", "for": "1h"});
    let silence = text(&made(service, root, "POST /silences", &silence).await["id"]);
    Things { device, alert, command, silence }
}

/// Everybody: nobody, and each column of the table by a session and by a token.
async fn everybody(service: &Service, root: &str) -> Vec<Person> {
    let mut all = vec![Person { user: "vera", column: 0, head: String::new(), by_token: false }];
    let columns = ["", "vera", "olga", "root", "vic", "oskar"];
    for (column, user) in columns.into_iter().enumerate().skip(1) {
        all.push(Person { user, column, head: sign_in(service, user).await, by_token: false });
    }
    // Whose user has no scope, and whose token has one.
    let tokens = [
        ("vera", "viewer", None),
        ("olga", "operator", None),
        ("root", "admin", None),
        ("vera", "viewer", Some(SCOPE)),
        ("olga", "operator", Some(SCOPE)),
    ];
    for (index, (user, role, scope)) in tokens.into_iter().enumerate() {
        let name = format!("{role} {}", scope.is_some());
        let body = json!({"name": name, "role": role, "user": user, "scope": scope});
        let token = made(service, root, "POST /tokens", &body).await["token"].clone();
        let head = format!("Authorization: Bearer {}\r\n", token.as_str().unwrap());
        all.push(Person { user, column: index + 1, head, by_token: true });
    }
    all
}

/// The test's own hands.
struct Asking<'a> {
    service: &'a Service,
    root: &'a str,
    number: u32,
}

impl Asking<'_> {
    /// Sends a request; status and body.
    async fn send(&self, what: &str, head: &str, body: &str) -> (u16, String) {
        let (method, path) = what.split_once(' ').unwrap();
        if path.starts_with("/live/events") {
            return match Events::open(&self.service.http(), "?devices=*", head).await {
                Ok(mut events) => (200, events.next().await.unwrap().to_string()),
                Err(status) => (status, String::new()),
            };
        }
        let is_plain = ["GET", "POST"].contains(&method)
            && !["/enable", "/disable", "/restore"].iter().any(|it| path.contains(it));
        let seen = if is_plain { "" } else { "If-Match: *\r\n" };
        let (what, head) = (format!("{method} /api/v1{path}"), format!("{head}{seen}"));
        let (status, _, body) = http::send(&self.service.http(), &what, &head, body).await.unwrap();
        (status, body)
    }

    /// Asks for what a row says about these things, as somebody.
    async fn ask(&mut self, row: &Row, who: &Person, things: &Things) -> (u16, String) {
        self.number += 1;
        let number = self.number.to_string();
        let fill = |text: &str| things.put_into(text).replace("NUMBER", &number);
        let mut new = "a".repeat(32);
        if let Some((what, body)) = row.first.filter(|_| things.device != "absent-1") {
            let (_, answer) = self.send(&fill(what), self.root, &fill(body)).await;
            let answer: Value = serde_json::from_str(&answer).unwrap_or_default();
            answer["id"].as_str().unwrap_or_default().clone_into(&mut new);
        }
        let mut head = who.head.clone();
        if row.session == Session::Own && !who.by_token && who.column > 0 {
            head = sign_in(self.service, who.user).await;
        }
        let fill = |text: &str| fill(text).replace("NEW", &new).replace("SELF", who.user);
        self.send(&fill(row.what), &head, &fill(row.body)).await
    }

    /// Checks a row for somebody, inside and outside.
    async fn check(&mut self, row: &Row, who: &Person, inside: &Things, outside: &Things) {
        let expects = if who.by_token { row.by_token } else { row.expects };
        let expected = expects.split(' ').nth(who.column).expect("a column for everybody");
        let (own, foreign) = expected.split_once('/').unwrap_or((expected, expected));
        let (status, body) = self.ask(row, who, inside).await;
        assert_eq!(status.to_string(), own, "{} by {who:?}: {body}", row.what);
        if who.is_scoped() {
            assert!(!body.contains(OUTSIDE), "{} by {who:?}: {body}", row.what);
        }
        if inside.put_into(row.what) == row.what && inside.put_into(row.body) == row.body {
            return;
        }
        let (status, body) = self.ask(row, who, outside).await;
        assert_eq!(status.to_string(), foreign, "{} outside by {who:?}: {body}", row.what);
        if who.is_scoped() {
            // It looks as what is not there.
            let code = |body: &str| {
                let body: Value = serde_json::from_str(body).unwrap_or_default();
                (body["code"].clone(), body["title"].clone())
            };
            let (absent, none) = self.ask(row, who, &Things::absent()).await;
            assert_eq!((status, code(&body)), (absent, code(&none)), "{} by {who:?}", row.what);
            assert!(!body.contains("zz-site"), "{body}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_row_of_the_table_is_open_to_whom_it_is_for_within_their_scope() {
    let listed: BTreeSet<_> = TABLE
        .iter()
        .map(|(route, method, _)| (method.as_str().to_owned(), (*route).to_owned()))
        .collect();
    let tried: BTreeSet<_> = ROWS
        .iter()
        .map(|row| {
            (row.what.split(' ').next().unwrap().to_owned(), format!("/api/v1{}", row.route))
        })
        .collect();
    assert_eq!(tried, listed, "every row of the API's table is tried here");

    let receiver = Receiver::start().await;
    let (mut service, root) = prepare(&receiver).await;
    let inside = fill(&service, &root, "own-1").await;
    let outside = fill(&service, &root, "zz-1").await;
    let everybody = everybody(&service, &root).await;
    let mut asking = Asking { service: &service, root: &root, number: 0 };
    for row in ROWS {
        for who in &everybody {
            asking.check(row, who, &inside, &outside).await;
        }
    }
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
}
