//! Operators handle alerts: the same for all who look, whatever the database does, and after a crash.

mod together;

use tokio::time::Instant;

use serde_json::{Value, json};

use crate::support::http;
use crate::support::live::Screen;
use crate::support::server::Server;
use crate::support::service::{PATIENCE, Service, Settings, poll};

const RULES: &str = r#"
[[rule]]
name = "hot"
when = "t > 10"
severity = "critical"
select = "device =~ 'oven.*'"

[[rule]]
name = "warm"
levels = { warning = "w > 10", critical = "w > 20" }

[[labels]]
device = "*"
set = { site = "x" }

[[inhibit]]
source = 'rule="hot"'
target = 'rule="warm"'
equal = ["site"]

[[escalation]]
alerts = 'rule="hot"'
after = ["1s", "3s"]
"#;

/// What a service says while it has no database.
const AWAY: [&str; 6] =
    ["database", "connection", "keeping", "Starting without", "has not answered", "attempt"];

/// Somebody who acts over HTTP: with a line of head that says who.
struct Operator {
    address: String,
    head: String,
}

impl Operator {
    fn of(service: &Service) -> Self {
        Self { address: service.http(), head: service.authorization() }
    }

    async fn send(&self, what: &str, body: &Value) -> (u16, Value) {
        self.send_with(what, "", body).await
    }

    async fn send_with(&self, what: &str, more: &str, body: &Value) -> (u16, Value) {
        let what = what.replacen(' ', " /api/v1/", 1);
        let head = format!("{}{more}", self.head);
        let (status, _, body) =
            http::send(&self.address, &what, &head, &body.to_string()).await.unwrap();
        (status, serde_json::from_str(&body).unwrap_or(Value::Null))
    }

    /// Does something with an alert.
    async fn act(&self, id: &str, what: &str, body: Value) -> (u16, Value) {
        self.send(&format!("POST alerts/{id}/{what}"), &body).await
    }

    /// A reading.
    async fn read(&self, device: &str, telemetry: Value) {
        let body = json!({"device": device, "telemetry": telemetry});
        let (status, answer) = self.send("POST telemetry", &body).await;
        assert_eq!(status, 202, "{answer}");
    }
}

/// The only open alert of a device, once there is one in this state.
async fn alert_of(service: &Service, device: &str, state: &str) -> Value {
    let path = format!("/api/v1/alerts?device={device}&state={state}");
    let is_there = |body: &Value| body["alerts"].as_array().is_some_and(|all| !all.is_empty());
    service.wait_for(&path, is_there).await["alerts"][0].clone()
}

fn id_of(alert: &Value) -> &str {
    alert["id"].as_str().unwrap_or_else(|| panic!("{alert}"))
}

/// The next step of this kind.
async fn step(screen: &mut Screen, kind: &str) -> Value {
    screen.next_where(|frame| frame["type"] == "step" && frame["step"] == kind).await
}

/// All steps in the database: kind, by, text, in order.
async fn stored(service: &Service) -> Vec<(String, String, String)> {
    let sql = service.sql().await;
    let rows = sql
        .query(
            "SELECT step, step_by, step_text FROM bellwire.transition WHERE step IS NOT NULL \
             ORDER BY position, ordinal",
            &[],
        )
        .await
        .unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
}

/// Acts on an alert while there is no database; gives the cursor behind the last step, and the silence.
async fn act_without_database(someone: &Operator, screen: &mut Screen, id: &str) -> String {
    let (status, acked) = someone.act(id, "ack", json!({"comment": "I look"})).await;
    assert_eq!((status, &acked["acknowledged_by"]), (200, &json!("anybody")), "{acked}");
    let seen = step(screen, "acknowledged").await;
    assert_eq!((&seen["by"], &seen["text"]), (&json!("anybody"), &json!("I look")), "{seen}");
    assert_eq!(seen["alert"]["acknowledged_by"], "anybody", "{seen}");
    let (status, body) = someone.act(id, "comment", json!({"comment": "a valve"})).await;
    assert_eq!(status, 200, "{body}");
    step(screen, "commented").await;
    let silence = json!({"matchers": "device=\"oven-1\"", "for": "1h", "reason": "repair"});
    let key = "Idempotency-Key: one\r\n";
    let (status, made) = someone.send_with("POST silences", key, &silence).await;
    assert_eq!((status, &made["state"]), (201, &json!("active")), "{made}");
    let (status, again) = someone.send_with("POST silences", key, &silence).await;
    assert_eq!((status, &again["id"]), (201, &made["id"]), "it is made once: {again}");
    let muted = step(screen, "silenced").await;
    assert_eq!((&muted["text"], &muted["alert"]["silenced"]), (&json!("repair"), &json!(true)));
    muted["cursor"].as_str().unwrap().to_owned()
}

