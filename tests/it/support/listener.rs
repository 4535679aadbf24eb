//! A client of the live feed over each transport, as it should be written: it comes back with its cursor
//! whenever the connection ends or falls silent, and notes every transition it hears.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

use super::http;
use super::service::{poll, spawn};

/// Without a frame for so long, the connection is given up.
const SILENCE_MAX: Duration = Duration::from_secs(1);

/// How it is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    WebSocket,
    Events,
    Poll,
}

/// What it has heard.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    /// The cursor of each transition, in the order in which they came.
    pub(crate) transitions: Vec<String>,
    /// What snapshots said of how it had come back.
    pub(crate) resumes: Vec<String>,
    /// How often it has connected.
    pub(crate) n_visits: usize,
    cursor: Option<String>,
}

/// A client.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) transport: Transport,
    heard: Arc<Mutex<Heard>>,
    following: JoinHandle<()>,
}

impl Listener {
    /// Listens at `host:port` with this query, which begins with `&` if there is any.
    pub(crate) fn start(transport: Transport, address: &str, query: &str) -> Self {
        let heard = Arc::new(Mutex::new(Heard::default()));
        let following = follow(transport, address.to_owned(), query.to_owned(), Arc::clone(&heard));
        Self { transport, heard, following: spawn(following) }
    }

    /// What it has heard so far.
    pub(crate) fn heard(&self) -> Heard {
        self.heard.lock().unwrap().clone()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.following.abort();
    }
}

async fn follow(transport: Transport, address: String, query: String, heard: Arc<Mutex<Heard>>) {
    let mut pulse = poll();
    loop {
        pulse.tick().await;
        let cursor = {
            let mut heard = heard.lock().unwrap();
            heard.n_visits += 1;
            heard.cursor.clone()
        };
        let cursor = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        let query = format!("?{}", format!("{query}{cursor}").trim_start_matches('&'));
        match transport {
            Transport::WebSocket => web_socket(&address, &query, &heard).await,
            Transport::Events => events(&address, &query, &heard).await,
            Transport::Poll => one_poll(&address, &query, &heard).await,
        };
    }
}

async fn web_socket(address: &str, query: &str, heard: &Mutex<Heard>) -> Option<()> {
    let url = format!("ws://{address}/api/v1/live{query}");
    let (mut socket, _) = timeout(SILENCE_MAX, connect_async(url)).await.ok()?.ok()?;
    loop {
        match timeout(SILENCE_MAX, socket.next()).await.ok()??.ok()? {
            Message::Text(text) => {
                heard.lock().unwrap().take(&serde_json::from_str(&text).unwrap())
            }
            _ => continue,
        }
    }
}

async fn events(address: &str, query: &str, heard: &Mutex<Heard>) -> Option<()> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let request = format!("GET /api/v1/live/events{query} HTTP/1.0\r\nhost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut bytes = Vec::new();
    loop {
        let n = timeout(SILENCE_MAX, stream.read_buf(&mut bytes)).await.ok()?.ok()?;
        if n == 0 {
            return None;
        }
        // An event that is cut off is none.
        while let Some(end) = bytes.windows(2).position(|it| it == b"\n\n") {
            let event: Vec<u8> = bytes.drain(..end + 2).collect();
            let event = String::from_utf8(event).unwrap();
            let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
            let Some(data) = field("data: ") else { continue };
            let frame: Value = serde_json::from_str(data).unwrap();
            assert_eq!(field("id: "), frame["cursor"].as_str());
            heard.lock().unwrap().take(&frame);
        }
    }
}

async fn one_poll(address: &str, query: &str, heard: &Mutex<Heard>) -> Option<()> {
    // As one asks over a bad network: a long answer would be cut off again and again.
    let path = format!("/api/v1/live/poll{query}&wait=1s&limit=250").replace("?&", "?");
    let asked = http::get_json(address, &path);
    let (status, answer) = timeout(2 * SILENCE_MAX, asked).await.ok()?.ok()?;
    // An answer that is cut off is none.
    let cursor = answer["cursor"].as_str().filter(|_| status == 200)?;
    let mut heard = heard.lock().unwrap();
    answer["frames"].as_array().unwrap().iter().for_each(|frame| heard.take(frame));
    heard.cursor = Some(cursor.to_owned());
    None
}

impl Heard {
    fn take(&mut self, frame: &Value) {
        let cursor = frame["cursor"].as_str().map(str::to_owned);
        match frame["type"].as_str() {
            Some("snapshot") => {
                self.resumes.push(frame["resume"].as_str().unwrap_or_default().to_owned());
            }
            Some("transition" | "step") => self.transitions.extend(cursor.clone()),
            _ => {}
        }
        if cursor.is_some() {
            self.cursor = cursor;
        }
    }
}
