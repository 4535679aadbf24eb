//! Reads one rule of a file.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bellwire_model::{RuleName, Severity};
use hashbrown::HashMap;
use toml::de::{DeTable, DeValue};

use super::conditions::{Conditions, read_conditions};
use super::field::{Field, Reader, number_in};
use super::keys::NAMES;
use super::options::OnError;
use super::rule::{Group, InputKind, Rule};
use super::{RuleSet, options};
use crate::engine::machine::Timing;
use crate::lang::explain::Condition;
use crate::lang::functions::Function;
use crate::lang::group::GroupSpec;
use crate::lang::names::{Names, Param, Params, WindowSpec};
use crate::lang::select::Select;
use crate::lang::template::Template;
use crate::lang::{Problem, duration, lexer};
use crate::suggest;

/// How long a device may be silent before a `for` run breaks, where the rule does not say and
/// `for` is not longer: Prometheus' staleness.
const MAX_GAP_DEFAULT: Duration = Duration::from_mins(5);
/// What operators read where the rule does not say.
const SUMMARY_DEFAULT: &str = "{rule} on {device}: {value}";

/// The selections read so far, by text.
pub(super) type Selects = HashMap<String, u32>;

/// A rule for devices that a selection chooses, with other parameters than the rule's own.
pub(crate) type Variant = (u32, Rule);

/// Reads one rule, and the variants of it, the last of which comes first.
pub(super) fn read_rule(
    reader: &mut Reader<'_>,
    table: &DeTable<'_>,
    range: Range<usize>,
    selects: &mut Selects,
    set: &mut RuleSet,
) -> Option<(Rule, Vec<Variant>)> {
    reader.rule = table.get("name").and_then(|name| name.get_ref().as_str()).map(str::to_owned);
    let fields = Fields(reader.fields(table, NAMES));
    if fields.get("name").is_none() {
        reader.error(range.clone(), None, "the rule lacks `name`", None);
    }
    if fields.get("when").is_none() && fields.get("levels").is_none() {
        reader.error(range, None, "the rule lacks `when`", None);
    }
    let name = fields.get("name").and_then(|field| read_name(reader, field, set));
    let params = fields.get("params").map_or_else(Params::new, |it| read_params(reader, it));
    let overrides = match fields.get("override") {
        None => Vec::new(),
        Some(field) => read_overrides(reader, field, &params, selects, set),
    };
    let n_errors = reader.errors.len();
    let rule = read_body(reader, &fields, &params, selects, set, name.as_ref());
    if reader.errors.len() > n_errors {
        return None;
    }
    let mut variants = Vec::new();
    for (select, params) in overrides.into_iter().rev() {
        let variant = read_body(reader, &fields, &params, selects, set, name.as_ref())?;
        variants.push((select, variant));
    }
    Some((rule?, variants))
}

/// The fields of a rule by key.
pub(super) struct Fields<'t, 'd>([Option<Field<'t, 'd>>; NAMES.len()]);

impl<'t, 'd> Fields<'t, 'd> {
    pub(super) fn get(&self, key: &'static str) -> Option<Field<'t, 'd>> {
        NAMES.iter().position(|known| *known == key).and_then(|index| self.0[index])
    }
}

/// Reads all of a rule but its name, with these parameters.
fn read_body(
    reader: &mut Reader<'_>,
    fields: &Fields<'_, '_>,
    params: &Params,
    selects: &mut Selects,
    set: &mut RuleSet,
    name: Option<&RuleName>,
) -> Option<Rule> {
    let n_errors = reader.errors.len();
    let timing = read_timing(reader, fields);
    let severity = fields.get("severity").map(|field| read_severity(reader, field));
    let select = fields.get("select").map(|field| read_select(reader, field, selects, set));
    let mut names = Names::new(params);
    let conditions = read_conditions(reader, fields, &mut names);
    let mut n_judged = names.inputs.len();
    let summary = read_summary(reader, fields.get("summary"), &mut names);
    let no_data = options::read_no_data(reader, fields.get("no_data"), fields.get("no_data_after"));
    let on_error = options::read_on_error(reader, fields.get("on_error"));
    let flapping = fields.get("flapping").map(|field| options::read_flapping(reader, field));
    let schedule = options::read_schedule(reader, fields.get("active"), fields.get("time_zone"));
    let latch = options::read_latch(reader, fields.get("latch"));
    if reader.errors.len() == n_errors
        && let Some(params) = fields.get("params")
    {
        report_unused(reader, params, &names);
    }
    if names.group.is_some() {
        report_not_for_groups(reader, fields);
    }
    let Names { mut inputs, windows, ebbing, mut deadlines, group, .. } = names;
    let timing = timing.map(|timing| match fields.get("max_gap") {
        Some(_) => timing,
        None => outlasting_silence(timing, &deadlines),
    });
    let (mut timing, no_data, conditions) = (timing?, no_data?, conditions?);
    let no_data = no_data.resolve(&timing);
    if let Some(spec) = &group {
        (n_judged, inputs) = (spec.parts.len(), spec.inputs.clone());
    }
    let group = group.map(|spec| read_group(spec, &mut timing, set));
    let after = no_data.after().filter(|_| group.is_none());
    // `NODES_MAX` keeps it below 65,536.
    let judged = 0..u16::try_from(n_judged).unwrap_or(u16::MAX);
    deadlines.extend(after.into_iter().flat_map(|after| judged.clone().map(move |it| (it, after))));
    let (summary_text, summary) = summary?;
    let input_ids = match &group {
        Some(group) => group.slots(),
        None => inputs.iter().map(|name| input_id(set, name)).collect(),
    };
    let kinds = match on_error? {
        OnError::Alert if group.is_none() => kinds_of(&conditions, &windows, n_judged),
        _ => Box::default(),
    };
    let Conditions { when, clear, severity: of_level, levels } = conditions;
    Some(Rule {
        name: name?.clone(),
        when,
        clear,
        timing,
        severity: of_level.or(severity.unwrap_or(Some(Severity::Warning)))?,
        levels,
        no_data,
        flapping: flapping.flatten(),
        schedule: schedule?,
        latch,
        select_text: fields.get("select").and_then(|it| it.get_ref().as_str()).map(Into::into),
        select: select.map_or(Some(None), |select| select.map(Some))?,
        summary_text: summary_text.into(),
        summary,
        inputs,
        kinds,
        n_judged,
        input_ids,
        group,
        windows,
        ebbing,
        deadlines,
        base: u32::try_from(set.rules.len()).expect("few rules"),
    })
}

