//! The dashboards for Grafana and the rules for Prometheus, without a Grafana: their JSON is read strictly,
//! their queries are asked as Grafana would ask them.

mod layout;
mod model;
mod pictures;
mod planted;
pub(crate) mod provisioning;
mod rows;
pub(crate) mod rules;
mod seed;
mod sql;
mod svg;
mod text;
mod watched;

use crate::support::fault::none_of;
use crate::support::tree;

/// Where the dashboards lie.
const FOLDER: &str = "dashboards/grafana/";

/// Their files.
fn texts() -> Vec<tree::TextFile> {
    let mut files = tree::files();
    files.retain(|file| file.path.starts_with(FOLDER) && file.path.ends_with(".json"));
    assert!(files.len() >= 6, "there are six dashboards");
    files
}

/// All of them, read.
fn boards() -> Vec<layout::Board> {
    let boards = texts().into_iter().map(|file| layout::read(&file.path, &file.text));
    boards.map(|board| board.unwrap_or_else(|fault| panic!("{fault}"))).collect()
}

#[test]
fn dashboards_hold_together() {
    none_of(layout::faults(&boards()));
}
