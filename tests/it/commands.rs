//! Commands to devices, end to end: online and offline, over kills and without the database, and only to
//! whom they are for.

use bellwire_store::testing;
use serde_json::{Value, json};

use crate::outage::AWAY;
use crate::support::http;
use crate::support::proxy::Proxy;
use crate::support::raw::{RawClient, connect, packet};
use crate::support::service::{Service, Settings};

/// How long a session outlives its connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Session {
    Clean,
    Kept,
}

/// A device that takes commands.
struct Taker {
    client: RawClient,
    level: u8,
    name: &'static str,
}

/// A PUBLISH that came.
#[derive(Debug)]
struct Got {
    topic: String,
    payload: Value,
    packet_id: u16,
    is_dup: bool,
    properties: Vec<u8>,
}

impl Taker {
    /// Connects with MQTT `level`, 4 or 5, as a client of its name, without credentials.
    async fn connect(service: &Service, level: u8, name: &'static str, session: Session) -> Self {
        let mut body = b"\0\x04MQTT".to_vec();
        body.extend([level, if session == Session::Clean { 0x02 } else { 0 }, 0, 60]);
        match (level, session) {
            (5, Session::Kept) => body.extend([5, 0x11, 0, 0, 1, 0]),
            (5, Session::Clean) => body.push(0),
            _ => {}
        }
        body.extend([0, u8::try_from(name.len()).unwrap()]);
        body.extend(name.as_bytes());
        Self::knock(service, level, name, &packet(0x10, &body)).await
    }

    async fn knock(service: &Service, level: u8, name: &'static str, hello: &[u8]) -> Self {
        let mut client = RawClient::dial(&service.mqtt()).await;
        client.send(hello).await;
        let mut taker = Self { client, level, name };
        let (first, body) = taker.packet().await;
        assert_eq!((first, body[1]), (0x20, 0), "let in");
        taker
    }

    /// Subscribes to a filter; gives the code of SUBACK.
    async fn subscribe(&mut self, filter: &str, qos: u8) -> u8 {
        let mut body = vec![0, 9];
        if self.level == 5 {
            body.push(0);
        }
        body.extend([0, u8::try_from(filter.len()).unwrap()]);
        body.extend(filter.as_bytes());
        body.push(qos);
        self.client.send(&packet(0x82, &body)).await;
        let (first, body) = self.packet().await;
        assert_eq!(first, 0x90);
        *body.last().unwrap()
    }

    /// Subscribes to its own commands.
    async fn listen(&mut self, qos: u8) {
        let filter = format!("devices/{}/commands", self.name);
        assert_eq!(self.subscribe(&filter, qos).await, qos);
    }

    async fn packet(&mut self) -> (u8, Vec<u8>) {
        let first = self.client.read(1).await[0];
        let (mut length, mut shift) = (0, 0);
        loop {
            let byte = self.client.read(1).await[0];
            length |= usize::from(byte & 0x7F) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                return (first, self.client.read(length).await);
            }
        }
    }

    /// The next command, which must be what comes next.
    async fn next(&mut self) -> Got {
        let (first, body) = self.packet().await;
        assert_eq!(first >> 4, 3, "{body:?}");
        let (length, rest) = body.split_at(2);
        let (topic, mut rest) = rest.split_at(usize::from(length[0]) << 8 | usize::from(length[1]));
        let mut packet_id = 0;
        if first & 0x06 != 0 {
            packet_id = u16::from(rest[0]) << 8 | u16::from(rest[1]);
            rest = &rest[2..];
        }
        let mut properties = Vec::new();
        if self.level == 5 {
            // Two bytes where it is long.
            let (n_bytes, length) = match rest[0] {
                short @ 0..0x80 => (1, usize::from(short)),
                low => (2, usize::from(low & 0x7F) | usize::from(rest[1]) << 7),
            };
            properties = rest[n_bytes..n_bytes + length].to_vec();
            rest = &rest[n_bytes + length..];
        }
        Got {
            topic: String::from_utf8(topic.to_vec()).unwrap(),
            payload: serde_json::from_slice(rest).unwrap_or(Value::Null),
            packet_id,
            is_dup: first & 8 != 0,
            properties,
        }
    }

    async fn acknowledge(&mut self, got: &Got) {
        let [high, low] = got.packet_id.to_be_bytes();
        self.client.send(&[0x40, 2, high, low]).await;
    }

    /// Nothing waits for it.
    async fn has_nothing(&mut self) {
        self.client.send(&[0xC0, 0]).await;
        assert_eq!(self.packet().await, (0xD0, Vec::new()));
    }

    /// Answers a command, and waits until that is on disk.
    async fn answer(&mut self, id: &str, payload: &str) {
        let topic = format!("devices/{}/commands/{id}/reply", self.name);
        let mut body = vec![0, u8::try_from(topic.len()).unwrap()];
        body.extend(topic.as_bytes());
        body.extend([0, 77]);
        if self.level == 5 {
            body.push(0);
        }
        body.extend(payload.as_bytes());
        self.client.send(&packet(0x32, &body)).await;
        assert_eq!(self.packet().await.0, 0x40);
    }
}

