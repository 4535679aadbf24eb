//! Finds a log's segments at start-up and checks that they belong together and none is missing.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bellwire_model::{LogId, LogPosition};

use super::error::Error;
use super::segment::{HEADER_BYTES, Header, Segment, base_of};

/// A log's segments in order.
#[derive(Debug)]
pub(super) struct Catalog {
    /// Never empty; all but the last are sealed.
    pub(super) segments: VecDeque<Arc<Segment>>,
    /// The last one's, which is still to be recovered.
    pub(super) last: (File, Header),
    /// Bytes of frames in all but the last.
    pub(super) bytes: u64,
}

/// The segment files in `dir`, in log order. Removes what a crash has left half made.
pub(super) fn list(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut paths = Vec::new();
    for item in fs::read_dir(dir).map_err(Error::io("list", dir))? {
        let path = item.map_err(Error::io("list", dir))?.path();
        if path.extension().is_some_and(|extension| extension == "tmp") {
            fs::remove_file(&path).map_err(Error::io("remove", &path))?;
        } else if base_of(&path).is_some() {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// Opens the segments at `paths`, at least one, as those of `log`.
///
/// # Errors
/// [`Error::BadHeader`], [`Error::ForeignSegment`], [`Error::TooNew`], [`Error::MissingSegment`],
/// [`Error::Io`].
pub(super) fn open(dir: &Path, paths: &[PathBuf], log: LogId) -> Result<Catalog, Error> {
    let mut segments: VecDeque<Arc<Segment>> = VecDeque::with_capacity(paths.len());
    let mut bytes = 0;
    let mut last = None;
    for path in paths {
        let base = base_of(path).unwrap_or_default();
        let file = File::options().read(true).write(true).open(path);
        let file = file.map_err(Error::io("open", path))?;
        let header = Header::read(&file, path, log, base)?;
        if let (Some(before), Some((file, _))) = (segments.back(), &last) {
            let end = joint(before, &header, path)?;
            check_size(before, file, end)?;
            before.seal(end);
            bytes += end - before.base;
        }
        segments.push_back(Arc::new(Segment::open(&header, dir)));
        last = Some((file, header));
    }
    let last = last.ok_or_else(|| Error::SegmentsMissing { dir: dir.to_owned() })?;
    Ok(Catalog { segments, last, bytes })
}

/// Where the frames of `before` end, as the header of the next segment says.
pub(super) fn joint(before: &Segment, header: &Header, path: &Path) -> Result<u64, Error> {
    let bad = |detail| Error::BadHeader { path: path.to_owned(), detail };
    let previous = header.previous.ok_or_else(|| bad("it says that no segment is before it"))?;
    if previous.base != before.base {
        let missing = LogPosition(previous.base);
        return Err(Error::MissingSegment { path: path.to_owned(), missing });
    }
    if !(before.base..=header.base).contains(&previous.end) {
        return Err(bad("the segment before ends elsewhere than it says"));
    }
    Ok(previous.end)
}

fn check_size(segment: &Segment, file: &File, end: u64) -> Result<(), Error> {
    let size = file.metadata().map_err(Error::io("look at", &segment.path))?.len();
    if size < segment.offset(end) {
        let last_whole = segment.base + (size - HEADER_BYTES);
        let detail = "the file ends before its records do";
        return Err(segment.bad_frame(last_whole, detail).into());
    }
    Ok(())
}
