//! From each earlier schema, with data, to the newest: nothing is lost, everything is answered.

use std::fmt::Write as _;

use bellwire_model::{LogPosition, MetricKey, Reading, Value};
use bellwire_store::testing::Kind;
use bellwire_store::{Mode, on_every_kind};
use tokio_postgres::Client;

use crate::naive::{Dice, N_DEVICES, N_METRICS, Naive, questions};
use crate::support::{DAY, LOG, NOON, batch, names, number, reading, sql};

on_every_kind! { every_earlier_schema_with_data_becomes_the_newest }

/// What an older program had stored: late, future and odd readings, and some that no sum can hold.
fn stored(dice: &mut Dice) -> Vec<Reading> {
    let mut readings: Vec<Reading> = (0..150).map(|_| dice.reading()).collect();
    readings.extend([(0, 1e308), (1, 1e308)].map(|(secs, number)| Reading {
        metric: MetricKey(N_METRICS),
        ..reading(NOON + 2 * DAY + secs, number)
    }));
    readings
}

/// The readings as rows of a table `staged`.
fn staged(readings: &[Reading]) -> String {
    let mut sql = "CREATE TEMP TABLE staged \
         (at timestamptz, device_id int4, metric_id int4, value float8, text text); \
         INSERT INTO staged VALUES"
        .to_owned();
    for (n, reading) in readings.iter().enumerate() {
        let (value, text) = match &reading.value {
            Value::Number(number) => (format!("'{number:e}'"), "NULL".to_owned()),
            Value::Text(text) => ("NULL".to_owned(), format!("'{text}'")),
        };
        let micros = reading.at.as_micros();
        let (device, metric) = (reading.device.0 + 1, reading.metric.0 + 1);
        let comma = if n == 0 { "" } else { "," };
        write!(
            sql,
            "{comma} (timestamptz 'epoch' + {micros} * interval '1 microsecond', {device}, {metric}, \
             {value}, {text})"
        )
        .expect("into memory");
    }
    sql
}

const DAYS: &str = "SELECT bellwire.ensure_reading_days(array_agg(DISTINCT \
    date_trunc('day', at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC')) FROM staged";

/// The rollups as version 4 kept them, of what is in `reading`.
const ROLLUPS: &str = "SET timezone = 'UTC'; \
    INSERT INTO bellwire.reading_WIDTH \
    SELECT date_bin('BIN', at, 'epoch'), coalesce(device_id, 0), metric_id, count(*), \
           CASE WHEN max(abs(value)) > 1e300 THEN 'Infinity' ELSE sum(value / 2::float8 ^ 64) * 2::float8 ^ 64 END, \
           min(value), max(value), min(at), (array_agg(value ORDER BY at, value))[1], \
           max(at), (array_agg(value ORDER BY at DESC, value DESC))[1] \
    FROM bellwire.reading WHERE value IS NOT NULL \
    GROUP BY GROUPING SETS ((1, device_id, metric_id), (1, metric_id));";

/// Fills a database of schema `version` as that version's program did; the last `n_fresh` readings
/// wait to be carried over, where there is such a thing.
async fn fill(client: &Client, mode: Mode, version: i32, readings: &[Reading], n_fresh: usize) {
    let run = async |sql: String| {
        let done = client.batch_execute(&sql).await;
        done.unwrap_or_else(|error| panic!("version {version}: {error:?} in {sql:.200}"));
    };
    run(format!(
        "INSERT INTO bellwire.device (name) SELECT 'device-' || n FROM generate_series(0, {N_DEVICES} - 1) n; \
         INSERT INTO bellwire.metric (name) SELECT 'metric-' || n FROM generate_series(0, {N_METRICS}) n; \
         INSERT INTO bellwire.log_position (log, epoch, position, ledger_position) \
             VALUES ('{LOG}', 3, 70, 60); \
         INSERT INTO bellwire.quarantine VALUES \
             (1, 5, 0, now(), 'device-0', 'devices/device-0/telemetry', '\\x00', 'bad_json', '')"
    ))
    .await;
    if version < 2 {
        return;
    }
    run(staged(readings)).await;
    if mode == Mode::Plain {
        run(DAYS.to_owned()).await;
    }
    let n_kept = if version < 3 { readings.len() } else { readings.len() - n_fresh };
    run(format!("INSERT INTO bellwire.reading SELECT * FROM staged LIMIT {n_kept}")).await;
    if version >= 3 {
        run(format!(
            "INSERT INTO bellwire.fresh_0 SELECT * FROM staged OFFSET {n_kept}; \
             UPDATE bellwire.log_position SET fresh_rows = {n_fresh}"
        ))
        .await;
    }
    if version >= 4 {
        for (width, bin) in [("1m", "1 minute"), ("1h", "1 hour"), ("1d", "1 day")] {
            let rollups = ROLLUPS.replace("WIDTH", width).replace("BIN", bin);
            run(rollups.replace("(1,", &format!("(date_bin('{bin}', at, 'epoch'),"))).await;
        }
    }
    run("DROP TABLE staged".to_owned()).await;
}

async fn every_earlier_schema_with_data_becomes_the_newest(kind: Kind) {
    let mut version = 0;
    loop {
        version += 1;
        let made = kind.empty_database().await;
        let newest = made.migrate_to(version).await;
        if version >= newest {
            break;
        }
        let client = sql(&made.url).await;
        let mut dice = Dice(u64::from(version.unsigned_abs()));
        let mut naive = Naive(stored(&mut dice));
        fill(&client, kind.mode(), version, &naive.0, 40).await;
        let database = made.open();
        let migrated = database.migrate().await.expect("migrated");
        assert_eq!((migrated.from, migrated.to), (version, newest));
        if version < 2 {
            naive.0.clear();
        }
        let count = i64::try_from(naive.0.len()).expect("few");
        assert_eq!(number(&client, "SELECT count(*) FROM readings").await, count);
        assert_eq!(number(&client, "SELECT count(*) FROM bellwire.quarantine").await, 1);
        let queries = database.queries().expect("valid");
        let what = |when: &str| format!("from version {version}, {when}");
        questions(&queries, &naive, &mut dice, &what("migrated")).await;

        // And work goes on.
        let (mut writer, opened) = database.writer(LOG).await.expect("opened");
        assert_eq!((opened.position, opened.epoch), (LogPosition(70), 4));
        let more: Vec<Reading> = (0..60).map(|_| dice.reading()).collect();
        naive.0.extend(more.iter().cloned());
        let names = names(N_DEVICES as usize, N_METRICS as usize);
        writer.write(&batch(70, 80, more), &names).await.expect("stored");
        questions(&queries, &naive, &mut dice, &what("written to")).await;
        database.compactor().run().await.expect("carried over");
        database.upkeep().await.expect("looked after");
        questions(&queries, &naive, &mut dice, &what("carried over")).await;
        let great = "SELECT coalesce(sum(count), 0)::int8 FROM readings_1m WHERE max > 1e300";
        let expected = if version < 2 { 0 } else { 2 };
        assert_eq!(number(&client, great).await, expected, "{}", what("great numbers"));
    }
    assert!(version > 1, "there are earlier ones");
}
