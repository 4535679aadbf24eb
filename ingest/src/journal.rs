//! What *judge* decided and *keep* has not yet written: transitions, how commands and silences stand, and
//! which publishes repeat.
//!
//! Files in one folder, each named by the position of its first entry. Nothing here is synced: a
//! replay of the log gives the same entries, so the journal begins empty at every start and
//! *judge* fills it again from its snapshot on. It exists so that *keep*, when it is hours behind
//! and reads the log from disk, need not judge a second time, and so that operators get what they
//! missed while the database is away.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bellwire_model::{Command, LogPosition, Silence, Transition};
use serde::{Deserialize, Serialize};

use crate::commands::WireCommand;
use crate::dirs::make_private;
use crate::group::Group;
use crate::handling::WireSilence;
use crate::wire::{WireError, WireTransition};

/// A file is closed and the next begun when it has grown beyond this.
pub const FILE_BYTES: u64 = 8 << 20;

#[derive(Serialize, Deserialize)]
struct WireEntry<'a> {
    end: u64,
    duplicates: Vec<(u64, u32)>,
    strays: Vec<(u64, u32)>,
    #[serde(borrow)]
    transitions: Vec<WireTransition<'a>>,
    #[serde(borrow)]
    commands: Vec<(u64, WireCommand<'a>)>,
    #[serde(borrow)]
    silences: Vec<(u64, WireSilence<'a>)>,
}

/// What was decided about a stretch of the log.
#[derive(Debug, Default, PartialEq)]
pub struct Verdicts {
    /// Publishes that repeat an earlier one, in log order.
    pub duplicates: Vec<(LogPosition, u32)>,
    /// Publishes that answer no command which waits for it, in log order.
    pub strays: Vec<(LogPosition, u32)>,
    /// Transitions, in log order.
    pub transitions: Vec<Transition>,
    /// Commands as they stand after each change, in log order.
    pub commands: Vec<(LogPosition, Command)>,
    /// Silences as they stand after each change, in log order.
    pub silences: Vec<(LogPosition, Arc<Silence>)>,
}

#[derive(Debug)]
struct Chunk {
    path: PathBuf,
    /// The end of its last entry.
    end: LogPosition,
}

/// Where the reader that follows the journal stands.
#[derive(Clone, Debug, Default)]
struct Bookmark {
    /// How many chunks were dropped before the one it stands in.
    chunk: u64,
    offset: u64,
    position: LogPosition,
}

/// Where one who follows the transitions stands: what it has seen need not be read again.
#[derive(Clone, Debug, Default)]
pub struct Follower {
    bookmark: Bookmark,
    /// Every entry before the bookmark lies before it.
    next: (LogPosition, u32),
}

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    file_bytes: u64,
    /// Everything decided from here on is in it.
    begin: LogPosition,
    chunks: VecDeque<Chunk>,
    n_dropped: u64,
    writer: Option<BufWriter<File>>,
    written: u64,
    bookmark: Bookmark,
}

/// The journal: *judge* appends, *keep* and the live feed read.
#[derive(Debug)]
pub struct Journal(Mutex<Inner>);

impl Journal {
    /// Begins an empty journal in `dir`; what lay there before is removed.
    ///
    /// # Errors
    /// If the folder cannot be made or emptied.
    pub fn create(dir: &Path) -> io::Result<Self> {
        Self::with_file_bytes(dir, FILE_BYTES)
    }

