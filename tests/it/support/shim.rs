//! Starts a process on a disk that is slow, fails to sync, or is full: `tests/it/shim` preloaded.
//!
//! Works on Linux with a C compiler; the program must call its libc dynamically, as ours does.

use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::time::Duration;
use std::{env, fs};

/// What is wrong with the disk, for the files below one folder.
#[derive(Debug)]
pub(crate) struct BadDisk {
    library: PathBuf,
    dir: PathBuf,
    sync_delay: Duration,
    fail_when: Option<PathBuf>,
    full_when: Option<PathBuf>,
}

impl BadDisk {
    /// A disk with nothing wrong yet below `dir`, for processes that start when it exists.
    /// Everything elsewhere is left alone, so that a child PostgreSQL is not concerned.
    ///
    /// # Panics
    /// If the shim cannot be compiled: there must be a C compiler, `cc`.
    pub(crate) fn below(dir: &Path) -> Self {
        Self {
            library: compile(Path::new(env!("CARGO_TARGET_TMPDIR"))),
            dir: dir.to_owned(),
            sync_delay: Duration::ZERO,
            fail_when: None,
            full_when: None,
        }
    }

    /// With a copy of the shim in `folder`, for children that run as a user who may not enter ours.
    pub(crate) fn for_others_in(mut self, folder: &Path) -> Self {
        let copy = folder.join("shim.so");
        fs::copy(&self.library, &copy).expect("the test's folder can be written to");
        self.library = copy;
        self
    }

    /// Each fsync and fdatasync takes this much longer, to the millisecond.
    pub(crate) fn sync_delay(mut self, delay: Duration) -> Self {
        self.sync_delay = delay;
        self
    }

    /// While `file` exists, fsync and fdatasync fail with EIO and sync nothing.
    pub(crate) fn fails_while(mut self, file: &Path) -> Self {
        self.fail_when = Some(file.to_owned());
        self
    }

    /// While `file` exists, writing and allocating fail with ENOSPC.
    pub(crate) fn full_while(mut self, file: &Path) -> Self {
        self.full_when = Some(file.to_owned());
        self
    }

    /// Lets the process that `command` will start, and its children, have this disk.
    pub(crate) fn for_command<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let switches = [("SHIM_FAIL_WHEN", &self.fail_when), ("SHIM_FULL_WHEN", &self.full_when)];
        for (name, file) in switches {
            if let Some(file) = file {
                command.env(name, file);
            }
        }
        command
            .env("LD_PRELOAD", &self.library)
            .env("SHIM_DIR", &self.dir)
            .env("SHIM_DELAY_MS", self.sync_delay.as_millis().to_string())
    }
}

/// Compiles the shim into `folder`, unless this version of it is there. Tests run as processes of
/// their own at once: each compiles under a name of its own, and a rename is atomic.
fn compile(folder: &Path) -> PathBuf {
    const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/shim/fdatasync.c");
    let version = fs::metadata(SOURCE)
        .and_then(|source| source.modified())
        .ok()
        .and_then(|modified| modified.duration_since(std::time::UNIX_EPOCH).ok())
        .expect("the shim's source is here and has a date");
    let library = folder.join(format!("libshim-{}.so", version.as_nanos()));
    if library.is_file() {
        return library;
    }
    let mine = folder.join(format!("libshim-{}.tmp", process::id()));
    let compiler = env::var_os("CC").unwrap_or_else(|| "cc".into());
    let output = Command::new(&compiler)
        .args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o"])
        .arg(&mine)
        .args([SOURCE, "-ldl"])
        .output()
        .unwrap_or_else(|error| panic!("needs a C compiler, {compiler:?}: {error}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::rename(&mine, &library).expect("the target folder can be written to");
    library
}
