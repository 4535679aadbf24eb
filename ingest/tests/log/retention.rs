//! Segments come and go: what lies below the floor is removed, what follows stays readable.

use bellwire_ingest::log::{Config, Log, ReadError};
use bellwire_model::LogPosition;

use super::support::{
    Bench, Outcomes, PATIENCE, SMALL, append_durably, numbers, publish, read_all, read_on,
    wait_until,
};

const ROOMY: Config = Config { bytes_max: 1 << 20, ..SMALL };

#[test]
fn segments_below_the_floor_go_and_the_rest_stays() {
    let bench = Bench::new(ROOMY);
    let (log, metrics) = bench.try_open_in(bench.dir.path()).expect("opens");
    let outcomes = Outcomes::new();
    for n in 0..30 {
        append_durably(&log, n, 1000, &outcomes);
    }
    let all = read_all(&log);
    let n_segments = bench.segments().len();
    assert!(n_segments >= 8, "{n_segments}");
    assert_eq!(metrics.segments.get(), n_segments as i64);
    let mut old = log.reader(LogPosition::ZERO);

    log.set_floor(all[20].position);
    // Three records to a segment: six segments lie wholly below record 20.
    wait_until("segments are removed", || bench.segments().len() == n_segments - 6);
    assert_eq!(log.floor(), all[18].position);
    assert_eq!(metrics.log_bytes.get().cast_unsigned(), log.durable().end.0 - log.floor().0);
    let rest = read_on(&mut log.reader(all[20].position), &log, 4096);
    assert_eq!(numbers(&rest), (20..30).collect::<Vec<_>>());
    match old.read(log.durable().end, 4096) {
        Err(ReadError::Trimmed { position, floor }) => {
            assert_eq!((position, floor), (LogPosition::ZERO, log.floor()));
        }
        other => panic!("{other:?}"),
    }

    let floor = log.floor();
    log.close();
    drop(log);
    let log = bench.open();
    assert_eq!(log.floor(), floor);
    assert_eq!(numbers(&read_on(&mut log.reader(all[20].position), &log, 4096)).len(), 10);
}

#[test]
fn a_reader_behind_the_end_is_told_so() {
    let bench = Bench::new(ROOMY);
    let log = bench.open();
    match log.reader(LogPosition(5)).read(LogPosition(100), 4096) {
        Err(ReadError::Beyond { position, end }) => {
            assert_eq!((position, end), (LogPosition(5), LogPosition::ZERO));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn skipped_positions_below_the_floor_are_not_missing() {
    let bench = Bench::new(ROOMY);
    let (log, outcomes) = (bench.open(), Outcomes::new());
    append_durably(&log, 1, 1000, &outcomes);
    let committed = LogPosition(1_000_000);
    log.ensure_beyond(committed).expect("possible");
    append_durably(&log, 2, 1000, &outcomes);
    log.set_floor(committed);
    wait_until("the old segment is removed", || bench.segments().len() == 1);
    assert!(log.floor() <= committed);
    assert_eq!(numbers(&read_on(&mut log.reader(committed), &log, 4096)), [2]);
    assert!(log.ensure_beyond(LogPosition(u64::MAX)).is_err());
}

#[test]
fn a_record_larger_than_a_segment_gets_one_to_itself() {
    let bench = Bench::new(ROOMY);
    let (log, outcomes) = (bench.open(), Outcomes::new());
    append_durably(&log, 0, 100, &outcomes);
    append_durably(&log, 1, 40_000, &outcomes);
    append_durably(&log, 2, 100, &outcomes);
    assert_eq!(bench.segments().len(), 3);
    log.close();
    drop(log);
    let log = bench.open();
    assert_eq!(numbers(&read_all(&log)), [0, 1, 2]);
    assert_eq!(log.verify().expect("whole").n_records, 3);
}

#[test]
fn the_next_segment_is_full_of_zeros_before_it_is_needed() {
    let bench = Bench::new(ROOMY);
    let (log, outcomes) = (bench.open(), Outcomes::new());
    let spares = || -> Vec<Vec<u8>> {
        let items = std::fs::read_dir(bench.dir.path()).expect("readable");
        let paths = items.map(|item| item.expect("readable").path());
        let spares = paths.filter(|path| path.extension().is_some_and(|end| end == "tmp"));
        spares.filter_map(|path| std::fs::read(path).ok()).collect()
    };
    for n in 0..3 {
        wait_until("a spare is ready", || spares() == [[0; 8192]]);
        append_durably(&log, n, 3000, &outcomes);
    }
    assert_eq!(bench.segments().len(), 3);
    log.close();
    assert_eq!(spares().len(), 0, "nothing is left over");
}

#[test]
fn readers_follow_while_segments_come_and_go() {
    let bench = Bench::new(SMALL);
    let (log, outcomes) = (bench.open(), Outcomes::new());
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut reader = log.reader(LogPosition::ZERO);
            let mut all = Vec::new();
            while all.len() < 500 {
                log.wait_durable(reader.position(), PATIENCE).expect("open");
                all.extend(numbers(&read_on(&mut reader, &log, 3000)));
                log.set_floor(reader.position());
            }
            all
        });
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        for n in 0..500 {
            if let Err(entry) = log.try_append(publish(n, 500, &outcomes)) {
                runtime.block_on(log.append(entry));
            }
        }
        assert_eq!(reader.join().expect("no panic"), (0..500).collect::<Vec<_>>());
    });
    wait_until("all but the last few go", || bench.segments().len() < 4);
}
