//! One device's data, given out and removed.

use std::time::Duration;

use bellwire_model::{AlertState, Reading, Timestamp};
use bellwire_store::testing::Kind;
use bellwire_store::{Database, Error, Mode, on_every_kind};
use serde_json::Value as Json;

use crate::naive::{Dice, INTO_COLUMNSTORE, N_DEVICES, N_METRICS, Naive, questions};
use crate::support::{DAY, LOG, NOON, batch, device, names, number, open, quarantined, transition};

on_every_kind! {
    what_is_erased_was_never_there,
    only_what_is_before_a_day_is_erased,
    all_there_is_of_a_device_is_given_out,
    a_device_that_is_not_known_has_no_data,
    ; native: an_erasure_that_was_interrupted_goes_on,
}

/// Readings of all devices, some carried over, some in the columnstore, some fresh.
async fn filled(kind: Kind, seed: u64) -> (Database, tokio_postgres::Client, Naive, Dice) {
    let made = kind.database().await;
    let (database, client) = open(&made).await;
    let names = names(N_DEVICES as usize, N_METRICS as usize);
    let (mut dice, mut naive) = (Dice(seed), Naive::default());
    let (mut writer, _) = database.writer(LOG).await.expect("opened");
    for round in 0..4 {
        let readings: Vec<Reading> = (0..80).map(|_| dice.reading()).collect();
        naive.0.extend(readings.iter().cloned());
        let mut stored = batch(round * 10, round * 10 + 10, readings);
        if round == 0 {
            stored.quarantined = vec![quarantined(3, NOON)];
            stored.transitions = vec![transition(10, AlertState::Inactive, AlertState::Firing)];
        }
        writer.write(&stored, &names).await.expect("stored");
        if round < 3 {
            database.compactor().run().await.expect("carried over");
        }
        if round == 1 && kind.mode() == Mode::Timescale {
            client.batch_execute(INTO_COLUMNSTORE).await.expect("compressed");
        }
    }
    (database, client, naive, dice)
}

/// Removes from the model what is of `key` and before `before`; says how much.
fn forget(naive: &mut Naive, key: u32, before: Timestamp) -> u64 {
    let n = naive.0.len();
    naive.0.retain(|reading| reading.device.0 != key || reading.at >= before);
    (n - naive.0.len()) as u64
}

async fn what_is_erased_was_never_there(kind: Kind) {
    let (database, client, mut naive, mut dice) = filled(kind, 7).await;
    let n_readings = forget(&mut naive, 0, Timestamp::MAX);
    let (mut told, gone) = (0, device(0));
    let erasing = database.erase_device(&gone, None, |so_far| {
        assert!(so_far.readings >= told);
        told = so_far.readings;
    });
    let erased = erasing.await.expect("erased").expect("known");
    assert_eq!((erased.readings, told), (n_readings, n_readings));
    assert_eq!((erased.quarantined, erased.alerts, erased.transitions), (1, 1, 1));
    let queries = database.queries().expect("valid");
    questions(&queries, &naive, &mut dice, "erased").await;
    for view in
        ["readings", "readings_1m", "readings_1h", "readings_1d", "alerts", "alert_transitions"]
    {
        let left = format!("SELECT count(*) FROM {view} WHERE device = 'device-0'");
        assert_eq!(number(&client, &left).await, 0, "{view}");
    }
    let again = database.erase_device(&device(0), None, |_| {}).await.expect("erased");
    assert_eq!(again.expect("known").readings, 0);

    // What comes later is stored as ever.
    let (mut writer, opened) = database.writer(LOG).await.expect("opened");
    let more: Vec<Reading> = (0..80).map(|_| dice.reading()).collect();
    naive.0.extend(more.iter().cloned());
    let names = names(N_DEVICES as usize, N_METRICS as usize);
    let end = opened.position.0 + 10;
    writer.write(&batch(opened.position.0, end, more), &names).await.expect("stored");
    database.compactor().run().await.expect("carried over");
    questions(&queries, &naive, &mut dice, "written to").await;
}

