//! A segment file: its name, its header, and what is known of it while it is open.
//!
//! The header has a page of its own, so that no write of frames can tear it. It names the segment
//! before, so that a missing one is noticed, and says where that one's frames end: nothing else
//! on disk does, since a segment's unused rest is zeros.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use bellwire_model::{LogId, LogPosition, Timestamp};

use super::error::{Error, ReadError};

/// The latest format of segments and meta file that we know, and the one we write.
pub(super) const FORMAT: u32 = 1;
/// Bytes before the first frame.
pub(super) const HEADER_BYTES: u64 = 4096;

const MAGIC: [u8; 8] = *b"BELLSEG\n";
/// `magic 8 | format u32 | 0 u32 | log u128 | base u64 | previous base u64 | previous end u64 |
/// received_at i64 | crc u32`, little endian; zeros up to [`HEADER_BYTES`].
const FIELDS_BYTES: usize = 64;
const EXTENSION: &str = "seg";

/// What a segment says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) log: LogId,
    /// Position of its first frame.
    pub(super) base: u64,
    /// The segment before; none for a log's first.
    pub(super) previous: Option<Previous>,
    /// No frame before this segment was received later.
    pub(super) received_at: Timestamp,
}

/// The segment before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Previous {
    pub(super) base: u64,
    /// Where its frames end; less than the next base if positions were skipped.
    pub(super) end: u64,
}

impl Header {
    pub(super) fn encode(&self) -> Vec<u8> {
        let none = Previous { base: u64::MAX, end: u64::MAX };
        let previous = self.previous.unwrap_or(none);
        let mut bytes = Vec::with_capacity(HEADER_BYTES as usize);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&FORMAT.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&self.log.0.to_le_bytes());
        for number in [self.base, previous.base, previous.end] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&self.received_at.as_micros().to_le_bytes());
        let crc = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes.resize(HEADER_BYTES as usize, 0);
        bytes
    }

    fn decode(bytes: &[u8], path: &Path) -> Result<Self, Error> {
        let bad = |detail| Error::BadHeader { path: path.to_owned(), detail };
        let (fields, rest) =
            bytes.split_first_chunk::<FIELDS_BYTES>().ok_or_else(|| bad("it is too short"))?;
        let (magic, fields_after) = fields.split_at(MAGIC.len());
        if magic != MAGIC {
            return Err(bad("it does not begin as a segment does"));
        }
        let mut words = fields_after.chunks_exact(8).map(|word| {
            u64::from_le_bytes(word.try_into().expect("chunks_exact gives eight bytes"))
        });
        let mut next = || words.next().expect("the fields are seven words");
        // The format comes first: a later one may check itself otherwise.
        let found = (next() & u64::from(u32::MAX)) as u32;
        if found > FORMAT {
            return Err(Error::TooNew { path: path.to_owned(), found, known: FORMAT });
        }
        let crc = rest.first_chunk().ok_or_else(|| bad("it is too short"))?;
        if crc32fast::hash(fields) != u32::from_le_bytes(*crc) {
            return Err(bad("its checksum does not match"));
        }
        let (low, high, base) = (next(), next(), next());
        let previous = Previous { base: next(), end: next() };
        Ok(Self {
            log: LogId(u128::from(high) << 64 | u128::from(low)),
            base,
            previous: (previous.base != u64::MAX).then_some(previous),
            received_at: Timestamp::from_micros(next().cast_signed()),
        })
    }

    /// Reads the header of the segment at `path`, which must be of `log` and begin at `base`.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::TooNew`], [`Error::BadHeader`], [`Error::ForeignSegment`].
    pub(super) fn read(file: &File, path: &Path, log: LogId, base: u64) -> Result<Self, Error> {
        let mut bytes = [0; FIELDS_BYTES + 4];
        let size = file.metadata().map_err(Error::io("look at", path))?.len();
        if size < HEADER_BYTES {
            return Err(Error::BadHeader { path: path.to_owned(), detail: "it is too short" });
        }
        file.read_exact_at(&mut bytes, 0).map_err(Error::io("read", path))?;
        let header = Self::decode(&bytes, path)?;
        if header.log != log {
            let (found, expected) = (header.log, log);
            return Err(Error::ForeignSegment { path: path.to_owned(), found, expected });
        }
        if header.base != base {
            let detail = "its position is not the one in the file's name";
            return Err(Error::BadHeader { path: path.to_owned(), detail });
        }
        Ok(header)
    }
}

