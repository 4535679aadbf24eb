//! What a verdict does to an alert, and what stands between a condition and its verdict: missing
//! data, hours, flapping.

use std::sync::Arc;
use std::time::Duration;

use bellwire_model::{AlertState, Timestamp, Value};

use super::climb::Climb;
use super::episode::{Desk, Subject};
use super::flap::Turn;
use super::machine::{Edge, Phase, Why};
use super::plan::Plan;
use super::state::{Hours, State, Surroundings};
use crate::lang::explain::Condition;
use crate::lang::program::{Stack, Verdict, View};
use crate::rules::rule::{InputKind, NoData, Rule};

impl State {
    /// Does what `when` asks for.
    pub(super) fn apply(
        &mut self,
        position: usize,
        when: Verdict,
        Surroundings { plan, rule, who }: Surroundings<'_>,
        stack: &mut Stack,
        desk: &mut Desk<'_>,
    ) {
        let at = self.now;
        if when == Verdict::True && rule.levels.is_empty() && self.is_firing(position) {
            return;
        }
        let taken = self.episodes[position].take();
        let subject = Subject { rule, who, view: plan.view(position, self) };
        let Some(mut episode) = taken else {
            if when == Verdict::True {
                let phase = Phase::begin(&rule.timing, at);
                let mut climb = Climb::default();
                climb_by(&mut climb, subject, at, stack);
                let why = self.why_open(position, plan);
                let subject = Subject { rule, who, view: plan.view(position, self) };
                self.episodes[position] = Some(desk.open(subject, phase, climb, at, why));
                self.n_open += 1;
                self.is_due_known = false;
            }
            return;
        };
        let own = Arc::make_mut(&mut episode);
        let level = match when {
            Verdict::True => climb_by(&mut own.climb, subject, at, stack),
            _ => None,
        };
        let view = subject.view;
        let cleared = || match &rule.clear {
            Some(clear) => clear.verdict(view, stack) == Verdict::True,
            None => when == Verdict::False,
        };
        let before = own.phase.due(&rule.timing);
        let edge = own.phase.judge(&rule.timing, at, (when, self.by), cleared).or_else(|| {
            let is_firing = own.phase == Phase::Firing;
            let changed = level.filter(|_| is_firing);
            changed.map(|at| Edge { to: AlertState::Firing, at, why: Why::Level })
        });
        if let Some(edge) = edge {
            desk.step(subject, own, edge);
        }
        let is_same = edge.is_none() && own.phase.due(&rule.timing) == before;
        if is_same && rule.levels.is_empty() {
            self.episodes[position] = Some(episode);
        } else {
            self.put_back(position, episode);
        }
    }

    fn is_firing(&self, position: usize) -> bool {
        self.episodes[position].as_ref().is_some_and(|episode| episode.phase == Phase::Firing)
    }

    /// Why an alert begins.
    fn why_open(&self, position: usize, plan: &Plan) -> Why {
        let place = plan.flapping.binary_search_by_key(&position, |it| *it as usize);
        match place {
            Ok(place) if self.flaps[place].is_flapping => Why::Flapping,
            _ => Why::Began,
        }
    }

    /// When the latest reading came that the rule needs.
    fn last_seen(&self, position: usize, rule: &Rule, plan: &Plan) -> Timestamp {
        let slots = plan.slots_of(position).iter().take(rule.n_judged);
        let seen = slots.map(|slot| self.seen[*slot as usize]);
        seen.max().unwrap_or(self.now)
    }

    /// Whether the readings that the rule needs have stopped coming, and it does something then.
    pub(super) fn has_lost_data(&self, position: usize, rule: &Rule, plan: &Plan) -> bool {
        let after = rule.no_data.after();
        if rule.group.is_some() {
            return after.is_some_and(|after| self.is_group_silent(position, rule, plan, after));
        }
        after.is_some_and(|after| self.now.since(self.last_seen(position, rule, plan)) >= after)
    }

    /// Whether no member of the group that is judged has said anything for so long.
    fn is_group_silent(&self, position: usize, rule: &Rule, plan: &Plan, after: Duration) -> bool {
        let (parts, heard) = plan.slots_of(position).split_at(rule.n_judged);
        let value = |slot: &u32| self.values[*slot as usize].as_ref();
        let heard = heard.first().and_then(value).and_then(Value::number);
        #[expect(clippy::cast_possible_truncation, reason = "a second since 1970")]
        let heard = heard.map(|second| Timestamp::from_secs(second as i64));
        let is_over = heard.is_some_and(|heard| self.now.since(heard) >= after);
        is_over && parts.iter().all(|part| value(part).is_none())
    }

    /// Does what the rule says about missing data.
    pub(super) fn lose(
        &mut self,
        position: usize,
        surroundings: Surroundings<'_>,
        desk: &mut Desk<'_>,
    ) {
        let to = match surroundings.rule.no_data {
            NoData::Keep => return,
            NoData::Alert(_) => AlertState::NoData,
            NoData::Resolve(_) => AlertState::Resolved,
        };
        self.blind(position, Edge { to, at: self.now, why: Why::NoData }, surroundings, desk);
    }

