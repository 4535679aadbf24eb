//! What the API is answered.

use std::time::Duration;

use bellwire_model::{
    AlertState, Cursor, DeviceId, DeviceKey, LogId, LogPosition, MetricKey, Quarantined,
    RejectReason, Timestamp, Value,
};
use bellwire_store::on_every_kind;
use bellwire_store::testing::{Kind, TestDatabase};
use bellwire_store::{
    AlertPage, Cleared, Mode, QuarantineFilter, QuarantinePlace, Queries, ReadingPlace, TimeRange,
};

use crate::support::{
    LOG, NOON, batch, device, metric, names, quarantined, reading, sql, transition,
};

on_every_kind! {
    pages_of_readings_miss_and_repeat_nothing,
    a_range_ends_before_its_end_and_knows_one_metric,
    buckets_gather_numbers_and_leave_texts_out,
    numbers_too_great_to_add_are_no_error,
    devices_come_in_pages_in_order,
    an_alert_reads_back_as_its_last_transition_left_it,
    transitions_follow_a_cursor,
    quarantined_payloads_come_newest_first,
    quarantine_is_as_old_and_as_large_as_it_may_be,
    the_database_tells_what_it_is,
}

/// Writes readings of two devices and metrics, quarantined payloads and an alert's life.
async fn filled(kind: Kind) -> Queries {
    let store = kind.database().await.open();
    let names = names(2, 2);
    let (mut writer, _) = store.writer(LOG).await.expect("opened");
    let mut rows = Vec::new();
    for n in 0..10 {
        let mut row = reading(NOON + n / 2 * 60, n as f64);
        row.metric = MetricKey(u32::from(n % 2 == 1));
        rows.push(row);
    }
    rows.push(reading(NOON, 0.0));
    rows.push(reading(NOON, 100.0));
    rows[11].device = DeviceKey(1);
    rows.push(reading(NOON + 60, 0.0));
    rows[12].value = Value::Text("open".into());
    let mut first = batch(0, 100, rows);
    first.quarantined =
        (0..5).map(|n| quarantined(n, NOON + i64::try_from(n).expect("small"))).collect();
    first.quarantined[4].device = None;
    first.transitions = vec![transition(10, AlertState::Inactive, AlertState::Pending)];
    writer.write(&first, &names).await.expect("stored");
    let mut second = batch(100, 200, vec![]);
    second.transitions = vec![
        transition(120, AlertState::Pending, AlertState::Firing),
        transition(130, AlertState::Firing, AlertState::Resolved),
    ];
    writer.write(&second, &names).await.expect("stored");
    store.queries().expect("valid")
}

const HOUR: TimeRange =
    TimeRange { from: Timestamp::from_secs(NOON), to: Timestamp::from_secs(NOON + 3600) };

async fn pages_of_readings_miss_and_repeat_nothing(kind: Kind) {
    let queries = filled(kind).await;
    let all = queries.readings(&device(0), None, HOUR, None, 100).await.expect("answers");
    assert_eq!(all.len(), 12);
    assert!(all.is_sorted_by_key(|row| row.at));
    assert!(all.iter().any(|row| row.value == Value::Text("open".into())));
    for page_size in 1..5 {
        let (mut paged, mut place) = (Vec::new(), None);
        loop {
            let page =
                queries.readings(&device(0), None, HOUR, place, page_size).await.expect("answers");
            let Some(next) = ReadingPlace::after(&page, place) else { break };
            place = Some(next);
            paged.extend(page);
        }
        assert_eq!(paged, all, "pages of {page_size}");
    }
}

async fn a_range_ends_before_its_end_and_knows_one_metric(kind: Kind) {
    let queries = filled(kind).await;
    let range = TimeRange { to: Timestamp::from_secs(NOON + 60), ..HOUR };
    let rows = queries.readings(&device(0), Some(&metric(1)), range, None, 100).await;
    let values: Vec<_> = rows.expect("answers").into_iter().map(|row| row.value).collect();
    assert_eq!(values, [Value::Number(1.0)]);
    let stranger = DeviceId::new("stranger").expect("valid");
    let rows = queries.readings(&stranger, None, HOUR, None, 100).await.expect("answers");
    assert_eq!(rows, []);
}

async fn buckets_gather_numbers_and_leave_texts_out(kind: Kind) {
    let queries = filled(kind).await;
    let width = Duration::from_secs(120);
    let buckets = queries
        .buckets(Some(&device(0)), Some(&metric(0)), HOUR, width, 100)
        .await
        .expect("answers");
    let numbers: Vec<_> = buckets.iter().map(|b| (b.min, b.max, b.count)).collect();
    // Minutes 0 and 1 (0, 0, 2), 2 and 3 (4, 6), 4 (8).
    assert_eq!(numbers, [(0.0, 2.0, 3), (4.0, 6.0, 2), (8.0, 8.0, 1)]);
    assert_eq!(buckets[1].at, Timestamp::from_secs(NOON + 120));
    assert!((buckets[0].avg - 2.0 / 3.0).abs() < 1e-9);
}

