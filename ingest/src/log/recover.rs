//! Finds the log's end in its last segment after a crash, and makes it trustworthy.
//!
//! Only the last write can be torn: every write before it was synced before it began. Of a torn
//! write any part may be missing, also one before a part that is there. So the end is the first
//! bad frame, unless the first frame of a *later* write lies behind it: then the bad frame was
//! durable, and that is damage, not a crash. (We trust the disk to write a sector wholly or not
//! at all: the last write may share one with the write before.)
//!
//! What is found is then written again from the beginning of the last write, and synced: after a
//! failed fsync the page cache may show us frames that the disk does not have. What lies behind
//! the end is zeroed before anything is appended.

use std::fs::File;
use std::os::unix::fs::FileExt;

use bellwire_model::{LogId, Timestamp};

use super::disk::{Disk, write_zeros};
use super::error::{Error, is_no_space};
use super::frame::{InWrite, Parsed, Seal, frame_bytes, may_begin_write};
use super::segment::{HEADER_BYTES, Header, Segment};

/// Most bytes to checksum in the search for a later write. Payloads can be made to look like
/// frames; a start must not take for ever because someone did.
const SEARCH_BYTES_MAX: u64 = 4 << 30;

/// The last segment as it is after recovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Recovered {
    /// Position behind the last valid frame.
    pub(super) end: u64,
    /// When the last record was received.
    pub(super) received_at: Timestamp,
    /// Bytes from the end to the last that was not zero: a write that was never acknowledged.
    /// 0 after a clean end.
    pub(super) cut_bytes: u64,
}

/// Recovers the last segment; on return its frames are synced, and zeros follow them, up to
/// `segment_bytes` if the disk has room.
///
/// # Errors
/// [`super::ReadError::BadFrame`] if durable records are damaged; [`Error::Io`].
pub(super) fn recover(
    disk: &dyn Disk,
    file: &File,
    (segment, header): (&Segment, &Header),
    segment_bytes: u64,
) -> Result<Recovered, Error> {
    let path = &segment.path;
    let file_bytes = file.metadata().map_err(Error::io("look at", path))?.len();
    let mut bytes = vec![0; (file_bytes - HEADER_BYTES) as usize];
    file.read_exact_at(&mut bytes, HEADER_BYTES).map_err(Error::io("read", path))?;

    let tail = scan(&bytes, header.log, header.base);
    let dirty_end = dirty_end(&bytes);
    if has_later_write(&bytes[..dirty_end.max(tail.end)], &tail, header.log, header.base) {
        let detail = "it is damaged, and later writes behind it are not";
        return Err(segment.bad_frame(header.base + tail.end as u64, detail).into());
    }

    let offset = |index: usize| HEADER_BYTES + index as u64;
    disk.write_at(file, &bytes[tail.last_write..tail.end], offset(tail.last_write))
        .and_then(|()| write_zeros(disk, file, offset(tail.end), offset(dirty_end)))
        .map_err(Error::io("write", path))?;
    if let Err(error) = write_zeros(disk, file, file_bytes, segment_bytes) {
        if !is_no_space(&error) {
            return Err(Error::io("write", path)(error));
        }
        file.set_len(file_bytes).map_err(Error::io("truncate", path))?;
    }
    file.sync_all().map_err(Error::io("sync", path))?;
    Ok(Recovered {
        end: header.base + tail.end as u64,
        received_at: tail.received_at.map_or(header.received_at, |at| at.max(header.received_at)),
        cut_bytes: dirty_end.saturating_sub(tail.end) as u64,
    })
}

/// Where the zeros at the end begin: page by page first, most of a segment being zeros.
pub(super) fn dirty_end(bytes: &[u8]) -> usize {
    const ZEROS: [u8; 4096] = [0; 4096];
    let clean = bytes.rchunks(ZEROS.len()).take_while(|chunk| **chunk == ZEROS[..chunk.len()]);
    let dirty_pages = bytes.len() - clean.map(<[u8]>::len).sum::<usize>();
    bytes[..dirty_pages].iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1)
}

