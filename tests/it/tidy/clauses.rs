//! Statements of the MQTT standard: tags in the code are ones that exist, and the list says truly
//! which ones no code claims to meet.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::fault::Fault;

/// The list.
pub(super) const LIST: &str = "broker/clauses.txt";
/// Behind the number of a statement that nothing claims to meet.
const MARK: char = '?';

/// What the list says of one statement.
#[derive(Debug, PartialEq, Eq)]
enum Clause<'a> {
    /// A server must do this.
    Server,
    /// Only clients must.
    Client,
    /// The other version has the same statement, by that number.
    Same(&'a str),
}

/// One line of the list.
#[derive(Debug, PartialEq, Eq)]
struct Entry<'a> {
    line: usize,
    is_marked: bool,
    clause: Clause<'a>,
}

/// The list by the statements' numbers, and what is wrong with its lines.
fn entries(list: &str) -> (BTreeMap<&str, Entry<'_>>, Vec<Fault>) {
    let (mut entries, mut faults) = (BTreeMap::new(), Vec::new());
    for (line, text) in list.lines().enumerate() {
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let (number, rest) = text.split_once(' ').unwrap_or((text, ""));
        let clause = match rest.split_once(' ') {
            Some(("server", words)) if !words.is_empty() => Clause::Server,
            Some(("client", words)) if !words.is_empty() => Clause::Client,
            Some(("=", same)) => Clause::Same(same),
            _ => {
                faults.push(Fault::at(
                    LIST,
                    line,
                    "a line is `NUMBER server|client WORDS` or `NUMBER = NUMBER`",
                ));
                continue;
            }
        };
        let is_marked = number.ends_with(MARK);
        let entry = Entry { line, is_marked, clause };
        if entries.insert(number.trim_end_matches(MARK), entry).is_some() {
            faults.push(Fault::at(LIST, line, format!("{number} is listed twice")));
        }
    }
    (entries, faults)
}

/// The numbers in the tags of a line of code.
fn tags(line: &str) -> impl Iterator<Item = &str> {
    line.split('[').skip(1).filter_map(|rest| {
        let number = rest.split(']').next()?;
        let digits = number.strip_prefix("MQTT-").or_else(|| number.strip_prefix("MQTT3-"))?;
        // Without a hyphen it is a whole section of the standard.
        digits.contains('-').then_some(number)
    })
}

/// Tags in one Rust file that name no statement.
pub(super) fn tag_faults(path: &str, text: &str, list: &str) -> Vec<Fault> {
    let (entries, _) = entries(list);
    let of_line = |(index, line)| {
        let unknown = tags(line).filter(|number| !entries.contains_key(number));
        let unknown: Vec<&str> = unknown.collect();
        unknown
            .into_iter()
            .map(move |number| Fault::at(path, index, format!("{number} is not in {LIST}")))
    };
    // This file has tags as examples.
    if path.ends_with("tidy/clauses.rs") {
        return Vec::new();
    }
    text.lines().enumerate().flat_map(of_line).collect()
}

/// The statements that a Rust file claims to meet: tests claim nothing, and the simulated fleet is
/// a client.
pub(super) fn met<'a>(path: &str, text: &'a str) -> Vec<&'a str> {
    if path.split('/').any(|part| matches!(part, "tests" | "tests.rs" | "examples")) {
        return Vec::new();
    }
    text.lines().flat_map(tags).collect()
}

/// What a server must do and nothing claims: by the list's own account, or by the code's.
fn unmet<'a>(entries: &BTreeMap<&'a str, Entry<'a>>, met: &BTreeSet<&str>) -> BTreeSet<&'a str> {
    let is_met = |number: &str, clause: &Clause<'_>| match clause {
        Clause::Client => true,
        Clause::Server => met.contains(number),
        Clause::Same(same) => {
            met.contains(number)
                || met.contains(same)
                || entries.get(same).is_some_and(|other| other.clause == Clause::Client)
        }
    };
    entries
        .iter()
        .filter(|(number, entry)| !is_met(number, &entry.clause))
        .map(|it| *it.0)
        .collect()
}

