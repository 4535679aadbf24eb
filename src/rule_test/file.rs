//! Reads a test file.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bellwire_alerts::RuleError;
use bellwire_model::{
    AlertState, DeviceId, MetricName, RuleName, Severity, Target, Timestamp, Value,
};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fields::{Fields, NameLike as _, Reader, number, reading};
use super::series;
use crate::backtest::words;

/// When a test begins that does not say: 2000-01-01T00:00:00Z, a Saturday.
const START: Timestamp = Timestamp::from_secs(946_684_800);

/// A test file.
#[derive(Debug)]
pub(crate) struct TestFile {
    /// The rules it is for.
    pub(crate) rules: PathBuf,
    /// Its tests.
    pub(crate) tests: Vec<Test>,
}

/// A test.
#[derive(Debug)]
pub(crate) struct Test {
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(super) start: Timestamp,
    /// `[[labels]]` in TOML, to be added to the rules.
    pub(super) labels: String,
    /// In the order in which they are received.
    pub(super) inputs: Vec<Input>,
    pub(super) expects: Vec<Expect>,
    /// All transitions that there may be, if the test says so.
    pub(super) transitions: Option<Vec<Expect>>,
}

/// Readings of one device and one instant.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) device: DeviceId,
    /// From the test's start.
    pub(super) at: Duration,
    /// From the test's start.
    pub(super) received: Duration,
    pub(super) values: Vec<(MetricName, Value)>,
}

/// What is expected of an alert at a time, or of a transition.
#[derive(Debug)]
pub(super) struct Expect {
    pub(super) line: usize,
    /// From the test's start.
    pub(super) at: Duration,
    pub(super) rule: RuleName,
    pub(super) device: Target,
    /// Only of a transition, if it says so.
    pub(super) from: Option<AlertState>,
    pub(super) state: AlertState,
    pub(super) severity: Option<Severity>,
    pub(super) value: Option<f64>,
    pub(super) summary: Option<String>,
}

/// Reads the text of the test file at `path`.
///
/// # Errors
/// Everything that is wrong with it.
pub(crate) fn read(path: &Path, text: &str) -> Result<TestFile, Vec<RuleError>> {
    let (rules, tests) = read_text(text, usize::MAX, |reader, fields| {
        reader.required(fields, "rules", |reader, fields, key| {
            reader.text(fields, key).map(PathBuf::from)
        })
    })?;
    let folder = path.parent().unwrap_or(Path::new("."));
    Ok(TestFile { rules: folder.join(rules.unwrap_or_default()), tests })
}

/// Reads tests of a rule that is at hand, with `readings_max` readings in all; the `rules` of a file do not
/// count.
///
/// # Errors
/// Everything that is wrong with them.
pub(crate) fn read_tests(text: &str, readings_max: usize) -> Result<Vec<Test>, Vec<RuleError>> {
    let (_, tests) = read_text(text, readings_max, |reader, fields| {
        reader.text(fields, "rules").map(str::to_owned)
    })?;
    Ok(tests)
}

/// What `rules` reads, and all tests.
fn read_text<T>(
    text: &str,
    readings_max: usize,
    rules: impl FnOnce(&mut Reader<'_>, &mut Fields<'_, '_>) -> Option<T>,
) -> Result<(Option<T>, Vec<Test>), Vec<RuleError>> {
    let mut reader = Reader::new(text, readings_max);
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        reader.error(&error.span().unwrap_or(0..0), error.message(), None);
    }
    let (mut found, mut tests) = (None, Vec::new());
    if reader.errors.is_empty() {
        let mut fields = Fields::of("a test file", table.get_ref(), 0..0);
        found = rules(&mut reader, &mut fields);
        for test in reader.tables(&mut fields, "test", "a test") {
            tests.extend(read_test(&mut reader, test));
        }
        reader.end(fields);
        if reader.errors.is_empty() && tests.is_empty() {
            let help = "add a `[[test]]` with `input` and `expect`".to_owned();
            reader.error(&(0..0), "there is no test", Some(help));
        }
    }
    if reader.errors.is_empty() {
        return Ok((found, tests));
    }
    reader.errors.sort_by_key(|error| (error.line, error.column));
    Err(reader.errors)
}

