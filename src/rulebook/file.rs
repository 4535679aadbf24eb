//! The file of all versions: lines are added at its end, and it is written anew when much of it is past.
//!
//! A line that has no end, or zeros in it, was cut off by a crash before it was answered for: it goes.
//! Anything else that is not as it was written is damage, and nothing starts on a guess.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use bellwire_model::RuleName;

use super::history::History;
use super::line::{self, Text};
use super::{Deed, Version};

/// Its name in the data directory, and in a backup.
pub(crate) const NAME: &str = "rules.history";
const HEAD: &str = "bellwire rules 1\n";
/// It is written anew when this much of it, and half, is past.
const WASTE_BYTES_MIN: u64 = 1 << 20;

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HistoryFileError {
    /// The disk does not do it.
    #[error("cannot {what} {path}")]
    Io {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// It is not as it was written.
    #[error(
        "the rules made by API are damaged: line {line} of {path} is not as it was written; bring \
         the file back from a backup"
    )]
    Damaged { path: PathBuf, line: usize },
    /// Another version of this program wrote it.
    #[error(
        "{path} does not begin as this version writes it: it is from another version, or damaged"
    )]
    Head { path: PathBuf },
    /// A write failed before; what is on disk is not known.
    #[error("an earlier change of {path} failed; the service must be started again")]
    Broken { path: PathBuf },
}

/// The file, open for what is added.
#[derive(Debug)]
pub(crate) struct HistoryFile {
    path: PathBuf,
    file: File,
    n_bytes: u64,
    /// About how much of it is past.
    waste_bytes: u64,
    /// Of the last version in it: later ones have higher numbers.
    last_seq: u64,
    state: State,
}

/// Whether it is known what is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Sound,
    Broken,
}

/// What was found at a start.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) file: HistoryFile,
    pub(crate) history: History,
    /// Whether the last line was cut off by a crash, and is gone.
    pub(crate) torn_bytes: usize,
}

impl HistoryFile {
    /// Opens the file in `data_dir`, or makes it, and reads all of it.
    ///
    /// # Errors
    /// [`HistoryFileError`].
    pub(crate) fn open(data_dir: &Path) -> Result<Opened, HistoryFileError> {
        let path = data_dir.join(NAME);
        let failed = |what, path: &Path| {
            let path = path.to_owned();
            move |source| HistoryFileError::Io { what, path, source }
        };
        match fs::read(&path) {
            Ok(bytes) => {
                let (history, whole) = read(&path, &bytes)?;
                let torn_bytes = bytes.len() - whole;
                let file = OpenOptions::new().write(true).open(&path);
                let mut file = file.map_err(failed("write", &path))?;
                if torn_bytes > 0 {
                    file.set_len(whole as u64)
                        .and_then(|()| file.sync_all())
                        .map_err(failed("write", &path))?;
                }
                file.seek(SeekFrom::End(0)).map_err(failed("write", &path))?;
                let n_bytes = whole as u64;
                let last_seq = history.next("").0 - 1;
                let file =
                    Self { path, file, n_bytes, waste_bytes: 0, last_seq, state: State::Sound };
                let mut opened = Opened { file, history, torn_bytes };
                let kept_bytes = HEAD.len() + body(&opened.history).len();
                opened.file.waste_bytes = n_bytes.saturating_sub(kept_bytes as u64);
                Ok(opened)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let history = History::default();
                let (file, n_bytes) = write_new(&path, &history).map_err(failed("make", &path))?;
                let (waste_bytes, last_seq, state) = (0, 0, State::Sound);
                let file = Self { path, file, n_bytes, waste_bytes, last_seq, state };
                Ok(Opened { file, history, torn_bytes: 0 })
            }
            Err(error) => Err(failed("read", &path)(error)),
        }
    }

    /// Adds a version to the file. Durable when it returns; the caller adds it to the history.
    ///
    /// # Errors
    /// [`HistoryFileError`]; then it is not there, or the file takes no more.
    pub(crate) fn append(
        &mut self,
        rule: &RuleName,
        version: &Version,
        text: Text,
    ) -> Result<(), HistoryFileError> {
        if self.state == State::Broken || version.seq <= self.last_seq {
            return Err(HistoryFileError::Broken { path: self.path.clone() });
        }
        let line = line::encode(rule, version, text);
        // After a failed fsync nobody knows what is on disk: only reading it again tells.
        let written = match self.file.write_all(line.as_bytes()) {
            Ok(()) => self.file.sync_data().inspect_err(|_| self.state = State::Broken),
            Err(error) => {
                self.take_back();
                Err(error)
            }
        };
        written.map_err(|source| HistoryFileError::Io {
            what: "write",
            path: self.path.clone(),
            source,
        })?;
        (self.n_bytes, self.last_seq) = (self.n_bytes + line.len() as u64, version.seq);
        Ok(())
    }