fn path(device: &str) -> String {
    format!("/api/v1/devices/{device}/commands")
}

/// Gives a command; the status, and the answer.
async fn give(service: &Service, device: &str, headers: &str, request: &Value) -> (u16, Value) {
    let what = format!("POST {}", path(device));
    let head = format!("{}{headers}", service.authorization());
    let sent = http::send(&service.http(), &what, &head, &request.to_string()).await;
    let (status, head, body) = sent.unwrap();
    let body: Value = serde_json::from_str(&body).unwrap();
    if status < 300 {
        let place = format!("location: {}/{}\r\n", path(device), body["id"].as_str().unwrap());
        assert!(head.contains(&place), "{head}");
    }
    (status, body)
}

/// Gives a command that is taken; its id.
async fn given(service: &Service, device: &str, request: Value) -> String {
    let (status, command) = give(service, device, "", &request).await;
    // A device that is there may have it by now.
    let is_taken = command["state"] == "queued" || command["state"] == "sent";
    assert!(status == 202 && is_taken, "{status} {command}");
    command["id"].as_str().unwrap().to_owned()
}

async fn delete(service: &Service, device: &str, id: &str) -> (u16, Value) {
    let what = format!("DELETE {}/{id}", path(device));
    let head = service.authorization();
    let (status, _, body) = http::send(&service.http(), &what, &head, "").await.unwrap();
    (status, serde_json::from_str(&body).unwrap())
}

