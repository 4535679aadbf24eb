//! What a test expects beside what was found, and the words for the difference.

use std::fmt::Write as _;

use bellwire_model::{AlertState, Timestamp, Transition};

use super::file::{Expect, Test};

/// Something that is not as expected.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mismatch {
    /// The line of the test file.
    pub(crate) line: usize,
    /// What was expected there, and what was found.
    pub(crate) text: String,
}

/// Compares what a test expects with what was said, in the order in which it happened.
pub(super) fn compare(test: &Test, said: &[Transition]) -> Vec<Mismatch> {
    let mut found: Vec<_> =
        test.expects.iter().filter_map(|expect| state(test, expect, said)).collect();
    found.extend(test.transitions.as_ref().and_then(|expected| list(test, expected, said)));
    found
}

/// How an alert stood at a time.
fn state(test: &Test, expect: &Expect, said: &[Transition]) -> Option<Mismatch> {
    let at = test.start + expect.at;
    let is_it = |it: &&Transition| {
        it.alert.rule == expect.rule && it.alert.device == expect.device && it.at <= at
    };
    let last = said.iter().rfind(is_it);
    let is_met = match last {
        Some(last) => meets(expect, last),
        None => {
            expect.state == AlertState::Inactive
                && (expect.severity.is_none() && expect.value.is_none() && expect.summary.is_none())
        }
    };
    if is_met {
        return None;
    }
    let mut text = format!("at {}, {} on {}:\n", offset(test, at), expect.rule, expect.device);
    let _ = writeln!(text, "  expected  {}", wanted(expect));
    let _ = match last {
        None => writeln!(text, "  found     inactive: it never was anything else"),
        Some(last) => {
            let since = offset(test, last.at);
            writeln!(text, "  found     {} since {since} ({})", shown(expect, last), last.reason)
        }
    };
    Some(Mismatch { line: expect.line, text })
}

/// All that happened.
fn list(test: &Test, expected: &[Expect], said: &[Transition]) -> Option<Mismatch> {
    let mut expected: Vec<_> = expected.iter().collect();
    expected.sort_by_key(|expect| expect.at);
    let is_one = |expect: &Expect, it: &Transition| {
        it.alert.rule == expect.rule
            && it.alert.device == expect.device
            && it.at == test.start + expect.at
            && expect.from.is_none_or(|from| from == it.from)
            && meets(expect, it)
    };
    let lines = diff(&expected, said, |expect, it| is_one(expect, it));
    if lines.iter().all(|line| matches!(line, Line::Both(_))) {
        return None;
    }
    let mut text = "transitions (- expected, + found):\n".to_owned();
    for line in &lines {
        let _ = match line {
            Line::Missing(expect) => writeln!(text, "  - {}", wanted_line(test, expect)),
            Line::New(it) => writeln!(text, "  + {}  ({})", found_line(test, it), it.reason),
            Line::Both(it) => writeln!(text, "    {}", found_line(test, it)),
        };
    }
    let line = lines.iter().find_map(|line| match line {
        Line::Missing(expect) => Some(expect.line),
        _ => None,
    });
    Some(Mismatch { line: line.unwrap_or(test.line), text })
}

/// Whether the alert stands after `it` as expected; its time, rule and device aside.
fn meets(expect: &Expect, it: &Transition) -> bool {
    it.to == expect.state
        && expect.severity.is_none_or(|severity| severity == it.alert.severity)
        && expect
            .value
            .is_none_or(|value| it.alert.value.is_some_and(|found| is_near(found, value)))
        && expect.summary.as_ref().is_none_or(|summary| *summary == it.alert.summary)
}

/// Equal but for the rounding of a sum: one in a billion.
fn is_near(found: f64, wanted: f64) -> bool {
    (found - wanted).abs() <= 1e-9 * wanted.abs().max(1.0)
}

fn wanted(expect: &Expect) -> String {
    let mut text = expect.state.to_string();
    if let Some(severity) = expect.severity {
        let _ = write!(text, ", severity {severity}");
    }
    if let Some(value) = expect.value {
        let _ = write!(text, ", value {value}");
    }
    if let Some(summary) = &expect.summary {
        let _ = write!(text, ", summary {summary:?}");
    }
    text
}

/// The found alert, with what was asked of it.
fn shown(expect: &Expect, it: &Transition) -> String {
    let mut text = it.to.to_string();
    if expect.severity.is_some() {
        let _ = write!(text, ", severity {}", it.alert.severity);
    }
    if expect.value.is_some() {
        let value = it.alert.value.map_or_else(|| "none".to_owned(), |value| value.to_string());
        let _ = write!(text, ", value {value}");
    }
    if expect.summary.is_some() {
        let _ = write!(text, ", summary {:?}", it.alert.summary);
    }
    text
}

fn wanted_line(test: &Test, expect: &Expect) -> String {
    let from = expect.from.map(|from| format!("{from} ")).unwrap_or_default();
    let at = offset(test, test.start + expect.at);
    format!("{at}  {}  {}  {from}→ {}", expect.device, expect.rule, wanted(expect))
}

fn found_line(test: &Test, it: &Transition) -> String {
    let at = offset(test, it.at);
    format!("{at}  {}  {}  {} → {}", it.alert.device, it.alert.rule, it.from, it.to)
}

/// A time as a test writes it: from its start.
fn offset(test: &Test, at: Timestamp) -> String {
    let mut rest = at.since(test.start).as_millis();
    let mut text = String::new();
    for (name, unit) in [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
        if rest >= unit {
            let _ = write!(text, "{}{name}", rest / unit);
            rest %= unit;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// A line of a difference.
enum Line<'a> {
    Missing(&'a Expect),
    New(&'a Transition),
    Both(&'a Transition),
}

/// The longest lists that are aligned; of longer ones, what differs is said from the first difference on.
const ALIGNED_MAX: usize = 2_000;

/// Aligns two lists by their longest common subsequence.
fn diff<'a>(
    expected: &[&'a Expect],
    said: &'a [Transition],
    is_one: impl Fn(&Expect, &Transition) -> bool,
) -> Vec<Line<'a>> {
    let pairs = expected.iter().zip(said);
    let n_same = pairs.take_while(|(expect, it)| is_one(expect, it)).count();
    let mut lines: Vec<_> = said[..n_same].iter().map(Line::Both).collect();
    let (expected, said) = (&expected[n_same..], &said[n_same..]);
    if expected.len().max(said.len()) > ALIGNED_MAX {
        lines.extend(expected.iter().map(|expect| Line::Missing(expect)));
        lines.extend(said.iter().map(Line::New));
        return lines;
    }
    let mut longest = vec![vec![0_u16; said.len() + 1]; expected.len() + 1];
    for (i, expect) in expected.iter().enumerate().rev() {
        for (j, it) in said.iter().enumerate().rev() {
            longest[i][j] = if is_one(expect, it) {
                longest[i + 1][j + 1] + 1
            } else {
                longest[i + 1][j].max(longest[i][j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    while i < expected.len() || j < said.len() {
        if i < expected.len() && j < said.len() && is_one(expected[i], &said[j]) {
            lines.push(Line::Both(&said[j]));
            (i, j) = (i + 1, j + 1);
        } else if j == said.len() || i < expected.len() && longest[i + 1][j] >= longest[i][j + 1] {
            lines.push(Line::Missing(expected[i]));
            i += 1;
        } else {
            lines.push(Line::New(&said[j]));
            j += 1;
        }
    }
    lines
}
