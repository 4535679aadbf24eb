//! What the program says of itself: lines on stderr.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Starts logging to stderr; `filter` is `info`, or per part `info,hyper=debug`.
///
/// # Errors
/// If the filter cannot be read.
pub(crate) fn start(filter: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| anyhow::anyhow!("log_filter {filter:?}: {error}"))?;
    // Fails only if something else, a test say, logs already.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .try_init();
    Ok(())
}
