//! Who gets messages: a webhook receiver that keeps what it took, and can be as bad as real ones are.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::service::spawn;

/// What it does with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// Takes it.
    Take,
    /// Answers with this status.
    Status(u16),
    /// Reads it, and never answers.
    Hang,
    /// Reads it, and closes the connection.
    Cut,
}

/// A message that was taken.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    /// In lower case.
    pub(crate) headers: HashMap<String, String>,
    pub(crate) path: String,
    pub(crate) body: String,
    /// The body as it came, where it is no text.
    pub(crate) bytes: Vec<u8>,
}

impl Message {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }
}

type Mood = Box<dyn Fn(u64) -> Reply + Send + Sync>;

struct Inner {
    mood: Mutex<Mood>,
    taken: Mutex<Vec<Message>>,
    n_asked: AtomicU64,
}

/// A receiver; it ends with the test.
#[derive(Clone)]
pub(crate) struct Receiver {
    address: String,
    inner: Arc<Inner>,
}

impl Receiver {
    /// One that takes everything.
    pub(crate) async fn start() -> Self {
        Self::with_mood(|_| Reply::Take).await
    }

    /// One that does as `mood` says with each message, by its number from 0.
    pub(crate) async fn with_mood(mood: impl Fn(u64) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let inner = Arc::new(Inner {
            mood: Mutex::new(Box::new(mood)),
            taken: Mutex::default(),
            n_asked: AtomicU64::new(0),
        });
        let serving = Arc::clone(&inner);
        spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let inner = Arc::clone(&serving);
                spawn(async move {
                    let _ = inner.serve(stream).await;
                });
            }
        });
        Self { address, inner }
    }

    pub(crate) fn url(&self) -> String {
        self.url_of("hook")
    }

    pub(crate) fn url_of(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    pub(crate) fn set_mood(&self, mood: impl Fn(u64) -> Reply + Send + Sync + 'static) {
        *self.inner.mood.lock().unwrap() = Box::new(mood);
    }

    /// What it took so far.
    pub(crate) fn taken(&self) -> Vec<Message> {
        self.inner.taken.lock().unwrap().clone()
    }

    /// How many messages came, taken or not.
    pub(crate) fn n_asked(&self) -> u64 {
        self.inner.n_asked.load(Ordering::Relaxed)
    }

    /// What Alertmanager's payloads said of each device: the statuses in the order in which they came.
    pub(crate) fn told(&self) -> HashMap<String, Vec<String>> {
        let mut told: HashMap<String, Vec<String>> = HashMap::new();
        for message in self.taken() {
            for alert in message.json()["alerts"].as_array().into_iter().flatten() {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                told.entry(text(&alert["labels"]["device"]))
                    .or_default()
                    .push(text(&alert["status"]));
            }
        }
        told
    }
}

impl Inner {
    /// Answers one request after the other.
    async fn serve(&self, mut stream: TcpStream) -> Option<()> {
        let mut bytes = Vec::new();
        loop {
            let message = read(&mut stream, &mut bytes).await?;
            let number = self.n_asked.fetch_add(1, Ordering::Relaxed);
            let reply = (self.mood.lock().unwrap())(number);
            let status = match reply {
                Reply::Take => {
                    self.taken.lock().unwrap().push(message);
                    200
                }
                Reply::Status(status) => status,
                Reply::Hang => std::future::pending().await,
                Reply::Cut => return None,
            };
            let said = "{\"said\": \"so\"}";
            let length = said.len();
            let answer = format!(
                "HTTP/1.1 {status} So\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{said}"
            );
            stream.write_all(answer.as_bytes()).await.ok()?;
        }
    }
}

async fn read(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<Message> {
    loop {
        if let Some((message, length)) = parse(bytes) {
            bytes.drain(..length);
            return Some(message);
        }
        if stream.read_buf(bytes).await.ok()? == 0 {
            return None;
        }
    }
}

/// A whole message at the beginning of `bytes`, and how long it is.
fn parse(bytes: &[u8]) -> Option<(Message, usize)> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.lines();
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers: HashMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length: usize = headers.get("content-length").and_then(|it| it.parse().ok()).unwrap_or(0);
    let bytes = bytes.get(end + 4..end + 4 + length)?.to_vec();
    let body = String::from_utf8_lossy(&bytes).into_owned();
    Some((Message { headers, path, body, bytes }, end + 4 + length))
}
