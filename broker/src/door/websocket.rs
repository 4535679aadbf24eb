//! A WebSocket as a stream of bytes: what MQTT reads and writes goes in binary frames.
//!
//! While nothing happens it holds two empty buffers and the place in the stream of frames.

use std::io;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frames::{self, Control, Decoder};

/// Most payload of one frame of ours.
const FRAME_BYTES_MAX: usize = 16 * 1024;
/// Beyond so many unsent bytes pings go unanswered: who does not read gets no more.
const PONGS_BYTES_MAX: usize = 1024;
/// Buffers that have grown beyond this are given back once they are empty.
const KEEP_BYTES_MAX: usize = 4 * 1024;

/// A WebSocket over `S`, after its handshake.
#[derive(Debug)]
pub(crate) struct WebSocket<S> {
    stream: S,
    decoder: Decoder,
    /// What came together with the handshake, not yet decoded.
    early: Vec<u8>,
    output: Vec<u8>,
    sent_bytes: usize,
    /// Whether the client has said that it ends, and whether we have.
    is_ended: bool,
    has_said_end: bool,
}

impl<S> WebSocket<S> {
    /// The WebSocket over `stream`, from which `early` has been read already.
    pub(crate) const fn new(stream: S, early: Vec<u8>) -> Self {
        Self {
            stream,
            decoder: Decoder::new(),
            early,
            output: Vec::new(),
            sent_bytes: 0,
            is_ended: false,
            has_said_end: false,
        }
    }

    fn unsent_bytes(&self) -> usize {
        self.output.len() - self.sent_bytes
    }

    /// Says with a Close frame that we end, once.
    fn say_end(&mut self, code: u16) {
        if !self.has_said_end {
            self.has_said_end = true;
            frames::encode(frames::CLOSE, &code.to_be_bytes(), &mut self.output);
        }
    }

    /// Decodes `bytes` in place; gives how much of it is payload now.
    fn decode(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let Self { decoder, output, sent_bytes, .. } = self;
        let mut end = None;
        let decoded = decoder.decode(bytes, |control| match control {
            Control::Pong(payload) if output.len() - *sent_bytes < PONGS_BYTES_MAX => {
                frames::encode(frames::PONG, &payload, output);
            }
            Control::Pong(_) => {}
            Control::Close(code) => end = Some(code.unwrap_or(1000)),
        });
        if let Some(code) = end {
            self.is_ended = true;
            self.say_end(code);
        }
        decoded.map_err(|error| {
            self.is_ended = true;
            self.say_end(error.code());
            io::Error::new(io::ErrorKind::InvalidData, error)
        })
    }
}

