//! What comes late finds its place among the columns, however much it is, and can be removed there.

use bellwire_model::{DeviceKey, MetricKey, Reading};
use bellwire_store::testing::Kind;
use bellwire_store::{Compacted, Database, Mode, Writer, on_every_kind};

use crate::naive::INTO_COLUMNSTORE;
use crate::support::{LOG, NOON, batch, device, names, number, open, reading};

on_every_kind! {
    more_comes_late_than_a_statement_may_take_out_of_columns,
    ; native:
    more_is_erased_than_a_statement_may_take_out_of_columns,
    what_came_late_goes_into_columns_in_turn,
}

/// TimescaleDB lets a statement take 100,000 rows out of columns, a batch of 1,000 at a time.
const N_SERIES: u32 = 110;
/// Minutes, of which 1,000 lie in a batch.
const N_MINUTES: u32 = 1_000;
/// The midnight before noon: all of it is of one day, and one chunk.
const MIDNIGHT: i64 = NOON - 43_200;

fn of_device(key: u32, secs: i64) -> Reading {
    Reading { device: DeviceKey(key), ..reading(secs, 1.0) }
}

async fn carry_over(database: &Database) {
    while database.compactor().run().await.expect("carried over") != Compacted::Rows(0) {
        tokio::task::yield_now().await;
    }
}

/// Writes them in batches, and has them carried over.
async fn stored(database: &Database, writer: &mut Writer, position: &mut u64, rows: &[Reading]) {
    let names = names(N_SERIES as usize, N_SERIES as usize);
    for rows in rows.chunks(20_000) {
        let written = batch(*position, *position + 10, rows.to_vec());
        writer.write(&written, &names).await.expect("stored");
        *position += 10;
    }
    carry_over(database).await;
}

async fn more_comes_late_than_a_statement_may_take_out_of_columns(kind: Kind) {
    let made = kind.database().await;
    let (database, client) = open(&made).await;
    let (mut writer, _) = database.writer(LOG).await.expect("opened");
    let all = (0..N_SERIES).flat_map(|key| {
        (0..N_MINUTES).map(move |minute| of_device(key, MIDNIGHT + i64::from(minute) * 60))
    });
    let mut position = 0;
    stored(&database, &mut writer, &mut position, &all.collect::<Vec<_>>()).await;
    if kind.mode() == Mode::Timescale {
        client.batch_execute(INTO_COLUMNSTORE).await.expect("compressed");
    }
    let late: Vec<_> = (0..N_SERIES).map(|key| of_device(key, MIDNIGHT + 30)).collect();
    stored(&database, &mut writer, &mut position, &late).await;
    for (table, first) in [("reading_1m", 2), ("reading_1h", 61), ("reading_1d", 1_001)] {
        let right = format!(
            "SELECT count(*) FROM bellwire.{table} \
             WHERE device_id > 0 AND count = {first} AND bucket = to_timestamp({MIDNIGHT})"
        );
        assert_eq!(number(&client, &right).await, i64::from(N_SERIES), "{table}");
        let total = format!("SELECT sum(count)::int8 FROM bellwire.{table} WHERE device_id > 0");
        let expected = i64::from(N_SERIES * (N_MINUTES + 1));
        assert_eq!(number(&client, &total).await, expected, "{table}");
    }
}

async fn more_is_erased_than_a_statement_may_take_out_of_columns(kind: Kind) {
    let made = kind.database().await;
    let (database, client) = open(&made).await;
    let (mut writer, _) = database.writer(LOG).await.expect("opened");
    // The same number of rows in columns, but of one device's metrics.
    let of_metric = |n, secs| Reading { metric: MetricKey(n), ..reading(secs, 1.0) };
    let all = (0..N_SERIES).flat_map(|metric| {
        (0..N_MINUTES).map(move |n| of_metric(metric, MIDNIGHT + i64::from(n) * 60))
    });
    let mut all: Vec<_> = all.collect();
    all.push(Reading { device: DeviceKey(1), ..reading(NOON, 1.0) });
    let mut position = 0;
    stored(&database, &mut writer, &mut position, &all).await;
    if kind.mode() == Mode::Timescale {
        client.batch_execute(INTO_COLUMNSTORE).await.expect("compressed");
    }
    let gone = device(0);
    let erased = database.erase_device(&gone, None, |_| {}).await.expect("erased");
    assert_eq!(erased.expect("known").readings, u64::from(N_SERIES * N_MINUTES));
    assert_eq!(number(&client, "SELECT count(*) FROM readings").await, 1);
    let of_all = "SELECT sum(count)::int8 FROM bellwire.reading_1m WHERE device_id = 0";
    assert_eq!(number(&client, of_all).await, 1);
}

/// As the policies do it in time.
async fn what_came_late_goes_into_columns_in_turn(kind: Kind) {
    if kind.mode() != Mode::Timescale {
        return;
    }
    let made = kind.database().await;
    let (database, client) = open(&made).await;
    let (mut writer, _) = database.writer(LOG).await.expect("opened");
    database.upkeep().await.expect("policies");
    let (mut position, names) = (0, names(1, 1));
    for round in 0..3_i64 {
        let rows = (0..500).map(|n| reading(MIDNIGHT + round + n * 100, 1.0)).collect();
        writer.write(&batch(position, position + 10, rows), &names).await.expect("stored");
        position += 10;
        carry_over(&database).await;
        let late = "SELECT count(*) FROM _timescaledb_catalog.chunk WHERE status & 8 <> 0";
        assert_eq!(number(&client, late).await, if round == 0 { 0 } else { 3 }, "round {round}");
        let jobs = "SELECT job_id FROM timescaledb_information.jobs \
                    WHERE hypertable_schema = 'bellwire' AND proc_name = 'policy_compression'";
        for job in client.query(jobs, &[]).await.expect("jobs") {
            let call = format!("CALL run_job({})", job.get::<_, i32>(0));
            client.batch_execute(&call).await.expect("compressed");
        }
        // Status 8: some of the chunk is in rows.
        let in_rows = "SELECT count(*) FROM _timescaledb_catalog.chunk WHERE status & 8 <> 0";
        assert_eq!(number(&client, in_rows).await, 0, "round {round}");
        assert_eq!(number(&client, "SELECT count(*) FROM readings").await, 500 * (round + 1));
    }
}
