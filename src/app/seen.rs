//! What a data directory remembers of its database, so that an older copy of one is noticed.
//!
//! New positions must lie beyond those that the database has. A start that reaches the database
//! moves the log beyond them; a start without it cannot know. So:
//!
//! - A directory that never saw its database, or that is a copy (its files are others than those
//!   that were noted), waits for the database once.
//! - Else it may go on alone, and notes from where. The database cannot have gone further while
//!   nobody wrote to it. If it has all the same, the directory is an older copy (a disk's snapshot
//!   shows no other trace): what was received since lies at positions that mean something else
//!   there, and nothing is written.

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bellwire_model::{LogId, LogPosition};

/// The file, in the data directory.
const FILE: &str = "initialised";

/// Whether the service may start without the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boot {
    /// It must have answered first.
    First,
    /// It may come later.
    Later,
}

/// Why the service must not go on.
#[derive(Debug, thiserror::Error)]
pub enum SeenError {
    /// The database is further than this directory can have brought it.
    #[error(
        "the database is at {database}, but this data directory went on without it at \
         {alone_since}: it is an older copy, and what it received since is in its log only; \
         docs/guides/backup.md#an-older-data-directory says what to do"
    )]
    OlderCopy {
        /// Where the database is.
        database: LogPosition,
        /// From where on the log was written without it.
        alone_since: LogPosition,
    },
    /// It cannot be noted.
    #[error("cannot write {path}")]
    Note {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// What a data directory remembers of its database.
#[derive(Debug)]
pub struct Seen {
    path: PathBuf,
    log: LogId,
    /// Which file the log's `meta` is: a copy is another.
    inode: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    boot: Boot,
    alone_since: Option<LogPosition>,
    /// Where the database was when it answered in this run.
    database: Option<LogPosition>,
}

impl Seen {
    /// Reads it. The log is open, and nothing has been added to it yet.
    ///
    /// # Errors
    /// If the log's `meta` file cannot be looked at.
    pub fn open(data_dir: &Path, log: LogId) -> std::io::Result<Self> {
        let inode = std::fs::metadata(data_dir.join("log/meta"))?.ino();
        let path = data_dir.join(FILE);
        let noted = std::fs::read_to_string(&path).ok().and_then(|text| parse(&text));
        let state = match noted {
            Some((noted_log, noted_inode, alone_since))
                if noted_log == log && noted_inode == inode =>
            {
                State { boot: Boot::Later, alone_since, database: None }
            }
            _ => State { boot: Boot::First, alone_since: None, database: None },
        };
        Ok(Self { path, log, inode, state: Mutex::new(state) })
    }

    /// Whether the service may start without the database.
    #[must_use]
    pub fn boot(&self) -> Boot {
        self.state().boot
    }

    /// The database answers, and is at `database`: notes it.
    ///
    /// # Errors
    /// [`SeenError`]: then nothing may be written to it.
    pub fn database_at(&self, database: LogPosition) -> Result<(), SeenError> {
        let mut state = self.state();
        if let Some(alone_since) = state.alone_since.filter(|since| database > *since) {
            return Err(SeenError::OlderCopy { database, alone_since });
        }
        state.database = Some(database);
        if state.boot == Boot::First || state.alone_since.is_some() {
            state.alone_since = None;
            self.note(&state)?;
            state.boot = Boot::Later;
        }
        Ok(())
    }

    /// The log, which ends at `end`, goes on without the database. Gives where that is if it has
    /// answered meanwhile.
    ///
    /// # Errors
    /// If it cannot be noted; then it must not go on.
    pub fn go_alone(&self, end: LogPosition) -> Result<Option<LogPosition>, SeenError> {
        let mut state = self.state();
        if state.database.is_none() && state.alone_since.is_none() {
            state.alone_since = Some(end);
            self.note(&state)?;
        }
        Ok(state.database)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes it: all or nothing, durable on return.
    fn note(&self, state: &State) -> Result<(), SeenError> {
        self.write(state).map_err(|source| SeenError::Note { path: self.path.clone(), source })
    }

    fn write(&self, state: &State) -> std::io::Result<()> {
        let mut text = format!("log = {}\nmeta = {}\n", self.log, self.inode);
        if let Some(since) = state.alone_since {
            text += &format!("alone_since = {since}\n");
        }
        let temporary = self.path.with_extension("tmp");
        let mut file = std::fs::File::create(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&temporary, &self.path)?;
        let parent = self.path.parent().unwrap_or(Path::new("."));
        std::fs::File::open(parent)?.sync_all()
    }
}

/// The log, the inode of its meta file, and since when it is alone.
fn parse(text: &str) -> Option<(LogId, u64, Option<LogPosition>)> {
    let (mut log, mut inode, mut alone_since) = (None, None, None);
    for line in text.lines() {
        let (key, value) = line.split_once(" = ")?;
        match key {
            "log" => log = Some(value.parse().ok()?),
            "meta" => inode = Some(value.parse().ok()?),
            "alone_since" => alone_since = Some(LogPosition(value.parse().ok()?)),
            _ => return None,
        }
    }
    Some((log?, inode?, alone_since))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: LogId = LogId(7);

    fn data_dir() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("log")).unwrap();
        std::fs::write(dir.path().join("log/meta"), "bellwire log\n").unwrap();
        dir
    }

    fn open(dir: &Path) -> Seen {
        Seen::open(dir, LOG).unwrap()
    }

    const fn at(position: u64) -> LogPosition {
        LogPosition(position)
    }

    #[test]
    fn a_new_directory_waits_for_its_database_once() {
        let dir = data_dir();
        assert_eq!(open(dir.path()).boot(), Boot::First);
        open(dir.path()).database_at(at(0)).unwrap();
        assert_eq!(open(dir.path()).boot(), Boot::Later);
        assert_eq!(Seen::open(dir.path(), LogId(8)).unwrap().boot(), Boot::First);
    }

    #[test]
    fn a_copy_waits_for_the_database_again() {
        let dir = data_dir();
        open(dir.path()).database_at(at(50)).unwrap();
        open(dir.path()).go_alone(at(70)).unwrap();
        let copy = data_dir();
        std::fs::copy(dir.path().join(FILE), copy.path().join(FILE)).unwrap();
        assert_eq!(open(copy.path()).boot(), Boot::First);
        // Nothing was added to it since it was copied.
        open(copy.path()).database_at(at(900)).unwrap();
        assert_eq!(open(copy.path()).boot(), Boot::Later);
    }

    #[test]
    fn a_database_that_went_on_while_nobody_wrote_to_it_shows_an_older_copy() {
        let dir = data_dir();
        open(dir.path()).database_at(at(50)).unwrap();
        assert_eq!(open(dir.path()).go_alone(at(70)).unwrap(), None);
        assert_eq!(open(dir.path()).go_alone(at(95)).unwrap(), None, "the first one counts");
        for _also_again in 0..2 {
            let error = open(dir.path()).database_at(at(71)).unwrap_err();
            let SeenError::OlderCopy { database, alone_since } = error else { panic!("{error}") };
            assert_eq!((database, alone_since), (at(71), at(70)));
        }
        open(dir.path()).database_at(at(70)).unwrap();
        open(dir.path()).database_at(at(99)).unwrap();
    }

    #[test]
    fn a_database_that_answers_just_then_is_not_done_without() {
        let dir = data_dir();
        let seen = open(dir.path());
        seen.database_at(at(50)).unwrap();
        assert_eq!(seen.go_alone(at(20)).unwrap(), Some(at(50)));
        open(dir.path()).database_at(at(60)).unwrap();
    }
}
