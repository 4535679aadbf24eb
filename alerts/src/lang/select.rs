//! Which devices a rule is for: `kind = 'freezer' and site =~ 'berlin-.*'`.
//!
//! ```text
//! select = and { "or" and }
//! and    = not { "and" not }
//! not    = [ "not" ] not | "(" select ")" | label ( "=" | "==" | "!=" | "=~" | "!~" ) 'text'
//! ```
//!
//! A label that a device lacks is the empty text. Patterns must match the whole label.

use std::sync::Arc;

use regex::{Regex, RegexBuilder};

use super::ast::Comparison;
use super::lexer::{Token, TokenKind, tokens};
use super::{DEPTH_MAX, NODES_MAX, Problem, Span};

/// The longest pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 4 * 1024;
/// The most memory a compiled pattern may take, in bytes: `(a{100}){100}` asks for more.
const PATTERN_SIZE_BYTES_MAX: usize = 256 * 1024;
/// The most memory one search may take for its cache, in bytes.
const PATTERN_CACHE_BYTES_MAX: usize = 256 * 1024;

/// A choice of devices by their labels.
#[derive(Clone, Debug)]
pub(crate) enum Select {
    Is { label: Box<str>, text: Arc<str> },
    Matches { label: Box<str>, pattern: Regex },
    Not(Box<Self>),
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
}

impl Select {
    /// Reads a selection.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub(crate) fn parse(text: &str) -> Result<Self, Problem> {
        let tokens = tokens(text)?;
        let mut parser = Parser { text, tokens: &tokens, next: 0, depth: 0, n_nodes: 0 };
        let select = parser.or()?;
        match parser.peek().kind {
            TokenKind::End => Ok(select),
            _ => Err(parser.unexpected("`and` or `or`")),
        }
    }

    /// Whether it chooses the device whose labels `label_of` tells.
    pub(crate) fn chooses<'a>(&self, label_of: &impl Fn(&str) -> &'a str) -> bool {
        match self {
            Self::Is { label, text } => label_of(label) == &**text,
            Self::Matches { label, pattern } => pattern.is_match(label_of(label)),
            Self::Not(inner) => !inner.chooses(label_of),
            Self::And(left, right) => left.chooses(label_of) && right.chooses(label_of),
            Self::Or(left, right) => left.chooses(label_of) || right.chooses(label_of),
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    tokens: &'a [Token],
    next: usize,
    depth: usize,
    n_nodes: usize,
}

type Combine = fn(Box<Select>, Box<Select>) -> Select;

impl<'a> Parser<'a> {
    fn peek(&self) -> &'a Token {
        &self.tokens[self.next]
    }

    fn take(&mut self) -> &'a Token {
        let token = self.peek();
        if token.kind != TokenKind::End {
            self.next += 1;
        }
        token
    }

    fn chain(
        &mut self,
        word: &TokenKind,
        operand: fn(&mut Self) -> Result<Select, Problem>,
        combine: Combine,
    ) -> Result<Select, Problem> {
        let mut left = operand(self)?;
        while self.peek().kind == *word {
            self.take();
            left = combine(Box::new(left), Box::new(operand(self)?));
        }
        Ok(left)
    }

    fn or(&mut self) -> Result<Select, Problem> {
        self.chain(&TokenKind::Or, Self::and, Select::Or)
    }

    fn and(&mut self) -> Result<Select, Problem> {
        self.chain(&TokenKind::And, Self::not, Select::And)
    }

    fn not(&mut self) -> Result<Select, Problem> {
        let token = self.peek();
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            let message = format!("nested deeper than {DEPTH_MAX} levels");
            return Err(Problem::new(token.span, message));
        }
        let select = match token.kind {
            TokenKind::Not => {
                self.take();
                Select::Not(Box::new(self.not()?))
            }
            TokenKind::Open => {
                self.take();
                let inner = self.or()?;
                if self.peek().kind != TokenKind::Close {
                    return Err(self.unexpected("`)`"));
                }
                self.take();
                inner
            }
            _ => self.matcher()?,
        };
        self.depth -= 1;
        Ok(select)
    }

    fn matcher(&mut self) -> Result<Select, Problem> {
        self.n_nodes += 1;
        if self.n_nodes > NODES_MAX {
            let message = format!("more than {NODES_MAX} labels");
            return Err(Problem::new(self.peek().span, message));
        }
        let (TokenKind::Name(label) | TokenKind::Quoted(label)) = &self.peek().kind else {
            return Err(self.unexpected("a label"));
        };
        self.take();
        let op = &self.peek().kind;
        let negated = match op {
            TokenKind::Compare(Comparison::Equal) | TokenKind::Match => false,
            TokenKind::Compare(Comparison::NotEqual) | TokenKind::NoMatch => true,
            _ => return Err(self.unexpected("`=`, `!=`, `=~` or `!~`")),
        };
        self.take();
        let TokenKind::Text(text) = &self.peek().kind else {
            return Err(self.unexpected("a text in single quotes"));
        };
        let span = self.take().span;
        let label = label.clone();
        let select = match op {
            TokenKind::Match | TokenKind::NoMatch => {
                Select::Matches { label, pattern: pattern(text, span)? }
            }
            _ => Select::Is { label, text: Arc::clone(text) },
        };
        Ok(if negated { Select::Not(Box::new(select)) } else { select })
    }

    fn unexpected(&self, expected: &str) -> Problem {
        let span = self.peek().span;
        match self.peek().kind {
            TokenKind::End => {
                Problem::new(span, format!("the selection ends where {expected} should be"))
            }
            _ => Problem::new(span, format!("unexpected `{}`", span.of(self.text)))
                .help(format!("{expected} should be here, as in `kind = 'freezer'`")),
        }
    }
}