/// The command once it is in a state.
async fn becomes(service: &Service, device: &str, id: &str, state: &str) -> Value {
    service.wait_for(&format!("{}/{id}", path(device)), |it| it["state"] == state).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_takes_a_command_and_answers_it() {
    let mut service = Service::start(Settings::default()).await;
    let mut device = Taker::connect(&service, 5, "freezer", Session::Clean).await;
    device.listen(1).await;
    let request = json!({"payload": {"setpoint": -20}, "author": "anne", "expires_in": "10m"});
    let id = given(&service, "freezer", request).await;
    let got = device.next().await;
    assert_eq!(
        (&*got.topic, &got.payload),
        ("devices/freezer/commands", &json!({"setpoint": -20}))
    );
    let properties = String::from_utf8_lossy(&got.properties);
    for expected in ["application/json", &format!("devices/freezer/commands/{id}/reply")] {
        assert!(properties.contains(expected), "{properties}");
    }
    assert!(properties.contains(&format!("\x09\0\x20{id}")), "correlation data: {properties}");
    assert_eq!(got.properties[..3], [0x02, 0, 0], "a message expiry of minutes: {properties}");
    becomes(&service, "freezer", &id, "sent").await;
    device.acknowledge(&got).await;
    becomes(&service, "freezer", &id, "acknowledged").await;
    let waiting = format!("{}/{id}?wait=30", path("freezer"));
    let (waited, ()) = tokio::join!(service.get(&waiting), device.answer(&id, r#"{"ok":true}"#));
    let (_, command) = waited;
    assert_eq!((&command["state"], &command["sendings"]), (&json!("answered"), &json!(1)));
    assert_eq!(
        (&command["answer"]["payload"], &command["author"]),
        (&json!({"ok": true}), &json!("anne"))
    );
    // It answers that once, and no other's.
    device.answer(&id, "again").await;
    device.answer(&"0".repeat(32), "what?").await;
    let stray = service.wait_for("/api/v1/quarantine", |it| it["quarantine"][1].is_object()).await;
    assert_eq!(stray["quarantine"][0]["reason"], "unknown_command", "{stray}");
    let audit = service.wait_for("/api/v1/devices/freezer/audit", |it| it["received"] == 3).await;
    assert_eq!((&audit["stored"], &audit["quarantined"]), (&json!(1), &json!(2)), "{audit}");
    let sql =
        "SELECT state, convert_from(answer, 'UTF8'), acknowledged_at < answered_at FROM commands";
    let row = service.sql().await.query_one(sql, &[]).await.unwrap();
    assert_eq!((row.get(0), row.get(1), row.get(2)), ("answered", r#"{"ok":true}"#, true));
    let metrics = service.metrics().await;
    assert!(metrics.contains("bellwire_commands_total{state=\"answered\"} 1"), "{metrics}");
    assert!(metrics.contains("bellwire_commands_open 0"));
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_asked_while_a_device_was_away_comes_in_order_and_once() {
    let mut service = Service::start(Settings::default()).await;
    let ask = |n: u32| json!({"payload": {"n": n}, "id_as": "id"});
    let first = given(&service, "v3", ask(1)).await;
    let second = given(&service, "v3", ask(2)).await;
    let third = given(&service, "v3", ask(3)).await;
    let (status, cancelled) = delete(&service, "v3", &second).await;
    assert_eq!((status, &cancelled["state"]), (200, &json!("cancelled")), "{cancelled}");
    let mut device = Taker::connect(&service, 4, "v3", Session::Clean).await;
    device.listen(1).await;
    let (one, three) = (device.next().await, device.next().await);
    // MQTT 3.1.1 has no properties: the payload says which command it is.
    assert_eq!(one.payload, json!({"id": first, "n": 1}));
    assert_eq!(three.payload, json!({"id": third, "n": 3}));
    device.acknowledge(&one).await;
    becomes(&service, "v3", &first, "acknowledged").await;
    becomes(&service, "v3", &third, "sent").await;
    let (status, problem) = delete(&service, "v3", &third).await;
    assert_eq!((status, &problem["code"]), (409, &json!("command_sent")));
    // What it did not acknowledge comes again with its next subscription, and only that.
    drop(device);
    let mut device = Taker::connect(&service, 4, "v3", Session::Clean).await;
    device.listen(1).await;
    let again = device.next().await;
    assert_eq!((&again.payload["n"], again.is_dup), (&json!(3), false), "a new session's first");
    device.acknowledge(&again).await;
    assert_eq!(becomes(&service, "v3", &third, "acknowledged").await["sendings"], 2);
    device.listen(1).await;
    device.has_nothing().await;

    // A session that is kept sends it again by itself: it is not there twice.
    let mut kept = Taker::connect(&service, 5, "kept", Session::Kept).await;
    kept.listen(1).await;
    let id = given(&service, "kept", ask(4)).await;
    kept.next().await;
    becomes(&service, "kept", &id, "sent").await;
    drop(kept);
    let later = given(&service, "kept", ask(5)).await;
    let mut kept = Taker::connect(&service, 5, "kept", Session::Kept).await;
    let (again, new) = (kept.next().await, kept.next().await);
    assert_eq!((&again.payload["n"], again.is_dup), (&json!(4), true));
    assert_eq!((&new.payload["id"], new.is_dup), (&json!(later), false));
    kept.acknowledge(&again).await;
    kept.acknowledge(&new).await;
    becomes(&service, "kept", &later, "acknowledged").await;
    kept.listen(1).await;
    kept.has_nothing().await;
    let (_, list) = service.get(&format!("{}?state=cancelled,acknowledged", path("v3"))).await;
    let ids: Vec<_> = list["commands"].as_array().unwrap().iter().map(|it| &it["id"]).collect();
    assert_eq!(ids, [&third, &second, &first], "the latest first");
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_sent_again_is_one_command_and_bad_ones_are_named() {
    let mut service = Service::start(Settings::default()).await;
    let (key, request) = ("Idempotency-Key: k-1\r\n", json!({"payload": 1, "id_as": null}));
    let (status, first) = give(&service, "a", key, &request).await;
    assert_eq!(status, 202, "{first}");
    service.kill().await;
    service.launch().await;
    let (status, again) = give(&service, "a", key, &request).await;
    assert_eq!((status, &again["id"]), (200, &first["id"]));
    let (status, problem) = give(&service, "a", key, &json!({"payload": 2})).await;
    assert_eq!((status, &problem["code"]), (422, &json!("idempotency_key_reused")));
    for _ in 1..100 {
        given(&service, "a", json!({"payload": 1})).await;
    }
    let (status, problem) = give(&service, "a", "", &json!({"payload": 1})).await;
    assert_eq!((status, &problem["code"]), (429, &json!("too_many_commands")));
    let unknown = format!("{}/{}", path("a"), "f".repeat(32));
    let (status, problem) = service.get(&unknown).await;
    assert_eq!((status, &problem["code"]), (404, &json!("command_not_found")));
    let (mut pages, mut n_listed) = (format!("{}?limit=40", path("a")), 0);
    loop {
        let (_, page) = service.get(&pages).await;
        n_listed += page["commands"].as_array().unwrap().len();
        let Some(next) = page["next"].as_str() else { break };
        pages = format!("{}?limit=40&cursor={next}", path("a"));
    }
    assert_eq!(n_listed, 100);
    // QoS 0 is once and never again, and without an answer that is all.
    let mut device = Taker::connect(&service, 4, "b", Session::Clean).await;
    device.listen(0).await;
    let id = given(&service, "b", json!({"payload_text": "on", "reply": "none"})).await;
    device.next().await;
    let sent = becomes(&service, "b", &id, "sent").await;
    assert!(sent["ended_at"].is_string(), "{sent}");
    device.listen(1).await;
    device.has_nothing().await;
    assert!(service.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_loses_no_command_and_time_goes_on_meanwhile() {
    let mut service = Service::start(Settings::default()).await;
    let mut device = Taker::connect(&service, 4, "d", Session::Clean).await;
    device.listen(1).await;
    let taken = given(&service, "d", json!({"payload": {"n": 1}})).await;
    let got = device.next().await;
    device.acknowledge(&got).await;
    becomes(&service, "d", &taken, "acknowledged").await;
    let sent = given(&service, "d", json!({"payload": {"n": 2}})).await;
    device.next().await;
    becomes(&service, "d", &sent, "sent").await;
    let short = given(&service, "away", json!({"payload": 3, "expires_in": "1s"})).await;
    service.kill().await;
    service.launch().await;
    becomes(&service, "away", &short, "expired").await;
    let mut device = Taker::connect(&service, 4, "d", Session::Clean).await;
    device.listen(1).await;
    let again = device.next().await;
    assert_eq!(again.payload["n"], 2, "only what it did not acknowledge");
    device.acknowledge(&again).await;
    device.answer(&taken, "done").await;
    assert_eq!(becomes(&service, "d", &taken, "answered").await["answer"]["payload_text"], "done");
    service.kill().await;
    service.launch().await;
    becomes(&service, "d", &taken, "answered").await;
    becomes(&service, "d", &sent, "acknowledged").await;
    let count =
        "SELECT count(*) FROM commands WHERE state IN ('answered', 'acknowledged', 'expired')";
    service.wait_for("/api/v1/devices/d/audit", |it| it["stored"] == 1).await;
    let n: i64 = service.sql().await.query_one(count, &[]).await.unwrap().get(0);
    assert_eq!(n, 3);
    assert!(service.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_go_on_while_the_database_is_away() {
    let proxy = Proxy::before(&testing::database().await).await;
    let settings = Settings::default()
        .set("BELLWIRE_DATABASE_URL", proxy.url())
        .set("BELLWIRE_DATABASE_CONNECT_TIMEOUT_MS", 2_000);
    let mut service = Service::start(settings).await;
    proxy.shut();
    let mut device = Taker::connect(&service, 5, "d", Session::Clean).await;
    device.listen(1).await;
    let id = given(&service, "d", json!({"payload": {"n": 1}})).await;
    let got = device.next().await;
    device.acknowledge(&got).await;
    device.answer(&id, "1").await;
    becomes(&service, "d", &id, "answered").await;
    let list = service.wait_for(&path("d"), |it| it["partial"] == true).await;
    assert_eq!(list["commands"][0]["state"], "answered", "{list}");
    service.kill().await;
    service.launch().await;
    becomes(&service, "d", &id, "answered").await;
    proxy.open().await;
    let list = service.wait_for(&path("d"), |it| it["partial"] != true).await;
    assert_eq!(list["commands"][0]["id"], *id, "{list}");
    service.wait_for("/api/v1/devices/d/audit", |it| it["stored"] == 1).await;
    let sql = service.sql().await;
    let row = sql.query_one("SELECT id, state FROM commands", &[]).await.unwrap();
    assert_eq!((row.get(0), row.get(1)), (&*id, "answered"));
    assert!(service.stop().await.success());
    service.assert_quiet(&AWAY);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_for_its_device_and_nobody_else() {
    let settings = Settings::guarded();
    let mut service = Service::prepare(settings);
    let mut tokens = Vec::new();
    for arguments in [
        &["device", "add", "press"][..],
        &["device", "add", "lathe"],
        &["device", "add", "gate", "--gateway-for", "press-*"],
    ] {
        tokens.push(service.run(arguments).await);
    }
    service.launch().await;
    let knock = async |name: &'static str, token: &str| {
        Taker::knock(&service, 5, name, &connect(5, name, name, token)).await
    };
    let (mut press, mut lathe) =
        (knock("press", &tokens[0]).await, knock("lathe", &tokens[1]).await);
    let mut gate = knock("gate", &tokens[2]).await;
    assert_eq!(lathe.subscribe("devices/press/commands", 1).await, 0x87, "it is another's");
    lathe.listen(1).await;
    press.listen(1).await;
    assert_eq!(gate.subscribe("devices/press-7/commands", 1).await, 1);
    let id = given(&service, "press", json!({"payload": {"n": 1}})).await;
    let behind = given(&service, "press-7", json!({"payload": {"n": 2}})).await;
    assert_eq!(press.next().await.payload["n"], 1);
    assert_eq!(gate.next().await.topic, "devices/press-7/commands");
    // Nor may another one answer.
    lathe.name = "press";
    let topic = format!("devices/press/commands/{id}/reply");
    let mut body = vec![0, u8::try_from(topic.len()).unwrap()];
    body.extend(topic.as_bytes());
    body.extend([0, 5, 0]);
    body.extend(b"mine");
    lathe.client.send(&packet(0x32, &body)).await;
    let (first, puback) = lathe.packet().await;
    assert_eq!((first, puback[2]), (0x40, 0x87), "not authorized");
    gate.name = "press-7";
    gate.answer(&behind, "done").await;
    becomes(&service, "press-7", &behind, "answered").await;
    becomes(&service, "press", &id, "sent").await;
    lathe.has_nothing().await;
    assert!(service.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_gives_commands_and_follows_them() {
    let mut service = Service::start(Settings::default()).await;
    let send = ["command", "send", "oven", "--payload", r#"{"heat": 9}"#, "--one-way"];
    let id = service.run(&send).await;
    let listed = service.run(&["command", "list", "oven", "--state", "open"]).await;
    assert!(listed.contains(&id) && listed.contains("queued") && listed.contains("9"), "{listed}");
    let cancelled = service.run(&["command", "cancel", "oven", &id]).await;
    assert!(cancelled.contains("cancelled"), "{cancelled}");

    let mut taker = Taker::connect(&service, 5, "oven", Session::Clean).await;
    taker.listen(1).await;
    let go = ["command", "send", "oven", "--payload", r#"{"go": true}"#, "--wait", "30"];
    let mut waiting = service.program(&go);
    let answering = async {
        let got = taker.next().await;
        assert_eq!(got.payload, json!({"go": true}));
        taker.acknowledge(&got).await;
        let properties = String::from_utf8_lossy(&got.properties).into_owned();
        let topic = properties.find("oven/commands/").expect("a topic for the answer");
        let id = properties[topic..].chars().skip("oven/commands/".len()).take(32);
        taker.answer(&id.collect::<String>(), "gone").await;
    };
    let (output, ()) = tokio::join!(waiting.output(), answering);
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("answered: gone"), "{said} {output:?}");
    let wrong = service.program(&["command", "show", "oven", "77"]).output().await.unwrap();
    assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
    drop(taker);
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
}