    /// The same, with files that are closed when they have grown beyond `file_bytes`.
    ///
    /// # Errors
    /// If the folder cannot be made or emptied.
    pub fn with_file_bytes(dir: &Path, file_bytes: u64) -> io::Result<Self> {
        make_private(dir)?;
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "journal") {
                fs::remove_file(path)?;
            }
        }
        Ok(Self(Mutex::new(Inner {
            dir: dir.to_owned(),
            file_bytes,
            begin: LogPosition::ZERO,
            chunks: VecDeque::new(),
            n_dropped: 0,
            writer: None,
            written: 0,
            bookmark: Bookmark::default(),
        })))
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says where judging begins: what was decided before is in the database only.
    pub fn begin_at(&self, position: LogPosition) {
        self.inner().begin = position;
    }

    /// Everything decided from here on is in it.
    #[must_use]
    pub fn begin(&self) -> LogPosition {
        self.inner().begin
    }

    /// Notes what was decided about a group, if anything was. Groups come in log order.
    ///
    /// # Errors
    /// If the file cannot be written; the entry is then not in the journal.
    pub fn append(&self, group: &Group) -> io::Result<()> {
        let places = |all: &[(LogPosition, u32)]| all.iter().map(|&(at, n)| (at.0, n)).collect();
        if group.duplicates.is_empty()
            && group.transitions.is_empty()
            && group.strays.is_empty()
            && group.commands.is_empty()
            && group.silences.is_empty()
        {
            return Ok(());
        }
        let entry = WireEntry {
            end: group.end.0,
            duplicates: places(&group.duplicates),
            strays: places(&group.strays),
            transitions: group.transitions.iter().map(WireTransition::from).collect(),
            commands: group.commands.iter().map(|(at, it)| (at.0, it.into())).collect(),
            silences: group.silences.iter().map(|(at, it)| (at.0, (&**it).into())).collect(),
        };
        let bytes = postcard::to_stdvec(&entry).map_err(io::Error::other)?;
        self.inner().append(group.start, group.end, &bytes)
    }

    /// What was decided about the records from `from` to `to`, which must not be trimmed
    /// meanwhile. Fastest when each call goes on where the last one ended.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn read(&self, from: LogPosition, to: LogPosition) -> io::Result<Verdicts> {
        let mut verdicts = Verdicts::default();
        let (mut bookmark, files) = {
            let inner = self.inner();
            let bookmark = inner.bookmark_at(from);
            let files = inner.files_from(bookmark.chunk);
            (bookmark, files)
        };
        files.scan(&mut bookmark, |entry, end| {
            if end > to {
                return Ok(Scan::Stop);
            }
            verdicts.take(entry, from, to)?;
            Ok(Scan::Go)
        })?;
        // The entry that begins before `to` and ends behind it stays before the bookmark.
        let mut straddling = bookmark.clone();
        files.scan(&mut straddling, |entry, _| {
            verdicts.take(entry, from, to)?;
            Ok(Scan::Stop)
        })?;
        bookmark.position = to;
        self.inner().bookmark = bookmark;
        Ok(verdicts)
    }

    /// The first `limit` transitions at one place or behind it, in order; `None` if the journal
    /// does not reach back that far (any more): then the database has what came before
    /// [`Journal::begin`].
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn transitions_from(
        &self,
        from: (LogPosition, u32),
        limit: usize,
    ) -> io::Result<Option<Vec<Transition>>> {
        let files = {
            let inner = self.inner();
            if from.0 < inner.begin {
                return Ok(None);
            }
            let n_before = inner.chunks.partition_point(|chunk| chunk.end <= from.0);
            inner.files_from(inner.n_dropped + n_before as u64)
        };
        match files.transitions_from(from, limit) {
            // Trimmed just now.
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.is_past(&files) => {
                Ok(None)
            }
            found => found.map(Some),
        }
    }

    /// The same for one who asks again and again for what is new: each entry is read once.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn follow(
        &self,
        follower: &mut Follower,
        from: (LogPosition, u32),
        limit: usize,
    ) -> io::Result<Option<Vec<Transition>>> {
        let (mut bookmark, files) = {
            let inner = self.inner();
            if from.0 < inner.begin {
                return Ok(None);
            }
            let is_good = follower.next <= from && follower.bookmark.chunk >= inner.n_dropped;
            let bookmark = if is_good {
                follower.bookmark.clone()
            } else {
                let n_before = inner.chunks.partition_point(|chunk| chunk.end <= from.0);
                Bookmark { chunk: inner.n_dropped + n_before as u64, ..Bookmark::default() }
            };
            let files = inner.files_from(bookmark.chunk);
            (bookmark, files)
        };
        match files.follow(&mut bookmark, from, limit) {
            // Trimmed just now.
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.is_past(&files) => {
                Ok(None)
            }
            Err(error) => Err(error),
            Ok(found) => {
                let last = found.last().map(|last| (last.position, last.ordinal + 1));
                *follower = Follower { bookmark, next: last.unwrap_or(from) };
                Ok(Some(found))
            }
        }
    }

    /// Whether the first of `files` has been removed.
    fn is_past(&self, files: &Files) -> bool {
        self.inner().n_dropped > files.first
    }

    /// Removes what lies before `position`; nobody will ask for it again.
    ///
    /// # Errors
    /// If a file cannot be removed.
    pub fn trim(&self, position: LogPosition) -> io::Result<()> {
        let mut inner = self.inner();
        while inner.chunks.len() > 1 && inner.chunks[0].end <= position {
            let Some(chunk) = inner.chunks.pop_front() else { break };
            inner.n_dropped += 1;
            inner.begin = chunk.end;
            fs::remove_file(chunk.path)?;
        }
        Ok(())
    }
}

/// Whether a scan goes on behind this entry.
#[derive(PartialEq)]
enum Scan {
    Go,
    Stop,
}

impl Inner {
    fn append(&mut self, start: LogPosition, end: LogPosition, bytes: &[u8]) -> io::Result<()> {
        if self.writer.is_none() || self.written >= self.file_bytes {
            let path = self.dir.join(format!("{:020}.journal", start.0));
            self.writer = Some(BufWriter::new(File::create(&path)?));
            self.written = 0;
            self.chunks.push_back(Chunk { path, end });
        }
        let writer = self.writer.as_mut().expect("just made");
        let len = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        writer.write_all(&len.to_le_bytes())?;
        writer.write_all(bytes)?;
        writer.flush()?;
        self.written += 4 + u64::from(len);
        if let Some(chunk) = self.chunks.back_mut() {
            chunk.end = end;
        }
        Ok(())
    }

