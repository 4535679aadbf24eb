//! A connection that is played instead of made: what the client sends is known, what it gets is
//! kept.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Dice;

/// The client's side of a connection.
#[derive(Debug)]
pub struct Script<'a> {
    input: &'a [u8],
    /// The most bytes that one read gives.
    piece_bytes: usize,
    answer: Vec<u8>,
    end: End,
}

/// What comes when all is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The end of the stream.
    Closed,
    /// Nothing, for ever.
    Silence,
}

impl<'a> Script<'a> {
    /// All of `input` comes at once.
    #[must_use]
    pub const fn whole(input: &'a [u8]) -> Self {
        Self { input, piece_bytes: usize::MAX, answer: Vec::new(), end: End::Closed }
    }

    /// `input` comes at once, in large pieces, or byte by byte.
    pub fn in_pieces(input: &'a [u8], dice: &mut Dice) -> Self {
        let piece_bytes =
            if dice.percent(70) { usize::MAX } else { [100, 50, 7, 1][dice.below(4)] };
        Self { input, piece_bytes, answer: Vec::new(), end: End::Closed }
    }

    /// All of `input` comes at once, and then nothing: a client that stays and is silent.
    #[must_use]
    pub fn silent(input: &'a [u8]) -> Self {
        Self { end: End::Silence, ..Self::whole(input) }
    }

    /// What the broker has answered.
    #[must_use]
    pub fn answer(&self) -> &[u8] {
        &self.answer
    }
}

impl AsyncRead for Script<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.input.is_empty() && self.end == End::Silence {
            // Nothing will ever wake the reader.
            return Poll::Pending;
        }
        let bytes = self.input.len().min(self.piece_bytes).min(buffer.remaining());
        let (piece, rest) = self.input.split_at(bytes);
        buffer.put_slice(piece);
        self.input = rest;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Script<'_> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.answer.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
