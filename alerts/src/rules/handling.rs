//! What the rules file says of handling: which alerts make others say nothing new, and when one that nobody
//! acknowledges goes a level up.

use std::ops::Range;
use std::time::Duration;

use bellwire_model::{Alert, Matchers};
use toml::de::DeTable;

use super::RuleSet;
use super::field::{Field, Reader};
use crate::lang::{Problem, Span, duration};

/// The most `[[inhibit]]` entries in a file.
const INHIBITS_MAX: usize = 100;
/// The most `[[escalation]]` entries in a file.
const ESCALATIONS_MAX: usize = 100;
/// The most levels of one of them.
const LEVELS_MAX: usize = 20;
/// The most labels that must be equal.
const EQUAL_MAX: usize = 16;

/// While an alert of `source` is there, those of `target` that have the same labels say nothing new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Inhibit {
    pub(crate) source: Matchers,
    pub(crate) target: Matchers,
    /// The labels that must be the same; one that both lack is.
    pub(crate) equal: Vec<Box<str>>,
}

/// After how long alerts that nobody acknowledges go a level up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Escalation {
    pub(crate) alerts: Matchers,
    /// For the first level and those above, ascending.
    pub(crate) after: Vec<Duration>,
}

/// Whether all of `matchers` hold of an alert.
pub(crate) fn chooses(matchers: &Matchers, alert: &Alert) -> bool {
    matchers.is_match(|name| alert.label(name))
}

/// Reads `[[inhibit]]`.
pub(super) fn read_inhibits(
    reader: &mut Reader<'_>,
    field: Option<Field<'_, '_>>,
    set: &mut RuleSet,
) {
    for (table, range) in entries(reader, "inhibit", field, INHIBITS_MAX) {
        set.inhibits.extend(read_inhibit(reader, table, range));
    }
}

/// Reads `[[escalation]]`.
pub(super) fn read_escalations(
    reader: &mut Reader<'_>,
    field: Option<Field<'_, '_>>,
    set: &mut RuleSet,
) {
    for (table, range) in entries(reader, "escalation", field, ESCALATIONS_MAX) {
        set.escalations.extend(read_escalation(reader, table, range));
    }
}

fn entries<'t, 'd>(
    reader: &mut Reader<'_>,
    key: &'static str,
    field: Option<Field<'t, 'd>>,
    most: usize,
) -> Vec<(&'t DeTable<'d>, Range<usize>)> {
    let Some(field) = field else { return Vec::new() };
    let tables = reader.tables_in(key, field);
    if tables.len() <= most {
        return tables;
    }
    let message = format!("{} entries are more than the limit of {most}", tables.len());
    reader.error(field.span(), Some(key), message, None);
    Vec::new()
}

fn read_inhibit(
    reader: &mut Reader<'_>,
    table: &DeTable<'_>,
    range: Range<usize>,
) -> Option<Inhibit> {
    let [source, target, equal] = reader.fields(table, ["source", "target", "equal"]);
    let (Some(source), Some(target)) = (source, target) else {
        let missing = if source.is_none() { "source" } else { "target" };
        let help = "write `source = 'severity=\"critical\"'` and `target = 'severity=\"warning\"'`";
        let message = format!("the entry lacks `{missing}`");
        reader.error(range, Some("inhibit"), message, Some(help.to_owned()));
        return None;
    };
    let equal = match equal {
        Some(field) => read_equal(reader, field)?,
        None => Vec::new(),
    };
    let source = read_matchers(reader, "source", source);
    let target = read_matchers(reader, "target", target);
    Some(Inhibit { source: source?, target: target?, equal })
}

fn read_equal(reader: &mut Reader<'_>, field: Field<'_, '_>) -> Option<Vec<Box<str>>> {
    let help = "write `equal = [\"site\"]`".to_owned();
    let Some(array) = field.get_ref().as_array() else {
        reader.wrong_type("equal", field, "an array of labels' names", Some(help));
        return None;
    };
    if array.len() > EQUAL_MAX {
        let message = format!("{} labels are more than the limit of {EQUAL_MAX}", array.len());
        reader.error(field.span(), Some("equal"), message, None);
        return None;
    }
    array.iter().map(|name| reader.text_in("equal", name).map(Into::into)).collect()
}

fn read_escalation(
    reader: &mut Reader<'_>,
    table: &DeTable<'_>,
    range: Range<usize>,
) -> Option<Escalation> {
    let [alerts, after] = reader.fields(table, ["alerts", "after"]);
    let (Some(alerts), Some(after)) = (alerts, after) else {
        let missing = if alerts.is_none() { "alerts" } else { "after" };
        let help = "write `alerts = 'severity=\"critical\"'` and `after = [\"15m\", \"1h\"]`";
        let message = format!("the entry lacks `{missing}`");
        reader.error(range, Some("escalation"), message, Some(help.to_owned()));
        return None;
    };
    let alerts = read_matchers(reader, "alerts", alerts);
    let after = read_levels(reader, after);
    Some(Escalation { alerts: alerts?, after: after? })
}

