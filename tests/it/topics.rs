//! P6, no one where they don't belong, over MQTT: every kind of topic, of a device's own, of one that it speaks for and
//! of another's, for every kind of client, and everything that one can do there. The table says what is allowed;
//! what is not allowed is refused, and reaches nobody.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::raw::{RawClient, packet, push_text};
use crate::support::service::{Service, Settings};

/// What a client can do with a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Act {
    Publish,
    Retain,
    Will,
    Subscribe,
    /// Subscribe as one of a group.
    Share,
}
use Act::{Publish, Retain, Share, Subscribe, Will};

const NONE: &[Act] = &[];
const OUT: &[Act] = &[Publish, Retain, Will];
const IN: &[Act] = &[Subscribe, Share];
const BOTH: &[Act] = &[Publish, Retain, Will, Subscribe, Share];
const ACTS: [Act; 5] = [Publish, Retain, Will, Subscribe, Share];

/// A topic, or a filter; `{}` is the device. What may be done there by the device itself or who speaks for it, by
/// the account that a rule lets read telemetry, and by the one that a rule lets send commands; all others may
/// nothing.
struct Row {
    topic: &'static str,
    owner: &'static [Act],
    reader: &'static [Act],
    sender: &'static [Act],
}

const fn row(
    topic: &'static str,
    owner: &'static [Act],
    reader: &'static [Act],
    sender: &'static [Act],
) -> Row {
    Row { topic, owner, reader, sender }
}

const TABLE: [Row; 25] = [
    row("devices/{}/telemetry", OUT, IN, NONE),
    row("devices/{}/telemetry/temperature", OUT, IN, NONE),
    row("devices/{}/telemetry/a/b", OUT, IN, NONE),
    row("devices/{}/status", OUT, NONE, NONE),
    row("devices/{}/status/more", NONE, NONE, NONE),
    row("devices/{}/commands", IN, NONE, OUT),
    row("devices/{}/commands/7", IN, NONE, OUT),
    row("devices/{}/commands/7/reply", BOTH, NONE, OUT),
    row("devices/{}/commands/7/reply/more", IN, NONE, OUT),
    row("devices/{}/anything", NONE, NONE, NONE),
    row("devices/{}", NONE, NONE, NONE),
    row("devices/x{}/telemetry", NONE, IN, NONE),
    row("devices", NONE, NONE, NONE),
    row("Devices/{}/telemetry", NONE, NONE, NONE),
    row("/devices/{}/telemetry", NONE, NONE, NONE),
    row("devices//telemetry", NONE, IN, NONE),
    row("$SYS/broker/version", NONE, NONE, NONE),
    row("$SYS/devices/{}/telemetry", NONE, NONE, NONE),
    row("plant/{}/data", OUT, NONE, NONE),
    row("anything/else", NONE, NONE, NONE),
    row("devices/{}/commands/#", IN, NONE, NONE),
    row("devices/+/telemetry/#", NONE, IN, NONE),
    row("devices/{}/#", NONE, NONE, NONE),
    row("+/{}/telemetry", NONE, NONE, NONE),
    row("#", NONE, NONE, NONE),
];

const RULES: &str = r##"
    [[acl]]
    who = "user:reader"
    action = "subscribe"
    topic = "devices/+/telemetry/#"
    allow = true

    [[acl]]
    who = "user:sender"
    action = "publish"
    topic = "devices/+/commands/#"
    allow = true

    [[acl]]
    who = "device"
    action = "publish"
    topic = "plant/{device}/data"
    allow = true

    [[acl]]
    who = "user:watcher"
    action = "subscribe"
    topic = "#"
    allow = true
"##;

/// Clients, and of which devices they may speak.
const CLIENTS: [(&str, &[&str]); 5] = [
    ("press", &["press"]),
    ("gate", &["gate", "line-7"]),
    ("reader", &[]),
    ("sender", &[]),
    ("bare", &[]),
];
const DEVICES: [&str; 4] = ["press", "gate", "line-7", "lathe"];

fn allowed(row: &Row, client: &str, device: &str) -> &'static [Act] {
    let (_, owned) = CLIENTS.iter().find(|(name, _)| *name == client).unwrap();
    match client {
        "reader" => row.reader,
        "sender" => row.sender,
        _ if owned.contains(&device) => row.owner,
        _ => NONE,
    }
}

/// CONNECT of MQTT 5, with a will if there is a topic for it.
fn hello(user: &str, password: &str, will: Option<&str>) -> Vec<u8> {
    let mut body = b"\0\x04MQTT\x05".to_vec();
    body.extend([if will.is_some() { 0xC6 } else { 0xC2 }, 0, 60, 0]);
    push_text(&mut body, format!("{user}-{}", will.map_or("acts", |_| "dies")).as_bytes());
    if let Some(topic) = will {
        body.push(0);
        push_text(&mut body, topic.as_bytes());
        push_text(&mut body, b"1");
    }
    push_text(&mut body, user.as_bytes());
    push_text(&mut body, password.as_bytes());
    packet(0x10, &body)
}

/// The next packet that is no message: what a subscriber may hear comes in between.
async fn reply(client: &mut RawClient) -> Vec<u8> {
    loop {
        let packet = client.packet().await;
        if packet[0] & 0xF0 != 0x30 {
            return packet;
        }
    }
}

