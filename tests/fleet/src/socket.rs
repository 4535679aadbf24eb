//! The bytes of one connection: what waits to be written, what was read, and one wait for both.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::WaitForCancellationFuture;

use crate::LinkError;
use crate::packet::{self, Incoming};

/// Room for what the service sends: a thousand acknowledgements.
const INBOX_BYTES: usize = 4096;

/// Why [`Socket::wait`] returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    /// There are new bytes to take.
    Read,
    /// All has been written, after [`Socket::read_no_more`].
    Written,
    /// It is time.
    Timer,
    /// We are asked to stop.
    Stopped,
}

/// The buffers of a connection. They are kept from one TCP connection to the next.
#[derive(Debug)]
pub(crate) struct Socket {
    out: Vec<u8>,
    /// How much of `out` has been written.
    written: usize,
    inbox: Box<[u8]>,
    /// What of `inbox` has been read and not taken.
    taken: usize,
    filled: usize,
    /// One timer for the connection's life, moved only when it would be late.
    timer: Option<Pin<Box<Sleep>>>,
    reads: Reads,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reads {
    On,
    NoMore,
}

impl Default for Socket {
    fn default() -> Self {
        Self {
            out: Vec::new(),
            written: 0,
            inbox: vec![0; INBOX_BYTES].into_boxed_slice(),
            taken: 0,
            filled: 0,
            timer: None,
            reads: Reads::On,
        }
    }
}

impl Socket {
    /// What waits to be written; more may be appended.
    pub(crate) fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    pub(crate) fn is_flushed(&self) -> bool {
        self.written == self.out.len()
    }

    pub(crate) fn unsent_bytes(&self) -> usize {
        self.out.len() - self.written
    }

    /// From now on [`Socket::wait`] returns when all has been written.
    pub(crate) fn read_no_more(&mut self) {
        self.reads = Reads::NoMore;
    }

    /// Connects, sends `hello` and reads the first answer. Bytes of an earlier connection are
    /// forgotten.
    pub(crate) async fn open(
        &mut self,
        address: &str,
        hello: &[u8],
    ) -> Result<(TcpStream, Incoming), LinkError> {
        self.out.clear();
        (self.written, self.taken, self.filled) = (0, 0, 0);
        self.reads = Reads::On;
        let mut stream = TcpStream::connect(address).await?;
        // We coalesce ourselves; a lone publish must not wait for the acknowledgement before it.
        stream.set_nodelay(true)?;
        stream.write_all(hello).await?;
        loop {
            poll_fn(|cx| self.poll_read(&mut stream, cx)).await?;
            if let Some(incoming) = self.next_packet()? {
                return Ok((stream, incoming));
            }
        }
    }

    /// The next packet among the bytes that were read.
    ///
    /// # Errors
    /// [`LinkError::Packet`].
    pub(crate) fn next_packet(&mut self) -> Result<Option<Incoming>, LinkError> {
        match packet::read(&self.inbox[self.taken..self.filled])? {
            Some((incoming, bytes)) => {
                self.taken += bytes;
                Ok(Some(incoming))
            }
            None => {
                self.inbox.copy_within(self.taken..self.filled, 0);
                self.filled -= self.taken;
                self.taken = 0;
                if self.filled == self.inbox.len() {
                    return Err(packet::PacketError::Length.into());
                }
                Ok(None)
            }
        }
    }

    /// Writes what waits, then waits for bytes to read, for `wake_at`, or to be stopped.
    ///
    /// # Cancel safety
    /// Cancel safe: bytes are in the buffers or not yet read.
    pub(crate) async fn wait(
        &mut self,
        stream: &mut TcpStream,
        wake_at: Instant,
        mut stopped: Option<Pin<&mut WaitForCancellationFuture<'_>>>,
    ) -> Result<Woken, LinkError> {
        poll_fn(|cx| {
            if self.poll_write(stream, cx)?.is_ready() && self.reads == Reads::NoMore {
                return Poll::Ready(Ok(Woken::Written));
            }
            if self.poll_read(stream, cx)?.is_ready() {
                return Poll::Ready(Ok(Woken::Read));
            }
            if self.poll_timer(wake_at, cx).is_ready() {
                return Poll::Ready(Ok(Woken::Timer));
            }
            match stopped.as_mut().map(|stopped| stopped.as_mut().poll(cx)) {
                Some(Poll::Ready(())) => Poll::Ready(Ok(Woken::Stopped)),
                Some(Poll::Pending) | None => Poll::Pending,
            }
        })
        .await
    }

    fn poll_write(&mut self, stream: &mut TcpStream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.out.len() {
            match Pin::new(&mut *stream).poll_write(cx, &self.out[self.written..]) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(bytes)) => self.written += bytes,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        self.out.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }

    fn poll_read(&mut self, stream: &mut TcpStream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut room = ReadBuf::new(&mut self.inbox[self.filled..]);
        match Pin::new(stream).poll_read(cx, &mut room) {
            Poll::Ready(Ok(())) if room.filled().is_empty() => {
                Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()))
            }
            Poll::Ready(Ok(())) => {
                self.filled += room.filled().len();
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Ready at `wake_at` or earlier: moving a timer costs more than waking once too often.
    fn poll_timer(&mut self, wake_at: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(wake_at)));
        if timer.is_elapsed() || timer.deadline() > wake_at {
            timer.as_mut().reset(wake_at);
        }
        timer.as_mut().poll(cx)
    }
}
