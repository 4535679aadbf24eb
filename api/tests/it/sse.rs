//! The live feed for what has no WebSocket: server-sent events and long polling.

use std::io::Read as _;

use bellwire_model::{AlertState, Value};
use flate2::read::GzDecoder;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{LOG, START, Service, transition, until, within};

/// A stream of events.
struct Events {
    stream: TcpStream,
    text: String,
}

impl Events {
    async fn open(service: &Service, query: &str, headers: &str) -> Self {
        let mut stream = TcpStream::connect(service.addr).await.expect("it listens");
        let request =
            format!("GET /api/v1/live/events{query} HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.expect("it reads");
        Self { stream, text: String::new() }
    }

    /// Reads on until `wanted` has come, and returns all that came before it.
    async fn until(&mut self, wanted: &str) -> String {
        loop {
            if let Some(at) = self.text.find(wanted) {
                let rest = self.text.split_off(at + wanted.len());
                return std::mem::replace(&mut self.text, rest);
            }
            let mut bytes = [0; 4096];
            let n = within(wanted, self.stream.read(&mut bytes)).await.expect("it goes on");
            assert!(n > 0, "it ended before {wanted}: {}", self.text);
            self.text.push_str(&String::from_utf8_lossy(&bytes[..n]));
        }
    }
}

#[tokio::test]
async fn events_carry_the_same_frames_and_ids_to_resume_by() {
    let service = Service::start().await;
    let mut events = Events::open(&service, "?devices=freezer-1", "").await;
    let head = events.until("\r\n\r\n").await.to_lowercase();
    assert!(head.contains("content-type: text/event-stream"), "{head}");
    events.until("retry: 1000\n\n").await;
    events.until(&format!("id: {LOG}-999-{}\nevent: snapshot\ndata: {{", u32::MAX)).await;
    service.happen(&transition(START.0, 1, AlertState::Firing));
    events.until(&format!("id: {LOG}-1000-0\nevent: transition\ndata: {{")).await;
    let reading = service.reading("freezer-1", "temperature", Value::Number(1.5));
    service.hub.readings(&[reading]);
    events.until("event: reading\ndata: {\"type\":\"reading\",\"device\":\"freezer-1\"").await;
    service.happen(&transition(START.0 + 1, 2, AlertState::Firing));
    events.until("event: transition").await;
    drop(events);

    // A browser repeats the URL; its header is newer than the query.
    let headers = format!("last-event-id: {LOG}-1000-0\r\n");
    let query = format!("?cursor={LOG}-999-{}", u32::MAX);
    let mut back = Events::open(&service, &query, &headers).await;
    let before = back.until("\"resumed\":true").await;
    assert!(before.contains(&format!("id: {LOG}-1001-0\nevent: transition")), "{before}");
    assert!(!before.contains(&format!("id: {LOG}-1000-0")), "{before}");
    service.shutdown.cancel();
    back.until("\"code\":\"shutdown\"").await;
    // The last chunk: the stream ended in order.
    back.until("0\r\n\r\n").await;
}

/// Reads what has come of a compressed stream; nothing is missing if it is at its end.
fn unzip(bytes: &[u8]) -> (String, bool) {
    let mut text = String::new();
    let is_whole = GzDecoder::new(bytes).read_to_string(&mut text).is_ok();
    (text, is_whole)
}

#[tokio::test]
async fn events_and_answers_come_compressed_to_those_who_ask() {
    let service = Service::start().await;
    let mut stream = TcpStream::connect(service.addr).await.expect("it listens");
    let request =
        "GET /api/v1/live/events HTTP/1.0\r\nhost: x\r\naccept-encoding: gzip, br\r\n\r\n";
    stream.write_all(request.as_bytes()).await.expect("it reads");
    let mut bytes = Vec::new();
    // Each event can be read when it has come, before the next one does.
    for n in 0..3 {
        within("an event", async {
            let wanted =
                if n == 0 { "event: snapshot" } else { &format!("\"reason\":\"#100{n}\"") };
            while !body(&bytes).is_some_and(|it| unzip(it).0.contains(wanted)) {
                stream.read_buf(&mut bytes).await.expect("it goes on");
            }
        })
        .await;
        service.happen(&transition(START.0 + n + 1, n, AlertState::Firing));
    }
    service.shutdown.cancel();
    within("the end", stream.read_to_end(&mut bytes)).await.expect("it ends in order");
    let head = String::from_utf8_lossy(&bytes).to_lowercase();
    assert!(head.contains("content-encoding: gzip\r\n"), "{head}");
    let (text, is_whole) = unzip(body(&bytes).expect("a body"));
    assert!(
        is_whole && text.starts_with("retry: 1000\n\nid: ") && text.contains("\"shutdown\""),
        "{text}"
    );

    let service = Service::start().await;
    for n in 0..20 {
        service.happen(&transition(START.0 + n, n, AlertState::Firing));
    }
    until("they are told", || service.hub.open_alerts().is_some_and(|open| open.len() == 20)).await;
    let mut stream = TcpStream::connect(service.addr).await.expect("it listens");
    let request = "GET /api/v1/live/poll HTTP/1.0\r\nhost: x\r\naccept-encoding: gzip\r\n\r\n";
    stream.write_all(request.as_bytes()).await.expect("it reads");
    let mut bytes = Vec::new();
    within("the end", stream.read_to_end(&mut bytes)).await.expect("it ends in order");
    let (text, is_whole) = unzip(body(&bytes).expect("a body"));
    let answer: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(
        (is_whole, answer["frames"][0]["alerts"].as_array().map(Vec::len)),
        (true, Some(20))
    );
}

/// What is behind the head.
fn body(bytes: &[u8]) -> Option<&[u8]> {
    let head = bytes.windows(4).position(|it| it == b"\r\n\r\n")?;
    Some(&bytes[head + 4..])
}

#[tokio::test]
async fn polling_hears_every_transition_once() {
    let service = Service::start().await;
    let first = service.get("/api/v1/live/poll").await.json();
    assert_eq!(first["frames"][0]["type"], "snapshot");
    let cursor = first["cursor"].as_str().expect("a cursor");
    let path = format!("/api/v1/live/poll?cursor={cursor}");
    let (second, ()) = tokio::join!(service.get(&path), async {
        until("it waits", || service.hub.n_clients() == 1).await;
        service.happen(&transition(START.0, 1, AlertState::Firing));
    });
    let second = second.json();
    assert_eq!(second["cursor"], format!("{LOG}-1000-0"));
    assert_eq!(second["frames"][0]["type"], "transition");
    // What came between two polls is there at once.
    service.happen(&transition(START.0 + 1, 1, AlertState::Resolved));
    service.happen(&transition(START.0 + 2, 2, AlertState::Firing));
    let mut heard = Vec::new();
    let mut cursor = second["cursor"].as_str().expect("a cursor").to_owned();
    while heard.len() < 2 {
        let answer = service.get(&format!("/api/v1/live/poll?cursor={cursor}")).await.json();
        for frame in answer["frames"].as_array().expect("frames") {
            heard.push(frame["reason"].as_str().expect("a reason").to_owned());
        }
        answer["cursor"].as_str().expect("a cursor").clone_into(&mut cursor);
    }
    assert_eq!(heard, ["#1001", "#1002"]);
    let quiet = service.get(&format!("/api/v1/live/poll?wait=1s&cursor={cursor}")).await.json();
    assert_eq!(quiet, json!({"cursor": cursor, "frames": []}));
    let lost = service.get("/api/v1/live/poll?cursor=nonsense").await.json();
    assert_eq!(lost["frames"][0]["resume"], "bad_cursor");
}

#[tokio::test]
async fn a_poll_tells_no_more_than_it_was_asked_and_the_next_one_the_rest() {
    let service = Service::start().await;
    let first = service.get("/api/v1/live/poll?limit=1").await.json();
    assert_eq!(first["frames"][0]["type"], "snapshot", "it is no transition");
    for n in 0..5 {
        service.happen(&transition(START.0 + n, n, AlertState::Firing));
    }
    until("they are told", || service.hub.open_alerts().is_some_and(|open| open.len() == 5)).await;
    let mut cursor = first["cursor"].as_str().expect("a cursor").to_owned();
    for due in [&["#1000", "#1001"][..], &["#1002", "#1003"], &["#1004"]] {
        let answer =
            service.get(&format!("/api/v1/live/poll?limit=2&cursor={cursor}")).await.json();
        let frames = answer["frames"].as_array().expect("frames");
        let heard: Vec<_> = frames.iter().filter_map(|frame| frame["reason"].as_str()).collect();
        assert_eq!(heard, due);
        assert_eq!(answer["cursor"], frames.last().expect("one")["cursor"]);
        answer["cursor"].as_str().expect("a cursor").clone_into(&mut cursor);
    }
    // What comes while it waits is not more than that either.
    let path = format!("/api/v1/live/poll?limit=1&cursor={cursor}");
    let (answer, ()) = tokio::join!(service.get(&path), async {
        until("it waits", || service.hub.n_clients() == 1).await;
        for n in 5..8 {
            service.happen(&transition(START.0 + n, n, AlertState::Firing));
        }
    });
    let answer = answer.json();
    assert_eq!(answer["frames"].as_array().map(Vec::len), Some(1), "{answer}");
    assert_eq!(answer["frames"][0]["reason"], "#1005");
    assert_eq!(answer["cursor"], format!("{LOG}-1005-0"));
    for wrong in ["0", "1001", "many"] {
        let answer = service.get(&format!("/api/v1/live/poll?limit={wrong}")).await;
        assert_eq!((answer.status, &answer.json()["code"]), (400, &"invalid_parameter".into()));
    }
}
