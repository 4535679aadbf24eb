//! Reads a rules file: `[[rule]]` and `[[labels]]` in TOML.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bellwire_model::{RuleName, Severity};
use hashbrown::HashMap;
use toml::de::{DeTable, DeValue};

use super::field::{Field, Reader, number_in};
use super::labels::{Glob, LabelRule};
use super::rule::Rule;
use super::{FILE_BYTES_MAX, LABELS_MAX, RULES_MAX, RuleSet, hash};
use crate::engine::machine::Timing;
use crate::error::RuleError;
use crate::lang::explain::Condition;
use crate::lang::functions::Function;
use crate::lang::names::{Names, Param, Params};
use crate::lang::select::Select;
use crate::lang::template::Template;
use crate::lang::{Problem, duration, lexer};
use crate::suggest;

/// How long a device may be silent before a `for` run breaks, where the rule does not say and
/// `for` is not longer: Prometheus' staleness.
const MAX_GAP_DEFAULT: Duration = Duration::from_mins(5);
/// How late readings may come where the file does not say.
const LATENESS_DEFAULT: Duration = Duration::from_mins(1);
/// A day's readings of each device are more than should be in memory.
const LATENESS_MAX: Duration = Duration::from_hours(1);
/// What operators read where the rule does not say.
const SUMMARY_DEFAULT: &str = "{rule} on {device}: {value}";

/// Reads the text of a rules file.
pub(crate) fn read(text: &str) -> Result<RuleSet, Vec<RuleError>> {
    let mut reader = Reader::new(text);
    if text.len() > FILE_BYTES_MAX {
        let message = format!("the file is longer than {FILE_BYTES_MAX} bytes");
        reader.error(0..0, None, message, None);
        return Err(reader.errors);
    }
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        reader.error(error.span().unwrap_or(0..0), None, error.message(), None);
    }
    let mut set = RuleSet { text: text.into(), version: hash(text), ..RuleSet::default() };
    if reader.errors.is_empty() {
        let [rules, labels, lateness] =
            reader.fields(table.get_ref(), ["rule", "labels", "lateness"]);
        set.lateness = read_lateness(&mut reader, lateness);
        read_labels(&mut reader, labels, &mut set);
        read_rules(&mut reader, rules, &mut set);
    }
    if reader.errors.is_empty() {
        return Ok(set);
    }
    reader.errors.sort_by_key(|error| (error.line, error.column));
    Err(reader.errors)
}

fn read_lateness(reader: &mut Reader<'_>, field: Option<Field<'_, '_>>) -> Duration {
    match read_duration(reader, "lateness", field) {
        Some(Some(lateness)) if lateness > LATENESS_MAX => {
            let message = format!("`lateness` is more than {}", duration::format(LATENESS_MAX));
            let help = "readings that are older still are kept, but judge no rules".to_owned();
            let place = field.map_or(0..0, |field| field.span());
            reader.error(place, Some("lateness"), message, Some(help));
            LATENESS_DEFAULT
        }
        Some(Some(lateness)) => lateness,
        _ => LATENESS_DEFAULT,
    }
}

fn read_labels(reader: &mut Reader<'_>, field: Option<Field<'_, '_>>, set: &mut RuleSet) {
    let Some(field) = field else { return };
    let tables = reader.tables_in("labels", field);
    if tables.len() > LABELS_MAX {
        let message = format!("{} entries are more than the limit of {LABELS_MAX}", tables.len());
        reader.error(field.span(), Some("labels"), message, None);
        return;
    }
    for (table, range) in tables {
        if let Some(entry) = read_label_entry(reader, table, range) {
            set.labels.push(entry);
        }
    }
}

