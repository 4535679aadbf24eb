//! A disk that delays, fails and fills, a clock that steps back: nothing is promised too early.

use bellwire_ingest::log::{BODY_BYTES_MAX, Closed, Config, Entry, Held, Log, RecordKind};
use bellwire_model::{Outcome, Receipt, Timestamp};

use super::support::{
    Bench, Outcomes, PATIENCE, SMALL, append_durably, numbers, publish, publish_with, read_all,
    wait_until,
};

#[test]
fn nothing_is_durable_before_its_sync_returns() {
    let bench = Bench::new(SMALL);
    let (log, outcomes) = (bench.open(), Outcomes::new());
    let before = log.durable();
    bench.disk.stop_syncs();
    log.try_append(publish(1, 30, &outcomes)).expect("room");
    bench.disk.wait_for_sync();
    log.try_append(publish(2, 30, &outcomes)).expect("room");
    assert_eq!((outcomes.try_next(), log.durable()), (None, before));
    assert!(log.reader(log.floor()).read(log.durable().end, 4096).expect("readable").is_none());
    bench.disk.let_syncs_go();
    assert_eq!(outcomes.next(), (1, Outcome::Durable));
    assert_eq!(outcomes.next(), (2, Outcome::Durable));
}

#[test]
fn what_queues_during_a_sync_shares_the_next_one() {
    let bench = Bench::new(SMALL);
    let (log, metrics) = bench.try_open_in(bench.dir.path()).expect("opens");
    let outcomes = Outcomes::new();
    bench.disk.stop_syncs();
    log.try_append(publish(0, 30, &outcomes)).expect("room");
    bench.disk.wait_for_sync();
    for n in 1..=40 {
        log.try_append(publish(n, 30, &outcomes)).expect("room");
    }
    bench.disk.let_syncs_go();
    for n in 0..=40 {
        assert_eq!(outcomes.next(), (n, Outcome::Durable));
    }
    log.close();
    assert_eq!(metrics.group_records.get_sample_count(), 2);
    assert_eq!(metrics.sync_seconds.get_sample_count(), 2);
    assert_eq!((metrics.publishes.get(), metrics.records(RecordKind::Publishes).get()), (41, 41));
    assert_eq!(metrics.bytes.get(), log.durable().end.0);
    assert_eq!(metrics.queue_bytes.get(), 0);
}

#[test]
fn a_failed_sync_stops_everything() {
    let bench = Bench::new(SMALL);
    let (log, outcomes) = (bench.open(), Outcomes::new());
    append_durably(&log, 1, 30, &outcomes);
    let before = log.durable();
    bench.disk.fail_syncs();
    log.try_append(publish(2, 30, &outcomes)).expect("room");
    let failure = bench.failures.recv_timeout(PATIENCE).expect("the failure is told");
    assert!(failure.starts_with("failed to sync `"), "{failure}");
    assert_eq!(outcomes.next(), (2, Outcome::Retry));
    assert_eq!(log.wait_durable(before.end, PATIENCE), Err(Closed));
    log.try_append(publish(3, 30, &outcomes)).expect("taken and dropped");
    assert_eq!(outcomes.next(), (3, Outcome::Retry));
    log.close();
    assert_eq!(log.durable(), before);
    assert!(bench.failures.try_recv().is_err(), "told once");
}

#[test]
fn a_panic_of_the_appender_stops_everything_too() {
    let bench = Bench::new(SMALL);
    let log = bench.open();
    let receipt = Receipt::new(|_| panic!("a receipt that must not, as a test of what then"));
    log.try_append(publish_with(1, 30, receipt)).expect("room");
    let failure = bench.failures.recv_timeout(PATIENCE).expect("the failure is told");
    assert_eq!(failure, "the log's thread `appender` panicked");
    assert_eq!(log.wait_durable(log.durable().end, PATIENCE), Err(Closed));
}

