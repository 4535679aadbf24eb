//! Other rules: which alerts go on, and which are closed.
//!
//! | what became of the rule | its alerts |
//! |---|---|
//! | unchanged, or other durations | go on; `for` and `keep_firing_for` count from where they did |
//! | other severity or summary | go on; a transition within their state says so |
//! | other condition, parameter or metric, and it holds by the last values | firing ones go on as firing, recovering ones fire again, pending ones hold anew; a transition says so |
//! | other condition, and it does not hold or is unknown | closed: firing and recovering ones resolve, pending ones end |
//! | gone, or no longer for the device or group | closed |
//!
//! A renamed rule is another rule. Values of metrics that both sets use are kept, and windows of them;
//! new windows begin empty. No alert begins here: the next reading decides. Readings from before the
//! change that come after it are too late to be judged.

use std::sync::Arc;

use bellwire_model::{AlertState, DeviceKey, LogPosition, Names, Timestamp, Transition};
use hashbrown::HashMap;

use super::climb::Climb;
use super::clock::Pace;
use super::device::Device;
use super::episode::{Cause, Desk, Episode, Subject, Who};
use super::machine::Phase;
use super::plan::{Plan, Plans};
use super::state::State;
use super::{Engine, Slot, presence, set_timer};
use crate::lang::program::{Stack, Verdict};
use crate::rules::RuleSet;
use crate::rules::rule::Rule;

impl Engine {
    /// Replaces the rules; `received_at` and `position` are those of the record that says so. The
    /// module's table says what becomes of alerts; each change pushes a transition to `out`.
    /// Takes time in proportion to all devices seen.
    pub fn set_rules(
        &mut self,
        rules: Arc<RuleSet>,
        received_at: Timestamp,
        position: LogPosition,
        names: &Names,
        out: &mut Vec<Transition>,
    ) {
        self.now = self.now.max(received_at);
        let old_rules = std::mem::replace(&mut self.rules, rules);
        let old_plans = std::mem::take(&mut self.plans);
        self.timers.clear();
        let Self {
            rules,
            plans,
            devices,
            timers,
            groups,
            presences,
            registry,
            ordinals,
            stats,
            stack,
            ..
        } = self;
        let cause = Cause { position, received_at, pace: Pace::Live };
        let mut desk = Desk { set: rules, registry, cause, ordinals, stats, out };
        let mut translation = vec![None; old_rules.inputs().len()];
        for (name, input) in old_rules.inputs() {
            translation[input as usize] = rules.input_id(name.as_str());
        }
        let mut keys: Vec<_> = (0..).map(DeviceKey).take(devices.len()).collect();
        keys.sort_unstable_by_key(|key| names.device(*key));
        for key in keys {
            let slot = &mut devices[key.index()];
            let Slot::Watched(old) = std::mem::take(slot) else { continue };
            let id = names.device(key);
            let plan_id = plans.plan_for(id, desk.set, desk.registry);
            let change = Change {
                old_rules: &old_rules,
                old_plan: old_plans.at(old.plan),
                translation: &translation,
                who: Who::Device(id),
                at: old.clock.event_time(received_at),
                what: What::Rules,
            };
            *slot = match change.apply(plan_id, *old, plans, stack, &mut desk) {
                None => Slot::Unwatched,
                Some(mut device) => {
                    let plan = plans.at(device.plan);
                    let known = presences.slotted(key, plan, desk.set);
                    presence::fill(&mut device.live, known, change.at);
                    device.live.reschedule(plans.at(device.plan), desk.set);
                    device.settle();
                    set_timer(timers, key, &mut device);
                    Slot::Watched(Box::new(device))
                }
            };
        }
        let old = Before { rules: &old_rules, plans: &old_plans };
        groups.change(&old, received_at, plans, stack, &mut desk);
    }
}

/// The rules before.
pub(super) struct Before<'a> {
    pub(super) rules: &'a RuleSet,
    pub(super) plans: &'a Plans,
}

/// What was changed.
#[derive(Clone, Copy, Debug)]
pub(super) enum What {
    Rules,
    Labels,
}

/// The change of rules for one device or group.
pub(super) struct Change<'a> {
    pub(super) old_rules: &'a RuleSet,
    pub(super) old_plan: &'a Plan,
    /// For each input of the old set, the new set's input for the same metric.
    pub(super) translation: &'a [Option<u32>],
    pub(super) who: Who<'a>,
    pub(super) at: Timestamp,
    pub(super) what: What,
}

