//! A power cut at any instant, by copying a living log's directory and spoiling the end: whatever
//! was settled durable when the copy was begun is there, and the log goes on.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use bellwire_ingest::log::{Config, Log};
use bellwire_model::Outcome;
use proptest::prelude::*;
use tempfile::TempDir;

use super::support::{
    Bench, Outcomes, SMALL, append_durably, numbers, publish, read_all, segments_in, wait_until,
};

const ROOMY: Config =
    Config { segment_bytes: 16_384, bytes_max: 8 << 20, queue_bytes: 1 << 20, ..SMALL };
/// Where a segment's first frame begins.
const FIRST_FRAME: usize = 4096;

/// Copies a log's directory as it is at this instant, more or less: oldest segment first, so that
/// none is there without the one before it.
fn copy_dir(from: &Path) -> TempDir {
    let copy = tempfile::tempdir().expect("temporary directory");
    fs::copy(from.join("meta"), copy.path().join("meta")).expect("copy");
    for segment in segments_in(from) {
        let name = segment.file_name().expect("a name");
        fs::copy(&segment, copy.path().join(name)).expect("copy");
    }
    copy
}

/// Opens the log in `dir`, checks that it is a prefix of `0, 1, 2…` with at least `n_durable`
/// records, and that it takes more.
fn recovers(bench: &Bench, dir: &Path, n_durable: u64) {
    let (log, _) = bench.try_open_in(dir).expect("a torn tail is mended");
    let found = numbers(&read_all(&log));
    let n_found = found.len() as u64;
    assert_eq!(found, (0..n_found).collect::<Vec<_>>(), "a prefix, whole and in order");
    assert!(n_found >= n_durable, "{n_found} of {n_durable} durable records are left");
    append_durably(&log, n_found, 50, &Outcomes::new());
    drop(log);
    let (log, metrics) = bench.try_open_in(dir).expect("it is whole now");
    assert_eq!(numbers(&read_all(&log)), (0..=n_found).collect::<Vec<_>>());
    assert_eq!(metrics.recovery_cut_bytes.get(), 0, "nothing is left to cut");
}

#[test]
fn a_copy_taken_while_it_is_written_has_all_that_was_durable() {
    let bench = Bench::new(ROOMY);
    let log = bench.open();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let (outcomes, mut n) = (Outcomes::new(), 0);
            while !done.load(Ordering::SeqCst) && n < 50_000 {
                let bytes = 20 + (n as usize * 37) % 600;
                if log.try_append(publish(n, bytes, &outcomes)).is_ok() {
                    n += 1;
                }
                std::thread::yield_now();
            }
        });
        for round in 1..=15 {
            wait_until("more is durable", || log.durable().end.0 > round * 20_000);
            let n_durable = read_all(&log).len() as u64;
            let copy = copy_dir(bench.dir.path());
            recovers(&bench, copy.path(), n_durable);
        }
        done.store(true, Ordering::SeqCst);
        writer.join().expect("no panic");
    });
}

/// A closed log in one segment: `n_before` records in writes of their own, and `n_last` in one.
/// Gives the segment's bytes, and where the last write begins in them.
fn torn_candidate(bench: &Bench, n_before: u64, n_last: u64) -> (Vec<u8>, usize) {
    let (log, outcomes) = (bench.open(), Outcomes::new());
    for n in 0..n_before - 1 {
        append_durably(&log, n, 50, &outcomes);
    }
    bench.disk.stop_syncs();
    log.try_append(publish(n_before - 1, 50, &outcomes)).expect("room");
    bench.disk.wait_for_sync();
    for n in n_before..n_before + n_last {
        log.try_append(publish(n, 50, &outcomes)).expect("room");
    }
    bench.disk.let_syncs_go();
    for n in n_before - 1..n_before + n_last {
        assert_eq!(outcomes.next(), (n, Outcome::Durable));
    }
    let last_write = read_all(&log)[n_before as usize].position.0 as usize;
    drop(log);
    let [segment] = &bench.segments()[..] else { panic!("one segment is enough") };
    (fs::read(segment).expect("readable"), FIRST_FRAME + last_write)
}

/// A copy of the log with `bytes` in its last segment.
fn spoilt(bench: &Bench, bytes: &[u8]) -> TempDir {
    let copy = copy_dir(bench.dir.path());
    let last = segments_in(copy.path()).pop().expect("a segment");
    fs::write(last, bytes).expect("writable");
    copy
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 24,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Parts of the last write may be missing, in any pattern: zeros or rubbish in their place.
    #[test]
    fn any_torn_last_write_recovers_to_a_prefix(
        (n_before, n_last) in (1_u64..8, 1_u64..20),
        holes in prop::collection::vec((0.0..1.0_f64, 1_usize..300, any::<u8>()), 1..6),
    ) {
        let bench = Bench::new(ROOMY);
        let (mut bytes, last_write) = torn_candidate(&bench, n_before, n_last);
        let end = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        for (place, length, filler) in holes {
            let start = last_write + ((end - last_write) as f64 * place) as usize;
            bytes[start..(start + length).min(end)].fill(filler);
        }
        let copy = spoilt(&bench, &bytes);
        recovers(&bench, copy.path(), n_before);
    }

    /// The file may end anywhere behind its header; everything that is whole is kept.
    #[test]
    fn any_cut_of_the_last_segment_recovers_what_lies_before_it(
        n_before in 1_u64..8,
        place in 0.0..1.0_f64,
    ) {
        let bench = Bench::new(ROOMY);
        let (bytes, _) = torn_candidate(&bench, n_before, 3);
        let end = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        let cut = FIRST_FRAME + ((end - FIRST_FRAME) as f64 * place) as usize;
        let log = bench.open();
        let ends = read_all(&log).into_iter().skip(1).map(|seen| seen.position.0);
        let ends = ends.chain([log.durable().end.0]);
        let n_whole = ends.filter(|end| FIRST_FRAME as u64 + end <= cut as u64).count() as u64;
        drop(log);
        let copy = spoilt(&bench, &bytes[..cut]);
        recovers(&bench, copy.path(), n_whole);
    }
}

#[test]
fn a_torn_end_is_reported_and_zeroed() {
    let bench = Bench::new(ROOMY);
    let (mut bytes, last_write) = torn_candidate(&bench, 3, 2);
    bytes[last_write + 30] ^= 1;
    let copy = spoilt(&bench, &bytes);
    let (log, metrics) = bench.try_open_in(copy.path()).expect("a torn tail is mended");
    assert_eq!(numbers(&read_all(&log)), [0, 1, 2]);
    assert!(metrics.recovery_cut_bytes.get() > 100, "two frames");
    drop(log);
    let last = segments_in(copy.path()).pop().expect("a segment");
    let mended = fs::read(last).expect("readable");
    assert_eq!(mended.len(), bytes.len());
    assert!(mended[last_write..].iter().all(|&byte| byte == 0), "nothing stale is left");
}

#[test]
fn recovery_writes_the_last_write_again() {
    let bench = Bench::new(ROOMY);
    let (bytes, last_write) = torn_candidate(&bench, 3, 4);
    let end = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    bench.disk.take_writes();
    let log = bench.open();
    let again = (last_write as u64, end - last_write);
    assert_eq!(bench.disk.take_writes().first(), Some(&again), "the page cache may have lied");
    assert_eq!(read_all(&log).len(), 7);
}
