//! Why a file that the configuration names cannot be used: that of rules, or of mappings.

use std::path::PathBuf;

/// Why a file of rules or mappings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("cannot read {what} file {path}")]
    Read {
        /// What it holds.
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It has mistakes; the text shows each with its place.
    #[error("{report}")]
    Wrong {
        /// For a person.
        report: String,
    },
}
