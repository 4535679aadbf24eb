//! What a client that is slow, loud or unwelcome does to itself, and to no one else.

use bellwire_model::AlertState;
use futures_util::SinkExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Client, START, Service, position, transition, until, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_is_sent_away_and_can_come_back() {
    let service = Service::start_with(|config| {
        config.live.ring_transitions = 100_000.try_into().expect("not zero");
        config.live.client_lag_max = 20.try_into().expect("not zero");
    })
    .await;
    let mut slow = service.live("").await;
    slow.expect("snapshot").await;
    let mut quick = service.live("").await;
    quick.expect("snapshot").await;
    let slow_line = r#"bellwire_live_clients_ended_total{reason="slow"}"#;
    let mut n_sent = 0;
    while service.metric(slow_line) == 0.0 {
        assert!(n_sent < 20_000, "it swallowed 600 MB unread");
        let mut it = transition(START.0 + n_sent, n_sent % 10, AlertState::Firing);
        it.alert.summary = "x".repeat(30_000);
        service.happen(&it);
        n_sent += 1;
        assert_eq!(position(&quick.expect("transition").await), START.0 + n_sent - 1);
    }
    // It gets what was on its way, in order, and the goodbye.
    let mut next = START.0;
    let mut cursor = String::new();
    let end = loop {
        match slow.next().await {
            Ok(frame) => {
                assert_eq!(position(&frame), next);
                frame["cursor"].as_str().expect("text").clone_into(&mut cursor);
                next += 1;
            }
            Err(end) => break end,
        }
    };
    assert_eq!(end, (4_000, "too slow: come back with your cursor".to_owned()));
    let mut back = service.live(&format!("?cursor={cursor}")).await;
    for position_due in next..START.0 + n_sent {
        assert_eq!(position(&back.expect("transition").await), position_due);
    }
    assert_eq!(back.expect("snapshot").await["resumed"], true);
}

#[tokio::test]
async fn a_message_that_is_too_long_ends_the_session() {
    let service = Service::start().await;
    for bytes in [16 * 1024 + 1, 200_000] {
        let mut client = service.live("").await;
        client.expect("snapshot").await;
        // The server may have closed before it is all sent.
        drop(client.socket.send(Message::text("x".repeat(bytes))).await);
        assert_eq!(client.end().await.0, 1_009, "{bytes} bytes");
    }
}

/// Raw bytes after a handshake by hand: what no client library would send.
async fn attack(service: &Service, extensions: &str, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(service.addr).await.expect("it listens");
    let head = format!(
        "GET /api/v1/live HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{extensions}\r\n"
    );
    stream.write_all(head.as_bytes()).await.expect("it reads");
    // It may close before all is sent.
    drop(stream.write_all(bytes).await);
    // Who has gone before there is an answer gets none.
    let mut answer = Vec::new();
    while !answer.windows(4).any(|it| it == b"\r\n\r\n") {
        let n = within("an answer", stream.read_buf(&mut answer)).await.expect("it answers");
        assert!(n > 0, "an answer");
    }
    drop(stream.shutdown().await);
    drop(within("an end", stream.read_to_end(&mut answer)).await);
    answer
}

/// A client's frame with an empty mask.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).expect("short").to_be_bytes();
    [&[first, 0x80 | 126, length[0], length[1], 0, 0, 0, 0][..], payload].concat()
}

fn has_close(answer: &[u8], code: u16) -> bool {
    let code = code.to_be_bytes();
    answer.windows(4).any(|it| it[0] == 0x88 && it[2..] == code)
}

const DEFLATE: &str = "sec-websocket-extensions: permessage-deflate; client_max_window_bits\r\n";

#[tokio::test]
async fn a_compression_bomb_ends_the_session_and_costs_nothing() {
    let service = Service::start().await;
    let mut compress = flate2::Compress::new(flate2::Compression::best(), false);
    let mut bomb = Vec::with_capacity(64 * 1024);
    let ten_mib = vec![b' '; 10 << 20];
    compress.compress_vec(&ten_mib, &mut bomb, flate2::FlushCompress::Sync).expect("it compresses");
    assert!(bomb.len() < 16 * 1024, "{}", bomb.len());
    let answer = attack(&service, DEFLATE, &frame(0xC1, &bomb)).await;
    let head = String::from_utf8_lossy(&answer);
    assert!(head.contains("permessage-deflate; server_no_context_takeover"), "{head}");
    assert!(has_close(&answer, 1_009));
    // Compressed without having agreed on it, or nonsense: no frame.
    assert!(has_close(&attack(&service, "", &frame(0xC1, &bomb)).await, 1_002));
    assert!(has_close(&attack(&service, DEFLATE, &frame(0xC1, &[0xFF; 50])).await, 1_002));
    until("all have left", || service.hub.n_clients() == 0).await;
}