impl Change<'_> {
    /// The device under the new rules, if any is for it.
    pub(super) fn apply(
        &self,
        plan_id: Option<u32>,
        old: Device,
        plans: &Plans,
        stack: &mut Stack,
        desk: &mut Desk<'_>,
    ) -> Option<Device> {
        let mut device = plan_id.map(|id| Device::new(id, plans.at(id), old.clock));
        let plan = plan_id.map(|id| plans.at(id));
        if let (Some(device), Some(plan)) = (&mut device, plan) {
            self.carry_values(&old, &mut device.live, plan);
            self.carry_windows(&old, &mut device.live, plan);
        }
        self.carry_all(old.live, device.as_mut().zip(plan), stack, desk);
        device
    }

    /// Carries the alerts over to the new device, if there is one, or closes them.
    pub(super) fn carry_all(
        &self,
        mut old_state: State,
        mut new: Option<(&mut Device, &Plan)>,
        stack: &mut Stack,
        desk: &mut Desk<'_>,
    ) {
        let episodes = std::mem::take(&mut old_state.episodes);
        for (old_position, episode) in episodes.into_iter().enumerate() {
            let Some(mut episode) = episode else { continue };
            let old_rule = self.old_rules.at(self.old_plan.rules[old_position]);
            let new_index = desk.set.index_of(old_rule.name.as_str());
            let place = new_index.zip(new.as_mut()).and_then(|(index, (device, plan))| {
                Some((plan.position_of(index, desk.set)?, device, *plan))
            });
            let Some((position, device, plan)) = place else {
                let reason = match (new_index, self.who) {
                    (None, _) => "the rule was deleted or disabled",
                    (_, Who::Device(_)) => "the rule is no longer for this device",
                    (_, Who::Group(_)) => "the rule is no longer for this group",
                };
                let view = self.old_plan.view(old_position, &old_state);
                let subject = Subject { rule: old_rule, who: self.who, view };
                close(desk, subject, Arc::make_mut(&mut episode), self.at, reason.to_owned());
                continue;
            };
            let rule = desk.set.at(plan.rules[position]);
            let view = plan.view(position, &device.live);
            let subject = Subject { rule, who: self.who, view };
            if self.carry(old_rule, subject, Arc::make_mut(&mut episode), stack, desk) {
                device.live.episodes[position] = Some(episode);
                device.live.n_open += 1;
            }
        }
    }

    /// Where the new plan has the metric of the old plan's `slot`.
    fn slot(&self, slot: usize, plan: &Plan) -> Option<u32> {
        let input = self.old_plan.inputs[slot];
        self.translation[input as usize].and_then(|input| plan.slot(input))
    }

    fn carry_values(&self, old: &Device, state: &mut State, plan: &Plan) {
        state.set_time_of(&old.live);
        for (old_slot, value) in old.live.values.iter().enumerate() {
            if let Some(slot) = self.slot(old_slot, plan) {
                state.values[slot as usize].clone_from(value);
                state.seen[slot as usize] = old.live.seen[old_slot];
            }
        }
    }

    /// Windows that both rules have go on; others begin empty.
    fn carry_windows(&self, old: &Device, state: &mut State, plan: &Plan) {
        if old.live.windows.is_empty() || plan.windows.is_empty() {
            return;
        }
        let new: HashMap<_, _> =
            plan.windows.iter().enumerate().map(|(index, window)| (*window, index)).collect();
        for ((old_slot, span), series) in self.old_plan.windows.iter().zip(&old.live.windows) {
            let slot = self.slot(*old_slot as usize, plan);
            if let Some(index) = slot.and_then(|slot| new.get(&(slot, *span))) {
                state.windows[*index].clone_from(series);
            }
        }
    }

    /// Whether the episode goes on under the new rule.
    fn carry(
        &self,
        old_rule: &Rule,
        subject: Subject<'_>,
        episode: &mut Episode,
        stack: &mut Stack,
        desk: &mut Desk<'_>,
    ) -> bool {
        let rule = subject.rule;
        if !old_rule.decides_like(rule) {
            let was_changed = match self.what {
                What::Rules => "the rule was changed",
                What::Labels => "the rule was changed for this device by its labels",
            };
            let facts = rule.when.explain(subject.view);
            if rule.when.verdict(subject.view, stack) != Verdict::True {
                let facts =
                    if facts.is_empty() { "its condition is unknown".into() } else { facts };
                let reason = format!("{was_changed}: {facts}");
                close(desk, subject, episode, self.at, reason);
                return false;
            }
            match episode.phase {
                Phase::Pending { .. } => {
                    episode.phase.restart(self.at);
                    episode.alert.since = self.at;
                }
                Phase::Firing | Phase::Recovering { .. } | Phase::NoData | Phase::Error => {
                    episode.phase = Phase::Firing;
                }
            }
            episode.climb = Climb::default();
            let to = episode.phase.state();
            let reason = format!("{was_changed} and still holds: {facts}");
            desk.write(subject, episode, to, self.at, reason);
        } else if old_rule.severity != rule.severity || old_rule.summary != rule.summary {
            let reason = if old_rule.severity == rule.severity {
                "the rule's summary was changed".to_owned()
            } else {
                let (was, is) = (old_rule.severity, rule.severity);
                format!("the rule's severity was {was} and is now {is}")
            };
            let to = episode.phase.state();
            desk.write(subject, episode, to, self.at, reason);
        }
        true
    }
}

fn close(
    desk: &mut Desk<'_>,
    subject: Subject<'_>,
    episode: &mut Episode,
    at: Timestamp,
    reason: String,
) {
    let to = match episode.phase {
        Phase::Pending { .. } => AlertState::Inactive,
        Phase::Firing | Phase::Recovering { .. } | Phase::NoData | Phase::Error => {
            AlertState::Resolved
        }
    };
    desk.write(subject, episode, to, at, reason);
}
