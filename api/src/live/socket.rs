//! A WebSocket of ours after its handshake: frames that are ready go out as they are, many in one
//! write; what the client says comes in.
//!
//! While nothing happens it holds no buffer.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::live::wire::{Coding, Decoder, Heard, WireError};

/// The most frames in one write: half of what systems allow (`IOV_MAX`), and more than a client that
/// keeps up ever has waiting.
const WRITE_FRAMES_MAX: usize = 64;
/// Read at once.
const READ_BYTES: usize = 2 * 1024;

/// What ends a client's side of the conversation.
#[derive(Debug)]
pub(crate) enum SocketError {
    /// It broke the rules.
    Wire(WireError),
    /// The connection is no more.
    Lost,
}

/// A WebSocket.
#[derive(Debug)]
pub(crate) struct Socket<S> {
    stream: S,
    decoder: Decoder,
    /// What was read and not yet decoded.
    unread: Bytes,
    /// Frames that wait to be written.
    out: VecDeque<Bytes>,
    pub(crate) coding: Coding,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    pub(crate) fn new(stream: S, coding: Coding) -> Self {
        let (decoder, unread, out) = (Decoder::new(coding), Bytes::new(), VecDeque::new());
        Self { stream, decoder, unread, out, coding }
    }

    /// Adds a frame to those that wait.
    pub(crate) fn put(&mut self, frame: Bytes) {
        self.out.push_back(frame);
    }

    /// Writes what waits, as far as the connection takes it at once; whether that is all.
    ///
    /// # Errors
    /// If the connection is no more.
    pub(crate) async fn write_now(&mut self) -> io::Result<bool> {
        poll_fn(|cx| {
            Poll::Ready(match self.poll_write(cx) {
                Poll::Ready(written) => written.map(|()| true),
                Poll::Pending => Ok(false),
            })
        })
        .await
    }

    /// Writes what waits.
    ///
    /// # Cancel safety
    /// Cancel safe: what was not written still waits.
    ///
    /// # Errors
    /// If the connection is no more.
    pub(crate) async fn write(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_write(cx)).await
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            let mut n = if let ([only], []) = self.out.as_slices() {
                ready!(Pin::new(&mut self.stream).poll_write(cx, only))?
            } else {
                let mut slices = [IoSlice::new(&[]); WRITE_FRAMES_MAX];
                let n_slices = self.out.len().min(WRITE_FRAMES_MAX);
                for (slice, frame) in slices.iter_mut().zip(&self.out) {
                    *slice = IoSlice::new(frame);
                }
                let stream = Pin::new(&mut self.stream);
                ready!(stream.poll_write_vectored(cx, &slices[..n_slices]))?
            };
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            while let Some(first) = self.out.front_mut()
                && n > 0
            {
                let written = n.min(first.len());
                first.advance(written);
                n -= written;
                if first.is_empty() {
                    self.out.pop_front();
                }
            }
        }
        // A burst's room is given back.
        if self.out.capacity() > WRITE_FRAMES_MAX {
            self.out = VecDeque::new();
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// The next that the client says.
    ///
    /// # Cancel safety
    /// Cancel safe: nothing of what it says is lost.
    ///
    /// # Errors
    /// What ends it. Only [`Socket::hear_the_end`] may follow.
    pub(crate) async fn hear(&mut self) -> Result<Heard, SocketError> {
        poll_fn(|cx| self.poll_hear(cx)).await
    }

    fn poll_hear(&mut self, cx: &mut Context<'_>) -> Poll<Result<Heard, SocketError>> {
        loop {
            while !self.unread.is_empty() {
                let mut input = &self.unread[..];
                let heard = self.decoder.decode(&mut input);
                let n_left = input.len();
                self.unread.advance(self.unread.len() - n_left);
                if let Some(heard) = heard.map_err(SocketError::Wire)? {
                    return Poll::Ready(Ok(heard));
                }
            }
            self.unread = Bytes::new();
            let mut buffer = [0; READ_BYTES];
            let mut buffer = ReadBuf::new(&mut buffer);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {
                    self.unread = Bytes::copy_from_slice(buffer.filled());
                }
                Ok(()) | Err(_) => return Poll::Ready(Err(SocketError::Lost)),
            }
        }
    }

    /// Passes over what the client says until it has said goodbye, or the connection is no more.
    pub(crate) async fn hear_the_end(&mut self) {
        self.decoder.hear_the_end_only();
        while let Ok(heard) = self.hear().await {
            if heard == Heard::Close {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{SinkExt as _, StreamExt as _};
    use proptest::prelude::*;
    use tokio::io::DuplexStream;
    use tokio_tungstenite::WebSocketStream;
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::protocol::Role;

    use super::*;
    use crate::live::wire;

    /// A client by someone else's hand, and our end of its socket, with room for so many bytes between.
    async fn pair(n_bytes: usize) -> (WebSocketStream<DuplexStream>, Socket<DuplexStream>) {
        let (theirs, ours) = tokio::io::duplex(n_bytes);
        let client = WebSocketStream::from_raw_socket(theirs, Role::Client, None).await;
        (client, Socket::new(ours, Coding::Plain))
    }

    /// Says each text from one end to the other and back.
    async fn echo(texts: Vec<String>, n_bytes: usize) {
        let (client, mut socket) = pair(n_bytes).await;
        let (mut say, mut heard) = client.split();
        let n = texts.len();
        let said = texts.clone();
        let saying = async {
            for text in said {
                say.send(Message::text(text)).await.expect("it reads");
            }
        };
        let answering = async {
            for n_before in 0..n {
                let Ok(Heard::Text(text)) = socket.hear().await else { panic!("no text") };
                socket.put(wire::text(&text));
                // Many in one write, too.
                if n_before % 3 == 0 || n_before + 1 == n {
                    socket.write().await.expect("it reads");
                }
            }
        };
        let hearing = async {
            for text in &texts {
                let message = heard.next().await.expect("more").expect("well-formed");
                assert_eq!(message, Message::text(text.clone()));
            }
        };
        tokio::join!(saying, answering, hearing);
        assert_eq!((socket.out.len(), socket.unread.len()), (0, 0));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

        #[test]
        fn what_one_end_says_the_other_hears(
            texts in prop::collection::vec("\\PC{0,200}", 1..100),
            n_bytes in 1..3_000_usize,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            runtime.block_on(echo(texts, n_bytes));
        }
    }

    #[tokio::test]
    async fn a_lost_connection_and_a_goodbye_are_told_apart() {
        let (mut client, mut socket) = pair(100).await;
        client.close(None).await.expect("it reads");
        assert!(matches!(socket.hear().await, Ok(Heard::Close)));
        drop(client);
        assert!(matches!(socket.hear().await, Err(SocketError::Lost)));
    }
}
