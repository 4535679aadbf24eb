//! What can go wrong with the log, sorted by what was being done.

use std::io;
use std::path::{Path, PathBuf};

use bellwire_model::{LogId, LogPosition};

/// Why the log could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A limit is out of range.
    #[error("log.{key} must be {rule}")]
    Config {
        /// The key.
        key: &'static str,
        /// What it must be.
        rule: &'static str,
    },
    /// The file system said no.
    #[error("failed to {action} `{path}`")]
    Io {
        /// What we wanted: `sync`, `open`.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// Another process, or another part of this one, has this log open.
    #[error(
        "the log in `{dir}` is open in another process: stop that one, or use another data \
         directory"
    )]
    Locked {
        /// The log's directory.
        dir: PathBuf,
    },
    /// Written by a later version of Bellwire.
    #[error("`{path}` has log format {found}, this version knows formats up to {known}")]
    TooNew {
        /// The file.
        path: PathBuf,
        /// The format it has.
        found: u32,
        /// The latest format we know.
        known: u32,
    },
    /// The meta file cannot be read.
    #[error("`{path}` is no log's meta file: {detail}")]
    BadMeta {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// Segments without the meta file that says whose they are.
    #[error("`{dir}` has segments but no meta file: restore `meta` or move the segments away")]
    MetaMissing {
        /// The log's directory.
        dir: PathBuf,
    },
    /// A meta file, but not one segment.
    #[error(
        "`{dir}` has a meta file but no segment: restore the segments, or move `meta` away to begin a new log"
    )]
    SegmentsMissing {
        /// The log's directory.
        dir: PathBuf,
    },
    /// A segment's header cannot be read.
    #[error("segment `{path}` has a damaged header: {detail}")]
    BadHeader {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: &'static str,
    },
    /// A segment of another log.
    #[error("segment `{path}` belongs to log {found}, not to {expected}")]
    ForeignSegment {
        /// The file.
        path: PathBuf,
        /// Its log.
        found: LogId,
        /// Ours.
        expected: LogId,
    },
    /// A segment in the middle is not there.
    #[error("the log segment before `{path}` is missing: it began at position {missing}")]
    MissingSegment {
        /// The segment after it.
        path: PathBuf,
        /// Where the missing one began.
        missing: LogPosition,
    },
    /// A durable record is damaged.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// No position can be greater than this one.
    #[error("position {position} is beyond the greatest a log may have, {limit}")]
    NoPositionBeyond {
        /// What was asked for.
        position: LogPosition,
        /// The greatest.
        limit: LogPosition,
    },
    /// The log has been closed, or has failed.
    #[error(transparent)]
    Closed(#[from] Closed),
    /// A bug in one of the log's threads.
    #[error("the log's thread `{thread}` panicked")]
    Panicked {
        /// Which one.
        thread: &'static str,
    },
}

impl Error {
    /// For `map_err`: what we were doing to `path`.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    /// Whether it means that the disk or the quota is full.
    pub(super) fn is_no_space(&self) -> bool {
        matches!(self, Self::Io { source, .. } if is_no_space(source))
    }
}

/// Why records could not be read. The reader stays where it was.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file system said no.
    #[error("failed to {action} `{path}`")]
    Io {
        /// What we wanted: `open`, `read`.
        action: &'static str,
        /// Which segment.
        path: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// Bytes that were durable are not what was written.
    #[error("bad frame in `{path}` at byte {offset} (position {position}): {detail}")]
    BadFrame {
        /// The segment.
        path: PathBuf,
        /// Where in the file.
        offset: u64,
        /// Where in the log.
        position: LogPosition,
        /// What is wrong.
        detail: &'static str,
    },
    /// The records there have been removed.
    #[error("position {position} is below the log's floor {floor}: its records are gone")]
    Trimmed {
        /// What was asked for.
        position: LogPosition,
        /// The first position there is.
        floor: LogPosition,
    },
    /// The log does not reach that far.
    #[error("position {position} is beyond the log's end {end}")]
    Beyond {
        /// What was asked for.
        position: LogPosition,
        /// Where the log ends.
        end: LogPosition,
    },
}

impl ReadError {
    /// For `map_err`: what we were doing to `path`.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

/// Whether it means that the disk or the quota is full.
pub(super) fn is_no_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// The log takes no more records and its end moves no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log is closed")]
pub struct Closed;
