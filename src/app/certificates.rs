//! Watches the files of the TLS listeners: when they change and are right, new handshakes use them;
//! when they are wrong, what is in force stays, and the log says what is wrong. SIGHUP is a hint to
//! look, for who wants to be sure.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bellwire_broker::{Reload, TlsHandle};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

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

/// Watches the files of `tls`, which is for `what`.
///
/// Their folders are watched, and every change in them counts: files are replaced, and a mounted
/// secret changes by a link beside them.
pub(super) fn watch(
    what: &'static str,
    tls: TlsHandle,
    tracker: &TaskTracker,
) -> anyhow::Result<Watching> {
    // One pending change is as good as many: it means "look again". Full: the news is dropped.
    let (changed, changes) = mpsc::channel(1);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.as_ref().is_ok_and(|event| !event.kind.is_access()) {
            let _ = changed.try_send(());
        }
    })?;
    for folder in tls.files().iter().map(|file| folder(file)).collect::<BTreeSet<_>>() {
        watcher.watch(&folder, RecursiveMode::NonRecursive)?;
    }
    let hangup = signal(SignalKind::hangup())?;
    let closing = CancellationToken::new();
    tracker.spawn(follow((what, tls), changes, hangup, closing.clone()));
    Ok(Watching { _watcher: watcher, closing })
}

fn folder(file: &Path) -> PathBuf {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new(".")).to_owned()
}

/// Reads the files again after each change, until the watch ends.
async fn follow(
    (what, tls): (&'static str, TlsHandle),
    mut changes: mpsc::Receiver<()>,
    mut hangup: Signal,
    closing: CancellationToken,
) {
    loop {
        tokio::select! {
            () = closing.cancelled() => return,
            _ = hangup.recv() => {}
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
        match tls.reload() {
            Ok(Reload::Changed) => info!("Took up new certificates for {what}."),
            Ok(Reload::Same) => {}
            Err(error) => {
                let reason = super::chain(&error);
                warn!(
                    reason,
                    "New certificates for {what} are wrong; the old ones stay: {reason}."
                );
            }
        }
    }
}
