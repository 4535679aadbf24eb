//! Threads of our own: a part that fails, or panics, says so and the service stops.

use std::thread::JoinHandle;

use tokio::sync::mpsc;
use tracing::error;

/// Says that a part ended badly if its thread unwinds.
struct Guard {
    name: &'static str,
    failures: mpsc::Sender<anyhow::Error>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Full means that others have failed before: the service is stopping already.
            let _ = self.failures.try_send(anyhow::anyhow!("{} panicked", self.name));
        }
    }
}

/// Runs a part on a thread of its own; its error goes to `failures`.
///
/// # Errors
/// If the system makes no thread.
pub(super) fn spawn<T: Send + 'static>(
    name: &'static str,
    failures: mpsc::Sender<anyhow::Error>,
    run: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> std::io::Result<JoinHandle<Option<T>>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        let guard = Guard { name, failures };
        match run() {
            Ok(ended) => Some(ended),
            Err(error) => {
                let _ = guard.failures.try_send(error.context(format!("{name} cannot go on")));
                None
            }
        }
    })
}

/// Waits for a thread without blocking the runtime; `None` if its part failed.
pub(super) async fn join<T: Send + 'static>(
    name: &'static str,
    thread: JoinHandle<Option<T>>,
) -> Option<T> {
    match tokio::task::spawn_blocking(move || thread.join()).await {
        Ok(Ok(ended)) => ended,
        Ok(Err(_)) | Err(_) => {
            error!("The thread of {name} panicked.");
            None
        }
    }
}
