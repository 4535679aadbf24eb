//! Fresh readings are carried over, each once, and the rollups follow.

use bellwire_model::{DeviceKey, MetricKey, Timestamp, Value};
use bellwire_store::testing::{self, Kind};
use bellwire_store::{Compacted, Database, Mode, on_every_kind};
use tokio_postgres::Client;

use crate::support::{
    DAY, LOG, NOON, batch, names, number, reading, readings, sql, tally, wait_until,
};

const SETTLED: &str = "SELECT count(*) FROM bellwire.reading";

on_every_kind! {
    each_reading_is_seen_once_before_and_after,
    a_writer_goes_on_in_the_next_generation,
    rollups_take_what_came_late_into_account,
    sums_beyond_all_bounds_stop_nothing,
    what_is_past_retention_goes,
    a_changed_configuration_changes_what_goes,
    days_and_ages_find_their_partitions,
    ; native:
    a_table_that_is_being_read_is_not_emptied,
    one_compactor_works_at_a_time,
    the_index_knows_what_is_being_carried_over,
}

async fn stored(store: &Database, position: &mut u64, rows: Vec<bellwire_model::Reading>) {
    let names = names(3, 2);
    let (mut writer, opened) = store.writer(LOG).await.expect("opened");
    *position = opened.position.0;
    writer.write(&batch(*position, *position + 10, rows), &names).await.expect("stored");
}

async fn compact(store: &Database) -> Compacted {
    store.compactor().run().await.expect("carried over")
}

/// Lets go of the table that was just read: nobody else is connected.
async fn compact_all(store: &Database) -> u64 {
    let mut total = 0;
    loop {
        match compact(store).await {
            Compacted::Rows(0) => return total,
            Compacted::Rows(n_rows) => total += n_rows,
            Compacted::Waiting | Compacted::Elsewhere => tokio::task::yield_now().await,
        }
    }
}

async fn rollup(client: &Client, table: &str, device_id: i32) -> (i64, f64, f64, f64, f64, f64) {
    let query = format!(
        "SELECT sum(count)::int8, sum(sum), min(min), max(max), \
                (array_agg(first ORDER BY first_at, first))[1], \
                (array_agg(last ORDER BY last_at DESC, last DESC))[1] \
         FROM bellwire.{table} WHERE device_id = $1"
    );
    let row = client.query_one(&query, &[&device_id]).await.expect("a row");
    (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4), row.get(5))
}

async fn each_reading_is_seen_once_before_and_after(kind: Kind) {
    let database = kind.database().await;
    let store = database.open();
    let client = sql(&database.url).await;
    let mut position = 0;
    for round in 0..4_u32 {
        stored(&store, &mut position, readings(round * 1_000, 1_000)).await;
        let expected = i64::from((round + 1) * 1_000);
        assert_eq!(tally(&client).await, (expected, expected));
        compact(&store).await;
        assert_eq!(tally(&client).await, (expected, expected));
    }
    compact_all(&store).await;
    assert_eq!(number(&client, SETTLED).await, 4_000);
    assert_eq!(tally(&client).await, (4_000, 4_000));
    assert_eq!(compact(&store).await, Compacted::Rows(0));
}

async fn a_writer_goes_on_in_the_next_generation(kind: Kind) {
    let database = kind.database().await;
    let store = database.open();
    let client = sql(&database.url).await;
    let names = names(1, 1);
    let (mut writer, _) = store.writer(LOG).await.expect("opened");
    for n in 0..6_u32 {
        let at = u64::from(n) * 10;
        let rows = readings(n * 100, 100);
        writer.write(&batch(at, at + 10, rows), &names).await.expect("stored");
        compact(&store).await;
    }
    assert_eq!(tally(&client).await, (600, 600));
    let generation = "SELECT generation FROM bellwire.log_position";
    assert!(number(&client, generation).await >= 3);
}

