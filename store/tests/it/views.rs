//! The views that dashboards ask say what the tables say.

use bellwire_model::batch::LedgerRow;
use bellwire_model::{DeviceKey, DeviceLedger, LedgerFlush, LogId, SeqLedger, Timestamp};
use bellwire_store::on_every_kind;
use bellwire_store::testing::Kind;

use crate::support::{LOG, NOON, batch, names, number, open, quarantined, readings};

on_every_kind! {
    accounts_add_up_over_logs,
    the_fleet_is_all_devices_together,
    all_bytes_are_somewhere,
}

fn row(device: u32, received: u64) -> LedgerRow {
    let seq = SeqLedger { gaps: vec![(3, 4), (7, 7)], ..SeqLedger::default() };
    let at = Timestamp::from_secs(NOON);
    LedgerRow {
        device: DeviceKey(device),
        first_seen: at,
        last_seen: at,
        ledger: DeviceLedger { received, stored: received, seq, ..DeviceLedger::default() },
    }
}

async fn accounts_add_up_over_logs(kind: Kind) {
    let database = kind.database().await;
    let (store, client) = open(&database).await;
    for (log, received) in [(LOG, 5), (LogId(LOG.0 + 1), 7)] {
        let (mut writer, _) = store.writer(log).await.expect("opened");
        let mut first = batch(0, 100, Vec::new());
        let devices = vec![row(0, received), row(1, 1)];
        first.ledger = Some(LedgerFlush { devices });
        first.quarantined = vec![quarantined(40, NOON)];
        writer.write(&first, &names(2, 1)).await.expect("stored");
    }
    let account = "SELECT received, stored, seq_gaps FROM accounts WHERE device = 'device-0'";
    let found = client.query_one(account, &[]).await.expect("one");
    assert_eq!((found.get(0), found.get(1), found.get(2)), (12_i64, 12_i64, 4_i64));
    assert_eq!(number(&client, "SELECT count(*) FROM accounts").await, 2);
    let lies = "SELECT count(*) FROM quarantined WHERE device = 'device-0' AND bytes = 3";
    assert_eq!(number(&client, lies).await, 2);
}

async fn the_fleet_is_all_devices_together(kind: Kind) {
    let database = kind.database().await;
    let (store, client) = open(&database).await;
    let (mut writer, _) = store.writer(LOG).await.expect("opened");
    let mut rows = readings(0, 600);
    rows.iter_mut().step_by(3).for_each(|reading| reading.device = DeviceKey(1));
    writer.write(&batch(0, 100, rows), &names(2, 1)).await.expect("stored");
    store.compactor().run().await.expect("carried over");
    for level in ["1m", "1h", "1d"] {
        let merged = format!(
            "(SELECT at, sum(count) AS count, sum(avg * count) / sum(count) AS avg, min(min) AS min, \
              max(max) AS max FROM readings_{level} GROUP BY at)"
        );
        let differs = format!(
            "SELECT count(*) FROM fleet_{level} f FULL JOIN {merged} r USING (at) \
             WHERE (f.count, f.min, f.max) IS DISTINCT FROM (r.count, r.min, r.max) \
                   OR abs(f.avg - r.avg) > 1e-6"
        );
        assert_eq!(number(&client, &differs).await, 0, "{level}");
        let counted = format!("SELECT sum(count)::int8 FROM fleet_{level}");
        assert_eq!(number(&client, &counted).await, 600, "{level}");
    }
}

async fn all_bytes_are_somewhere(kind: Kind) {
    let database = kind.database().await;
    let (store, client) = open(&database).await;
    let (mut writer, _) = store.writer(LOG).await.expect("opened");
    let of = "SELECT bytes FROM storage WHERE part = 'readings'";
    let before = number(&client, of).await;
    writer.write(&batch(0, 100, readings(0, 20_000)), &names(1, 1)).await.expect("stored");
    store.compactor().run().await.expect("carried over");
    let after = number(&client, of).await;
    assert!(after > before + 500_000, "{before} → {after}");
    let all = "SELECT (sum(bytes) - pg_database_size(current_database()))::int8 FROM storage";
    assert_eq!(number(&client, all).await, 0);
    let odd = "SELECT count(*) FROM storage WHERE bytes <= 0 OR part IS NULL";
    assert_eq!(number(&client, odd).await, 0);
}
