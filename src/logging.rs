//! What the program says of itself: lines on stderr.

use std::io::IsTerminal;

use tracing_subscriber::filter::ParseError;
use tracing_subscriber::{EnvFilter, reload};

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

/// What is logged, which can be changed.
pub(crate) struct Filter(Box<dyn Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync>);

impl Filter {
    /// From now on what `text`, a [`filter`], lets through is logged.
    ///
    /// # Errors
    /// If it cannot be read; then all is as before.
    pub(crate) fn set(&self, text: &str) -> Result<(), Box<dyn std::error::Error>> {
        Ok((self.0)(filter(text)?)?)
    }
}

/// Starts logging to stderr what `text`, a [`filter`], lets through.
///
/// # Errors
/// If the filter cannot be read.
pub(crate) fn start(text: &str) -> Result<Filter, ParseError> {
    let filter = filter(text)?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .with_filter_reloading();
    let handle = subscriber.reload_handle();
    // Not `init`: that would also pass on what libraries say through the `log` crate, each notice of
    // PostgreSQL among it. Fails only if something else, a test say, logs already.
    let _ = tracing::subscriber::set_global_default(subscriber.finish());
    Ok(Filter(Box::new(move |filter| handle.reload(filter))))
}
