//! Watches a file: says that it may have changed, once the editor is done.

use std::path::Path;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

/// Editors write in several steps: wait until nothing has happened for this long.
const QUIET: Duration = Duration::from_millis(100);

/// The watch on a file; ends when dropped.
#[derive(Debug)]
pub(super) struct Watching {
    _watcher: RecommendedWatcher,
}

/// That the file may have changed.
#[derive(Debug)]
pub(super) struct Changes(mpsc::Receiver<()>);

impl Changes {
    /// Waits until the file has changed and is left alone; `false` when the watch has ended.
    pub(super) async fn next(&mut self) -> bool {
        if self.0.recv().await.is_none() {
            return false;
        }
        while let Ok(Some(())) = tokio::time::timeout(QUIET, self.0.recv()).await {}
        true
    }
}

/// Watches `path`: its folder, not the file, since editors replace files.
pub(super) fn watch(path: &Path) -> anyhow::Result<(Watching, Changes)> {
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
    Ok((Watching { _watcher: watcher }, Changes(changes)))
}
