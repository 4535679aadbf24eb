//! The managed server's files: where they lie, how they are made, what its settings are.

use std::collections::hash_map::RandomState;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;
use tracing::{debug, info};

use super::binaries::Binaries;
use super::door::Door;
use super::user::{ServerUser, effective_uid};
use crate::Error;

/// The server's superuser and its one database.
pub(crate) const NAME: &str = "bellwire";

/// The longest socket folder: the socket's whole path must fit in 107 bytes.
const SOCKET_DIR_BYTES_MAX: usize = 88;

/// A log longer than this is put aside when the server starts.
const LOG_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What the extension of a cluster that is being made begins with.
const NEW: &str = "new";

/// Where the server's files lie.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// The cluster, `PGDATA`.
    pub(crate) cluster: PathBuf,
    /// Where its Unix socket lies.
    pub(crate) socket_dir: PathBuf,
    /// What it says.
    pub(crate) log: PathBuf,
}

fn files(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_path_buf();
    move |source| Error::Files { doing, path, source }
}

impl Layout {
    /// The layout in `data_dir`, which is made if it is missing.
    pub(crate) fn in_data_dir(data_dir: &Path) -> Result<Self, Error> {
        fs::create_dir_all(data_dir).map_err(files("creating", data_dir))?;
        let data_dir = data_dir.canonicalize().map_err(files("resolving", data_dir))?;
        let cluster = data_dir.join("postgres");
        Ok(Self { socket_dir: socket_dir(&cluster), log: data_dir.join("postgres.log"), cluster })
    }

    /// The major version that made the cluster; `None`: there is none yet.
    pub(crate) fn major(&self) -> Option<u32> {
        cluster_major(&self.cluster)
    }

    /// Makes the cluster. It appears under its name only when it is complete; before, it has a name
    /// that no other attempt has: an `initdb` outlives a `kill -9` of ours, and still writes.
    pub(crate) async fn init(
        &self,
        binaries: &Binaries,
        user: Option<&ServerUser>,
    ) -> Result<(), Error> {
        let random = RandomState::new().build_hasher().finish();
        let new = self.cluster.with_extension(format!("{NEW}{random:016x}"));
        private_dir(&new, user)?;
        // C.UTF-8 knows letters of all languages; where it is missing, C serves.
        let mut last_line = String::new();
        for locale in ["C.UTF-8", "C"] {
            let mut initdb = Command::new(binaries.program("initdb"));
            initdb.args([
                "--username",
                NAME,
                "--auth=trust",
                "--encoding=UTF8",
                "--locale",
                locale,
            ]);
            initdb.arg("--pgdata").arg(&new).current_dir("/").stdin(Stdio::null());
            if let Some(user) = user {
                user.run(&mut initdb);
            }
            let output =
                initdb.output().await.map_err(files("running", &binaries.program("initdb")))?;
            if output.status.success() {
                append_includes(&new).map_err(files("writing settings in", &new))?;
                fs::rename(&new, &self.cluster).map_err(files("creating", &self.cluster))?;
                sync_parent(&self.cluster).map_err(files("syncing", &self.cluster))?;
                info!(cluster = %self.cluster.display(), "Made a PostgreSQL cluster in the data directory.");
                return Ok(());
            }
            last_line = last_line_of(&output.stderr);
        }
        Err(Error::Init { last_line })
    }

    /// Removes what attempts to make a cluster have left. One that is still written to stays until
    /// the next start.
    fn remove_leftovers(&self) {
        let Some(entries) = self.cluster.parent().and_then(|dir| fs::read_dir(dir).ok()) else {
            return;
        };
        for path in entries.flatten().map(|entry| entry.path()) {
            let extension = path.extension().unwrap_or_default().to_string_lossy();
            let is_attempt =
                path.file_stem() == self.cluster.file_name() && extension.starts_with(NEW);
            if is_attempt && let Err(error) = fs::remove_dir_all(&path) {
                debug!(%error, "Failed to remove `{}` yet.", path.display());
            }
        }
    }

