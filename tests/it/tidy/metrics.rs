//! Metrics that dashboards and alert rules watch are ones that the code registers.

use std::collections::BTreeSet;

use crate::support::fault::Fault;

const PREFIX: &str = "bellwire_";

/// What Prometheus adds to a histogram's name.
const HISTOGRAM_PARTS: [&str; 3] = ["_bucket", "_sum", "_count"];

/// Whether a file may watch metrics.
pub(super) fn watches(path: &str) -> bool {
    path.starts_with("dashboards/") || path.starts_with("deploy/")
}

/// The names that a Rust file registers: string literals that are a metric's name as a whole. A part that is
/// put in, as in `bellwire_{door}_x`, is given as `*`.
pub(super) fn registered(path: &str, text: &str) -> Vec<String> {
    if path.split('/').any(|part| part == "tests") && !path.starts_with("tests/fleet/src/") {
        return Vec::new();
    }
    let literals = text.split('"').filter(|part| part.starts_with(PREFIX)).map(with_a_star);
    literals.filter(|part| part.chars().all(|c| of_name(c) || c == '*')).collect()
}

fn with_a_star(literal: &str) -> String {
    let place =
        literal.split_once('{').and_then(|(begin, rest)| Some((begin, rest.split_once('}')?)));
    place.map_or_else(|| literal.to_owned(), |(begin, (_, end))| format!("{begin}*{end}"))
}

/// Names in one watching file that nothing registers.
pub(super) fn faults(path: &str, text: &str, registered: &BTreeSet<String>) -> Vec<Fault> {
    let unknown = |line| names(line).filter(|name| !is_known(name, registered));
    text.lines()
        .enumerate()
        .flat_map(|(index, line)| {
            unknown(line)
                .map(move |name| Fault::at(path, index, format!("nothing registers `{name}`")))
        })
        .collect()
}

fn of_name(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'
}

/// The metric names in a line; a bare prefix, as in a pattern, is none.
fn names(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices(PREFIX).filter_map(move |(start, _)| {
        let rest = &line[start..];
        let name = &rest[..rest.find(|c| !of_name(c)).unwrap_or(rest.len())];
        let inside = line[..start].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        (!inside && !name.ends_with('_')).then_some(name)
    })
}

fn is_known(name: &str, registered: &BTreeSet<String>) -> bool {
    let mut bases = HISTOGRAM_PARTS.into_iter().filter_map(|part| name.strip_suffix(part));
    registered.contains(name)
        || bases.any(|base| registered.contains(base))
        || registered.iter().any(|known| fits(name, known))
}

/// Whether one word in the star's place makes this name.
fn fits(name: &str, known: &str) -> bool {
    let word =
        known.split_once('*').and_then(|(begin, end)| name.strip_prefix(begin)?.strip_suffix(end));
    word.is_some_and(|word| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_from_the_code() {
        let text = r#"counter("bellwire_a_total", "How often."); text("bellwire_ is a prefix")"#;
        assert_eq!(registered("store/src/metrics.rs", text), ["bellwire_a_total"]);
        assert!(registered("store/tests/a.rs", text).is_empty(), "a test registers nothing");
        let made = r#"format!("bellwire_{door}_b_total"), "bellwire_session={it}; Path=/""#;
        assert_eq!(registered("broker/src/a.rs", made), ["bellwire_*_b_total"]);
    }

    #[test]
    fn a_metric_that_nobody_registers_is_caught() {
        let known = ["bellwire_a_total", "bellwire_b_seconds", "bellwire_*_c_total"];
        let known = BTreeSet::from(known.map(str::to_owned));
        let check = |text, expected: &[&str]| {
            let faults = faults("dashboards/a.json", text, &known);
            let found: Vec<_> = faults.iter().map(|fault| fault.what.as_str()).collect();
            assert_eq!(found.len(), expected.len(), "{text:?}: {found:?}");
            for (found, expected) in found.iter().zip(expected) {
                assert!(found.contains(expected), "{found:?} does not name {expected:?}");
            }
        };
        check("rate(bellwire_a_total[5m])", &[]);
        check("rate(bellwire_b_seconds_bucket{le=\"1\"}[5m]) / bellwire_b_seconds_sum", &[]);
        check("bellwire_a / bellwire_a_totals", &["`bellwire_a`", "`bellwire_a_totals`"]);
        check(
            "bellwire_mqtt_c_total / bellwire__c_total / bellwire_c_total",
            &["__c", "`bellwire_c_"],
        );
        check("{__name__=~\"bellwire_.*\"} my_bellwire_x", &[]);
    }

    #[test]
    fn dashboards_and_deployments_watch() {
        assert!(watches("dashboards/fleet.json") && watches("deploy/prometheus/rules.yml"));
        assert!(!watches("docs/live.md"));
    }
}
