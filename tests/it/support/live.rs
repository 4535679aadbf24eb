//! An operator's screen: a WebSocket client of the live feed.

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::service::PATIENCE;

/// A connected screen.
#[derive(Debug)]
pub(crate) struct Screen {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Screen {
    /// Connects to the live feed at `host:port`, going on behind `cursor` if there is one.
    pub(crate) async fn open(address: &str, cursor: Option<&str>) -> Self {
        let query = cursor.map(|cursor| format!("?cursor={cursor}")).unwrap_or_default();
        let url = format!("ws://{address}/api/v1/live{query}");
        let (socket, _) = connect_async(url).await.unwrap();
        Self { socket }
    }

    /// Sends a message.
    pub(crate) async fn send(&mut self, message: &Value) {
        self.socket.send(Message::text(message.to_string())).await.unwrap();
    }

    /// The next frame; `None` when the feed has ended.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            let message = timeout(PATIENCE, self.socket.next()).await.expect("a frame in time");
            match message {
                Some(Ok(Message::Text(text))) => return Some(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    /// The next frame for which `wanted` says so.
    pub(crate) async fn next_where(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let frame = self.next().await.expect("the feed goes on");
            if wanted(&frame) {
                return frame;
            }
        }
    }

    /// The next transition to this state.
    pub(crate) async fn next_to(&mut self, state: &str) -> Value {
        self.next_where(|frame| frame["type"] == "transition" && frame["to"] == state).await
    }
}
