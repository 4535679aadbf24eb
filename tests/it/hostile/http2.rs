//! What HTTP/2 lets a client do many times at little cost: streams that are taken back, and frames that
//! ask for an answer.

use tokio::time::timeout;

use super::Target;
use crate::support::http2::{
    self, ENHANCE_YOUR_CALM, Http2, PING, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame,
};
use crate::support::service::PATIENCE;

/// Sends all of this as far as the other side still reads, and gives why it ends.
async fn until_it_ends(target: &Target, bytes: &[u8]) -> Option<u32> {
    let mut client = Http2::open(&target.https, &target.config).await;
    let attack = async {
        client.send(bytes).await;
        timeout(PATIENCE, client.goaway()).await.expect("it ends")
    };
    target.while_answering(5, attack).await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_requests_back_at_once_is_sent_away() {
    let target = Target::start().await;
    let cancel = 0x8_u32.to_be_bytes();
    let rapid = |path: &str| -> Vec<u8> {
        (0..5_000)
            .map(|n| 1 + 2 * n)
            .flat_map(|id| [http2::ask(id, path), frame(RST_STREAM, 0, id, &cancel)].concat())
            .collect()
    };
    // CVE-2023-44487. The reason may be lost with the connection: it is closed all the same.
    let why = until_it_ends(&target, &rapid("/api/v1/alerts")).await;
    assert!(why.is_none() || why == Some(ENHANCE_YOUR_CALM), "{why:?}");
    // CVE-2025-8671: it is we who are brought to take them back.
    let too_much = 0x7fff_ffff_u32.to_be_bytes();
    let ours: Vec<u8> = (0..5_000)
        .map(|n| 1 + 2 * n)
        .flat_map(|id| {
            [http2::ask(id, "/api/v1/alerts"), frame(WINDOW_UPDATE, 0, id, &too_much)].concat()
        })
        .collect();
    let why = until_it_ends(&target, &ours).await;
    assert!(why.is_none() || why == Some(ENHANCE_YOUR_CALM), "{why:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_more_requests_at_once_than_allowed_is_refused_those() {
    let target = Target::start().await;
    let mut client = Http2::open(&target.https, &target.config).await;
    for n in 0..65 {
        client.send(&http2::post(1 + 2 * n, "/api/v1/silences")).await;
    }
    assert_eq!(client.status(129).await, None, "REFUSED_STREAM");
    target.answers().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_ask_for_an_answer_hold_no_memory_and_nobody_up() {
    let target = Target::start().await;
    for one in [frame(PING, 0, 0, b"are here"), frame(SETTINGS, 0, 0, b"")] {
        let before = target.resident_bytes();
        let many = &one.repeat(64 * 1_024);
        let mut clients = Vec::new();
        for _ in 0..4 {
            clients.push(Http2::open(&target.https, &target.config).await);
        }
        // They send as much as is taken, and read no answer.
        let flood = futures_util::future::join_all(clients.iter_mut().map(|client| async move {
            for _ in 0..64 {
                client.send(many).await;
            }
        }));
        // It need not end: who does not read is not read.
        let answering = target.while_answering(20, std::future::ready(()));
        tokio::pin!(flood, answering);
        tokio::select! {
            _ = &mut flood => answering.await,
            () = &mut answering => {}
        }
        let grown = target.resident_bytes().saturating_sub(before);
        assert!(grown < 64 << 20, "{grown} bytes are held");
    }
}
