//! What a condition says, before anyone has asked whether it makes sense.

use std::sync::Arc;

use super::Span;

/// A part of a condition and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Expr {
    pub(crate) kind: ExprKind,
    pub(crate) span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ExprKind {
    Number(f64),
    /// Seconds.
    Duration(f64),
    Truth(bool),
    Text(Arc<str>),
    /// A parameter or a metric.
    Name(Box<str>),
    /// A name in backquotes: always a metric.
    Metric(Box<str>),
    Not(Box<Expr>),
    Negate(Box<Expr>),
    Binary {
        op: Binary,
        /// Where the operator stands.
        at: Span,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    Call {
        name: Box<str>,
        /// Where the name stands.
        at: Span,
        args: Vec<Expr>,
    },
    /// `name by (labels) (args)`.
    Group {
        name: Box<str>,
        /// Where the name stands.
        at: Span,
        by: Vec<(Box<str>, Span)>,
        args: Vec<Expr>,
    },
    /// `inner offset by`: as it was so long ago.
    Offset {
        inner: Box<Expr>,
        /// Seconds.
        by: f64,
        /// Where the duration stands.
        at: Span,
    },
}

/// An operator between two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Binary {
    Or,
    And,
    Compare(Comparison),
    Arith(Arith),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Greater,
    GreaterEqual,
    Less,
    LessEqual,
    Equal,
    NotEqual,
}

impl Comparison {
    pub(crate) const fn symbol(self) -> &'static str {
        match self {
            Self::Greater => ">",
            Self::GreaterEqual => ">=",
            Self::Less => "<",
            Self::LessEqual => "<=",
            Self::Equal => "=",
            Self::NotEqual => "!=",
        }
    }

    /// The comparison that is true exactly where this one is false.
    pub(crate) const fn opposite(self) -> Self {
        match self {
            Self::Greater => Self::LessEqual,
            Self::GreaterEqual => Self::Less,
            Self::Less => Self::GreaterEqual,
            Self::LessEqual => Self::Greater,
            Self::Equal => Self::NotEqual,
            Self::NotEqual => Self::Equal,
        }
    }

    /// The comparison that says the same with the sides exchanged.
    pub(crate) const fn mirrored(self) -> Self {
        match self {
            Self::Greater => Self::Less,
            Self::GreaterEqual => Self::LessEqual,
            Self::Less => Self::Greater,
            Self::LessEqual => Self::GreaterEqual,
            Self::Equal | Self::NotEqual => self,
        }
    }

    pub(crate) const fn is_equality(self) -> bool {
        matches!(self, Self::Equal | Self::NotEqual)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arith {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}
