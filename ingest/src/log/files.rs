//! A log's files from outside: looked at or copied while another process writes them.
//!
//! Every file is held open, so what the writer removes meanwhile is still there for us. The writer
//! is asked for nothing and waits for nothing.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bellwire_model::{LogId, LogPosition, Timestamp};

use super::catalog::joint;
use super::disk::sync_dir;
use super::error::Error;
use super::meta::Meta;
use super::recover::{Tail, dirty_end, has_later_write, scan};
use super::segment::{HEADER_BYTES, Header, Segment, base_of, file_name};
use crate::dirs::make_private;

/// How often to begin anew when segments are removed while they are being opened.
const ATTEMPTS: usize = 100;

/// A log's files, held open.
#[derive(Debug)]
pub struct LogFiles {
    dir: PathBuf,
    meta: Meta,
    /// Ascending by base; never empty.
    segments: Vec<Open>,
}

#[derive(Debug)]
struct Open {
    path: PathBuf,
    file: File,
    header: Header,
}

/// What lies in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contents {
    /// Whose it is.
    pub log: LogId,
    /// The lowest position that can be read from.
    pub floor: LogPosition,
    /// The position behind the last whole record.
    pub end: LogPosition,
    /// When the last record was received, by our clock.
    pub received_at: Timestamp,
    /// Bytes of the records.
    pub bytes: u64,
}

impl LogFiles {
    /// Opens all files of the log in `dir`; `None` if there is none.
    ///
    /// # Errors
    /// [`Error`] names the file that cannot be read or is damaged.
    pub fn open(dir: &Path) -> Result<Option<Self>, Error> {
        if !dir.is_dir() {
            return Ok(None);
        }
        let Some(meta) = Meta::read(dir)? else { return Ok(None) };
        let mut files = Self { dir: dir.to_owned(), meta, segments: Vec::new() };
        for _ in 0..ATTEMPTS {
            files.segments.clear();
            if files.open_new()? == Found::All && !files.segments.is_empty() {
                return Ok(Some(files));
            }
        }
        Err(Error::SegmentsMissing { dir: dir.to_owned() })
    }

    /// Opens also what has come since. What has gone is still held.
    ///
    /// # Errors
    /// As [`LogFiles::open`].
    pub fn open_later(&mut self) -> Result<(), Error> {
        // One that came and went at once shows as a gap when its successor is looked at.
        self.open_new().map(drop)
    }