fn read_label_entry(
    reader: &mut Reader<'_>,
    table: &DeTable<'_>,
    range: Range<usize>,
) -> Option<LabelRule> {
    let [device, values] = reader.fields(table, ["device", "set"]);
    let (Some(device), Some(values)) = (device, values) else {
        let missing = if device.is_none() { "device" } else { "set" };
        reader.error(range, Some("labels"), format!("the entry lacks `{missing}`"), None);
        return None;
    };
    let device = Glob::new(reader.text_in("device", device)?);
    let Some(values) = values.get_ref().as_table() else {
        let help = "write `set = { kind = \"freezer\" }`".to_owned();
        reader.wrong_type("set", values, "a table", Some(help));
        return None;
    };
    let mut set = Vec::new();
    for (name, value) in values {
        let label = name.get_ref().as_ref();
        if label == "device" || !lexer::is_name(label) {
            let help = match label {
                "device" => "every device has it already: it is its name",
                _ => "a label's name has letters, digits and `_`, and begins with no digit",
            };
            let message = format!("`{label}` cannot be a label");
            reader.error(name.span(), Some("set"), message, Some(help.to_owned()));
            continue;
        }
        if let Some(value) = reader.text_in("set", value) {
            set.push((Arc::from(label), Arc::from(value)));
        }
    }
    Some(LabelRule { device, set })
}

fn read_rules(reader: &mut Reader<'_>, field: Option<Field<'_, '_>>, set: &mut RuleSet) {
    let Some(field) = field else { return };
    let tables = reader.tables_in("rule", field);
    if tables.len() > RULES_MAX {
        let message = format!("{} rules are more than the limit of {RULES_MAX}", tables.len());
        reader.error(field.span(), Some("rule"), message, None);
        return;
    }
    let mut selects = HashMap::new();
    for (table, range) in tables {
        let rule = read_rule(reader, table, range, &mut selects, set);
        reader.rule = None;
        let Some(rule) = rule else { continue };
        // `RULES_MAX` keeps it within 32 bits.
        let index = u32::try_from(set.rules.len()).expect("few rules");
        set.by_name.insert(rule.name.as_str().into(), index);
        set.rules.push(rule);
    }
}

/// The selections read so far, by text.
type Selects = HashMap<String, u32>;

const KEYS: [&str; 10] = [
    "name",
    "when",
    "clear",
    "for",
    "keep_firing_for",
    "max_gap",
    "severity",
    "select",
    "params",
    "summary",
];

fn read_rule(
    reader: &mut Reader<'_>,
    table: &DeTable<'_>,
    range: Range<usize>,
    selects: &mut Selects,
    set: &mut RuleSet,
) -> Option<Rule> {
    reader.rule = table.get("name").and_then(|name| name.get_ref().as_str()).map(str::to_owned);
    let [name, when, clear, hold, keep, gap, severity, select, params, summary] =
        reader.fields(table, KEYS);
    for (field, key) in [(name, "name"), (when, "when")] {
        if field.is_none() {
            reader.error(range.clone(), None, format!("the rule lacks `{key}`"), None);
        }
    }
    let n_errors = reader.errors.len();
    let name = name.and_then(|field| read_name(reader, field, set));
    let params = params.map_or_else(Params::new, |field| read_params(reader, field));
    let timing = read_timing(reader, hold, keep, gap);
    let severity = severity.map_or(Some(Severity::Warning), |field| read_severity(reader, field));
    let select_text = select.and_then(|field| field.get_ref().as_str());
    let select = select.map(|field| read_select(reader, field, selects, set));
    let mut names = Names::new(&params);
    let when = when.and_then(|field| read_condition(reader, "when", field, &mut names));
    let clear = clear.map(|field| read_condition(reader, "clear", field, &mut names));
    let n_judged = names.inputs.len();
    let summary = read_summary(reader, summary, &mut names);
    if reader.errors.len() == n_errors {
        report_unused(reader, table, &names);
    }
    let Names { inputs, windows, ebbing, deadlines, .. } = names;
    let timing = timing.map(|timing| match gap {
        Some(_) => timing,
        None => outlasting_silence(timing, &deadlines),
    });
    let (summary_text, summary) = summary?;
    let clear = match clear {
        None => None,
        Some(clear) => Some(clear?),
    };
    let select = match select {
        None => None,
        Some(select) => Some(select?),
    };
    let input_ids = inputs.iter().map(|name| input_id(set, name)).collect();
    Some(Rule {
        name: name?,
        when: when?,
        clear,
        timing: timing?,
        severity: severity?,
        select_text: select_text.map(Into::into),
        select,
        summary_text: summary_text.into(),
        summary,
        inputs,
        n_judged,
        input_ids,
        windows,
        ebbing,
        deadlines,
        base: u32::try_from(set.rules.len()).expect("few rules"),
    })
}

