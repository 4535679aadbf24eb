//! What must not be forgotten, as a file: how far alerts were read, and what was told of them.
//!
//! The file is replaced as a whole and synced before its new name: after a crash at any instant it is
//! the one before or the one after.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use bellwire_model::{LogId, LogPosition};

/// What the file begins with: its format's name and version.
const MAGIC: &[u8; 8] = b"BWOUT\x00\x00\x01";
const HEAD_BYTES: usize = 8 + 16 + 8 + 4 + 4;

/// The file's name.
const NAME: &str = "state";

/// How far the alerts of a log were read: the first place that was not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// Which log.
    pub(crate) log: LogId,
    /// The record.
    pub(crate) position: LogPosition,
    /// Which of its transitions, from 0.
    pub(crate) ordinal: u32,
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// The folder or a file in it cannot be used.
    #[error("failed at {path}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is damaged, or another version wrote it.
    #[error("{path} is damaged or from another version")]
    Damaged {
        /// Which.
        path: PathBuf,
    },
}

/// The folder with everything about messages.
#[derive(Clone, Debug)]
pub(crate) struct Outbox {
    dir: PathBuf,
}

impl Outbox {
    /// Makes the folder, for its owner only, if it is not there.
    ///
    /// # Errors
    /// If it cannot be made.
    pub(crate) fn open(dir: &Path) -> Result<Self, OutboxError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.map_err(|source| OutboxError::Io { path: dir.to_owned(), source })?;
        Ok(Self { dir: dir.to_owned() })
    }

    /// The folder.
    #[must_use]
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    fn path(&self) -> PathBuf {
        self.dir.join(NAME)
    }

    /// What was written last; `None` if nothing was.
    ///
    /// # Errors
    /// If it cannot be read, or is damaged.
    pub(crate) fn read(&self) -> Result<Option<(Cursor, Vec<u8>)>, OutboxError> {
        let path = self.path();
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(OutboxError::Io { path, source }),
        };
        parse(&bytes).map(Some).ok_or(OutboxError::Damaged { path })
    }

    /// Writes how it is now; it is on disk when this returns.
    ///
    /// # Errors
    /// If it cannot be written: then the one before stands.
    pub(crate) fn write(&self, cursor: Cursor, image: &[u8]) -> Result<(), OutboxError> {
        let path = self.path();
        let partial = self.dir.join("state.new");
        let written = || -> io::Result<()> {
            let mut file = File::create(&partial)?;
            file.write_all(&head(cursor, image))?;
            file.write_all(image)?;
            file.sync_data()?;
            fs::rename(&partial, &path)?;
            File::open(&self.dir)?.sync_all()
        };
        written().map_err(|source| OutboxError::Io { path: path.clone(), source })
    }

    /// Puts what is there out of the way, for a person to look at.
    ///
    /// # Errors
    /// If it cannot be renamed.
    pub(crate) fn set_aside(&self) -> Result<PathBuf, OutboxError> {
        let (path, aside) = (self.path(), self.dir.join("state.damaged"));
        let renamed = fs::rename(&path, &aside);
        renamed.map_err(|source| OutboxError::Io { path, source })?;
        Ok(aside)
    }

    /// Forgets everything that was told, if anything was.
    ///
    /// # Errors
    /// If the file is there and cannot be removed.
    pub(crate) fn forget(dir: &Path) -> Result<(), OutboxError> {
        let path = dir.join(NAME);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(OutboxError::Io { path, source: error })
            }
            _ => Ok(()),
        }
    }
}

fn head(cursor: Cursor, image: &[u8]) -> Vec<u8> {
    let mut head = Vec::with_capacity(HEAD_BYTES);
    head.extend_from_slice(MAGIC);
    head.extend_from_slice(&cursor.log.0.to_le_bytes());
    head.extend_from_slice(&cursor.position.0.to_le_bytes());
    head.extend_from_slice(&cursor.ordinal.to_le_bytes());
    let mut crc = crc32fast::Hasher::new();
    crc.update(&head);
    crc.update(image);
    head.extend_from_slice(&crc.finalize().to_le_bytes());
    head
}

fn parse(bytes: &[u8]) -> Option<(Cursor, Vec<u8>)> {
    let (head_bytes, image) = bytes.split_at_checked(HEAD_BYTES)?;
    let cursor = Cursor {
        log: LogId(u128::from_le_bytes(head_bytes[8..24].try_into().ok()?)),
        position: LogPosition(u64::from_le_bytes(head_bytes[24..32].try_into().ok()?)),
        ordinal: u32::from_le_bytes(head_bytes[32..36].try_into().ok()?),
    };
    (head(cursor, image) == head_bytes).then(|| (cursor, image.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back_and_damage_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let outbox = Outbox::open(&dir.path().join("outbox")).unwrap();
        assert!(outbox.read().unwrap().is_none());
        let cursor = Cursor { log: LogId(7), position: LogPosition(40), ordinal: 3 };
        outbox.write(cursor, b"first").unwrap();
        outbox.write(cursor, b"second").unwrap();
        assert_eq!(outbox.read().unwrap(), Some((cursor, b"second".to_vec())));
        let mut bytes = fs::read(outbox.path()).unwrap();
        for place in 0..bytes.len() {
            bytes[place] ^= 1;
            fs::write(outbox.path(), &bytes).unwrap();
            assert!(outbox.read().is_err(), "byte {place}");
            bytes[place] ^= 1;
        }
        fs::write(outbox.path(), &bytes[..20]).unwrap();
        assert!(outbox.read().is_err());
        outbox.set_aside().unwrap();
        assert!(outbox.read().unwrap().is_none());
        Outbox::forget(outbox.dir()).unwrap();
    }
}