/// The valid frames at the beginning of a segment; offsets in its frames' bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tail {
    pub(super) end: usize,
    /// Where the last write began.
    last_write: usize,
    pub(super) received_at: Option<Timestamp>,
}

pub(super) fn scan(bytes: &[u8], log: LogId, base: u64) -> Tail {
    let seal = Seal::new(log, base);
    let mut tail = Tail { end: 0, last_write: 0, received_at: None };
    while let Parsed::Whole(frame, in_write) =
        seal.parse(&bytes[tail.end..], base + tail.end as u64)
    {
        if in_write == InWrite::First {
            tail.last_write = tail.end;
        }
        tail.received_at = Some(frame.received_at);
        tail.end += frame_bytes(frame.body.len()) as usize;
    }
    tail
}

/// Whether a write begins anywhere behind the first bad frame.
pub(super) fn has_later_write(bytes: &[u8], tail: &Tail, log: LogId, base: u64) -> bool {
    let seal = Seal::new(log, base);
    let mut left_bytes = SEARCH_BYTES_MAX;
    for start in tail.end + 1..bytes.len() {
        let candidate = &bytes[start..];
        if !may_begin_write(candidate) {
            continue;
        }
        let length = candidate.first_chunk().map_or(0, |len| u32::from_le_bytes(*len));
        let Some(left) = left_bytes.checked_sub(length.into()) else { return false };
        left_bytes = left;
        if matches!(seal.parse(candidate, base + start as u64), Parsed::Whole(_, InWrite::First)) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Entry;

    const LOG: LogId = LogId(3);
    const BASE: u64 = 50;
    const AT: Timestamp = Timestamp::from_secs(1_700_000_000);

    /// Two writes of two records each, and where each record begins.
    fn writes() -> (Vec<u8>, Vec<usize>) {
        let (seal, mut bytes, mut starts) = (Seal::new(LOG, BASE), Vec::new(), Vec::new());
        for (text, in_write) in [
            ("first", InWrite::First),
            ("second", InWrite::Later),
            ("third", InWrite::First),
            ("fourth", InWrite::Later),
        ] {
            starts.push(bytes.len());
            let position = BASE + bytes.len() as u64;
            seal.encode(&mut bytes, &Entry::started(text), position, AT, in_write);
        }
        (bytes, starts)
    }

    fn damaged(record: usize) -> (Tail, bool) {
        let (mut bytes, starts) = writes();
        bytes[starts[record] + 18] ^= 1;
        let tail = scan(&bytes, LOG, BASE);
        assert_eq!(tail.end, starts[record]);
        let later = has_later_write(&bytes, &tail, LOG, BASE);
        (tail, later)
    }

    #[test]
    fn zeros_at_the_end_are_clean() {
        let mut bytes = vec![0; 10_000];
        assert_eq!(dirty_end(&bytes), 0);
        bytes[4_999] = 1;
        assert_eq!(dirty_end(&bytes), 5_000);
        assert_eq!(dirty_end(&bytes[..5_000]), 5_000);
    }

    #[test]
    fn whole_writes_are_kept() {
        let (bytes, starts) = writes();
        let tail = scan(&bytes, LOG, BASE);
        let expected = Tail { end: bytes.len(), last_write: starts[2], received_at: Some(AT) };
        assert_eq!(tail, expected);
        assert!(!has_later_write(&bytes, &tail, LOG, BASE));
    }

    #[test]
    fn a_torn_last_write_ends_the_log_also_if_its_end_is_there() {
        assert!(!damaged(2).1);
        assert!(!damaged(3).1);
    }

    #[test]
    fn damage_before_the_last_write_is_no_crash() {
        assert!(damaged(0).1);
        assert!(damaged(1).1);
    }

    #[test]
    fn a_hole_of_zeros_before_a_later_write_is_no_crash() {
        let (mut bytes, starts) = writes();
        bytes[..starts[1]].fill(0);
        let tail = scan(&bytes, LOG, BASE);
        assert_eq!(tail.end, 0);
        assert!(has_later_write(&bytes, &tail, LOG, BASE));
    }
}