async fn a_table_that_is_being_read_is_not_emptied(kind: Kind) {
    let database = kind.database().await;
    let store = database.open();
    let mut position = 0;
    stored(&store, &mut position, readings(0, 10)).await;
    let reader = sql(&database.url).await;
    reader
        .batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM devices")
        .await
        .expect("a snapshot");
    assert_eq!(compact(&store).await, Compacted::Rows(10));
    stored(&store, &mut position, readings(10, 10)).await;
    assert_eq!(compact(&store).await, Compacted::Waiting);
    assert_eq!(tally(&reader).await, (10, 10), "the old snapshot's");
    reader.batch_execute("COMMIT").await.expect("ended");
    assert_eq!(tally(&reader).await, (20, 20));
    assert_eq!(compact_all(&store).await, 10);
    assert_eq!(tally(&reader).await, (20, 20));
}

async fn one_compactor_works_at_a_time(kind: Kind) {
    let database = kind.database().await;
    let store = database.open();
    let mut position = 0;
    stored(&store, &mut position, readings(0, 10)).await;
    let other = sql(&database.url).await;
    let lock = "SELECT pg_advisory_lock(7090192401145228656)";
    other.batch_execute(lock).await.expect("locked");
    assert_eq!(compact(&store).await, Compacted::Elsewhere);
    let unlock = "SELECT pg_advisory_unlock(7090192401145228656)";
    other.batch_execute(unlock).await.expect("unlocked");
    assert_eq!(compact(&store).await, Compacted::Rows(10));
}

/// Also before the transaction that adds it is over: what the index does not know, every question reads.
async fn the_index_knows_what_is_being_carried_over(kind: Kind) {
    let database = kind.database().await;
    let store = database.open();
    let (client, other) = (sql(&database.url).await, sql(&database.url).await);
    // The first makes the partition, which others see only once it is committed.
    stored(&store, &mut 0, readings(0, 1)).await;
    compact_all(&store).await;
    stored(&store, &mut 0, readings(1, 70_000)).await;
    // The rollups wait for this lock: when they do, the readings have been added.
    let lock = "BEGIN; LOCK TABLE bellwire.reading_1m IN SHARE MODE";
    other.batch_execute(lock).await.expect("locked");
    let looking = async {
        let waiting = "SELECT count(*) FROM pg_locks \
                       WHERE relation = 'bellwire.reading_1m'::regclass AND NOT granted";
        wait_until("the rollups wait", async || number(&client, waiting).await == 1).await;
        assert_eq!(number(&client, SETTLED).await, 1, "nothing is committed");
        let n_ranges = number(
            &client,
            "SELECT sum(brin_summarize_new_values(i.indexrelid))::int8 \
             FROM pg_inherits h JOIN pg_index i ON i.indrelid = h.inhrelid \
             JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam \
             WHERE h.inhparent = 'bellwire.reading'::regclass AND a.amname = 'brin'",
        )
        .await;
        other.batch_execute("COMMIT").await.expect("unlocked");
        n_ranges
    };
    let (n_ranges, compacted) = tokio::join!(looking, compact(&store));
    assert_eq!(compacted, Compacted::Rows(70_000));
    assert!(n_ranges <= 1, "all but the last, which may not be whole: {n_ranges}");
    assert_eq!(tally(&client).await, (70_001, 70_001));
}

