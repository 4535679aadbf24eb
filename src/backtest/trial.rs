//! One backtest: the rules that are tried, and beside them those that run now, on the same readings.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bellwire_alerts::RuleSet;
use bellwire_alerts::backtest::{Account, Driver, Report, needs_every_metric};
use bellwire_model::{MetricName, Names, Reading, Registry, Timestamp, Transition};

use super::rules::{self, PartError};

/// What is tried.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    /// The rules to be tried.
    pub(crate) tried: Arc<RuleSet>,
    /// What to compare them with.
    pub(crate) running: Option<Arc<RuleSet>>,
    /// What is said of devices beside them, as it is now.
    pub(crate) registry: Registry,
    /// An episode that is shorter than this, or followed by the next within it, is restless.
    pub(crate) flap_within: Duration,
}

impl Rules {
    /// The same for readings that are in order of time, see [`rules::in_order`].
    ///
    /// # Errors
    /// [`PartError`], which would be a fault of ours: the text was understood before.
    pub(crate) fn in_order(&self) -> Result<Self, PartError> {
        let tried = Arc::new(rules::in_order(&self.tried)?);
        let running = self.running.as_ref().map(|set| rules::in_order(set)).transpose()?;
        let (running, registry) = (running.map(Arc::new), self.registry.clone());
        Ok(Self { tried, running, registry, flap_within: self.flap_within })
    }

    /// Whether more than these matter to them.
    pub(crate) fn needs_every_metric(&self) -> bool {
        let mut sets = std::iter::once(&self.tried).chain(&self.running);
        sets.any(|set| needs_every_metric(set))
    }

    /// The metrics that any of them uses.
    pub(crate) fn metrics(&self) -> Vec<MetricName> {
        let sets = std::iter::once(&self.tried).chain(&self.running);
        let rules = sets.flat_map(|set| set.rules());
        let metrics: BTreeSet<_> = rules.flat_map(|rule| rule.metrics()).cloned().collect();
        metrics.into_iter().collect()
    }
}

/// A backtest under way.
#[derive(Debug)]
pub(crate) struct Trial {
    tried: Side,
    running: Option<Side>,
    from: Option<Timestamp>,
    to: Timestamp,
    n_readings: u64,
    /// The transitions of one instant.
    said: Vec<Transition>,
}

/// One of the two sets of rules.
#[derive(Debug)]
struct Side {
    driver: Driver,
    account: Account,
}

/// What a backtest came to.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Of the rules that were tried.
    pub(crate) tried: Report,
    /// Of those that they are compared with.
    pub(crate) running: Option<Report>,
    /// When the first reading was made, and the last; absent if there was none.
    pub(crate) span: Option<(Timestamp, Timestamp)>,
    /// How many readings there were.
    pub(crate) n_readings: u64,
    /// How many instants of a device came after a later one of it, and changed nothing.
    pub(crate) n_late: u64,
}

impl Trial {
    pub(crate) fn new(rules: &Rules) -> Self {
        let side = |set: &Arc<RuleSet>| Side {
            driver: Driver::knowing(Arc::clone(set), rules.registry.clone()),
            account: Account::new(set, rules.flap_within),
        };
        Self {
            tried: side(&rules.tried),
            running: rules.running.as_ref().map(side),
            from: None,
            to: Timestamp::EPOCH,
            n_readings: 0,
            said: Vec::new(),
        }
    }

    /// How many readings it has had.
    pub(crate) const fn n_readings(&self) -> u64 {
        self.n_readings
    }

    /// Up to when they go.
    pub(crate) const fn to(&self) -> Timestamp {
        self.to
    }

    /// Judges readings of one device and one instant, each of another metric. `hear` gets what the
    /// tried rules say.
    ///
    /// # Errors
    /// What `hear` gives.
    pub(crate) fn observe<E>(
        &mut self,
        readings: &[Reading],
        names: &Names,
        hear: &mut impl FnMut(&Transition) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(first) = readings.first() else { return Ok(()) };
        self.from = Some(self.from.map_or(first.at, |from| from.min(first.at)));
        self.to = self.to.max(first.at);
        self.n_readings += readings.len() as u64;
        self.said.clear();
        self.tried.driver.observe(readings, names, &mut self.said);
        hear_all(&mut self.tried.account, &self.said, hear)?;
        if let Some(running) = &mut self.running {
            self.said.clear();
            running.driver.observe(readings, names, &mut self.said);
            self.said.iter().for_each(|transition| running.account.take(transition));
        }
        Ok(())
    }

    /// Judges readings that are in order of time, then device, then metric.
    ///
    /// # Errors
    /// What `hear` gives.
    pub(crate) fn observe_all<E>(
        &mut self,
        readings: &[Reading],
        names: &Names,
        hear: &mut impl FnMut(&Transition) -> Result<(), E>,
    ) -> Result<(), E> {
        // Two readings of one metric at one instant came in two payloads, in an order that is not kept.
        let is_one =
            |a: &Reading, b: &Reading| (a.at, a.device) == (b.at, b.device) && a.metric != b.metric;
        readings.chunk_by(is_one).try_for_each(|readings| self.observe(readings, names, hear))
    }

    /// Ends it where the readings end: what is due up to the last of them still happens.
    ///
    /// # Errors
    /// What `hear` gives.
    pub(crate) fn finish<E>(
        mut self,
        names: &Names,
        hear: &mut impl FnMut(&Transition) -> Result<(), E>,
    ) -> Result<Outcome, E> {
        let (from, to) = (self.from.unwrap_or(self.to), self.to);
        self.said.clear();
        self.tried.driver.pass(to, names, &mut self.said);
        hear_all(&mut self.tried.account, &self.said, hear)?;
        let n_late = self.tried.driver.engine().stats().late;
        let running = self.running.map(|mut running| {
            self.said.clear();
            running.driver.pass(to, names, &mut self.said);
            self.said.iter().for_each(|transition| running.account.take(transition));
            running.account.finish(from, to)
        });
        Ok(Outcome {
            tried: self.tried.account.finish(from, to),
            running,
            span: self.from.map(|from| (from, to)),
            n_readings: self.n_readings,
            n_late,
        })
    }
}

fn hear_all<E>(
    account: &mut Account,
    said: &[Transition],
    hear: &mut impl FnMut(&Transition) -> Result<(), E>,
) -> Result<(), E> {
    for transition in said {
        account.take(transition);
        hear(transition)?;
    }
    Ok(())
}