fn read_test(reader: &mut Reader<'_>, mut fields: Fields<'_, '_>) -> Option<Test> {
    let line = reader.line(fields.range.start);
    let name = reader.required(&mut fields, "name", |reader, fields, key| {
        reader.text(fields, key).map(str::to_owned)
    });
    let start = reader.parsed(&mut fields, "start", |text| {
        words::time(text).ok_or_else(|| "write a time such as 2026-01-31T12:00:00Z".to_owned())
    });
    let mut labels = String::new();
    for entry in reader.tables(&mut fields, "labels", "an entry of `labels`") {
        labels += &read_labels(reader, entry).unwrap_or_default();
    }
    let mut inputs = Vec::new();
    for input in reader.tables(&mut fields, "input", "an input") {
        inputs.extend(read_input(reader, input).unwrap_or_default());
    }
    // Stable: what is received at one time is so in the file's order.
    inputs.sort_by_key(|input| input.received);
    let mut expects = Vec::new();
    for expect in reader.tables(&mut fields, "expect", "an expectation") {
        expects.extend(read_expect(reader, expect, "state"));
    }
    let has_transitions = fields.has("transitions");
    let mut transitions = Vec::new();
    for transition in reader.tables(&mut fields, "transitions", "a transition") {
        transitions.extend(read_expect(reader, transition, "to"));
    }
    if expects.is_empty() && !has_transitions && reader.errors.is_empty() {
        let help =
            "add an `[[test.expect]]`, or `transitions = []` if nothing may happen".to_owned();
        reader.error(&fields.range.clone(), "the test expects nothing", Some(help));
    }
    reader.end(fields);
    Some(Test {
        name: name?,
        line,
        start: start.unwrap_or(START),
        labels,
        inputs,
        expects,
        transitions: has_transitions.then_some(transitions),
    })
}

/// The entry as it would stand in a file of rules.
fn read_labels(reader: &mut Reader<'_>, mut fields: Fields<'_, '_>) -> Option<String> {
    let device = reader.required(&mut fields, "device", |reader, fields, key| {
        reader.text(fields, key).map(str::to_owned)
    });
    let set = fields.take("set");
    let Some(table) = set.and_then(|set| set.get_ref().as_table()) else {
        let help = "write `set = { kind = \"freezer\" }`".to_owned();
        reader.error(&fields.range.clone(), "an entry of `labels` lacks `set`", Some(help));
        return None;
    };
    let mut labels = toml::Table::new();
    for (name, value) in table {
        match value.get_ref().as_str() {
            Some(text) => drop(labels.insert(name.get_ref().to_string(), text.into())),
            None => reader.error(&value.span(), "a label's value must be a text", None),
        }
    }
    reader.end(fields);
    let device = toml::Value::String(device?);
    let labels = toml::Value::Table(labels);
    Some(format!("\n[[labels]]\ndevice = {device}\nset = {labels}\n"))
}

/// What an input says: one instant, or a series of them.
fn read_input(reader: &mut Reader<'_>, mut fields: Fields<'_, '_>) -> Option<Vec<Input>> {
    let device: Option<DeviceId> = reader.required(&mut fields, "device", Reader::name);
    let at = reader.duration(&mut fields, "at").unwrap_or_default();
    let every = reader.duration(&mut fields, "every");
    let received = reader.duration(&mut fields, "received");
    let mut metrics = Vec::new();
    for (name, range, value) in fields.rest() {
        flatten(name.to_owned(), range, value, &mut metrics);
    }
    if metrics.is_empty() {
        let help = "write `temperature = -12.5`, or with `every` a series".to_owned();
        reader.error(&fields.range.clone(), "the input has no metric", Some(help));
    }
    let mut steps: Vec<Vec<(MetricName, Value)>> = Vec::new();
    for (name, range, value) in metrics {
        let Some(name) = metric(reader, &name, &range) else { continue };
        let Some(values) = values(reader, every, value) else { continue };
        steps.resize(steps.len().max(values.len()), Vec::new());
        for (step, value) in steps.iter_mut().zip(values) {
            step.extend(value.map(|value| (name.clone(), value)));
        }
    }
    if let (Some(received), true) = (received, received.is_some_and(|received| received < at)) {
        let message = format!("it is received at {}, before it is read", words::show(received));
        reader.error(&fields.range.clone(), message, None);
    }
    let (device, late) = (device?, received.unwrap_or(at).saturating_sub(at));
    let inputs = (0..).zip(steps).filter(|(_, values)| !values.is_empty()).map(|(n, values)| {
        let at = at + every.unwrap_or_default() * n;
        Input { device: device.clone(), at, received: at + late, values }
    });
    Some(inputs.collect())
}

