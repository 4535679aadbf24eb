//! HTTPS of a whole service: HTTP/2 and HTTP/1.1, certificates that change under it, and clients that say
//! nothing.

use std::sync::Arc;

use rustls::ClientConfig;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::listeners::Files;
use crate::support::http;
use crate::support::http2::{self, Http2};
use crate::support::people::{PASSWORD, add_user};
use crate::support::service::{PATIENCE, Service, Settings, poll};
use crate::support::tunnel::{Tunnel, connect};

/// Asks over HTTP/1.1 and keeps the connection; the head of the answer, which has no body to speak of.
async fn ask(stream: &mut TlsStream<TcpStream>) -> String {
    stream.write_all(b"HEAD /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap().to_lowercase()
}

/// A service of these settings that speaks HTTPS, before it is launched.
fn prepare(settings: Settings) -> (Service, Files, Arc<ClientConfig>) {
    let mut service = Service::prepare(settings);
    let files = Files::of(&service);
    let config = files.write(2_100, None);
    service.set("BELLWIRE_HTTP_TLS_LISTEN", "127.0.0.1:0");
    service.set("BELLWIRE_HTTP_TLS_CERT_FILE", files.cert.display());
    service.set("BELLWIRE_HTTP_TLS_KEY_FILE", files.key.display());
    (service, files, config)
}

/// Where it speaks HTTPS.
fn https(service: &Service) -> String {
    let text = std::fs::read(service.data_dir().join("endpoints.json")).unwrap();
    let endpoints: serde_json::Value = serde_json::from_slice(&text).unwrap();
    endpoints["https"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn both_versions_are_spoken_and_certificates_change_under_them() {
    let (mut service, files, config) = prepare(Settings::default());
    service.launch().await;
    let address = https(&service);
    let mut silent = TcpStream::connect(&address).await.unwrap();
    let mut newer = Http2::open(&address, &config).await;
    newer.send(&http2::ask(1, "/healthz")).await;
    assert_eq!(newer.status(1).await, Some(200));
    let mut older = connect(&address, &config, b"http/1.1").await.unwrap();
    let head = ask(&mut older).await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(head.contains("strict-transport-security: max-age=31536000\r\n"), "{head}");

    // What is wrong is said, and changes nothing.
    files.write(2_100, Some("no key"));
    let wait = |what: &'static str| {
        let service = &service;
        async move {
            let until = tokio::time::Instant::now() + PATIENCE;
            let mut poll = poll();
            while !service.log().contains(what) {
                assert!(tokio::time::Instant::now() < until, "{what}: {}", service.log());
                poll.tick().await;
            }
        }
    };
    wait("New certificates for HTTPS are wrong").await;
    connect(&address, &config, b"h2").await.expect("the old one stays");
    let other = files.write(2_101, None);
    wait("Took up new certificates for HTTPS").await;
    connect(&address, &config, b"h2").await.expect_err("it is not the one it trusts");
    connect(&address, &other, b"h2").await.expect("the new one");
    assert!(ask(&mut older).await.starts_with("http/1.1 200"), "connections stay");

    // Who has said nothing is still there, and has kept nobody out.
    silent.write_all(b"\x16").await.unwrap();
    drop((newer, older));
    assert!(service.stop().await.success());
    assert_eq!(silent.read(&mut [0; 8]).await.unwrap_or(0), 0, "it is closed with the service");
    service.assert_quiet(&["New certificates for HTTPS are wrong"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_signs_in_over_https_has_a_session_for_encrypted_lines_only() {
    let (mut service, _, config) =
        prepare(Settings::guarded().set("BELLWIRE_HTTP_TRUSTED_PROXIES", "127.0.0.2"));
    add_user(&service, "root", "admin").await;
    service.launch().await;
    let tunnel = Tunnel::to(&https(&service), &config).await;
    let body = json!({"name": "root", "password": PASSWORD}).to_string();
    let what = "POST /api/v1/session";
    // Nobody but a trusted proxy is believed what it says of the line.
    let lie = "X-Forwarded-Proto: http\r\n";
    let (status, head, _) = http::send(&tunnel.address(), what, lie, &body).await.unwrap();
    assert_eq!(status, 200, "{head}");
    let cookie = cookie(&head);
    assert!(cookie.starts_with("__host-bellwire=") && cookie.ends_with("; secure"), "{cookie}");
    let pair = cookie.split(';').next().unwrap().replace("__host-", "__Host-");
    let shown = format!("Cookie: {pair}\r\n");
    let ask = |address: String| {
        let shown = shown.clone();
        async move { http::get_whole_as(&address, "/api/v1/session", &shown).await.unwrap().0 }
    };
    assert_eq!(ask(tunnel.address()).await, 200);
    assert_eq!(ask(service.http()).await, 401, "it is none where the line is plain");
    // Where it is plain, browsers would not take such a cookie.
    let lie = "X-Forwarded-Proto: https\r\n";
    let (_, head, _) = http::send(&service.http(), what, lie, &body).await.unwrap();
    assert!(self::cookie(&head).starts_with("bellwire="), "{head}");
    service.assert_quiet(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_proxy_says_whether_its_clients_line_is_encrypted() {
    let mut service =
        Service::prepare(Settings::guarded().set("BELLWIRE_HTTP_TRUSTED_PROXIES", "127.0.0.1"));
    add_user(&service, "root", "admin").await;
    service.launch().await;
    let body = json!({"name": "root", "password": PASSWORD}).to_string();
    for (line, secure) in [("https", true), ("http", false)] {
        let said = format!("X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: {line}\r\n");
        let asked = http::send(&service.http(), "POST /api/v1/session", &said, &body).await;
        let (status, head, _) = asked.unwrap();
        assert_eq!(status, 200, "{head}");
        let cookie = cookie(&head);
        assert_eq!(cookie.starts_with("__host-bellwire="), secure, "{cookie}");
        assert_eq!(cookie.contains("; secure"), secure, "{cookie}");
        assert_eq!(head.contains("strict-transport-security: "), secure, "{head}");
    }
    service.assert_quiet(&[]);
}

/// What a head, in lower case, sets as cookie.
fn cookie(head: &str) -> &str {
    head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).expect("a cookie")
}