/// PUBLISH of MQTT 5 with QoS 1, whose first byte is this; the reason code of PUBACK.
async fn publishing(client: &mut RawClient, topic: &str, first: u8) -> u8 {
    let mut body = Vec::new();
    push_text(&mut body, topic.as_bytes());
    body.extend([0, 1, 0]);
    body.extend_from_slice(b"1");
    client.send(&packet(first, &body)).await;
    let puback = reply(client).await;
    assert_eq!(puback[0], 0x40, "{puback:?}");
    puback.get(4).copied().unwrap_or(0)
}

/// SUBSCRIBE of MQTT 5, and UNSUBSCRIBE; the reason code of SUBACK.
async fn subscribing(client: &mut RawClient, filter: &str) -> u8 {
    let mut body = vec![0, 1, 0];
    push_text(&mut body, filter.as_bytes());
    let unsubscribe = packet(0xA2, &body);
    body.push(2 << 4);
    client.send(&packet(0x82, &body)).await;
    let suback = reply(client).await;
    assert_eq!(suback[..5], [0x90, 4, 0, 1, 0], "{filter}: {suback:?}");
    client.send(&unsubscribe).await;
    assert_eq!(reply(client).await[0], 0xB0);
    suback[5]
}

/// A client that acts, and what it needs to come back.
struct Actor<'a> {
    service: &'a Service,
    name: &'static str,
    token: String,
    client: RawClient,
}

impl<'a> Actor<'a> {
    async fn new(service: &'a Service, name: &'static str, token: String) -> Self {
        let (client, code) = RawClient::knock(&service.mqtt(), &hello(name, &token, None)).await;
        assert_eq!(code, 0, "{name}");
        Self { service, name, token, client }
    }

    /// The reason code that it gets.
    async fn act(&mut self, act: Act, topic: &str) -> u8 {
        match act {
            Publish => publishing(&mut self.client, topic, 0x32).await,
            Retain => publishing(&mut self.client, topic, 0x33).await,
            Subscribe => subscribing(&mut self.client, topic).await,
            Share => subscribing(&mut self.client, &format!("$share/all/{topic}")).await,
            Will => {
                let hello = hello(self.name, &self.token, Some(topic));
                let (mut client, code) = RawClient::knock(&self.service.mqtt(), &hello).await;
                // Code 4: it leaves, and its will is to be sent.
                client.send_what_goes(&[0xE0, 1, 4]).await;
                code
            }
        }
    }
}

/// All topics on which something was published, as one sees who may see all.
async fn watched(client: &mut RawClient, last: &str) -> BTreeSet<String> {
    let mut topics = BTreeSet::new();
    loop {
        let publish = client.packet().await;
        assert_eq!(publish[0] & 0xF6, 0x30, "{publish:?}");
        let length = usize::from(u16::from_be_bytes([publish[2], publish[3]]));
        let topic = String::from_utf8(publish[4..4 + length].to_vec()).unwrap();
        if topic == last {
            return topics;
        }
        topics.insert(topic);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_speaks_or_hears_where_the_table_does_not_allow_it() {
    let mut service = Service::prepare(Settings::guarded());
    let config = service.dir().join("bellwire.toml");
    std::fs::write(&config, RULES).unwrap();
    service.set("BELLWIRE_CONFIG", config.display());
    let mut tokens = vec![service.run(&["device", "add", "press"]).await];
    tokens.push(service.run(&["device", "add", "gate", "--gateway-for", "line-*"]).await);
    for user in ["reader", "sender", "bare"] {
        tokens.push(service.run(&["user", "add", user]).await);
    }
    let lathe = service.run(&["device", "add", "lathe"]).await;
    let watcher = service.run(&["user", "add", "watcher"]).await;
    service.launch().await;
    // Of whom there is an account: in it stands what is refused.
    const LAST: &str = "devices/lathe/telemetry/t";
    let mut lathe = Actor::new(&service, "lathe", lathe).await;
    assert!(lathe.act(Publish, LAST).await < 0x80);
    let account = "/api/v1/devices/lathe/audit";
    service.wait_for(account, |audit| audit["stored"] == 1).await;
    let mut watcher = Actor::new(&service, "watcher", watcher).await;
    let mut body = vec![0, 1, 0];
    push_text(&mut body, b"#");
    body.push(0);
    watcher.client.send(&packet(0x82, &body)).await;
    assert_eq!(watcher.client.packet().await[5], 0, "it sees all");

    let mut published = BTreeSet::new();
    for ((name, _), token) in CLIENTS.into_iter().zip(tokens) {
        let mut actor = Actor::new(&service, name, token).await;
        for (row, device) in TABLE.iter().flat_map(|row| DEVICES.map(|device| (row, device))) {
            let topic = row.topic.replace("{}", device);
            let is_filter = topic.contains(['+', '#']);
            for act in ACTS.into_iter().filter(|act| !is_filter || matches!(act, Subscribe | Share))
            {
                let code = actor.act(act, &topic).await;
                let may = allowed(row, name, device).contains(&act);
                let fits = if may { code < 0x80 } else { code == 0x87 };
                assert!(fits, "{name}: {act:?} {topic}: 0x{code:02x}, allowed: {may}");
                if may && matches!(act, Publish | Retain | Will) {
                    published.insert(topic.clone());
                }
            }
        }
    }
    assert!(lathe.act(Publish, LAST).await < 0x80);
    assert_eq!(watched(&mut watcher.client, LAST).await, published);
    let is_told = |audit: &Value| audit["stored"] == 2 && audit["refused"].as_u64() > Some(0);
    let audit = service.wait_for(account, is_told).await;
    assert_eq!(audit["quarantined"], 0, "{audit}");
    drop((watcher, lathe));
    assert!(service.stop().await.success());
    service.assert_quiet(&["Refused", "quarantine"]);
}
