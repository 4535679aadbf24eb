//! An operator's page that has no WebSocket: a client of the live feed by server-sent events.

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::service::PATIENCE;

/// A stream of events.
#[derive(Debug)]
pub(crate) struct Events {
    stream: BufReader<TcpStream>,
    /// What has come and is no whole event yet.
    text: String,
}

impl Events {
    /// Asks `host:port` for the feed with this query and these lines of head; the status if it is refused,
    /// 0 if nobody answers.
    pub(crate) async fn open(address: &str, query: &str, headers: &str) -> Result<Self, u16> {
        let stream = TcpStream::connect(address).await.map_err(|_| 0_u16)?;
        let mut stream = BufReader::new(stream);
        let request =
            format!("GET /api/v1/live/events{query} HTTP/1.1\r\nHost: {address}\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.map_err(|_| 0_u16)?;
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).await.unwrap_or(0) == 0 {
                return Err(0);
            }
        }
        match head.split(' ').nth(1).and_then(|text| text.parse().ok()) {
            Some(200) => Ok(Self { stream, text: String::new() }),
            status => Err(status.unwrap_or_else(|| panic!("{head}"))),
        }
    }

    /// What the next event says; `None` when the feed has ended.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        timeout(PATIENCE, self.read()).await.expect("an event in time")
    }

    /// The next for which `wanted` says so.
    pub(crate) async fn next_where(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let event = self.next().await.expect("the feed goes on");
            if wanted(&event) {
                return event;
            }
        }
    }

    async fn read(&mut self) -> Option<Value> {
        loop {
            while let Some(end) = self.text.find("\n\n") {
                let event: String = self.text.drain(..end + 2).collect();
                let data = event.lines().find_map(|line| line.strip_prefix("data: "));
                if let Some(data) = data {
                    return Some(serde_json::from_str(data).unwrap());
                }
            }
            self.chunk().await?;
        }
    }

    /// Takes what comes next of a body in chunks.
    async fn chunk(&mut self) -> Option<()> {
        let mut size = String::new();
        self.stream.read_line(&mut size).await.ok()?;
        let size = usize::from_str_radix(size.trim(), 16).ok().filter(|size| *size > 0)?;
        let mut bytes = vec![0; size + 2];
        self.stream.read_exact(&mut bytes).await.ok()?;
        self.text.push_str(std::str::from_utf8(&bytes[..size]).unwrap());
        Some(())
    }
}
