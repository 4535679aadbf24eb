//! A damaged log: each kind of damage is told apart from a crash, and named.

use std::fs;
use std::path::Path;

use bellwire_ingest::log::{Config, Log};

use super::support::{Bench, Outcomes, SMALL, append_durably, numbers, read_all};

const ROOMY: Config = Config { bytes_max: 1 << 20, ..SMALL };
/// Where a segment's first frame begins.
const FIRST_FRAME: usize = 4096;

/// Leaves a closed log of several segments, the last of which has more than one write.
fn closed_log(bench: &Bench) {
    let (log, outcomes) = (bench.open(), Outcomes::new());
    for n in 0..20 {
        append_durably(&log, n, 1000, &outcomes);
    }
    log.close();
}

fn flip(path: &Path, byte: usize) {
    let mut bytes = fs::read(path).expect("readable");
    bytes[byte] ^= 4;
    fs::write(path, bytes).expect("writable");
}

/// Opening must fail and say all of `words`.
fn refuses(bench: &Bench, words: &[&str]) {
    let error = bench.try_open().expect_err("must not open").to_string();
    for word in words {
        assert!(error.contains(word), "{error:?} does not say {word:?}");
    }
}

fn name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).expect("a name")
}

#[test]
fn a_second_opener_is_refused_until_the_first_is_gone() {
    let bench = Bench::new(ROOMY);
    let first = bench.open();
    refuses(&bench, &["is open in another process"]);
    drop(first);
    bench.open();
}

#[test]
fn a_flipped_bit_in_an_earlier_segment_is_found_when_read() {
    let bench = Bench::new(ROOMY);
    closed_log(&bench);
    let damaged = &bench.segments()[1];
    flip(damaged, FIRST_FRAME + 40);
    let log = bench.open();
    let error = log.verify().expect_err("damaged").to_string();
    assert!(error.contains(name(damaged)) && error.contains("at byte 4096"), "{error}");
    let mut reader = log.reader(log.floor());
    let mut n_read = 0;
    let error = loop {
        match reader.read(log.durable().end, 1 << 16) {
            Ok(chunk) => n_read += chunk.expect("the error comes first").frames().count(),
            Err(error) => break error.to_string(),
        }
    };
    assert!(error.contains(name(damaged)), "{error}");
    assert_eq!(n_read, 3, "what lies before it is read");
}

#[test]
fn damage_in_the_last_segment_before_the_last_write_is_no_crash() {
    let bench = Bench::new(ROOMY);
    closed_log(&bench);
    let last = bench.segments().pop().expect("segments");
    flip(&last, FIRST_FRAME + 40);
    refuses(&bench, &[name(&last), "at byte 4096", "later writes behind it are not"]);
}

#[test]
fn a_missing_segment_is_named_by_its_position() {
    let bench = Bench::new(ROOMY);
    closed_log(&bench);
    let segments = bench.segments();
    fs::remove_file(&segments[2]).expect("removable");
    let position = name(&segments[2]).trim_start_matches('0').trim_end_matches(".seg");
    refuses(&bench, &[name(&segments[3]), "is missing", position]);
}

#[test]
fn a_segment_cut_short_is_found_at_start_up() {
    let bench = Bench::new(ROOMY);
    closed_log(&bench);
    let segment = &bench.segments()[1];
    let bytes = fs::read(segment).expect("readable");
    fs::write(segment, &bytes[..FIRST_FRAME + 50]).expect("writable");
    refuses(&bench, &[name(segment), "the file ends before its records do"]);
}

#[test]
fn a_damaged_header_is_found_at_start_up() {
    let bench = Bench::new(ROOMY);
    closed_log(&bench);
    for index in [0, 2, bench.segments().len() - 1] {
        let segment = &bench.segments()[index];
        flip(segment, 30);
        refuses(&bench, &[name(segment), "damaged header", "checksum"]);
        flip(segment, 30);
    }
    let last = bench.segments().pop().expect("segments");
    fs::write(&last, [0; 100]).expect("writable");
    refuses(&bench, &[name(&last), "too short"]);
}

#[test]
fn a_later_format_is_refused() {
    let bench = Bench::new(ROOMY);
    closed_log(&bench);
    let meta = bench.dir.path().join("meta");
    let text = fs::read_to_string(&meta).expect("readable");
    fs::write(&meta, text.replace("format = 1", "format = 2")).expect("writable");
    refuses(&bench, &["meta", "format 2", "up to 1"]);
}

#[test]
fn files_of_another_log_are_refused() {
    let (bench, other) = (Bench::new(ROOMY), Bench::new(ROOMY));
    closed_log(&bench);
    closed_log(&other);
    let (ours, theirs) = (&bench.segments()[1], &other.segments()[1]);
    fs::copy(theirs, ours).expect("copy");
    refuses(&bench, &[name(ours), "belongs to log"]);
}

#[test]
fn parts_of_a_log_are_not_taken_for_a_new_one() {
    let bench = Bench::new(ROOMY);
    closed_log(&bench);
    let (meta, aside) = (bench.dir.path().join("meta"), bench.dir.path().join("aside"));
    fs::rename(&meta, &aside).expect("rename");
    refuses(&bench, &["segments but no meta file"]);
    fs::rename(&aside, &meta).expect("rename");
    for segment in bench.segments() {
        fs::remove_file(segment).expect("removable");
    }
    refuses(&bench, &["no segment"]);
}

#[test]
fn a_log_whose_making_was_interrupted_is_made_again() {
    let bench = Bench::new(ROOMY);
    bench.open().close();
    fs::remove_file(bench.dir.path().join("meta")).expect("removable");
    fs::write(bench.dir.path().join("spare-9.tmp"), "half").expect("writable");
    let (log, outcomes) = (bench.open(), Outcomes::new());
    append_durably(&log, 1, 30, &outcomes);
    assert_eq!(numbers(&read_all(&log)), [1]);
    assert!(!bench.dir.path().join("spare-9.tmp").exists());
}
