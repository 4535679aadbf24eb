//! What the program says of itself: lines on stderr.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// What says nothing unless it is named: rumqttd takes each client that goes for an error.
const SILENT: &str = "rumqttd";

/// Reads a filter: `info`, or per part `info,hyper=debug`.
///
/// # Errors
/// If it cannot be read.
pub(crate) fn filter(text: &str) -> Result<EnvFilter, ParseError> {
    let filter = EnvFilter::try_new(text)?;
    if text.contains(SILENT) {
        Ok(filter)
    } else {
        Ok(filter.add_directive(format!("{SILENT}=off").parse()?))
    }
}

/// Starts logging to stderr what `text`, a [`filter`], lets through.
///
/// # Errors
/// If the filter cannot be read.
pub(crate) fn start(text: &str) -> Result<(), ParseError> {
    let filter = filter(text)?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .finish();
    // Not `init`: that would also pass on what libraries say through the `log` crate, each notice of
    // PostgreSQL among it. Fails only if something else, a test say, logs already.
    let _ = tracing::subscriber::set_global_default(subscriber);
    Ok(())
}
