//! Matchers: which alerts or devices are meant, by their labels. `site=~"berlin-.*", severity="critical"`.
//!
//! The syntax and the meaning are Alertmanager's (`pkg/labels/parse.go`, 0.25): a label that is not there
//! is the empty text, patterns must match the whole value, all matchers of a list must hold.

use std::fmt;

use regex::{Regex, RegexBuilder};

/// The most matchers in one list.
pub const MATCHERS_MAX: usize = 32;
/// The longest value or pattern, in bytes.
pub const VALUE_BYTES_MAX: usize = 4 * 1024;
/// The most memory a compiled pattern may take, in bytes.
const PATTERN_SIZE_BYTES_MAX: usize = 256 * 1024;

/// How a matcher compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Matches,
    /// `!~`
    DoesNotMatch,
}

impl MatchOp {
    /// How it is written.
    #[must_use]
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Matches => "=~",
            Self::DoesNotMatch => "!~",
        }
    }
}

/// What is wrong with the text of a matcher, for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatcherError {
    /// Where, in characters from 1.
    pub column: usize,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for MatcherError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {}: {}", self.column, self.message)
    }
}

impl std::error::Error for MatcherError {}

/// One condition on one label.
#[derive(Clone, Debug)]
pub struct Matcher {
    label: Box<str>,
    op: MatchOp,
    value: Box<str>,
    /// There for `=~` and `!~`.
    pattern: Option<Regex>,
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (&self.label, self.op, &self.value) == (&other.label, other.op, &other.value)
    }
}

impl Eq for Matcher {}

impl Matcher {
    /// A matcher of these parts.
    ///
    /// # Errors
    /// If the label is no name of one, or the value is too long or, as a pattern, not understood.
    pub fn new(label: &str, op: MatchOp, value: &str) -> Result<Self, MatcherError> {
        let wrong = |message: String| MatcherError { column: 1, message };
        let is_name = |c: char| c.is_alphanumeric() || "_-.:/".contains(c);
        if label.is_empty() || label.len() > 128 || !label.chars().all(is_name) {
            return Err(wrong(format!("{label:?} is no label's name")));
        }
        if value.len() > VALUE_BYTES_MAX {
            return Err(wrong(format!("a value has at most {VALUE_BYTES_MAX} bytes")));
        }
        let pattern = match op {
            MatchOp::Equal | MatchOp::NotEqual => None,
            MatchOp::Matches | MatchOp::DoesNotMatch => {
                // Alone first: `a)|(b` must not break out of the anchors.
                let whole = build(value).and_then(|_| build(&format!("^(?:{value})$")));
                Some(whole.map_err(|error| wrong(reason(value, &error)))?)
            }
        };
        Ok(Self { label: label.into(), op, value: value.into(), pattern })
    }

    /// The label that it looks at.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// How it compares.
    #[must_use]
    pub const fn op(&self) -> MatchOp {
        self.op
    }

    /// What it compares with: a text or a pattern.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether a label of this value is meant; one that is not there is the empty text.
    #[must_use]
    pub fn is_match(&self, value: &str) -> bool {
        let is_like = || self.pattern.as_ref().is_some_and(|pattern| pattern.is_match(value));
        match self.op {
            MatchOp::Equal => *self.value == *value,
            MatchOp::NotEqual => *self.value != *value,
            MatchOp::Matches => is_like(),
            MatchOp::DoesNotMatch => !is_like(),
        }
    }
}

fn build(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern)
        .size_limit(PATTERN_SIZE_BYTES_MAX)
        .dfa_size_limit(PATTERN_SIZE_BYTES_MAX)
        .nest_limit(64)
        .build()
}

/// The last line of what the regex crate says, which is the one for people.
fn reason(pattern: &str, error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
    format!("the pattern {pattern:?} is not understood: {last}")
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}\"", self.label, self.op.symbol())?;
        for c in self.value.chars() {
            match c {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                c => write!(f, "{c}")?,
            }
        }
        f.write_str("\"")
    }
}

/// Conditions that must all hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matchers(Vec<Matcher>);

impl Matchers {
    /// These matchers.
    ///
    /// # Errors
    /// If there are more than [`MATCHERS_MAX`].
    pub fn new(matchers: Vec<Matcher>) -> Result<Self, MatcherError> {
        if matchers.len() > MATCHERS_MAX {
            let message = format!("{} matchers, at most {MATCHERS_MAX}", matchers.len());
            return Err(MatcherError { column: 1, message });
        }
        Ok(Self(matchers))
    }

    /// Reads `a="b", c=~"d.*"`, in braces or not, values in quotes or not. An empty text has no matcher,
    /// and chooses everything.
    ///
    /// # Errors
    /// The first thing that is wrong, with its column.
    pub fn parse(text: &str) -> Result<Self, MatcherError> {
        let mut reader = Reader { text, at: 0 };
        reader.skip_spaces();
        let is_braced = reader.take_char('{');
        let mut matchers = Vec::new();
        loop {
            reader.skip_spaces();
            if reader.rest().is_empty() || (is_braced && reader.rest().starts_with('}')) {
                break;
            }
            matchers.push(reader.matcher()?);
            reader.skip_spaces();
            if !reader.take_char(',') {
                break;
            }
        }
        if is_braced && !reader.take_char('}') {
            return Err(reader.wrong("`,` or `}` is missing here"));
        }
        reader.skip_spaces();
        if !reader.rest().is_empty() {
            return Err(reader.wrong("expected `,` and another matcher, or the end"));
        }
        Self::new(matchers)
    }

