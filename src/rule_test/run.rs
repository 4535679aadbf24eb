//! Runs a test: its readings through the live engine, as if each came when it was made.

use std::sync::Arc;
use std::time::Duration;

use bellwire_alerts::RuleSet;
use bellwire_alerts::backtest::{Driver, effective};
use bellwire_model::{Names, Reading, Transition};

pub(crate) use super::expected::Mismatch;
use super::expected::compare;
use super::file::{Input, Test};

/// How much longer than the last thing that is asked the test goes on: what is due then comes to light
/// with the next tick but one.
const AFTERWARDS: Duration = Duration::from_secs(2);

/// Runs a test with the text of the rules; gives what is not as expected.
///
/// # Errors
/// If the rules and the test's labels do not go together, or there are too many names.
pub(crate) fn run(test: &Test, rules: &str) -> Result<Vec<Mismatch>, String> {
    let text = format!("{rules}\n{}", test.labels);
    let rules = RuleSet::parse(&text).map_err(|errors| errors[0].to_string())?;
    let unknown = test.expects.iter().chain(test.transitions.iter().flatten());
    let unknown = unknown.filter(|expect| rules.rule(expect.rule.as_str()).is_none());
    let unknown: Vec<_> = unknown
        .map(|expect| Mismatch { line: expect.line, text: no_rule(&rules, expect.rule.as_str()) })
        .collect();
    if !unknown.is_empty() {
        return Ok(unknown);
    }
    Ok(compare(test, &transitions(test, rules)?))
}

fn no_rule(rules: &RuleSet, name: &str) -> String {
    let known = rules.rules().iter().map(|rule| rule.name().as_str());
    match bellwire_alerts::nearest(name, known) {
        Some(near) => format!("no rule is named `{name}`: did you mean `{near}`?\n"),
        None => format!("no rule is named `{name}`\n"),
    }
}

/// All transitions up to the last thing that is asked, in the order in which they happened; without those
/// that a late reading takes back.
fn transitions(test: &Test, rules: RuleSet) -> Result<Vec<Transition>, String> {
    let (mut driver, mut names) = (Driver::new(Arc::new(rules)), Names::default());
    let mut said = Vec::new();
    let mut readings = Vec::new();
    for input in &test.inputs {
        add(test, input, &mut names, &mut readings).ok_or("the test has too many names")?;
        driver.receive(&readings, test.start + input.received, &names, &mut said);
    }
    let asked = test.expects.iter().chain(test.transitions.iter().flatten());
    let asked = asked.map(|expect| expect.at);
    let read = test.inputs.iter().map(|input| input.received);
    let end = test.start + asked.chain(read).max().unwrap_or_default();
    driver.pass(end + AFTERWARDS, &names, &mut said);
    said.retain(|transition| transition.at <= end);
    Ok(effective(said))
}

/// An input's readings into `readings`.
fn add(test: &Test, input: &Input, names: &mut Names, readings: &mut Vec<Reading>) -> Option<()> {
    readings.clear();
    let device = names.add_device(&input.device)?;
    for (metric, value) in &input.values {
        let metric = names.add_metric(metric)?;
        let at = test.start + input.at;
        readings.push(Reading { device, metric, at, value: value.clone() });
    }
    Some(())
}