#[test]
fn a_full_disk_holds_and_loses_nothing() {
    let bench = Bench::new(SMALL);
    let (log, outcomes) = (bench.open(), Outcomes::new());
    append_durably(&log, 0, 30, &outcomes);
    bench.disk.fill_up();
    for n in 1..=20 {
        log.try_append(publish(n, 1000, &outcomes)).expect("room");
    }
    wait_until("the log is held", || log.held() == Some(Held::Disk));
    assert_eq!(outcomes.try_next(), None);
    bench.disk.make_space();
    for n in 1..=20 {
        assert_eq!(outcomes.next(), (n, Outcome::Durable));
    }
    append_durably(&log, 21, 30, &outcomes);
    assert_eq!(log.held(), None);
    log.close();
    drop(log);
    let log = bench.open();
    assert_eq!(numbers(&read_all(&log)), (0..=21).collect::<Vec<_>>());
    assert!(bench.failures.try_recv().is_err());
}

#[test]
fn closing_on_a_full_disk_asks_for_retries_and_leaves_a_whole_log() {
    let bench = Bench::new(SMALL);
    let (log, outcomes) = (bench.open(), Outcomes::new());
    append_durably(&log, 0, 30, &outcomes);
    bench.disk.fill_up();
    log.try_append(publish(1, 1000, &outcomes)).expect("room");
    wait_until("the log is held", || log.held() == Some(Held::Disk));
    log.try_append(publish(2, 1000, &outcomes)).expect("room");
    log.close();
    let mut ends = [outcomes.next(), outcomes.next()];
    ends.sort_by_key(|&(n, _)| n);
    assert_eq!(ends, [(1, Outcome::Retry), (2, Outcome::Retry)]);
    drop(log);
    bench.disk.make_space();
    let (log, metrics) = bench.try_open_in(bench.dir.path()).expect("opens");
    assert_eq!((numbers(&read_all(&log)), metrics.recovery_cut_bytes.get()), (vec![0], 0));
    append_durably(&log, 3, 1000, &outcomes);
}

#[test]
fn the_reserve_holds_data_and_not_control_records() {
    let bench = Bench::new(Config { disk_reserve_bytes: 1000, ..SMALL });
    bench.disk.set_free_bytes(999);
    let (log, outcomes) = (bench.open(), Outcomes::new());
    log.try_append(publish(1, 30, &outcomes)).expect("room");
    wait_until("the log is held", || log.held() == Some(Held::Disk));
    log.try_append(Entry::tick().with_receipt(outcomes.receipt(2))).expect("room");
    assert_eq!(outcomes.next(), (2, Outcome::Durable));
    bench.disk.set_free_bytes(1000);
    assert_eq!(outcomes.next(), (1, Outcome::Durable));
    wait_until("the log goes on", || log.held().is_none());
}

#[test]
fn a_clock_that_steps_back_does_not_turn_the_log_back() {
    let bench = Bench::new(SMALL);
    let (log, outcomes) = (bench.open(), Outcomes::new());
    let (late, early) = (Timestamp::from_secs(2_000_000_000), Timestamp::from_secs(1_000_000_000));
    bench.clock.set(late);
    append_durably(&log, 1, 30, &outcomes);
    bench.clock.set(early);
    append_durably(&log, 2, 30, &outcomes);
    assert_eq!(log.durable().at, late);
    // An empty last segment has no record to continue from: its header must do.
    log.ensure_beyond(log.durable().end).expect("possible");
    log.close();
    drop(log);
    let log = bench.open();
    assert_eq!(log.durable().at, late);
    append_durably(&log, 3, 30, &outcomes);
    let seen = read_all(&log);
    assert_eq!(seen.iter().map(|record| record.received_at).collect::<Vec<_>>(), [late; 3]);
}

#[test]
fn a_record_too_long_is_rejected_and_others_go_on() {
    let bench = Bench::new(SMALL);
    let (log, metrics) = bench.try_open_in(bench.dir.path()).expect("opens");
    let outcomes = Outcomes::new();
    let too_long = BODY_BYTES_MAX + 1;
    log.try_append(publish(1, too_long, &outcomes)).expect("an empty queue takes anything");
    assert_eq!(outcomes.next(), (1, Outcome::Rejected));
    append_durably(&log, 2, 30, &outcomes);
    assert_eq!(metrics.rejected.get(), 1);
}
