//! Bodies that come slowly, or not at all.

use futures_util::future::join_all;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::{Target, drip};
use crate::support::http2::{self, HEADERS, Http2};
use crate::support::service::poll;
use crate::support::{http, tunnel};

/// Posts a body that never ends, a byte now and then; what is answered.
async fn post(stream: impl AsyncRead + AsyncWrite + Unpin, path: &str) -> String {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
         Content-Length: 9999\r\n\r\n"
    );
    drip(stream, &head, " ").await
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_drip_end_at_a_deadline_and_keep_nobody_from_changing_things() {
    let target = Target::start().await;
    let paths = ["/api/v1/telemetry", "/api/v1/silences", "/api/v1/rules", "/api/v1/rules/check"];
    // More than may change something at once.
    let attack = async {
        let plain = (0..150).map(|n| {
            let (address, path) = (target.service.http(), paths[n % paths.len()]);
            async move { post(TcpStream::connect(address).await.unwrap(), path).await }
        });
        let secure = (0..50).map(|n| {
            let (target, path) = (&target, paths[n % paths.len()]);
            async move {
                let stream = tunnel::connect(&target.https, &target.config, b"http/1.1").await;
                post(stream.unwrap(), path).await
            }
        });
        let (plain, secure) = tokio::join!(join_all(plain), join_all(secure));
        for answer in plain.iter().chain(&secure) {
            assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
            assert!(answer.contains("body_timeout"), "{answer}");
        }
    };
    target.while_answering(5, attack).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exports_that_are_never_taken_give_their_places_back() {
    let target = Target::start().await;
    // Many pieces of one page.
    let long = "x".repeat(1_000);
    let one =
        |n: u64| json!({"device": "quiet", "telemetry": {"note": long, "ts": 1_700_000_000 + n}});
    let telemetry = json!((0..500).map(one).collect::<Vec<_>>()).to_string();
    let address = target.service.http();
    let (status, said) = http::post(&address, "/api/v1/telemetry", &telemetry).await.unwrap();
    assert!((200..300).contains(&status), "{status} {said}");
    target.service.wait_for("/api/v1/devices/quiet/audit", |it| it["stored"] == 500).await;
    let path = "/api/v1/devices/quiet/readings?format=csv&from=2023-11-14T00:00:00Z";
    let mut client = Http2::open(&target.https, &target.config).await;
    // SETTINGS_INITIAL_WINDOW_SIZE is 0: it takes heads, and no byte of a body.
    client.send(&http2::frame(http2::SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])).await;
    for n in 0..16 {
        client.send(&http2::ask(1 + 2 * n, path)).await;
    }
    let mut heads = Vec::new();
    while heads.len() < 16 {
        let frame = client.next().await.expect("each is answered");
        heads.extend((frame.kind == HEADERS).then_some(frame.payload));
    }
    assert_eq!(http2::status_of(&heads[0]), 200);
    let is_given = |text: &str| text.contains("bellwire_http_exports_cut_total 16");
    while !is_given(&target.service.metrics().await) {
        // Its connection lives.
        assert!(client.send(&http2::frame(http2::PING, 0, 0, b"i listen")).await);
        poll().tick().await;
    }
    let (status, body) = http::get(&address, path).await.unwrap();
    assert_eq!((status, body.lines().count()), (200, 501), "{body:.200}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_over_http2_that_never_come_end_at_a_deadline() {
    let target = Target::start().await;
    let attack = join_all((0..10).map(|_| {
        let target = &target;
        async move {
            let mut client = Http2::open(&target.https, &target.config).await;
            for n in 0..50 {
                client.send(&http2::post(1 + 2 * n, "/api/v1/silences")).await;
            }
            let mut heads = Vec::new();
            while heads.len() < 50 {
                let frame = client.next().await.expect("each is answered");
                heads.extend((frame.kind == HEADERS).then_some(frame.payload));
            }
            // The others refer to it.
            assert_eq!(http2::status_of(&heads[0]), 408);
        }
    }));
    target.while_answering(5, attack).await;
}
