//! Content that the database refuses is found, publish by publish, whatever refuses it.

use bellwire_model::{KeepBatch, SharedNames};
use bellwire_store::{RefusedPublish, WriteError, Writer, testing};
use tokio_postgres::Client;

use crate::support::{LOG, NOON, batch, names, number, reading, readings, tally, transition};

/// A trigger function that raises for readings whose value is 7 or 7000.
const RAISES: &str = "CREATE FUNCTION refuse_seven() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
    IF NEW.value IN (7, 7000) THEN RAISE EXCEPTION 'no % here', NEW.value; END IF; \
    RETURN NEW; END $$;";

/// Three readings to a publish.
const PER_PUBLISH: u32 = 3;

/// Values from 0 on, so that 7 is in publish 2 and 7000 in publish 2333.
fn many() -> (KeepBatch, Vec<u32>) {
    let n_publishes = 3_000;
    let rows = readings(0, PER_PUBLISH * n_publishes);
    (batch(0, 10, rows), vec![PER_PUBLISH; n_publishes as usize])
}

async fn prepare(sql: &str) -> (Writer, Client, SharedNames, prometheus::Registry) {
    let database = testing::database().await;
    let client = crate::support::sql(&database.url).await;
    client.batch_execute(sql).await.expect("prepared");
    let registry = prometheus::Registry::new();
    let metrics = bellwire_store::Metrics::register(&registry).expect("names are free");
    let tracker = tokio_util::task::TaskTracker::new();
    let nowhere = std::path::Path::new("/nonexistent");
    let store = bellwire_store::Database::new(database.config, nowhere, tracker, metrics);
    let (writer, _) = store.expect("valid").writer(LOG).await.expect("opened");
    (writer, client, names(1, 1), registry)
}

fn n_probes(registry: &prometheus::Registry) -> u64 {
    let families = registry.gather();
    let probes = families.iter().find(|it| it.name() == "bellwire_store_probes_total");
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small count")]
    let n_probes = probes.expect("registered").get_metric()[0].get_counter().get_value() as u64;
    n_probes
}

fn indexes(refused: &[RefusedPublish]) -> Vec<usize> {
    refused.iter().map(|publish| publish.index).collect()
}

/// With `sql` done to the tables, publishes 2 and 2333 are found in `n_probes_max` probes, and the
/// rest is stored once.
async fn both_are_found(sql: &str, says: &str, n_probes_max: u64) {
    let (mut writer, client, names, registry) = prepare(sql).await;
    let (mut batch, n_readings) = many();
    let refused = writer.write(&batch, &names).await;
    assert!(matches!(refused, Err(WriteError::Refused { .. })), "{refused:?}");
    let found = writer.find_refused(&batch, &n_readings, &names).await.expect("found");
    assert_eq!(indexes(&found), [2, 2333], "{found:?}");
    assert!(found.iter().all(|publish| publish.detail.contains(says)), "{found:?}");
    println!("{} probes", n_probes(&registry));
    assert!(n_probes(&registry) <= n_probes_max, "{} probes", n_probes(&registry));
    assert_eq!(tally(&client).await, (0, 0), "a search stores nothing");

    let bad = [2 * 3..3 * 3, 2333 * 3..2334 * 3];
    let mut row = 0;
    batch.readings.retain(|_| {
        row += 1;
        !bad.iter().any(|rows| rows.contains(&(row - 1)))
    });
    writer.write(&batch, &names).await.expect("stored without them");
    assert_eq!(tally(&client).await, (9_000 - 6, 9_000 - 6));
    assert_eq!(number(&client, "SELECT position FROM bellwire.log_position").await, 10);
}

#[tokio::test]
async fn a_check_constraint_names_the_row_and_each_publish_takes_two_probes() {
    let sql = "ALTER TABLE bellwire.fresh_0 ADD CONSTRAINT no_seven \
               CHECK (value NOT IN (7, 7000))";
    both_are_found(sql, "violates check constraint \"no_seven\" (SQLSTATE 23514)", 6).await;
}

#[tokio::test]
async fn a_trigger_that_raises_for_each_row_is_no_different() {
    let sql = format!(
        "{RAISES} CREATE TRIGGER refuse BEFORE INSERT ON bellwire.fresh_0 \
         FOR EACH ROW EXECUTE FUNCTION refuse_seven()"
    );
    both_are_found(&sql, "here (SQLSTATE P0001)", 6).await;
}

