//! Watches the rules file: when it changes and is right, it goes into the log; when it is wrong,
//! the rules in force stay, and the log of the program says what is wrong.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::file_watch::{self, Changes, Watching};
use super::rulebook::Rulebook;
use super::rules;
use crate::rulebook::effective::FileRules;

/// Watches `path`, whose content is `rules` now.
pub(super) fn watch(
    path: &Path,
    rules: FileRules,
    book: Rulebook,
    tracker: &TaskTracker,
) -> anyhow::Result<Watching> {
    let (watching, changes) = file_watch::watch(path)?;
    tracker.spawn(follow(path.to_owned(), rules.text, book, changes));
    Ok(watching)
}

/// Reads the file again after each change, until the watch ends.
async fn follow(path: PathBuf, mut text: Arc<str>, book: Rulebook, mut changes: Changes) {
    while changes.next().await {
        match rules::read(&path).map(FileRules::from) {
            Ok(new) if new.text == text => {}
            Ok(new) => match book.take_file(new.clone()).await {
                Ok(n_rules) => {
                    let n_read = new.set.rules().len();
                    info!("Read {n_read} rules from {}, {n_rules} are in force.", path.display());
                    text = new.text;
                }
                Err(error) => warn!("The new rules are not in force: {error:#}."),
            },
            Err(error) => warn!("The rules in force stay as they are: {error}"),
        }
    }
}
