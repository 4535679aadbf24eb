//! What every [`Log`] promises, whatever it is made of: a function that any of them can be given.

use std::sync::Arc;
use std::time::Duration;

use bellwire_ingest::log::{Closed, Config, Entry, Log};
use bellwire_model::{LogPosition, Outcome};

use super::support::{
    Bench, Outcomes, PATIENCE, SMALL, Said, append_durably, numbers, publish, read_all, read_on,
};

/// Opens one and the same log, again and again; the one before has been closed.
type Open = Box<dyn Fn() -> Arc<dyn Log>>;

/// Checks that logs made by `new_log` keep every promise; each check gets a new, empty one.
pub(crate) fn contract(new_log: impl Fn() -> Open) {
    records_read_back_in_order(&new_log());
    a_receipt_settles_after_the_end_has_moved(&new_log());
    records_and_identity_outlive_a_restart(&new_log());
    closing_drains_and_then_asks_for_retries(&new_log());
    followers_hear_of_the_end_and_of_the_close(&new_log());
    a_small_budget_still_gives_a_record(&new_log());
    a_reader_can_begin_at_any_record(&new_log());
    positions_can_be_moved_beyond_any(&new_log());
    a_floor_takes_nothing_above_it(&new_log());
}

fn records_read_back_in_order(open: &Open) {
    let (log, outcomes) = (open(), Outcomes::new());
    log.try_append(Entry::started("1.0")).expect("room");
    log.try_append(Entry::rules("[[rule]]").expect("short")).expect("room");
    log.try_append(Entry::tick().with_receipt(outcomes.receipt(0))).expect("room");
    assert_eq!(outcomes.next(), (0, Outcome::Durable));
    for n in 1..=50 {
        log.try_append(publish(n, 40, &outcomes)).expect("room");
    }
    for n in 1..=50 {
        assert_eq!(outcomes.next(), (n, Outcome::Durable), "receipts settle in log order");
    }
    let seen = read_all(&*log);
    let control = |index: usize| seen[index].said.clone();
    assert_eq!(control(0), Said::Control("1.0".into()));
    assert_eq!(control(1), Said::Control("[[rule]]".into()));
    assert_eq!(control(2), Said::Control("tick".into()));
    assert_eq!(numbers(&seen), (1..=50).collect::<Vec<_>>());
    assert!(seen.is_sorted_by(|a, b| a.position < b.position));
    assert!(seen.is_sorted_by_key(|record| record.received_at));
}

fn a_receipt_settles_after_the_end_has_moved(open: &Open) {
    let (log, outcomes) = (open(), Outcomes::new());
    for n in 0..20 {
        let before = log.durable();
        append_durably(&*log, n, 30, &outcomes);
        let after = log.durable();
        assert!(after.end > before.end && after.at >= before.at);
    }
}

fn records_and_identity_outlive_a_restart(open: &Open) {
    let (log, outcomes) = (open(), Outcomes::new());
    append_durably(&*log, 1, 30, &outcomes);
    let (id, end, seen) = (log.id(), log.durable().end, read_all(&*log));
    log.close();
    drop(log);
    let log = open();
    assert_eq!(log.id(), id);
    assert!(log.durable().end >= end);
    assert_eq!(read_all(&*log), seen);
    append_durably(&*log, 2, 30, &outcomes);
    let all = read_all(&*log);
    assert_eq!(numbers(&all), [1, 2]);
    assert!(all[1].position >= end);
}

fn closing_drains_and_then_asks_for_retries(open: &Open) {
    let (log, outcomes) = (open(), Outcomes::new());
    for n in 0..200 {
        log.try_append(publish(n, 60, &outcomes)).expect("room");
    }
    log.close();
    for n in 0..200 {
        assert_eq!(outcomes.try_next(), Some((n, Outcome::Durable)));
    }
    log.try_append(publish(200, 60, &outcomes)).expect("a closed log takes and drops");
    assert_eq!(outcomes.next(), (200, Outcome::Retry));
    assert!(log.ensure_beyond(LogPosition(1 << 40)).is_err());
    assert_eq!(numbers(&read_all(&*log)).len(), 200, "readers go on");
    log.close();
}

