//! Rules for Rust files that neither the compiler nor clippy holds.

use crate::support::fault::Fault;

const LINES_MAX: usize = 500;

/// Words that may stand nowhere; put together here so that this file does not hold them.
const NEVER: [(&str, &str); 9] = [
    (concat!("FIX", "ME"), "mend it or file it"),
    (concat!("TO", "DO"), "do it or file it"),
    (concat!("X", "XX"), "say what is wrong"),
    (concat!("HA", "CK"), "say why it is so"),
    (concat!("to", "do!"), "no stubs"),
    (concat!("unimpl", "emented!"), "no stubs"),
    (concat!("db", "g!"), "use tracing"),
    (concat!("#[ig", "nore"), "a test runs or is deleted"),
    (concat!("#[should", "_panic"), "assert on the error"),
];

/// Calls that wait for an amount of time instead of a state.
const NEVER_IN_TESTS: [&str; 2] = [concat!("sle", "ep("), concat!("sle", "ep_until(")];

/// Faults of one Rust file.
pub(super) fn faults(path: &str, text: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    if !text.starts_with("//!") {
        faults.push(Fault::whole(path, "must open with `//!` and say what it is for"));
    }
    let n_lines = text.lines().count();
    if n_lines > LINES_MAX {
        faults.push(Fault::whole(path, format!("has {n_lines} lines, at most {LINES_MAX}")));
    }
    let tests_begin = if is_test(path) { 0 } else { unit_tests_begin(text) };
    for (index, line) in text.lines().enumerate() {
        let place = if index >= tests_begin { Place::Test } else { Place::Product };
        faults
            .extend(line_faults(line, place).into_iter().map(|what| Fault::at(path, index, what)));
    }
    faults
}

/// What a line is part of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Product,
    Test,
}

/// Whether the whole file is test code. The fleet lives in `tests/` but is a product.
fn is_test(path: &str) -> bool {
    !path.starts_with("tests/fleet/src/")
        && path.split('/').any(|part| matches!(part, "tests" | "tests.rs" | "benches"))
}

/// The index of the line at which a file's own tests begin; past the end where it has none.
fn unit_tests_begin(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    let is_module = |line: &str| line.split(' ').any(|word| word == "mod") && line.ends_with('{');
    lines
        .windows(2)
        .position(|pair| pair[0] == "#[cfg(test)]" && is_module(pair[1]))
        .unwrap_or(lines.len())
}

fn line_faults(line: &str, place: Place) -> Vec<String> {
    let mut faults: Vec<String> = NEVER
        .into_iter()
        .filter(|(word, _)| has_word(line, word))
        .map(|(word, instead)| format!("`{word}`: {instead}"))
        .collect();
    let code = !line.trim_start().starts_with("//");
    let sleeps = NEVER_IN_TESTS.into_iter().any(|call| has_word(line, call));
    if code && place == Place::Test && sleeps {
        faults.push("a test must not sleep: pause the clock, or wait for the state".to_owned());
    }
    if code && place == Place::Product && line.contains(concat!(".unw", "rap()")) {
        faults.push("say why it cannot fail with `expect`, or return the error".to_owned());
    }
    faults
}

/// Whether `word` stands in `line`, not as a part of a longer one.
fn has_word(line: &str, word: &str) -> bool {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(start, _)| {
        let (before, after) = (&line[..start], &line[start + word.len()..]);
        let goes_on = word.ends_with(part_of_word) && after.starts_with(part_of_word);
        let began = word.starts_with(part_of_word) && before.ends_with(part_of_word);
        !goes_on && !began
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, text: &str, expected: &[&str]) {
        let found: Vec<String> = faults(path, text).iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), expected.len(), "{text:?} in {path}: {found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "{found:?} does not say {expected:?}");
        }
    }

    #[test]
    fn a_file_says_what_it_is_for() {
        check("src/a.rs", "use std::fmt;\n", &["src/a.rs: must open"]);
        check("src/a.rs", "//! Adds.\n", &[]);
    }

    #[test]
    fn a_file_stays_short() {
        check("src/a.rs", &format!("//! A.\n{}", "\n".repeat(LINES_MAX - 1)), &[]);
        check("src/a.rs", &format!("//! A.\n{}", "\n".repeat(LINES_MAX)), &["has 501 lines"]);
    }

    #[test]
    fn forbidden_words_are_found_and_longer_ones_are_not() {
        for (word, _) in NEVER {
            check("src/a.rs", &format!("//! A.\n  {word} b\n"), &[word]);
            let inside: &[&str] = if word.starts_with('#') { &[word] } else { &[] };
            check("src/a.rs", &format!("//! A.\n  a{word}\n"), inside);
        }
    }

    #[test]
    fn only_tests_must_not_sleep() {
        let call = NEVER_IN_TESTS[0];
        let text = format!("//! A.\ntokio::time::{call}x).await;\n");
        check("broker/tests/a.rs", &text, &["broker/tests/a.rs:2: a test must not sleep"]);
        check("tests/it/a.rs", &format!("//! A.\n{call}x);\n"), &["must not sleep"]);
        check("broker/src/a.rs", &text, &[]);
        check("tests/fleet/src/a.rs", &text, &[]);
        check("tests/fleet/tests/a.rs", &text, &["must not sleep"]);
        let unit = format!("//! A.\n{call}x);\n#[cfg(test)]\nmod tests {{\n{call}x);\n}}\n");
        check("broker/src/a.rs", &unit, &["broker/src/a.rs:5: a test"]);
    }

    #[test]
    fn only_tests_may_unwrap() {
        let call = concat!("a.unw", "rap();");
        check("src/a.rs", &format!("//! A.\n{call}\n"), &["src/a.rs:2: say why"]);
        check("src/a.rs", &format!("//! A.\n// {call}\n"), &[]);
        check("src/a.rs", &format!("//! A.\n#[cfg(test)]\nmod tests {{\n{call}\n}}\n"), &[]);
        check("src/a.rs", &format!("//! A.\n#[cfg(test)]\npub mod t {{\n{call}\n}}\n"), &[]);
        let only_import = format!("//! A.\n#[cfg(test)]\nuse b;\n{call}\n");
        check("src/a.rs", &only_import, &["src/a.rs:4: say why"]);
        check("store/tests/a.rs", &format!("//! A.\n{call}\n"), &[]);
    }
}