    /// Takes away what a failed write has left.
    fn take_back(&mut self) {
        let undone = self.file.set_len(self.n_bytes);
        let undone = undone.and_then(|()| self.file.seek(SeekFrom::Start(self.n_bytes)));
        if undone.and_then(|_| self.file.sync_data()).is_err() {
            self.state = State::Broken;
        }
    }

    /// Writes the file anew if much of it is past, after `n_gone` versions have gone.
    ///
    /// # Errors
    /// If the disk does not take it; the file is as it was.
    pub(crate) fn tidy(
        &mut self,
        history: &History,
        n_gone: usize,
    ) -> Result<(), HistoryFileError> {
        // Exact enough: a version that goes is as long as most that stay.
        let n_lines = history.n_versions().max(1) as u64;
        self.waste_bytes += n_gone as u64 * (self.n_bytes / n_lines);
        if self.waste_bytes < WASTE_BYTES_MIN || self.waste_bytes < self.n_bytes / 2 {
            return Ok(());
        }
        let (file, n_bytes) = write_new(&self.path, history).map_err(|source| {
            HistoryFileError::Io { what: "write", path: self.path.clone(), source }
        })?;
        (self.file, self.n_bytes, self.waste_bytes) = (file, n_bytes, 0);
        Ok(())
    }
}

/// All versions, and how many bytes are whole lines.
fn read(path: &Path, bytes: &[u8]) -> Result<(History, usize), HistoryFileError> {
    let Some(mut rest) = bytes.strip_prefix(HEAD.as_bytes()) else {
        return Err(HistoryFileError::Head { path: path.to_owned() });
    };
    let (mut history, mut last_seq) = (History::default(), 0);
    let mut number = 1;
    while !rest.is_empty() {
        number += 1;
        let end = rest.iter().position(|byte| *byte == b'\n');
        let line = &rest[..end.unwrap_or(rest.len())];
        let is_last = end.is_none_or(|end| end + 1 == rest.len());
        if is_last && (end.is_none() || line.contains(&0)) {
            break;
        }
        let version = line::decode(line).and_then(|(rule, version)| {
            let version = completed(&history, &rule, version)?;
            (version.seq > last_seq).then_some((rule, version))
        });
        let Some((rule, version)) = version else {
            return Err(HistoryFileError::Damaged { path: path.to_owned(), line: number });
        };
        last_seq = version.seq;
        history.push(&rule, version);
        rest = &rest[line.len() + 1..];
    }
    Ok((history, bytes.len() - rest.len()))
}

/// With the text of the version before, where the line does not repeat it.
fn completed(history: &History, rule: &RuleName, version: Version) -> Option<Version> {
    if version.toml.is_some() || version.deed == Deed::Delete {
        return Some(version);
    }
    let before = history.last(rule.as_str())?;
    Some(Version { toml: Some(before.toml.clone()?), ..version })
}

/// Whether the text has to be written behind `before`, the version before.
pub(crate) fn text_behind(before: Option<&Version>, version: &Version) -> Text {
    match before {
        Some(before) if before.toml == version.toml => Text::AsBefore,
        _ => Text::Written,
    }
}

/// All lines.
fn body(history: &History) -> String {
    let mut lines = String::new();
    for (rule, version) in history.in_order() {
        let before = version.number.checked_sub(1);
        let before = before.and_then(|before| history.version(rule.as_str(), before));
        lines += &line::encode(rule, version, text_behind(before, version));
    }
    lines
}

/// Writes it as a whole, in place of what is there; the file, open at its end, and how long it is.
fn write_new(path: &Path, history: &History) -> io::Result<(File, u64)> {
    let fresh = path.with_extension("history.new");
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
    let lines = body(history);
    file.write_all(HEAD.as_bytes())?;
    file.write_all(lines.as_bytes())?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()?;
    Ok((file, (HEAD.len() + lines.len()) as u64))
}

#[cfg(test)]
mod tests;