async fn only_what_is_before_a_day_is_erased(kind: Kind) {
    let (database, client, mut naive, mut dice) = filled(kind, 11).await;
    let midnight = Timestamp::from_secs(NOON - NOON % DAY);
    let n_readings = forget(&mut naive, 1, midnight);
    let erased = database.erase_device(&device(1), Some(midnight), |_| {}).await.expect("erased");
    assert_eq!(erased.expect("known").readings, n_readings);
    questions(&database.queries().expect("valid"), &naive, &mut dice, "erased").await;
    let left = number(&client, "SELECT count(*) FROM readings WHERE device = 'device-1'").await;
    assert!(left > 0, "the last day's are there");

    // An alert stays whole while it is open, or if it ended later.
    let n_alerts = "SELECT count(*) FROM alerts";
    let n_steps = "SELECT count(*) FROM alert_transitions";
    let later = midnight + Duration::from_secs(2 * 86_400);
    let (mut writer, opened) = database.writer(LOG).await.expect("opened");
    let gone = database.erase_device(&device(0), Some(later), |_| {}).await.expect("erased");
    let gone = gone.expect("known");
    assert_eq!((gone.quarantined, gone.alerts, gone.transitions), (1, 0, 0), "it is open");
    let end = opened.position.0 + 10;
    let mut ended = batch(opened.position.0, end, vec![]);
    ended.transitions = vec![transition(end, AlertState::Firing, AlertState::Resolved)];
    writer.write(&ended, &names(N_DEVICES as usize, N_METRICS as usize)).await.expect("stored");
    for (before, n_left) in [(midnight, 2), (later, 0)] {
        database.erase_device(&device(0), Some(before), |_| {}).await.expect("erased");
        assert_eq!(number(&client, n_steps).await, n_left);
        assert_eq!(number(&client, n_alerts).await, n_left.min(1));
    }
}

async fn lines(database: &Database, key: usize) -> Vec<Json> {
    let (mut lines, device) = (Vec::new(), device(key));
    let exporting = database.export_device(&device, |line| -> Result<(), Error> {
        lines.push(serde_json::from_str(line).expect("JSON"));
        Ok(())
    });
    let exported = exporting.await.expect("exported").expect("known");
    assert_eq!(exported.iter().map(|(_, n)| *n).sum::<u64>(), lines.len() as u64);
    lines
}

async fn all_there_is_of_a_device_is_given_out(kind: Kind) {
    let (database, _, naive, _) = filled(kind, 13).await;
    for key in 0..N_DEVICES {
        let lines = lines(&database, key as usize).await;
        let of = |kind: &str| lines.iter().filter(|line| line["type"] == kind).collect::<Vec<_>>();
        let expected = naive.0.iter().filter(|reading| reading.device.0 == key);
        let readings = of("reading");
        assert_eq!(readings.len(), expected.clone().count());
        let sum = |numbers: &mut dyn Iterator<Item = f64>| numbers.sum::<f64>();
        let found = sum(&mut readings.iter().filter_map(|line| line["value"].as_f64()));
        assert!((found - sum(&mut expected.filter_map(|it| it.value.number()))).abs() < 1e-9);
        let texts = readings.iter().filter(|line| line["text"].is_string()).count();
        let expected =
            naive.0.iter().filter(|it| it.device.0 == key && it.value.number().is_none());
        assert_eq!(texts, expected.count());
        assert_eq!(of("device").len(), 1);
        let n_of_first = usize::from(key == 0);
        assert_eq!((of("alert").len(), of("transition").len()), (n_of_first, n_of_first));
        let quarantined = of("quarantined");
        assert_eq!(quarantined.len(), n_of_first);
        if key == 0 {
            assert_eq!(quarantined[0]["payload_base64"], "AP97");
            assert_eq!(quarantined[0]["received_at"], "2024-01-15T12:00:00.000000Z");
        }
    }
}

async fn a_device_that_is_not_known_has_no_data(kind: Kind) {
    let (database, ..) = filled(kind, 17).await;
    let stranger = device(99);
    assert_eq!(database.erase_device(&stranger, None, |_| {}).await.expect("asked"), None);
    assert_eq!(database.standing(&stranger).await.expect("asked"), None);
    let exported = database.export_device(&stranger, |_| -> Result<(), Error> { Ok(()) }).await;
    assert_eq!(exported.expect("asked"), None);
    let standing = database.standing(&device(0)).await.expect("asked").expect("known");
    assert_eq!(standing.open_alerts, 1);
}

/// Cut off after the first day, as by a kill.
async fn an_erasure_that_was_interrupted_goes_on(kind: Kind) {
    let (database, client, mut naive, mut dice) = filled(kind, 19).await;
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let mut stop = Some(stop);
    let device = device(2);
    let erasing = database.erase_device(&device, None, |_| {
        if let Some(stop) = stop.take() {
            stop.send(()).expect("awaited");
        }
    });
    tokio::select! {
        biased;
        _ = stopped => {}
        _ = erasing => {}
    }
    let n_readings = forget(&mut naive, 2, Timestamp::MAX);
    let erased = database.erase_device(&device, None, |_| {}).await.expect("erased");
    assert!(erased.expect("known").readings < n_readings, "a day was gone already");
    questions(&database.queries().expect("valid"), &naive, &mut dice, "erased").await;
    assert_eq!(number(&client, "SELECT count(*) FROM readings WHERE device = 'device-2'").await, 0);
}