/// Where the readings are: in memory, in a fresh table, or carried over.
async fn numbers_too_great_to_add_are_no_error(kind: Kind) {
    for (recent_readings_max, is_carried) in [(1_000, false), (1, false), (1, true)] {
        let database = kind.database().await;
        let config = bellwire_store::Config { recent_readings_max, ..database.config.clone() };
        let store = TestDatabase { config, ..database }.open();
        let (mut writer, _) = store.writer(LOG).await.expect("opened");
        // Three minutes: two that add up to no number, one that does, and one of both signs.
        let numbers = [(0, 1e308), (1, 1e308), (60, 1e300), (61, 2.5), (120, 1e308), (121, -1e308)];
        let rows = numbers.map(|(secs, number)| reading(NOON + secs, number)).to_vec();
        writer.write(&batch(0, 10, rows), &names(1, 1)).await.expect("stored");
        if is_carried {
            store.compactor().run().await.expect("carried over");
        }
        let queries = store.queries().expect("valid");
        for device in [None, Some(device(0))] {
            let means = async |secs: u64| {
                let width = Duration::from_secs(secs);
                let found = queries.buckets(device.as_ref(), None, HOUR, width, 100).await;
                found.expect("answers").into_iter().map(|it| it.avg).collect::<Vec<_>>()
            };
            assert_eq!(means(60).await, [f64::INFINITY, 5e299, 0.0]);
            assert_eq!(means(20).await, [f64::INFINITY, 5e299, 0.0]);
            assert_eq!(means(3_600).await, [f64::INFINITY]);
        }
    }
}

async fn devices_come_in_pages_in_order(kind: Kind) {
    let queries = filled(kind).await;
    let first = queries.devices(None, 1).await.expect("answers");
    let rest = queries.devices(Some(&first[0].device), 10).await.expect("answers");
    let devices: Vec<_> = first.iter().chain(&rest).map(|row| row.device.clone()).collect();
    assert_eq!(devices, [device(0), device(1)]);
    assert_eq!(first[0].first_seen, None);
}

async fn an_alert_reads_back_as_its_last_transition_left_it(kind: Kind) {
    let queries = filled(kind).await;
    let last = transition(130, AlertState::Firing, AlertState::Resolved).alert;
    let all = AlertPage { limit: 10, ..AlertPage::default() };
    assert_eq!(queries.alerts(&all).await.expect("answers"), std::slice::from_ref(&last));
    assert_eq!(queries.alert(last.id).await.expect("answers").as_ref(), Some(&last));
    let firing = AlertPage { states: vec![AlertState::Firing], ..all.clone() };
    assert_eq!(queries.alerts(&firing).await.expect("answers"), []);
    let next = AlertPage { after: Some((last.since, last.id)), ..all.clone() };
    assert_eq!(queries.alerts(&next).await.expect("answers"), []);
    let others = AlertPage { device: Some(device(1).into()), ..all };
    assert_eq!(queries.alerts(&others).await.expect("answers"), []);
}

async fn transitions_follow_a_cursor(kind: Kind) {
    let queries = filled(kind).await;
    let all = [
        transition(10, AlertState::Inactive, AlertState::Pending),
        transition(120, AlertState::Pending, AlertState::Firing),
        transition(130, AlertState::Firing, AlertState::Resolved),
    ];
    let mut cursor = Cursor { log: LOG, position: LogPosition(10), ordinal: 0 };
    let after = queries.transitions_after(cursor, 10).await.expect("answers");
    assert_eq!(after.as_deref(), Some(&all[..]));
    cursor.ordinal = 1;
    let after = queries.transitions_after(cursor, 1).await.expect("answers");
    assert_eq!(after.as_deref(), Some(&all[1..2]));
    cursor.position = LogPosition(130);
    let after = queries.transitions_after(cursor, 10).await.expect("answers");
    assert_eq!(after.as_deref(), Some(&[][..]));
    cursor.log = LogId(404);
    assert_eq!(queries.transitions_after(cursor, 10).await.expect("answers"), None);
}

