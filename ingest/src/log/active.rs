//! The segment that is being written, and how the next one begins.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bellwire_model::LogId;

use super::disk::{Disk, sync_dir};
use super::error::Error;
use super::frame::Seal;
use super::segment::{Header, Segment, file_name};

/// The segment that is being written.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) segment: Arc<Segment>,
    pub(super) file: File,
    pub(super) seal: Seal,
    /// Position behind its last frame that is synced.
    pub(super) end: u64,
    /// Position up to which it is to grow.
    room_end: u64,
}

impl Active {
    /// `segment` in `file` has synced frames up to `end`, and may grow to `room_bytes` of them.
    pub(super) fn new(
        log: LogId,
        segment: Arc<Segment>,
        file: File,
        end: u64,
        room_bytes: u64,
    ) -> Self {
        let seal = Seal::new(log, segment.base);
        let room_end = segment.base.saturating_add(room_bytes);
        Self { segment, file, seal, end, room_end }
    }

    /// Whether `bytes` more belong here, behind `bytes_before` that are not yet written. A frame
    /// larger than a segment gets an empty one to itself.
    pub(super) fn fits(&self, bytes_before: u64, bytes: u64) -> bool {
        let start = self.end + bytes_before;
        start + bytes <= self.room_end || start == self.segment.base
    }

    /// Where in the file the next frame goes.
    pub(super) fn offset(&self) -> u64 {
        self.segment.offset(self.end)
    }
}

/// A file that is to become a segment; its name ends in `.tmp`.
#[derive(Debug)]
pub(super) struct Blank {
    pub(super) path: PathBuf,
    pub(super) file: File,
}

impl Blank {
    /// Makes one of `bytes` that the file system has reserved but nobody has zeroed.
    ///
    /// # Errors
    /// [`Error::Io`]; then no file is left.
    pub(super) fn reserve(disk: &dyn Disk, path: PathBuf, bytes: u64) -> Result<Self, Error> {
        let mut options = File::options();
        let file = options.create(true).truncate(true).read(true).write(true).open(&path);
        let file = file.map_err(Error::io("create", &path))?;
        if let Err(error) = disk.allocate(&file, bytes) {
            // Best effort: start-up removes what is left over.
            let _ = fs::remove_file(&path);
            return Err(Error::io("reserve space for", &path)(error));
        }
        Ok(Self { path, file })
    }

    /// Writes the header. It is not synced, and the file keeps its temporary name.
    ///
    /// # Errors
    /// [`Error::Io`]; then no file is left.
    pub(super) fn write_header(self, disk: &dyn Disk, header: &Header) -> Result<Self, Error> {
        match disk.write_at(&self.file, &header.encode(), 0) {
            Ok(()) => Ok(self),
            Err(error) => {
                let _ = fs::remove_file(&self.path);
                Err(Error::io("write the header of", &self.path)(error))
            }
        }
    }

    /// Syncs it and gives it its segment's name: the segment is there now, whatever happens.
    ///
    /// # Errors
    /// [`Error::Io`]; none of these steps may be tried again.
    pub(super) fn into_segment(
        self,
        disk: &dyn Disk,
        dir: &Path,
        base: u64,
    ) -> Result<File, Error> {
        disk.sync_data(&self.file).map_err(Error::io("sync", &self.path))?;
        let path = dir.join(file_name(base));
        fs::rename(&self.path, &path).map_err(Error::io("rename", &self.path))?;
        sync_dir(dir).map_err(Error::io("sync", dir))?;
        Ok(self.file)
    }
}
