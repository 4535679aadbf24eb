//! The server that all tests of a kind share, and how it begins and ends.
//!
//! The first test process that asks starts it in the temporary directory, under a name made of the
//! user and the build's folder; the others, at the same time or later, find it. Beside it waits a
//! small watcher that holds no files of the test's: when no test process has been there for some
//! seconds (each holds a shared `flock`), it stops the server and removes its folder. So a run
//! leaves nothing, however it ended.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio_postgres::error::SqlState;

use super::{Kind, TestDatabase, native, wasm};
use crate::connect::{Target, failed};
use crate::{Config, Error, Secret, managed, migrate};

/// Seconds without a test process after which the server goes. One in WebAssembly takes a while to
/// start, and other tests may run between two that use it.
const fn linger_secs(kind: Kind) -> u32 {
    match kind {
        Kind::Plain | Kind::TimescaleNative => 5,
        Kind::TimescaleWasm => 30,
    }
}

/// How long others may start a server, make a database or remove what is left; machines are shared.
const LOCK_LIMIT: Duration = Duration::from_secs(120);

/// Waits until nobody holds the lock any more. `$1` lock, `$2` folder, `$3` seconds.
const WATCHER: &str = r#"
exec 9>>"$1"
while sleep "$3"; do flock --exclusive --nonblock 9 && break; done
"#;

/// The lock is kept until the server and its folder are gone, so whoever comes meanwhile waits and
/// then starts anew.
const REMOVE: &str = r#"
rm -rf "$2"
"#;

/// A server as the one who joins it finds it.
pub(super) struct Started {
    /// From where databases are made.
    pub(super) admin: Target,
    pub(super) socket_dir: PathBuf,
    /// How it is stopped, if it was we who started it.
    pub(super) stop: Option<Stop>,
}

/// What the watcher does in the end.
pub(super) struct Stop {
    /// Lines of shell; `$2` is the server's folder.
    pub(super) script: &'static str,
    /// Held by the watcher as its standard output.
    pub(super) pipe: Stdio,
}

/// A shared server, and our part in keeping it alive.
#[derive(Debug)]
pub(super) struct Server {
    admin: Target,
    socket_dir: PathBuf,
    /// Held while a database is made.
    making: PathBuf,
    _lock: File,
}

