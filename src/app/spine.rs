//! The spine: the log, and *judge* and *keep* behind it, with everything they share.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use arc_swap::ArcSwap;
use bellwire_alerts::RuleSet;
use bellwire_api::{Fleet, Hub};
use bellwire_broker::SharedSessions;
use bellwire_ingest::audit::SharedAudit;
use bellwire_ingest::handoff::Handoff;
use bellwire_ingest::journal::Journal;
use bellwire_ingest::judge::{JudgeConfig, JudgeParts, JudgeThread};
use bellwire_ingest::keep::{Ended, Keep, KeepConfig, KeepParts};
use bellwire_ingest::ledger::SharedLedger;
use bellwire_ingest::log::{Entry, LocalLog, Log, Options};
use bellwire_ingest::metrics::Metrics;
use bellwire_ingest::policy::{SharedTerms, TimePolicy};
use bellwire_ingest::ports::{BatchSink, Opened, SinkError};
use bellwire_ingest::present::SharedPresent;
use bellwire_ingest::repetition::Limits;
use bellwire_ingest::snapshot::Snapshots;
use bellwire_model::{LogPosition, SharedNames, SharedRegistry};
use bellwire_store::Database;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::commands::Bell;
use super::feed::{HubFeed, KnownLabels};
use super::handling::Board;
use super::health::DatabaseState;
use super::rebirth::Asking;
use super::rulebook::Concerned;
use super::rules::{EngineRules, PreparedRules, SharedRules};
use super::seen::{Boot, Seen};
use super::sessions::LoggedSessions;
use super::sink::StoreSink;
use super::traces::Writes;
use super::{Common, DatabaseUnavailable, Stopped, durably, threads};
use crate::runtime;

/// How long a start waits for a database that it could do without: devices and operators wait too.
/// A managed server that was stopped is there in less; one that crashed may take minutes.
const DATABASE_PATIENCE: Duration = Duration::from_secs(3);

/// How often a stopping service looks whether the database is still there.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The most log in one transaction of *keep*: several times what that many readings come in.
const BATCH_BYTES: u64 = 16 << 20;

/// What *keep's* thread gets when everything else is ready; the sink it has already.
type Go = (KeepParts<()>, KeepConfig);

/// Log, *judge*, *keep*, and what they share.
#[derive(Debug)]
pub(super) struct Spine {
    log: Arc<dyn Log>,
    judge: JoinHandle<Option<()>>,
    keep: JoinHandle<Option<Ended>>,
    give_up: CancellationToken,
    shared: Shared,
    judged: watch::Receiver<LogPosition>,
    database_state: Arc<DatabaseState>,
    hub: Arc<Hub>,
}

/// What *judge* and *keep* know together, and the API asks.
#[derive(Clone, Debug)]
struct Shared {
    names: SharedNames,
    present: SharedPresent,
    registry: SharedRegistry,
    ledger: SharedLedger,
    journal: Arc<Journal>,
    handoff: Arc<Handoff>,
    terms: SharedTerms,
    sessions: SharedSessions,
    rules: SharedRules,
    prepared: PreparedRules,
    rebirths: Asking,
    commands: Bell,
    audit: SharedAudit,
    /// Rung when there are new transitions.
    transitions: watch::Sender<()>,
    board: Board,
}

/// *Keep's* thread while it waits for the others.
struct KeepThread {
    thread: JoinHandle<Option<Ended>>,
    go: oneshot::Sender<Go>,
}

