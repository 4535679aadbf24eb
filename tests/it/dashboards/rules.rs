//! The rules for Prometheus as they are written: each says what it means, leads to its page, and has tests.

use std::collections::{BTreeMap, BTreeSet};

use yaml_rust2::{Yaml, YamlLoader};

use crate::support::fault::{Fault, none_of};
use crate::support::tree;

/// Where they lie.
pub(super) const FOLDER: &str = "dashboards/prometheus/";
/// The rules.
pub(crate) const RULES: &str = "dashboards/prometheus/bellwire.rules.yml";
/// What `runbook_url` must lead to.
const RUNBOOKS: &str = "docs/guides/prometheus.md";
const REPOSITORY: &str = "https://github.com/bellwire/bellwire/blob/main/";

/// The rules of a file.
#[derive(Debug)]
pub(super) struct Rules(Vec<Yaml>);

impl Rules {
    fn parse(text: &str) -> Self {
        let document = YamlLoader::load_from_str(text).unwrap().swap_remove(0);
        let groups = document["groups"].as_vec().unwrap();
        let rules = groups.iter().flat_map(|group| group["rules"].as_vec().unwrap());
        Self(rules.cloned().collect())
    }

    /// Alerts and what is only recorded.
    pub(super) fn n_rules(&self) -> usize {
        self.0.len()
    }

    fn alerts(&self) -> impl Iterator<Item = (&str, &Yaml)> {
        self.0.iter().filter_map(|rule| Some((rule["alert"].as_str()?, rule)))
    }
}

fn text_of(path: &str) -> String {
    let files = tree::files();
    let file = files.into_iter().find(|file| file.path == path);
    file.unwrap_or_else(|| panic!("there is no {path}")).text
}

/// Reads the rules in the file at `path`.
pub(super) fn read(path: &str) -> Rules {
    Rules::parse(&text_of(path))
}

/// When this alert is there, in PromQL, whatever time it must have held for.
pub(crate) fn expression_of(alert: &str) -> String {
    let rules = read(RULES);
    let found = rules.alerts().find(|(name, _)| *name == alert);
    let (_, rule) = found.unwrap_or_else(|| panic!("there is no alert {alert}"));
    rule["expr"].as_str().unwrap().to_owned()
}

/// The names of the files with tests.
pub(super) fn test_files() -> Vec<String> {
    let paths = tree::files().into_iter().map(|file| file.path);
    let names = paths.filter_map(|path| path.strip_prefix(FOLDER).map(str::to_owned));
    names.filter(|name| name.ends_with(".test.yml")).collect()
}

/// What is missing in one alert, given the page that its runbook is on.
fn alert_faults(name: &str, rule: &Yaml, runbooks: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let text = |key: &str| rule["annotations"][key].as_str().unwrap_or_default();
    for key in ["summary", "description"] {
        if text(key).is_empty() {
            faults.push(format!("{name}: it has no {key}"));
        }
    }
    let severity = rule["labels"]["severity"].as_str().unwrap_or_default();
    if !["critical", "warning"].contains(&severity) {
        faults.push(format!("{name}: `{severity}` is no severity"));
    }
    let anchor = name.to_lowercase();
    if text("runbook_url") != format!("{REPOSITORY}{RUNBOOKS}#{anchor}") {
        faults.push(format!("{name}: its runbook is not at #{anchor} of {RUNBOOKS}"));
    }
    if !runbooks.lines().any(|line| line == format!("### {name}")) {
        faults.push(format!("{name}: {RUNBOOKS} has no `### {name}`"));
    }
    faults
}

/// How often tests expect an alert, and how many instances they let be well.
fn tested(tests: &str) -> BTreeMap<String, (usize, usize)> {
    let document = YamlLoader::load_from_str(tests).unwrap().swap_remove(0);
    let mut tested = BTreeMap::<String, (usize, usize)>::new();
    for group in document["tests"].as_vec().unwrap() {
        let series = group["input_series"].as_vec().unwrap().iter();
        let instance = |series: &Yaml| {
            let text = series["series"].as_str().unwrap();
            text.split("instance=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
        };
        let instances = series.map(instance).collect::<BTreeSet<_>>().len();
        for test in group["alert_rule_test"].as_vec().unwrap() {
            let n_fired = test["exp_alerts"].as_vec().unwrap().len();
            let of = tested.entry(test["alertname"].as_str().unwrap().to_owned()).or_default();
            of.0 += n_fired;
            of.1 += instances.saturating_sub(n_fired);
        }
    }
    tested
}

fn test_faults(rules: &Rules, tests: &[String]) -> Vec<String> {
    let mut known = BTreeMap::<String, (usize, usize)>::new();
    for (name, (n_fired, n_well)) in tests.iter().flat_map(|text| tested(text)) {
        let of = known.entry(name).or_default();
        *of = (of.0 + n_fired, of.1 + n_well);
    }
    let lacking = rules.alerts().filter_map(|(name, _)| {
        let (n_fired, n_well) = known.get(name).copied().unwrap_or_default();
        match (n_fired, n_well) {
            (0, _) => Some(format!("{name}: no test expects it")),
            (_, 0) => Some(format!("{name}: no test expects that it does not fire")),
            _ => None,
        }
    });
    lacking.collect()
}

#[test]
fn each_rule_says_what_it_means_and_is_tested() {
    let rules = read(RULES);
    let runbooks = text_of(RUNBOOKS);
    let tests: Vec<_> =
        test_files().iter().map(|name| text_of(&format!("{FOLDER}{name}"))).collect();
    let of_alerts = rules.alerts().flat_map(|(name, rule)| alert_faults(name, rule, &runbooks));
    let faults: Vec<_> = of_alerts.chain(test_faults(&rules, &tests)).collect();
    none_of(faults.into_iter().map(|what| Fault::whole(RULES, what)));
}

#[test]
fn a_rule_that_lacks_something_is_caught() {
    let rules = Rules::parse(
        "groups: [{rules: [{alert: A, expr: up, labels: {severity: critical}, annotations: {summary: s, \
         description: d, runbook_url: 'https://github.com/bellwire/bellwire/blob/main/docs/guides/prometheus.md#a'}}, \
         {alert: B, expr: up, labels: {severity: page}, annotations: {summary: s}}]}]",
    );
    let of = |name: &str| {
        let (_, rule) = rules.alerts().find(|(it, _)| *it == name).unwrap();
        alert_faults(name, rule, "### A\n")
    };
    assert_eq!(of("A"), [""; 0]);
    let found = of("B").join("\n");
    for expected in ["no description", "`page`", "#b of", "no `### B`"] {
        assert!(found.contains(expected), "{expected}: {found}");
    }
    let test = |expected: &str| {
        format!(
            "tests: [{{input_series: [{{series: 'up{{instance=\"x\"}}'}}, {{series: 'up{{instance=\"y\"}}'}}], \
             alert_rule_test: [{{alertname: A, exp_alerts: {expected}}}]}}]"
        )
    };
    let faults = |expected: &str| test_faults(&rules, &[test(expected)]).join("\n");
    assert!(!faults("[{}]").contains("A:"), "{}", faults("[{}]"));
    assert!(faults("[{}]").contains("B: no test expects it"), "{}", faults("[{}]"));
    assert!(faults("[]").contains("A: no test expects it"), "{}", faults("[]"));
    assert!(
        faults("[{}, {}]").contains("A: no test expects that it does not"),
        "{}",
        faults("[{}, {}]")
    );
}
