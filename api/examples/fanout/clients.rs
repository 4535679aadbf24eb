//! The clients, all in one process: each reads frames as they come and notes how long each event took.

use std::io::Read as _;
use std::sync::Arc;

use flate2::{Decompress, FlushDecompress};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::Outcome;
use crate::event;

const TEXT: u8 = 0x81;
const TEXT_DEFLATED: u8 = 0xC1;
const PING: u8 = 0x89;

/// How clients talk to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Plain,
    Deflate,
    SocketIo,
}

impl How {
    fn request(self) -> String {
        let (path, extension) = match self {
            Self::Plain => ("/api/v1/live", ""),
            Self::Deflate => ("/api/v1/live", "sec-websocket-extensions: permessage-deflate\r\n"),
            Self::SocketIo => ("/socket.io/?EIO=4&transport=websocket", ""),
        };
        format!(
            "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{extension}\r\n"
        )
    }
}

/// Connects `n_clients`, says so on a line, and when each has heard `n_events` says how long they took:
/// half, and 99 of 100, in microseconds.
pub(crate) fn run(how: &str, n_clients: u64, n_events: u64) -> Outcome {
    let (how, address) = how.split_once('@').ok_or("HOW@ADDRESS")?;
    let how = match how {
        "socket.io" => How::SocketIo,
        "deflate" => How::Deflate,
        _ => How::Plain,
    };
    let address = address.to_owned();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut took: Vec<u32> = runtime.block_on(async move {
        let (tracker, ready) = (TaskTracker::new(), Arc::new(Semaphore::new(0)));
        let mut all = Vec::new();
        for _ in 0..n_clients {
            let stream = TcpStream::connect(&address).await?;
            let one = Client { stream, how, took: Vec::new(), input: Vec::new() };
            all.push(tracker.spawn(one.listen(n_events, Arc::clone(&ready))));
        }
        // Each gives one when it is up to date.
        let n_ready = u32::try_from(n_clients)?;
        drop(ready.acquire_many(n_ready).await?);
        println!("ready");
        let mut took = Vec::new();
        for one in all {
            took.extend(one.await?.map_err(|error| format!("a client: {error}"))?);
        }
        Outcome::Ok(took)
    })?;
    took.sort_unstable();
    println!("{} {}", took[took.len() / 2], took[took.len() * 99 / 100]);
    // The server is asked what it cost before it notices that we leave.
    std::io::stdin().lock().read_to_end(&mut Vec::new())?;
    Ok(())
}

struct Client {
    stream: TcpStream,
    how: How,
    took: Vec<u32>,
    input: Vec<u8>,
}

impl Client {
    async fn listen(
        mut self,
        n_events: u64,
        ready: Arc<Semaphore>,
    ) -> Result<Vec<u32>, std::io::Error> {
        self.stream.set_nodelay(true)?;
        self.stream.write_all(self.how.request().as_bytes()).await?;
        while !self.input.windows(4).any(|it| it == b"\r\n\r\n") {
            self.read().await?;
        }
        let head = self.input.windows(4).position(|it| it == b"\r\n\r\n").expect("found") + 4;
        self.input.drain(..head);
        let n_events = usize::try_from(n_events).expect("small");
        self.took.reserve_exact(n_events);
        if self.how != How::SocketIo {
            ready.add_permits(1);
        }
        while self.took.len() < n_events {
            self.read().await?;
            let now = event::now_us();
            let mut at = 0;
            while let Some((first, payload, end)) = frame(&self.input, at) {
                at = end;
                let payload = self.input[payload.0..payload.1].to_vec();
                self.hear(first, &payload, now, &ready).await?;
            }
            self.input.drain(..at);
        }
        Ok(self.took)
    }

    async fn read(&mut self) -> std::io::Result<()> {
        match self.stream.read_buf(&mut self.input).await? {
            0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    async fn hear(
        &mut self,
        first: u8,
        payload: &[u8],
        now: u64,
        ready: &Semaphore,
    ) -> std::io::Result<()> {
        match first {
            TEXT if self.how == How::SocketIo && payload.starts_with(b"0") => {
                self.say(TEXT, b"40").await
            }
            TEXT if self.how == How::SocketIo && payload.starts_with(b"40") => {
                ready.add_permits(1);
                Ok(())
            }
            TEXT if self.how == How::SocketIo && payload == b"2" => self.say(TEXT, b"3").await,
            TEXT => {
                self.note(payload, now);
                Ok(())
            }
            TEXT_DEFLATED => {
                let text = inflate(payload);
                self.note(&text, now);
                Ok(())
            }
            PING => self.say(0x8A, payload).await,
            _ => Ok(()),
        }
    }

    fn note(&mut self, text: &[u8], now: u64) {
        // A snapshot is long, and no event.
        if text.len() < 2_000
            && let Some(sent) = event::sent_us(text)
        {
            self.took.push(u32::try_from(now.saturating_sub(sent)).unwrap_or(u32::MAX));
        }
    }

    async fn say(&mut self, first: u8, payload: &[u8]) -> std::io::Result<()> {
        let length = u8::try_from(payload.len()).expect("short");
        let frame = [&[first, 0x80 | length, 0, 0, 0, 0][..], payload].concat();
        self.stream.write_all(&frame).await
    }
}

/// The frame at `at`, if it is whole: its first byte, where its payload is, where it ends.
fn frame(input: &[u8], at: usize) -> Option<(u8, (usize, usize), usize)> {
    let header = input.get(at..)?;
    let (&first, &short) = (header.first()?, header.get(1)?);
    let (length, begin) = match short {
        126 => (usize::from(u16::from_be_bytes(header.get(2..4)?.try_into().ok()?)), at + 4),
        127 => {
            let length = u64::from_be_bytes(header.get(2..10)?.try_into().ok()?);
            (usize::try_from(length).ok()?, at + 10)
        }
        short => (usize::from(short), at + 2),
    };
    (input.len() >= begin + length).then_some((first, (begin, begin + length), begin + length))
}

fn inflate(payload: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(4_096);
    let stream = [payload, &[0, 0, 0xFF, 0xFF]].concat();
    drop(Decompress::new(false).decompress_vec(&stream, &mut text, FlushDecompress::Sync));
    text
}