    /// Of which of the rule's inputs the present value cannot be judged, if the rule says that.
    pub(super) fn unsuitable(&self, position: usize, rule: &Rule, plan: &Plan) -> Option<u16> {
        let view = plan.view(position, self);
        let mut kinds = (0_u16..).zip(&rule.kinds);
        let found = kinds.find(|(input, kind)| {
            matches!(
                (kind, view.value(*input)),
                (InputKind::Number, Some(Value::Text(_)))
                    | (InputKind::Text, Some(Value::Number(_)))
            )
        });
        found.map(|(input, _)| input)
    }

    /// The rule cannot be judged by this input's value.
    #[cold]
    pub(super) fn fail(
        &mut self,
        position: usize,
        input: u16,
        surroundings: Surroundings<'_>,
        desk: &mut Desk<'_>,
    ) {
        let edge = Edge { to: AlertState::Error, at: self.now, why: Why::Unsuitable(input) };
        self.blind(position, edge, surroundings, desk);
    }

    /// Nothing is known of the condition: begins an alert that says so, or has one say so.
    fn blind(
        &mut self,
        position: usize,
        mut edge: Edge,
        Surroundings { plan, rule, who }: Surroundings<'_>,
        desk: &mut Desk<'_>,
    ) {
        let taken = self.episodes[position].take();
        let subject = Subject { rule, who, view: plan.view(position, self) };
        let Some(mut episode) = taken else {
            let phase = match edge.to {
                AlertState::NoData => Phase::NoData,
                AlertState::Error => Phase::Error,
                _ => return,
            };
            let opened = desk.open(subject, phase, Climb::default(), edge.at, edge.why);
            self.episodes[position] = Some(opened);
            self.n_open += 1;
            self.is_due_known = false;
            return;
        };
        if episode.phase.state() == edge.to {
            self.episodes[position] = Some(episode);
            return;
        }
        if edge.to == AlertState::Resolved && matches!(episode.phase, Phase::Pending { .. }) {
            edge.to = AlertState::Inactive;
        }
        let own = Arc::make_mut(&mut episode);
        own.phase.enter(edge);
        desk.step(subject, own, edge);
        self.put_back(position, episode);
    }

    /// Outside of its hours a rule does not hold; and what was read long ago says nothing when they
    /// begin.
    pub(super) fn within_hours(
        &mut self,
        position: usize,
        rule: &Rule,
        plan: &Plan,
        when: Verdict,
    ) -> Verdict {
        let Some(schedule) = &rule.schedule else { return when };
        let Ok(place) = plan.scheduled.binary_search_by_key(&position, |it| *it as usize) else {
            return when;
        };
        if self.now.as_micros() >= self.hours[place].until {
            self.hours[place] = Hours::of(schedule.stretch(self.now));
        }
        let silence = self.now.since(self.last_seen(position, rule, plan));
        match self.hours[place].is_active {
            false => Verdict::False,
            true if silence > rule.timing.max_gap => Verdict::Unknown,
            true => when,
        }
    }

    /// While a rule flaps, it is taken to hold.
    pub(super) fn unless_flapping(
        &mut self,
        position: usize,
        rule: &Rule,
        plan: &Plan,
        when: Verdict,
    ) -> Verdict {
        let Some(bounds) = rule.flapping else { return when };
        let place = plan.flapping.binary_search_by_key(&position, |it| *it as usize);
        let Some(flap) = place.ok().map(|place| &mut self.flaps[place]) else { return when };
        let turn = flap.note(when, bounds);
        if turn == Some(Turn::Began)
            && let Some(episode) = &mut self.episodes[position]
        {
            Arc::make_mut(episode).note =
                Some(format!("it flaps: {:.0} % of its verdicts changed", flap.share() * 100.0));
        }
        match when {
            Verdict::True | Verdict::False if flap.is_flapping => Verdict::True,
            _ => when,
        }
    }
}

/// Takes what the present values say of the levels above the first.
fn climb_by(
    climb: &mut Climb,
    Subject { rule, view, .. }: Subject<'_>,
    at: Timestamp,
    stack: &mut Stack,
) -> Option<Timestamp> {
    if rule.levels.is_empty() {
        return None;
    }
    let verdicts: Vec<Verdict> =
        rule.levels.iter().map(|level| level.when.verdict(view, stack)).collect();
    climb.judge(&rule.timing, at, verdicts.into_iter(), |level| {
        let clear = rule.levels.get(level - 1).and_then(|level| level.clear.as_ref());
        clear.is_none_or(|clear| is_true(clear, view, stack))
    })
}

fn is_true(condition: &Condition, view: View<'_>, stack: &mut Stack) -> bool {
    condition.verdict(view, stack) == Verdict::True
}