async fn quarantined_payloads_come_newest_first(kind: Kind) {
    let queries = filled(kind).await;
    let any = QuarantineFilter::default();
    let first = queries.quarantine(&any, None, 2).await.expect("answers");
    let last = &first.last().expect("two").quarantined;
    let rest = queries.quarantine(&any, Some(QuarantinePlace::from(last)), 10).await;
    let rest = rest.expect("answers");
    let positions: Vec<_> =
        first.iter().chain(&rest).map(|row| row.quarantined.position.0).collect();
    assert_eq!(positions, [4, 3, 2, 1, 0]);
    assert_eq!(rest[0].quarantined, quarantined(2, NOON + 2));
    assert_eq!(rest[0].log, LOG);
    let committed = queries.committed(LOG).await.expect("answers").expect("known");
    assert_eq!(rest[0].seen_at, committed.position);
    let time = |secs| Some(Timestamp::from_secs(NOON + secs));
    let topic = |text: &str| Some(text.to_owned());
    for (filter, expected) in [
        (QuarantineFilter { device: Some(device(0)), ..any.clone() }, &[3, 2, 1, 0][..]),
        (QuarantineFilter { reason: Some(RejectReason::BadJson), ..any.clone() }, &[4, 3, 2, 1, 0]),
        (QuarantineFilter { reason: Some(RejectReason::BadUtf8), ..any.clone() }, &[]),
        (QuarantineFilter { topic: topic("devices/#"), ..any.clone() }, &[4, 3, 2, 1, 0]),
        (
            QuarantineFilter { topic: topic("devices/device-0/telemetry"), ..any.clone() },
            &[4, 3, 2, 1, 0],
        ),
        (
            QuarantineFilter { topic: topic("devices/device-0/telemetry/#"), ..any.clone() },
            &[4, 3, 2, 1, 0],
        ),
        (QuarantineFilter { topic: topic("devices/device-/#"), ..any.clone() }, &[]),
        (QuarantineFilter { from: time(1), to: time(3), ..any.clone() }, &[2, 1]),
        (
            QuarantineFilter {
                places: Some([(3, 0), (1, 0), (0, 1)].map(|(at, n)| (LogPosition(at), n)).into()),
                ..any.clone()
            },
            &[3, 1],
        ),
        (QuarantineFilter { places: Some(Vec::new()), ..any.clone() }, &[]),
    ] {
        let found = queries.quarantine(&filter, None, 10).await.expect("answers");
        let positions: Vec<_> = found.iter().map(|row| row.quarantined.position.0).collect();
        assert_eq!(positions, expected, "{filter:?}");
    }
}

async fn quarantine_is_as_old_and_as_large_as_it_may_be(kind: Kind) {
    let made = kind.database().await;
    let store = made.open_with(|config| {
        (config.quarantine_days, config.quarantine_bytes_max) = (2, 1 << 20);
    });
    let (mut writer, _) = store.writer(LOG).await.expect("opened");
    let now = sql(&made.url).await.query_one("SELECT extract(epoch FROM now())::int8", &[]).await;
    let now: i64 = now.expect("answers").get(0);
    let mut stored = batch(0, 100, Vec::new());
    // Of the latest, each second further back, four fit.
    stored.quarantined = (0..10)
        .map(|n| {
            // Such bytes cannot be compressed.
            let mix = |at: u64| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ at << 7).to_be_bytes();
            let payload: Vec<u8> = (n..n + 31_250).flat_map(|at| mix(at * at + 1)).collect();
            Quarantined { payload: payload.into(), ..quarantined(n, now - 10 + n as i64) }
        })
        .chain([quarantined(10, now - 3 * 86_400)])
        .collect();
    writer.write(&stored, &names(2, 2)).await.expect("stored");
    let cleared = store.clear_quarantine().await.expect("cleared");
    assert_eq!(cleared.by_age, 1);
    assert!((4..=8).contains(&cleared.by_size), "{cleared:?}");
    let (queries, any) = (store.queries().expect("right"), QuarantineFilter::default());
    let left = queries.quarantine(&any, None, 20).await.expect("answers");
    assert_eq!(left.len() as u64, 10 - cleared.by_size);
    assert_eq!(left[0].quarantined.position.0, 9, "the latest stay");
    let again = store.clear_quarantine().await.expect("cleared");
    assert_eq!(again, Cleared::default());
}

async fn the_database_tells_what_it_is(kind: Kind) {
    let queries = filled(kind).await;
    let info = queries.server_info().await.expect("answers");
    assert_eq!(info.mode, kind.mode());
    assert_eq!(info.timescale_version.is_some(), info.mode == Mode::Timescale);
    assert!(info.schema_version >= 2 && info.size_bytes > 1_000_000, "{info:?}");
    assert_eq!(queries.committed(LogId(404)).await.expect("answers"), None);
}