impl<S: AsyncWrite + Unpin> WebSocket<S> {
    /// Sends all of the output.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.unsent_bytes() > 0 {
            let unsent = &self.output[self.sent_bytes..];
            match ready!(Pin::new(&mut self.stream).poll_write(cx, unsent))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                bytes => self.sent_bytes += bytes,
            }
        }
        self.sent_bytes = 0;
        self.output.clear();
        if self.output.capacity() > KEEP_BYTES_MAX {
            self.output = Vec::new();
        }
        Poll::Ready(Ok(()))
    }

    /// Sends what it can of pongs and the end; what it cannot goes with the next write.
    fn try_drain(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.unsent_bytes() > 0
            && let Poll::Ready(drained) = self.poll_drain(cx)
        {
            drained?;
            let _may_wait = Pin::new(&mut self.stream).poll_flush(cx)?;
        }
        Ok(())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for WebSocket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            self.try_drain(cx)?;
            if self.is_ended || buf.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            let begin = buf.filled().len();
            if self.early.is_empty() {
                ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
                if buf.filled().len() == begin {
                    return Poll::Ready(Ok(()));
                }
            } else {
                let n = self.early.len().min(buf.remaining());
                let rest = self.early.split_off(n);
                buf.put_slice(&mem::replace(&mut self.early, rest));
            }
            let decoded = self.decode(&mut buf.filled_mut()[begin..]);
            if let Ok(payload_bytes) = decoded {
                buf.set_filled(begin + payload_bytes);
            } else {
                buf.set_filled(begin);
            }
            self.try_drain(cx)?;
            // Frames without payload are no end of the stream.
            if decoded? > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WebSocket<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        payload: &[u8],
    ) -> Poll<io::Result<usize>> {
        // Nothing may follow our Close. RFC 6455, 5.5.1
        if self.has_said_end {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        ready!(self.poll_drain(cx))?;
        let payload = &payload[..payload.len().min(FRAME_BYTES_MAX)];
        frames::encode_data(payload, &mut self.output);
        // What the socket does not take now goes with the next write or flush.
        if let Poll::Ready(drained) = self.poll_drain(cx) {
            drained?;
        }
        Poll::Ready(Ok(payload.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.say_end(1000);
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{SinkExt as _, StreamExt as _};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio_tungstenite::WebSocketStream;
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::protocol::Role;

    use super::*;

    async fn pair(pipe_bytes: usize) -> (WebSocketStream<DuplexStream>, WebSocket<DuplexStream>) {
        let (client, server) = duplex(pipe_bytes);
        let client = WebSocketStream::from_raw_socket(client, Role::Client, None).await;
        (client, WebSocket::new(server, Vec::new()))
    }

    #[tokio::test]
    async fn bytes_go_both_ways_whatever_the_frames() {
        let (mut client, mut server) = pair(1000).await;
        let sent: Vec<u8> = (0..200_000_u32).map(|n| n as u8).collect();
        let messages = sent.clone();
        let talk = async move {
            for piece in messages.chunks(33_333) {
                client.send(Message::Binary(piece.to_vec().into())).await.expect("it reads");
            }
            let mut back = Vec::new();
            while back.len() < messages.len() {
                let message = client.next().await.expect("more").expect("well-formed");
                back.extend(message.into_data());
            }
            assert_eq!(back, messages);
            client
        };
        let echo = async {
            let mut read = vec![0; sent.len()];
            server.read_exact(&mut read).await.expect("it writes");
            assert_eq!(read, sent);
            server.write_all(&read).await.expect("it reads");
            server.flush().await.expect("it reads");
        };
        let (_client, ()) = tokio::join!(talk, echo);
    }

    #[tokio::test]
    async fn a_ping_is_answered_and_a_close_ends_the_stream() {
        let (mut client, mut server) = pair(1000).await;
        client.send(Message::Ping(b"hello"[..].into())).await.expect("it reads");
        client.send(Message::Binary(b"x"[..].into())).await.expect("it reads");
        assert_eq!(server.read_u8().await.expect("a byte"), b'x');
        let pong = client.next().await.expect("an answer").expect("well-formed");
        assert_eq!(pong, Message::Pong(b"hello"[..].into()));
        client.close(None).await.expect("it reads");
        assert_eq!(server.read(&mut [0; 9]).await.expect("an end"), 0);
        assert!(client.next().await.expect("an answer").expect("well-formed").is_close());
        server.shutdown().await.expect("it reads");
        drop(server);
        assert!(client.next().await.is_none());
    }

    #[tokio::test]
    async fn text_is_refused_with_the_code_for_it() {
        let (mut client, mut server) = pair(1000).await;
        client.send(Message::Text("x".into())).await.expect("it reads");
        let error = server.read(&mut [0; 9]).await.expect_err("no text");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let Some(Ok(Message::Close(Some(close)))) = client.next().await else { panic!("no Close") };
        assert_eq!(u16::from(close.code), 1003);
    }

    #[tokio::test]
    async fn who_pings_and_does_not_read_costs_no_memory() {
        let (mut client, mut server) = pair(64).await;
        let flood = async {
            for _ in 0..1000 {
                client.send(Message::Ping(vec![0; 125].into())).await.expect("it reads");
            }
            client.send(Message::Binary(b"x"[..].into())).await.expect("it reads");
        };
        let (read, ()) = tokio::join!(server.read_u8(), flood);
        assert_eq!(read.expect("a byte"), b'x');
        assert!(server.unsent_bytes() < PONGS_BYTES_MAX + 200);
    }
}
