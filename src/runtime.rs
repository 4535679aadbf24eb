//! The async runtimes: one for sockets, and one of a single thread for *keep* and for the compactor.

use tokio::runtime::{Builder, Runtime};

/// The runtime of sockets: a worker per core.
///
/// # Errors
/// If the system gives no threads.
pub(crate) fn multi_thread() -> std::io::Result<Runtime> {
    Builder::new_multi_thread().enable_all().thread_name("worker").build()
}

/// A runtime for one thread: *keep* reads files and encodes rows on it, the compactor sorts, and the
/// connection to the database is driven by the same thread, without a hand-over.
///
/// # Errors
/// If the system gives no event queue.
pub(crate) fn single_thread() -> std::io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}
