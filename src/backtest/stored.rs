//! A backtest on what is stored: one thread reads, another sorts and judges.

use std::ops::ControlFlow;
use std::time::Duration;

use bellwire_model::{Timestamp, Transition};
use bellwire_store::{Database, Replay, Stretch, Wanted};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use super::rules::PartError;
use super::trial::{Outcome, Rules, Trial};

/// What there is to hear while it runs.
#[derive(Debug)]
pub(crate) enum Said<'a> {
    /// The readings can be had.
    Begun,
    /// A rule that is tried says something.
    Transition(&'a Transition),
    /// So many readings of about so many have been judged, up to this time.
    Progress { n_readings: u64, n_expected: u64, at: Timestamp },
}

/// Why it ended before its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoredError {
    /// There are more readings than it may judge.
    #[error("there are {} readings, at most {} are judged at once: choose a shorter time or one device",
            super::words::thousands(*.found), super::words::thousands(*.limit))]
    TooMany {
        /// So many, or more.
        found: u64,
        /// The limit.
        limit: u64,
    },
    /// It may not take so long.
    #[error("the backtest took too long")]
    TooLong,
    /// Whoever heard it wants no more.
    #[error("the backtest was given up")]
    GivenUp,
    /// The rules are not understood a second time.
    #[error(transparent)]
    Rules(#[from] PartError),
    /// The database.
    #[error(transparent)]
    Store(#[from] bellwire_store::Error),
}

/// What is read and how much of it may be.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// The readings that are wanted, whatever their metric.
    pub(crate) wanted: Wanted,
    /// The most that are judged.
    pub(crate) readings_max: u64,
    /// How long reading may take, if there is a limit.
    pub(crate) time_max: Option<Duration>,
}

/// Tries `rules` on the stored readings. The runtime's thread reads; `hear` is called on another.
///
/// # Errors
/// [`StoredError`].
pub(crate) fn run(
    runtime: &Runtime,
    database: &Database,
    rules: &Rules,
    limits: Limits,
    mut hear: impl FnMut(Said<'_>) -> ControlFlow<()> + Send,
) -> Result<Outcome, StoredError> {
    let Limits { wanted, readings_max, time_max } = limits;
    let rules = &rules.in_order()?;
    // What no rule uses need not be read.
    let metrics = (!rules.needs_every_metric()).then(|| rules.metrics());
    let wanted = Wanted { metrics, ..wanted };
    let replay = runtime.block_on(database.replay(&wanted))?;
    let n_expected = replay.n_expected();
    if n_expected > readings_max {
        return Err(StoredError::TooMany { found: n_expected, limit: readings_max });
    }
    if hear(Said::Begun).is_break() {
        return Err(StoredError::GivenUp);
    }
    let names = std::sync::Arc::clone(replay.names());
    // One stretch is judged while the next waits and a third is read: three of them in memory.
    let (stretches, judged) = mpsc::channel(1);
    std::thread::scope(|scope| {
        let judge = move || judge(judged, rules, &names, (n_expected, readings_max), hear);
        let judge =
            std::thread::Builder::new().name("backtest judge".into()).spawn_scoped(scope, judge);
        let judge = judge.map_err(|_| StoredError::GivenUp)?;
        let read = runtime.block_on(read(replay, stretches, time_max));
        let outcome = judge.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        read?;
        outcome
    })
}

/// Passes on all stretches, until nobody takes them.
async fn read(
    mut replay: Replay,
    stretches: mpsc::Sender<Stretch>,
    time_max: Option<Duration>,
) -> Result<(), StoredError> {
    let reading = async {
        while let Some(stretch) = replay.next().await? {
            if stretches.send(stretch).await.is_err() {
                break;
            }
        }
        Ok(())
    };
    match time_max {
        None => reading.await,
        Some(limit) => {
            tokio::time::timeout(limit, reading).await.unwrap_or(Err(StoredError::TooLong))
        }
    }
}

fn judge(
    mut stretches: mpsc::Receiver<Stretch>,
    rules: &Rules,
    names: &bellwire_model::Names,
    (n_expected, readings_max): (u64, u64),
    mut hear: impl FnMut(Said<'_>) -> ControlFlow<()>,
) -> Result<Outcome, StoredError> {
    let mut trial = Trial::new(rules);
    let mut say = |said: Said<'_>| match hear(said) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(StoredError::GivenUp),
    };
    while let Some(stretch) = stretches.blocking_recv() {
        trial.observe_all(&stretch.in_order(), names, &mut |it| say(Said::Transition(it)))?;
        let n_readings = trial.n_readings();
        if n_readings > readings_max {
            return Err(StoredError::TooMany { found: n_readings, limit: readings_max });
        }
        say(Said::Progress { n_readings, n_expected, at: trial.to() })?;
    }
    trial.finish(names, &mut |it| say(Said::Transition(it)))
}