impl Server {
    /// The one of `kind`, which lives at least as long as this process.
    pub(super) async fn of(kind: Kind) -> &'static Self {
        static SERVERS: [OnceCell<Server>; 3] = [const { OnceCell::const_new() }; 3];
        SERVERS[kind as usize].get_or_init(|| Self::join(kind)).await
    }

    async fn join(kind: Kind) -> Self {
        let place = place(kind);
        let lock_path = place.with_extension("lock");
        let lock = open_lock(&lock_path);
        locked("the users' lock", || lock.try_lock_shared()).await;
        fs::create_dir_all(&place).expect("the server's folder");
        // The server may run as another user, who must get there.
        fs::set_permissions(&place, fs::Permissions::from_mode(0o755)).expect("our own folder");
        let making = place.join("making.lock");
        let alone = open_lock(&making);
        locked("the makers' lock", || alone.try_lock()).await;
        let started = match kind {
            Kind::TimescaleWasm => wasm::start(&place).await,
            Kind::Plain | Kind::TimescaleNative => native::start(kind, &place).await,
        };
        if let Some(stop) = started.stop {
            watch(&lock_path, &place, linger_secs(kind), stop);
        }
        Self { admin: started.admin, socket_dir: started.socket_dir, making, _lock: lock }
    }

    pub(super) async fn empty_database(&self) -> TestDatabase {
        let name = new_name("empty");
        let sql = format!("CREATE DATABASE {name} TEMPLATE template0");
        self.run(&sql).await.expect("an empty database");
        self.database(&name)
    }

    pub(super) async fn migrated_database(&self) -> TestDatabase {
        let alone = open_lock(&self.making);
        locked("the makers' lock", || alone.try_lock()).await;
        let name = new_name("test");
        let sql = format!("CREATE DATABASE {name} TEMPLATE {}", template_name());
        let mut made = self.run(&sql).await;
        if made.as_ref().is_err_and(|error| is(error, &SqlState::UNDEFINED_DATABASE)) {
            self.make_template().await.expect("a migrated template");
            made = self.run(&sql).await;
        }
        made.expect("a database from the template");
        self.database(&name)
    }

    async fn make_template(&self) -> Result<(), Error> {
        let name = template_name();
        // Migrated under another name, so that an interrupted one is not taken for whole.
        let half = format!("{name}_half");
        self.run(&format!("DROP DATABASE IF EXISTS {half}")).await?;
        self.run(&format!("CREATE DATABASE {half} TEMPLATE template0")).await?;
        self.database(&half).open().migrate().await?;
        let rename = format!("ALTER DATABASE {half} RENAME TO {name}");
        let mut look = tokio::time::interval(Duration::from_millis(10));
        let renaming = async {
            loop {
                look.tick().await;
                match self.run(&rename).await {
                    // The migration's connection is still closing.
                    Err(error) if is(&error, &SqlState::OBJECT_IN_USE) => {}
                    done => return done,
                }
            }
        };
        let limit = Duration::from_secs(30);
        tokio::time::timeout(limit, renaming).await.expect("connections that are closed")
    }

    async fn run(&self, sql: &str) -> Result<(), Error> {
        let admin = self.admin.connect("bellwire test").await?;
        admin.client.batch_execute(sql).await.map_err(failed("preparing a test database"))
    }

    fn database(&self, name: &str) -> TestDatabase {
        let host = self.socket_dir.display();
        let url = format!("postgres://{}@/{name}?host={host}", managed::NAME);
        let config = Config { url: Some(Secret::new(url.as_str())), ..Config::default() };
        TestDatabase { url, config }
    }
}

fn is(error: &Error, code: &SqlState) -> bool {
    matches!(error, Error::Query { source, .. } if source.code() == Some(code))
}

fn new_name(prefix: &str) -> String {
    static N_MADE: AtomicU32 = AtomicU32::new(0);
    let number = N_MADE.fetch_add(1, Ordering::Relaxed);
    format!("{prefix}_{}_{number}", std::process::id())
}

/// The server's folder: one per user, build folder and kind, so that checkouts do not meet.
fn place(kind: Kind) -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    let build = program.parent().unwrap_or(&program).to_string_lossy().into_owned();
    let hash = fnv(build.as_bytes());
    let uid = managed::effective_uid();
    std::env::temp_dir().join(format!("bellwire-test-{uid}-{hash:016x}-{}", kind.label()))
}

/// Named after what is in it: another version of the schema gets another template.
fn template_name() -> String {
    format!("template_{:016x}", fnv(migrate::all_sql().as_bytes()))
}

fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn open_lock(path: &Path) -> File {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .unwrap_or_else(|error| panic!("cannot open the lock {}: {error}", path.display()))
}

/// Waits for a lock, and lets our connections run meanwhile: one that is to be closed can be what the
/// holder of the lock waits for.
async fn locked(name: &str, mut take: impl FnMut() -> Result<(), TryLockError>) {
    let mut look = tokio::time::interval(Duration::from_millis(10));
    let waiting = async {
        loop {
            look.tick().await;
            match take() {
                Ok(()) => return,
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => panic!("{name}: {error}"),
            }
        }
    };
    if tokio::time::timeout(LOCK_LIMIT, waiting).await.is_err() {
        panic!("{name} is held for more than {} s", LOCK_LIMIT.as_secs());
    }
}

#[expect(clippy::zombie_processes, reason = "it must outlive us, whoever we are")]
fn watch(lock: &Path, place: &Path, linger_secs: u32, stop: Stop) {
    Command::new("/bin/sh")
        .args(["-c", &[WATCHER, stop.script, REMOVE].concat(), "bellwire-test-watcher"])
        .arg(lock)
        .arg(place)
        .arg(linger_secs.to_string())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(stop.pipe)
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .expect("a shell to watch over the test server");
}