impl Spine {
    /// Opens the database, recovers *judge*, and puts the rules into the log. What it has begun is
    /// stopped again if it fails.
    pub(super) async fn start(
        common: &Common,
        (log, database): (Arc<dyn Log>, Arc<Database>),
        heard: (SharedSessions, Asking, Bell),
        rules: &Arc<RuleSet>,
    ) -> anyhow::Result<Self> {
        let snapshots = Snapshots::open(&common.data_dir.join("snapshots"), log.id())?;
        let database_state = Arc::new(DatabaseState::register(&common.registry)?);
        let give_up = CancellationToken::new();
        let seen = Arc::new(Seen::open(&common.data_dir, log.id())?);
        let writes = common.tracer.clone().map(Writes::new);
        let sink = StoreSink::new(database, Arc::clone(&database_state), Arc::clone(&seen), writes);
        let (keep, opened) = start_keep(common, sink, Arc::clone(&log), give_up.clone())?;
        let committed = match first_place(opened, seen.boot()).await? {
            Some(place) => {
                move_beyond(&log, place.position).await?;
                place.ledger_position
            }
            None => {
                if let Some(position) = seen.go_alone(log.durable().end)? {
                    move_beyond(&log, position).await?;
                } else {
                    database_state.not_heard_of();
                }
                snapshots.committed()
            }
        };
        let committed = watch::Sender::new(committed);
        let skew_max = common.config.ingest.time.skew_max();
        let shared = Shared::new(&common.data_dir.join("journal"), skew_max, heard)?;
        shared.prepared.store(Some(Arc::clone(rules)));
        let metrics = Metrics::register(&common.registry)?;
        let hub = new_hub(common, &log, &shared)?;
        let judge = recover(common, &log, &shared, snapshots, &committed, &hub, &metrics)?;
        let judged = judge.judged();
        let judged_from = *judged.borrow();
        let failures = common.failures.clone();
        let judge = threads::spawn("judge", failures, move || Ok(judge.run()?))?;
        let parts = KeepParts {
            log: Arc::clone(&log),
            sink: (),
            names: shared.names.clone(),
            registry: shared.registry.clone(),
            journal: Arc::clone(&shared.journal),
            handoff: Arc::clone(&shared.handoff),
            terms: shared.terms.clone(),
            judged: judged.clone(),
            judged_from,
            committed,
            ledger: shared.ledger.clone(),
            clock: Arc::clone(&common.clock),
            metrics,
        };
        if keep.go.send((parts, keep_config(common))).is_err() {
            anyhow::bail!("keep ended before it began");
        }
        let spine = Self {
            log,
            judge,
            keep: keep.thread,
            give_up,
            shared,
            judged: judged.clone(),
            database_state,
            hub,
        };
        let policy = common.config.ingest.time.policy();
        if let Err(error) = begin_service(&spine.log, policy, rules.text(), judged).await {
            spine.stop(common.config.shutdown_grace()).await;
            return Err(error);
        }
        Ok(spine)
    }

    /// Ends log, *judge* and *keep*, in that order, each when its input has ended. *Keep* is not
    /// waited for while the database is away: operators are blind until the next start.
    pub(super) async fn stop(self, grace: Duration) -> Stopped {
        let log = Arc::clone(&self.log);
        if let Err(error) = tokio::task::spawn_blocking(move || log.close()).await {
            error!(error = &error as &dyn std::error::Error, "The log ended badly.");
        }
        let judged = threads::join("judge", self.judge).await;
        let keep = threads::join("keep", self.keep);
        tokio::pin!(keep);
        let kept = tokio::select! {
            kept = &mut keep => kept,
            () = worth_waiting(&self.database_state, grace) => {
                self.give_up.cancel();
                keep.await
            }
        };
        match (judged, kept) {
            (Some(()), Some(Ended::Drained)) => Stopped::Clean,
            (_, Some(Ended::GaveUp)) => {
                info!("The database is away: what it does not have is in the log.");
                Stopped::Clean
            }
            _ => Stopped::Unclean,
        }
    }

    pub(super) fn log(&self) -> Arc<dyn Log> {
        Arc::clone(&self.log)
    }

    pub(super) fn journal(&self) -> Arc<Journal> {
        Arc::clone(&self.shared.journal)
    }

    pub(super) const fn ledger(&self) -> &SharedLedger {
        &self.shared.ledger
    }

    pub(super) const fn names(&self) -> &SharedNames {
        &self.shared.names
    }

    pub(super) const fn present(&self) -> &SharedPresent {
        &self.shared.present
    }

    /// What decides how publishes are read.
    pub(super) const fn terms(&self) -> &SharedTerms {
        &self.shared.terms
    }

    pub(super) const fn registry(&self) -> &SharedRegistry {
        &self.shared.registry
    }

    pub(super) fn prepared(&self) -> PreparedRules {
        Arc::clone(&self.shared.prepared)
    }

    /// What is known of devices and alerts.
    pub(super) fn concerned(&self) -> Concerned {
        let Shared { names, present, registry, .. } = &self.shared;
        let (names, present, registry) = (names.clone(), present.clone(), registry.clone());
        Concerned { names, present, registry, hub: self.hub() }
    }

    pub(super) fn rules(&self) -> SharedRules {
        Arc::clone(&self.shared.rules)
    }

    pub(super) fn database_state(&self) -> Arc<DatabaseState> {
        Arc::clone(&self.database_state)
    }

    /// Where changes of commands are told.
    pub(super) const fn commands(&self) -> &Bell {
        &self.shared.commands
    }

    /// What people did last.
    pub(super) const fn audit(&self) -> &SharedAudit {
        &self.shared.audit
    }

