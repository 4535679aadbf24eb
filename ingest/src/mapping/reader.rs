//! Takes the fields of a TOML table, and notes with their place what does not belong.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{MappingError, nearest};

/// A value and where it stands.
pub(super) type Field<'t, 'a> = &'t Spanned<DeValue<'a>>;

/// A text that is being read, and what is wrong with it so far.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    text: &'a str,
    pub(super) errors: Vec<MappingError>,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(text: &'a str) -> Self {
        Self { text, errors: Vec::new() }
    }

    /// Notes a mistake at a place.
    pub(super) fn error(
        &mut self,
        range: Range<usize>,
        message: impl Into<String>,
        help: Option<String>,
    ) {
        let before = &self.text[..self.text.floor_char_boundary(range.start)];
        let line_start = before.rfind('\n').map_or(0, |index| index + 1);
        self.errors.push(MappingError {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            message: message.into(),
            help,
        });
    }

    /// The values of the `known` keys of a table. All other keys are noted.
    pub(super) fn fields<'t, 'd, const N: usize>(
        &mut self,
        table: &'t DeTable<'d>,
        known: [&'static str; N],
    ) -> [Option<Entry<'t, 'd>>; N] {
        let mut found = [const { None }; N];
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            match known.iter().position(|known| *known == name) {
                Some(index) => found[index] = Some(Entry { key: key.span(), value }),
                None => {
                    self.unknown("key", name, &known, key.span());
                }
            }
        }
        found
    }

    /// Notes a word that is none of `known`.
    pub(super) fn unknown(&mut self, what: &str, word: &str, known: &[&str], at: Range<usize>) {
        let help = match nearest(word, known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are `{}`", known.join("`, `")),
        };
        self.error(at, format!("unknown {what} `{word}`"), Some(help));
    }

    /// The text in a field; anything else is noted.
    pub(super) fn text_in<'t>(&mut self, key: &str, field: Field<'t, '_>) -> Option<&'t str> {
        let text = field.get_ref().as_str();
        if text.is_none() {
            self.wrong_type(key, field, "a text", None);
        }
        text
    }

    /// The one of `known` that a field says; anything else is noted.
    pub(super) fn word_in<T: Copy>(
        &mut self,
        key: &str,
        field: Field<'_, '_>,
        known: &[(&'static str, T)],
    ) -> Option<T> {
        let word = self.text_in(key, field)?;
        if let Some((_, meaning)) = known.iter().find(|(name, _)| *name == word) {
            return Some(*meaning);
        }
        let names: Vec<_> = known.iter().map(|(name, _)| *name).collect();
        self.unknown(key, word, &names, field.span());
        None
    }

    /// The texts in a field's array; anything else is noted.
    pub(super) fn texts_in<'t>(&mut self, key: &str, field: Field<'t, '_>) -> Vec<&'t str> {
        let Some(array) = field.get_ref().as_array() else {
            self.wrong_type(key, field, "an array of texts", None);
            return Vec::new();
        };
        array.iter().filter_map(|element| self.text_in(key, element)).collect()
    }

    /// The tables in a field's array; anything else is noted.
    pub(super) fn tables_in<'t, 'd>(
        &mut self,
        key: &str,
        field: Field<'t, 'd>,
    ) -> Vec<(&'t DeTable<'d>, Range<usize>)> {
        let help = || Some(format!("write each as `[[{key}]]`"));
        let Some(array) = field.get_ref().as_array() else {
            self.wrong_type(key, field, "an array of tables", help());
            return Vec::new();
        };
        let mut tables = Vec::new();
        for element in array {
            match element.get_ref().as_table() {
                Some(table) => tables.push((table, element.span())),
                None => self.wrong_type(key, element, "an array of tables", help()),
            }
        }
        tables
    }

    fn wrong_type(
        &mut self,
        key: &str,
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
        self.error(field.span(), format!("`{key}` must be {expected}, not {found}"), help);
    }
}

/// A key of a table and its value.
#[derive(Clone, Debug)]
pub(super) struct Entry<'t, 'd> {
    /// Where the key stands.
    pub(super) key: Range<usize>,
    /// What it says.
    pub(super) value: Field<'t, 'd>,
}
