//! `bellwire serve`: runs the service until it is told to stop.

use std::pin::pin;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::{info, warn};

use super::reconfigure::Running;
use super::{Common, EXIT_FAILURE, EXIT_OK, Failure};
use crate::app::{App, Stopped};
use crate::config::{self, Environment};
use crate::systemd::{self, Watchdog, patiently};
use crate::{logging, open_files, runtime};

pub(super) fn run(common: &Common) -> Result<u8, Failure> {
    let config = common.load()?;
    let filter = logging::start(&config.log_filter)?;
    for sentence in config::unknown_variables(&Environment::of_process()) {
        warn!("{sentence}");
    }
    let files = open_files::raise()?;
    info!(files, "May have {files} files and connections open.");
    let mut running = Running::new(common, config.clone(), filter);
    runtime::multi_thread()?.block_on(async {
        // From here on nothing ends it half-way: what has begun is stopped in its order.
        let Signals { mut stop, mut hangup } = Signals::install()?;
        let grace = config.shutdown_grace();
        let mut starting = pin!(patiently(App::start(config)));
        let mut app = tokio::select! {
            app = &mut starting => app?,
            name = stop.next() => {
                info!("Stopping on {name}, once it has started.");
                let Ok(app) = timeout(grace, starting).await else {
                    warn!("It has not started within {grace:?}; ending without it.");
                    return Ok(EXIT_OK);
                };
                return Ok(exit_code(app?.stop().await));
            }
        };
        systemd::ready();
        let reason = until_stopped(&mut app, (&mut stop, &mut hangup), &mut running).await;
        systemd::stopping();
        let stopped = patiently(app.stop()).await;
        match reason {
            Some(reason) => Err(reason.into()),
            None => Ok(exit_code(stopped)),
        }
    })
}

/// Lets it run, and reads everything again on SIGHUP. Why it cannot go on; nothing, if it was told to stop.
async fn until_stopped(
    app: &mut App,
    (stop, hangup): (&mut StopSignals, &mut Signal),
    running: &mut Running<'_>,
) -> Option<anyhow::Error> {
    let mut watchdog = Watchdog::as_asked();
    let mut reading = None;
    loop {
        let is_reading = reading.is_some();
        tokio::select! {
            name = stop.next() => {
                info!("Stopping on {name}.");
                return None;
            }
            reason = app.failed() => return Some(reason),
            // Those that come meanwhile are one, and make it read once more.
            _ = hangup.recv(), if !is_reading => {
                systemd::reloading();
                reading = Some(app.reload(running.look()));
            }
            () = ended(&mut reading) => {
                reading = None;
                systemd::ready();
            }
            () = watchdog.due() => systemd::alive(),
        }
    }
}

/// Waits until the task has ended; for ever, if there is none.
async fn ended(task: &mut Option<JoinHandle<()>>) {
    match task {
        Some(task) => {
            if let Err(error) = task.await {
                warn!(error = &error as &dyn std::error::Error, "Reading again ended badly.");
            }
        }
        None => std::future::pending().await,
    }
}

const fn exit_code(stopped: Stopped) -> u8 {
    match stopped {
        Stopped::Clean => EXIT_OK,
        Stopped::Unclean => EXIT_FAILURE,
    }
}

/// What is told the service.
struct Signals {
    stop: StopSignals,
    /// Read everything again.
    hangup: Signal,
}

impl Signals {
    /// From here on the process is not ended by them, but told.
    fn install() -> std::io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        let stop = StopSignals { terminate, interrupt: signal(SignalKind::interrupt())? };
        Ok(Self { stop, hangup: signal(SignalKind::hangup())? })
    }
}

/// What tells the service to stop.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
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
