//! Reads the conditions of a rule: `when`, or a level for each severity, and what clears them.

use bellwire_model::Severity;

use super::body::{Fields, read_condition};
use super::field::{Field, Reader};
use super::rule::Level;
use crate::lang::explain::Condition;
use crate::lang::names::Names;
use crate::suggest;

/// `when`, or `levels`, and `clear`.
pub(super) struct Conditions {
    pub(super) when: Condition,
    pub(super) clear: Option<Condition>,
    /// Of the first level.
    pub(super) severity: Option<Severity>,
    pub(super) levels: Vec<Level>,
}

pub(super) fn read_conditions(
    reader: &mut Reader<'_>,
    fields: &Fields<'_, '_>,
    names: &mut Names<'_>,
) -> Option<Conditions> {
    let (when, levels) = (fields.get("when"), fields.get("levels"));
    if let (Some(_), Some(levels)) = (when, levels) {
        let help = "each level has a condition of its own: leave `when` out".to_owned();
        let message = "`when` and `levels` exclude each other";
        reader.error(levels.span(), Some("levels"), message, Some(help));
        return None;
    }
    if let Some(levels) = levels {
        if let Some(severity) = fields.get("severity") {
            let message = "`severity` and `levels` exclude each other";
            reader.error(severity.span(), Some("severity"), message, None);
        }
        return read_levels(reader, levels, fields.get("clear"), names);
    }
    let when = when.and_then(|field| read_condition(reader, "when", field, names));
    let clear = match fields.get("clear") {
        None => None,
        Some(field) => Some(read_condition(reader, "clear", field, names)?),
    };
    Some(Conditions { when: when?, clear, severity: None, levels: Vec::new() })
}

/// `levels = { warning = "t > 80", critical = "t > 90" }`, and `clear` for some of them.
fn read_levels(
    reader: &mut Reader<'_>,
    field: Field<'_, '_>,
    clear: Option<Field<'_, '_>>,
    names: &mut Names<'_>,
) -> Option<Conditions> {
    let by_severity = read_by_severity(reader, "levels", field)?;
    let clears = match clear {
        None => Vec::new(),
        Some(field) => read_by_severity(reader, "clear", field)?,
    };
    if by_severity.is_empty() {
        let help = "write `levels = { warning = \"t > 80\", critical = \"t > 90\" }`".to_owned();
        reader.error(field.span(), Some("levels"), "there is no level", Some(help));
        return None;
    }
    let n_errors = reader.errors.len();
    for (_, field) in &by_severity {
        read_condition(reader, "levels", field, names);
    }
    let mut levels = Vec::new();
    for (index, (severity, _)) in by_severity.iter().enumerate() {
        // A level holds where a higher one does.
        let texts: Vec<_> =
            by_severity[index..].iter().filter_map(|(_, it)| it.get_ref().as_str()).collect();
        let text = match texts.as_slice() {
            [only] => (*only).to_owned(),
            all => format!("({})", all.join(") or (")),
        };
        let when = Condition::parse(&text, names).ok();
        let clear = clears.iter().find(|(other, _)| other == severity);
        let clear = match clear {
            None => None,
            Some((_, field)) => Some(read_condition(reader, "clear", field, names)?),
        };
        if let Some(when) = when {
            levels.push(Level { severity: *severity, when, clear });
        }
    }
    if reader.errors.len() > n_errors {
        return None;
    }
    if levels.len() < by_severity.len() {
        let message = "the levels together are too long";
        reader.error(field.span(), Some("levels"), message, None);
        return None;
    }
    let Level { severity, when, clear } = levels.remove(0);
    Some(Conditions { when, clear, severity: Some(severity), levels })
}

/// The entries of a table whose keys are severities, in their order.
fn read_by_severity<'t, 'd>(
    reader: &mut Reader<'_>,
    key: &'static str,
    field: Field<'t, 'd>,
) -> Option<Vec<(Severity, Field<'t, 'd>)>> {
    let Some(table) = field.get_ref().as_table() else {
        let help = format!("write `{key} = {{ warning = \"…\", critical = \"…\" }}`");
        reader.wrong_type(key, field, "a table of conditions by severity", Some(help));
        return None;
    };
    let mut found = Vec::new();
    for (name, value) in table {
        let label = name.get_ref().as_ref();
        match Severity::from_label(label) {
            Some(severity) => found.push((severity, value)),
            None => {
                let labels: Vec<_> = Severity::ALL.iter().map(|it| it.label()).collect();
                let help = format!("the severities are {}", suggest::list(&labels));
                let message = format!("unknown severity `{label}`");
                reader.error(name.span(), Some(key), message, Some(help));
            }
        }
    }
    found.sort_by_key(|(severity, _)| *severity);
    Some(found)
}