fn read_levels(reader: &mut Reader<'_>, field: Field<'_, '_>) -> Option<Vec<Duration>> {
    let help = "write `after = [\"15m\", \"1h\"]`".to_owned();
    let Some(array) = field.get_ref().as_array() else {
        reader.wrong_type("after", field, "an array of durations", Some(help));
        return None;
    };
    if !(1..=LEVELS_MAX).contains(&array.len()) {
        let message = format!("there must be 1 to {LEVELS_MAX} levels");
        reader.error(field.span(), Some("after"), message, Some(help));
        return None;
    }
    let mut after: Vec<Duration> = Vec::new();
    for entry in array {
        let text = reader.text_in("after", entry)?;
        let level = match duration::parse(text) {
            Ok(level) => level,
            Err(message) => {
                let help = Some(duration::HELP.to_owned());
                reader.error(entry.span(), Some("after"), message, help);
                return None;
            }
        };
        if after.last().map_or(Duration::ZERO, |last| *last) >= level {
            let message = "each level must come later than the one before";
            let help = "all count from when the alert fired".to_owned();
            reader.error(entry.span(), Some("after"), message, Some(help));
            return None;
        }
        after.push(level);
    }
    Some(after)
}

/// Matchers in a text, as Alertmanager writes them.
fn read_matchers(
    reader: &mut Reader<'_>,
    key: &'static str,
    field: Field<'_, '_>,
) -> Option<Matchers> {
    let text = reader.text_in(key, field)?;
    let found = Matchers::parse(text).and_then(|matchers| {
        let message = "without a matcher it would be all alerts".to_owned();
        let nothing = bellwire_model::MatcherError { column: 1, message };
        if matchers.is_empty() { Err(nothing) } else { Ok(matchers) }
    });
    match found {
        Ok(matchers) => Some(matchers),
        Err(error) => {
            let start = text.char_indices().nth(error.column - 1).map_or(text.len(), |(at, _)| at);
            reader.problem(key, field, Problem::new(Span::new(start, text.len()), error.message));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[[inhibit]]\nsource = 'severity=\"critical\"'\n\
        target = 'severity=~\"warning|info\"'\nequal = ['site', 'device']\n\
        [[escalation]]\nalerts = 'severity=\"critical\", site!=\"lab\"'\nafter = ['15m', '1h']\n";

    #[test]
    fn entries_are_read() {
        let set = RuleSet::parse(GOOD).expect("right");
        assert_eq!(set.inhibits.len(), 1);
        assert_eq!(set.inhibits[0].equal, ["site".into(), "device".into()]);
        let after = &set.escalations[0].after;
        assert_eq!(*after, [Duration::from_mins(15), Duration::from_hours(1)]);
    }

    fn check(text: &str, place: (usize, usize), message: &str) {
        let errors = RuleSet::parse(text).expect_err(text);
        let found = (errors[0].line, errors[0].column);
        assert_eq!((found, errors[0].message.as_str()), (place, message), "{text}");
    }

    #[test]
    fn mistakes_are_pointed_at() {
        check("[[inhibit]]\nsource = 'a=\"b\"'\n", (1, 1), "the entry lacks `target`");
        check(
            "[[inhibit]]\nsource = 'a=\"b\", c'\ntarget = 'a=\"c\"'\n",
            (2, 19),
            "expected one of `=`, `!=`, `=~`, `!~`",
        );
        check(
            "[[inhibit]]\nsource = ''\ntarget = 'a=\"c\"'\n",
            (2, 11),
            "without a matcher it would be all alerts",
        );
        check(
            "[[inhibit]]\nsource='a=b'\ntarget='a=c'\nequal = [1]\n",
            (4, 10),
            "`equal` must be a text, not a number",
        );
        check(
            "[[escalation]]\nalerts='a=b'\nafter = ['1h', '15m']\n",
            (3, 16),
            "each level must come later than the one before",
        );
        check("[[escalation]]\nalerts='a=b'\nafter = []\n", (3, 9), "there must be 1 to 20 levels");
        check("[[escalation]]\nalert='a=b'\n", (1, 1), "the entry lacks `alerts`");
        let rule = "[[rule]]\nname = 'a'\nwhen = 't > 1'\nlatch = 'yes'\n";
        check(rule, (4, 9), "`latch` must be a boolean, not a text");
    }
}
