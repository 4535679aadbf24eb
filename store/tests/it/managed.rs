//! A server of our own: made, started, adopted, killed, stopped.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use bellwire_store::{Config, Database, Error, Metrics, Running, WriteError};
use prometheus::Registry;
use tempfile::TempDir;
use tokio_util::task::TaskTracker;

use crate::support::{LOG, batch, names, readings, sql, tally};

fn database(data_dir: &Path) -> Database {
    let metrics = Metrics::register(&Registry::new()).expect("names are free");
    Database::new(Config::default(), data_dir, TaskTracker::new(), metrics).expect("valid")
}

/// A folder that the server's user can enter.
fn data_dir() -> TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711)).expect("ours");
    dir
}

fn is_root(dir: &Path) -> bool {
    fs::metadata(dir).expect("a folder").uid() == 0
}

async fn kill(database: &Database) {
    let pid = database.managed().expect("managed").pid().await.expect("runs");
    let killed = Command::new("sh").args(["-c", &format!("kill -9 {pid}")]).status();
    assert!(killed.expect("a shell").success());
}

#[tokio::test]
async fn whoever_comes_while_the_database_is_being_made_waits_for_it() {
    let dir = data_dir();
    let first = database(dir.path());
    first.ensure_running().await.expect("started");
    let url = first.managed_url().expect("managed").replace("/bellwire?", "/postgres?");
    let client = sql(&url).await;
    for _ in 0..3 {
        client.batch_execute("DROP DATABASE bellwire WITH (FORCE)").await.expect("dropped");
        // As after a kill in the first start: the predecessor's statement still runs.
        let one = database(dir.path());
        let other = database(dir.path());
        let (one, other) = tokio::join!(one.ensure_running(), other.ensure_running());
        assert_eq!(
            (one.expect("made"), other.expect("found")),
            (Running::Adopted, Running::Adopted)
        );
    }
    first.stop().await.expect("stopped");
}

/// Also if whoever made it does nothing more, not even close its connection.
#[tokio::test]
async fn a_database_that_is_made_is_there_for_the_next() {
    let dir = data_dir();
    let first = database(dir.path());
    first.ensure_running().await.expect("started");
    let path = dir.path().to_owned();
    let next = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let metrics = Metrics::register(&Registry::new()).expect("names are free");
            let config = Config { start_timeout_ms: 10_000, ..Config::default() };
            let database = Database::new(config, &path, TaskTracker::new(), metrics);
            let database = database.expect("valid");
            let running = database.ensure_running().await.expect("adopted");
            database.migrate().await.expect("migrated");
            running
        })
    });
    // Nothing else runs on this thread meanwhile.
    assert_eq!(next.join().expect("a database"), Running::Adopted);
    first.stop().await.expect("stopped");
}

#[tokio::test]
async fn a_server_is_made_adopted_restarted_and_stopped() {
    let dir = data_dir();
    let first = database(dir.path());
    assert_eq!(first.ensure_running().await.expect("started"), Running::Started);
    assert_eq!(first.ensure_running().await.expect("runs"), Running::Already);
    first.migrate().await.expect("migrated");
    let url = first.managed_url().expect("managed");
    let client = sql(&url).await;
    for (setting, expected) in [
        ("fsync", "on"),
        ("listen_addresses", ""),
        ("server_encoding", "UTF8"),
        ("backend_flush_after", "1MB"),
    ] {
        let row = client.query_one("SELECT current_setting($1)", &[&setting]).await.expect("row");
        assert_eq!(row.get::<_, &str>(0), expected, "{setting}");
    }
    // Root gives the cluster away, and only that.
    let cluster = fs::metadata(dir.path().join("postgres")).expect("a cluster");
    assert!(cluster.uid() != 0);
    assert_eq!(cluster.mode() & 0o777, 0o700);
    assert_eq!(is_root(&dir.path().join("postgres.log")), is_root(dir.path()));

    // A process that ends without a word leaves the server; the next one finds it.
    drop(first);
    let second = database(dir.path());
    assert_eq!(second.ensure_running().await.expect("found"), Running::Adopted);
    let pid = second.managed().expect("managed").pid().await;
    second.stop().await.expect("stopped");
    assert!(!dir.path().join("postgres/postmaster.pid").exists(), "{pid:?} has ended");
    second.stop().await.expect("nothing to do");
    assert_eq!(second.ensure_running().await.expect("started"), Running::Started);
    second.stop().await.expect("stopped");
}

