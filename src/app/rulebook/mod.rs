//! The rules, as the API changes them and the rules file gives them: one turn at a time.
//!
//! A change is checked with everything else that is there, kept in the data directory, put into the log
//! with all rules as one text, and answered when that is durable. The log alone says what is judged; what
//! is kept says what the next start puts into it. So a crash between the two loses nothing: the start
//! makes the log as the file of rules says.

mod plan;
mod show;
#[cfg(test)]
mod tests;
mod trial;
mod tried;

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use anyhow::Context;
use bellwire_alerts::{RuleSet, Word, read_one};
use bellwire_api::Hub;
use bellwire_api::ports::{
    ChangedBy, ChangedRule, Known, NewRule, PortError, RuleCheck, RuleDeed, RuleDetail, RuleInfo,
    RuleTests, RuleTestsOutcome, RuleTrial, RuleVersion, RuleWord, RuleWords, Rules, RulesError,
    RulesFuture,
};
use bellwire_ingest::log::{Entry, Log};
use bellwire_ingest::present::SharedPresent;
use bellwire_model::{Clock, DeviceId, RuleName, SharedNames, SharedRegistry};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::task::JoinError;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::durably;
use super::rules::PreparedRules;
use crate::rulebook::effective::{Aside, Effective, FileRules, compose, others};
use crate::rulebook::file::{HistoryFile, Opened};
use plan::{Intent, Now, Plan};
use show::Shown;

/// How long a client waits: for its turn, and for the log to take the rules.
const PATIENCE: Duration = Duration::from_secs(10);

/// The rules of the file and those that are kept, before there is a log for them.
#[derive(Debug)]
pub(super) struct Beginning {
    file: HistoryFile,
    shown: Shown,
}

/// Whom the rules concern.
#[derive(Clone, Debug)]
pub(super) struct Concerned {
    pub(super) names: SharedNames,
    pub(super) present: SharedPresent,
    pub(super) registry: SharedRegistry,
    pub(super) hub: Arc<Hub>,
}

/// The rules.
#[derive(Clone, Debug)]
pub(super) struct Rulebook(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Whoever has it changes the rules.
    turn: Arc<Mutex<HistoryFile>>,
    shown: RwLock<Shown>,
    prepared: PreparedRules,
    log: Arc<dyn Log>,
    concerned: Concerned,
    clock: Arc<dyn Clock>,
    tracker: TaskTracker,
}

impl Beginning {
    /// Reads what is kept in `data_dir`, and puts it behind the file's rules.
    pub(super) fn open(data_dir: &Path, file: FileRules) -> anyhow::Result<Self> {
        let Opened { file: kept, history, torn_bytes } = HistoryFile::open(data_dir)?;
        if torn_bytes > 0 {
            warn!(
                torn_bytes,
                "The last change of a rule was cut off by a crash, before it was answered: it is gone."
            );
        }
        let effective = compose(&file, &history, None)
            .context("the rules file and the rules made by API do not go together")?;
        warn_of_aside(&effective);
        let others = others(&history, &effective);
        Ok(Self { file: kept, shown: Shown { file, history, effective, others } })
    }

    /// What is to be in force.
    pub(super) fn set(&self) -> Arc<RuleSet> {
        Arc::clone(&self.shown.effective.set)
    }
}

fn warn_of_aside(effective: &Effective) {
    for (rule, aside) in &effective.aside {
        match aside {
            Aside::InFile => warn!(
                %rule,
                "The rule {rule} made by API is set aside: the rules file has one of this name."
            ),
            Aside::NotUnderstood(why) => warn!(
                %rule,
                "The rule {rule} made by API is set aside, it is not understood: {why}."
            ),
        }
    }
}

impl Rulebook {
    pub(super) fn new(
        beginning: Beginning,
        prepared: PreparedRules,
        log: Arc<dyn Log>,
        concerned: Concerned,
        (clock, tracker): (Arc<dyn Clock>, TaskTracker),
    ) -> Self {
        let Beginning { file, shown } = beginning;
        let (turn, shown) = (Arc::new(Mutex::new(file)), RwLock::new(shown));
        Self(Arc::new(Inner { turn, shown, prepared, log, concerned, clock, tracker }))
    }

