//! Tests of the file: restarts, crashes at any byte, damage, disks that fail, and bounds.

use bellwire_model::Timestamp;

use super::*;
use crate::rulebook::Standing;

/// A file and its history, as the service has them.
struct Book {
    dir: tempfile::TempDir,
    file: HistoryFile,
    history: History,
}

impl Book {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let Opened { file, history, torn_bytes } = HistoryFile::open(dir.path()).unwrap();
        assert_eq!((torn_bytes, history.n_versions()), (0, 0));
        Self { dir, file, history }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join(NAME)
    }

    fn add(&mut self, rule: &str, deed: Deed, toml: Option<&str>) {
        let (seq, number) = self.history.next(rule);
        let version = Version {
            seq,
            number,
            at: Timestamp::from_secs(1),
            author: "a".into(),
            comment: None,
            deed,
            toml: toml.map(Into::into),
            standing: Standing::Enabled,
        };
        let rule = RuleName::new(rule).unwrap();
        let text = text_behind(self.history.last(rule.as_str()), &version);
        self.file.append(&rule, &version, text).unwrap();
        let n_gone = self.history.push(&rule, version);
        self.file.tidy(&self.history, n_gone).unwrap();
    }

    fn three() -> Self {
        let mut book = Self::new();
        book.add("hot", Deed::Create, Some("one"));
        book.add("hot", Deed::Disable, Some("one"));
        book.add("cold", Deed::Create, Some("two"));
        book
    }

    fn again(&self) -> Opened {
        HistoryFile::open(self.dir.path()).unwrap()
    }
}

fn all(history: &History) -> Vec<(RuleName, Version)> {
    history.in_order().map(|(rule, version)| (rule.clone(), version.clone())).collect()
}

#[test]
fn what_was_added_is_there_after_a_start() {
    let mut book = Book::three();
    book.add("cold", Deed::Delete, None);
    book.add("cold", Deed::Restore, Some("two"));
    let text = fs::read_to_string(book.path()).unwrap();
    assert_eq!(text.matches("\"toml\":\"one\"").count(), 1, "a text is not repeated");
    let opened = book.again();
    assert_eq!(all(&opened.history), all(&book.history));
    assert_eq!(opened.torn_bytes, 0);
    assert_eq!(opened.history.current("hot").unwrap().toml.as_deref(), Some("one"));
    assert_eq!(opened.history.next("cold"), (6, 4));
}

#[test]
fn a_crash_at_any_byte_of_a_line_leaves_those_before_it() {
    let mut book = Book::three();
    let before = fs::read(book.path()).unwrap();
    let expected = all(&book.history);
    book.add("hot", Deed::Change, Some("three"));
    let after = fs::read(book.path()).unwrap();
    for n in before.len()..after.len() {
        fs::write(book.path(), &after[..n]).unwrap();
        let opened = book.again();
        assert_eq!(all(&opened.history), expected, "cut at {n}");
        assert_eq!(opened.torn_bytes, n - before.len());
        assert_eq!(fs::read(book.path()).unwrap(), before, "what was torn is gone");
        // The end was written, and what stands before it was not.
        let mut holed = after.clone();
        holed[before.len()..n.max(before.len() + 1)].fill(0);
        fs::write(book.path(), &holed).unwrap();
        assert_eq!(all(&book.again().history), expected, "zeros up to {n}");
    }
}

#[test]
fn damage_is_named_and_nothing_starts_on_a_guess() {
    let book = Book::three();
    let whole = fs::read_to_string(book.path()).unwrap();
    for (found, put, line) in
        [("\"one\"", "\"oen\"", 2), ("disable", "disabel", 3), ("two", "tow", 4)]
    {
        fs::write(book.path(), whole.replacen(found, put, 1)).unwrap();
        let error = HistoryFile::open(book.dir.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("line {line} of ")), "{error}");
        assert!(error.contains(NAME) && error.contains("backup"), "{error}");
    }
    let without: Vec<_> = whole.lines().filter(|line| !line.contains("\"one\"")).collect();
    fs::write(book.path(), without.join("\n") + "\n").unwrap();
    let error = HistoryFile::open(book.dir.path()).unwrap_err();
    assert!(
        matches!(error, HistoryFileError::Damaged { line: 2, .. }),
        "a line is missing: {error}"
    );
    for head in ["", "bellwire rules 2\n", "x"] {
        fs::write(book.path(), head).unwrap();
        let error = HistoryFile::open(book.dir.path()).unwrap_err();
        assert!(matches!(error, HistoryFileError::Head { .. }), "{head:?}: {error}");
    }
}

#[test]
fn a_write_that_fails_leaves_the_file_as_it_was_or_broken() {
    let mut book = Book::three();
    // Open for reading only: it takes no write.
    book.file.file = File::open(book.path()).unwrap();
    let mut version = book.history.last("hot").unwrap().clone();
    version.seq = 4;
    let rule = RuleName::new("hot").unwrap();
    let mut append = || book.file.append(&rule, &version, Text::Written).unwrap_err();
    assert!(matches!(append(), HistoryFileError::Io { what: "write", .. }));
    assert!(matches!(append(), HistoryFileError::Broken { .. }), "it could not be taken back");
    assert_eq!(all(&book.again().history), all(&book.history));
}

#[test]
fn a_file_that_is_mostly_past_is_written_anew() {
    let mut book = Book::new();
    let long = "x".repeat(30_000);
    book.add("quiet", Deed::Create, Some("q"));
    for n in 0..400 {
        book.add("busy", Deed::Change, Some(&format!("{n} {long}")));
    }
    assert_eq!(book.history.n_versions(), 101);
    let n_bytes = fs::metadata(book.path()).unwrap().len();
    assert!(n_bytes < 210 * 30_200, "{n_bytes}");
    assert_eq!(n_bytes, book.file.n_bytes);
    let opened = book.again();
    assert_eq!(all(&opened.history), all(&book.history));
    let drift = opened.file.waste_bytes.abs_diff(book.file.waste_bytes);
    assert!(drift < n_bytes / 10, "{drift}");
    assert!(!book.path().with_extension("history.new").exists());
}

#[test]
fn a_change_is_not_kept_twice() {
    let mut book = Book::three();
    let version = book.history.last("cold").unwrap().clone();
    let again = book.file.append(&RuleName::new("cold").unwrap(), &version, Text::Written);
    assert!(matches!(again, Err(HistoryFileError::Broken { .. })));
    assert_eq!(all(&book.again().history), all(&book.history));
}
