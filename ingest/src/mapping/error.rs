//! What is wrong with a text of mappings, and where.

use std::fmt;

/// One mistake in a text of mappings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappingError {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What was found.
    pub message: String,
    /// What would be right, if that can be said.
    pub help: Option<String>,
}

impl fmt::Display for MappingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.message)?;
        self.help.as_ref().map_or(Ok(()), |help| write!(f, "; {help}"))
    }
}

impl std::error::Error for MappingError {}

/// The candidate that was probably meant: as many letters wrong as a third of the word, at most.
pub(super) fn nearest<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    // What is longer than any of our words is a slip of none of them.
    if word.len() > 32 {
        return None;
    }
    let allowed = (word.chars().count() / 3).max(1);
    let distances = candidates.iter().map(|candidate| (distance(word, candidate), *candidate));
    distances.filter(|(wrong, _)| *wrong <= allowed).min().map(|(_, candidate)| candidate)
}

/// How many letters must be added, dropped, replaced or swapped to make one word of the other.
fn distance(from: &str, to: &str) -> usize {
    let from: Vec<char> = from.to_lowercase().chars().collect();
    let to: Vec<char> = to.to_lowercase().chars().collect();
    let mut rows: Vec<Vec<usize>> =
        (0..=from.len()).map(|i| (i..=i + to.len()).collect()).collect();
    for i in 1..=from.len() {
        for j in 1..=to.len() {
            let changed = rows[i - 1][j - 1] + usize::from(from[i - 1] != to[j - 1]);
            let mut best = changed.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[from.len()][to.len()]
}
