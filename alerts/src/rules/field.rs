//! Takes the fields of a TOML table, and reports what does not belong.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::place::{self, Lines};
use crate::error::RuleError;
use crate::lang::{Problem, Span};
use crate::suggest;

/// A value and where it stands in the file.
pub(crate) type Field<'t, 'a> = &'t Spanned<DeValue<'a>>;

/// A file that is being read, and what is wrong with it so far.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    pub(crate) text: &'a str,
    pub(crate) lines: Lines<'a>,
    pub(crate) errors: Vec<RuleError>,
    /// The rule that is being read.
    pub(crate) rule: Option<String>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, lines: Lines::new(text), errors: Vec::new(), rule: None }
    }

    /// Reports something at a place in the file.
    pub(crate) fn error(
        &mut self,
        range: Range<usize>,
        key: Option<&'static str>,
        message: impl Into<String>,
        help: Option<String>,
    ) {
        let (line, column) = self.lines.place(range.start);
        self.errors.push(RuleError {
            rule: self.rule.clone(),
            key,
            line,
            column,
            length: self.lines.length(range),
            in_expression: None,
            message: message.into(),
            help,
        });
    }

    /// Reports something inside the text that `field` holds.
    pub(crate) fn problem(&mut self, key: &'static str, field: Field<'_, '_>, problem: Problem) {
        let decoded = field.get_ref().as_str().unwrap_or_default();
        let Span { start, end } = problem.span;
        let range = place::in_literal(self.text, field.span(), Span::new(start, end));
        self.error(range, Some(key), problem.message, problem.help);
        if let Some(error) = self.errors.last_mut() {
            error.in_expression = Some(Lines::new(decoded).place(start));
        }
    }

    /// The values of the `known` keys of a table. All other keys are reported.
    pub(crate) fn fields<'t, 'd, const N: usize>(
        &mut self,
        table: &'t DeTable<'d>,
        known: [&'static str; N],
    ) -> [Option<Field<'t, 'd>>; N] {
        let mut found = [None; N];
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            if let Some(index) = known.iter().position(|known| *known == name) {
                found[index] = Some(value);
                continue;
            }
            let help = match suggest::nearest(name, known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("the keys here are {}", suggest::list(&known)),
            };
            self.error(key.span(), None, format!("unknown key `{name}`"), Some(help));
        }
        found
    }

    /// The text in a field; reports anything else.
    pub(crate) fn text_in<'t>(
        &mut self,
        key: &'static str,
        field: Field<'t, '_>,
    ) -> Option<&'t str> {
        let text = field.get_ref().as_str();
        if text.is_none() {
            self.wrong_type(key, field, "a text", None);
        }
        text
    }

    /// The tables in an array of tables; reports anything else.
    pub(crate) fn tables_in<'t, 'd>(
        &mut self,
        key: &'static str,
        field: Field<'t, 'd>,
    ) -> Vec<(&'t DeTable<'d>, Range<usize>)> {
        let Some(array) = field.get_ref().as_array() else {
            let help = format!("write each as `[[{key}]]`");
            self.wrong_type(key, field, "an array of tables", Some(help));
            return Vec::new();
        };
        let mut tables = Vec::new();
        for entry in array {
            match entry.get_ref().as_table() {
                Some(table) => tables.push((table, entry.span())),
                None => self.wrong_type(key, entry, "an array of tables", None),
            }
        }
        tables
    }

    pub(crate) fn wrong_type(
        &mut self,
        key: &'static str,
        field: Field<'_, '_>,
        expected: &str,
        help: Option<String>,
    ) {
        let found = match field.get_ref() {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) | DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        };
        let message = format!("`{key}` must be {expected}, not {found}");
        self.error(field.span(), Some(key), message, help);
    }
}

/// The number in a field, if it is a finite one.
pub(crate) fn number_in(field: Field<'_, '_>) -> Option<f64> {
    let number = match field.get_ref() {
        DeValue::Integer(integer) => {
            i64::from_str_radix(integer.as_str(), integer.radix()).ok()? as f64
        }
        DeValue::Float(float) => float.as_str().parse().ok()?,
        _ => return None,
    };
    number.is_finite().then_some(number)
}