/// Faults of the list, given what the code claims to meet.
pub(super) fn list_faults(list: &str, met: &BTreeSet<&str>) -> Vec<Fault> {
    let (entries, mut faults) = entries(list);
    let unmet = unmet(&entries, met);
    for (number, entry) in &entries {
        if let Clause::Same(same) = entry.clause
            && !matches!(
                entries.get(same),
                Some(Entry { clause: Clause::Server | Clause::Client, .. })
            )
        {
            faults.push(Fault::at(LIST, entry.line, format!("{same} is no statement of its own")));
        }
        let what = match (unmet.contains(number), entry.is_marked) {
            (true, false) => "no code has its tag any more",
            (false, true) => "is met: take its `?` away, or let BELLWIRE_BLESS=1 do it",
            _ => continue,
        };
        faults.push(Fault::at(LIST, entry.line, format!("{number}: {what}")));
    }
    faults
}

/// The list without the marks of what is met by now; others are never added.
pub(super) fn blessed(list: &str, met: &BTreeSet<&str>) -> String {
    let (entries, _) = entries(list);
    let unmet = unmet(&entries, met);
    let unmark = |line: &str| match line.split_once(' ') {
        Some((number, rest)) if number.ends_with(MARK) => {
            let number = number.trim_end_matches(MARK);
            if unmet.contains(number) { line.to_owned() } else { format!("{number} {rest}") }
        }
        _ => line.to_owned(),
    };
    list.lines().map(|line| unmark(line) + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# words\n\nMQTT-1.1.0-1 server a\nMQTT-1.1.0-2? server b\n\
                        MQTT-4.2-1 client c\nMQTT3-1.1.0-9 = MQTT-1.1.0-1\nMQTT3-2.0.0-1 = MQTT-4.2-1\n";

    #[test]
    fn tags_are_found_and_sections_are_none() {
        let found: Vec<_> =
            tags("// [MQTT-1.1.0-1], [MQTT3-4.2-1]: [MQTT-4.7] a[0] [`x`]").collect();
        assert_eq!(found, ["MQTT-1.1.0-1", "MQTT3-4.2-1"]);
    }

    #[test]
    fn a_tag_that_does_not_exist_is_caught() {
        let faults = tag_faults("broker/src/a.rs", "// [MQTT-1.1.0-1]\n// [MQTT-1.1.0-7]\n", GOOD);
        assert_eq!(
            faults,
            [Fault::at("broker/src/a.rs", 1, format!("MQTT-1.1.0-7 is not in {LIST}"))]
        );
    }

    #[test]
    fn tests_claim_nothing() {
        assert_eq!(met("broker/src/a.rs", "// [MQTT-1.1.0-1]"), ["MQTT-1.1.0-1"]);
        assert_eq!(met("broker/tests/it/a.rs", "// [MQTT-1.1.0-1]"), [""; 0]);
    }

    #[test]
    fn the_marks_are_held_both_ways() {
        let check = |met: &[&str], expected: &[&str]| {
            let faults = list_faults(GOOD, &met.iter().copied().collect());
            let found: Vec<_> = faults.iter().map(|fault| fault.what.as_str()).collect();
            assert_eq!(found.len(), expected.len(), "{met:?}: {found:?}");
            for (found, expected) in found.iter().zip(expected) {
                assert!(found.contains(expected), "{found:?} does not say {expected:?}");
            }
        };
        check(&["MQTT-1.1.0-1"], &[]);
        check(&["MQTT-1.1.0-1", "MQTT-1.1.0-2"], &["MQTT-1.1.0-2: is met"]);
        check(&[], &["MQTT-1.1.0-1: no code", "MQTT3-1.1.0-9: no code"]);
    }

    #[test]
    fn blessing_only_takes_marks_away() {
        let met = BTreeSet::from(["MQTT-1.1.0-2"]);
        assert_eq!(blessed(GOOD, &met), GOOD.replace('?', ""));
        assert_eq!(blessed(GOOD, &BTreeSet::new()), GOOD);
    }

    #[test]
    fn a_wrong_list_is_caught() {
        for wrong in ["MQTT-1.1.0-1\n", "MQTT-1.1.0-1 server \n", "MQTT3-1.1.0-1 = MQTT-9.9.9-9\n"]
        {
            let faults = list_faults(wrong, &BTreeSet::from(["MQTT-1.1.0-1", "MQTT3-1.1.0-1"]));
            assert_eq!(faults.len(), 1, "{wrong:?}: {faults:?}");
        }
    }
}
