//! Watches the rules file: when it changes and is right, it goes into the log; when it is wrong,
//! the rules in force stay, and the log of the program says what is wrong.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::rulebook::Rulebook;
use super::rules;
use crate::rulebook::effective::FileRules;

/// Editors write in several steps: wait until nothing has happened for this long.
const QUIET: Duration = Duration::from_millis(100);

/// The watch on a rules file; ends when dropped.
#[derive(Debug)]
pub(super) struct Watching {
    _watcher: RecommendedWatcher,
}

/// Watches `path`, whose content is `rules` now.
///
/// The folder is watched, not the file: editors replace files.
pub(super) fn watch(
    path: &Path,
    rules: FileRules,
    book: Rulebook,
    tracker: &TaskTracker,
) -> anyhow::Result<Watching> {
    // One pending change is as good as many: it means "look again". Full: the news is dropped.
    let (changed, changes) = mpsc::channel(1);
    let name = path.file_name().map(ToOwned::to_owned);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let concerns = |event: &notify::Event| {
            !event.kind.is_access()
                && event.paths.iter().any(|path| path.file_name() == name.as_deref())
        };
        if event.as_ref().is_ok_and(concerns) {
            let _ = changed.try_send(());
        }
    })?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    watcher.watch(folder.unwrap_or(Path::new(".")), RecursiveMode::NonRecursive)?;
    tracker.spawn(follow(path.to_owned(), rules.text, book, changes));
    Ok(Watching { _watcher: watcher })
}

/// Reads the file again after each change, until the watch ends.
async fn follow(
    path: PathBuf,
    mut text: Arc<str>,
    book: Rulebook,
    mut changes: mpsc::Receiver<()>,
) {
    while changes.recv().await.is_some() {
        while let Ok(Some(())) = tokio::time::timeout(QUIET, changes.recv()).await {}
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
