//! A server that takes no more of a COPY, and does not answer either.

use std::process::Command;
use std::time::Duration;

use bellwire_store::{Config, WriteError, testing};
use tokio::time::Instant;

use crate::support::{LOG, batch, names, number, readings, sql, tally, wait_until};

/// More than the socket's buffers hold.
const MANY: u32 = 100_000;

/// Stops a process, and lets it go on when it is dropped.
struct Frozen(i32);

impl Frozen {
    /// A backend of the tests' server that serves this test alone.
    fn new(pid: i32) -> Self {
        signal("-STOP", pid);
        Self(pid)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        signal("-CONT", self.0);
    }
}

fn signal(which: &str, pid: i32) {
    let status = Command::new("kill").args([which, &pid.to_string()]).status();
    assert!(status.expect("there is a kill").success(), "process {pid} is there");
}

/// `statement_timeout` is the server's to keep: one that hangs does not.
#[tokio::test]
async fn a_write_ends_in_time_when_the_server_stops_reading_in_the_middle_of_copy() {
    let database = testing::database().await;
    let client = sql(&database.url).await;
    // Holds the COPY where it is until we let it go on.
    client
        .batch_execute(
            "SELECT pg_advisory_lock(7); \
             CREATE FUNCTION halt() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                 IF NEW.value = 2500 THEN PERFORM pg_advisory_xact_lock(7); END IF; \
                 RETURN NEW; END $$; \
             CREATE TRIGGER halt BEFORE INSERT ON bellwire.fresh_0 \
             FOR EACH ROW EXECUTE FUNCTION halt()",
        )
        .await
        .expect("prepared");
    let limit = Duration::from_secs(2);
    let config = Config { write_timeout_ms: 2_000, ..database.config.clone() };
    let store = testing::TestDatabase { config, ..database.clone() }.open();
    let (mut writer, _) = store.writer(LOG).await.expect("opened");
    let (names, rows) = (names(1, 1), batch(0, 10, readings(0, MANY)));

    let halted = "SELECT coalesce(max(pid), 0)::int8 FROM pg_stat_activity \
                  WHERE datname = current_database() AND wait_event = 'advisory' \
                    AND query LIKE 'COPY %'";
    let freezing = async {
        wait_until("the COPY halts", || async { number(&client, halted).await > 0 }).await;
        let pid = i32::try_from(number(&client, halted).await).expect("a pid");
        let frozen = Frozen::new(pid);
        number(&client, "SELECT pg_advisory_unlock(7)::int::int8").await;
        frozen
    };
    let begun = Instant::now();
    let (written, frozen) = tokio::join!(writer.write(&rows, &names), freezing);
    // It holds the lock of the position's row: a second connection waits for it, in time as well.
    assert!(matches!(written, Err(WriteError::Transient(_))), "{written:?}");
    assert!(begun.elapsed() >= limit, "the limit is what ended it");
    assert_eq!(tally(&client).await, (0, 0));
    drop(frozen);
    writer.write(&rows, &names).await.expect("stored");
    assert_eq!(tally(&client).await, (i64::from(MANY), i64::from(MANY)));
}
