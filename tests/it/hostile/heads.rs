//! Heads that come slowly, never end, or have too much in them; and connections that say nothing.

use futures_util::future::join_all;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Target, drip};
use crate::support::http2::{self, CONTINUATION, ENHANCE_YOUR_CALM, Http2, frame, line};
use crate::support::service::{PATIENCE, poll};
use crate::support::tunnel;

/// A line of a head.
const MORE: &str = "X-More: and more\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_drip_end_at_a_deadline() {
    let target = Target::start().await;
    let attack = async {
        let first = "GET /healthz HTTP/1.1\r\nHost: x\r\n";
        let plain = (0..100).map(|_| async {
            drip(TcpStream::connect(target.service.http()).await.unwrap(), first, MORE).await
        });
        let secure = (0..50).map(|_| async {
            let stream = tunnel::connect(&target.https, &target.config, b"http/1.1").await;
            drip(stream.unwrap(), first, MORE).await
        });
        let silent = (0..50).map(|n| {
            // A byte of a handshake or of a head, or not even that.
            let address = if n % 2 == 0 { target.https.clone() } else { target.service.http() };
            async move {
                let mut stream = TcpStream::connect(address).await.unwrap();
                stream.write_all(&b"\x16"[..n / 2 % 2]).await.unwrap();
                let mut rest = Vec::new();
                let _ = timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("it ends");
            }
        });
        let (plain, secure, _) = tokio::join!(join_all(plain), join_all(secure), join_all(silent));
        for answer in plain.iter().chain(&secure) {
            assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
    };
    target.while_answering(5, attack).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_over_http2_that_are_not_finished_end_at_a_deadline() {
    let target = Target::start().await;
    let attack = join_all((0..20).map(|n| {
        let target = &target;
        async move {
            let mut client = Http2::open(&target.https, &target.config).await;
            client.send(&http2::begin(1, "/healthz")).await;
            let piece = frame(CONTINUATION, 0, 1, &line("x", "y"));
            let mut pulse = poll();
            let dripping = async {
                // Half of them say nothing more, the others a little now and then.
                while n % 2 == 0 && client.send(&piece).await {
                    pulse.tick().await;
                }
                while client.next().await.is_some() {}
            };
            timeout(PATIENCE, dripping).await.expect("the connection ends");
        }
    }));
    target.while_answering(5, attack).await;
}

/// Sends what may be much, as far as the other side still reads, and reads what it answers.
async fn overfill(
    stream: impl AsyncRead + AsyncWrite,
    first: &[u8],
    more: &[u8],
    n_times: usize,
) -> String {
    let (mut from, mut to) = tokio::io::split(stream);
    let mut answer = Vec::new();
    let writing = async {
        let _closed = to.write_all(first).await;
        for _ in 0..n_times {
            if to.write_all(more).await.is_err() {
                break;
            }
        }
        let _closed = to.flush().await;
    };
    let both = async { tokio::join!(writing, from.read_to_end(&mut answer)) };
    let _ = timeout(PATIENCE, both).await.expect("the connection ends");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_are_too_long_or_have_too_many_lines_are_refused_and_not_kept() {
    let target = Target::start().await;
    let before = target.resident_bytes();
    let attack = async {
        // 64 MiB each, if they were taken.
        let long = (0..8).map(|n| {
            let target = &target;
            async move {
                let first: &[u8] = match n % 3 {
                    0 => b"GET /",
                    1 => b"GET / HTTP/1.1\r\nX-Long: ",
                    _ => b"GET / HTTP/1.1\r\n",
                };
                let more = if n % 3 == 2 { "X-More: and more\r\n" } else { "aaaaaaaaaaaaaaaa" };
                let (more, n_times) = (more.repeat(4_096), 1_024);
                if n % 2 == 0 {
                    let stream = TcpStream::connect(target.service.http()).await.unwrap();
                    overfill(stream, first, more.as_bytes(), n_times).await
                } else {
                    let stream = tunnel::connect(&target.https, &target.config, b"http/1.1").await;
                    overfill(stream.unwrap(), first, more.as_bytes(), n_times).await
                }
            }
        });
        for answer in join_all(long).await {
            // Who goes on sending may lose the answer with the connection.
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
        }
    };
    target.while_answering(5, attack).await;
    // Of a head that is a little too long, one is told.
    let long = format!("GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: {}", "a".repeat(40_000));
    let many = format!("GET /healthz HTTP/1.1\r\nHost: x\r\n{}\r\n", "A: b\r\n".repeat(200));
    for head in [long, many] {
        let stream = TcpStream::connect(target.service.http()).await.unwrap();
        let answer = overfill(stream, head.as_bytes(), b"", 0).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
    let grown = target.resident_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes are held");
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_over_http2_that_never_end_cost_their_connection() {
    let target = Target::start().await;
    let before = target.resident_bytes();
    let attack = join_all((0..8).map(|_| {
        let target = &target;
        async move {
            let mut client = Http2::open(&target.https, &target.config).await;
            client.send(&http2::begin(1, "/healthz")).await;
            let piece = frame(CONTINUATION, 0, 1, &line("x-more", "and more").repeat(800));
            let mut n_sent = 0;
            while client.send(&piece).await {
                n_sent += 1;
                assert!(n_sent < 100_000, "it takes whatever comes");
            }
            let why = client.goaway().await;
            assert!(why.is_none() || why == Some(ENHANCE_YOUR_CALM) || why == Some(1), "{why:?}");
        }
    }));
    target.while_answering(5, attack).await;
    // Of a head that is a little too long, one is told.
    let mut client = Http2::open(&target.https, &target.config).await;
    client.send(&http2::begin(1, "/healthz")).await;
    let lines = line("x-more", "and more").repeat(900);
    client.send(&frame(CONTINUATION, 0x4, 1, &lines)).await;
    assert_eq!(client.status(1).await, Some(431));
    let grown = target.resident_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes are held");
}
