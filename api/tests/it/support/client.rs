//! What clients hear: answers, and the frames of a live WebSocket.

use futures_util::{SinkExt, StreamExt};
use serde_json::Value as Json;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::within;
use crate::conform::Answered;

/// An HTTP answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn read(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no HTTP: {text:?}"));
        Self { status, head: head.to_lowercase(), body: body.to_owned() }
    }

    /// It is one that the API's document has for this request.
    pub(super) fn conforms(&self, request: &str) {
        let mut words = request.split(' ');
        let (Some(method), Some(path)) = (words.next(), words.next()) else { return };
        let Self { status, head, body } = self;
        Answered { method, path, status: *status, head, body }.check();
    }

    pub(crate) fn json(&self) -> Json {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let line = self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.unwrap_or_default()
    }
}

/// A live WebSocket client.
pub(crate) struct Client {
    pub(crate) socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Client {
    /// The next frame; the close code and reason where it ends.
    async fn any(&mut self) -> Result<Json, (u16, String)> {
        loop {
            match within("a frame", self.socket.next()).await {
                Some(Ok(Message::Text(text))) => {
                    return Ok(serde_json::from_str(&text).expect("JSON"));
                }
                Some(Ok(Message::Close(Some(close)))) => {
                    return Err((close.code.into(), close.reason.to_string()));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err((0, "lost".to_owned())),
            }
        }
    }

    /// The next frame that is neither a heartbeat nor about who is here; the close code and reason
    /// where it ends.
    pub(crate) async fn next(&mut self) -> Result<Json, (u16, String)> {
        loop {
            let frame = self.any().await?;
            if frame["type"] != "heartbeat" && frame["type"] != "operators" {
                return Ok(frame);
            }
        }
    }

    /// The next heartbeat, before which nothing else comes.
    pub(crate) async fn heartbeat(&mut self) -> Json {
        loop {
            let frame = self.any().await.expect("it goes on");
            match frame["type"].as_str() {
                Some("heartbeat") => return frame,
                Some("operators") => {}
                _ => panic!("no heartbeat: {frame}"),
            }
        }
    }

    /// The next frame about who is here.
    pub(crate) async fn operators(&mut self) -> Json {
        loop {
            let frame = self.any().await.expect("it goes on");
            if frame["type"] == "operators" {
                return frame;
            }
        }
    }

    /// The next frame, of this type.
    pub(crate) async fn expect(&mut self, kind: &str) -> Json {
        let frame = self.next().await.unwrap_or_else(|end| panic!("no {kind}: {end:?}"));
        assert_eq!(frame["type"], kind, "{frame}");
        frame
    }

    /// How it ends, whatever comes before.
    pub(crate) async fn end(&mut self) -> (u16, String) {
        loop {
            if let Err(end) = self.next().await {
                return end;
            }
        }
    }

    pub(crate) async fn say(&mut self, text: &str) {
        within("a send", self.socket.send(Message::text(text))).await.expect("sent");
    }
}

/// The position a transition's frame tells of.
pub(crate) fn position(frame: &Json) -> u64 {
    let reason = frame["reason"].as_str().expect("a transition");
    reason.trim_start_matches('#').parse().expect("a position")
}
