//! Where in a TOML text a key stands, and what is left of a text without those that do not fit.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

/// A key of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// `mqtt.listen`, `acl[0].who`.
    pub(super) path: String,
    /// Where it stands, in bytes.
    pub(super) key: Range<usize>,
    /// Where its value stands; of a table the header.
    pub(super) value: Range<usize>,
    pub(super) kind: Kind,
}

/// What a key has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A value.
    Value,
    /// More keys.
    Table,
}

/// The lists of tables of which elements were taken out, and which, by their numbers in the text.
#[derive(Clone, Debug, Default)]
pub(super) struct Gone(BTreeMap<String, Vec<usize>>);

impl Gone {
    /// The number in the text of what has `index` now.
    pub(super) fn number(&self, list: &str, index: usize) -> usize {
        let gone = self.0.get(list).map_or(&[][..], Vec::as_slice);
        gone.iter().fold(index, |number, &gone| if gone <= number { number + 1 } else { number })
    }

    /// What has `index` now is taken out.
    pub(super) fn take_out(&mut self, list: &str, index: usize) {
        let number = self.number(list, index);
        let gone = self.0.entry(list.to_owned()).or_default();
        let at = gone.partition_point(|&other| other < number);
        gone.insert(at, number);
    }
}

/// Line and column of a byte, both from 1.
pub(super) fn place_of(text: &str, offset: usize) -> (usize, usize) {
    let mut end = offset.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let before = &text[..end];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |rest| rest.chars().count()) + 1;
    (line, column)
}

/// Every key of a table, those of tables in it too.
pub(super) fn entries(table: &DeTable<'_>) -> Vec<Entry> {
    let mut all = Vec::new();
    collect(table, "", &mut all);
    all
}

fn collect(table: &DeTable<'_>, prefix: &str, all: &mut Vec<Entry>) {
    for (key, value) in table {
        let path = format!("{prefix}{}", key.get_ref());
        let (name, span) = (key.span(), value.span());
        let mut push = |path: &str, value, kind| {
            all.push(Entry { path: path.to_owned(), key: name.clone(), value, kind });
        };
        match value.get_ref() {
            DeValue::Table(inner) => {
                push(&path, span, Kind::Table);
                collect(inner, &format!("{path}."), all);
            }
            DeValue::Array(items) if is_list(items) => {
                for (index, item) in items.iter().enumerate() {
                    let path = format!("{path}[{index}]");
                    let span = item.span();
                    let key = span.clone();
                    all.push(Entry { path: path.clone(), key, value: span, kind: Kind::Table });
                    if let DeValue::Table(inner) = item.get_ref() {
                        collect(inner, &format!("{path}."), all);
                    }
                }
            }
            _ => push(&path, span, Kind::Value),
        }
    }
}

/// Whether it is a list of tables.
fn is_list(items: &DeArray<'_>) -> bool {
    !items.is_empty() && items.iter().all(|item| matches!(item.get_ref(), DeValue::Table(_)))
}

/// Takes out the innermost key or element that stands at the byte `at`. Whether there was one.
pub(super) fn take_out(table: &mut DeTable<'_>, at: usize, gone: &mut Gone) -> bool {
    let within = table.iter_mut().any(|(name, value)| match value.get_mut() {
        DeValue::Table(inner) => take_out(inner, at, gone),
        DeValue::Array(items) if is_list(items) => take_out_of(items, at, (name.get_ref(), gone)),
        _ => false,
    });
    if within {
        return true;
    }
    let stands = |key: Range<usize>, value: &Spanned<DeValue<'_>>| {
        key.contains(&at) || value.span().contains(&at)
    };
    let key = table.iter().find(|(key, value)| stands(key.span(), value));
    let Some(key) = key.map(|(key, _)| key.get_ref().clone().into_owned()) else { return false };
    table.remove(key.as_str()).is_some()
}

/// The same in the elements of the list `name`.
fn take_out_of(items: &mut DeArray<'_>, at: usize, (name, gone): (&str, &mut Gone)) -> bool {
    let mut here = None;
    for (index, item) in items.iter_mut().enumerate() {
        let span = item.span();
        if let DeValue::Table(inner) = item.get_mut()
            && take_out(inner, at, gone)
        {
            return true;
        }
        if span.contains(&at) {
            here = Some(index);
        }
    }
    let Some(here) = here else { return false };
    let mut left = DeArray::new();
    let all = std::mem::replace(items, DeArray::new());
    all.into_iter().enumerate().filter(|(index, _)| *index != here).for_each(|(_, item)| {
        left.push(item);
    });
    *items = left;
    gone.take_out(name, here);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_found_where_it_stands() {
        let text = "a = 1\n[b.c]\nd = [1,\n 2]\n[[e]]\nf = 'x'\n[[e]]\n";
        let table = DeTable::parse(text).unwrap();
        let found: Vec<_> = entries(table.get_ref())
            .into_iter()
            .map(|entry| (entry.path, place_of(text, entry.key.start), entry.kind))
            .collect();
        let expected = [
            ("a", (1, 1), Kind::Value),
            ("b", (2, 2), Kind::Table),
            ("b.c", (2, 4), Kind::Table),
            ("b.c.d", (3, 1), Kind::Value),
            ("e[0]", (5, 1), Kind::Table),
            ("e[0].f", (6, 1), Kind::Value),
            ("e[1]", (7, 1), Kind::Table),
        ];
        assert_eq!(found, expected.map(|(path, place, kind)| (path.to_owned(), place, kind)));
    }

    #[test]
    fn what_is_taken_out_is_the_innermost_and_the_rest_keeps_its_numbers() {
        let text = "a = 1\n[b]\nc = 2\n[[d]]\ne = 3\n[[d]]\n[[d]]\nf = 4\n";
        let mut table = DeTable::parse(text).unwrap();
        let mut gone = Gone::default();
        let root = table.get_mut();
        let at = |what: &str| text.find(what).unwrap();
        assert!(take_out(root, at("2"), &mut gone) && take_out(root, at("3"), &mut gone));
        assert!(take_out(root, at("[[d]]"), &mut gone));
        assert!(!take_out(root, at("3"), &mut gone), "it is out already");
        let paths: Vec<_> = entries(root).into_iter().map(|entry| entry.path).collect();
        assert_eq!(paths, ["a", "b", "d[0]", "d[1]", "d[1].f"]);
        assert_eq!([0, 1].map(|index| gone.number("d", index)), [1, 2]);
        gone.take_out("d", 1);
        assert_eq!((gone.number("d", 0), gone.number("x", 5)), (1, 5));
    }
}
