//! The table of functions: what the checker knows and what errors list.

use super::ast::Expr;

/// What a function does with its argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    /// `last(metric)`: the metric's last value; the same as its bare name.
    Last,
    /// `abs(number)`: the number without its sign.
    Abs,
}

/// All of them, by name.
pub(crate) const FUNCTIONS: [(&str, Function); 2] =
    [("abs", Function::Abs), ("last", Function::Last)];

impl Function {
    pub(crate) fn named(name: &str) -> Option<Self> {
        FUNCTIONS.iter().find(|(known, _)| *known == name).map(|&(_, function)| function)
    }

    /// How it is called, for errors.
    pub(crate) const fn usage(self) -> &'static str {
        match self {
            Self::Last => "`last(metric)`",
            Self::Abs => "`abs(number)`",
        }
    }

    /// The one argument, if there is exactly one.
    pub(crate) fn argument(args: &[Expr]) -> Option<&Expr> {
        match args {
            [only] => Some(only),
            _ => None,
        }
    }
}