fn followers_hear_of_the_end_and_of_the_close(open: &Open) {
    let (log, outcomes) = (open(), Outcomes::new());
    let begin = log.durable();
    assert_eq!(log.wait_durable(begin.end, Duration::from_millis(1)), Ok(begin), "a time-out");
    let mut watch = log.follow();
    let follower = {
        let log = Arc::clone(&log);
        std::thread::spawn(move || {
            let moved = log.wait_durable(begin.end, PATIENCE).expect("still open");
            (moved, log.wait_durable(LogPosition(u64::MAX), PATIENCE))
        })
    };
    append_durably(&*log, 1, 30, &outcomes);
    assert_eq!(watch.borrow_and_update().end, log.durable().end);
    log.close();
    let (moved, closed) = follower.join().expect("no panic");
    assert!(moved.end > begin.end);
    assert_eq!(closed, Err(Closed));
    assert_eq!(log.wait_durable(begin.end, PATIENCE), Ok(log.durable()), "it is beyond");
    assert!(watch.has_changed().is_err(), "the channel is closed");
}

fn a_small_budget_still_gives_a_record(open: &Open) {
    let (log, outcomes) = (open(), Outcomes::new());
    for n in 0..30 {
        append_durably(&*log, n, 1000, &outcomes);
    }
    let mut reader = log.reader(log.floor());
    assert_eq!(numbers(&read_on(&mut reader, &*log, 0)), (0..30).collect::<Vec<_>>());
    append_durably(&*log, 30, 1000, &outcomes);
    assert_eq!(numbers(&read_on(&mut reader, &*log, 0)), [30], "it follows");
    assert!(reader.read(log.durable().end, 0).expect("readable").is_none());
}

fn a_reader_can_begin_at_any_record(open: &Open) {
    let (log, outcomes) = (open(), Outcomes::new());
    for n in 0..30 {
        append_durably(&*log, n, 700, &outcomes);
    }
    let all = read_all(&*log);
    for (n, record) in (0..).zip(&all) {
        let rest = read_on(&mut log.reader(record.position), &*log, 1500);
        assert_eq!(numbers(&rest), (n..30).collect::<Vec<_>>());
        let mut before = log.reader(log.floor());
        let mut n_before = 0;
        while let Some(chunk) = before.read(record.position, 1 << 20).expect("readable") {
            assert!(chunk.end() <= record.position, "nothing from `up_to` on");
            n_before += chunk.frames().count() as u64;
        }
        assert_eq!(n_before, n);
    }
}

fn positions_can_be_moved_beyond_any(open: &Open) {
    let (log, outcomes) = (open(), Outcomes::new());
    append_durably(&*log, 1, 30, &outcomes);
    let old_end = log.durable().end;
    log.ensure_beyond(LogPosition::ZERO).expect("it is already");
    assert_eq!(log.durable().end, old_end);
    let seen_elsewhere = LogPosition(old_end.0 + 1_000_000);
    log.ensure_beyond(seen_elsewhere).expect("possible");
    assert!(log.durable().end > seen_elsewhere);
    append_durably(&*log, 2, 30, &outcomes);
    let check = |log: &dyn Log| {
        let all = read_all(log);
        assert_eq!(numbers(&all), [1, 2]);
        assert!(all[1].position > seen_elsewhere);
        let from_there = read_on(&mut log.reader(seen_elsewhere), log, 1 << 16);
        assert_eq!(numbers(&from_there), [2], "a reader may begin where nothing is");
    };
    check(&*log);
    log.close();
    drop(log);
    check(&*open());
}

fn a_floor_takes_nothing_above_it(open: &Open) {
    let (log, outcomes) = (open(), Outcomes::new());
    for n in 0..20 {
        append_durably(&*log, n, 700, &outcomes);
    }
    let floor = read_all(&*log)[15].position;
    log.set_floor(floor);
    log.set_floor(LogPosition::ZERO);
    log.close();
    drop(log);
    let log = open();
    assert!(log.floor() <= floor);
    assert_eq!(numbers(&read_on(&mut log.reader(floor), &*log, 1 << 16)), [15, 16, 17, 18, 19]);
}

#[test]
fn a_local_log_keeps_the_contract() {
    contract(|| {
        let bench = Bench::new(Config { bytes_max: 1 << 20, ..SMALL });
        Box::new(move || Arc::new(bench.open()))
    });
}
