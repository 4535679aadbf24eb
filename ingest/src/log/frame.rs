//! How a record lies in a segment: `len u32 | crc u32 | received_at i64 | kind u8 | body`, little
//! endian.
//!
//! `len` counts what follows `crc`. The CRC-32 covers the log's id, the segment's base, the
//! frame's position, `len`, and everything after `crc`: a frame is valid in its own place only, so
//! bytes that an earlier life of the file left behind never pass for records.
//!
//! The top bit of `kind` marks the first frame of a write. A write begins only after the one
//! before it is synced. So if such a frame stands behind a bad one, the bad one was durable and
//! has been damaged since; without one, the bad frame is the torn end of the last write.

use bellwire_model::{LogId, LogPosition, Timestamp};

use super::entry::Entry;
use super::record::{BODY_BYTES_MAX, Record, RecordError};

/// Bytes of a frame before its body.
pub const FRAME_HEADER_BYTES: usize = 17;

/// Where the bytes that `len` counts begin.
const COUNTED_FROM: usize = 8;
/// What `len` is for an empty body.
const COUNTED_BYTES_MIN: usize = FRAME_HEADER_BYTES - COUNTED_FROM;
const BEGINS_WRITE: u8 = 0x80;

/// A record in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Its first byte's place in the log.
    pub position: LogPosition,
    /// When the log took it; never decreasing.
    pub received_at: Timestamp,
    /// The number of its [`super::RecordKind`].
    pub kind: u8,
    /// What it says.
    pub body: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The record it holds.
    ///
    /// # Errors
    /// As [`Record::decode`].
    pub fn record(&self) -> Result<Record<'a>, RecordError> {
        Record::decode(self.kind, self.body)
    }

    /// The position right behind it.
    #[must_use]
    pub const fn end(&self) -> LogPosition {
        LogPosition(self.position.0 + frame_bytes(self.body.len()))
    }
}

/// Bytes of a frame with a body of `body_bytes`.
pub(super) const fn frame_bytes(body_bytes: usize) -> u64 {
    (FRAME_HEADER_BYTES + body_bytes) as u64
}

/// Whether a frame is the first of its write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InWrite {
    First,
    Later,
}

/// The checksum of one segment's frames: its state after log id and base.
#[derive(Clone, Debug)]
pub(super) struct Seal(crc32fast::Hasher);

impl Seal {
    pub(super) fn new(log: LogId, base: u64) -> Self {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&log.0.to_le_bytes());
        hasher.update(&base.to_le_bytes());
        Self(hasher)
    }

    fn crc(&self, position: u64, len: u32, counted: &[u8]) -> u32 {
        let mut place = [0; 12];
        place[..8].copy_from_slice(&position.to_le_bytes());
        place[8..].copy_from_slice(&len.to_le_bytes());
        let mut hasher = self.0.clone();
        hasher.update(&place);
        hasher.update(counted);
        hasher.finalize()
    }

    /// Appends the frame of `entry` to `buffer`.
    ///
    /// # Panics
    /// If the body is longer than [`BODY_BYTES_MAX`]; the appender rejects those.
    pub(super) fn encode(
        &self,
        buffer: &mut Vec<u8>,
        entry: &Entry,
        position: u64,
        received_at: Timestamp,
        in_write: InWrite,
    ) {
        let start = buffer.len();
        let mark = if in_write == InWrite::First { BEGINS_WRITE } else { 0 };
        buffer.extend_from_slice(&[0; COUNTED_FROM]);
        buffer.extend_from_slice(&received_at.as_micros().to_le_bytes());
        buffer.push(entry.kind() as u8 | mark);
        entry.encode_body(buffer);
        let counted = &buffer[start + COUNTED_FROM..];
        let len = u32::try_from(counted.len()).expect("the appender rejects longer bodies");
        let crc = self.crc(position, len, counted);
        buffer[start..start + 4].copy_from_slice(&len.to_le_bytes());
        buffer[start + 4..start + COUNTED_FROM].copy_from_slice(&crc.to_le_bytes());
    }

    /// Reads the frame at the beginning of `bytes`, which lie at `position`.
    pub(super) fn parse<'a>(&self, bytes: &'a [u8], position: u64) -> Parsed<'a> {
        let Some((len, rest)) = bytes.split_first_chunk() else {
            return Parsed::Short { need_bytes: FRAME_HEADER_BYTES };
        };
        let len = u32::from_le_bytes(*len);
        if len == 0 {
            return Parsed::Bad("no frame where one should be");
        }
        let counted_bytes = len as usize;
        if !(COUNTED_BYTES_MIN..=COUNTED_BYTES_MIN + BODY_BYTES_MAX).contains(&counted_bytes) {
            return Parsed::Bad("its length is out of range");
        }
        let need_bytes = COUNTED_FROM + counted_bytes;
        let Some((crc, counted)) = rest.split_first_chunk() else {
            return Parsed::Short { need_bytes };
        };
        let Some(counted) = counted.get(..counted_bytes) else {
            return Parsed::Short { need_bytes };
        };
        if self.crc(position, len, counted) != u32::from_le_bytes(*crc) {
            return Parsed::Bad("its checksum does not match");
        }
        let (frame, in_write) = split(counted, position);
        Parsed::Whole(frame, in_write)
    }
}

