//! Connections that break at the worst moment: nothing is lost, nothing is stored twice.

use std::path::Path;
use std::time::Duration;

use bellwire_store::{Config, Database, Metrics, WriteError, testing};
use prometheus::Registry;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::proxy::{Fault, Proxy};
use crate::support::{LOG, batch, names, number, open, readings, sql, tally, wait_until};

/// Enough for several messages of COPY data.
const MANY: u32 = 5_000;

/// Writes three batches, the second under `fault`; the writer gets over it by itself.
async fn check_survives(fault: Fault) {
    let database = testing::database().await;
    let proxy = Proxy::before(&database);
    let client = sql(&database.url).await;
    let (mut writer, _) = proxy.database.open().writer(LOG).await.expect("opened");
    let names = names(1, 1);
    writer.write(&batch(0, 10, readings(0, MANY)), &names).await.expect("stored");
    proxy.arm(fault);
    writer.write(&batch(10, 20, readings(MANY, MANY)), &names).await.expect("stored after all");
    assert!(proxy.has_happened());
    writer.write(&batch(20, 30, readings(2 * MANY, MANY)), &names).await.expect("stored");
    let total = i64::from(3 * MANY);
    assert_eq!(tally(&client).await, (total, total));
}

#[tokio::test]
async fn a_commit_that_never_arrived_is_repeated() {
    check_survives(Fault::LoseCommit).await;
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_not_repeated() {
    check_survives(Fault::LoseAnswer).await;
}

#[tokio::test]
async fn a_copy_that_was_cut_is_repeated() {
    check_survives(Fault::CutCopy).await;
}

#[tokio::test]
async fn a_commit_that_arrives_after_we_gave_it_up_is_not_repeated() {
    let database = testing::database().await;
    let proxy = Proxy::before(&database);
    let client = sql(&database.url).await;
    let (mut writer, _) = proxy.database.open().writer(LOG).await.expect("opened");
    let names = names(1, 1);
    proxy.arm(Fault::DelayCommit);
    let first = batch(0, 10, readings(0, MANY));
    let writing = writer.write(&first, &names);
    let releasing = async {
        // The second attempt found the position unmoved and now waits for the first one's lock.
        let waiting = "SELECT count(*) FROM pg_stat_activity \
                       WHERE datname = current_database() AND wait_event_type = 'Lock'";
        wait_until("the second attempt waits", || async { number(&client, waiting).await == 1 })
            .await;
        proxy.release();
    };
    let (written, ()) = tokio::join!(writing, releasing);
    written.expect("stored");
    assert_eq!(tally(&client).await, (i64::from(MANY), i64::from(MANY)));
}

#[tokio::test]
async fn a_silent_server_is_given_up_after_the_limit() {
    let database = testing::database().await;
    let proxy = Proxy::before(&database);
    let client = sql(&database.url).await;
    let config = Config { write_timeout_ms: 1_000, ..proxy.database.config.clone() };
    let store = testing::TestDatabase { config, ..proxy.database.clone() }.open();
    let (mut writer, _) = store.writer(LOG).await.expect("opened");
    let names = names(1, 1);
    proxy.arm(Fault::SwallowCopy);
    let started = Instant::now();
    writer.write(&batch(0, 10, readings(0, MANY)), &names).await.expect("stored by the second");
    assert!(started.elapsed() >= Duration::from_secs(1));
    assert!(proxy.has_happened());
    assert_eq!(tally(&client).await, (i64::from(MANY), i64::from(MANY)));
}

#[tokio::test]
async fn a_dropped_write_may_be_offered_again() {
    let database = testing::database().await;
    let proxy = Proxy::before(&database);
    let client = sql(&database.url).await;
    let (mut writer, _) = proxy.database.open().writer(LOG).await.expect("opened");
    let names = names(1, 1);
    let first = batch(0, 10, readings(0, MANY));
    proxy.arm(Fault::SwallowCopy);
    tokio::select! {
        written = writer.write(&first, &names) => panic!("a swallowed COPY ended: {written:?}"),
        () = wait_until("the COPY is stuck", || async { proxy.has_happened() }) => {}
    }
    writer.write(&first, &names).await.expect("stored");
    assert_eq!(tally(&client).await, (i64::from(MANY), i64::from(MANY)));
}

#[tokio::test]
async fn nothing_runs_on_after_a_writer_whose_server_is_silent() {
    let database = testing::database().await;
    let proxy = Proxy::before(&database);
    let tracker = TaskTracker::new();
    let metrics = Metrics::register(&Registry::new()).expect("names are free");
    let config = proxy.database.config.clone();
    let store = Database::new(config, Path::new("/"), tracker.clone(), metrics).expect("valid");
    let (mut writer, _) = store.writer(LOG).await.expect("opened");
    let queries = store.queries().expect("valid");
    queries.committed(LOG).await.expect("answers");
    proxy.arm(Fault::SwallowCopy);
    let (names, first) = (names(1, 1), batch(0, 10, readings(0, MANY)));
    tokio::select! {
        written = writer.write(&first, &names) => {
            panic!("a swallowed COPY ended: {written:?}")
        }
        () = wait_until("the COPY is stuck", || async { proxy.has_happened() }) => {}
    }
    drop((writer, queries, store));
    tracker.close();
    wait_until("all tasks have ended", || async { tracker.is_empty() }).await;
}

#[tokio::test]
async fn a_frozen_writer_does_not_keep_the_next_one_out() {
    let database = testing::database().await;
    let proxy = Proxy::before(&database);
    let (store, client) = open(&database).await;
    let (mut older, _) = proxy.database.open().writer(LOG).await.expect("opened");
    let names = names(1, 1);
    let first = batch(0, 10, readings(0, MANY));
    proxy.arm(Fault::SwallowCopy);
    let taking_over = async {
        wait_until("the COPY is stuck", || async { proxy.has_happened() }).await;
        let (mut newer, opened) = store.writer(LOG).await.expect("opened");
        assert_eq!(opened.epoch, 2);
        newer.write(&first, &names).await.expect("stored");
    };
    let (written, ()) = tokio::join!(older.write(&first, &names), taking_over);
    // Its COPY came to nothing; what it finds when it looks again is the newer writer's epoch, or
    // on losing the race a position that it may still move first.
    assert!(matches!(written, Ok(()) | Err(WriteError::Fenced)), "{written:?}");
    assert_eq!(tally(&client).await, (i64::from(MANY), i64::from(MANY)));
    let fenced = older.write(&batch(10, 20, readings(MANY, 1)), &names).await;
    assert!(matches!(fenced, Err(WriteError::Fenced)), "{fenced:?}");
}

#[tokio::test]
async fn a_database_that_is_away_is_a_reason_to_wait() {
    let nowhere = tempfile::tempdir().expect("a folder");
    let url = format!("postgres://bellwire@/bellwire?host={}", nowhere.path().display());
    let store = database_at(&url);
    let error = store.writer(LOG).await.expect_err("nobody is there");
    assert!(error.is_transient() && error.is_unavailable(), "{error:?}");

    let database = testing::database().await;
    let proxy = Proxy::before(&database);
    let (store, _) = open(&proxy.database).await;
    let (mut writer, _) = store.writer(LOG).await.expect("opened");
    let names = names(1, 1);
    let client = sql(&database.url).await;
    let kick = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                WHERE datname = current_database() AND pid <> pg_backend_pid()";
    drop(proxy);
    number(&client, kick).await;
    let away = writer.write(&batch(0, 10, readings(0, 10)), &names).await;
    assert!(matches!(away, Err(WriteError::Transient(_))), "{away:?}");
}

#[tokio::test]
async fn a_backend_that_is_ended_is_replaced() {
    let database = testing::database().await;
    let (store, client) = open(&database).await;
    let (mut writer, _) = store.writer(LOG).await.expect("opened");
    let names = names(1, 1);
    let kick = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                WHERE datname = current_database() AND pid <> pg_backend_pid()";
    for n in 0..3 {
        assert_eq!(number(&client, kick).await, 1);
        let start = u64::from(n) * 10;
        writer
            .write(&batch(start, start + 10, readings(n * 10, 10)), &names)
            .await
            .expect("stored");
    }
    assert_eq!(tally(&client).await, (30, 30));
}

fn database_at(url: &str) -> Database {
    let config = Config { url: Some(bellwire_store::Secret::new(url)), ..Config::default() };
    testing::TestDatabase { url: url.into(), config }.open()
}