    /// Whether all hold of what has the labels that `label_of` tells.
    pub fn is_match<'a>(&self, label_of: impl Fn(&str) -> &'a str) -> bool {
        self.0.iter().all(|matcher| matcher.is_match(label_of(&matcher.label)))
    }

    /// The matchers, as they were written.
    #[must_use]
    pub fn as_slice(&self) -> &[Matcher] {
        &self.0
    }

    /// Whether there are none: then everything is meant.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Matchers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, matcher) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{matcher}")?;
        }
        Ok(())
    }
}

struct Reader<'a> {
    text: &'a str,
    /// In bytes.
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn wrong(&self, message: impl Into<String>) -> MatcherError {
        let column = self.text[..self.at].chars().count() + 1;
        MatcherError { column, message: message.into() }
    }

    fn skip_spaces(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    fn take_char(&mut self, expected: char) -> bool {
        let is_there = self.rest().starts_with(expected);
        self.at += if is_there { expected.len_utf8() } else { 0 };
        is_there
    }

    /// What comes before the first character that `ends`.
    fn take_until(&mut self, ends: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let taken = &rest[..rest.find(ends).unwrap_or(rest.len())];
        self.at += taken.len();
        taken
    }

    fn matcher(&mut self) -> Result<Matcher, MatcherError> {
        let begin = self.at;
        let label = self.take_until(|c| "=!~,{}\" \t\n".contains(c));
        if label.is_empty() {
            return Err(self.wrong("expected a label's name, as in `site=\"berlin\"`"));
        }
        self.skip_spaces();
        let op = self.op()?;
        self.skip_spaces();
        let value = self.value()?;
        Matcher::new(label, op, &value).map_err(|error| {
            let column = self.text[..begin].chars().count() + 1;
            MatcherError { column, ..error }
        })
    }

    fn op(&mut self) -> Result<MatchOp, MatcherError> {
        let ops = [MatchOp::Matches, MatchOp::DoesNotMatch, MatchOp::NotEqual, MatchOp::Equal];
        let Some(op) = ops.into_iter().find(|op| self.rest().starts_with(op.symbol())) else {
            return Err(self.wrong("expected one of `=`, `!=`, `=~`, `!~`"));
        };
        self.at += op.symbol().len();
        Ok(op)
    }

    fn value(&mut self) -> Result<String, MatcherError> {
        if !self.take_char('"') {
            return Ok(self.take_until(|c| ",{}\" \t\n".contains(c)).to_owned());
        }
        let mut value = String::new();
        let mut chars = self.rest().char_indices();
        while let Some((index, c)) = chars.next() {
            match c {
                '"' => {
                    self.at += index + 1;
                    return Ok(value);
                }
                '\\' => match chars.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, c @ ('"' | '\\'))) => value.push(c),
                    // As in a pattern: `\d` stays what it is.
                    Some((_, c)) => value.extend(['\\', c]),
                    None => break,
                },
                c => value.push(c),
            }
        }
        Err(self.wrong("the closing `\"` of this value is missing"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(name: &str) -> &'static str {
        match name {
            "site" => "berlin-2",
            "severity" => "critical",
            _ => "",
        }
    }

    #[test]
    fn all_matchers_of_a_list_must_hold() {
        for (text, expected) in [
            ("", true),
            (r#"site="berlin-2""#, true),
            (r#"{site=~"berlin-.*", severity!="info"}"#, true),
            (r#"site=~"berlin""#, false),
            (r#"site!~"munich-.*",severity=critical"#, true),
            ("site=berlin-2,severity=warning", false),
            (r#"owner="""#, true),
            (r#"owner!="""#, false),
            (r#"owner=~".+""#, false),
        ] {
            let matchers = Matchers::parse(text).expect(text);
            assert_eq!(matchers.is_match(labels), expected, "{text}");
        }
    }

    #[test]
    fn what_is_shown_reads_back() {
        let text = r#"a="b \"c\" \\ d", e=~"f\\d+", g!="line\nbreak""#;
        let matchers = Matchers::parse(text).expect("valid");
        assert_eq!(Matchers::parse(&matchers.to_string()), Ok(matchers));
    }

    #[test]
    fn mistakes_are_pointed_at() {
        for (text, column, said) in [
            ("site", 5, "expected one of"),
            (r#"site="berlin"#, 7, "closing"),
            (r#"site="a" severity="b""#, 10, "expected `,`"),
            (r#"a="b", site=~"(""#, 8, "not understood"),
            (r#"{a="b""#, 7, "`}` is missing"),
            (r#"a="b", ="c""#, 8, "label's name"),
            (r#"a=~"b)|(c""#, 1, "not understood"),
        ] {
            let error = Matchers::parse(text).expect_err(text);
            assert_eq!(error.column, column, "{text}: {error}");
            assert!(error.message.contains(said), "{text}: {error}");
        }
    }
}
