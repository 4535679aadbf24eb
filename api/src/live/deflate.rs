//! Compression that is done once for all clients: each frame is compressed alone, so that its bytes
//! mean the same to whoever gets them, whatever came before.
//!
//! A piece is made of blocks of DEFLATE that end at a byte and refer to nothing before them: pieces
//! put one behind the other are one stream. So the same function serves messages of a WebSocket
//! (RFC 7692 with `server_no_context_takeover`) and streams of events (RFC 1952).

use std::cell::RefCell;
use std::io::Write as _;

use bytes::{BufMut as _, Bytes, BytesMut};
use flate2::write::GzEncoder;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use crate::live::wire::WireError;

/// Shorter texts do not shrink enough to be worth it.
const BYTES_MIN: usize = 128;
/// What a flush ends with; messages are sent without it. // RFC 7692, 7.2.1
const TAIL: [u8; 4] = [0x00, 0x00, 0xFF, 0xFF];
/// A stream's head: no name, no time, unknown system. // RFC 1952, 2.3
const GZIP_HEAD: [u8; 10] = [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 0xFF];
/// A last block that is empty.
const LAST_BLOCK: [u8; 2] = [0x03, 0x00];

thread_local! {
    /// It is large: made once for each thread.
    static COMPRESS: RefCell<Compress> = RefCell::new(Compress::new(Compression::fast(), false));
}

/// A piece of a stream.
fn piece(text: &[u8]) -> Vec<u8> {
    COMPRESS.with_borrow_mut(|compress| {
        compress.reset();
        let mut piece = Vec::with_capacity(text.len() / 2 + 64);
        loop {
            let rest = &text[usize::try_from(compress.total_in()).unwrap_or(text.len())..];
            let done = compress.compress_vec(rest, &mut piece, FlushCompress::Sync);
            let is_over = done.is_ok() && piece.len() < piece.capacity();
            if is_over && compress.total_in() == text.len() as u64 {
                return piece;
            }
            piece.reserve(text.len() / 2 + 64);
        }
    })
}

/// A message as WebSockets send it; `None` if it does not shrink.
pub(crate) fn message(text: &[u8]) -> Option<Vec<u8>> {
    if text.len() < BYTES_MIN {
        return None;
    }
    let mut piece = piece(text);
    piece.truncate(piece.strip_suffix(&TAIL)?.len());
    (piece.len() < text.len()).then_some(piece)
}

/// Reads a message that a client has compressed.
///
/// # Errors
/// [`WireError::TooLong`] if it is longer than `bytes_max`, of which no more is made; or that it is
/// none.
pub(crate) fn read_message(mut payload: Vec<u8>, bytes_max: usize) -> Result<Vec<u8>, WireError> {
    payload.extend(TAIL);
    let mut message = Vec::with_capacity(bytes_max + 1);
    let mut decompress = Decompress::new(false);
    let read = decompress.decompress_vec(&payload, &mut message, FlushDecompress::Sync);
    match read {
        _ if message.len() > bytes_max => Err(WireError::TooLong),
        Ok(Status::Ok | Status::StreamEnd) => Ok(message),
        Ok(Status::BufError) | Err(_) => Err(WireError::Malformed),
    }
}

/// A text, and what is sent of it in a compressed stream.
#[derive(Clone, Debug)]
pub(crate) struct GzipPiece {
    bytes: Bytes,
    check: crc32fast::Hasher,
}

impl GzipPiece {
    pub(crate) fn new(text: &[u8]) -> Self {
        let mut check = crc32fast::Hasher::new();
        check.update(text);
        Self { bytes: piece(text).into(), check }
    }
}

/// A stream that is put together of pieces.
#[derive(Debug)]
pub(crate) struct GzipStream {
    check: crc32fast::Hasher,
    n_bytes: u32,
    is_begun: bool,
}

impl GzipStream {
    pub(crate) fn new() -> Self {
        Self { check: crc32fast::Hasher::new(), n_bytes: 0, is_begun: false }
    }

    /// What is sent for the next piece, of a text of `n_bytes`.
    pub(crate) fn put(&mut self, piece: &GzipPiece, n_bytes: usize, out: &mut BytesMut) {
        if !self.is_begun {
            self.is_begun = true;
            out.put_slice(&GZIP_HEAD);
        }
        self.check.combine(&piece.check);
        // Its length is counted modulo 2³². // RFC 1952, 2.3.1
        self.n_bytes = self.n_bytes.wrapping_add(n_bytes as u32);
        out.put_slice(&piece.bytes);
    }

    /// The end of the stream.
    pub(crate) fn finish(&mut self, out: &mut BytesMut) {
        out.put_slice(&LAST_BLOCK);
        out.put_u32_le(self.check.clone().finalize());
        out.put_u32_le(self.n_bytes);
    }
}

/// A whole text, compressed.
pub(crate) fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 4), Compression::fast());
    encoder.write_all(text).and_then(|()| encoder.finish()).expect("memory takes everything")
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;
    use proptest::prelude::*;

    use super::*;

    fn unzip(bytes: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        let mut decoder = GzDecoder::new(bytes);
        decoder.read_to_end(&mut text).expect("a stream that is whole and right");
        text
    }

    #[test]
    fn what_does_not_shrink_stays_as_it_is() {
        assert_eq!(message(b"short"), None);
        // Knuth's generator, its best bits.
        let next = |n: &u64| Some(n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
        let noise = std::iter::successors(Some(1), next).map(|n| (n >> 56) as u8);
        let noise: Vec<u8> = noise.take(1_000).collect();
        assert_eq!(message(&noise), None);
        assert_eq!(unzip(&gzip(b"a text")), b"a text");
    }

    #[test]
    fn a_bomb_is_not_unpacked() {
        let bomb = message(&vec![0; 8 << 20]).expect("it shrinks");
        assert!(bomb.len() < 64 * 1024);
        assert_eq!(read_message(bomb, 1_000), Err(WireError::TooLong));
    }

    proptest! {
        #[test]
        fn pieces_make_one_stream(texts in prop::collection::vec(prop::collection::vec(0..4_u8, 0..4_000), 0..6)) {
            let (mut stream, mut out) = (GzipStream::new(), BytesMut::new());
            stream.put(&GzipPiece::new(b""), 0, &mut out);
            for text in &texts {
                stream.put(&GzipPiece::new(text), text.len(), &mut out);
            }
            stream.finish(&mut out);
            prop_assert_eq!(unzip(&out), texts.concat());
        }

        #[test]
        fn a_message_is_read_back(text in prop::collection::vec(0..4_u8, 128..4_000)) {
            if let Some(small) = message(&text) {
                prop_assert_eq!(read_message(small, 4_000), Ok(text));
            }
        }
    }
}
