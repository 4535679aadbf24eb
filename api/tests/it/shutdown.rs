//! How it stops: everyone is told, what was begun is finished, and nothing waits for ever.

use std::sync::atomic::Ordering;

use crate::support::{LOG, Service, until, within};

#[tokio::test]
async fn live_clients_are_told_and_requests_finish() {
    let service = Service::start().await;
    let mut client = service.live("").await;
    client.expect("snapshot").await;
    service.kept.stuck.store(true, Ordering::Relaxed);
    let poll = format!("/api/v1/live/poll?cursor={LOG}-999-{}", u32::MAX);
    let (answer, polled, ()) =
        tokio::join!(service.get("/api/v1/quarantine"), service.get(&poll), async {
            until("both have been asked", || {
                service.hub.n_clients() == 2
                    && !service.kept.asked.lock().expect("whole").is_empty()
            })
            .await;
            service.shutdown.cancel();
            let (code, reason) = client.end().await;
            assert_eq!(code, 1_001);
            assert!(reason.contains("cursor"), "{reason}");
            service.kept.release.notify_one();
        });
    assert_eq!(answer.status, 200);
    assert_eq!(polled.status, 200);
    service.tracker.close();
    within("all tasks have ended", service.tracker.wait()).await;
    assert!(tokio::net::TcpStream::connect(service.addr).await.is_err(), "it listens no more");
}

#[tokio::test]
async fn a_client_that_waits_for_history_is_told_too() {
    let service = Service::start().await;
    service.kept.stuck.store(true, Ordering::Relaxed);
    let mut client = service.live(&format!("?cursor={LOG}-5-0")).await;
    until("history is asked", || !service.kept.asked.lock().expect("whole").is_empty()).await;
    service.shutdown.cancel();
    assert_eq!(client.end().await.0, 1_001);
    service.tracker.close();
    within("all tasks have ended", service.tracker.wait()).await;
}

#[tokio::test]
async fn what_does_not_finish_in_time_is_cut_off() {
    let service = Service::start_with(|config| {
        config.shutdown_grace_ms = 50.try_into().expect("not zero");
    })
    .await;
    service.kept.stuck.store(true, Ordering::Relaxed);
    let path = "/api/v1/quarantine";
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
    let mut stream = tokio::net::TcpStream::connect(service.addr).await.expect("it listens");
    let sent = tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes()).await;
    sent.expect("it reads");
    until("it has been asked", || !service.kept.asked.lock().expect("whole").is_empty()).await;
    service.shutdown.cancel();
    service.tracker.close();
    within("all tasks have ended", service.tracker.wait()).await;
    let mut rest = Vec::new();
    drop(within("the end", tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut rest)).await);
    assert_eq!(rest, b"", "nothing half said");
}

#[tokio::test]
async fn what_changes_something_is_answered_before_all_else_ends() {
    let service = Service::start().await;
    let mut client = service.live("").await;
    client.expect("snapshot").await;
    let gate = service.bin.gate.lock().await;
    let request = "POST /api/v1/quarantine/replay HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
                   content-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
    let asking = service.send(request);
    let ending = async {
        until("it was asked", || !service.bin.asked.lock().expect("whole").is_empty()).await;
        let ending = service.intake.clone().end();
        tokio::pin!(ending);
        let over = tokio::select! {
            biased;
            () = ending.as_mut() => true,
            // Nobody comes in any more; and still it waits.
            () = refused(&service) => false,
        };
        assert!(!over, "it waits for what was begun");
        drop(gate);
        within("it has ended", ending).await;
    };
    let (answer, ()) = tokio::join!(asking, ending);
    assert_eq!(answer.status, 202);
    service.shutdown.cancel();
    assert_eq!(client.end().await.0, 1_001, "live clients stay until the end");
    service.tracker.close();
    within("all tasks have ended", service.tracker.wait()).await;
}

/// Waits until nobody can connect any more.
async fn refused(service: &Service) {
    while tokio::net::TcpStream::connect(service.addr).await.is_ok() {
        tokio::task::yield_now().await;
    }
}
