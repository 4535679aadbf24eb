//! A log seen from outside, while another writes it.

use std::sync::atomic::{AtomicU64, Ordering};

use bellwire_ingest::log::{Config, Error, Lock, Log, LogFiles, ReadError};
use bellwire_model::LogPosition;

use super::support::{
    Bench, Outcomes, SMALL, append_durably, numbers, read_all, read_on, wait_until,
};

const ROOMY: Config = Config { bytes_max: 1 << 20, ..SMALL };

fn files(bench: &Bench) -> LogFiles {
    LogFiles::open(bench.dir.path()).expect("readable").expect("a log")
}

#[test]
fn a_copy_of_a_log_that_is_being_written_opens_and_has_what_was_durable() {
    let bench = Bench::new(ROOMY);
    let log = bench.open();
    let n_durable = AtomicU64::new(0);
    let copies = std::thread::scope(|scope| {
        scope.spawn(|| {
            let outcomes = Outcomes::new();
            for n in 0..300 {
                append_durably(&log, n, 700, &outcomes);
                n_durable.store(n + 1, Ordering::SeqCst);
            }
        });
        let mut copies = Vec::new();
        while n_durable.load(Ordering::SeqCst) < 300 {
            let n_before = n_durable.load(Ordering::SeqCst);
            let target = tempfile::tempdir().expect("a folder");
            let contents = files(&bench).copy(&target.path().join("log")).expect("copied");
            copies.push((n_before, contents, target));
        }
        copies
    });
    assert!(copies.len() > 1);
    for (n_before, contents, target) in copies {
        let (copy, _) = bench.try_open_in(&target.path().join("log")).expect("the copy opens");
        assert_eq!((copy.id(), copy.durable().end), (contents.log, contents.end));
        let seen = numbers(&read_all(&copy));
        let n_seen = seen.len() as u64;
        assert!(n_seen >= n_before, "{n_seen} of {n_before}");
        assert!(seen.into_iter().eq(0..n_seen), "in order, none missing");
    }
}

#[test]
fn what_is_removed_meanwhile_is_still_copied() {
    let bench = Bench::new(ROOMY);
    let (log, outcomes) = (bench.open(), Outcomes::new());
    (0..20).for_each(|n| append_durably(&log, n, 1000, &outcomes));
    let mut held = files(&bench);
    (20..40).for_each(|n| append_durably(&log, n, 1000, &outcomes));
    held.open_later().expect("readable");
    let n_segments = bench.segments().len();
    log.set_floor(log.durable().end);
    wait_until("segments are removed", || bench.segments().len() < n_segments);
    let target = tempfile::tempdir().expect("a folder");
    held.copy(&target.path().join("log")).expect("copied");
    let (copy, _) = bench.try_open_in(&target.path().join("log")).expect("the copy opens");
    assert!(numbers(&read_all(&copy)).into_iter().eq(0..40));
}

#[test]
fn segments_that_came_and_went_unseen_are_missed() {
    let bench = Bench::new(ROOMY);
    let (log, outcomes) = (bench.open(), Outcomes::new());
    (0..5).for_each(|n| append_durably(&log, n, 1000, &outcomes));
    let mut held = files(&bench);
    (5..40).for_each(|n| append_durably(&log, n, 1000, &outcomes));
    log.set_floor(log.durable().end);
    // All of them: one that goes while it is looked for is another case.
    wait_until("segments are removed", || bench.segments().len() == 1);
    held.open_later().expect("readable");
    let target = tempfile::tempdir().expect("a folder");
    let error = held.copy(&target.path().join("log")).expect_err("a gap");
    assert!(matches!(error, Error::MissingSegment { .. }), "{error}");
}

#[test]
fn damage_is_not_copied() {
    for (segment, detail) in [(0, "damaged"), (1, "later writes")] {
        let bench = Bench::new(ROOMY);
        let (log, outcomes) = (bench.open(), Outcomes::new());
        (0..10).for_each(|n| append_durably(&log, n, 1000, &outcomes));
        log.close();
        let segments = bench.segments();
        let path = if segment == 0 { &segments[0] } else { segments.last().expect("some") };
        let mut bytes = std::fs::read(path).expect("readable");
        bytes[4096 + 100] ^= 1;
        std::fs::write(path, bytes).expect("writable");
        let n_in_last = if segment == 0 { 2 } else { 10 - 3 * (segments.len() - 1) };
        let target = tempfile::tempdir().expect("a folder");
        match files(&bench).copy(&target.path().join("log")) {
            Err(Error::Read(ReadError::BadFrame { detail: found, .. })) => {
                assert!(found.contains(detail), "{found}");
            }
            // The only write of the segment looks torn: nothing tells that it was whole.
            Ok(_) => assert_eq!(n_in_last, 1),
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn a_look_says_what_is_there_and_leaves_nothing() {
    let bench = Bench::new(ROOMY);
    let empty = tempfile::tempdir().expect("a folder");
    assert!(LogFiles::open(empty.path()).expect("readable").is_none());
    assert!(LogFiles::open(&empty.path().join("nowhere")).expect("readable").is_none());
    assert!(!Lock::is_taken(empty.path()));
    assert_eq!(std::fs::read_dir(empty.path()).expect("readable").count(), 0);

    let (log, outcomes) = (bench.open(), Outcomes::new());
    (0..7).for_each(|n| append_durably(&log, n, 1000, &outcomes));
    assert!(Lock::is_taken(bench.dir.path()));
    let contents = files(&bench).contents().expect("whole");
    assert_eq!((contents.log, contents.floor), (log.id(), LogPosition::ZERO));
    assert_eq!((contents.end, contents.bytes), (log.durable().end, log.durable().end.0));
    assert_eq!(contents.received_at, read_all(&log).last().expect("seven").received_at);
    let moved = LogPosition(1 << 40);
    log.ensure_beyond(moved).expect("possible");
    append_durably(&log, 7, 1000, &outcomes);
    let later = files(&bench).contents().expect("whole");
    assert!(later.end > moved && later.bytes < 1 << 20);
    assert_eq!(numbers(&read_on(&mut log.reader(moved), &log, 4096)), [7]);
    drop(log);
    assert!(!Lock::is_taken(bench.dir.path()));
}
