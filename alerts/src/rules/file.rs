//! Reads a rules file in TOML: `[[rule]]`, `[[labels]]`, `[[inhibit]]` and `[[escalation]]`.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use toml::de::DeTable;

use super::body::{read_duration, read_rule};
use super::field::{Field, Reader};
use super::handling::{read_escalations, read_inhibits};
use super::labels::{Glob, LabelRule};
use super::{FILE_BYTES_MAX, LABELS_MAX, RULES_MAX, RuleSet, hash};
use crate::error::RuleError;
use crate::lang::{duration, lexer};

/// How late readings may come where the file does not say.
const LATENESS_DEFAULT: Duration = Duration::from_mins(1);
/// A day's readings of each device are more than should be in memory.
const LATENESS_MAX: Duration = Duration::from_hours(1);

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
        let [rules, labels, lateness, inhibits, escalations] =
            reader.fields(table.get_ref(), ["rule", "labels", "lateness", "inhibit", "escalation"]);
        set.lateness = read_lateness(&mut reader, lateness);
        read_labels(&mut reader, labels, &mut set);
        read_rules(&mut reader, rules, &mut set);
        read_inhibits(&mut reader, inhibits, &mut set);
        read_escalations(&mut reader, escalations, &mut set);
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
    let mut all_variants = Vec::new();
    for (table, range) in tables {
        let rules = read_rule(reader, table, range, &mut selects, set);
        reader.rule = None;
        let Some((rule, variants)) = rules else { continue };
        // `RULES_MAX` keeps it within 32 bits.
        let index = u32::try_from(set.rules.len()).expect("few rules");
        set.by_name.insert(rule.name.as_str().into(), index);
        if rule.group.is_some() {
            set.group_rules.push(index);
        }
        set.rules.push(rule);
        all_variants.push(variants);
    }
    set.add_variants(all_variants);
}
