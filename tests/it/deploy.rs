//! What deploy/ has for containers, clusters and machines: read by the programs that it is for, where they
//! are to be had without a network, and held against what Bellwire is.

mod chart;
mod chart_objects;
mod chart_planted;
mod compose;
mod compose_files;
mod container;
mod haproxy;
mod health;
mod package;
mod parts;
mod tools;
mod truth;
mod unit;

use std::path::{Path, PathBuf};

use crate::support::tree;

/// The repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// The text of a file of the repository.
#[track_caller]
fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The paths of all files of the repository, folders among them.
fn paths() -> Vec<String> {
    let mut paths: Vec<String> = tree::files().into_iter().map(|file| file.path).collect();
    for path in paths.clone() {
        let folders = path.match_indices('/').map(|(end, _)| path[..end].to_owned());
        paths.extend(folders);
    }
    paths.sort();
    paths.dedup();
    paths
}

/// The version of all packages.
fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}
