//! All that is remembered of one device: its clock, its last values, its alerts.

use std::time::Duration;

use bellwire_model::{DeviceId, Timestamp, Value};

use super::clock::DeviceClock;
use super::episode::{Desk, Episode, Subject};
use super::machine::Edge;
use super::plan::Plan;
use crate::lang::duration;
use crate::lang::program::{Stack, Verdict};
use crate::rules::RuleSet;

/// One device for which there are rules.
#[derive(Debug)]
pub(crate) struct Device {
    /// Which of the rule set's plans is for it.
    pub(crate) plan: u32,
    /// How many of `episodes` there are.
    pub(crate) n_open: u32,
    pub(crate) clock: DeviceClock,
    /// The earliest event time at which an alert changes without a reading.
    pub(crate) due: Timestamp,
    /// When a tick is asked for.
    pub(crate) timer: Option<Timestamp>,
    /// The last value of each of the plan's inputs.
    pub(crate) values: Box<[Option<Value>]>,
    /// The alert of each of the plan's rules, if there is one that is not over.
    pub(crate) episodes: Box<[Option<Box<Episode>>]>,
}

/// Up to which event time something that is due shall happen.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    /// A reading of this instant will be judged: it decides what is due at this very instant.
    Before(Timestamp),
    /// All readings up to this instant are here.
    Through(Timestamp),
}

impl Until {
    fn includes(self, at: Timestamp) -> bool {
        match self {
            Self::Before(end) => at < end,
            Self::Through(end) => at <= end,
        }
    }
}

impl Device {
    pub(crate) fn new(plan_id: u32, plan: &Plan, clock: DeviceClock) -> Self {
        Self {
            plan: plan_id,
            n_open: 0,
            clock,
            due: Timestamp::MAX,
            timer: None,
            values: vec![None; plan.inputs.len()].into(),
            episodes: plan.rules.iter().map(|_| None).collect(),
        }
    }

    /// Lets happen what is due.
    pub(crate) fn expire(&mut self, until: Until, plan: &Plan, id: &DeviceId, desk: &mut Desk<'_>) {
        if !until.includes(self.due) {
            return;
        }
        let mut due: Vec<(Timestamp, usize, Edge)> = Vec::new();
        for (position, episode) in self.episodes.iter().enumerate() {
            let Some(episode) = episode else { continue };
            let timing = &desk.set.at(plan.rules[position]).timing;
            if let Some(edge) = episode.phase.due(timing).filter(|edge| until.includes(edge.at)) {
                due.push((edge.at, position, edge));
            }
        }
        due.sort_unstable_by_key(|(at, position, _)| (*at, *position));
        for (_, position, edge) in due {
            let Some(episode) = &mut self.episodes[position] else { continue };
            episode.phase.enter(edge);
            let rule = desk.set.at(plan.rules[position]);
            let subject = Subject { rule, device: id, view: plan.view(position, &self.values) };
            desk.step(subject, episode, edge);
            if edge.to.is_over() {
                self.episodes[position] = None;
                self.n_open -= 1;
            }
        }
        self.schedule(plan, desk.set);
    }

    /// Judges the rule at `position` of the plan by the present values.
    #[inline]
    pub(crate) fn judge(
        &mut self,
        position: usize,
        plan: &Plan,
        id: &DeviceId,
        stack: &mut Stack,
        desk: &mut Desk<'_>,
    ) {
        let rule = desk.set.at(plan.rules[position]);
        let view = plan.view(position, &self.values);
        let at = self.clock.watermark;
        let when = rule.when.verdict(view, stack);
        let subject = Subject { rule, device: id, view };
        let slot = &mut self.episodes[position];
        let Some(episode) = slot else {
            if when == Verdict::True {
                *slot = Some(desk.open(subject, at));
                self.n_open += 1;
            }
            return;
        };
        let cleared = || match &rule.clear {
            Some(clear) => clear.verdict(view, stack) == Verdict::True,
            None => when == Verdict::False,
        };
        let Some(edge) = episode.phase.judge(&rule.timing, at, when, cleared) else { return };
        desk.step(subject, episode, edge);
        if edge.to.is_over() {
            *slot = None;
            self.n_open -= 1;
        }
    }

    /// The device's clock was set back to the watermark: begins all runs anew.
    pub(crate) fn restart(&mut self, back: Duration) {
        let at = self.clock.watermark;
        for episode in self.episodes.iter_mut().flatten() {
            episode.phase.restart(at);
            if episode.alert.fired_at.is_none() {
                episode.alert.since = at;
            }
            episode.last_at = at;
            episode.note =
                Some(format!("the device's clock stepped back by {}", duration::format(back)));
        }
    }

    /// Works out when something is due next.
    pub(crate) fn schedule(&mut self, plan: &Plan, set: &RuleSet) {
        self.due = Timestamp::MAX;
        if self.n_open == 0 {
            return;
        }
        for (episode, rule) in self.episodes.iter().zip(&plan.rules) {
            let Some(episode) = episode else { continue };
            if let Some(edge) = episode.phase.due(&set.at(*rule).timing) {
                self.due = self.due.min(edge.at);
            }
        }
    }
}
