//! Takes the fields of a TOML table one by one, and reports what is wrong or left over, with its place.

use std::ops::Range;
use std::str::FromStr;
use std::time::Duration;

use bellwire_alerts::{RuleError, nearest};
use bellwire_model::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::backtest::words;

/// A file that is being read, and what is wrong with it so far.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    pub(super) text: &'a str,
    pub(super) errors: Vec<RuleError>,
    /// How many readings there may still be.
    pub(super) readings_left: usize,
}

/// A table whose fields are taken.
#[derive(Debug)]
pub(super) struct Fields<'t, 'd> {
    /// What it is, as in "a test".
    pub(super) what: &'static str,
    /// Where it stands.
    pub(super) range: Range<usize>,
    left: Vec<(&'t str, Range<usize>, &'t Spanned<DeValue<'d>>)>,
    known: Vec<&'static str>,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(text: &'a str, readings_left: usize) -> Self {
        Self { text, errors: Vec::new(), readings_left }
    }

    /// The line of a byte, from 1.
    pub(super) fn line(&self, offset: usize) -> usize {
        let end = self.text.floor_char_boundary(offset);
        self.text[..end].bytes().filter(|byte| *byte == b'\n').count() + 1
    }

    pub(super) fn error(
        &mut self,
        range: &Range<usize>,
        message: impl Into<String>,
        help: Option<String>,
    ) {
        let start = self.text.floor_char_boundary(range.start);
        let end = self.text.floor_char_boundary(range.end).max(start);
        let line_start = self.text[..start].rfind('\n').map_or(0, |at| at + 1);
        let first_line = self.text[start..end].lines().next().unwrap_or_default();
        self.errors.push(RuleError {
            rule: None,
            key: None,
            line: self.line(start),
            column: self.text[line_start..start].chars().count() + 1,
            length: first_line.chars().count().max(1),
            in_expression: None,
            message: message.into(),
            help,
        });
    }

    /// The fields of a table; reports anything else.
    pub(super) fn table<'t, 'd>(
        &mut self,
        what: &'static str,
        value: &'t Spanned<DeValue<'d>>,
    ) -> Option<Fields<'t, 'd>> {
        let table = value.get_ref().as_table();
        if table.is_none() {
            self.error(&value.span(), format!("{what} must be a table"), None);
        }
        Some(Fields::of(what, table?, value.span()))
    }

    /// Each table of an array of tables that may be absent.
    pub(super) fn tables<'t, 'd>(
        &mut self,
        fields: &mut Fields<'t, 'd>,
        key: &'static str,
        what: &'static str,
    ) -> Vec<Fields<'t, 'd>> {
        let Some(value) = fields.take(key) else { return Vec::new() };
        let Some(array) = value.get_ref().as_array() else {
            self.error(&value.span(), format!("`{key}` must be an array of tables"), None);
            return Vec::new();
        };
        array.iter().filter_map(|entry| self.table(what, entry)).collect()
    }

