//! P6, no one where they don't belong: who comes in over MQTT, by what, and what it may do then.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::support::device::Device;
use crate::support::raw::{RawClient, connect, packet, publish, subscribe};
use crate::support::server::Server;
use crate::support::service::{PATIENCE, Service, Settings, poll};

/// What an MQTT 3.1.1 client hears.
const ACCEPTED: u8 = 0;
const BAD_CREDENTIALS: u8 = 4;
const NOT_AUTHORIZED: u8 = 5;
const UNAVAILABLE: u8 = 3;

/// What MQTT 3.1.1 says at the end of a connection.
const NOTHING: [u8; 0] = [];

const SECRET: &str = "a-secret-of-its-own-of-32-letters";

/// The code of the CONNACK that this user gets.
async fn knock(service: &Service, client: &str, user: &str, password: &str) -> (RawClient, u8) {
    RawClient::knock(&service.mqtt(), &connect(4, client, user, password)).await
}

/// Knocks until the answer is `code`: what the command line changes is known within two seconds.
async fn answers(service: &Service, user: &str, password: &str, code: u8) -> RawClient {
    let until = Instant::now() + PATIENCE;
    let mut poll = poll();
    loop {
        poll.tick().await;
        let (client, found) = knock(service, "probe", user, password).await;
        if found == code {
            return client;
        }
        assert!(Instant::now() < until, "{user} gets {found}:\n{}", service.log());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_comes_in_by_its_token_and_speaks_only_for_itself() {
    let mut service = Service::prepare(Settings::guarded());
    let token = service.run(&["device", "add", "press"]).await;
    assert!(token.starts_with("bwd_") && !token.contains('\n'), "the token alone");
    service.launch().await;

    let mut device = Device::knock(&service.mqtt(), "any", "press", &token).await.expect("let in");
    device.publish("devices/press/telemetry", r#"{"temperature": 21.5}"#).await;
    service.wait_for("/api/v1/devices/press/audit", |audit| audit["stored"] == 1).await;

    let (mut v3, code) = knock(&service, "v3", "press", &token).await;
    assert_eq!(code, ACCEPTED);
    v3.send(&subscribe(1, "devices/press/commands/#")).await;
    assert_eq!(v3.packet().await, [0x90, 3, 0, 1, 1]);
    v3.send(&subscribe(2, "#")).await;
    assert_eq!(v3.packet().await, [0x90, 3, 0, 2, 0x80]);
    v3.publish(3, b"devices/lathe/telemetry", b"{\"t\": 1}").await;
    assert_eq!(v3.rest().await, NOTHING, "MQTT 3.1.1 has no other answer");

    let hello = connect(5, "v5", "press", &token);
    let (mut v5, code) = RawClient::knock(&service.mqtt(), &hello).await;
    assert_eq!(code, 0);
    v5.send(&packet(0x32, b"\0\x17devices/lathe/telemetry\0\x01\0{}")).await;
    let puback = v5.packet().await;
    assert_eq!((puback[0], puback[4]), (0x40, 0x87), "{puback:?}");
    let (status, _) = service.get("/api/v1/devices/lathe/audit").await;
    assert_eq!(status, 404, "nothing came of it");

    assert_eq!(knock(&service, "c", "press", "bwd_wrong").await.1, BAD_CREDENTIALS);
    assert_eq!(knock(&service, "c", "lathe", &token).await.1, BAD_CREDENTIALS);
    assert_eq!(knock(&service, "c", "", "").await.1, NOT_AUTHORIZED);
    let wrong = connect(5, "c", "press", "bwd_wrong");
    assert_eq!(RawClient::knock(&service.mqtt(), &wrong).await.1, 0x86);

    // A will is a publish: not on another's topic.
    let mut body = b"\0\x04MQTT\x04\xC6\0\x3C\0\x01w".to_vec();
    for text in ["devices/lathe/status", "gone", "press", &token] {
        body.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
        body.extend(text.as_bytes());
    }
    assert_eq!(RawClient::knock(&service.mqtt(), &packet(0x10, &body)).await.1, NOT_AUTHORIZED);
    let log = service.log();
    assert!(log.contains("Refused a client as \"lathe\" from 127.0.0.1"), "{log}");
    assert!(!log.contains(&token), "no log has a token");
    assert!(service.stop().await.success());
    service.assert_quiet(&["Closing `v3` (not_authorized)"]);
}

/// Publishes on the press's topic as the lathe, and hears that it may not.
async fn intrude(service: &Service, token: &str) {
    let hello = connect(5, "intruder", "lathe", token);
    let (mut client, code) = RawClient::knock(&service.mqtt(), &hello).await;
    assert_eq!(code, 0);
    client.send(&packet(0x32, b"\0\x17devices/press/telemetry\0\x01\0{}")).await;
    let puback = client.packet().await;
    assert_eq!((puback[0], puback[4]), (0x40, 0x87), "{puback:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_in_the_account_of_whom_it_was_said_of() {
    let mut service = Service::prepare(Settings::guarded());
    let press = service.run(&["device", "add", "press"]).await;
    let lathe = service.run(&["device", "add", "lathe"]).await;
    service.launch().await;
    intrude(&service, &lathe).await;
    let mut device = Device::knock(&service.mqtt(), "any", "press", &press).await.expect("let in");
    device.publish("devices/press/telemetry", r#"{"temperature": 21.5}"#).await;
    let path = "/api/v1/devices/press/audit";
    service.wait_for(path, |audit| audit["stored"] == 1).await;
    intrude(&service, &lathe).await;
    let audit = service.wait_for(path, |audit| audit["refused"] == 1).await;
    assert_eq!((&audit["received"], &audit["stored"]), (&Value::from(2), &Value::from(1)));
    service.kill().await;
    service.launch().await;
    service.wait_for(path, |audit| audit["refused"] == 1).await;

    intrude(&service, &lathe).await;
    drop(device);
    assert!(service.stop().await.success());
    service.launch().await;
    let audit = service.wait_for(path, |audit| audit["refused"] == 2).await;
    assert_eq!(audit["received"], 3, "a service that stops notes what it has counted");
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_exchanged_and_a_revoked_device_is_out() {
    let mut service = Service::prepare(Settings::guarded());
    let press = service.run(&["device", "add", "press"]).await;
    let lathe = service.run(&["device", "add", "lathe"]).await;
    service.launch().await;
    let (mut first, code) = knock(&service, "shared", "press", &press).await;
    assert_eq!(code, ACCEPTED);
    let (_other, code) = knock(&service, "shared", "lathe", &lathe).await;
    assert_eq!(code, ACCEPTED, "another's client identifier takes nothing over");
    first.deliver("devices/press/telemetry/t", b"1").await;
    let (mut second, code) = knock(&service, "shared", "press", &press).await;
    assert_eq!(code, ACCEPTED, "one's own does");
    assert_eq!(first.rest().await, NOTHING);

    let new = service.run(&["device", "rotate", "press", "--grace", "1h"]).await;
    drop(answers(&service, "press", &new, ACCEPTED).await);
    assert_eq!(knock(&service, "old", "press", &press).await.1, ACCEPTED, "the old one too");
    second.deliver("devices/press/telemetry/t", b"2").await;

    let newest = service.run(&["device", "rotate", "press", "--grace", "0s"]).await;
    assert_eq!(second.rest().await, NOTHING, "without grace its connections end");
    let (mut last, code) = knock(&service, "last", "press", &newest).await;
    assert_eq!(code, ACCEPTED);
    assert_eq!(knock(&service, "old", "press", &new).await.1, BAD_CREDENTIALS);

    service.run(&["device", "revoke", "press"]).await;
    assert_eq!(last.rest().await, NOTHING);
    assert_eq!(knock(&service, "c", "press", &newest).await.1, BAD_CREDENTIALS);
    assert_eq!(knock(&service, "c", "lathe", &lathe).await.1, ACCEPTED, "others are as they were");
    let listed: Value =
        serde_json::from_str(&service.run(&["device", "list", "--json"]).await).unwrap();
    let states: Vec<_> = listed.as_array().unwrap().iter().map(|it| &it["state"]).collect();
    assert_eq!(states, ["active", "revoked"]);
    let metrics = service.metrics().await;
    assert!(
        metrics.contains(r#"bellwire_mqtt_connects_refused_total{reason="revoked"} 1"#),
        "{metrics}"
    );
    assert!(service.stop().await.success());
    // The new token was tried until it was known.
    service.assert_quiet(&["Refused 10 clients from 127.0.0.1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_device_registers_itself_by_a_provisioning_token() {
    let mut service = Service::prepare(Settings::guarded());
    let add = ["provisioning", "add", "line", "--devices", "line-*", "--uses", "1"];
    let token = service.run(&add).await;
    service.launch().await;
    let password = format!("{token}.{SECRET}");
    assert_eq!(knock(&service, "c", "other-1", &password).await.1, NOT_AUTHORIZED);
    assert_eq!(knock(&service, "c", "line-1", &format!("{token}.short")).await.1, NOT_AUTHORIZED);
    assert_eq!(knock(&service, "c", "line-1", &format!("bwp_x.{SECRET}")).await.1, BAD_CREDENTIALS);

    let (mut device, code) = knock(&service, "c", "line-1", &password).await;
    assert_eq!(code, ACCEPTED, "{}", service.log());
    device.deliver("devices/line-1/telemetry/t", b"1").await;
    assert_eq!(knock(&service, "c", "line-1", &password).await.1, ACCEPTED, "it asks again");
    assert_eq!(knock(&service, "c", "line-1", SECRET).await.1, ACCEPTED);
    let other = format!("{token}.another-{SECRET}");
    assert_eq!(knock(&service, "c", "line-1", &other).await.1, NOT_AUTHORIZED);
    assert_eq!(knock(&service, "c", "line-2", &password).await.1, NOT_AUTHORIZED, "used up");

    assert!(service.stop().await.success());
    service.launch().await;
    assert_eq!(knock(&service, "c", "line-1", SECRET).await.1, ACCEPTED);
    let listed = service.run(&["device", "list", "--json"]).await;
    assert!(listed.contains(r#""provisioned_by": "line""#) && !listed.contains(SECRET), "{listed}");
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_valid_while_the_database_is_away_also_after_a_restart() {
    let server = Server::start().await;
    let settings = Settings::guarded()
        .set("BELLWIRE_DATABASE_URL", server.url())
        .set("BELLWIRE_DATABASE_CONNECT_TIMEOUT_MS", 500);
    let mut service = Service::prepare(settings);
    let press = service.run(&["device", "add", "press"]).await;
    let lathe = service.run(&["device", "add", "lathe"]).await;
    let provisioning = ["provisioning", "add", "line", "--devices", "*", "--uses", "9"];
    let provisioning = service.run(&provisioning).await;
    service.launch().await;
    service.run(&["device", "revoke", "lathe"]).await;
    drop(answers(&service, "lathe", &lathe, BAD_CREDENTIALS).await);
    server.stop().await;
    assert_eq!(knock(&service, "c", "press", &press).await.1, ACCEPTED);
    let password = format!("{provisioning}.{SECRET}");
    assert_eq!(knock(&service, "c", "new", &password).await.1, UNAVAILABLE);

    service.stop().await;
    service.launch().await;
    let (mut device, code) = knock(&service, "c", "press", &press).await;
    assert_eq!(code, ACCEPTED, "{}", service.log());
    device.deliver("devices/press/telemetry/t", b"1").await;
    assert_eq!(knock(&service, "c", "lathe", &lathe).await.1, BAD_CREDENTIALS, "it stays revoked");

    server.go_on().await;
    service.wait_for("/api/v1/devices/press/audit", |audit| audit["stored"] == 1).await;
    drop(answers(&service, "new", &password, ACCEPTED).await);
    let more = service.run(&["device", "add", "more"]).await;
    drop(answers(&service, "more", &more, ACCEPTED).await);
    assert!(service.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_and_service_accounts_do_what_the_rules_say() {
    let mut service = Service::prepare(Settings::guarded());
    let config = service.dir().join("bellwire.toml");
    let rules = r#"
        [[acl]]
        who = "user:backend"
        action = "publish"
        topic = "devices/+/commands/#"
        allow = true
    "#;
    std::fs::write(&config, rules).unwrap();
    service.set("BELLWIRE_CONFIG", config.display());
    let gate = ["device", "add", "gate", "--gateway-for", "line-*", "--token-file"];
    let file = service.dir().join("token");
    assert_eq!(service.run(&[&gate[..], &[file.to_str().unwrap()]].concat()).await, "");
    let gate = std::fs::read_to_string(&file).unwrap();
    let backend = service.run(&["user", "add", "backend"]).await;
    service.launch().await;
    let (mut gateway, code) = knock(&service, "gate", "gate", gate.trim_end()).await;
    assert_eq!(code, ACCEPTED);
    gateway.deliver("devices/line-7/telemetry/t", b"1").await;
    gateway.deliver("devices/gate/telemetry/t", b"1").await;
    gateway.send(&subscribe(1, "devices/line-7/commands/#")).await;
    assert_eq!(gateway.packet().await, [0x90, 3, 0, 1, 1]);
    let (mut service_account, code) = knock(&service, "b", "backend", &backend).await;
    assert_eq!(code, ACCEPTED);
    service_account.deliver("devices/line-7/commands/start", b"now").await;
    assert_eq!(gateway.packet().await[0] & 0xF0, 0x30, "the gateway gets it");
    service_account.send(&subscribe(1, "devices/+/telemetry")).await;
    assert_eq!(service_account.packet().await, [0x90, 3, 0, 1, 0x80]);
    service_account.send(&publish(2, b"devices/line-7/telemetry", b"{}")).await;
    assert_eq!(service_account.rest().await, NOTHING);
    service.run(&["user", "revoke", "backend"]).await;
    drop(answers(&service, "backend", &backend, BAD_CREDENTIALS).await);
    assert!(service.stop().await.success());
    service.assert_quiet(&["Closing `b` (not_authorized)"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_refuses_a_filter_also_without_credentials() {
    let mut service = Service::prepare(Settings::default());
    let config = service.dir().join("bellwire.toml");
    let rules = r#"
        [[acl]]
        who = "*"
        action = "subscribe"
        topic = "test/nosubscribe"
        allow = false
    "#;
    std::fs::write(&config, rules).unwrap();
    service.set("BELLWIRE_CONFIG", config.display());
    service.launch().await;
    let mut client = RawClient::connect(&service.mqtt(), "c", 30).await;
    client.send(&subscribe(1, "test/nosubscribe")).await;
    assert_eq!(client.packet().await, [0x90, 3, 0, 1, 0x80]);
    client.send(&subscribe(2, "test/other")).await;
    assert_eq!(client.packet().await, [0x90, 3, 0, 2, 1]);
    client.deliver("anything", b"x").await;
    assert!(client.until_silent_for(Duration::from_millis(50)).await.is_empty());
    drop(client);
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
}

/// Connects and goes on with the session there is; the client, and whether there was one.
async fn resume(service: &Service, level: u8, user: &str, password: &str) -> (RawClient, u8) {
    let mut hello = connect(level, "shared", user, password);
    hello[9] &= !0x02;
    let mut client = RawClient::dial(&service.mqtt()).await;
    client.send(&hello).await;
    let connack = client.packet().await;
    assert_eq!((connack[0], connack[3]), (0x20, ACCEPTED), "{user}");
    (client, connack[2])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_ones_own_and_loses_what_is_not_allowed_any_more() {
    let mut service = Service::prepare(Settings::guarded());
    let gate = service.run(&["device", "add", "gate", "--gateway-for", "line-*"]).await;
    let lathe = service.run(&["device", "add", "lathe"]).await;
    service.launch().await;
    let (mut first, present) = resume(&service, 4, "gate", &gate).await;
    assert_eq!(present, 0);
    for (id, filter) in [(1, "devices/line-7/commands/#"), (2, "devices/gate/commands/#")] {
        first.send(&subscribe(id, filter)).await;
        assert_eq!(first.packet().await, [0x90, 3, 0, u8::try_from(id).unwrap(), 1]);
    }
    first.send(&[0xE0, 0]).await;
    assert_eq!(first.rest().await, NOTHING);
    assert_eq!(resume(&service, 4, "lathe", &lathe).await.1, 0, "not another's");

    service.run(&["device", "revoke", "gate"]).await;
    let gate = service.run(&["device", "add", "gate"]).await;
    drop(answers(&service, "gate", &gate, ACCEPTED).await);
    let (mut again, present) = resume(&service, 5, "gate", &gate).await;
    assert_eq!(present, 1, "its own");
    let unsubscribe = b"\0\x01\0\0\x19devices/line-7/commands/#\0\x17devices/gate/commands/#";
    again.send(&packet(0xA2, unsubscribe)).await;
    assert_eq!(again.packet().await, [0xB0, 5, 0, 1, 0, 0x11, 0], "one of them is gone");
    assert!(service.stop().await.success());
    service.assert_quiet(&["Refused 10 clients from 127.0.0.1"]);
}