#[tokio::test]
async fn what_is_no_frame_ends_the_session_at_once() {
    let service = Service::start().await;
    let huge = [0x81, 0xFF, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1, 2, 3, 4];
    assert!(has_close(&attack(&service, "", &huge).await, 1_009), "a terabyte is announced");
    assert!(has_close(&attack(&service, "", &[0x81, 0x01, b'x']).await, 1_002), "no mask");
    assert!(has_close(&attack(&service, "", &frame(0x81, &[0xFF; 9])).await, 1_007), "no text");
    // A message in many frames is no longer than one.
    let parts = [frame(0x01, &[b'x'; 9_000]), frame(0x80, &[b'x'; 9_000])].concat();
    assert!(has_close(&attack(&service, "", &parts).await, 1_009));
    // Nor do pings in between come for nothing.
    let pings = [frame(0x01, b"x"), frame(0x89, b"").repeat(100)].concat();
    assert!(has_close(&attack(&service, "", &pings).await, 1_008));
    until("all have left", || service.hub.n_clients() == 0).await;
}

/// As browsers do it.
#[tokio::test]
async fn frames_come_compressed_to_those_who_offer_it() {
    let service = Service::start().await;
    for n in 0..20 {
        service.happen(&transition(START.0 + n, n, AlertState::Firing));
    }
    until("they are told", || service.hub.open_alerts().is_some_and(|open| open.len() == 20)).await;
    let plain = attack(&service, "", &[]).await;
    let small = attack(&service, DEFLATE, &[]).await;
    assert!(small.len() * 5 < plain.len(), "{} of {} bytes", small.len(), plain.len());
    let head = small.windows(4).position(|it| it == b"\r\n\r\n").expect("a head") + 4;
    let (frame, length) = (&small[head + 4..], &small[head + 2..head + 4]);
    assert_eq!(small[head..head + 2], [0xC1, 126]);
    let length = usize::from(u16::from_be_bytes(length.try_into().expect("two")));
    let stream = [&frame[..length], &[0, 0, 0xFF, 0xFF]].concat();
    let mut text = Vec::with_capacity(64 * 1024);
    let mut decompress = flate2::Decompress::new(false);
    let read = decompress.decompress_vec(&stream, &mut text, flate2::FlushDecompress::Sync);
    read.expect("DEFLATE");
    let snapshot: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
    assert_eq!(snapshot["alerts"].as_array().map(Vec::len), Some(20));
}

#[tokio::test]
async fn what_is_no_message_is_refused_and_the_session_goes_on() {
    let service = Service::start().await;
    let mut client = service.live("").await;
    client.expect("snapshot").await;
    client.say("{").await;
    assert_eq!(client.expect("error").await["code"], "bad_message");
    client.socket.send(Message::binary(vec![1_u8])).await.expect("sent");
    assert_eq!(client.expect("error").await["detail"], "messages are text");
    service.happen(&transition(START.0, 1, AlertState::Firing));
    client.expect("transition").await;
}

#[tokio::test]
async fn a_client_that_shouts_is_sent_away() {
    let service = Service::start().await;
    let mut client = service.live("").await;
    client.expect("snapshot").await;
    for _ in 0..100 {
        drop(client.socket.feed(Message::text(r#"{"type":"subscribe","devices":[]}"#)).await);
    }
    drop(client.socket.flush().await);
    let (code, reason) = client.end().await;
    assert_eq!((code, reason.as_str()), (1_008, "too many messages"));
}

#[tokio::test]
async fn there_are_no_more_clients_than_allowed() {
    let service =
        Service::start_with(|config| config.live.clients_max = 1.try_into().expect("not zero"))
            .await;
    let mut only = service.live("").await;
    only.expect("snapshot").await;
    let answer = service.get("/api/v1/live/poll").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["code"], "too_many_live_clients");
    assert_eq!(answer.header("retry-after"), "10");
    assert_eq!(service.metric("bellwire_live_clients_refused_total"), 1.0);
    drop(only);
    until("its place is free", || service.hub.n_clients() == 0).await;
    service.live("").await.expect("snapshot").await;
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_their_turn() {
    let service =
        Service::start_with(|config| config.connections_max = 1.try_into().expect("not zero"))
            .await;
    let mut first: Client = service.live("").await;
    first.expect("snapshot").await;
    let (answer, ()) = tokio::join!(service.get("/healthz"), async {
        service.happen(&transition(START.0, 1, AlertState::Firing));
        first.expect("transition").await;
        first.socket.close(None).await.expect("open until now");
    });
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn pages_of_other_origins_may_not_listen() {
    let service = Service::start().await;
    let upgrade = |origin: &str| {
        format!(
            "GET /api/v1/live HTTP/1.1\r\nhost: bell.localhost:8080\r\norigin: {origin}\r\n\
             connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
    };
    for origin in
        ["https://evil.example", "null", "http://bell.localhost", "http://bell.localhost:80"]
    {
        let request = upgrade(origin).replace("connection: upgrade", "connection: upgrade, close");
        let answer = service.send(&request).await;
        assert_eq!(answer.status, 403, "{origin}");
        assert_eq!(answer.json()["code"], "origin_not_allowed");
    }
    // Our own page gets its socket; the service's end closes it.
    let ours = upgrade("http://bell.localhost:8080");
    let (answer, ()) = tokio::join!(service.send(&ours), async {
        until("it is live", || service.hub.n_clients() == 1).await;
        service.shutdown.cancel();
    });
    assert_eq!(answer.status, 101);
}