    /// Writes our settings and makes the socket's folder, before each start.
    pub(crate) fn prepare(
        &self,
        binaries: &Binaries,
        user: Option<&ServerUser>,
        door: Option<&Door>,
        extra: &str,
    ) -> Result<(), Error> {
        self.remove_leftovers();
        let mut text = SETTINGS.replace("{socket_dir}", &quoted(&self.socket_dir));
        if binaries.have_timescale() {
            text.push_str("shared_preload_libraries = 'timescaledb'\n");
            text.push_str("timescaledb.telemetry_level = off\n");
        }
        if let Some(door) = door {
            let hba = self.cluster.join("bellwire_hba.conf");
            text.push_str(&door.settings(&hba));
            replace(&hba, &door.hba()).map_err(files("writing", &hba))?;
        }
        text.push_str(extra);
        let path = self.cluster.join("bellwire.conf");
        replace(&path, &text).map_err(files("writing", &path))?;
        private_dir(&self.socket_dir, user)
    }

    /// After a stop: what lies outside the data directory does not stay.
    pub(crate) fn remove_outer_socket_dir(&self) {
        if !self.socket_dir.starts_with(&self.cluster) {
            // Empty after a clean stop; if it is not, the next start uses it again.
            let _ = fs::remove_dir(&self.socket_dir);
        }
    }

    /// Opens the log to append, and tells how long it is.
    pub(crate) fn open_log(&self) -> Result<(File, u64), Error> {
        let failed = || files("opening", &self.log);
        if fs::metadata(&self.log).is_ok_and(|log| log.len() > LOG_BYTES_MAX) {
            fs::rename(&self.log, self.log.with_extension("log.1")).map_err(failed())?;
        }
        let log = OpenOptions::new().create(true).append(true).open(&self.log).map_err(failed())?;
        let length = log.metadata().map_err(failed())?.len();
        Ok((log, length))
    }

    /// The last line that explains an end, among those after the first `skip` bytes of the log.
    pub(crate) fn last_words(&self, skip: u64) -> String {
        let read = || -> io::Result<Vec<u8>> {
            let mut log = File::open(&self.log)?;
            log.seek(SeekFrom::Start(skip))?;
            let mut text = Vec::new();
            log.take(1024 * 1024).read_to_end(&mut text)?;
            Ok(text)
        };
        read().map_or_else(|error| error.to_string(), |text| last_line_of(&text))
    }
}

/// The major version that made the cluster; `None`: there is none.
pub(crate) fn cluster_major(cluster: &Path) -> Option<u32> {
    fs::read_to_string(cluster.join("PG_VERSION")).ok()?.trim().parse().ok()
}

/// The last FATAL or PANIC line of `text`, from that word on; else its last line.
pub(crate) fn last_line_of(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let lines = || text.lines().rev().map(str::trim).filter(|line| !line.is_empty());
    let fatal = lines().find_map(|line| {
        let begin = line.find("FATAL:").or_else(|| line.find("PANIC:"))?;
        line.get(begin..)
    });
    fatal.or_else(|| lines().next()).unwrap_or("it said nothing").to_owned()
}

/// In the cluster, or where that path is too long for a socket, in `/tmp` under a name that stays.
fn socket_dir(cluster: &Path) -> PathBuf {
    let inside = cluster.join("run");
    if inside.as_os_str().len() <= SOCKET_DIR_BYTES_MAX {
        return inside;
    }
    // FNV-1a: the name must be the same after a restart, to find a server that outlived us.
    let hash =
        cluster.as_os_str().as_bytes().iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
    PathBuf::from(format!("/tmp/bellwire-{}-{hash:016x}", effective_uid()))
}

/// Makes `dir`, open to the server's user only; one that exists must be that user's.
fn private_dir(dir: &Path, user: Option<&ServerUser>) -> Result<(), Error> {
    let failed = || files("creating", dir);
    match DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => match user {
            Some(user) => user.own(dir).map_err(failed()),
            None => Ok(()),
        },
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let metadata = fs::symlink_metadata(dir).map_err(failed())?;
            let owner = user.map_or_else(effective_uid, ServerUser::uid);
            // In /tmp anybody could have been first.
            let closed = metadata.is_dir() && metadata.mode() & 0o077 == 0;
            match user {
                _ if !closed => Err(failed()(error)),
                _ if metadata.uid() == owner => Ok(()),
                // We were killed before it was given away.
                Some(user) if metadata.uid() == effective_uid() => user.own(dir).map_err(failed()),
                _ => Err(failed()(error)),
            }
        }
        Err(error) => Err(failed()(error)),
    }
}

