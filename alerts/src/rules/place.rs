//! Finds the line and column in a file for a byte of an expression inside it.

use std::ops::Range;

use crate::lang::Span;

/// The beginnings of a text's lines.
#[derive(Debug)]
pub(crate) struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let starts = std::iter::once(0).chain(breaks.map(|(index, _)| index + 1)).collect();
        Self { text, starts }
    }

    /// Line and column of the byte at `offset`, both from 1; the column counts characters.
    pub(crate) fn place(&self, offset: usize) -> (usize, usize) {
        let offset = self.text.floor_char_boundary(offset);
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = self.starts[line - 1];
        (line, self.text[start..offset].chars().count() + 1)
    }

    /// How many characters of the first line of `range` are in it, at least 1.
    pub(crate) fn length(&self, range: Range<usize>) -> usize {
        let start = self.text.floor_char_boundary(range.start);
        let end = self.text.floor_char_boundary(range.end).max(start);
        let first_line = self.text[start..end].lines().next().unwrap_or_default();
        first_line.chars().count().max(1)
    }
}

/// Where `inner`, a part of the decoded value of the TOML string at `literal`, stands in `file`.
pub(crate) fn in_literal(file: &str, literal: Range<usize>, inner: Span) -> Range<usize> {
    let raw = &file[literal.clone()];
    let (open, basic) = opening(raw);
    let mut places = Walk { raw, at: open, basic, decoded: 0 };
    places.advance_to(inner.start);
    let start = places.skip_joins();
    let end = if inner.end > inner.start { places.advance_to(inner.end) } else { start };
    literal.start + start..literal.start + end
}

/// The length of the opening quotes (and the line break that TOML drops after three of them), and
/// whether backslashes mean something.
fn opening(raw: &str) -> (usize, bool) {
    let basic = raw.starts_with('"');
    let quotes = if raw.starts_with("\"\"\"") || raw.starts_with("'''") { 3 } else { 1 };
    let line_break = match &raw[quotes.min(raw.len())..] {
        rest if quotes == 3 && rest.starts_with("\r\n") => 2,
        rest if quotes == 3 && rest.starts_with('\n') => 1,
        _ => 0,
    };
    (quotes + line_break, basic)
}

/// Walks the raw and the decoded string side by side.
struct Walk<'a> {
    raw: &'a str,
    at: usize,
    basic: bool,
    decoded: usize,
}

impl Walk<'_> {
    /// The place in the raw string of byte `target` of the decoded one.
    fn advance_to(&mut self, target: usize) -> usize {
        while self.decoded < target {
            let rest = &self.raw[self.at..];
            let Some(c) = rest.chars().next() else { break };
            let (raw_bytes, decoded_bytes) = match rest.as_bytes() {
                [b'\\', after, ..] if self.basic => escape(rest, *after),
                _ => (c.len_utf8(), c.len_utf8()),
            };
            self.at += raw_bytes.min(rest.len());
            self.decoded += decoded_bytes;
        }
        self.at
    }

    /// The place after any joined line ends that stand here.
    fn skip_joins(&mut self) -> usize {
        while let [b'\\', after, ..] = self.raw.as_bytes()[self.at..] {
            match escape(&self.raw[self.at..], after) {
                (length, 0) if self.basic => self.at += length,
                _ => break,
            }
        }
        self.at
    }
}

/// How many bytes an escape takes, and how many it stands for.
fn escape(rest: &str, after: u8) -> (usize, usize) {
    let hex = match after {
        b'x' => 2,
        b'u' => 4,
        b'U' => 8,
        // At a line's end it joins the lines.
        b'\n' | b'\r' | b' ' | b'\t' => {
            let blank = rest[1..].len() - rest[1..].trim_start().len();
            return (1 + blank, 0);
        }
        _ => return (2, 1),
    };
    let code = rest.get(2..2 + hex).and_then(|digits| u32::from_str_radix(digits, 16).ok());
    (2 + hex, code.and_then(char::from_u32).map_or(1, char::len_utf8))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the decoded string's `mark` lies in the file.
    fn check(file: &str, decoded: &str, expected: (usize, usize)) {
        let start = file.find(['"', '\'']).expect("a string");
        let end = file.rfind(['"', '\'']).expect("a string") + 1;
        let mark = decoded.find('!').expect("a mark");
        let range = in_literal(file, start..end, Span::new(mark, mark + 1));
        assert_eq!(&file[range.clone()], "!", "{file}");
        assert_eq!(Lines::new(file).place(range.start), expected, "{file}");
    }

    #[test]
    fn a_place_in_an_expression_is_found_in_the_file() {
        check("when = 'a\\ !'", "a\\ !", (1, 12));
        check("x = 1\nwhen = \"ü!\"", "ü!", (2, 10));
        check(r#"w = "a\t\u00fc\\!""#, "a\tü\\!", (1, 17));
        check("w = \"\"\"\na\n  !\"\"\"", "a\n  !", (3, 3));
        check("w = '''\r\na\r\n!'''", "a\r\n!", (3, 1));
        check("w = \"\"\"a \\\n   !\"\"\"", "a !", (2, 4));
    }
}
