//! A frame as it is sent: each form of it is made once, when the first client needs it.

use std::sync::OnceLock;

use bellwire_model::Cursor;
use bytes::{BufMut as _, Bytes, BytesMut};

use crate::live::deflate::{GzipPiece, GzipStream};
use crate::live::wire::{self, Coding};

/// A frame of the feed, and how it is sent on each transport.
#[derive(Debug)]
pub(crate) struct Encoded {
    kind: &'static str,
    /// What a client has seen that has this frame, if it tells.
    cursor: Option<Cursor>,
    /// The JSON as a WebSocket's message, behind its header.
    message: Bytes,
    text_at: usize,
    message_deflated: OnceLock<Bytes>,
    event: OnceLock<Bytes>,
    event_gzip: OnceLock<GzipPiece>,
}

impl Encoded {
    /// The frame with this JSON, whose `type` is `kind`.
    pub(crate) fn new(kind: &'static str, cursor: Option<Cursor>, text: &str) -> Self {
        let message = wire::text(text);
        Self {
            kind,
            cursor,
            text_at: message.len() - text.len(),
            message,
            message_deflated: OnceLock::new(),
            event: OnceLock::new(),
            event_gzip: OnceLock::new(),
        }
    }

    /// The JSON.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.message[self.text_at..]).expect("it was made of a text")
    }

    /// As a WebSocket's message, with its header.
    pub(crate) fn message(&self, coding: Coding) -> &Bytes {
        match coding {
            Coding::Plain => &self.message,
            Coding::Deflate => self
                .message_deflated
                .get_or_init(|| wire::text_deflated(&self.message, self.text())),
        }
    }

    /// What is said in a stream of events beside frames: when to come back.
    pub(crate) fn raw_event(text: &'static str) -> Self {
        let event = OnceLock::from(Bytes::from_static(text.as_bytes()));
        Self { event, ..Self::new("", None, "") }
    }

    /// As a server-sent event. JSON has no line ends outside strings, nor unescaped ones inside.
    pub(crate) fn event(&self) -> &Bytes {
        self.event.get_or_init(|| {
            let (kind, text) = (self.kind, self.text());
            let id = self.cursor.map(|cursor| format!("id: {cursor}\n")).unwrap_or_default();
            format!("{id}event: {kind}\ndata: {text}\n\n").into()
        })
    }

    /// As an event in a compressed stream.
    fn event_gzip(&self) -> &GzipPiece {
        self.event_gzip.get_or_init(|| GzipPiece::new(self.event()))
    }
}

/// A stream of events on its way to one client.
#[derive(Debug)]
pub(crate) enum EventStream {
    Plain,
    Gzip(GzipStream),
}

impl EventStream {
    /// What is sent for these frames.
    pub(crate) fn chunk<'a>(&mut self, frames: impl IntoIterator<Item = &'a Encoded>) -> Bytes {
        let mut frames = frames.into_iter();
        let (first, second) = (frames.next(), frames.next());
        if let (Self::Plain, Some(only), None) = (&self, first, second) {
            return only.event().clone();
        }
        let mut chunk = BytesMut::new();
        for frame in first.into_iter().chain(second).chain(frames) {
            match self {
                Self::Plain => chunk.put_slice(frame.event()),
                Self::Gzip(stream) => {
                    stream.put(frame.event_gzip(), frame.event().len(), &mut chunk);
                }
            }
        }
        chunk.freeze()
    }

    /// What the stream ends with.
    pub(crate) fn finish(&mut self) -> Bytes {
        let mut chunk = BytesMut::new();
        if let Self::Gzip(stream) = self {
            stream.finish(&mut chunk);
        }
        chunk.freeze()
    }
}
