//! `bellwire serve`: runs the service until it is told to stop.

use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

use super::{Common, EXIT_FAILURE, EXIT_OK, Failure};
use crate::app::{App, Stopped};
use crate::config::{self, Environment};
use crate::{logging, open_files, runtime};

pub(super) fn run(common: &Common) -> Result<u8, Failure> {
    let config = common.load()?;
    logging::start(&config.log_filter)?;
    for sentence in config::unknown_variables(&Environment::of_process()) {
        warn!("{sentence}");
    }
    let files = open_files::raise()?;
    info!(files, "May have {files} files and connections open.");
    runtime::multi_thread()?.block_on(async {
        let mut app = App::start(config).await?;
        let signals = wait_for_signal();
        let reason = tokio::select! {
            name = signals => { info!("Stopping on {}.", name?); None }
            reason = app.failed() => Some(reason),
        };
        let stopped = app.stop().await;
        match (reason, stopped) {
            (Some(reason), _) => Err(reason.into()),
            (None, Stopped::Clean) => Ok(EXIT_OK),
            (None, Stopped::Unclean) => Ok(EXIT_FAILURE),
        }
    })
}

async fn wait_for_signal() -> Result<&'static str, std::io::Error> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    })
}