/// The file's name: the base in 20 digits, so that names sort as positions do.
pub(super) fn file_name(base: u64) -> String {
    format!("{base:020}.{EXTENSION}")
}

/// The base that a file's name says, if it is a segment's.
pub(super) fn base_of(path: &Path) -> Option<u64> {
    let stem = path.file_stem()?.to_str()?;
    let digits = stem.len() == 20 && stem.bytes().all(|byte| byte.is_ascii_digit());
    (digits && path.extension()? == EXTENSION).then(|| stem.parse().ok())?
}

/// A segment as readers and the remover know it.
#[derive(Debug)]
pub(super) struct Segment {
    /// Position of its first frame.
    pub(super) base: u64,
    /// Where the frames before it end: up to `base` no record has ever been.
    pub(super) gap_from: u64,
    pub(super) path: PathBuf,
    /// Where its frames end; `u64::MAX` while it is the one being written.
    end: AtomicU64,
}

impl Segment {
    /// The segment that is being written, in `dir`.
    pub(super) fn open(header: &Header, dir: &Path) -> Self {
        Self {
            base: header.base,
            gap_from: header.previous.map_or(header.base, |previous| previous.end),
            path: dir.join(file_name(header.base)),
            end: AtomicU64::new(u64::MAX),
        }
    }

    /// No frame comes behind `end` any more.
    pub(super) fn seal(&self, end: u64) {
        self.end.store(end, Ordering::Release);
    }

    /// Where its frames end, once another is being written.
    pub(super) fn sealed_end(&self) -> Option<u64> {
        let end = self.end.load(Ordering::Acquire);
        (end != u64::MAX).then_some(end)
    }

    /// Where in the file the frame at `position` is.
    pub(super) const fn offset(&self, position: u64) -> u64 {
        position - self.base + HEADER_BYTES
    }

    /// For errors: the frame at `position` is bad.
    pub(super) fn bad_frame(&self, position: u64, detail: &'static str) -> ReadError {
        ReadError::BadFrame {
            path: self.path.clone(),
            offset: self.offset(position),
            position: LogPosition(position),
            detail,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            log: LogId(1 << 100 | 5),
            base: 42,
            previous: Some(Previous { base: 1, end: 40 }),
            received_at: Timestamp::from_secs(9),
        }
    }

    #[test]
    fn a_header_reads_back() {
        let path = Path::new("x.seg");
        assert_eq!(Header::decode(&header().encode(), path).expect("as written"), header());
        let first = Header { previous: None, ..header() };
        assert_eq!(Header::decode(&first.encode(), path).expect("as written"), first);
    }

    #[test]
    fn a_damaged_header_is_noticed() {
        for byte in 0..FIELDS_BYTES + 4 {
            let mut bytes = header().encode();
            bytes[byte] ^= 0x10;
            assert!(Header::decode(&bytes, Path::new("x.seg")).is_err(), "byte {byte}");
        }
    }

    #[test]
    fn a_later_format_is_named() {
        let mut bytes = header().encode();
        bytes[8] = 2;
        let error = Header::decode(&bytes, Path::new("x.seg")).expect_err("too new").to_string();
        assert_eq!(error, "`x.seg` has log format 2, this version knows formats up to 1");
    }

    #[test]
    fn names_give_the_base_back() {
        assert_eq!(base_of(Path::new(&file_name(123))), Some(123));
        for other in ["1.seg", "meta", "0000000000000000012x.seg", "00000000000000000123.tmp"] {
            assert_eq!(base_of(Path::new(other)), None, "{other}");
        }
    }
}