    /// Rings when there are new transitions.
    pub(super) fn transitions(&self) -> watch::Receiver<()> {
        self.shared.transitions.subscribe()
    }

    /// Where *judge* says what comes of operators' actions.
    pub(super) fn board(&self) -> Board {
        self.shared.board.clone()
    }

    /// How far *judge* is.
    pub(super) fn judged(&self) -> watch::Receiver<LogPosition> {
        self.judged.clone()
    }

    pub(super) fn hub(&self) -> Arc<Hub> {
        Arc::clone(&self.hub)
    }
}

/// Waits until there is nothing to wait for: `grace` is over, or the database is away.
async fn worth_waiting(database: &DatabaseState, grace: Duration) {
    let looking = async {
        let mut pulse = tokio::time::interval(LOOK_EVERY);
        while !database.is_away() {
            pulse.tick().await;
        }
    };
    // Either will do.
    let _ = tokio::time::timeout(grace, looking).await;
}

impl Shared {
    fn new(
        journal_dir: &Path,
        skew_max: Duration,
        (sessions, rebirths, commands): (SharedSessions, Asking, Bell),
    ) -> anyhow::Result<Self> {
        let journal = Journal::create(journal_dir)
            .with_context(|| format!("cannot use the folder {}", journal_dir.display()))?;
        Ok(Self {
            names: SharedNames::default(),
            present: SharedPresent::with_skew_max(skew_max),
            registry: SharedRegistry::default(),
            ledger: SharedLedger::default(),
            journal: Arc::new(journal),
            handoff: Arc::new(Handoff::default()),
            terms: SharedTerms::default(),
            sessions,
            rules: Arc::new(ArcSwap::from_pointee(RuleSet::default())),
            prepared: PreparedRules::default(),
            rebirths,
            commands,
            audit: SharedAudit::default(),
            transitions: watch::Sender::new(()),
            board: Board::default(),
        })
    }
}

/// Opens the log: from then on no other process can.
pub(super) async fn open_log(common: &Common) -> anyhow::Result<Arc<dyn Log>> {
    let metrics = bellwire_ingest::log::Metrics::register(&common.registry)?;
    // The log has said why.
    let fail_stop = Arc::new(|_: &bellwire_ingest::log::Error| {
        std::process::exit(i32::from(crate::cli::EXIT_FAILURE));
    });
    let dir = common.data_dir.join("log");
    let mut options = Options::new(&dir, Arc::clone(&common.clock), fail_stop, metrics);
    options.config = common.config.log.clone();
    let log = tokio::task::spawn_blocking(move || LocalLog::open(options)).await??;
    Ok(Arc::new(log))
}

/// Where the database stands; `None` if it does not say so soon, and need not.
async fn first_place(
    opened: oneshot::Receiver<Result<Opened, SinkError>>,
    boot: Boot,
) -> anyhow::Result<Option<Opened>> {
    let limit = match boot {
        Boot::First => Duration::MAX,
        Boot::Later => DATABASE_PATIENCE,
    };
    let Ok(opened) = tokio::time::timeout(limit, opened).await else {
        warn!("Starting without the database: it has not answered within {limit:?}.");
        return Ok(None);
    };
    match opened.context("keep ended before it began")? {
        Ok(place) => Ok(Some(place)),
        Err(SinkError::Away(error)) if boot == Boot::Later => {
            warn!(
                error = error.as_ref() as &dyn std::error::Error,
                "Starting without the database."
            );
            Ok(None)
        }
        Err(SinkError::Away(error)) => Err(DatabaseUnavailable(error).into()),
        Err(error) => Err(error.into()),
    }
}

/// The database may be ahead of a data directory that was restored: no position is used twice.
async fn move_beyond(log: &Arc<dyn Log>, position: LogPosition) -> anyhow::Result<()> {
    if position <= log.durable().end {
        return Ok(());
    }
    warn!("The database is at {position}, beyond the log: going on behind that.");
    let log = Arc::clone(log);
    tokio::task::spawn_blocking(move || log.ensure_beyond(position)).await??;
    Ok(())
}