fn metric(reader: &mut Reader<'_>, name: &str, range: &Range<usize>) -> Option<MetricName> {
    let read = MetricName::read(name);
    read.map_err(|help| reader.error(range, format!("`{name}` cannot be a metric"), Some(help)))
        .ok()
}

/// The value at each step: only one without `every`.
fn values(
    reader: &mut Reader<'_>,
    every: Option<Duration>,
    value: &Spanned<DeValue<'_>>,
) -> Option<Vec<Option<Value>>> {
    let range = value.span();
    match (every, value.get_ref()) {
        (Some(every), DeValue::String(_)) if every.is_zero() => {
            reader.error(&range, "`every` of a series must be more than nothing", None);
            None
        }
        (Some(_), DeValue::String(text)) => match series::parse(text, reader.readings_left) {
            Ok(values) => {
                reader.readings_left -= values.len();
                Some(values)
            }
            Err(problem) => {
                reader.error(&range, format!("the series is wrong: {problem}"), None);
                None
            }
        },
        (Some(_), _) => {
            let help = "write a series such as \"-18x5 -10x20\", or leave `every` out".to_owned();
            reader.error(&range, "with `every`, a metric has a series", Some(help));
            None
        }
        (None, value) => {
            let read = reading(value);
            if read.is_none() {
                reader.error(&range, "a reading is a number, true, false or a short text", None);
            }
            read.map(|value| vec![Some(value)])
        }
    }
}

/// Metrics with the names of nested tables joined by dots, as in payloads.
fn flatten<'t, 'd>(
    name: String,
    range: Range<usize>,
    value: &'t Spanned<DeValue<'d>>,
    metrics: &mut Vec<(String, Range<usize>, &'t Spanned<DeValue<'d>>)>,
) {
    let Some(table) = value.get_ref().as_table() else {
        metrics.push((name, range, value));
        return;
    };
    for (key, value) in table {
        flatten(format!("{name}.{}", key.get_ref()), key.span(), value, metrics);
    }
}

/// An expectation; `state` is the key that has the state.
fn read_expect(
    reader: &mut Reader<'_>,
    mut fields: Fields<'_, '_>,
    state: &'static str,
) -> Option<Expect> {
    let line = reader.line(fields.range.start);
    let word = |text: &str| {
        let states: Vec<_> = AlertState::ALL.iter().map(|state| state.label()).collect();
        AlertState::from_label(text)
            .ok_or_else(|| format!("the states are `{}`", states.join("`, `")))
    };
    let at = reader.required(&mut fields, "at", Reader::duration);
    let rule = reader.required(&mut fields, "rule", Reader::name);
    let device = reader.required(&mut fields, "device", Reader::name);
    let from = if state == "to" { reader.parsed(&mut fields, "from", word) } else { None };
    let state =
        reader.required(&mut fields, state, |reader, fields, key| reader.parsed(fields, key, word));
    let severity = reader.parsed(&mut fields, "severity", |text| {
        Severity::from_label(text).ok_or_else(|| "it is `info`, `warning` or `critical`".to_owned())
    });
    let value = fields.take("value").and_then(|value| {
        let number = number(value.get_ref());
        if number.is_none() {
            reader.error(&value.span(), "`value` must be a number", None);
        }
        number
    });
    let summary = reader.text(&mut fields, "summary").map(str::to_owned);
    reader.end(fields);
    let (at, rule, device, state) = (at?, rule?, device?, state?);
    Some(Expect { line, at, rule, device, from, state, severity, value, summary })
}
