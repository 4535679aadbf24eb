//! Cuts a condition or selection into tokens.

use std::sync::Arc;

use super::ast::{Arith, Comparison};
use super::{Problem, Span, TEXT_BYTES_MAX, duration};

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum TokenKind {
    Number(f64),
    /// Seconds.
    Duration(f64),
    Text(Arc<str>),
    Name(Box<str>),
    /// A name in backquotes.
    Quoted(Box<str>),
    And,
    Or,
    Not,
    True,
    False,
    Compare(Comparison),
    /// `=~`
    Match,
    /// `!~`
    NoMatch,
    Arith(Arith),
    Open,
    Close,
    Comma,
    End,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Token {
    pub(crate) kind: TokenKind,
    pub(crate) span: Span,
}

/// The words that are no names.
pub(crate) const KEYWORDS: [&str; 5] = ["and", "or", "not", "true", "false"];

/// Cuts `text`; the last token is always [`TokenKind::End`].
///
/// # Errors
/// The first thing that is no token.
pub(crate) fn tokens(text: &str) -> Result<Vec<Token>, Problem> {
    if text.len() > TEXT_BYTES_MAX {
        let message = format!("{} bytes are more than the limit of {TEXT_BYTES_MAX}", text.len());
        return Err(Problem::new(Span::default(), message));
    }
    let mut tokens = Vec::new();
    let mut at = 0;
    loop {
        at += text[at..].len() - text[at..].trim_start().len();
        let rest = &text[at..];
        let Some(first) = rest.chars().next() else {
            tokens.push(Token { kind: TokenKind::End, span: Span::new(at, at) });
            return Ok(tokens);
        };
        let (kind, length) = match first {
            '\'' => quoted_text(rest, at)?,
            '`' => quoted_name(rest, at)?,
            '0'..='9' | '.' => number(rest, at)?,
            c if is_name_start(c) => name(rest),
            c => symbol(rest).ok_or_else(|| stranger(rest, c, at))?,
        };
        tokens.push(Token { kind, span: Span::new(at, at + length) });
        at += length;
    }
}

/// Whether `text` is a name: letters, digits and `_`, not beginning with a digit.
pub(crate) fn is_name(text: &str) -> bool {
    text.starts_with(is_name_start) && text.chars().all(is_name_part)
}

fn is_name_start(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

fn is_name_part(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// A name and its dotted parts: `motor.speed`.
fn name(rest: &str) -> (TokenKind, usize) {
    let mut end = 0;
    loop {
        end += span(&rest[end..], is_name_part);
        match rest[end..].strip_prefix('.') {
            Some(more) if more.starts_with(is_name_part) => end += 1,
            _ => break,
        }
    }
    let kind = match &rest[..end] {
        "and" => TokenKind::And,
        "or" => TokenKind::Or,
        "not" => TokenKind::Not,
        "true" => TokenKind::True,
        "false" => TokenKind::False,
        name => TokenKind::Name(name.into()),
    };
    (kind, end)
}

fn number(rest: &str, at: usize) -> Result<(TokenKind, usize), Problem> {
    let mut end = span(rest, |c| c.is_ascii_digit() || matches!(c, '.' | '_'));
    let exponent = &rest[end..];
    if let Some(after) = exponent.strip_prefix(['e', 'E']) {
        let sign = usize::from(after.starts_with(['+', '-']));
        let digits = span(&after[sign..], |c| c.is_ascii_digit());
        if digits > 0 {
            end += 1 + sign + digits;
        }
    }
    if rest[end..].starts_with(is_name_part) {
        end = span(rest, |c| is_name_part(c) || c == '.');
        let duration = duration::parse(&rest[..end]).map_err(|message| {
            Problem::new(Span::new(at, at + end), message).help(duration::HELP)
        })?;
        return Ok((TokenKind::Duration(duration.as_secs_f64()), end));
    }
    match rest[..end].replace('_', "").parse::<f64>() {
        Ok(number) if number.is_finite() => Ok((TokenKind::Number(number), end)),
        _ => {
            let message = format!("`{}` is not a number", &rest[..end]);
            Err(Problem::new(Span::new(at, at + end), message))
        }
    }
}

/// `'text'`; a quote inside is written twice.
fn quoted_text(rest: &str, at: usize) -> Result<(TokenKind, usize), Problem> {
    let mut text = String::new();
    let mut end = 1;
    loop {
        let Some(length) = rest[end..].find('\'') else {
            let problem = Problem::new(Span::new(at, at + 1), "the text has no end");
            return Err(problem.help("close it with `'`; write `''` for a quote inside"));
        };
        text.push_str(&rest[end..end + length]);
        end += length + 1;
        if !rest[end..].starts_with('\'') {
            return Ok((TokenKind::Text(text.into()), end));
        }
        text.push('\'');
        end += 1;
    }
}

fn quoted_name(rest: &str, at: usize) -> Result<(TokenKind, usize), Problem> {
    match rest[1..].find('`') {
        Some(0) => Err(Problem::new(Span::new(at, at + 2), "the name is empty")),
        Some(length) => Ok((TokenKind::Quoted(rest[1..=length].into()), length + 2)),
        None => Err(Problem::new(Span::new(at, at + 1), "the name has no closing backquote")),
    }
}

fn symbol(rest: &str) -> Option<(TokenKind, usize)> {
    // Longer ones first.
    const SYMBOLS: [(&str, TokenKind); 17] = [
        (">=", TokenKind::Compare(Comparison::GreaterEqual)),
        ("<=", TokenKind::Compare(Comparison::LessEqual)),
        ("==", TokenKind::Compare(Comparison::Equal)),
        ("!=", TokenKind::Compare(Comparison::NotEqual)),
        ("=~", TokenKind::Match),
        ("!~", TokenKind::NoMatch),
        (">", TokenKind::Compare(Comparison::Greater)),
        ("<", TokenKind::Compare(Comparison::Less)),
        ("=", TokenKind::Compare(Comparison::Equal)),
        ("+", TokenKind::Arith(Arith::Add)),
        ("-", TokenKind::Arith(Arith::Subtract)),
        ("*", TokenKind::Arith(Arith::Multiply)),
        ("/", TokenKind::Arith(Arith::Divide)),
        ("%", TokenKind::Arith(Arith::Remainder)),
        ("(", TokenKind::Open),
        (")", TokenKind::Close),
        (",", TokenKind::Comma),
    ];
    if rest.starts_with("<>") {
        return None;
    }
    SYMBOLS
        .iter()
        .find(|(text, _)| rest.starts_with(text))
        .map(|(text, kind)| (kind.clone(), text.len()))
}

/// Something that is no part of the language, with what other languages' users probably meant.
fn stranger(rest: &str, first: char, at: usize) -> Problem {
    const MEANT: [(&str, &str); 6] = [
        ("&&", "write `and`"),
        ("||", "write `or`"),
        ("<>", "write `!=`"),
        ("!", "write `not`"),
        ("\"", "write text in single quotes: `'text'`"),
        ("°", "leave the unit out: metrics are compared as they are sent"),
    ];
    match MEANT.iter().find(|(text, _)| rest.starts_with(text)) {
        Some((text, help)) => {
            let span = Span::new(at, at + text.len());
            Problem::new(span, format!("unexpected `{text}`")).help(*help)
        }
        None => {
            let span = Span::new(at, at + first.len_utf8());
            Problem::new(span, format!("unexpected character {first:?}"))
        }
    }
}

fn span(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|c| !belongs(c)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Result<Vec<TokenKind>, String> {
        tokens(text)
            .map(|tokens| tokens.into_iter().map(|token| token.kind).collect())
            .map_err(|problem| problem.message)
    }

    #[test]
    fn numbers_durations_and_names_are_told_apart() {
        use TokenKind::{Duration, End, Name, Number};
        assert_eq!(
            kinds("1_000 .5 1e3 5m 1h30m motor.speed _x"),
            Ok(vec![
                Number(1000.0),
                Number(0.5),
                Number(1000.0),
                Duration(300.0),
                Duration(5400.0),
                Name("motor.speed".into()),
                Name("_x".into()),
                End
            ])
        );
    }

    #[test]
    fn a_doubled_quote_is_a_quote() {
        assert_eq!(kinds("'it''s'"), Ok(vec![TokenKind::Text("it's".into()), TokenKind::End]));
        assert_eq!(
            kinds("`room-temp`"),
            Ok(vec![TokenKind::Quoted("room-temp".into()), TokenKind::End])
        );
    }

    #[test]
    fn strangers_are_named() {
        for (text, message) in [
            ("a && b", "unexpected `&&`"),
            ("a <> b", "unexpected `<>`"),
            ("'open", "the text has no end"),
            ("`open", "the name has no closing backquote"),
            ("``", "the name is empty"),
            ("5min", "unknown unit `min` in the duration `5min`"),
            ("1.2.3", "`1.2.3` is not a number"),
            ("1e999", "`1e999` is not a number"),
            ("a # b", "unexpected character '#'"),
        ] {
            assert_eq!(kinds(text), Err(message.to_owned()), "{text}");
        }
    }
}
