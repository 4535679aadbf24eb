//! The language of `when`, `clear`, `select` and `summary`.
//!
//! Text → [`lexer`] → tokens → [`parser`] → tree → [`check`] → typed nodes whose metrics are
//! numbered inputs → [`program`] → a few operations over `f64`. A condition looks like this, from
//! what binds least to what binds most:
//!
//! ```text
//! condition  = or
//! or         = and { "or" and }
//! and        = not { "and" not }
//! not        = [ "not" ] not | comparison
//! comparison = sum [ ( ">" | ">=" | "<" | "<=" | "=" | "==" | "!=" ) sum ]
//! sum        = product { ( "+" | "-" ) product }
//! product    = sign { ( "*" | "/" | "%" ) sign }
//! sign       = [ "-" ] sign | primary
//! primary    = number | duration | 'text' | "true" | "false" | name | `any metric's name`
//!            | function "(" arguments ")" | aggregate "by" "(" labels ")" "(" arguments ")"
//!            | "(" or ")"
//! ```
//!
//! A *name* is a parameter of the rule if there is one, else a metric, and means its last value.
//! Booleans are 1 and 0; a duration is its seconds. An expression has three answers: true, false
//! and **unknown**, which is what a missing value, a text where a number is needed, a division by
//! zero and an overflow give. `false and unknown` is false, `true or unknown` is true.

pub(crate) mod ast;
pub(crate) mod calls;
pub(crate) mod check;
pub(crate) mod duration;
pub(crate) mod explain;
pub(crate) mod functions;
pub(crate) mod group;
pub(crate) mod lexer;
pub(crate) mod names;
pub(crate) mod parser;
pub(crate) mod place;
pub(crate) mod program;
pub(crate) mod select;
pub(crate) mod template;
pub(crate) mod words;

/// The longest expression, template or selection, in bytes.
pub(crate) const TEXT_BYTES_MAX: usize = 64 * 1024;
/// How deep parentheses, `not`, `-` and calls may nest.
pub(crate) const DEPTH_MAX: usize = 64;
/// The most operators, names and literals in one expression: bounds what one evaluation costs,
/// and how deep a chain like `a + b + …` makes the tree.
pub(crate) const NODES_MAX: usize = 1_000;

/// A part of a text, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    /// The first byte.
    pub(crate) start: usize,
    /// One past the last byte.
    pub(crate) end: usize,
}

impl Span {
    pub(crate) const fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// From the beginning of this to the end of `other`.
    pub(crate) const fn to(self, other: Self) -> Self {
        Self { start: self.start, end: other.end }
    }

    pub(crate) fn of(self, text: &str) -> &str {
        &text[self.start..self.end]
    }
}

/// Something wrong in an expression, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) span: Span,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

impl Problem {
    pub(crate) fn new(span: Span, message: impl Into<String>) -> Self {
        Self { span, message: message.into(), help: None }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}