async fn rollups_take_what_came_late_into_account(kind: Kind) {
    let database = kind.database().await;
    let store = database.open();
    let client = sql(&database.url).await;
    let mut position = 0;
    let mut rows: Vec<_> =
        [(0, 4.0), (30, 2.0), (90, 8.0)].map(|(secs, value)| reading(NOON + secs, value)).to_vec();
    rows[2].device = DeviceKey(1);
    let mut text = reading(NOON + 1, 0.0);
    text.value = Value::Text("open".into());
    rows.push(text);
    stored(&store, &mut position, rows).await;
    compact(&store).await;
    let late = vec![reading(NOON - 3_600, 1.0), reading(NOON + 45, 3.0), reading(NOON, 3.5)];
    stored(&store, &mut position, late).await;
    compact_all(&store).await;
    for table in ["reading_1m", "reading_1h", "reading_1d"] {
        assert_eq!(rollup(&client, table, 1).await, (5, 13.5, 1.0, 4.0, 1.0, 3.0), "{table}");
        assert_eq!(rollup(&client, table, 0).await, (6, 21.5, 1.0, 8.0, 1.0, 8.0), "{table}");
    }
    let noon = "SELECT first::int8 FROM readings_1m WHERE metric = 'metric-0' \
                AND device = 'device-0' AND at = '2024-01-15 12:00Z'";
    // Of the two readings of noon, 3.5 and 4, the least; cast rounds to even.
    assert_eq!(number(&client, noon).await, 4);
}

async fn sums_beyond_all_bounds_stop_nothing(kind: Kind) {
    let database = kind.database().await;
    let store = database.open();
    let client = sql(&database.url).await;
    let mut position = 0;
    for _ in 0..3 {
        stored(&store, &mut position, vec![reading(NOON, -f64::MAX)]).await;
        compact_all(&store).await;
    }
    let query = "SELECT count(*) FROM bellwire.reading_1d WHERE sum = '-Infinity' AND count = 3";
    assert_eq!(number(&client, query).await, 2);
    // Nearly there is not beyond, whichever comes first.
    for value in [1.0, -0.9 * f64::MAX, -f64::MAX] {
        stored(&store, &mut position, vec![reading(NOON + DAY, value)]).await;
        compact_all(&store).await;
        let query =
            "SELECT sum FROM bellwire.reading_1d WHERE device_id = 1 ORDER BY bucket DESC LIMIT 1";
        let sum: f64 = client.query_one(query, &[]).await.expect("a row").get(0);
        let expected = if value > -f64::MAX { value } else { f64::NEG_INFINITY };
        assert!((sum - expected).abs() < 2.0 || sum == expected, "{sum}");
    }
}

async fn days_and_ages_find_their_partitions(kind: Kind) {
    let database = kind.database().await;
    let store = database.open();
    let client = sql(&database.url).await;
    let mut position = 0;
    let mut rows: Vec<_> = (0..50)
        .map(|n| reading(NOON + n * DAY, f64::from(u32::try_from(n).expect("small"))))
        .collect();
    rows.push(reading(-20_000_000_000, 50.0));
    rows[3].metric = MetricKey(1);
    rows.push(reading(Timestamp::MAX.as_micros() / 1_000_000, 51.0));
    stored(&store, &mut position, rows).await;
    assert_eq!(compact_all(&store).await, 52);
    assert_eq!(tally(&client).await, (52, 52));
    assert_eq!(number(&client, SETTLED).await, 52);
}

#[tokio::test]
async fn each_day_has_its_partition_and_the_far_past_has_one() {
    let database = testing::database().await;
    let (store, client) = (database.open(), sql(&database.url).await);
    let mut position = 0;
    let today = number(&client, "SELECT extract(epoch FROM date_trunc('day', now()))::int8").await;
    // The last second of yesterday, the first of today, tomorrow's, and two days of 2013.
    let rows = vec![
        reading(today - 1, 1.0),
        reading(today, 2.0),
        reading(today + DAY, 3.0),
        reading(1_387_065_600, 4.0),
        reading(1_387_065_600 - 20 * DAY, 5.0),
    ];
    stored(&store, &mut position, rows).await;
    compact_all(&store).await;
    stored(&store, &mut position, vec![reading(0, 6.0)]).await;
    compact_all(&store).await;
    stored(&store, &mut position, vec![reading(today + 5, 7.0)]).await;
    compact_all(&store).await;

    let rows = client
        .query(
            "SELECT tableoid::regclass::text, count(*), min(value), \
                    bool_and(tableoid::regclass::text LIKE '%reading_past' \
                             OR right(tableoid::regclass::text, 8) \
                                = to_char(at AT TIME ZONE 'UTC', 'YYYYMMDD')) \
             FROM bellwire.reading GROUP BY 1 ORDER BY 1",
            &[],
        )
        .await
        .expect("rows");
    let counts: Vec<i64> = rows.iter().map(|row| row.get(1)).collect();
    assert_eq!(counts, [1, 2, 1, 3], "yesterday, today, tomorrow, the far past");
    for row in &rows {
        assert!(row.get::<_, bool>(3), "{} holds another day", row.get::<_, &str>(0));
    }
    let tables = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'bellwire.reading'::regclass";
    assert_eq!(number(&client, tables).await, 4);
}