/// The place of a metric among the set's, known or new.
fn input_id(set: &mut RuleSet, name: &bellwire_model::MetricName) -> u32 {
    // At most `FILE_BYTES_MAX` names fit in a file.
    let next = u32::try_from(set.inputs.len()).expect("fewer metrics than bytes");
    *set.inputs.entry(name.clone()).or_insert(next)
}

fn read_name(reader: &mut Reader<'_>, field: Field<'_, '_>, set: &RuleSet) -> Option<RuleName> {
    let text = reader.text_in("name", field)?;
    let name = match RuleName::new(text) {
        Ok(name) => name,
        Err(error) => {
            reader.error(field.span(), Some("name"), error.to_string(), None);
            return None;
        }
    };
    if set.index_of(text).is_some() {
        let message = format!("there is another rule `{text}` above");
        let help = "alerts are known by their rule's name: give each its own".to_owned();
        reader.error(field.span(), Some("name"), message, Some(help));
        return None;
    }
    Some(name)
}

fn read_params(reader: &mut Reader<'_>, field: Field<'_, '_>) -> Params {
    let mut params = Params::new();
    let Some(table) = field.get_ref().as_table() else {
        let help = "write `params = { limit = 90 }`".to_owned();
        reader.wrong_type("params", field, "a table", Some(help));
        return params;
    };
    for (key, value) in table {
        let name = key.get_ref().as_ref();
        let taken = lexer::KEYWORDS.contains(&name) || Function::named(name).is_some();
        if taken || !lexer::is_name(name) {
            let help = if taken {
                "the language has another use for this word"
            } else {
                "a parameter's name has letters, digits and `_`, and begins with no digit"
            };
            let message = format!("`{name}` cannot be a parameter");
            reader.error(key.span(), Some("params"), message, Some(help.to_owned()));
            continue;
        }
        let param = match value.get_ref() {
            DeValue::Boolean(truth) => Some(Param::Truth(*truth)),
            DeValue::String(text) => Some(Param::Text(Arc::from(text.as_ref()))),
            _ => number_in(value).map(Param::Number),
        };
        match param {
            Some(param) => {
                params.insert(name.to_owned(), param);
            }
            None => reader.wrong_type("params", value, "finite numbers, booleans or texts", None),
        }
    }
    params
}

/// A parameter that nothing uses is a slip, and the metric that looks like it is the place.
fn report_unused(reader: &mut Reader<'_>, table: &DeTable<'_>, names: &Names<'_>) {
    let Some(params) = table.get("params").and_then(|params| params.get_ref().as_table()) else {
        return;
    };
    for (key, _) in params {
        let name = key.get_ref().as_ref();
        if names.used_params.iter().any(|used| used == name) {
            continue;
        }
        let metrics = names.inputs.iter().map(bellwire_model::MetricName::as_str);
        let help = match suggest::nearest(name, metrics) {
            Some(near) => format!("the rule uses `{near}`, which is taken for a metric"),
            None => "use it or drop it".to_owned(),
        };
        let message = format!("the parameter `{name}` is not used");
        reader.error(key.span(), Some("params"), message, Some(help));
    }
}

fn read_duration(
    reader: &mut Reader<'_>,
    key: &'static str,
    field: Option<Field<'_, '_>>,
) -> Option<Option<Duration>> {
    let Some(field) = field else { return Some(None) };
    let Some(text) = field.get_ref().as_str() else {
        reader.wrong_type(key, field, "a duration in quotes", Some(duration::HELP.to_owned()));
        return None;
    };
    match duration::parse(text) {
        Ok(duration) => Some(Some(duration)),
        Err(message) => {
            reader.error(field.span(), Some(key), message, Some(duration::HELP.to_owned()));
            None
        }
    }
}

