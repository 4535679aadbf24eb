//! A full queue and a full log: who appends waits, in turn, and nothing is dropped.

use std::task::{Context, Poll, Waker};

use bellwire_ingest::log::{Appending, Config, Entry, Held, Log};
use bellwire_model::{LogPosition, Outcome};

use super::support::{
    Bench, Outcomes, SMALL, Said, append_durably, numbers, publish, read_all, wait_until,
};

const ROOMY: Config = Config { bytes_max: 1 << 20, ..SMALL };

fn is_ready(appending: &mut Appending<'_>) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    matches!(appending.as_mut().poll(&mut context), Poll::Ready(()))
}

/// Appends until the queue takes no more; gives the entry that did not fit, and its number.
fn fill_queue(log: &dyn Log, bytes: usize, outcomes: &Outcomes) -> (u64, Entry) {
    let refused = (0..1_000_000)
        .find_map(|n| log.try_append(publish(n, bytes, outcomes)).err().map(|entry| (n, entry)));
    refused.expect("a queue is bounded")
}

/// Appends one by one until the log is held for want of room; gives the number of the one that
/// waits.
fn fill_log(log: &dyn Log, bytes: usize, outcomes: &Outcomes) -> u64 {
    for n in 0..1_000_000 {
        log.try_append(publish(n, bytes, outcomes)).expect("nothing else is queued");
        let mut settled = None;
        wait_until("it is durable or held", || {
            settled = settled.or_else(|| outcomes.try_next());
            settled.is_some() || log.held().is_some()
        });
        if settled.is_none() {
            assert_eq!((log.held(), outcomes.try_next()), (Some(Held::Full), None));
            return n;
        }
        assert_eq!(settled, Some((n, Outcome::Durable)));
    }
    panic!("a log is bounded");
}

#[test]
fn a_full_queue_gives_the_entry_back_and_takes_it_in_turn() {
    let bench = Bench::new(ROOMY);
    let (log, outcomes) = (bench.open(), Outcomes::new());
    bench.disk.stop_syncs();
    let (n, entry) = fill_queue(&log, 5000, &outcomes);
    assert!(n > 5, "{n}");
    let mut first = log.append(entry);
    assert!(!is_ready(&mut first));
    let mut second = log.append(publish(n + 1, 5000, &outcomes));
    assert!(!is_ready(&mut second));
    bench.disk.let_syncs_go();
    wait_until("the first has room", || is_ready(&mut first));
    wait_until("the second has room", || is_ready(&mut second));
    for expected in 0..=n + 1 {
        assert_eq!(outcomes.next(), (expected, Outcome::Durable));
    }
}

#[test]
fn nobody_overtakes_one_who_waits() {
    let bench = Bench::new(ROOMY);
    let (log, outcomes) = (bench.open(), Outcomes::new());
    bench.disk.stop_syncs();
    log.try_append(publish(0, 30, &outcomes)).expect("room");
    // Larger than the queue: it waits until it has all of it.
    let mut large = log.append(publish(1, 80_000, &outcomes));
    assert!(!is_ready(&mut large));
    assert!(log.try_append(publish(2, 30, &outcomes)).is_err(), "a small one must not pass");
    assert_eq!(outcomes.next(), (2, Outcome::Retry), "what was given back is dropped here");
    bench.disk.let_syncs_go();
    wait_until("there is room", || is_ready(&mut large));
    assert_eq!(outcomes.next(), (0, Outcome::Durable));
    assert_eq!(outcomes.next(), (1, Outcome::Durable));
    assert_eq!(read_all(&log).len(), 2);
}

#[test]
fn an_append_given_up_is_not_taken_and_its_place_is_free() {
    let bench = Bench::new(ROOMY);
    let (log, outcomes) = (bench.open(), Outcomes::new());
    bench.disk.stop_syncs();
    let (n, entry) = fill_queue(&log, 5000, &outcomes);
    let mut given_up = log.append(entry);
    assert!(!is_ready(&mut given_up));
    let mut next = log.append(publish(n + 1, 5000, &outcomes));
    assert!(!is_ready(&mut next));
    drop(given_up);
    assert_eq!(outcomes.next(), (n, Outcome::Retry));
    bench.disk.let_syncs_go();
    wait_until("there is room", || is_ready(&mut next));
    for expected in (0..n).chain([n + 1]) {
        assert_eq!(outcomes.next(), (expected, Outcome::Durable));
    }
}

#[test]
fn a_full_log_holds_data_lets_control_through_and_goes_on_when_trimmed() {
    let bench = Bench::new(SMALL);
    let (log, outcomes) = (bench.open(), Outcomes::new());
    let n = fill_log(&log, 1000, &outcomes);
    assert!(log.durable().end <= LogPosition(SMALL.bytes_max));

    let control = Outcomes::new();
    log.try_append(Entry::started("while full").with_receipt(control.receipt(1))).expect("room");
    assert_eq!(control.next(), (1, Outcome::Durable));
    assert_eq!((log.held(), outcomes.try_next()), (Some(Held::Full), None));

    let floor = log.durable().end;
    log.set_floor(floor);
    assert_eq!(outcomes.next(), (n, Outcome::Durable));
    assert!(log.floor() > LogPosition::ZERO && log.floor() <= floor);
    append_durably(&log, n + 1, 1000, &outcomes);
    assert_eq!(log.held(), None);
    let seen = read_all(&log);
    assert!(seen.iter().any(|record| record.said == Said::Control("while full".into())));
    assert_eq!(numbers(&seen).last(), Some(&(n + 1)));
}

#[test]
fn control_records_have_bounded_room_too() {
    let bench = Bench::new(SMALL);
    let (log, outcomes) = (bench.open(), Outcomes::new());
    fill_log(&log, 1000, &outcomes);
    let control = Outcomes::new();
    for n in 0..20 {
        let entry = Entry::started(&"x".repeat(400)).with_receipt(control.receipt(n));
        log.try_append(entry).expect("room in their own queue");
    }
    log.close();
    let ends: Vec<_> = (0..20).map(|_| control.next()).collect();
    let n_durable = ends.iter().filter(|(_, outcome)| *outcome == Outcome::Durable).count();
    assert!((1..20).contains(&n_durable), "{n_durable}");
    let end = log.durable().end.0;
    assert!(end > SMALL.bytes_max - 1000 && end <= SMALL.control_bytes_max(), "{end}");
}

#[test]
fn closing_a_full_log_asks_for_retries() {
    let bench = Bench::new(SMALL);
    let (log, outcomes) = (bench.open(), Outcomes::new());
    let n = fill_log(&log, 1000, &outcomes);
    let mut waiting = log.append(publish(n + 1, 80_000, &outcomes));
    assert!(!is_ready(&mut waiting));
    log.close();
    assert!(is_ready(&mut waiting));
    let mut ends = [outcomes.next(), outcomes.next()];
    ends.sort_by_key(|&(n, _)| n);
    assert_eq!(ends, [(n, Outcome::Retry), (n + 1, Outcome::Retry)]);
    assert_eq!(read_all(&log).len() as u64, n);
}
