//! Why there is no configuration, or none that can work.

use std::fmt::Write as _;
use std::path::PathBuf;

use crate::app::chain;

/// Why there is no configuration. All of them are exit code 78.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read config file {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is no TOML, or has a key or value that does not fit.
    #[error("config file {place}: {message}")]
    File {
        /// `file:line:column`.
        place: String,
        /// What was found and what would be right.
        message: String,
    },
    /// A variable's value does not fit its key.
    #[error("environment variable {variable}: {message}")]
    Variable {
        /// Which.
        variable: String,
        /// What would be right.
        message: String,
    },
    /// A flag's value does not fit its key.
    #[error("--{flag}: {message}")]
    Flag {
        /// Which, without its dashes.
        flag: String,
        /// The value, and what would be right.
        message: String,
    },
    /// A value that fits its type and still cannot be.
    #[error("{0}")]
    Value(String),
    /// Several of these, in the order in which they were found.
    #[error("{}", list(.0.iter().map(|error| chain(error))))]
    Several(Vec<ConfigError>),
    /// No data directory can be chosen.
    #[error("neither data_dir nor HOME is set: say where to keep data with --data-dir")]
    NoHome,
}

impl ConfigError {
    /// Where it is in the file: line and column; what is not there comes behind all that is.
    pub(super) fn place(&self) -> (usize, usize) {
        let Self::File { place, .. } = self else { return (usize::MAX, 0) };
        let mut numbers = place.rsplit(':').map_while(|part| part.parse().ok());
        let column = numbers.next().unwrap_or(0);
        (numbers.next().unwrap_or(0), column)
    }

    /// One error of all that were found; `None` if there were none.
    pub(crate) fn of(mut faults: Vec<Self>) -> Option<Self> {
        match faults.len() {
            0 | 1 => faults.pop(),
            _ => Some(Self::Several(faults)),
        }
    }
}

/// Several mistakes, each from a line of its own on.
pub(crate) fn list(mistakes: impl IntoIterator<Item = String>) -> String {
    let mut text = "there are several mistakes:".to_owned();
    for mistake in mistakes {
        for line in mistake.trim_end().lines() {
            let _ = write!(text, "\n  {line}");
        }
    }
    text
}
