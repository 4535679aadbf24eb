//! Behind HAProxy, as deploy/haproxy.cfg has it: devices by TLS whose own address is known, operators by HTTPS.

use std::net::TcpListener;

use serde_json::json;

use crate::listeners::Files;
use crate::support::device::Device;
use crate::support::haproxy::Haproxy;
use crate::support::http;
use crate::support::http2::{self, Http2};
use crate::support::live::Screen;
use crate::support::people::{PASSWORD, add_user};
use crate::support::service::{Service, Settings};
use crate::support::tunnel::Tunnel;

/// A service with a listener that wants to be told for whom a proxy connects.
fn settings(entry: Settings) -> Settings {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let listen = format!("127.0.0.1:{port}");
    entry
        .set("BELLWIRE_MQTT_LISTEN", &listen)
        .set("BELLWIRE_MQTT_PROXY_LISTENERS", &listen)
        .set("BELLWIRE_HTTP_TRUSTED_PROXIES", "127.0.0.1")
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_come_by_tls_and_bring_their_own_address() {
    let mut service = Service::start(settings(Settings::default())).await;
    let config = Files::of(&service).write(2_100, None);
    let haproxy = Haproxy::start(service.dir(), &service.mqtt(), &service.http()).await;
    let tunnel = Tunnel::to(&haproxy.mqtts(), &config).await;
    let mut device = Device::connect(&tunnel.address(), "far").await;
    device.publish("devices/far/telemetry/t", "21").await;
    service.wait_for("/api/v1/devices/far/audit", |audit| audit["stored"] == 1).await;
    // Who comes past the proxy says for nobody that they connect.
    assert!(Device::knock(&service.mqtt(), "near", "u", "p").await.is_none());
    // Live, by WebSocket.
    let tunnel = Tunnel::to(&haproxy.https(), &config).await;
    let mut screen = Screen::open(&tunnel.address(), None).await;
    assert_eq!(screen.next().await.unwrap()["type"], "snapshot");
    drop((device, screen));
    assert!(service.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_come_by_https_and_what_they_say_of_themselves_is_not_passed_on() {
    let mut service = Service::prepare(settings(Settings::guarded()));
    add_user(&service, "root", "admin").await;
    service.launch().await;
    let config = Files::of(&service).write(2_100, None);
    let haproxy = Haproxy::start(service.dir(), &service.mqtt(), &service.http()).await;
    let tunnel = Tunnel::to(&haproxy.https(), &config).await;
    let body = json!({"name": "root", "password": PASSWORD}).to_string();
    let lies = "X-Forwarded-Proto: http\r\nX-Forwarded-For: 127.0.0.9\r\n";
    let asked = http::send(&tunnel.address(), "POST /api/v1/session", lies, &body).await;
    let (status, head, _) = asked.unwrap();
    assert_eq!(status, 200, "{head}");
    let cookie = head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).expect("a cookie");
    assert!(cookie.starts_with("__host-bellwire=") && cookie.ends_with("; secure"), "{cookie}");

    let mut newer = Http2::open(&haproxy.https(), &config).await;
    newer.send(&http2::ask(1, "/healthz")).await;
    assert_eq!(newer.status(1).await, Some(200));
    let (status, head, _) = http::get_whole(&haproxy.http(), "/api/v1/alerts").await.unwrap();
    assert_eq!(status, 308);
    assert!(head.contains("location: https://"), "{head}");
}
