//! What *judge* decided and *keep* has not yet written: transitions, how commands stand, and which
//! publishes repeat.
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
use std::sync::{Mutex, PoisonError};

use bellwire_model::{Command, LogPosition, Transition};
use serde::{Deserialize, Serialize};

use crate::commands::WireCommand;
use crate::dirs::make_private;
use crate::group::Group;
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
        {
            return Ok(());
        }
        let entry = WireEntry {
            end: group.end.0,
            duplicates: places(&group.duplicates),
            strays: places(&group.strays),
            transitions: group.transitions.iter().map(WireTransition::from).collect(),
            commands: group.commands.iter().map(|(at, it)| (at.0, it.into())).collect(),
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
        let mut found = Vec::new();
        let mut bookmark = Bookmark { chunk: self.first, ..Bookmark::default() };
        self.scan(&mut bookmark, |entry, end| {
            if end <= from.0 {
                return Ok(Scan::Go);
            }
            for wire in entry.transitions {
                let transition = Transition::try_from(wire).map_err(damaged)?;
                if (transition.position, transition.ordinal) >= from && found.len() < limit {
                    found.push(transition);
                }
            }
            Ok(if found.len() < limit { Scan::Go } else { Scan::Stop })
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
mod tests {
    use super::*;
    use crate::wire::tests::transition;

    fn group(start: u64, end: u64) -> Group {
        let mut group = Group::at(LogPosition(start));
        group.end = LogPosition(end);
        group.duplicates = vec![(LogPosition(start), 3)];
        group.transitions =
            vec![transition(start, 0), transition(start, 1), transition(start + 5, 0)];
        group
    }

    fn positions(verdicts: &Verdicts) -> Vec<(u64, u32)> {
        verdicts.transitions.iter().map(|t| (t.position.0, t.ordinal)).collect()
    }

    #[test]
    fn verdicts_are_read_by_position_also_across_entries() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::create(dir.path()).unwrap();
        journal.append(&group(0, 10)).unwrap();
        journal.append(&Group::at(LogPosition(10))).unwrap();
        journal.append(&group(20, 30)).unwrap();
        let read = |from, to| journal.read(LogPosition(from), LogPosition(to)).unwrap();
        assert_eq!(positions(&read(0, 3)), [(0, 0), (0, 1)]);
        assert_eq!(positions(&read(3, 10)), [(5, 0)]);
        assert_eq!(positions(&read(10, 22)), [(20, 0), (20, 1)]);
        assert_eq!(positions(&read(22, 30)), [(25, 0)]);
        assert_eq!(positions(&read(0, 30)).len(), 6, "an earlier place can be read again");
        assert_eq!(read(20, 30).duplicates, [(LogPosition(20), 3)]);
        assert_eq!(read(30, 99), Verdicts::default());
    }

    #[test]
    fn operators_get_what_they_missed() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::create(dir.path()).unwrap();
        (0..5).for_each(|n| journal.append(&group(n * 10, n * 10 + 10)).unwrap());
        let missed = journal.transitions_from((LogPosition(10), 1), 4).unwrap().unwrap();
        let places: Vec<_> = missed.iter().map(|t| (t.position.0, t.ordinal)).collect();
        assert_eq!(places, [(10, 1), (15, 0), (20, 0), (20, 1)]);
    }

    /// A pipe in place of a file: who reads it waits until the test writes.
    #[test]
    fn judge_does_not_wait_for_those_who_read() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::with_file_bytes(dir.path(), 1).unwrap();
        journal.append(&group(0, 10)).unwrap();
        let path = dir.path().join(format!("{:020}.journal", 0));
        let bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success(), "mkfifo");
        std::thread::scope(|scope| {
            let reader =
                scope.spawn(|| journal.transitions_from((LogPosition(0), 0), 99).unwrap().unwrap());
            // Opening it for writing waits until the reader has opened it.
            let mut pipe = File::options().write(true).open(&path).unwrap();
            let (sender, appended) = std::sync::mpsc::sync_channel(1);
            let journal = &journal;
            scope.spawn(move || sender.send(journal.append(&group(10, 20))).unwrap());
            let appended = appended.recv_timeout(std::time::Duration::from_secs(30));
            pipe.write_all(&bytes).unwrap();
            drop(pipe);
            appended.expect("it does not wait").unwrap();
            assert_eq!(reader.join().unwrap().len(), 3, "what there was when it began");
        });
        let newer = journal.transitions_from((LogPosition(10), 0), 99).unwrap().unwrap();
        assert_eq!(newer.len(), 3);
    }

    #[test]
    fn files_go_when_they_are_passed() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::create(dir.path()).unwrap();
        let mut big = group(0, 10);
        big.transitions[0].alert.summary = "x".repeat(9 << 20);
        journal.append(&big).unwrap();
        journal.append(&group(10, 20)).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
        journal.trim(LogPosition(9)).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
        assert!(journal.transitions_from((LogPosition(5), 0), 9).unwrap().is_some());
        journal.trim(LogPosition(10)).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert_eq!(journal.transitions_from((LogPosition(5), 0), 9).unwrap(), None, "not silently");
        assert!(journal.transitions_from((LogPosition(10), 0), 9).unwrap().is_some());
        assert_eq!(journal.read(LogPosition(0), LogPosition(20)).unwrap().transitions.len(), 3);
        Journal::create(dir.path()).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "it begins empty");
    }
}
