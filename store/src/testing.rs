//! A database for each test: made from a migrated template, on one server that all tests share.
//!
//! The first test process that asks starts a server in the temporary directory, under a name made
//! of the user and the build's folder; the others, at the same time or later, find it. Beside it
//! waits a small watcher that holds no files of the test's: when no test process has been there
//! for some seconds (each holds a shared `flock`), it stops the server and removes its folder. So
//! a run leaves nothing, however it ended. The server runs without fsync: it need not survive the
//! machine.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use prometheus::Registry;
use tokio::sync::OnceCell;
use tokio_util::task::TaskTracker;

use crate::connect::failed;
use crate::{Config, Database, Error, Metrics, Running, Secret, migrate};

/// Seconds without a test process after which the server goes.
const LINGER_SECS: u32 = 5;

/// Stops the server when nobody holds the lock any more. `$1` lock, `$2` folder, `$3` seconds.
/// The lock is kept until the server and its folder are gone, so whoever comes meanwhile waits and
/// then starts anew.
const WATCHER: &str = r#"
exec 9>>"$1"
while sleep "$3"; do flock --exclusive --nonblock 9 && break; done
pid=$(head -n 1 "$2/postgres/postmaster.pid") && kill -INT "$pid"
while [ -e "$2/postgres/postmaster.pid" ]; do sleep 0.1; done
rm -rf "$2"
"#;

/// A database of one test's own. It goes with the server; [`TestDatabase::url`] reaches it.
#[derive(Clone, Debug)]
pub struct TestDatabase {
    /// A `postgres://` URL, also for `psql`.
    pub url: String,
    /// How the store reaches it.
    pub config: Config,
}

impl TestDatabase {
    /// The same as [`Database::new`] with this database's URL, default limits, metrics of its own
    /// and connections that live as long as the test's runtime.
    ///
    /// # Panics
    /// If the URL is none, which would be a fault here.
    #[must_use]
    pub fn open(&self) -> Database {
        open(self.config.clone(), Path::new("/nonexistent"))
    }
}

fn open(config: Config, data_dir: &Path) -> Database {
    let metrics = Metrics::register(&Registry::new()).expect("a new registry has no names");
    Database::new(config, data_dir, TaskTracker::new(), metrics).expect("the defaults are valid")
}

/// A migrated, otherwise empty database.
///
/// # Panics
/// If there is no PostgreSQL, or it does not do as it should: then no test can run.
pub async fn database() -> TestDatabase {
    let server = SERVER.get_or_init(Server::join).await;
    static N_MADE: AtomicU32 = AtomicU32::new(0);
    let number = N_MADE.fetch_add(1, Ordering::Relaxed);
    let name = format!("test_{}_{number}", std::process::id());
    let sql = format!("CREATE DATABASE {name} TEMPLATE {}", template_name());
    server.run(&sql).await.expect("a database from the template");
    server.database(&name)
}

/// An empty database, without our tables.
///
/// # Panics
/// As [`database`].
pub async fn empty_database() -> TestDatabase {
    let server = SERVER.get_or_init(Server::join).await;
    static N_MADE: AtomicU32 = AtomicU32::new(0);
    let number = N_MADE.fetch_add(1, Ordering::Relaxed);
    let name = format!("empty_{}_{number}", std::process::id());
    let sql = format!("CREATE DATABASE {name} TEMPLATE template0");
    server.run(&sql).await.expect("an empty database");
    server.database(&name)
}

static SERVER: OnceCell<Server> = OnceCell::const_new();

/// The shared server, and our part in keeping it alive.
#[derive(Debug)]
struct Server {
    database: Database,
    socket_dir: PathBuf,
    _lock: File,
}

impl Server {
    /// Finds it or starts it, and makes the template the first time.
    async fn join() -> Self {
        let place = place();
        let lock_path = place.with_extension("lock");
        let lock = open_lock(&lock_path);
        lock.lock_shared().expect("the users' lock");
        fs::create_dir_all(&place).expect("the server's folder");
        // The server may run as another user, who must get there.
        fs::set_permissions(&place, fs::Permissions::from_mode(0o755)).expect("our own folder");
        let starting = open_lock(&place.join("starting.lock"));
        starting.lock().expect("the starters' lock");
        let database = open(Config::default(), &place)
            .with_settings("fsync = off\nfull_page_writes = off\nmax_connections = 200\n");
        let running = database.ensure_running().await.expect("a test server");
        if running == Running::Started {
            watch(&lock_path, &place);
        }
        let socket_dir = database.managed().expect("it has no URL").socket_dir().to_path_buf();
        let server = Self { database, socket_dir, _lock: lock };
        server.ensure_template().await.expect("a migrated template");
        server
    }

    async fn ensure_template(&self) -> Result<(), Error> {
        let name = template_name();
        let admin = self.database.target().connect("bellwire test").await?;
        let known = admin
            .client
            .query_opt("SELECT FROM pg_database WHERE datname = $1", &[&name])
            .await
            .map_err(failed("looking for the template"))?;
        if known.is_some() {
            return Ok(());
        }
        // Migrated under another name, so that an interrupted one is not taken for whole.
        let half = format!("{name}_half");
        self.run(&format!("DROP DATABASE IF EXISTS {half}")).await?;
        self.run(&format!("CREATE DATABASE {half} TEMPLATE template0")).await?;
        self.database(&half).open().migrate().await?;
        self.disconnect(&half).await?;
        self.run(&format!("ALTER DATABASE {half} RENAME TO {name}")).await
    }

    /// Ends what is still connected to `name`: the migration's connection may still be closing.
    async fn disconnect(&self, name: &str) -> Result<(), Error> {
        self.run(&format!(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{name}'"
        ))
        .await
    }

    async fn run(&self, sql: &str) -> Result<(), Error> {
        let admin = self.database.target().connect("bellwire test").await?;
        admin.client.batch_execute(sql).await.map_err(failed("preparing a test database"))
    }

    fn database(&self, name: &str) -> TestDatabase {
        let host = self.socket_dir.display();
        let url = format!("postgres://{}@/{name}?host={host}", crate::managed::NAME);
        let config = Config { url: Some(Secret::new(url.as_str())), ..Config::default() };
        TestDatabase { url, config }
    }
}

/// The server's folder: one per user and build folder, so that checkouts do not meet.
fn place() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    let build = program.parent().unwrap_or(&program).to_string_lossy().into_owned();
    let hash = fnv(build.as_bytes());
    let uid = crate::managed::effective_uid();
    std::env::temp_dir().join(format!("bellwire-test-{uid}-{hash:016x}"))
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

#[expect(clippy::zombie_processes, reason = "it must outlive us, whoever we are")]
fn watch(lock: &Path, place: &Path) {
    Command::new("/bin/sh")
        .args(["-c", WATCHER, "bellwire-test-watcher"])
        .arg(lock)
        .arg(place)
        .arg(LINGER_SECS.to_string())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .expect("a shell to watch over the test server");
}
