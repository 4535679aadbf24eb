//! What a client that is slow, loud or unwelcome does to itself, and to no one else.

use bellwire_model::AlertState;
use futures_util::SinkExt;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Client, START, Service, position, transition, until};

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
            "GET /api/v1/live HTTP/1.1\r\nhost: bell.example:8080\r\norigin: {origin}\r\n\
             connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
    };
    for origin in ["https://evil.example", "null", "http://bell.example", "http://bell.example:80"]
    {
        let request = upgrade(origin).replace("connection: upgrade", "connection: upgrade, close");
        let answer = service.send(&request).await;
        assert_eq!(answer.status, 403, "{origin}");
        assert_eq!(answer.json()["code"], "origin_not_allowed");
    }
    // Our own page gets its socket; the service's end closes it.
    let ours = upgrade("http://bell.example:8080");
    let (answer, ()) = tokio::join!(service.send(&ours), async {
        until("it is live", || service.hub.n_clients() == 1).await;
        service.shutdown.cancel();
    });
    assert_eq!(answer.status, 101);
}