/// What [`Seal::parse`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parsed<'a> {
    /// A valid frame.
    Whole(Frame<'a>, InWrite),
    /// The bytes end before the frame does.
    Short { need_bytes: usize },
    /// No valid frame, and why.
    Bad(&'static str),
}

/// Takes apart what follows a frame's `crc`: at least [`COUNTED_BYTES_MIN`] bytes.
fn split(counted: &[u8], position: u64) -> (Frame<'_>, InWrite) {
    let (received_at, rest) = counted.split_first_chunk().expect("length is checked");
    let (&kind, body) = rest.split_first().expect("length is checked");
    let frame = Frame {
        position: LogPosition(position),
        received_at: Timestamp::from_micros(i64::from_le_bytes(*received_at)),
        kind: kind & !BEGINS_WRITE,
        body,
    };
    (frame, if kind & BEGINS_WRITE == 0 { InWrite::Later } else { InWrite::First })
}

/// Whether `bytes` might begin with the first frame of a write: a cheap look before the checksum,
/// for the search behind a bad frame.
pub(super) fn may_begin_write(bytes: &[u8]) -> bool {
    /// 2200-01-01: no clock is further ahead.
    const LATEST_MICROS: i64 = 7_258_118_400_000_000;
    let Some(header) = bytes.first_chunk::<FRAME_HEADER_BYTES>() else { return false };
    let [l0, l1, l2, l3, _, _, _, _, received_at @ .., kind] = *header;
    let counted_bytes = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    kind > BEGINS_WRITE
        && (COUNTED_BYTES_MIN..=bytes.len() - COUNTED_FROM).contains(&counted_bytes)
        && counted_bytes <= COUNTED_BYTES_MIN + BODY_BYTES_MAX
        && (0..LATEST_MICROS).contains(&i64::from_le_bytes(received_at))
}

/// Whole frames that have passed their checksums, in log order.
#[derive(Clone, Copy, Debug)]
pub struct Chunk<'a> {
    bytes: &'a [u8],
    start: LogPosition,
}

impl<'a> Chunk<'a> {
    /// `bytes` are whole, checked frames that begin at `start`.
    pub(super) const fn new(bytes: &'a [u8], start: LogPosition) -> Self {
        Self { bytes, start }
    }

    /// Where its first frame begins.
    #[must_use]
    pub const fn start(&self) -> LogPosition {
        self.start
    }

    /// The position right behind its last frame: what a reader of all of it has reached.
    #[must_use]
    pub const fn end(&self) -> LogPosition {
        LogPosition(self.start.0 + self.bytes.len() as u64)
    }

    /// Its frames in log order.
    #[must_use]
    pub const fn frames(&self) -> Frames<'a> {
        Frames { bytes: self.bytes, position: self.start.0 }
    }
}

impl<'a> IntoIterator for Chunk<'a> {
    type Item = Frame<'a>;
    type IntoIter = Frames<'a>;

    fn into_iter(self) -> Frames<'a> {
        self.frames()
    }
}

/// The frames of a [`Chunk`].
#[derive(Clone, Debug)]
pub struct Frames<'a> {
    bytes: &'a [u8],
    position: u64,
}

impl<'a> Iterator for Frames<'a> {
    type Item = Frame<'a>;

    fn next(&mut self) -> Option<Frame<'a>> {
        let len = self.bytes.first_chunk()?;
        let frame_bytes = COUNTED_FROM + u32::from_le_bytes(*len) as usize;
        let (bytes, rest) = self.bytes.split_at(frame_bytes);
        let (frame, _) = split(&bytes[COUNTED_FROM..], self.position);
        self.bytes = rest;
        self.position += frame_bytes as u64;
        Some(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Timestamp = Timestamp::from_secs(1_700_000_000);

    fn seal() -> Seal {
        Seal::new(LogId(7), 100)
    }

    fn encoded() -> Vec<u8> {
        let mut bytes = Vec::new();
        seal().encode(&mut bytes, &Entry::started("one"), 100, AT, InWrite::First);
        seal().encode(&mut bytes, &Entry::tick(), 120, AT, InWrite::Later);
        bytes
    }

    #[test]
    fn frames_read_back() {
        let bytes = encoded();
        let first =
            Frame { position: LogPosition(100), received_at: AT, kind: 3, body: b"one".as_slice() };
        assert_eq!(seal().parse(&bytes, 100), Parsed::Whole(first, InWrite::First));
        let chunk = Chunk::new(&bytes, LogPosition(100));
        let frames: Vec<_> = chunk.frames().collect();
        assert_eq!(frames[0], first);
        assert_eq!((frames[1].position, frames[1].kind), (LogPosition(120), 2));
        assert_eq!((frames.len(), frames[1].end()), (2, chunk.end()));
        assert!(may_begin_write(&bytes) && !may_begin_write(&bytes[20..]));
    }

    #[test]
    fn a_frame_is_valid_in_its_own_place_only() {
        let bytes = encoded();
        for (seal, position) in [
            (Seal::new(LogId(8), 100), 100),
            (Seal::new(LogId(7), 101), 100),
            (Seal::new(LogId(7), 100), 101),
        ] {
            assert_eq!(seal.parse(&bytes, position), Parsed::Bad("its checksum does not match"));
        }
    }

    #[test]
    fn any_flipped_bit_is_noticed() {
        let bytes = encoded();
        for bit in 0..20 * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(!matches!(seal().parse(&damaged, 100), Parsed::Whole(..)), "bit {bit}");
        }
    }

    #[test]
    fn a_cut_frame_says_how_much_it_needs() {
        let bytes = encoded();
        for cut in 0..20 {
            let need_bytes = if cut < 4 { FRAME_HEADER_BYTES } else { 20 };
            assert_eq!(seal().parse(&bytes[..cut], 100), Parsed::Short { need_bytes }, "{cut}");
        }
        assert_eq!(seal().parse(&[0; 64], 100), Parsed::Bad("no frame where one should be"));
    }
}