    /// Takes what a rules file has now. How many rules are in force then.
    ///
    /// # Errors
    /// If they do not go together with those made by API, or the log has ended; those in force stay.
    pub(super) async fn take_file(&self, file: FileRules) -> anyhow::Result<usize> {
        let inner = Arc::clone(&self.0);
        let turn = Arc::clone(&inner.turn).lock_owned().await;
        let composing = Arc::clone(&inner);
        let (file, effective, others) = tokio::task::spawn_blocking(move || {
            let shown = composing.read();
            let effective = compose(&file, &shown.history, None)?;
            let others = others(&shown.history, &effective);
            anyhow::Ok((file, effective, others))
        })
        .await??;
        inner.put_in_force(&effective.set).await?;
        let n_rules = effective.set.rules().len();
        let mut shown = inner.write();
        if effective.aside != shown.effective.aside {
            warn_of_aside(&effective);
        }
        (shown.file, shown.effective, shown.others) = (file, effective, others);
        drop((shown, turn));
        Ok(n_rules)
    }

    /// Begins a change when it is its turn; it goes on if nobody waits for it any more.
    async fn change(&self, intent: Intent, by: ChangedBy) -> Result<ChangedRule, RulesError> {
        let inner = Arc::clone(&self.0);
        let turn = Arc::clone(&inner.turn).lock_owned();
        let turn = tokio::time::timeout(PATIENCE, turn).await.map_err(|_| RulesError::Busy)?;
        let changing = self.0.tracker.spawn(async move { inner.make(turn, intent, by).await });
        match tokio::time::timeout(PATIENCE, changing).await {
            Ok(changed) => changed.map_err(|error| PortError::Failed(error.into()))?,
            Err(_) => Err(RulesError::Waiting),
        }
    }
}

impl Inner {
    fn read(&self) -> RwLockReadGuard<'_, Shown> {
        self.shown.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Shown> {
        self.shown.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a change, puts it into force, and shows it: whoever sees it may count on it.
    async fn make(
        self: Arc<Self>,
        turn: OwnedMutexGuard<HistoryFile>,
        intent: Intent,
        by: ChangedBy,
    ) -> Result<ChangedRule, RulesError> {
        let inner = Arc::clone(&self);
        let keeping = tokio::task::spawn_blocking(move || {
            let mut turn = turn;
            let kept = inner.keep(&mut turn, &intent, &by);
            (turn, kept)
        });
        let failed = |error: JoinError| PortError::Failed(error.into());
        let (turn, kept) = keeping.await.map_err(failed)?;
        let (name, plan) = kept?;
        // Nobody else changes it while it is our turn.
        let before = self.read().rule(&name);
        let Some(plan) = plan else { return Ok(ChangedRule { after: before.clone(), before }) };
        let is_same = plan.effective.set.text() == self.read().effective.set.text();
        let logged = if is_same { Ok(()) } else { self.put_in_force(&plan.effective.set).await };
        let showing = tokio::task::spawn_blocking(move || {
            let mut turn = turn;
            self.show(&mut turn, &name, plan);
            self.read().rule(&name)
        });
        let shown = showing.await.map_err(failed)?;
        logged.map_err(|_| RulesError::Stopping)?;
        Ok(ChangedRule { before, after: shown })
    }

    /// Makes a change durable: whose, and what is to come into force; no plan where it is so already.
    fn keep(
        &self,
        file: &mut HistoryFile,
        intent: &Intent,
        by: &ChangedBy,
    ) -> Result<(RuleName, Option<Plan>), RulesError> {
        let (name, plan) = {
            let shown = self.read();
            let now = Now { file: &shown.file, history: &shown.history };
            plan::plan(now, intent, by, self.clock.now())?
        };
        if let Some(Plan { version, text, .. }) = &plan {
            let kept = file.append(&name, version, *text);
            kept.map_err(|error| PortError::Failed(error.into()))?;
            info!(
                rule = %name,
                version = version.number,
                author = &*version.author,
                "By API: {} of the rule {name}.",
                version.deed.label()
            );
        }
        Ok((name, plan))
    }

    /// Shows a change that is kept, and writes the file anew if much of it is past.
    fn show(&self, file: &mut HistoryFile, name: &RuleName, plan: Plan) {
        let Plan { version, effective, .. } = plan;
        let other = match effective.set.rule(name.as_str()) {
            Some(_) => None,
            None => version.toml.as_deref().and_then(|toml| read_one(toml).ok()),
        };
        let mut shown = self.write();
        let n_gone = shown.history.push(name, version);
        match other {
            Some(rule) => shown.others.insert(name.clone(), rule),
            None => shown.others.remove(name),
        };
        shown.effective = effective;
        drop(shown);
        // Nobody else writes while it is our turn.
        if let Err(error) = file.tidy(&self.read().history, n_gone) {
            warn!(error = &error as &dyn std::error::Error, "The rules' history stays long.");
        }
    }

    /// Puts the rules into the log; returns when they are durable there.
    async fn put_in_force(&self, set: &Arc<RuleSet>) -> anyhow::Result<()> {
        self.prepared.store(Some(Arc::clone(set)));
        durably::append(&self.log, Entry::rules(set.text())?).await
    }

    fn devices(&self) -> Vec<DeviceId> {
        let names = self.concerned.names.read();
        self.concerned
            .present
            .with(|present| present.devices().map(|(key, _)| names.device(key).clone()).collect())
    }
}

impl Rules for Rulebook {
    fn list(&self) -> Vec<RuleInfo> {
        self.0.read().list()
    }

