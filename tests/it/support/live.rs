//! An operator's screen: a WebSocket client of the live feed.

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderName;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::service::PATIENCE;

/// A connected screen.
#[derive(Debug)]
pub(crate) struct Screen {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// A frame that was read while it was opened.
    first: Option<Value>,
}

impl Screen {
    /// Connects to the live feed at `host:port`, going on behind `cursor` if there is one.
    ///
    /// What happens from now on comes as transitions: the snapshot, if there is one, is made.
    pub(crate) async fn open(address: &str, cursor: Option<&str>) -> Self {
        Self::open_as(address, cursor, "").await
    }

    /// The same as whoever these lines of head show.
    pub(crate) async fn open_as(address: &str, cursor: Option<&str>, headers: &str) -> Self {
        let mut screen = Self::try_open_as(address, cursor, headers).await.expect("it is let in");
        screen.first = screen.next().await;
        screen
    }

    /// The same; `None` if nobody answers, or it is refused.
    pub(crate) async fn try_open_as(
        address: &str,
        cursor: Option<&str>,
        headers: &str,
    ) -> Option<Self> {
        let query = cursor.map(|cursor| format!("?cursor={cursor}")).unwrap_or_default();
        let url = format!("ws://{address}/api/v1/live{query}");
        let mut request = url.into_client_request().unwrap();
        for (name, value) in headers.lines().filter_map(|line| line.split_once(": ")) {
            let name: HeaderName = name.parse().unwrap();
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let (socket, _) = connect_async(request).await.ok()?;
        Some(Self { socket, first: None })
    }

    /// Sends a message.
    pub(crate) async fn send(&mut self, message: &Value) {
        self.socket.send(Message::text(message.to_string())).await.unwrap();
    }

    /// The next frame; `None` when the feed has ended.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        timeout(PATIENCE, self.next_whenever()).await.expect("a frame in time")
    }

    /// The next frame, however long it takes; `None` when the feed has ended.
    pub(crate) async fn next_whenever(&mut self) -> Option<Value> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => return Some(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    /// The next frame for which `wanted` says so, however many others come before it.
    pub(crate) async fn next_where(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + PATIENCE;
        let mut others = Vec::new();
        loop {
            let Ok(frame) = timeout_at(until, self.next()).await else {
                panic!("{} frames, none as wanted: {others:?}", others.len());
            };
            let frame = frame.expect("the feed goes on");
            if wanted(&frame) {
                return frame;
            }
            others.push(frame);
        }
    }

    /// The next transition to this state.
    pub(crate) async fn next_to(&mut self, state: &str) -> Value {
        self.next_where(|frame| frame["type"] == "transition" && frame["to"] == state).await
    }
}
