//! Backtests for the API: one at a time, on threads of their own that give way to all others.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use bellwire_alerts::{RuleSet, read_one};
use bellwire_api::ports::{
    BacktestError, BacktestFuture, BacktestLines, BacktestRequest, Backtests, PortError, Tried,
};
use bellwire_model::SharedRegistry;
use bellwire_store::{Database, Wanted};
use bytes::Bytes;
use tokio::runtime::Runtime;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::TaskTracker;
use tracing::{error, info};

use super::chain;
use super::rules::SharedRules;
use crate::backtest::rules::{PartError, existing, only, shared};
use crate::backtest::stored::{self, Limits, Said, StoredError};
use crate::backtest::trial::Rules;
use crate::backtest::{line, stream, words};
use crate::rulebook::effective::together;
use crate::runtime;

/// The most lines that wait for a client; then the backtest does.
const LINES_MAX: usize = 256;
/// As the command line's default.
const FLAP_WITHIN: Duration = Duration::from_mins(5);
/// How much less than others its threads get where a core is wanted: see `nice(1)`.
const NICENESS: libc::c_int = 10;

/// Tries rules on what the database has.
#[derive(Debug)]
pub(super) struct StoredHistory {
    database: Arc<Database>,
    rules: SharedRules,
    registry: SharedRegistry,
    tracker: TaskTracker,
    place: Arc<Semaphore>,
}

/// What the threads of one backtest need.
struct Job {
    database: Arc<Database>,
    rules: Rules,
    limits: Limits,
    until: Instant,
    lines: mpsc::Sender<Bytes>,
    /// Says that it has begun, or why not.
    begun: oneshot::Sender<Result<(), BacktestError>>,
    place: OwnedSemaphorePermit,
}

impl StoredHistory {
    pub(super) fn new(
        database: Arc<Database>,
        (rules, registry): (SharedRules, SharedRegistry),
        tracker: TaskTracker,
    ) -> Self {
        Self { database, rules, registry, tracker, place: Arc::new(Semaphore::new(1)) }
    }

    async fn run(&self, request: BacktestRequest) -> Result<BacktestLines, BacktestError> {
        let rules = self.chosen(&request)?;
        let place = Arc::clone(&self.place).try_acquire_owned().map_err(|_| BacktestError::Busy)?;
        let (lines, taken) = mpsc::channel(LINES_MAX);
        let (begun, has_begun) = oneshot::channel();
        let BacktestRequest { from, to, device, readings_max, time_max, .. } = request;
        let wanted = Wanted { from, to, device, metrics: None };
        let job = Job {
            database: Arc::clone(&self.database),
            rules,
            limits: Limits { wanted, readings_max, time_max: Some(time_max) },
            until: Instant::now() + time_max,
            lines,
            begun,
            place,
        };
        // The service waits for it at its end: it ends when nobody takes its lines any more.
        let token = self.tracker.token();
        std::thread::Builder::new()
            .name("backtest".into())
            .spawn(move || {
                give_way();
                job.run();
                drop(token);
            })
            .map_err(|error| PortError::Failed(error.into()))?;
        has_begun.await.map_err(|error| PortError::Failed(error.into()))??;
        Ok(taken)
    }

    /// The rule that is asked for, as it is to be tried and as it is.
    fn chosen(&self, request: &BacktestRequest) -> Result<Rules, BacktestError> {
        let part_error = |error: PartError| match error {
            PartError::NoSuchRule { .. } => BacktestError::NoSuchRule(sentence(&error.to_string())),
            PartError::Text(_) => PortError::Failed(error.into()).into(),
        };
        let names = std::slice::from_ref(&request.rule);
        let in_force = self.rules.load_full();
        let (tried, text, is_draft) = match &request.rules {
            Tried::InForce => (RuleSet::parse(in_force.text()), in_force.text(), false),
            Tried::File(text) => (RuleSet::parse(text), text.as_str(), true),
            Tried::Draft(toml) => {
                let shared = shared(&in_force).map_err(part_error)?;
                let with = |_| RuleSet::parse(&together(shared.text(), std::iter::once(&**toml)));
                (read_one(toml).and_then(with), toml.as_str(), true)
            }
        };
        let running = if is_draft {
            Some(Arc::new(existing(&in_force, names).map_err(part_error)?))
        } else {
            None
        };
        let tried = tried.map_err(|errors| {
            let reports: Vec<_> = errors.iter().map(|error| error.render("rules", text)).collect();
            BacktestError::WrongRules(reports.join("\n"))
        })?;
        let tried = Arc::new(only(tried, names).map_err(part_error)?);
        let registry = self.registry.read().clone();
        Ok(Rules { tried, running, registry, flap_within: FLAP_WITHIN })
    }
}

