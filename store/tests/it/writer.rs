//! What the writer stores, and that it is stored once.

use bellwire_model::batch::LedgerRow;
use bellwire_model::{
    AlertState, DeviceKey, DeviceLedger, LedgerFlush, LogId, LogPosition, MetricKey, SeqLedger,
    Timestamp, Value,
};
use bellwire_store::testing::Kind;
use bellwire_store::{Error, Opened, WriteError, on_every_kind};

use crate::support::{
    LOG, NOON, batch, names, number, open, quarantined, reading, readings, tally, transition,
};

on_every_kind! {
    an_empty_database_is_migrated_once,
    two_who_migrate_at_once_migrate_once,
    what_is_written_reads_back_from_the_views,
    units_stand_as_they_were_said_last_and_payloads_leave_quarantine,
    the_ledger_replaces_what_was_stored_and_carries_its_own_position,
    of_two_writers_the_older_is_fenced,
    a_batch_that_is_there_already_is_not_stored_again,
    a_batch_from_elsewhere_is_refused,
    what_the_database_refuses_leaves_nothing_and_names_the_row,
    writers_that_meet_the_same_names_agree_on_their_ids,
    texts_and_times_at_their_ends_are_stored,
}

async fn an_empty_database_is_migrated_once(kind: Kind) {
    let database = kind.empty_database().await.open();
    let refusal = database.writer(LOG).await.expect_err("there are no tables");
    assert!(matches!(refusal, Error::NotMigrated), "{refusal}");
    let first = database.migrate().await.expect("migrated");
    let again = database.migrate().await.expect("nothing to do");
    assert_eq!((first.from, again.from), (0, first.to));
    assert_eq!(again.to, first.to);
}

async fn two_who_migrate_at_once_migrate_once(kind: Kind) {
    let database = kind.empty_database().await;
    let (one, other) = (database.open(), database.open());
    let (one, other) = tokio::join!(one.migrate(), other.migrate());
    let (one, other) = (one.expect("migrated"), other.expect("migrated"));
    assert_eq!(one.from.min(other.from), 0);
    assert_eq!(one.from.max(other.from), one.to);
}

async fn what_is_written_reads_back_from_the_views(kind: Kind) {
    let database = kind.database().await;
    let (store, client) = open(&database).await;
    let (mut writer, opened) = store.writer(LOG).await.expect("opened");
    let fresh =
        Opened { position: LogPosition::ZERO, ledger_position: LogPosition::ZERO, epoch: 1 };
    assert_eq!(opened, fresh);
    let names = names(2, 2);
    let mut first = batch(0, 100, vec![reading(NOON, 1.5), reading(NOON, 1.5)]);
    first.readings[1].device = DeviceKey(1);
    first.readings[1].metric = MetricKey(1);
    first.readings[1].value = Value::Text("auf\0 – zu".into());
    first.quarantined = vec![quarantined(40, NOON)];
    first.transitions = vec![
        transition(10, AlertState::Inactive, AlertState::Firing),
        transition(60, AlertState::Firing, AlertState::Resolved),
    ];
    writer.write(&first, &names).await.expect("stored");

    let rows = client.query(
        "SELECT device || '/' || metric || '/' || coalesce(value::text, '') || '/' || \
         coalesce(text, '') || '/' || extract(epoch FROM at)::int8 FROM readings ORDER BY device",
        &[],
    );
    let lines: Vec<String> = rows.await.expect("rows").iter().map(|row| row.get(0)).collect();
    assert_eq!(
        lines,
        [
            format!("device-0/metric-0/1.5//{NOON}"),
            format!("device-1/metric-1//auf\u{fffd} – zu/{NOON}"),
        ]
    );
    let alerts = "SELECT count(*) FROM alerts WHERE rule = 'too-warm' AND device = 'device-0' \
                  AND state = 'resolved' AND severity = 'critical' AND value = -3.5 \
                  AND resolved_at = fired_at AND length(id) = 16";
    assert_eq!(number(&client, alerts).await, 1);
    let steps = "SELECT count(*) FROM alert_transitions t JOIN alerts a ON a.id = t.alert_id \
                 WHERE (from_state, to_state) IN (('inactive', 'firing'), ('firing', 'resolved'))";
    assert_eq!(number(&client, steps).await, 2);
    assert_eq!(number(&client, "SELECT count(*) FROM devices WHERE labels = '{}'").await, 2);
    let position = "SELECT position FROM bellwire.log_position";
    assert_eq!(number(&client, position).await, 100);
}