    /// A text.
    pub(super) fn text<'t>(
        &mut self,
        fields: &mut Fields<'t, '_>,
        key: &'static str,
    ) -> Option<&'t str> {
        let value = fields.take(key)?;
        let text = value.get_ref().as_str();
        if text.is_none() {
            self.error(&value.span(), format!("`{key}` must be a text"), None);
        }
        text
    }

    /// A text that is understood by `read`, which says what it should be.
    pub(super) fn parsed<T>(
        &mut self,
        fields: &mut Fields<'_, '_>,
        key: &'static str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let range = fields.range_of(key)?;
        let text = self.text(fields, key)?;
        read(text)
            .map_err(|help| self.error(&range, format!("`{text}` cannot be `{key}`"), Some(help)))
            .ok()
    }

    /// A duration from the test's start.
    pub(super) fn duration(
        &mut self,
        fields: &mut Fields<'_, '_>,
        key: &'static str,
    ) -> Option<Duration> {
        self.parsed(fields, key, |text| {
            words::duration(text)
                .ok_or_else(|| "write a duration such as 90s, 5m or 1h30m".to_owned())
        })
    }

    /// A name.
    pub(super) fn name<T: NameLike>(
        &mut self,
        fields: &mut Fields<'_, '_>,
        key: &'static str,
    ) -> Option<T> {
        self.parsed(fields, key, T::read)
    }

    /// The same of something that must be there.
    pub(super) fn required<T>(
        &mut self,
        fields: &mut Fields<'_, '_>,
        key: &'static str,
        take: impl FnOnce(&mut Self, &mut Fields<'_, '_>, &'static str) -> Option<T>,
    ) -> Option<T> {
        if fields.range_of(key).is_none() {
            self.error(&fields.range.clone(), format!("{} lacks `{key}`", fields.what), None);
        }
        take(self, fields, key)
    }

    /// Reports what was not taken.
    pub(super) fn end(&mut self, fields: Fields<'_, '_>) {
        for (name, range, _) in fields.left {
            let help = match nearest(name, fields.known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("{} may have `{}`", fields.what, fields.known.join("`, `")),
            };
            self.error(&range, format!("unknown key `{name}`"), Some(help));
        }
    }
}

impl<'t, 'd> Fields<'t, 'd> {
    pub(super) fn of(what: &'static str, table: &'t DeTable<'d>, range: Range<usize>) -> Self {
        let left = table.iter().map(|(key, value)| (key.get_ref().as_ref(), key.span(), value));
        Self { what, range, left: left.collect(), known: Vec::new() }
    }

    /// Takes the value of `key`, if it is there.
    pub(super) fn take(&mut self, key: &'static str) -> Option<&'t Spanned<DeValue<'d>>> {
        self.known.push(key);
        let index = self.left.iter().position(|(name, _, _)| *name == key)?;
        Some(self.left.remove(index).2)
    }

    /// Whether there is a `key`.
    pub(super) fn has(&self, key: &str) -> bool {
        self.left.iter().any(|(name, _, _)| *name == key)
    }

    fn range_of(&mut self, key: &'static str) -> Option<Range<usize>> {
        let found = self.left.iter().find(|(name, _, _)| *name == key);
        if found.is_none() {
            self.known.push(key);
        }
        found.map(|(_, _, value)| value.span())
    }

    /// Takes all that is left, in the file's order.
    pub(super) fn rest(&mut self) -> Vec<(&'t str, Range<usize>, &'t Spanned<DeValue<'d>>)> {
        let mut rest = std::mem::take(&mut self.left);
        rest.sort_by_key(|(_, range, _)| range.start);
        rest
    }
}

/// A name of one of the kinds that the model has.
pub(super) trait NameLike: Sized {
    /// Reads it, or says what is wrong.
    fn read(text: &str) -> Result<Self, String>;
}

macro_rules! names {
    ($($name:ty),+) => {
        $(impl NameLike for $name {
            fn read(text: &str) -> Result<Self, String> {
                Self::new(text).map_err(|error| error.to_string())
            }
        })+
    };
}

names!(
    bellwire_model::DeviceId,
    bellwire_model::MetricName,
    bellwire_model::RuleName,
    bellwire_model::Target
);

/// The number in a value, if it is a finite one.
pub(super) fn number(value: &DeValue<'_>) -> Option<f64> {
    let number = match value {
        DeValue::Integer(integer) if integer.radix() == 10 => {
            f64::from_str(integer.as_str()).ok()?
        }
        DeValue::Float(float) => f64::from_str(float.as_str()).ok()?,
        _ => return None,
    };
    number.is_finite().then_some(number)
}

/// What a payload with this value would give as a reading.
pub(super) fn reading(value: &DeValue<'_>) -> Option<Value> {
    match value {
        DeValue::Boolean(is_true) => Some(Value::Number(f64::from(u8::from(*is_true)))),
        DeValue::String(text) if text.len() <= Value::TEXT_BYTES_MAX => {
            Some(Value::Text(text.as_ref().into()))
        }
        _ => number(value).map(Value::Number),
    }
}
