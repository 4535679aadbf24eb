//! What is wrong in a rules file: where, what, in which rule, and what would be right.

use std::fmt::Write as _;

/// One thing that is wrong in a rules file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {}{message}{}", self.prefix(), self.suffix())]
pub struct RuleError {
    /// The rule it is in, if its name could be read.
    pub rule: Option<String>,
    /// The key whose value is wrong: `when`, `select`, ….
    pub key: Option<&'static str>,
    /// Where in the file, from 1.
    pub line: usize,
    /// Where in the line, in characters, from 1.
    pub column: usize,
    /// How many characters of that line are meant, at least 1.
    pub length: usize,
    /// Where in the expression: line and column, both from 1; `None` where it is not in one.
    pub in_expression: Option<(usize, usize)>,
    /// What was found.
    pub message: String,
    /// What would be right, where that can be said.
    pub help: Option<String>,
}

impl RuleError {
    fn prefix(&self) -> String {
        match (&self.rule, self.key) {
            (Some(rule), Some(key)) => format!("`{key}` of rule `{rule}`: "),
            (Some(rule), None) => format!("rule `{rule}`: "),
            (None, Some(key)) => format!("`{key}`: "),
            (None, None) => String::new(),
        }
    }

    fn suffix(&self) -> String {
        self.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default()
    }

    /// The error as a compiler would print it, with the line of `text`, which is the file that was
    /// parsed, and a caret under what is meant. `file` is how to call the file.
    ///
    /// ```
    /// # use bellwire_alerts::RuleSet;
    /// let text = "[[rule]]\nname = 'hot'\nwhen = 'temprature >> 90'\n";
    /// let errors = RuleSet::parse(text).unwrap_err();
    /// assert_eq!(errors[0].render("rules.toml", text), "\
    /// error: unexpected `>`
    ///  --> rules.toml:3:21
    ///   |
    /// 3 | when = 'temprature >> 90'
    ///   |                     ^
    ///   = help: a metric, a number or `(` should be here
    ///   = note: in `when` of rule `hot`
    /// ");
    /// ```
    #[must_use]
    pub fn render(&self, file: &str, text: &str) -> String {
        let line = text.lines().nth(self.line - 1).unwrap_or_default();
        let (excerpt, caret) = excerpt(line, self.column);
        let gutter = self.line.to_string().len();
        let room = excerpt.chars().count().saturating_sub(caret).max(1);
        let mut shown = format!("error: {}\n", printable(&self.message));
        let _ = writeln!(shown, "{:gutter$}--> {file}:{}:{}", "", self.line, self.column);
        let _ = writeln!(shown, "{:gutter$} |", "");
        let _ = writeln!(shown, "{} | {excerpt}", self.line);
        let marks = "^".repeat(self.length.min(room));
        let _ = writeln!(shown, "{:gutter$} | {:caret$}{marks}", "", "");
        if let Some(help) = &self.help {
            let _ = writeln!(shown, "{:gutter$} = help: {}", "", printable(help));
        }
        let place = match (&self.rule, self.key) {
            (Some(rule), Some(key)) => format!("in `{key}` of rule `{rule}`"),
            (Some(rule), None) => format!("in rule `{rule}`"),
            _ => return shown,
        };
        let _ = writeln!(shown, "{:gutter$} = note: {}", "", printable(&place));
        shown
    }
}

/// How much of a long line is shown, in characters.
const LINE_CHARS_MAX: usize = 120;

/// The part of `line` around `column`, and how many characters of it stand before `column`.
fn excerpt(line: &str, column: usize) -> (String, usize) {
    let before = column - 1;
    let skipped = if before > LINE_CHARS_MAX / 2 && line.chars().count() > LINE_CHARS_MAX {
        before - LINE_CHARS_MAX / 2
    } else {
        0
    };
    let part: String = line.chars().skip(skipped).take(LINE_CHARS_MAX).collect();
    (printable(&part), before - skipped)
}

/// With a space for each character that would move a terminal's cursor.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_cut_around_the_error() {
        let line = format!("{}!{}", "a".repeat(5_000), "b\t".repeat(5_000));
        let (excerpt, caret) = excerpt(&line, 5_001);
        assert_eq!(excerpt.chars().count(), LINE_CHARS_MAX);
        assert_eq!(excerpt.chars().nth(caret), Some('!'));
        assert!(!excerpt.contains('\t'));
    }
}