    /// The bookmark, or the beginning if the bookmark is behind `from` or its file is gone.
    fn bookmark_at(&self, from: LogPosition) -> Bookmark {
        if self.bookmark.position <= from && self.bookmark.chunk >= self.n_dropped {
            self.bookmark.clone()
        } else {
            Bookmark { chunk: self.n_dropped, ..Bookmark::default() }
        }
    }

    /// What has been written from a chunk on.
    fn files_from(&self, chunk: u64) -> Files {
        let index = usize::try_from(chunk - self.n_dropped).unwrap_or(usize::MAX);
        let paths = self.chunks.iter().skip(index).map(|chunk| chunk.path.clone()).collect();
        Files { first: chunk, paths, last_bytes: self.written }
    }
}

/// The journal's files as they were at an instant: they are read without the lock, as *judge* must
/// not wait for a disk.
#[derive(Debug)]
struct Files {
    /// How many chunks were begun before the first of them.
    first: u64,
    paths: Vec<PathBuf>,
    /// How much of the last one there was.
    last_bytes: u64,
}

impl Files {
    fn transitions_from(
        &self,
        from: (LogPosition, u32),
        limit: usize,
    ) -> io::Result<Vec<Transition>> {
        let mut bookmark = Bookmark { chunk: self.first, ..Bookmark::default() };
        self.follow(&mut bookmark, from, limit)
    }

    /// Moves the bookmark behind the entries that were given as a whole.
    fn follow(
        &self,
        bookmark: &mut Bookmark,
        from: (LogPosition, u32),
        limit: usize,
    ) -> io::Result<Vec<Transition>> {
        let mut found = Vec::new();
        self.scan(bookmark, |entry, end| {
            if end <= from.0 {
                return Ok(Scan::Go);
            }
            for wire in entry.transitions {
                let transition = Transition::try_from(wire).map_err(damaged)?;
                if (transition.position, transition.ordinal) < from {
                    continue;
                }
                if found.len() >= limit {
                    return Ok(Scan::Stop);
                }
                found.push(transition);
            }
            Ok(Scan::Go)
        })?;
        Ok(found)
    }

    /// Shows entries from the bookmark on, and moves it behind each that says [`Scan::Go`].
    fn scan(
        &self,
        bookmark: &mut Bookmark,
        mut see: impl FnMut(WireEntry<'_>, LogPosition) -> io::Result<Scan>,
    ) -> io::Result<()> {
        let mut buffer = Vec::new();
        loop {
            let index = usize::try_from(bookmark.chunk - self.first).map_err(io::Error::other)?;
            let Some(path) = self.paths.get(index) else { return Ok(()) };
            let is_last = index + 1 == self.paths.len();
            let mut file = File::open(path)?;
            if bookmark.offset > 0 {
                file.seek(SeekFrom::Start(bookmark.offset))?;
            }
            let bytes = if is_last { self.last_bytes - bookmark.offset } else { u64::MAX };
            let mut file = BufReader::new(file.take(bytes));
            while read_entry(&mut file, &mut buffer)? {
                let entry: WireEntry<'_> =
                    postcard::from_bytes(&buffer).map_err(io::Error::other)?;
                let end = LogPosition(entry.end);
                if see(entry, end)? == Scan::Stop {
                    return Ok(());
                }
                bookmark.offset += 4 + buffer.len() as u64;
            }
            if is_last {
                return Ok(());
            }
            bookmark.chunk += 1;
            bookmark.offset = 0;
        }
    }
}

fn read_entry(file: &mut impl Read, buffer: &mut Vec<u8>) -> io::Result<bool> {
    let mut len = [0; 4];
    match file.read_exact(&mut len) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
        other => other?,
    }
    buffer.resize(u32::from_le_bytes(len) as usize, 0);
    file.read_exact(buffer)?;
    Ok(true)
}

fn damaged(error: WireError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl Verdicts {
    fn take(&mut self, entry: WireEntry<'_>, from: LogPosition, to: LogPosition) -> io::Result<()> {
        let inside = |position: u64| (from..to).contains(&LogPosition(position));
        let duplicates = entry.duplicates.into_iter().filter(|&(at, _)| inside(at));
        self.duplicates.extend(duplicates.map(|(at, ordinal)| (LogPosition(at), ordinal)));
        let strays = entry.strays.into_iter().filter(|&(at, _)| inside(at));
        self.strays.extend(strays.map(|(at, ordinal)| (LogPosition(at), ordinal)));
        for (at, wire) in entry.commands.into_iter().filter(|(at, _)| inside(*at)) {
            let command = wire.command().ok_or(WireError { what: "a command" }).map_err(damaged)?;
            self.commands.push((LogPosition(at), command));
        }
        for (at, wire) in entry.silences.into_iter().filter(|(at, _)| inside(*at)) {
            let silence = wire.silence().ok_or(WireError { what: "a silence" }).map_err(damaged)?;
            self.silences.push((LogPosition(at), Arc::new(silence)));
        }
        for wire in entry.transitions {
            let transition = Transition::try_from(wire).map_err(damaged)?;
            if inside(transition.position.0) {
                self.transitions.push(transition);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