/// Starts *keep's* thread: it opens the database, says where that stands, and waits for the rest.
fn start_keep(
    common: &Common,
    mut sink: StoreSink,
    log: Arc<dyn Log>,
    give_up: CancellationToken,
) -> anyhow::Result<(KeepThread, oneshot::Receiver<Result<Opened, SinkError>>)> {
    let (report, opened) = oneshot::channel();
    let (go, started) = oneshot::channel::<Go>();
    let thread = threads::spawn("keep", common.failures.clone(), move || {
        runtime::single_thread()?.block_on(async move {
            let opening = sink.open(log.id());
            let opening = tokio::select! {
                opening = opening => opening,
                () = give_up.cancelled() => return Ok(Ended::GaveUp),
            };
            let (place, opened) = match opening {
                Ok(opened) => {
                    let (position, ledger_position) = (opened.position, opened.ledger_position);
                    let place = Opened { position, ledger_position, ledger: Vec::new() };
                    (Ok(place), Some(opened))
                }
                Err(error) => (Err(error), None),
            };
            // Whoever waited may have gone on without it.
            let _ = report.send(place);
            match started.await {
                Ok((parts, config)) => {
                    Ok(Keep::new(parts.with_sink(sink), config).run(opened, give_up).await?)
                }
                // The service does not start; whoever stopped it has said why.
                Err(_) => Ok(Ended::GaveUp),
            }
        })
    })?;
    Ok((KeepThread { thread, go }, opened))
}

fn keep_config(common: &Common) -> KeepConfig {
    let section = &common.config.keep;
    KeepConfig {
        flush_interval: Duration::from_millis(section.flush_interval_ms),
        batch_readings: section.batch_readings.max(1),
        batch_bytes: BATCH_BYTES,
        ledger_interval: Duration::from_millis(section.ledger_interval_ms),
        backoff_max: Duration::from_millis(section.backoff_max_ms.max(1)),
    }
}

fn new_hub(common: &Common, log: &Arc<dyn Log>, shared: &Shared) -> anyhow::Result<Arc<Hub>> {
    let metrics = bellwire_api::Metrics::register(&common.registry)?;
    let live = common.config.http.live.clone();
    let labels = KnownLabels::new(Arc::clone(&shared.rules), shared.registry.clone());
    let fleet = Fleet { names: shared.names.clone(), labels: Arc::new(labels) };
    let hub = Hub::new(log.id(), live, fleet, Arc::clone(&common.clock), metrics);
    if let Some(tracer) = &common.tracer {
        hub.tell(Arc::new(tracer.clone()));
    }
    Ok(hub)
}

fn new_feed(hub: &Arc<Hub>, shared: &Shared) -> HubFeed {
    let Shared { rebirths, commands, transitions, .. } = shared;
    HubFeed::new(Arc::clone(hub), rebirths.clone(), commands.clone(), transitions.clone())
}

fn recover(
    common: &Common,
    log: &Arc<dyn Log>,
    shared: &Shared,
    snapshots: Snapshots,
    committed: &watch::Sender<LogPosition>,
    hub: &Arc<Hub>,
    metrics: &Metrics,
) -> anyhow::Result<JudgeThread<EngineRules, HubFeed>> {
    let alert_metrics = bellwire_alerts::Metrics::register(&common.registry)?;
    let parts = JudgeParts {
        log: Arc::clone(log),
        rules: EngineRules::new(
            (Arc::clone(&shared.rules), Arc::clone(&shared.prepared)),
            shared.board.clone(),
            alert_metrics,
        ),
        feed: new_feed(hub, shared),
        names: shared.names.clone(),
        present: shared.present.clone(),
        registry: shared.registry.clone(),
        journal: Arc::clone(&shared.journal),
        handoff: Arc::clone(&shared.handoff),
        terms: shared.terms.clone(),
        sessions: Arc::new(LoggedSessions(shared.sessions.clone())),
        commands: shared.commands.commands().clone(),
        audit: shared.audit.clone(),
        snapshots,
        clock: Arc::clone(&common.clock),
        metrics: metrics.clone(),
    };
    let section = &common.config.judge;
    let config = JudgeConfig {
        snapshot_interval: Duration::from_millis(section.snapshot_interval_ms),
        snapshot_bytes: section.snapshot_bytes.max(1),
        // Half of a full log can always go.
        window: Limits { log_bytes_max: common.config.log.bytes_max / 2, ..Limits::default() },
    };
    Ok(JudgeThread::recover(parts, committed.subscribe(), config)?)
}

/// Puts the start, the policy of times and the rules into the log, and waits until *judge* has come
/// that far.
async fn begin_service(
    log: &Arc<dyn Log>,
    policy: TimePolicy,
    rules_text: &str,
    mut judged: watch::Receiver<LogPosition>,
) -> anyhow::Result<()> {
    log.append(Entry::started(env!("CARGO_PKG_VERSION"))).await;
    log.append(Entry::time_policy(policy)).await;
    durably::append(log, Entry::rules(rules_text)?).await?;
    let end = log.durable().end;
    judged.wait_for(|judged| *judged >= end).await.context("judge ended during recovery")?;
    Ok(())
}
