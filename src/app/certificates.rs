//! Watches the files of the TLS listeners: when they change and are right, new handshakes use them;
//! when they are wrong, what is in force stays, and the log says what is wrong.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bellwire_broker::{Reload, TlsHandle};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::reload::{Looked, Reloads, What};

/// Certificate and key are replaced one after the other: wait until nothing has happened this long.
const QUIET: Duration = Duration::from_millis(500);
/// But no longer than this: other files in the folder may change all the time.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// The watch on the certificates; ends when dropped.
#[derive(Debug)]
pub(super) struct Watching {
    _watcher: RecommendedWatcher,
    closing: CancellationToken,
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

/// The certificates of a kind of listener.
#[derive(Clone, Debug)]
pub(super) struct Certificates {
    what: What,
    tls: TlsHandle,
    reloads: Reloads,
}

impl Certificates {
    pub(super) const fn new(what: What, tls: TlsHandle, reloads: Reloads) -> Self {
        Self { what, tls, reloads }
    }

    pub(super) const fn what(&self) -> What {
        self.what
    }

    /// Reads them now; new handshakes use them if they have changed and are right.
    pub(super) fn look(&self) -> Looked {
        let looked = match self.tls.reload() {
            Ok(Reload::Changed) => Ok(Some(String::new())),
            Ok(Reload::Same) => Ok(None),
            Err(error) => {
                let (what, reason) = (self.what.name(), super::chain(&error));
                Err(format!("New {what} are wrong; the old ones stay: {reason}."))
            }
        };
        self.reloads.count(self.what, &looked);
        looked
    }

    /// Looks whenever they change, until the watch ends.
    ///
    /// Their folders are watched, and every change in them counts: files are replaced, and a mounted
    /// secret changes by a link beside them.
    pub(super) fn watch(&self, tracker: &TaskTracker) -> anyhow::Result<Watching> {
        // One pending change is as good as many: it means "look again". Full: the news is dropped.
        let (changed, changes) = mpsc::channel(1);
        let mut watcher =
            notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
                if event.as_ref().is_ok_and(|event| !event.kind.is_access()) {
                    let _ = changed.try_send(());
                }
            })?;
        for folder in self.tls.files().iter().map(|file| folder(file)).collect::<BTreeSet<_>>() {
            watcher.watch(&folder, RecursiveMode::NonRecursive)?;
        }
        let closing = CancellationToken::new();
        tracker.spawn(self.clone().follow(changes, closing.clone()));
        Ok(Watching { _watcher: watcher, closing })
    }

    async fn follow(self, mut changes: mpsc::Receiver<()>, closing: CancellationToken) {
        loop {
            tokio::select! {
                () = closing.cancelled() => return,
                changed = changes.recv() => {
                    if changed.is_none() {
                        return;
                    }
                    let until_quiet = async {
                        while let Ok(Some(())) = timeout(QUIET, changes.recv()).await {}
                    };
                    let _busy = timeout(WAIT_MAX, until_quiet).await;
                }
            }
            match self.look() {
                Ok(None) => {}
                Ok(Some(_)) => info!("Took up new {}.", self.what.name()),
                Err(why) => warn!("{why}"),
            }
        }
    }
}

fn folder(file: &Path) -> PathBuf {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new(".")).to_owned()
}