#[tokio::test]
async fn sessions_that_make_the_same_days_wait_for_each_other() {
    let database = testing::database().await;
    let (one, other) = (sql(&database.url).await, sql(&database.url).await);
    let make = |day: u32| {
        format!("SELECT bellwire.ensure_reading_days(ARRAY['2100-01-{day:02}Z'::timestamptz])")
    };
    for day in 1..=10 {
        one.batch_execute(&format!("BEGIN; {}", make(day))).await.expect("made");
        // It waits for the first one's end.
        let (made, ended) = tokio::join!(async { other.batch_execute(&make(day)).await }, async {
            let waiting = "SELECT count(*) FROM pg_stat_activity \
                               WHERE datname = current_database() AND wait_event_type = 'Lock'";
            wait_until("the other waits", || async { number(&one, waiting).await == 1 }).await;
            one.batch_execute("COMMIT").await
        });
        ended.expect("committed");
        made.expect("found");
    }
}

#[tokio::test]
async fn a_partition_that_was_dropped_is_made_again() {
    let database = testing::database().await;
    let (store, client) = (database.open(), sql(&database.url).await);
    let mut position = 0;
    let today = number(&client, "SELECT extract(epoch FROM date_trunc('day', now()))::int8").await;
    stored(&store, &mut position, vec![reading(today, 1.0)]).await;
    compact_all(&store).await;
    let drop_all = "DO $$ DECLARE t text; BEGIN \
        FOR t IN SELECT inhrelid::regclass FROM pg_inherits \
            WHERE inhparent = 'bellwire.reading'::regclass \
              AND inhrelid <> 'bellwire.reading_past'::regclass \
        LOOP EXECUTE 'DROP TABLE ' || t; END LOOP; END $$";
    client.batch_execute(drop_all).await.expect("dropped");
    stored(&store, &mut position, vec![reading(today, 2.0)]).await;
    compact_all(&store).await;
    client.batch_execute(drop_all).await.expect("dropped");
    let two_days = vec![reading(today, 3.0), reading(today + DAY, 4.0)];
    stored(&store, &mut position, two_days).await;
    compact_all(&store).await;
    assert_eq!(tally(&client).await, (2, 2));
}

#[tokio::test]
async fn upkeep_makes_the_days_ahead_and_drops_those_past_retention() {
    let database = testing::database().await;
    let client = sql(&database.url).await;
    let mut config = database.config.clone();
    config.retention_days = Some(3);
    config.retention_1h_days = Some(10);
    let store = testing::TestDatabase { config, ..database }.open();
    let today = number(&client, "SELECT extract(epoch FROM date_trunc('day', now()))::int8").await;
    let mut position = 0;
    let rows = [0, 3, 4, 20, 200].map(|days| reading(today - days * DAY, 1.0));
    stored(&store, &mut position, rows.to_vec()).await;
    compact_all(&store).await;
    store.upkeep().await.expect("done");
    assert_eq!(number(&client, "SELECT count(*) FROM readings").await, 2);
    assert_eq!(number(&client, "SELECT count(*) FROM readings_1m").await, 5);
    assert_eq!(number(&client, "SELECT count(*) FROM readings_1h").await, 3);
    let ahead = "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relname LIKE 'reading\\_2%' \
                 AND right(relname, 8) > to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD')";
    assert_eq!(number(&client, ahead).await, 2);
    store.upkeep().await.expect("nothing left to do");
}

