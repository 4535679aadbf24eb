//! A disk whose syncs can be stopped: what was written since may be gone after a crash.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};

use bellwire_ingest::log::{Disk, OsDisk};
use bellwire_model::LogPosition;
use tempfile::TempDir;

use crate::dice::Dice;
use crate::gate::PATIENCE;

/// Where a segment's first frame begins in its file.
const FIRST_FRAME: u64 = 4096;

#[derive(Debug, Default)]
struct State {
    stopped: bool,
    n_waiting: usize,
}

/// Nothing is really synced: these crashes are copies, not power cuts.
#[derive(Debug, Default)]
pub(crate) struct SimDisk {
    state: Mutex<State>,
    changed: Condvar,
}

impl SimDisk {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// From now on a sync does not return until [`SimDisk::let_syncs_go`].
    pub(crate) fn stop_syncs(&self) {
        self.state.lock().expect("no panic").stopped = true;
    }

    pub(crate) fn let_syncs_go(&self) {
        self.state.lock().expect("no panic").stopped = false;
        self.changed.notify_all();
    }

    /// Waits until a sync waits.
    pub(crate) fn wait_for_sync(&self) {
        let state = self.state.lock().expect("no panic");
        let none = |state: &mut State| state.n_waiting == 0;
        let waited = self.changed.wait_timeout_while(state, PATIENCE, none).expect("no panic");
        assert!(!waited.1.timed_out(), "no sync has begun");
    }
}

impl Disk for SimDisk {
    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        OsDisk.write_at(file, bytes, offset)
    }

    fn sync_data(&self, _: &File) -> io::Result<()> {
        let mut state = self.state.lock().expect("no panic");
        state.n_waiting += 1;
        self.changed.notify_all();
        let mut state = self.changed.wait_while(state, |state| state.stopped).expect("no panic");
        state.n_waiting -= 1;
        Ok(())
    }

    fn allocate(&self, file: &File, bytes: u64) -> io::Result<()> {
        file.set_len(bytes)
    }

    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(u64::MAX)
    }
}

/// A folder in memory where there is one: snapshots are really synced.
pub(crate) fn temporary_dir() -> TempDir {
    let memory = Path::new("/dev/shm");
    let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    dir.expect("a temporary directory")
}

/// What lies in `dir` with this extension, by name.
pub(crate) fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let items = fs::read_dir(dir).expect("the directory is there");
    let paths = items.map(|item| item.expect("readable").path());
    let mut paths: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|found| found == extension)).collect();
    paths.sort();
    paths
}

/// The position in a file's name.
pub(crate) fn position_of(path: &Path) -> LogPosition {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).expect("a name");
    LogPosition(stem.parse().expect("a position"))
}

/// Copies a data directory as it is at an instant.
pub(crate) fn copy(from: &Path) -> TempDir {
    let to = temporary_dir();
    for folder in ["log", "snapshots"] {
        fs::create_dir(to.path().join(folder)).expect("created");
        while !copy_folder(&from.join(folder), &to.path().join(folder)) {
            fs::remove_dir_all(to.path().join(folder)).expect("removed");
            fs::create_dir(to.path().join(folder)).expect("created");
        }
    }
    to
}

/// Copies what lies in a folder; false if names came or went meanwhile: no crash leaves that.
fn copy_folder(from: &Path, to: &Path) -> bool {
    let names = |dir: &Path| -> BTreeSet<_> {
        let items = fs::read_dir(dir).expect("the directory is there");
        items.map(|item| item.expect("readable").file_name()).collect()
    };
    let before = names(from);
    for name in &before {
        if let Err(error) = fs::copy(from.join(name), to.join(name)) {
            assert_eq!(error.kind(), io::ErrorKind::NotFound, "{error}");
            return false;
        }
    }
    names(from) == before
}

/// Puts a snapshot that was written after the copy into it as a crash may leave it: not renamed
/// yet, and whole or not. Gives whether there was one.
pub(crate) fn leave_unfinished(from: &Path, copy: &Path, dice: &mut Dice) -> bool {
    let (from, to) = (from.join("snapshots"), copy.join("snapshots"));
    let Some(newest) = files(&from, "snapshot").pop() else { return false };
    let name = newest.file_name().expect("a name");
    if to.join(name).exists() {
        return false;
    }
    let bytes = fs::read(&newest).expect("readable");
    let n_bytes = if dice.percent(50) { bytes.len() } else { dice.index(bytes.len()) };
    fs::write(to.join(name).with_extension("tmp"), &bytes[..n_bytes]).expect("written");
    true
}

/// Spoils what lies behind `durable` in the last segment: cut anywhere, with rubbish or not.
pub(crate) fn spoil_tail(log_dir: &Path, durable: LogPosition, dice: &mut Dice) {
    let segments = files(log_dir, "seg");
    let Some(path) = segments.iter().rfind(|path| position_of(path) <= durable) else { return };
    let offset = FIRST_FRAME + (durable.0 - position_of(path).0);
    let bytes = fs::read(path).expect("readable");
    let start = usize::try_from(offset).expect("a small file");
    let dirty = bytes[start..].iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    let cut = dice.index(dirty + 1);
    let filler = dice.pick(&[0, 0, 0xff]);
    let file = File::options().write(true).open(path).expect("writable");
    file.write_all_at(&vec![filler; dirty - cut], offset + cut as u64).expect("written");
}