/// Compiles a pattern that must match all of a label.
fn pattern(text: &str, span: Span) -> Result<Regex, Problem> {
    if text.len() > PATTERN_BYTES_MAX {
        let message = format!("the pattern is longer than {PATTERN_BYTES_MAX} bytes");
        return Err(Problem::new(span, message));
    }
    let build = |text: &str| {
        RegexBuilder::new(text)
            .size_limit(PATTERN_SIZE_BYTES_MAX)
            .dfa_size_limit(PATTERN_CACHE_BYTES_MAX)
            .nest_limit(64)
            .build()
    };
    // Alone first: `a)|(b` must not break out of the anchors.
    build(text).and_then(|_| build(&format!("^(?:{text})$"))).map_err(|error| match error {
        regex::Error::CompiledTooBig(limit) => {
            Problem::new(span, format!("the pattern needs more than {limit} bytes of memory"))
                .help("repeat less: `{1000}` copies what it repeats")
        }
        error => {
            // The last line says what is wrong; the others draw the pattern.
            let error = error.to_string();
            let last = error.lines().last().unwrap_or_default();
            let last = last.trim_start_matches("error: ");
            Problem::new(span, format!("the pattern is wrong: {last}"))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chooses(text: &str) -> bool {
        let select = Select::parse(text).expect(text);
        let label_of = |name: &str| match name {
            "kind" => "freezer",
            "site" => "berlin-2",
            _ => "",
        };
        select.chooses(&label_of)
    }

    #[test]
    fn labels_choose_devices() {
        assert!(chooses("kind = 'freezer' and site =~ 'berlin-.*'"));
        assert!(!chooses("kind = 'freezer' and site =~ 'berlin'"));
        assert!(chooses("site =~ 'a|berlin-2'"));
        assert!(chooses("site !~ 'berlin-[0-9]' or kind != 'oven'"));
        assert!(chooses("not (kind == 'oven' or kind = 'mill')"));
        assert!(chooses("owner = ''"));
        assert!(chooses("owner != 'me'"));
        assert!(!chooses("kind = 'oven' or kind = 'freezer' and site = 'x'"));
    }

    #[test]
    fn a_wrong_selection_says_what_would_be_right() {
        for (text, start, message) in [
            ("", 0, "the selection ends where a label should be"),
            ("kind", 4, "the selection ends where `=`, `!=`, `=~` or `!~` should be"),
            ("kind = freezer", 7, "unexpected `freezer`"),
            ("kind > 'a'", 5, "unexpected `>`"),
            ("kind = 'a' kind = 'b'", 11, "unexpected `kind`"),
            ("(kind = 'a'", 11, "the selection ends where `)` should be"),
            ("site =~ '('", 8, "the pattern is wrong: unclosed group"),
            ("site =~ 'a)|(b'", 8, "the pattern is wrong: unopened group"),
        ] {
            let problem = Select::parse(text).expect_err(text);
            assert_eq!((problem.span.start, problem.message.as_str()), (start, message), "{text}");
        }
    }

    #[test]
    fn hostile_selections_are_refused() {
        for (text, message) in [
            (
                "a =~ '((x{100}){100}){100}'".to_owned(),
                "the pattern needs more than 262144 bytes of memory",
            ),
            ("(".repeat(60_000), "nested deeper than 64 levels"),
            ("not ".repeat(10_000), "nested deeper than 64 levels"),
            (vec!["a='b'"; 2_000].join(" or "), "more than 1000 labels"),
            (format!("a =~ '{}'", "x".repeat(5_000)), "the pattern is longer than 4096 bytes"),
        ] {
            let problem = Select::parse(&text).expect_err("refused");
            assert_eq!(problem.message, message);
        }
    }
}
