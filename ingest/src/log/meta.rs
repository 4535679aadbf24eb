//! The log's identity on disk, and the lock that keeps a second process out.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use bellwire_model::LogId;

use super::disk::sync_dir;
use super::error::Error;
use super::segment::FORMAT;

const FILE: &str = "meta";
const LOCK: &str = "lock";
const TITLE: &str = "bellwire log";

/// What the meta file says. The number of partitions is frozen at 1: one log, in total order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) log: LogId,
}

impl Meta {
    /// A new log's: the id is random.
    pub(super) fn random() -> Result<Self, Error> {
        let path = Path::new("/dev/urandom");
        let mut bytes = [0; 16];
        let mut random = File::open(path).map_err(Error::io("open", path))?;
        random.read_exact(&mut bytes).map_err(Error::io("read", path))?;
        Ok(Self { log: LogId(u128::from_le_bytes(bytes)) })
    }

    /// Reads the meta file in `dir`; `None` if there is none.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::BadMeta`], [`Error::TooNew`].
    pub(super) fn read(dir: &Path) -> Result<Option<Self>, Error> {
        let path = dir.join(FILE);
        match fs::read(&path) {
            Ok(bytes) => parse(&bytes, &path).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("read", &path)(error)),
        }
    }

    /// Writes the meta file: all of it or nothing, durable on return.
    pub(super) fn write(&self, dir: &Path) -> Result<(), Error> {
        let (path, temporary) = (dir.join(FILE), dir.join("meta.tmp"));
        let text = format!("{TITLE}\nformat = {FORMAT}\nid = {}\npartitions = 1\n", self.log);
        let mut file = File::create(&temporary).map_err(Error::io("create", &temporary))?;
        file.write_all(text.as_bytes()).map_err(Error::io("write", &temporary))?;
        file.sync_all().map_err(Error::io("sync", &temporary))?;
        fs::rename(&temporary, &path).map_err(Error::io("rename", &temporary))?;
        sync_dir(dir).map_err(Error::io("sync", dir))
    }
}

fn parse(bytes: &[u8], path: &Path) -> Result<Meta, Error> {
    let bad = |detail: String| Error::BadMeta { path: path.to_owned(), detail };
    let text = std::str::from_utf8(bytes).map_err(|_| bad("it is not text".into()))?;
    let mut lines = text.lines();
    if lines.next() != Some(TITLE) {
        return Err(bad(format!("its first line is not `{TITLE}`")));
    }
    let mut value = |key: &str| {
        let line = lines.next().and_then(|line| line.split_once(" = "));
        let value = line.filter(|(name, _)| *name == key).map(|(_, value)| value);
        value.ok_or_else(|| bad(format!("`{key}` is missing")))
    };
    let found = value("format")?.parse().map_err(|_| bad("`format` is no number".into()))?;
    if found > FORMAT {
        return Err(Error::TooNew { path: path.to_owned(), found, known: FORMAT });
    }
    let log = value("id")?.parse().map_err(|_| bad("`id` is not 32 hexadecimal digits".into()))?;
    match value("partitions")? {
        "1" => Ok(Meta { log }),
        other => Err(bad(format!("{other} partitions, this version reads logs of one"))),
    }
}

/// The right to use a log's directory, until it is dropped: whoever has it is the only one that
/// writes the log, and the managed database beside it.
#[derive(Debug)]
pub struct Lock {
    /// `flock` belongs to the open file: the kernel lets go of it when the process ends.
    _file: File,
}

impl Lock {
    /// Takes it; `dir` must be there.
    ///
    /// # Errors
    /// [`Error::Locked`] if someone has it, [`Error::Io`].
    pub fn take(dir: &Path) -> Result<Self, Error> {
        let path: PathBuf = dir.join(LOCK);
        let mut options = File::options();
        let file = options.create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(Error::io("open", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(Error::Locked { dir: dir.to_owned() }),
            Err(TryLockError::Error(error)) => Err(Error::io("lock", &path)(error)),
        }
    }

    /// Whether someone has it. Leaves nothing behind.
    #[must_use]
    pub fn is_taken(dir: &Path) -> bool {
        // Shared and for an instant: two who look do not see each other.
        File::open(dir.join(LOCK))
            .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meta_reads_back() {
        let dir = tempfile::tempdir().expect("temporary directory");
        assert_eq!(Meta::read(dir.path()).expect("nothing there"), None);
        let meta = Meta::random().expect("random bytes");
        meta.write(dir.path()).expect("write");
        assert_eq!(Meta::read(dir.path()).expect("as written"), Some(meta));
        assert_ne!(Meta::random().expect("random bytes"), meta);
    }

    #[test]
    fn what_is_no_meta_file_is_named() {
        for (text, said) in [
            ("", "its first line is not `bellwire log`"),
            ("bellwire log\n", "`format` is missing"),
            ("bellwire log\nformat = x\n", "`format` is no number"),
            ("bellwire log\nformat = 2\n", "has log format 2"),
            ("bellwire log\nformat = 1\nid = 12\n", "`id` is not 32 hexadecimal digits"),
            (
                "bellwire log\nformat = 1\nid = 000000000000000000000000000000ab\npartitions = 4\n",
                "4 partitions",
            ),
        ] {
            let error = parse(text.as_bytes(), Path::new("meta")).expect_err("wrong").to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
