//! `bellwire serve`: runs the service until it is told to stop.

use std::pin::pin;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;
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
        // From here on nothing ends it half-way: what has begun is stopped in its order.
        let mut signals = Signals::install()?;
        let grace = config.shutdown_grace();
        let mut starting = pin!(App::start(config));
        let mut app = tokio::select! {
            app = &mut starting => app?,
            name = signals.next() => {
                info!("Stopping on {name}, once it has started.");
                let Ok(app) = timeout(grace, starting).await else {
                    warn!("It has not started within {grace:?}; ending without it.");
                    return Ok(EXIT_OK);
                };
                return Ok(exit_code(app?.stop().await));
            }
        };
        let reason = tokio::select! {
            name = signals.next() => { info!("Stopping on {name}."); None }
            reason = app.failed() => Some(reason),
        };
        let stopped = app.stop().await;
        match reason {
            Some(reason) => Err(reason.into()),
            None => Ok(exit_code(stopped)),
        }
    })
}

const fn exit_code(stopped: Stopped) -> u8 {
    match stopped {
        Stopped::Clean => EXIT_OK,
        Stopped::Unclean => EXIT_FAILURE,
    }
}

/// What tells the service to stop.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From here on the process is not ended by them, but told.
    fn install() -> std::io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self { terminate, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next, and names it.
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