impl Backtests for StoredHistory {
    fn begin(&self, request: BacktestRequest) -> BacktestFuture<'_> {
        Box::pin(self.run(request))
    }
}

impl Job {
    /// Runs it to its end; whoever waits hears why if it cannot begin, and in the last line if it cannot
    /// go on.
    fn run(self) {
        let Self { database, rules, limits, until, lines, begun, place } = self;
        let runtimes = runtime::single_thread().and_then(|it| Ok((it, runtime::single_thread()?)));
        let (reader, sender) = match runtimes {
            Ok(runtimes) => runtimes,
            Err(error) => {
                let _ = begun.send(Err(PortError::Failed(error.into()).into()));
                return;
            }
        };
        let mut begun = Some(begun);
        let mut wire = Wire { lines, sender, until };
        let tried = stored::run(&reader, &database, &rules, limits, |said| match said {
            Said::Begun => {
                let heard = begun.take().is_some_and(|begun| begun.send(Ok(())).is_ok());
                if heard { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            }
            Said::Transition(transition) => {
                wire.send(&stream::transition(&line::transition(transition)))
            }
            Said::Progress { n_readings, n_expected, at } => {
                wire.send(&stream::progress(n_readings, n_expected, at))
            }
        });
        // Who reads the last line may begin the next one.
        drop(place);
        // A client that has left does not hear this either.
        let _ = match (tried, begun) {
            (Ok(outcome), _) => {
                let n_readings = outcome.n_readings;
                info!(n_readings, "A backtest has judged {}.", words::count(n_readings, "reading"));
                wire.send(&stream::summary(&outcome))
            }
            (Err(error), Some(begun)) => {
                let _ = begun.send(Err(refusal(error)));
                ControlFlow::Break(())
            }
            (Err(error), None) => wire.fail(&error),
        };
    }
}

/// The way to the client.
struct Wire {
    lines: mpsc::Sender<Bytes>,
    /// To wait for the client no longer than the backtest may take.
    sender: Runtime,
    until: Instant,
}

impl Wire {
    /// Sends a line; breaks if the client has left, or time is up.
    fn send(&mut self, line: &str) -> ControlFlow<()> {
        let line = Bytes::from(format!("{line}\n"));
        let sent = match self.lines.try_send(line) {
            Ok(()) => Instant::now() < self.until,
            Err(mpsc::error::TrySendError::Closed(_)) => false,
            Err(mpsc::error::TrySendError::Full(line)) => {
                // A timer is made where a runtime is.
                let _entered = self.sender.enter();
                let sending = timeout_at(self.until, self.lines.send(line));
                matches!(self.sender.block_on(sending), Ok(Ok(())))
            }
        };
        if sent { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    /// Says why it ends before its end, if there is somebody to hear it.
    fn fail(&self, error: &StoredError) -> ControlFlow<()> {
        let (code, detail) = match error {
            StoredError::GivenUp if Instant::now() < self.until => return ControlFlow::Break(()),
            StoredError::GivenUp | StoredError::TooLong => (
                "backtest_timeout",
                "it took longer than `http.backtest_timeout_ms` allows".to_owned(),
            ),
            StoredError::TooMany { .. } => ("too_many_readings", error.to_string()),
            StoredError::Store(error) if error.is_transient() || error.is_unavailable() => {
                ("database_away", "the database is away".to_owned())
            }
            StoredError::Rules(_) | StoredError::Store(_) => {
                error!(error = %chain(error), "A backtest could not go on: {}.", chain(error));
                ("internal", "the service's log says why".to_owned())
            }
        };
        let line = stream::failure(code, &sentence(&detail));
        let _ = self.lines.try_send(Bytes::from(format!("{line}\n")));
        ControlFlow::Break(())
    }
}

/// Why it does not begin.
fn refusal(error: StoredError) -> BacktestError {
    match error {
        StoredError::TooMany { .. } => BacktestError::TooMany(sentence(&error.to_string())),
        StoredError::Store(error) if error.is_transient() || error.is_unavailable() => {
            PortError::DatabaseAway.into()
        }
        StoredError::Store(error) => PortError::Failed(error.into()).into(),
        StoredError::Rules(error) => PortError::Failed(error.into()).into(),
        StoredError::GivenUp | StoredError::TooLong => PortError::DatabaseAway.into(),
    }
}

/// As a sentence: `There are …, choose ….`
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|first| first.to_uppercase().collect::<String>());
    let end = if text.ends_with('?') { "" } else { "." };
    format!("{}{}{end}", first.unwrap_or_default(), chars.as_str())
}

/// Gives this thread, and those that it makes, a lower priority than the service's own.
fn give_way() {
    // SAFETY: three numbers; on Linux, 0 is the calling thread. If it fails, it is only not as polite.
    let _ = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS) };
}