/// The database has every step, once, and how alert and silence stand.
async fn check_stored(service: &Service) {
    let sql = service.sql().await;
    let mut poll = poll();
    let limit = Instant::now() + PATIENCE;
    loop {
        poll.tick().await;
        let row = sql.query_one("SELECT count(*) FROM alert_steps", &[]).await.unwrap();
        if row.get::<_, i64>(0) >= 4 {
            break;
        }
        assert!(Instant::now() < limit, "{}", service.log());
    }
    let expected = [
        ("acknowledged", "I look"),
        ("commented", "a valve"),
        ("silenced", "repair"),
        ("assigned", "to bo"),
    ];
    let steps = stored(service).await;
    let shown: Vec<_> = steps.iter().map(|(kind, _, text)| (&**kind, &**text)).collect();
    assert_eq!(shown, expected);
    assert!(steps.iter().all(|(_, by, _)| by == "anybody"), "{steps:?}");
    let alerts = "SELECT acknowledged_by, assigned_to, silenced, labels->>'site' FROM alerts";
    let row = sql.query_one(alerts, &[]).await.unwrap();
    let shown: (&str, &str, bool, &str) = (row.get(0), row.get(1), row.get(2), row.get(3));
    assert_eq!(shown, ("anybody", "bo", true, "x"));
    let row = sql.query_one("SELECT reason, version FROM silences", &[]).await.unwrap();
    assert_eq!((row.get::<_, &str>(0), row.get::<_, i32>(1)), ("repair", 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_act_while_the_database_is_away_and_after_a_crash() {
    let server = Server::start().await;
    // Nothing escalates here.
    let rules = RULES.replace("\"1s\", \"3s\"", "\"1h\"");
    let settings = Settings::with_rules(&rules).set("BELLWIRE_DATABASE_URL", server.url());
    let mut service = Service::start(settings).await;
    let someone = Operator::of(&service);
    someone.read("oven-1", json!({"t": 11})).await;
    let alert = alert_of(&service, "oven-1", "firing").await;
    assert_eq!((&alert["labels"]["site"], &alert["escalation"]), (&json!("x"), &json!(0)));
    let mut screen = Screen::open(&service.http(), None).await;
    screen.next_where(|frame| frame["type"] == "snapshot").await;

    server.stop().await;
    let id = id_of(&alert);
    let cursor = act_without_database(&someone, &mut screen, id).await;
    let (_, one) = service.get(&format!("/api/v1/alerts/{id}")).await;
    let timeline = one["transitions"].as_array().unwrap();
    assert_eq!((timeline.len(), &one["silenced"]), (4, &json!(true)), "{one}");

    // Right behind an answer.
    let (status, assigned) = someone.act(id, "assign", json!({"to": "bo"})).await;
    assert_eq!(status, 200, "{assigned}");
    let place = step(&mut screen, "assigned").await["cursor"].clone();
    service.kill().await;
    service.launch().await;
    let after = alert_of(&service, "oven-1", "firing").await;
    let handled = [&after["acknowledged_by"], &after["assigned_to"], &after["silenced"]];
    assert_eq!(handled, [&json!("anybody"), &json!("bo"), &json!(true)], "{after}");
    let mut again = Screen::open(&service.http(), Some(&cursor)).await;
    let missed = again.next().await.unwrap();
    assert_eq!((&missed["step"], &missed["cursor"]), (&json!("assigned"), &place), "{missed}");

    server.go_on().await;
    check_stored(&service).await;
    // From the database the same is read as from memory.
    service.kill().await;
    service.launch().await;
    let mut last = Screen::open(&service.http(), Some(&cursor)).await;
    assert_eq!(last.next().await.unwrap()["cursor"], place);
    drop((screen, again, last));
    assert!(service.stop().await.success());
    service.assert_quiet(&AWAY);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_act_at_once_and_both_see_one_truth() {
    let mut service = Service::start(Settings::with_rules(RULES)).await;
    let someone = Operator::of(&service);
    let mut screens =
        [Screen::open(&service.http(), None).await, Screen::open(&service.http(), None).await];
    for screen in &mut screens {
        screen.next_where(|frame| frame["type"] == "snapshot").await;
    }
    let mut sequences: [Vec<Value>; 2] = [Vec::new(), Vec::new()];
    for round in 0..8 {
        let device = format!("oven-{round}");
        someone.read(&device, json!({"t": 11})).await;
        let alert = alert_of(&service, &device, "firing").await;
        let id = id_of(&alert);
        let (one, other) = tokio::join!(
            someone.act(id, "ack", json!({"comment": "one"})),
            someone.act(id, "ack", json!({"comment": "other"})),
        );
        let (won, lost) = if one.0 == 200 { (one, other) } else { (other, one) };
        assert_eq!((won.0, lost.0), (200, 409), "{won:?} {lost:?}");
        assert_eq!(lost.1["code"], "already_acknowledged", "{lost:?}");
        assert_eq!(lost.1["alert"]["acknowledged_by"], "anybody", "{lost:?}");
        assert_eq!(lost.1["alert"]["acknowledged_at"], won.1["acknowledged_at"]);
        for (screen, sequence) in screens.iter_mut().zip(&mut sequences) {
            let of_this = |frame: &Value| frame["alert"]["id"] == id;
            loop {
                let frame = screen.next_where(of_this).await;
                sequence.push(json!([
                    frame["type"],
                    frame["step"],
                    frame["text"],
                    frame["cursor"]
                ]));
                if frame["step"] == "acknowledged" {
                    break;
                }
            }
        }
    }
    assert_eq!(sequences[0], sequences[1]);
    let n_acks = sequences[0].iter().filter(|it| it[1] == "acknowledged").count();
    assert_eq!(n_acks, 8);
    drop(screens);
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_gets_worse_is_nobodys_and_what_nobody_saw_stays_in_sight() {
    let mut service = Service::start(Settings::with_rules(RULES)).await;
    let someone = Operator::of(&service);
    let mut screen = Screen::open(&service.http(), None).await;
    someone.read("tank", json!({"w": 11})).await;
    let alert = alert_of(&service, "tank", "firing").await;
    let id = id_of(&alert);
    let fired = screen.next_to("firing").await;
    let (status, _) = someone.act(id, "ack", json!({})).await;
    assert_eq!(status, 200);
    someone.read("tank", json!({"w": 21})).await;
    let dropped = step(&mut screen, "ack_dropped").await;
    assert_eq!(dropped["alert"]["acknowledged_by"], json!(null), "{dropped}");
    // Who has only seen the warning is told.
    let seen = json!({"seen": fired["cursor"]});
    let (status, body) = someone.act(id, "ack", seen).await;
    assert_eq!((status, &body["code"]), (409, &json!("alert_changed")), "{body}");
    assert_eq!(body["alert"]["severity"], "critical", "{body}");
    let (status, body) = someone.act(id, "snooze", json!({"for": "1h"})).await;
    assert_eq!(status, 200, "{body}");
    assert!(body["snoozed_until"].is_string(), "{body}");
    assert_eq!(someone.act(id, "unsnooze", json!({})).await.0, 200);
    let (status, body) = someone.act(id, "snooze", json!({"for": "2s"})).await;
    assert_eq!(status, 200, "{body}");
    let ended = step(&mut screen, "snoozed").await;
    assert!(ended["alert"]["snoozed_until"].is_string());
    let ended = screen.next_where(|it| it["step"] == "snooze_ended" && it["by"].is_null()).await;
    assert_eq!(ended["alert"]["snoozed_until"], json!(null), "{ended}");

    someone.read("tank", json!({"w": 0})).await;
    let latched = alert_of(&service, "tank", "resolved").await;
    assert_eq!((&latched["id"], &latched["latched"]), (&alert["id"], &json!(true)), "{latched}");
    let (_, open) = service.get("/api/v1/alerts?latched=true").await;
    assert_eq!(open["alerts"].as_array().map(Vec::len), Some(1), "{open}");
    service
        .wait_for("/api/v1/alerts?state=resolved", |all| {
            all["alerts"].as_array().unwrap().len() == 1
        })
        .await;
    let listed = service.run(&["alert", "list"]).await;
    assert!(listed.contains("latched"), "{listed}");
    let said = service.run(&["alert", "ack", id, "--comment", "seen"]).await;
    assert!(said.contains("done"), "{said}");
    let gone = step(&mut screen, "unlatched").await;
    assert_eq!(
        (&gone["text"], &gone["alert"]["latched"]),
        (&json!("seen"), &json!(false)),
        "{gone}"
    );
    let (_, open) = service.get("/api/v1/alerts").await;
    assert_eq!(open["alerts"], json!([]), "{open}");
    let (status, body) = someone.act(id, "ack", json!({})).await;
    assert!(status == 409 || status == 404, "{status} {body}");
    let (status, body) = someone.act("00000000000000ff", "ack", json!({})).await;
    assert_eq!((status, &body["code"]), (404, &json!("alert_not_found")), "{body}");
    drop(screen);
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn time_mutes_inhibits_and_escalates() {
    let mut service = Service::start(Settings::with_rules(RULES)).await;
    let someone = Operator::of(&service);
    let mut screen = Screen::open(&service.http(), None).await;
    someone.read("tank", json!({"w": 11})).await;
    screen.next_to("firing").await;
    someone.read("oven-1", json!({"t": 11})).await;
    let inhibited = step(&mut screen, "inhibited").await;
    assert_eq!(
        (&inhibited["alert"]["device"], &inhibited["alert"]["inhibited"]),
        (&json!("tank"), &json!(true))
    );
    let one = step(&mut screen, "escalated").await;
    let two = step(&mut screen, "escalated").await;
    let levels = (&one["alert"]["escalation"], &two["alert"]["escalation"]);
    assert_eq!(levels, (&json!(1), &json!(2)), "{one} {two}");

    let preview = service
        .run(&["silence", "add", "rule=hot", "--for", "2s", "--reason", "r", "--preview"])
        .await;
    assert!(preview.contains("would mute 1 open"), "{preview}");
    let id = service.run(&["silence", "add", "rule=hot", "--for", "2s", "--reason", "works"]).await;
    step(&mut screen, "silenced").await;
    let path = format!("/api/v1/silences/{}", id.trim());
    let (_, shown) = service.get(&path).await;
    assert_eq!(shown["state"], "active", "{shown}");
    let over = step(&mut screen, "unsilenced").await;
    assert_eq!(over["alert"]["silenced"], json!(false), "{over}");
    let (_, shown) = service.get(&path).await;
    assert_eq!(shown["state"], "expired", "{shown}");
    let body = json!({"matchers": "site=\"x\"", "reason": "r", "for": "1h"});
    let (status, made) = someone.send("POST silences", &body).await;
    assert_eq!(status, 201, "{made}");
    let path = format!("silences/{}", made["id"].as_str().unwrap());
    let other = json!({"matchers": "rule=\"none\"", "reason": "r", "for": "1h"});
    let what = format!("PUT {path}");
    let (status, body) = someone.send_with(&what, "If-Match: \"7\"\r\n", &other).await;
    assert_eq!((status, &body["code"]), (412, &json!("silence_changed")), "{body}");
    let (status, body) = someone.send_with(&what, "If-Match: \"1\"\r\n", &other).await;
    assert_eq!((status, &body["version"]), (200, &json!(2)), "{body}");
    let (status, body) = someone.send(&format!("DELETE {path}"), &Value::Null).await;
    assert_eq!((status, &body["state"]), (200, &json!("expired")), "{body}");
    let wrong = json!({"matchers": "site", "reason": "r", "for": "1h"});
    let (status, body) = someone.send("POST silences", &wrong).await;
    assert_eq!((status, &body["errors"][0]["column"]), (422, &json!(5)), "{body}");

    someone.read("oven-1", json!({"t": 0})).await;
    step(&mut screen, "uninhibited").await;
    let alert = alert_of(&service, "tank", "firing").await;
    let many = json!({"alerts": [id_of(&alert), "00000000000000ff"], "action": "ack"});
    let (status, body) = someone.send("POST alerts/actions", &many).await;
    assert_eq!((status, &body["done"]), (200, &json!(1)), "{body}");
    assert_eq!(body["outcomes"][1]["outcome"], "not_open", "{body}");
    drop(screen);
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
}
