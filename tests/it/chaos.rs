//! A day of chaos, made short: bad payloads, repetitions, cut connections, a service killed twice and a
//! database that stops. Then every publish is in one account, the accounts are what the tables have, and
//! what the fleet noted as acknowledged is in the tables, one by one.
//!
//! `BELLWIRE_TEST_PUBLISHES` sets how many come between one incident and the next (default 1,500), and
//! `BELLWIRE_TEST_RATE` how many a second (default 2,000): 43 million make it a day.

use std::collections::BTreeMap;

use crate::crash::{DATABASE_VANISHES, Victim, kill, settings};
use crate::support::dice::{Dice, from_env};
use crate::support::load::Load;
use crate::support::service::Service;

/// Rows for each device.
async fn rows_by_device(service: &Service, table: &str) -> BTreeMap<String, u64> {
    let sql =
        format!("SELECT device, count(*) FROM {table} WHERE device IS NOT NULL GROUP BY device");
    let rows = service.sql().await.query(&sql, &[]).await.unwrap();
    let count = |n: i64| u64::try_from(n).unwrap();
    rows.iter().map(|row| (row.get(0), count(row.get(1)))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_publish_is_accounted_for_and_the_tables_agree() {
    let mut service = Service::start(settings()).await;
    let rate = u32::try_from(from_env("BELLWIRE_TEST_RATE").unwrap_or(2_000)).unwrap();
    let publishes = from_env("BELLWIRE_TEST_PUBLISHES").unwrap_or(1_500);
    let mut load = Load::start(&service, "load", f64::from(rate));
    let mut dice = Dice::seeded(23);
    for victim in [Victim::Service, Victim::Database, Victim::Service] {
        load.goes_on(publishes).await;
        kill(&mut service, victim, &mut dice).await;
    }
    load.goes_on(publishes).await;
    let report = load.finish(&service).await;
    let (readings, shelf) = (
        rows_by_device(&service, "readings").await,
        rows_by_device(&service, "bellwire.quarantine").await,
    );
    let page = service.wait_for("/api/v1/audit", |page| page["audit"].is_array()).await;
    let audits = page["audit"].as_array().unwrap();
    assert_eq!(audits.len(), 20, "{page}");
    let (mut received, mut ended) = (0, [0; 4]);
    for audit in audits {
        let count = |key: &str| audit[key].as_u64().unwrap();
        let ends = ["stored", "duplicate", "quarantined", "refused"].map(count);
        assert_eq!(count("received"), ends.iter().sum::<u64>(), "{audit}");
        let device = audit["device"].as_str().unwrap();
        assert_eq!(count("readings"), readings.get(device).copied().unwrap_or(0), "{audit}");
        assert_eq!(count("quarantined"), shelf.get(device).copied().unwrap_or(0), "{audit}");
        received += count("received");
        ended.iter_mut().zip(ends).for_each(|(sum, n)| *sum += n);
    }
    assert!(ended[..3].iter().all(|n| *n > 10), "each of it happened: {ended:?}");
    // What was cut may have come in without its answer: more may be there than was acknowledged.
    assert!(received >= report.progress.acknowledged, "{received}: {:?}", report.progress);
    let table = service.run(&["audit"]).await;
    assert!(table.lines().last().unwrap().starts_with("20 devices"), "{table}");
    assert!(service.stop().await.success());
    service.assert_quiet(&DATABASE_VANISHES);
}