/// Ours, then the operator's, which win.
fn append_includes(cluster: &Path) -> io::Result<()> {
    use std::io::Write;
    let mut conf = OpenOptions::new().append(true).open(cluster.join("postgresql.conf"))?;
    conf.write_all(
        b"\n# Written by Bellwire at each start; put settings of your own into local.conf.\n\
          include = 'bellwire.conf'\n\
          include_if_exists = 'local.conf'\n",
    )?;
    conf.sync_all()
}

/// Makes `text` the contents of the file at `path`, or leaves it as it is: on a full disk, what
/// was there before must still start a server.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    if fs::read_to_string(path).is_ok_and(|before| before == text) {
        return Ok(());
    }
    let new = path.with_extension("conf.new");
    fs::write(&new, text)?;
    fs::set_permissions(&new, fs::Permissions::from_mode(0o644))?;
    fs::rename(&new, path)
}

/// Makes the name of `path` durable.
fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}

/// `path` as one element of a list (between `"`) in a setting (between `'`).
fn quoted(path: &Path) -> String {
    path.display().to_string().replace('"', "\"\"").replace('\'', "''")
}

/// Local only, durable, and with room for a steady stream of COPY: few checkpoints, and memory
/// that a small machine has. What backends write is not to pile up in the page cache, whence it
/// would go to the disk in one go, before the log's syncs (docs/decisions/0042).
const SETTINGS: &str = "\
# Written by Bellwire at each start. Put settings of your own into local.conf beside this file.
listen_addresses = ''
unix_socket_directories = '\"{socket_dir}\"'
unix_socket_permissions = 0700
max_connections = 50
fsync = on
full_page_writes = on
synchronous_commit = on
shared_buffers = 256MB
work_mem = 16MB
maintenance_work_mem = 128MB
wal_buffers = 16MB
wal_compression = on
min_wal_size = 256MB
max_wal_size = 2GB
checkpoint_timeout = 15min
checkpoint_completion_target = 0.9
backend_flush_after = 1MB
max_wal_senders = 3
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
lc_messages = 'C'
log_checkpoints = off
log_min_messages = warning
log_line_prefix = '%m [%p] %q%a '
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_path_gets_a_short_socket_folder_that_stays_the_same() {
        assert_eq!(socket_dir(Path::new("/data/postgres")), Path::new("/data/postgres/run"));
        let long = PathBuf::from(format!("/{}/postgres", "x".repeat(100)));
        let short = socket_dir(&long);
        assert!(short.as_os_str().len() <= SOCKET_DIR_BYTES_MAX);
        assert!(short.starts_with("/tmp"));
        assert_eq!(short, socket_dir(&long));
    }

    #[test]
    fn settings_are_replaced_whole_and_only_if_they_differ() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("bellwire.conf");
        for text in ["one", "two"] {
            replace(&path, text).expect("written");
            assert_eq!(fs::read_to_string(&path).expect("readable"), text);
            assert_eq!(fs::read_dir(dir.path()).expect("a folder").count(), 1);
        }
        let inode = fs::metadata(&path).expect("there").ino();
        // What cannot be written to need not be.
        replace(&path, "two").expect("there already");
        assert_eq!(fs::metadata(&path).expect("there").ino(), inode);
        fs::create_dir(dir.path().join("bellwire.conf.new")).expect("in the way");
        replace(&path, "three").expect_err("it cannot be written");
        assert_eq!(fs::read_to_string(&path).expect("readable"), "two");
    }

    #[test]
    fn the_fatal_line_explains_an_end() {
        let log =
            b"LOG:  starting\n12:00 [7] FATAL:  no room\nLOG:  database system is shut down\n\n";
        assert_eq!(last_line_of(log), "FATAL:  no room");
        assert_eq!(last_line_of(b"one\ntwo\n"), "two");
        assert_eq!(last_line_of(b""), "it said nothing");
    }

    #[test]
    fn a_socket_folder_open_to_others_is_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        let open = dir.path().join("open");
        fs::create_dir(&open).expect("a folder");
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).expect("ours");
        private_dir(&open, None).expect_err("anybody could listen there");
        private_dir(&dir.path().join("fresh"), None).expect("made");
        private_dir(&dir.path().join("fresh"), None).expect("found");
    }
}
