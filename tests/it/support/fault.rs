//! What a check of the sources found, and where.

use std::fmt;

/// One breach of a rule, in one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The file, relative to the repository.
    pub(crate) path: String,
    /// The line, from 1; 0 where the whole file is meant.
    pub(crate) line: usize,
    /// The rule, and what would be right.
    pub(crate) what: String,
}

impl Fault {
    /// A breach in the line with this index, from 0.
    pub(crate) fn at(path: &str, index: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line: index + 1, what: what.into() }
    }

    /// A breach by the file as a whole.
    pub(crate) fn whole(path: &str, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line: 0, what: what.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.what),
            line => write!(f, "{}:{line}: {}", self.path, self.what),
        }
    }
}

/// Fails the test that calls it, naming each of `faults`.
///
/// # Panics
/// If there is one.
#[track_caller]
pub(crate) fn none_of(faults: impl IntoIterator<Item = Fault>) {
    let faults: Vec<String> = faults.into_iter().map(|fault| fault.to_string()).collect();
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}
