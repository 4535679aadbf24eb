//! The journal, as *judge* writes it and the others read it.

use super::*;
use crate::wire::tests::transition;

fn group(start: u64, end: u64) -> Group {
    let mut group = Group::at(LogPosition(start));
    group.end = LogPosition(end);
    group.duplicates = vec![(LogPosition(start), 3)];
    group.transitions = vec![transition(start, 0), transition(start, 1), transition(start + 5, 0)];
    group
}

fn positions(verdicts: &Verdicts) -> Vec<(u64, u32)> {
    verdicts.transitions.iter().map(|t| (t.position.0, t.ordinal)).collect()
}

#[test]
fn verdicts_are_read_by_position_also_across_entries() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::create(dir.path()).unwrap();
    journal.append(&group(0, 10)).unwrap();
    journal.append(&Group::at(LogPosition(10))).unwrap();
    journal.append(&group(20, 30)).unwrap();
    let read = |from, to| journal.read(LogPosition(from), LogPosition(to)).unwrap();
    assert_eq!(positions(&read(0, 3)), [(0, 0), (0, 1)]);
    assert_eq!(positions(&read(3, 10)), [(5, 0)]);
    assert_eq!(positions(&read(10, 22)), [(20, 0), (20, 1)]);
    assert_eq!(positions(&read(22, 30)), [(25, 0)]);
    assert_eq!(positions(&read(0, 30)).len(), 6, "an earlier place can be read again");
    assert_eq!(read(20, 30).duplicates, [(LogPosition(20), 3)]);
    assert_eq!(read(30, 99), Verdicts::default());
}

#[test]
fn operators_get_what_they_missed() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::create(dir.path()).unwrap();
    (0..5).for_each(|n| journal.append(&group(n * 10, n * 10 + 10)).unwrap());
    let missed = journal.transitions_from((LogPosition(10), 1), 4).unwrap().unwrap();
    let places: Vec<_> = missed.iter().map(|t| (t.position.0, t.ordinal)).collect();
    assert_eq!(places, [(10, 1), (15, 0), (20, 0), (20, 1)]);
}

#[test]
fn one_who_follows_gets_each_transition_once_and_reads_each_entry_once() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::with_file_bytes(dir.path(), 300).unwrap();
    let mut follower = Follower::default();
    let (mut from, mut seen) = ((LogPosition(0), 0), Vec::new());
    for n in 0..40 {
        journal.append(&group(n * 10, n * 10 + 10)).unwrap();
        // Pages end within entries and at their ends.
        let page = journal.follow(&mut follower, from, 1 + n as usize % 4).unwrap().unwrap();
        seen.extend(page.iter().map(|t| (t.position.0, t.ordinal)));
        from = page.last().map_or(from, |last| (last.position, last.ordinal + 1));
    }
    while let Some(page) = journal.follow(&mut follower, from, 5).unwrap()
        && let Some(last) = page.last()
    {
        from = (last.position, last.ordinal + 1);
        seen.extend(page.iter().map(|t| (t.position.0, t.ordinal)));
    }
    let all = (0..40).flat_map(|n| [(n * 10, 0), (n * 10, 1), (n * 10 + 5, 0)]);
    assert_eq!(seen, all.collect::<Vec<_>>());
    assert!(follower.bookmark.chunk > 0 && follower.bookmark.offset > 0);
    // Back again, and behind what was trimmed.
    let first = journal.follow(&mut follower, (LogPosition(0), 1), 1).unwrap().unwrap();
    assert_eq!((first[0].position, first[0].ordinal), (LogPosition(0), 1));
    journal.trim(LogPosition(200)).unwrap();
    assert_eq!(journal.follow(&mut follower, (LogPosition(0), 2), 9).unwrap(), None);
    let newer = journal.follow(&mut follower, (LogPosition(390), 0), 9).unwrap().unwrap();
    assert_eq!(newer.len(), 3);
}

/// A pipe in place of a file: who reads it waits until the test writes.
#[test]
fn judge_does_not_wait_for_those_who_read() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::with_file_bytes(dir.path(), 1).unwrap();
    journal.append(&group(0, 10)).unwrap();
    let path = dir.path().join(format!("{:020}.journal", 0));
    let bytes = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success(), "mkfifo");
    std::thread::scope(|scope| {
        let reader =
            scope.spawn(|| journal.transitions_from((LogPosition(0), 0), 99).unwrap().unwrap());
        // Opening it for writing waits until the reader has opened it.
        let mut pipe = File::options().write(true).open(&path).unwrap();
        let (sender, appended) = std::sync::mpsc::sync_channel(1);
        let journal = &journal;
        scope.spawn(move || sender.send(journal.append(&group(10, 20))).unwrap());
        let appended = appended.recv_timeout(std::time::Duration::from_secs(30));
        pipe.write_all(&bytes).unwrap();
        drop(pipe);
        appended.expect("it does not wait").unwrap();
        assert_eq!(reader.join().unwrap().len(), 3, "what there was when it began");
    });
    let newer = journal.transitions_from((LogPosition(10), 0), 99).unwrap().unwrap();
    assert_eq!(newer.len(), 3);
}

#[test]
fn files_go_when_they_are_passed() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::create(dir.path()).unwrap();
    let mut big = group(0, 10);
    big.transitions[0].alert.summary = "x".repeat(9 << 20);
    journal.append(&big).unwrap();
    journal.append(&group(10, 20)).unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    journal.trim(LogPosition(9)).unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    assert!(journal.transitions_from((LogPosition(5), 0), 9).unwrap().is_some());
    journal.trim(LogPosition(10)).unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    assert_eq!(journal.transitions_from((LogPosition(5), 0), 9).unwrap(), None, "not silently");
    assert!(journal.transitions_from((LogPosition(10), 0), 9).unwrap().is_some());
    assert_eq!(journal.read(LogPosition(0), LogPosition(20)).unwrap().transitions.len(), 3);
    Journal::create(dir.path()).unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "it begins empty");
}