#[tokio::test]
async fn a_killed_server_comes_back_and_every_batch_is_stored_once() {
    const N_BATCHES: u32 = 40;
    const N_READINGS: u32 = 2_000;
    let dir = data_dir();
    let database = database(dir.path());
    database.ensure_running().await.expect("started");
    database.migrate().await.expect("migrated");
    let (mut writer, _) = database.writer(LOG).await.expect("opened");
    let queries = database.queries().expect("valid");
    queries.committed(LOG).await.expect("answers before");
    let names = names(1, 1);
    for n in 0..N_BATCHES {
        let start = u64::from(n) * 10;
        let batch = batch(start, start + 10, readings(n * N_READINGS, N_READINGS));
        if n % 13 == 7 {
            // In the middle of a write, wherever that is.
            let (_, ()) = tokio::join!(writer.write(&batch, &names), kill(&database));
        }
        let mut n_tries = 0;
        while let Err(error) = writer.write(&batch, &names).await {
            assert!(matches!(error, WriteError::Transient(_)), "{error:?}");
            n_tries += 1;
            assert!(n_tries < 1_000, "the server does not come back: {error:?}");
            // Between the death of the server and that of its last process, starting it can fail.
            if let Err(error) = database.ensure_running().await {
                assert!(error.is_transient(), "{error:?}");
            }
        }
    }
    // The pool's connections died with the server, and it does not give them out.
    let committed = queries.committed(LOG).await.expect("answers after").expect("known");
    assert_eq!(committed.position.0, u64::from(N_BATCHES) * 10);
    let client = sql(&database.managed_url().expect("managed")).await;
    let total = i64::from(N_BATCHES * N_READINGS);
    assert_eq!(tally(&client).await, (total, total));
    database.stop().await.expect("stopped");
}

#[tokio::test]
async fn a_folder_closed_to_the_servers_user_is_named() {
    let dir = tempfile::tempdir().expect("a folder");
    let closed = dir.path().join("closed");
    fs::create_dir(&closed).expect("a folder");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).expect("ours");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711)).expect("ours");
    let database = database(&closed);
    let started = database.ensure_running().await;
    if is_root(dir.path()) {
        let error = started.expect_err("it runs as another user");
        assert!(matches!(&error, Error::Unreachable { folder, .. } if *folder == closed));
        assert!(error.is_unavailable());
    } else {
        assert_eq!(started.expect("ours is open to us"), Running::Started);
        database.stop().await.expect("stopped");
    }
}

#[tokio::test]
async fn a_long_and_odd_path_does_no_harm() {
    let dir = data_dir();
    let deep = dir.path().join(format!("it's, \"odd\" & {}", "long/".repeat(20)));
    fs::create_dir_all(&deep).expect("folders");
    let database = database(&deep);
    database.ensure_running().await.expect("started");
    let client = sql(&database.managed_url().expect("managed")).await;
    let row = client.query_one("SELECT current_setting('data_directory')", &[]).await;
    let cluster = row.expect("a row").get::<_, String>(0);
    assert_eq!(Path::new(&cluster), deep.canonicalize().expect("there").join("postgres"));
    let row = client.query_one("SELECT current_setting('unix_socket_directories')", &[]).await;
    let socket_dir = row.expect("a row").get::<_, String>(0).replace('"', "");
    assert!(Path::new(&socket_dir).is_dir() && !Path::new(&socket_dir).starts_with(&deep));
    database.stop().await.expect("stopped");
    assert!(!Path::new(&socket_dir).exists(), "what lies outside the data directory goes");
}

#[tokio::test]
async fn a_path_that_needs_quotes_may_hold_the_socket() {
    let dir = data_dir();
    let odd = dir.path().join("it's, \"odd\"");
    let database = database(&odd);
    database.ensure_running().await.expect("started");
    assert!(odd.join("postgres/run/.s.PGSQL.5432").exists());
    database.stop().await.expect("stopped");
}

#[tokio::test]
async fn a_server_that_cannot_start_is_quoted() {
    let dir = data_dir();
    let database = database(dir.path());
    database.ensure_running().await.expect("started");
    database.stop().await.expect("stopped");
    fs::write(dir.path().join("postgres/local.conf"), "max_connections = 'lots'\n").expect("ours");
    let error = database.ensure_running().await.expect_err("a setting is wrong");
    let text = error.to_string();
    assert!(text.contains("did not start: FATAL:") && text.contains("local.conf"), "{text}");
    assert!(error.is_unavailable());
    fs::remove_file(dir.path().join("postgres/local.conf")).expect("ours");
    assert_eq!(database.ensure_running().await.expect("started"), Running::Started);
    database.stop().await.expect("stopped");
}