#[tokio::test]
async fn what_is_only_checked_at_commit_is_found_by_halving() {
    let sql = format!(
        "{RAISES} CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON bellwire.fresh_0 \
         DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse_seven()"
    );
    // log₂ 3000 for each, and what goes on behind it.
    both_are_found(&sql, "here (SQLSTATE P0001)", 2 + 2 * (12 + 1)).await;
}

#[tokio::test]
async fn of_publishes_that_clash_the_later_is_found() {
    let sql = "CREATE UNIQUE INDEX ON bellwire.fresh_0 (at, value)";
    let (mut writer, client, names, _) = prepare(sql).await;
    let mut rows = readings(0, 100);
    rows[70] = rows[30].clone();
    let mut batch = batch(0, 10, rows);
    let refused = writer.write(&batch, &names).await;
    assert!(matches!(refused, Err(WriteError::Refused { .. })), "{refused:?}");
    let found = writer.find_refused(&batch, &[1; 100], &names).await.expect("found");
    assert_eq!(indexes(&found), [70], "{found:?}");
    batch.readings.remove(70);
    writer.write(&batch, &names).await.expect("stored without it");
    assert_eq!(tally(&client).await, (99, 99));
}

#[tokio::test]
async fn no_publish_is_blamed_for_what_is_wrong_with_an_alert() {
    let sql = "ALTER TABLE bellwire.transition ADD CHECK (rule <> 'too-warm')";
    let (mut writer, _, names, _) = prepare(sql).await;
    let mut batch = batch(0, 100, readings(0, 10));
    let (from, to) = (bellwire_model::AlertState::Inactive, bellwire_model::AlertState::Firing);
    batch.transitions = vec![transition(10, from, to)];
    let refused = writer.write(&batch, &names).await;
    assert!(matches!(refused, Err(WriteError::Refused { .. })), "{refused:?}");
    let found = writer.find_refused(&batch, &[1; 10], &names).await.expect("searched");
    assert_eq!(found, []);
}

#[tokio::test]
async fn a_name_that_the_database_refuses_is_its_publishes_fault() {
    let sql = "ALTER TABLE bellwire.device ADD CHECK (name <> 'device-1')";
    let (mut writer, client, _, _) = prepare(sql).await;
    let names = names(2, 1);
    let mut batch = batch(0, 10, readings(0, 10));
    batch.readings[4].device = bellwire_model::DeviceKey(1);
    let refused = writer.write(&batch, &names).await;
    assert!(matches!(refused, Err(WriteError::Refused { .. })), "{refused:?}");
    let found = writer.find_refused(&batch, &[1; 10], &names).await.expect("found");
    assert_eq!(indexes(&found), [4], "{found:?}");
    batch.readings.remove(4);
    writer.write(&batch, &names).await.expect("stored without it");
    assert_eq!(tally(&client).await, (9, 9));
}

/// What is wrong with the database is not wrong with a batch.
#[tokio::test]
async fn a_database_that_takes_nothing_blames_no_batch() {
    let (mut writer, client, names, _) = prepare("SELECT 1").await;
    let one = batch(0, 10, vec![reading(NOON, 1.0)]);
    for (breaks, mends) in [
        (
            "ALTER TABLE bellwire.fresh_0 RENAME COLUMN value TO v",
            "ALTER TABLE bellwire.fresh_0 RENAME COLUMN v TO value",
        ),
        (
            "ALTER TABLE bellwire.quarantine RENAME TO elsewhere",
            "ALTER TABLE bellwire.elsewhere RENAME TO quarantine",
        ),
    ] {
        client.batch_execute(breaks).await.expect("broken");
        let mut batch = one.clone();
        batch.quarantined = vec![crate::support::quarantined(1, NOON)];
        let unusable = writer.write(&batch, &names).await;
        assert!(matches!(unusable, Err(WriteError::Unusable(_))), "{unusable:?}");
        client.batch_execute(mends).await.expect("mended");
    }
    let name: String =
        client.query_one("SELECT current_database()::text", &[]).await.expect("a name").get(0);
    let read_only = format!("ALTER DATABASE {name} SET default_transaction_read_only = on");
    client.batch_execute(&read_only).await.expect("altered");
    let kick = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                WHERE datname = current_database() AND pid <> pg_backend_pid()";
    number(&client, kick).await;
    let away = writer.write(&one, &names).await;
    assert!(matches!(away, Err(WriteError::Transient(_))), "{away:?}");
    client.batch_execute("SET default_transaction_read_only = off").await.expect("set");
    let writable = format!("ALTER DATABASE {name} RESET default_transaction_read_only");
    client.batch_execute(&writable).await.expect("altered");
    writer.write(&one, &names).await.expect("stored");
    assert_eq!(tally(&client).await, (1, 1));
}
