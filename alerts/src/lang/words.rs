//! The words of rules, each with how it is written and what it means: what an editor completes, from the
//! tables that the parser itself goes by.

use super::functions::FUNCTIONS;
use super::group::AGGREGATES;
use super::lexer::KEYWORDS;
use crate::rules::keys::KEYS;

/// A word of the language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word {
    /// It.
    pub name: &'static str,
    /// How it is written: `avg(metric, window)`, `for = "2m"`.
    pub usage: &'static str,
    /// What it gives or means, in one line.
    pub gives: &'static str,
}

impl Word {
    pub(crate) const fn new(name: &'static str, usage: &'static str, gives: &'static str) -> Self {
        Self { name, usage, gives }
    }
}

/// All that the text of a rule is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// Functions of a device's metrics, by name.
    pub functions: Vec<Word>,
    /// Functions of the members of a group, by name.
    pub aggregates: Vec<Word>,
    /// The keys of a rule, in the order in which they are usually written.
    pub keys: Vec<Word>,
    /// Words with a meaning of their own within a condition.
    pub keywords: Vec<&'static str>,
}

/// The words of rules.
#[must_use]
pub fn words() -> Words {
    Words {
        functions: FUNCTIONS.iter().map(|it| Word::new(it.name, it.usage, it.gives)).collect(),
        aggregates: AGGREGATES.iter().map(|it| Word::new(it.name, it.usage, it.gives)).collect(),
        keys: KEYS.to_vec(),
        keywords: KEYWORDS.into_iter().chain(["by", "offset"]).collect(),
    }
}
