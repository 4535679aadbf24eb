//! Reads the durable part of the log in large pieces, checks every frame, follows over segments.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bellwire_model::LogPosition;

use super::ReadRecords;
use super::error::ReadError;
use super::frame::{Chunk, FRAME_HEADER_BYTES, Parsed, Seal, frame_bytes};
use super::segment::Segment;
use super::shared::Shared;

/// Reads a [`super::LocalLog`]; it outlives the log and reads what was durable then.
#[derive(Debug)]
pub(super) struct SegmentReader {
    shared: Arc<Shared>,
    position: u64,
    open: Option<Open>,
    /// Grows to the largest read; only [`SegmentReader::fill`] writes to it.
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Open {
    segment: Arc<Segment>,
    file: File,
    seal: Seal,
}

impl SegmentReader {
    /// It begins at `from`; nothing is opened before the first read.
    pub(super) const fn new(shared: Arc<Shared>, from: LogPosition) -> Self {
        Self { shared, position: from.0, open: None, buffer: Vec::new() }
    }

    /// Finds where to read: returns the end of what can be read in the segment that is now open,
    /// which lies beyond `position`; `None` if nothing before `up_to` can be.
    fn seek(&mut self, up_to: u64) -> Result<Option<u64>, ReadError> {
        loop {
            // First the end, then the segment's: a segment is sealed before the end passes it.
            let durable_end = self.shared.end();
            if self.position > durable_end {
                let (position, end) = (LogPosition(self.position), LogPosition(durable_end));
                return Err(ReadError::Beyond { position, end });
            }
            if self.position >= durable_end.min(up_to) {
                return Ok(None);
            }
            if let Some(open) = &self.open {
                let end = open.segment.sealed_end().unwrap_or(u64::MAX).min(durable_end);
                if self.position < end {
                    return Ok(Some(end));
                }
            }
            self.open = self.open_segment()?;
            let base = self.open.as_ref().map_or(self.position, |open| open.segment.base);
            self.position = self.position.max(base);
        }
    }

    fn open_segment(&self) -> Result<Option<Open>, ReadError> {
        let position = LogPosition(self.position);
        let trimmed = |floor| ReadError::Trimmed { position, floor };
        let Some(segment) = self.shared.segment_at(self.position) else { return Ok(None) };
        if self.position < segment.gap_from {
            return Err(trimmed(LogPosition(segment.gap_from)));
        }
        match File::open(&segment.path) {
            Ok(file) => {
                let seal = Seal::new(self.shared.log, segment.base);
                Ok(Some(Open { segment, file, seal }))
            }
            // Removed just now.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let floor = self.shared.floor();
                if floor > position {
                    return Err(trimmed(floor));
                }
                Err(ReadError::io("open", &segment.path)(error))
            }
            Err(error) => Err(ReadError::io("open", &segment.path)(error)),
        }
    }

    /// Reads `bytes` at the position into the buffer.
    fn fill(&mut self, bytes: usize) -> Result<(), ReadError> {
        let open = self.open.as_ref().expect("`seek` has opened it");
        if self.buffer.len() < bytes {
            self.buffer.resize(bytes, 0);
        }
        let offset = open.segment.offset(self.position);
        match open.file.read_exact_at(&mut self.buffer[..bytes], offset) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(open.segment.bad_frame(self.position, "the file ends before its records do"))
            }
            Err(error) => Err(ReadError::io("read", &open.segment.path)(error)),
        }
    }

    /// How many of the first `bytes` in the buffer are whole, valid frames that begin before
    /// `up_to`.
    fn check(&self, bytes: usize, up_to: u64) -> Result<Checked, ReadError> {
        let open = self.open.as_ref().expect("`seek` has opened it");
        let mut whole_bytes = 0;
        while whole_bytes < bytes && self.position + (whole_bytes as u64) < up_to {
            let position = self.position + whole_bytes as u64;
            match open.seal.parse(&self.buffer[whole_bytes..bytes], position) {
                Parsed::Whole(frame, _) => whole_bytes += frame_bytes(frame.body.len()) as usize,
                Parsed::Short { need_bytes } if whole_bytes == 0 => {
                    return Ok(Checked::Short { need_bytes });
                }
                Parsed::Bad(detail) if whole_bytes == 0 => {
                    return Err(open.segment.bad_frame(position, detail));
                }
                // The next read begins there.
                Parsed::Short { .. } | Parsed::Bad(_) => break,
            }
        }
        Ok(Checked::Whole { bytes: whole_bytes })
    }
}

enum Checked {
    Whole { bytes: usize },
    Short { need_bytes: usize },
}

impl ReadRecords for SegmentReader {
    fn position(&self) -> LogPosition {
        LogPosition(self.position)
    }

    fn read(
        &mut self,
        up_to: LogPosition,
        budget_bytes: usize,
    ) -> Result<Option<Chunk<'_>>, ReadError> {
        let Some(end) = self.seek(up_to.0)? else { return Ok(None) };
        let mut bytes = budget_bytes.max(FRAME_HEADER_BYTES);
        loop {
            let left_bytes = usize::try_from(end - self.position).unwrap_or(usize::MAX);
            bytes = bytes.min(left_bytes);
            self.fill(bytes)?;
            match self.check(bytes, up_to.0)? {
                Checked::Whole { bytes } => {
                    let start = LogPosition(self.position);
                    self.position += bytes as u64;
                    return Ok(Some(Chunk::new(&self.buffer[..bytes], start)));
                }
                Checked::Short { need_bytes } if need_bytes > left_bytes => {
                    let open = self.open.as_ref().expect("`seek` has opened it");
                    let detail = "it reaches beyond the segment's end";
                    return Err(open.segment.bad_frame(self.position, detail));
                }
                Checked::Short { need_bytes } => bytes = need_bytes,
            }
        }
    }
}