async fn units_stand_as_they_were_said_last_and_payloads_leave_quarantine(kind: Kind) {
    let database = kind.database().await;
    let (store, client) = open(&database).await;
    let names = names(2, 2);
    let (mut writer, _) = store.writer(LOG).await.expect("opened");
    let unit = |device, metric, unit: &str| (DeviceKey(device), MetricKey(metric), unit.into());
    let mut first = batch(0, 100, Vec::new());
    first.units = vec![unit(0, 0, "K"), unit(1, 1, "%RH"), unit(0, 0, "Cel")];
    first.quarantined = vec![quarantined(40, NOON), quarantined(41, NOON)];
    writer.write(&first, &names).await.expect("stored");
    let mut second = batch(100, 200, vec![reading(NOON, 1.5)]);
    second.units = vec![unit(1, 1, "%")];
    // What comes in and leaves in one batch, and what is not there any more.
    second.quarantined = vec![quarantined(140, NOON)];
    second.unshelved = [(40, 0), (140, 0), (77, 3)].map(|(at, n)| (LogPosition(at), n)).into();
    writer.write(&second, &names).await.expect("stored");
    let units =
        "SELECT string_agg(device || ' ' || metric || ' ' || unit, ',' ORDER BY device) FROM units";
    let row = client.query_one(units, &[]).await.expect("answers");
    assert_eq!(row.get::<_, &str>(0), "device-0 metric-0 Cel,device-1 metric-1 %");
    let left = "SELECT position FROM bellwire.quarantine";
    assert_eq!(number(&client, left).await, 41);
}

async fn the_ledger_replaces_what_was_stored_and_carries_its_own_position(kind: Kind) {
    let database = kind.database().await;
    let (store, _) = open(&database).await;
    let names = names(2, 1);
    let (mut writer, _) = store.writer(LOG).await.expect("opened");
    let row = |key, received, gaps: &[(u64, u64)]| LedgerRow {
        device: DeviceKey(key),
        first_seen: Timestamp::from_secs(NOON),
        last_seen: Timestamp::from_secs(NOON + i64::try_from(received).expect("small")),
        ledger: DeviceLedger {
            received,
            stored: received,
            readings: 3 * received,
            seq: SeqLedger { last: Some(received), gaps: gaps.to_vec(), resets: 1 },
            ..DeviceLedger::default()
        },
    };
    let mut first = batch(0, 10, vec![]);
    first.ledger =
        Some(LedgerFlush { devices: vec![row(0, 5, &[(1, 2), (4, 4)]), row(1, 1, &[])] });
    writer.write(&first, &names).await.expect("stored");
    writer.write(&batch(10, 20, vec![]), &names).await.expect("stored");
    let mut last = batch(20, 20, vec![]);
    last.ledger = Some(LedgerFlush { devices: vec![row(0, 9, &[])] });
    let (_, opened) = store.writer(LogId(77)).await.expect("another log");
    assert_eq!(opened.position, LogPosition::ZERO);
    let queries = store.queries().expect("valid");
    let committed = queries.committed(LOG).await.expect("answers").expect("known");
    assert_eq!(committed.ledger_position, LogPosition(10));
    assert_eq!(committed.position, LogPosition(20));

    writer.write(&last, &names).await.expect("a ledger alone needs no extent");
    let committed = queries.committed(LOG).await.expect("answers").expect("known");
    assert_eq!(committed.ledger_position, LogPosition(20));
    let mut ledger = queries.load_ledger(LOG).await.expect("answers");
    ledger.sort_by(|a, b| a.device.cmp(&b.device));
    assert_eq!(ledger.len(), 2);
    assert_eq!(ledger[0].ledger, row(0, 9, &[]).ledger);
    assert_eq!(ledger[0].last_seen, row(0, 9, &[]).last_seen);
    assert_eq!(ledger[1].ledger, row(1, 1, &[]).ledger);
    let one = queries.ledger(LOG, &ledger[1].device).await.expect("answers");
    assert_eq!(one.as_ref(), Some(&ledger[1]));
    assert_eq!(queries.load_ledger(LogId(77)).await.expect("answers"), []);
}

async fn of_two_writers_the_older_is_fenced(kind: Kind) {
    let database = kind.database().await;
    let (store, client) = open(&database).await;
    let names = names(1, 1);
    let (mut older, _) = store.writer(LOG).await.expect("opened");
    older.write(&batch(0, 10, readings(0, 10)), &names).await.expect("stored");
    let (mut newer, opened) = store.writer(LOG).await.expect("opened");
    assert_eq!((opened.position, opened.epoch), (LogPosition(10), 2));
    for _ in 0..2 {
        let fenced = older.write(&batch(10, 20, readings(10, 10)), &names).await;
        assert!(matches!(fenced, Err(WriteError::Fenced)), "{fenced:?}");
    }
    newer.write(&batch(10, 20, readings(10, 10)), &names).await.expect("stored");
    assert_eq!(tally(&client).await, (20, 20));
}

async fn a_batch_that_is_there_already_is_not_stored_again(kind: Kind) {
    let database = kind.database().await;
    let (store, client) = open(&database).await;
    let names = names(1, 1);
    let (mut writer, _) = store.writer(LOG).await.expect("opened");
    for _ in 0..2 {
        writer.write(&batch(0, 10, readings(0, 10)), &names).await.expect("stored");
    }
    assert_eq!(tally(&client).await, (10, 10));
}