fn read_timing(
    reader: &mut Reader<'_>,
    hold: Option<Field<'_, '_>>,
    keep: Option<Field<'_, '_>>,
    gap: Option<Field<'_, '_>>,
) -> Option<Timing> {
    let hold = read_duration(reader, "for", hold);
    let keep_firing = read_duration(reader, "keep_firing_for", keep);
    let max_gap = read_duration(reader, "max_gap", gap);
    if let (Some(Some(Duration::ZERO)), Some(field)) = (max_gap, gap) {
        let help = "name the longest silence that may pass between two readings".to_owned();
        reader.error(field.span(), Some("max_gap"), "`max_gap` is zero", Some(help));
        return None;
    }
    let hold = hold?.unwrap_or_default();
    // A device that reports every ten minutes must be able to hold for half an hour, without its
    // owner knowing of `max_gap`: a rule that never fires is worse than one that trusts silence.
    let max_gap = max_gap?.unwrap_or(MAX_GAP_DEFAULT.max(hold));
    Some(Timing { hold, keep_firing: keep_firing?.unwrap_or_default(), max_gap })
}

/// Of a rule that is about silence, silence breaks no run.
fn outlasting_silence(timing: Timing, deadlines: &[(u16, Duration)]) -> Timing {
    match deadlines {
        [] => timing,
        _ => Timing { max_gap: duration::MAX, ..timing },
    }
}

fn read_severity(reader: &mut Reader<'_>, field: Field<'_, '_>) -> Option<Severity> {
    let text = reader.text_in("severity", field)?;
    let severity = Severity::from_label(text);
    if severity.is_none() {
        let labels: Vec<_> = Severity::ALL.iter().map(|severity| severity.label()).collect();
        let help = match suggest::nearest(text, labels.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the severities are {}", suggest::list(&labels)),
        };
        let message = format!("unknown severity `{text}`");
        reader.error(field.span(), Some("severity"), message, Some(help));
    }
    severity
}

fn read_select(
    reader: &mut Reader<'_>,
    field: Field<'_, '_>,
    selects: &mut Selects,
    set: &mut RuleSet,
) -> Option<u32> {
    let text = reader.text_in("select", field)?;
    if let Some(&index) = selects.get(text) {
        return Some(index);
    }
    match Select::parse(text) {
        Ok(select) => {
            // At most one for each rule.
            let index = u32::try_from(set.selects.len()).expect("few selections");
            set.selects.push(select);
            selects.insert(text.to_owned(), index);
            Some(index)
        }
        Err(problem) => {
            reader.problem("select", field, problem);
            None
        }
    }
}

fn read_condition(
    reader: &mut Reader<'_>,
    key: &'static str,
    field: Field<'_, '_>,
    names: &mut Names<'_>,
) -> Option<Condition> {
    let text = reader.text_in(key, field)?;
    let condition = Condition::parse(text, names);
    take(reader, key, field, condition)
}

fn read_summary<'t>(
    reader: &mut Reader<'_>,
    field: Option<Field<'t, '_>>,
    names: &mut Names<'_>,
) -> Option<(&'t str, Template)> {
    let Some(field) = field else {
        return Some((SUMMARY_DEFAULT, Template::parse(SUMMARY_DEFAULT, names).ok()?));
    };
    let text = reader.text_in("summary", field)?;
    let template = Template::parse(text, names);
    Some((text, take(reader, "summary", field, template)?))
}

fn take<T>(
    reader: &mut Reader<'_>,
    key: &'static str,
    field: Field<'_, '_>,
    read: Result<T, Vec<Problem>>,
) -> Option<T> {
    match read {
        Ok(value) => Some(value),
        Err(problems) => {
            for problem in problems {
                reader.problem(key, field, problem);
            }
            None
        }
    }
}