    fn open_new(&mut self) -> Result<Found, Error> {
        let known = self.segments.last().map(|segment| segment.header.base);
        let mut paths = Vec::new();
        for item in fs::read_dir(&self.dir).map_err(Error::io("list", &self.dir))? {
            let path = item.map_err(Error::io("list", &self.dir))?.path();
            paths
                .extend(base_of(&path).filter(|base| Some(*base) > known).map(|base| (base, path)));
        }
        paths.sort();
        for (base, path) in paths {
            let file = match File::open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Gone),
                Err(error) => return Err(Error::io("open", &path)(error)),
            };
            let header = Header::read(&file, &path, self.meta.log, base)?;
            self.segments.push(Open { path, file, header });
        }
        Ok(Found::All)
    }

    /// Whose log it is.
    #[must_use]
    pub const fn id(&self) -> LogId {
        self.meta.log
    }

    /// What lies in it now. Reads the last segment whole, of the others the headers.
    ///
    /// # Errors
    /// [`Error`] names what is damaged or missing.
    pub fn contents(&self) -> Result<Contents, Error> {
        let mut bytes = 0;
        for index in 0..self.segments.len() - 1 {
            bytes += self.sealed_end(index)? - self.segments[index].header.base;
        }
        let (last, tail) = self.last_records()?;
        Ok(self.describe(bytes + last.len() as u64, &tail))
    }

    /// Copies it into `dir`, which is made, and checks every record on the way; durable on return.
    ///
    /// # Errors
    /// [`Error`] names what is damaged, missing, or cannot be written.
    pub fn copy(&self, dir: &Path) -> Result<Contents, Error> {
        make_private(dir).map_err(Error::io("create", dir))?;
        let mut bytes = 0;
        let n_sealed = self.segments.len() - 1;
        for index in 0..n_sealed {
            let records = self.sealed_records(index)?;
            bytes += records.len() as u64;
            write(dir, &self.segments[index].header, &records)?;
        }
        let (records, tail) = self.last_records()?;
        write(dir, &self.segments[n_sealed].header, &records)?;
        // The meta file makes it a log.
        self.meta.write(dir)?;
        Ok(self.describe(bytes + records.len() as u64, &tail))
    }

    fn describe(&self, bytes: u64, tail: &Tail) -> Contents {
        let (first, last) = (&self.segments[0].header, &self.segments[self.segments.len() - 1]);
        let floor = first.previous.map_or(first.base, |previous| previous.end);
        let received_at = last.header.received_at;
        Contents {
            log: self.meta.log,
            floor: LogPosition(floor),
            end: LogPosition(last.header.base + tail.end as u64),
            received_at: tail.received_at.map_or(received_at, |at| at.max(received_at)),
            bytes,
        }
    }

    /// Where the records of a segment end that is not the last.
    fn sealed_end(&self, index: usize) -> Result<u64, Error> {
        let next = &self.segments[index + 1];
        joint(&self.segment(index), &next.header, &next.path)
    }

    fn sealed_records(&self, index: usize) -> Result<Vec<u8>, Error> {
        let Open { path, file, header } = &self.segments[index];
        let end = self.sealed_end(index)?;
        let mut records = vec![0; (end - header.base) as usize];
        file.read_exact_at(&mut records, HEADER_BYTES).map_err(Error::io("read", path))?;
        let tail = scan(&records, header.log, header.base);
        if tail.end < records.len() {
            let position = header.base + tail.end as u64;
            return Err(self.segment(index).bad_frame(position, "it is damaged").into());
        }
        Ok(records)
    }

    /// The whole records of the last segment. It may be written meanwhile: a read can miss one
    /// write and see the next. Read again, it sees both; damage stays where it is.
    fn last_records(&self) -> Result<(Vec<u8>, Tail), Error> {
        let index = self.segments.len() - 1;
        let Open { path, file, header } = &self.segments[index];
        let mut stuck_at = None;
        loop {
            let size = file.metadata().map_err(Error::io("look at", path))?.len();
            let mut bytes = vec![0; size.saturating_sub(HEADER_BYTES) as usize];
            file.read_exact_at(&mut bytes, HEADER_BYTES).map_err(Error::io("read", path))?;
            let tail = scan(&bytes, header.log, header.base);
            let dirty_end = dirty_end(&bytes).max(tail.end);
            if !has_later_write(&bytes[..dirty_end], &tail, header.log, header.base) {
                bytes.truncate(tail.end);
                return Ok((bytes, tail));
            }
            if stuck_at.replace(tail.end) == Some(tail.end) {
                let detail = "it is damaged, and later writes behind it are not";
                let position = header.base + tail.end as u64;
                return Err(self.segment(index).bad_frame(position, detail).into());
            }
        }
    }

    fn segment(&self, index: usize) -> Segment {
        Segment::open(&self.segments[index].header, &self.dir)
    }
}

/// Whether everything that was listed could be opened.
#[derive(PartialEq, Eq)]
enum Found {
    All,
    Gone,
}

/// Writes a segment of these records, synced.
fn write(dir: &Path, header: &Header, records: &[u8]) -> Result<(), Error> {
    let path = dir.join(file_name(header.base));
    let mut file = File::create_new(&path).map_err(Error::io("create", &path))?;
    file.write_all(&header.encode())
        .and_then(|()| file.write_all(records))
        .and_then(|()| file.sync_all())
        .map_err(Error::io("write", &path))?;
    sync_dir(dir).map_err(Error::io("sync", dir))
}