async fn a_batch_from_elsewhere_is_refused(kind: Kind) {
    let database = kind.database().await;
    let (store, client) = open(&database).await;
    let names = names(1, 1);
    let (mut writer, _) = store.writer(LOG).await.expect("opened");
    let error = writer.write(&batch(5, 10, readings(0, 10)), &names).await;
    assert!(
        matches!(error, Err(WriteError::Diverged { found: Some(LogPosition::ZERO), .. })),
        "{error:?}"
    );
    client.execute("DELETE FROM bellwire.log_position", &[]).await.expect("deleted");
    let error = writer.write(&batch(0, 10, readings(0, 10)), &names).await;
    assert!(matches!(error, Err(WriteError::Diverged { found: None, .. })), "{error:?}");
    assert_eq!(tally(&client).await, (0, 0));
}

async fn what_the_database_refuses_leaves_nothing_and_names_the_row(kind: Kind) {
    let database = kind.database().await;
    let (store, client) = open(&database).await;
    client
        .batch_execute("ALTER TABLE bellwire.fresh_0 ADD CONSTRAINT no_seven CHECK (value <> 7)")
        .await
        .expect("altered");
    let names = names(1, 1);
    let (mut writer, _) = store.writer(LOG).await.expect("opened");
    let refused = writer.write(&batch(0, 10, readings(0, 10)), &names).await;
    assert!(matches!(refused, Err(WriteError::Refused { row: Some(8), .. })), "{refused:?}");
    assert_eq!(tally(&client).await, (0, 0));
    client
        .batch_execute("ALTER TABLE bellwire.fresh_0 DROP CONSTRAINT no_seven")
        .await
        .expect("altered");
    writer.write(&batch(0, 10, readings(0, 10)), &names).await.expect("stored");
    assert_eq!(tally(&client).await, (10, 10));
}

async fn writers_that_meet_the_same_names_agree_on_their_ids(kind: Kind) {
    let database = kind.database().await;
    let (store, client) = open(&database).await;
    let one_names = names(300, 3);
    let other_names = bellwire_model::SharedNames::default();
    other_names.write(|names| {
        for n in (0..300).rev() {
            names.add_device(&crate::support::device(n)).expect("room");
        }
        names.add_metric(&crate::support::metric(0)).expect("room");
    });
    let rows: Vec<_> = (0..300)
        .map(|n| {
            let mut row = reading(NOON, f64::from(n));
            row.device = DeviceKey(n);
            row
        })
        .collect();
    let (mut one, _) = store.writer(LogId(1)).await.expect("opened");
    let (mut other, _) = store.writer(LogId(2)).await.expect("opened");
    let (first, second) = (batch(0, 10, rows.clone()), batch(0, 10, rows));
    let (first, second) =
        tokio::join!(one.write(&first, &one_names), other.write(&second, &other_names));
    first.expect("stored");
    second.expect("stored");
    let devices = "SELECT count(*) FROM bellwire.device WHERE id <= 600";
    assert_eq!(number(&client, devices).await, 300);
    // One counted up the devices, the other down.
    let pairs = "SELECT count(*) FROM (SELECT device FROM readings GROUP BY device \
                 HAVING count(*) = 2 AND sum(value) = 299) t";
    assert_eq!(number(&client, pairs).await, 300);
}

async fn texts_and_times_at_their_ends_are_stored(kind: Kind) {
    let database = kind.database().await;
    let (store, client) = open(&database).await;
    let names = names(1, 1);
    let (mut writer, _) = store.writer(LOG).await.expect("opened");
    let mut rows = vec![reading(0, f64::MIN_POSITIVE), reading(NOON, f64::NAN)];
    rows[1].value = Value::Text("\0".repeat(Value::TEXT_BYTES_MAX).into());
    rows.push(reading(NOON, -0.0));
    rows[2].at = Timestamp::from_micros(i64::MIN);
    let mut batch = batch(0, 10, rows);
    batch.quarantined = vec![quarantined(1, 0)];
    batch.quarantined[0].detail = "has a \0 in it".into();
    batch.quarantined[0].payload = Vec::new().into();
    writer.write(&batch, &names).await.expect("stored");
    let texts = "SELECT count(*) FROM readings WHERE text = repeat(U&'\\FFFD', 1024)";
    assert_eq!(number(&client, texts).await, 1);
    let details = "SELECT count(*) FROM bellwire.quarantine WHERE detail = U&'has a \\FFFD in it'";
    assert_eq!(number(&client, details).await, 1);
    let past = "SELECT count(*) FROM readings WHERE at < '4000-01-01 BC'";
    assert_eq!(number(&client, past).await, 1);
}