    fn rule(&self, name: &RuleName) -> Option<RuleDetail> {
        self.0.read().rule(name)
    }

    fn versions(&self, name: &RuleName) -> Option<Vec<RuleVersion>> {
        self.0.read().versions(name)
    }

    fn words(&self) -> RuleWords {
        let all = |words: &[Word]| {
            words
                .iter()
                .map(|&Word { name, usage, gives }| RuleWord { name, usage, gives })
                .collect()
        };
        let words = bellwire_alerts::words();
        RuleWords {
            functions: all(&words.functions),
            aggregates: all(&words.aggregates),
            keys: all(&words.keys),
            keywords: words.keywords,
        }
    }

    fn create(&self, new: NewRule, by: ChangedBy) -> RulesFuture<'_, RuleDetail> {
        Box::pin(async move {
            let made = self.change(Intent::Create(new), by).await?;
            // Only if it was deleted again before this answer.
            made.after.ok_or_else(|| PortError::Failed("the rule is gone already".into()).into())
        })
    }

    fn change(
        &self,
        name: RuleName,
        deed: RuleDeed,
        known: Known,
        by: ChangedBy,
    ) -> RulesFuture<'_, ChangedRule> {
        Box::pin(Self::change(self, Intent::Change(name, deed, known), by))
    }

    fn check(&self, trial: RuleTrial) -> RulesFuture<'_, RuleCheck> {
        let inner = Arc::clone(&self.0);
        Box::pin(async move {
            let trying = self.0.tracker.spawn_blocking(move || {
                let alerts = inner.concerned.hub.open_alerts().unwrap_or_default();
                let devices = inner.devices();
                // A copy: judge waits for the other.
                let registry = inner.concerned.registry.read().clone();
                trial::run(&inner.read(), trial, (&devices, &registry), &alerts)
            });
            trying.await.map_err(|error| PortError::Failed(error.into()))?
        })
    }

    fn test(&self, tests: RuleTests) -> RulesFuture<'_, RuleTestsOutcome> {
        Box::pin(async move {
            let trying = self.0.tracker.spawn_blocking(move || tried::run(&tests));
            trying.await.map_err(|error| PortError::Failed(error.into()))?
        })
    }
}
