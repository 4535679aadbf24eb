//! A client that speaks HTTP/2 frame by frame: for what no library would send.
// RFC 9113; RFC 7541, appendices A and B.

use std::sync::Arc;

use rustls::ClientConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use super::service::PATIENCE;
use super::tunnel;

pub(crate) const HEADERS: u8 = 0x1;
pub(crate) const RST_STREAM: u8 = 0x3;
pub(crate) const SETTINGS: u8 = 0x4;
pub(crate) const PING: u8 = 0x6;
pub(crate) const GOAWAY: u8 = 0x7;
pub(crate) const WINDOW_UPDATE: u8 = 0x8;
pub(crate) const CONTINUATION: u8 = 0x9;

const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

/// A client "generates excessive load".
pub(crate) const ENHANCE_YOUR_CALM: u32 = 0xb;

/// A connection.
#[derive(Debug)]
pub(crate) struct Http2 {
    stream: TlsStream<TcpStream>,
}

/// What the other side says.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Http2 {
    /// Connects, and says hello.
    pub(crate) async fn open(address: &str, config: &Arc<ClientConfig>) -> Self {
        let stream = tunnel::connect(address, config, b"h2").await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let mut it = Self { stream };
        let hello =
            [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(SETTINGS, 0, 0, b"")].concat();
        it.send(&hello).await;
        it
    }

    /// Sends bytes, as far as the other side still reads; whether all of them.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> bool {
        let sent = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        sent.await.is_ok()
    }

    /// The next frame; none if the connection has ended.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        let reading = async {
            let mut head = [0; 9];
            self.stream.read_exact(&mut head).await.ok()?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            self.stream.read_exact(&mut payload).await.ok()?;
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            Some(Frame { kind: head[3], stream, payload })
        };
        timeout(PATIENCE, reading).await.expect("a frame, or the end, in time")
    }

    /// The status of the answer to a request; none if the connection ends, or the request is refused.
    pub(crate) async fn status(&mut self, stream: u32) -> Option<u16> {
        loop {
            let frame = self.next().await?;
            match frame.kind {
                HEADERS if frame.stream == stream => return Some(status_of(&frame.payload)),
                RST_STREAM if frame.stream == stream => return None,
                _ => {}
            }
        }
    }

    /// Why the other side ends the connection; none if it does not say.
    pub(crate) async fn goaway(&mut self) -> Option<u32> {
        loop {
            let frame = self.next().await?;
            if frame.kind == GOAWAY {
                return frame.payload[4..8].try_into().map(u32::from_be_bytes).ok();
            }
        }
    }
}

/// One frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length.to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A request that is whole: GET, of this path.
pub(crate) fn ask(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &head(0x82, path))
}

/// The head of a request whose body is still to come: POST, JSON, to this path.
pub(crate) fn post(stream: u32, path: &str) -> Vec<u8> {
    let mut block = head(0x83, path);
    // The line `content-type`, which is the 31st.
    block.extend([0x0f, 0x10, 16]);
    block.extend(b"application/json");
    frame(HEADERS, END_HEADERS, stream, &block)
}

/// The head of a request that goes on in CONTINUATION.
pub(crate) fn begin(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_STREAM, stream, &head(0x82, path))
}

fn head(method: u8, path: &str) -> Vec<u8> {
    let mut block = vec![method, 0x87, 0x04, u8::try_from(path.len()).unwrap()];
    block.extend(path.as_bytes());
    block.extend(b"\x41\x09localhost");
    block
}

/// A line of a head, not to be remembered; shorter than 127 bytes each.
pub(crate) fn line(name: &str, value: &str) -> Vec<u8> {
    let mut block = vec![0];
    for text in [name, value] {
        block.push(u8::try_from(text.len()).unwrap());
        block.extend(text.as_bytes());
    }
    block
}

/// The status in a head, which stands first; the first of its kind on a connection.
pub(crate) fn status_of(block: &[u8]) -> u16 {
    match block[0] {
        0x88 => 200,
        0x89 => 204,
        0x8c => 400,
        0x8d => 404,
        0x8e => 500,
        // Three digits behind the line's name, in Huffman's code or not.
        0x08 | 0x48 if block[1] & 0x80 != 0 => {
            let length = usize::from(block[1] & 0x7f);
            digits(&block[2..2 + length])
        }
        0x08 | 0x48 => std::str::from_utf8(&block[2..5]).unwrap().parse().unwrap(),
        other => panic!("no status: {other:#x}"),
    }
}

/// A number of three digits in Huffman's code: five bits for 0 to 2, six for the others.
fn digits(bytes: &[u8]) -> u16 {
    let mut bits =
        bytes.iter().flat_map(|byte| (0..8).rev().map(move |n| u16::from(byte >> n & 1)));
    let mut number = 0;
    for _ in 0..3 {
        let mut take = |n: usize| (0..n).fold(0, |code, _| code << 1 | bits.next().unwrap());
        let code = take(5);
        let digit = if code < 3 { code } else { (code << 1 | take(1)) - 0b01_1001 + 3 };
        number = number * 10 + digit;
    }
    number
}
