//! The live feed for what has no WebSocket: server-sent events and long polling.

use bellwire_model::{AlertState, Value};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{LOG, START, Service, transition, within};

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

#[tokio::test]
async fn polling_hears_every_transition_once() {
    let service = Service::start().await;
    let first = service.get("/api/v1/live/poll").await.json();
    assert_eq!(first["frames"][0]["type"], "snapshot");
    let cursor = first["cursor"].as_str().expect("a cursor");
    let path = format!("/api/v1/live/poll?cursor={cursor}");
    let (second, ()) = tokio::join!(service.get(&path), async {
        crate::support::until("it waits", || service.hub.n_clients() == 1).await;
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