/// What each metric must be for the rule's condition to be judged.
fn kinds_of(conditions: &Conditions, windows: &[WindowSpec], n: usize) -> Box<[InputKind]> {
    let mut kinds = vec![InputKind::Any; n];
    conditions.when.note_kinds(windows, &mut kinds);
    kinds.into()
}

/// Members that are silent say nothing: the group's own numbers have no gaps.
fn read_group(spec: GroupSpec, timing: &mut Timing, set: &mut RuleSet) -> Group {
    let input_ids = spec.inputs.iter().map(|name| input_id(set, name)).collect();
    let fresh = std::mem::replace(&mut timing.max_gap, duration::MAX);
    Group { spec, input_ids, fresh }
}

/// What a rule about groups cannot have: a parameter for single devices, and a silence of its own.
fn report_not_for_groups(reader: &mut Reader<'_>, fields: &Fields<'_, '_>) {
    for (key, help) in [
        ("override", "write another rule with another `select`"),
        ("no_data_after", "`max_gap` says for how long what a member says counts"),
    ] {
        if let Some(field) = fields.get(key) {
            let message = format!("a rule of groups has no `{key}`");
            reader.error(field.span(), Some(key), message, Some(help.to_owned()));
        }
    }
}

/// `[[rule.override]]`: which devices, and the parameters that are other for them.
fn read_overrides(
    reader: &mut Reader<'_>,
    field: Field<'_, '_>,
    params: &Params,
    selects: &mut Selects,
    set: &mut RuleSet,
) -> Vec<(u32, Params)> {
    let mut overrides = Vec::new();
    for (table, range) in reader.tables_in("override", field) {
        let [select, own] = reader.fields(table, ["select", "params"]);
        let (Some(select), Some(own)) = (select, own) else {
            let missing = if select.is_none() { "select" } else { "params" };
            let message = format!("the override lacks `{missing}`");
            let help = "write `select = \"device = 'f-1'\"` and `params = { limit = 90 }`";
            reader.error(range, Some("override"), message, Some(help.to_owned()));
            continue;
        };
        let select = read_select(reader, select, selects, set);
        let mut merged = params.clone();
        for (name, param) in read_params(reader, own) {
            if !params.contains_key(&name) {
                let message = format!("the rule has no parameter `{name}`");
                let near = suggest::nearest(&name, params.keys().map(String::as_str));
                let help = near.map(|near| format!("did you mean `{near}`?"));
                reader.error(own.span(), Some("override"), message, help);
            }
            merged.insert(name, param);
        }
        overrides.extend(select.map(|select| (select, merged)));
    }
    overrides
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
fn report_unused(reader: &mut Reader<'_>, params: Field<'_, '_>, names: &Names<'_>) {
    let Some(params) = params.get_ref().as_table() else { return };
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

pub(super) fn read_duration(
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

fn read_timing(reader: &mut Reader<'_>, fields: &Fields<'_, '_>) -> Option<Timing> {
    let (hold, keep) = (fields.get("for"), fields.get("keep_firing_for"));
    let gap = fields.get("max_gap");
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
    let repeat =
        fields.get("repeat").map_or(Some(1), |field| options::read_repeat(reader, field))?;
    Some(Timing { hold, keep_firing: keep_firing?.unwrap_or_default(), max_gap, repeat })
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

pub(super) fn read_condition(
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