/// What a schedule would do in time: on TimescaleDB upkeep only makes the policies.
async fn run_policies(client: &Client) {
    let jobs =
        "SELECT job_id FROM timescaledb_information.jobs WHERE hypertable_schema = 'bellwire'";
    for row in client.query(jobs, &[]).await.expect("jobs") {
        let call = format!("CALL run_job({})", row.get::<_, i32>(0));
        client.batch_execute(&call).await.expect("done");
    }
}

async fn what_is_past_retention_goes(kind: Kind) {
    let database = kind.database().await;
    let client = sql(&database.url).await;
    let mut config = database.config.clone();
    config.retention_days = Some(3);
    config.retention_1m_days = Some(10);
    let store = testing::TestDatabase { config, ..database }.open();
    let today = number(&client, "SELECT extract(epoch FROM date_trunc('day', now()))::int8").await;
    let mut position = 0;
    let rows = [0, 3, 4, 20, 200].map(|days| reading(today - days * DAY, 1.0));
    for _ in 0..2 {
        stored(&store, &mut position, rows.to_vec()).await;
        compact_all(&store).await;
        store.upkeep().await.expect("done");
        if kind.mode() == Mode::Timescale {
            run_policies(&client).await;
        }
        let days = "SELECT count(DISTINCT at) FROM ";
        assert_eq!(number(&client, &format!("{days} readings")).await, 2);
        assert_eq!(number(&client, &format!("{days} readings_1m")).await, 3);
        assert_eq!(number(&client, &format!("{days} readings_1d")).await, 5);
    }
}

async fn a_changed_configuration_changes_what_goes(kind: Kind) {
    let database = kind.database().await;
    let client = sql(&database.url).await;
    let today = number(&client, "SELECT extract(epoch FROM date_trunc('day', now()))::int8").await;
    let rows = [0, 5, 20].map(|days| reading(today - days * DAY, 1.0));
    let mut config = database.config.clone();
    let mut database = database;
    for (days, minutes, left) in [(None, 60, 3), (Some(30), 0, 3), (Some(10), 90, 2), (None, 0, 2)]
    {
        config.retention_days = days;
        config.columnstore_after_minutes = minutes;
        database = testing::TestDatabase { config: config.clone(), ..database };
        let store = database.open();
        if (days, minutes) == (None, 60) {
            stored(&store, &mut 0, rows.to_vec()).await;
            compact_all(&store).await;
        }
        store.upkeep().await.expect("done");
        if kind.mode() == Mode::Timescale {
            let wanted = |key: &str, unit: &str, n: i64| {
                format!(
                    "SELECT count(*) FROM timescaledb_information.jobs \
                     WHERE hypertable_schema = 'bellwire' AND hypertable_name = 'reading' \
                       AND (config->>'{key}')::interval = interval '{n} {unit}'"
                )
            };
            let policies = "SELECT count(*) FROM timescaledb_information.jobs \
                            WHERE hypertable_schema = 'bellwire' AND hypertable_name = 'reading'";
            let (drops, columns) = (i64::from(days.is_some()), i64::from(minutes > 0));
            assert_eq!(number(&client, policies).await, drops + columns);
            let drop = wanted("drop_after", "days", days.map_or(0, i64::from));
            assert_eq!(number(&client, &drop).await, drops);
            let compress = wanted("compress_after", "minutes", minutes.into());
            assert_eq!(number(&client, &compress).await, columns);
            run_policies(&client).await;
        }
        let stored = "SELECT count(*) FROM readings";
        assert_eq!(number(&client, stored).await, left, "{days:?} days");
    }
}
