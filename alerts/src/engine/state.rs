//! All that a device's readings have come to, as of one instant of its event time: a pure function
//! of the readings up to it, in their order.

use std::sync::Arc;
use std::time::Duration;

use bellwire_model::{AlertState, Timestamp, Value};
use serde::{Deserialize, Serialize};

use super::episode::{Desk, Episode, Subject, Who};
use super::flap::Flap;
use super::machine::{By, Edge, Phase, Timing, Why};
use super::plan::Plan;
use super::series::Series;
use super::touched::Touched;
use crate::lang::program::{Stack, Verdict};
use crate::rules::RuleSet;
use crate::rules::rule::Rule;
use crate::rules::schedule::Stretch;

/// A device as of an instant.
#[derive(Clone, Debug)]
pub(crate) struct State {
    /// The event time of the latest reading.
    pub(crate) at: Timestamp,
    /// All that was due up to here has happened.
    pub(crate) done: Timestamp,
    /// The instant that is judged.
    pub(crate) now: Timestamp,
    /// Whether a reading has it judged.
    pub(super) by: By,
    /// The earliest event time at which an alert changes without a reading.
    pub(crate) due: Timestamp,
    /// The part of `due` that alerts have, while `is_due_known`.
    alerts_due: Timestamp,
    pub(super) is_due_known: bool,
    /// How many of `episodes` there are.
    pub(crate) n_open: u32,
    /// The last value of each of the plan's inputs.
    pub(crate) values: Box<[Option<Value>]>,
    /// When each of them was read; when the device was first heard of, where it was not.
    pub(crate) seen: Box<[Timestamp]>,
    /// The plan's windows.
    pub(crate) windows: Box<[Series]>,
    /// The alert of each of the plan's rules, if there is one that is not over.
    pub(crate) episodes: Box<[Option<Arc<Episode>>]>,
    /// What each of the plan's rules that may flap has said lately.
    pub(crate) flaps: Box<[Flap]>,
    /// Whether each of the plan's rules with hours is in force, if that was asked, and until when.
    pub(crate) hours: Box<[Hours]>,
}

/// Whether a rule is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hours {
    pub(super) is_active: bool,
    /// Microseconds; the least value where it was not asked.
    pub(super) until: i64,
}

impl Hours {
    pub(super) const fn of(Stretch { is_active, until }: Stretch) -> Self {
        Self { is_active, until: until.as_micros() }
    }
}

const NEVER_ASKED: Hours = Hours { is_active: false, until: i64::MIN };

/// Up to which event time something that is due shall happen.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    /// A reading of this instant will be judged: it decides what is due at this very instant.
    Before(Timestamp),
    /// All readings up to this instant are here.
    Through(Timestamp),
}

impl Until {
    const fn includes(self, at: Timestamp) -> bool {
        match self {
            Self::Before(end) => at.as_micros() < end.as_micros(),
            Self::Through(end) => at.as_micros() <= end.as_micros(),
        }
    }
}

/// What is due.
#[derive(Clone, Copy, Debug)]
enum Due {
    /// An alert's phase ends by itself.
    Edge(Edge),
    /// A higher level has held for long enough.
    Rise,
    /// Time alone may have changed what a rule says.
    Judge,
}

/// What is judged, beside the state.
#[derive(Clone, Copy, Debug)]
pub(super) struct Surroundings<'a> {
    pub(super) plan: &'a Plan,
    pub(super) rule: &'a Rule,
    pub(super) who: Who<'a>,
}

/// What a state needs of its surroundings to go on.
#[derive(Debug)]
pub(crate) struct Bench<'a, 'd> {
    pub(crate) plan: &'a Plan,
    pub(crate) who: Who<'a>,
    pub(crate) stack: &'a mut Stack,
    pub(crate) touched: &'a mut Touched,
    pub(crate) desk: &'a mut Desk<'d>,
}

/// A value of one of the plan's inputs.
pub(crate) type Reading = (u32, Value);

impl State {
    /// Of a device that has not been heard of.
    pub(crate) fn new(plan: &Plan) -> Self {
        Self {
            at: Timestamp::from_micros(i64::MIN),
            done: Timestamp::from_micros(i64::MIN),
            now: Timestamp::EPOCH,
            by: By::Time,
            due: Timestamp::MAX,
            alerts_due: Timestamp::MAX,
            is_due_known: false,
            n_open: 0,
            values: vec![None; plan.inputs.len()].into(),
            seen: vec![Timestamp::MAX; plan.inputs.len()].into(),
            windows: plan.windows.iter().map(|(_, span)| Series::new(span)).collect(),
            episodes: plan.rules.iter().map(|_| None).collect(),
            flaps: vec![Flap::default(); plan.flapping.len()].into(),
            hours: vec![NEVER_ASKED; plan.scheduled.len()].into(),
        }
    }

    /// Whether the device has been heard of.
    pub(crate) fn is_met(&self) -> bool {
        self.at.as_micros() != i64::MIN
    }

    /// Readings after this can be taken.
    pub(crate) fn end(&self) -> Timestamp {
        self.at.max(self.done)
    }

    /// Takes the readings of one instant, not before any that were taken, and judges.
    pub(crate) fn take(&mut self, at: Timestamp, readings: &[Reading], bench: &mut Bench<'_, '_>) {
        self.expire(Until::Before(at), bench);
        if !self.is_met() {
            self.seen.fill(at);
        }
        (self.at, self.now, self.by) = (at, at, By::Reading);
        bench.touched.clear();
        let plan = bench.plan;
        for (slot, value) in readings {
            let index = *slot as usize;
            for window in plan.fed(*slot) {
                let (window, span) = (*window as usize, &plan.windows[*window as usize].1);
                self.windows[window].advance(span, at);
                self.windows[window].push(span, at, value);
            }
            if is_known(value) {
                self.values[index] = Some(value.clone());
                self.seen[index] = at;
            } else {
                self.values[index] = None;
            }
            bench.touched.add(plan.triggers(*slot));
        }
        for position in bench.touched.iter() {
            self.judge(position, plan, bench.who, bench.stack, bench.desk);
        }
        if self.n_open > 0 || self.due != Timestamp::MAX || plan.is_timed() {
            self.schedule(plan, bench.desk.set);
        }
    }

    /// Lets happen what is due, in the order of time and then of rules.
    pub(crate) fn expire(&mut self, until: Until, bench: &mut Bench<'_, '_>) {
        while until.includes(self.due) {
            let at = self.due;
            (self.now, self.done, self.by) = (at, at, By::Time);
            for (position, due) in self.due_at(at, bench.plan, bench.desk.set) {
                match due {
                    Due::Edge(edge) => self.step(position, edge, bench),
                    Due::Rise => self.rise(position, bench),
                    Due::Judge => {
                        self.judge(position, bench.plan, bench.who, bench.stack, bench.desk);
                    }
                }
            }
            self.schedule(bench.plan, bench.desk.set);
        }
        if let Until::Before(end) = until {
            self.done = self.done.max(end - Duration::from_micros(1));
        }
    }

    /// What is due at `at`, by rule; what an alert does by itself comes before it is judged anew.
    fn due_at(&self, at: Timestamp, plan: &Plan, set: &RuleSet) -> Vec<(usize, Due)> {
        let mut all = Vec::new();
        for (position, episode) in self.episodes.iter().enumerate() {
            let timing = &set.at(plan.rules[position]).timing;
            let edge = episode.as_ref().and_then(|episode| episode.phase.due(timing));
            all.extend(edge.filter(|edge| edge.at == at).map(|it| (position, Due::Edge(it))));
            let rise = episode.as_ref().and_then(|episode| rises_at(episode, timing));
            all.extend(rise.filter(|rise| *rise == at).map(|_| (position, Due::Rise)));
        }
        let silent = plan
            .deadlines
            .iter()
            .filter(|(slot, silence, _)| self.seen[*slot as usize] + *silence == at);
        all.extend(silent.map(|(.., position)| (*position as usize, Due::Judge)));
        let ebbing = plan.ebbing.iter().filter(|(window, _)| self.leaves_at(*window, plan) == at);
        all.extend(ebbing.map(|(_, position)| (*position as usize, Due::Judge)));
        let hours = plan.scheduled.iter().zip(&self.hours);
        let turning = hours.filter(|(_, hours)| hours.until == at.as_micros());
        all.extend(turning.map(|(position, _)| (*position as usize, Due::Judge)));
        all.sort_by_key(|(position, due)| (*position, matches!(due, Due::Judge)));
        all.dedup_by(|b, a| a.0 == b.0 && matches!((a.1, b.1), (Due::Judge, Due::Judge)));
        all
    }

    fn leaves_at(&self, window: u32, plan: &Plan) -> Timestamp {
        let span = &plan.windows[window as usize].1;
        self.windows[window as usize].leaves_at(span).unwrap_or(Timestamp::MAX)
    }

    fn step(&mut self, position: usize, edge: Edge, bench: &mut Bench<'_, '_>) {
        let Some(mut episode) = self.episodes[position].take() else { return };
        let rule = bench.desk.set.at(bench.plan.rules[position]);
        let own = Arc::make_mut(&mut episode);
        own.phase.enter(edge);
        own.climb.rise(&rule.timing, edge.at);
        let subject = Subject { rule, who: bench.who, view: bench.plan.view(position, self) };
        bench.desk.step(subject, own, edge);
        self.put_back(position, episode);
    }

    /// The alert has become worse by lasting.
    fn rise(&mut self, position: usize, bench: &mut Bench<'_, '_>) {
        let Some(mut episode) = self.episodes[position].take() else { return };
        let rule = bench.desk.set.at(bench.plan.rules[position]);
        let own = Arc::make_mut(&mut episode);
        if let Some(at) = own.climb.rise(&rule.timing, self.now) {
            let edge = Edge { to: AlertState::Firing, at, why: Why::Level };
            let subject = Subject { rule, who: bench.who, view: bench.plan.view(position, self) };
            bench.desk.step(subject, own, edge);
        }
        self.put_back(position, episode);
    }

    /// Keeps an alert that is not over. What is due has to be worked out anew.
    pub(super) fn put_back(&mut self, position: usize, episode: Arc<Episode>) {
        self.is_due_known = false;
        if episode.alert.state.is_over() {
            self.n_open -= 1;
        } else {
            self.episodes[position] = Some(episode);
        }
    }

    /// Judges the rule at `position` of the plan by the present values.
    #[inline]
    fn judge(
        &mut self,
        position: usize,
        plan: &Plan,
        who: Who<'_>,
        stack: &mut Stack,
        desk: &mut Desk<'_>,
    ) {
        for window in plan.windows_of(position) {
            let span = &plan.windows[*window as usize].1;
            self.windows[*window as usize].advance(span, self.now);
        }
        let rule = desk.set.at(plan.rules[position]);
        desk.stats.evaluations += 1;
        let mut when = rule.when.verdict(plan.view(position, self), stack);
        let mut unsuitable = None;
        // An alert that there is waits for a value that can be judged.
        if when == Verdict::Unknown && self.episodes[position].is_none() {
            unsuitable = self.unsuitable(position, rule, plan);
        }
        if rule.is_plain() {
            if when != Verdict::True && unsuitable.is_none() && self.episodes[position].is_none() {
                return;
            }
        } else {
            if self.has_lost_data(position, rule, plan) {
                self.lose(position, Surroundings { plan, rule, who }, desk);
                return;
            }
            when = self.within_hours(position, rule, plan, when);
            when = self.unless_flapping(position, rule, plan, when);
        }
        if when == Verdict::Unknown
            && let Some(input) = unsuitable
        {
            self.fail(position, input, Surroundings { plan, rule, who }, desk);
            return;
        }
        self.apply(position, when, Surroundings { plan, rule, who }, stack, desk);
    }
    /// Works out when something is due next.
    pub(super) fn schedule(&mut self, plan: &Plan, set: &RuleSet) {
        if !self.is_due_known {
            self.alerts_due = self.alerts_due_now(plan, set);
            self.is_due_known = true;
        }
        let due = self.alerts_due;
        let later = |at: &Timestamp| *at > self.done;
        let silent = plan.deadlines.iter().map(|(slot, for_, _)| self.seen[*slot as usize] + *for_);
        let ebbing = plan.ebbing.iter().map(|(window, _)| self.leaves_at(*window, plan));
        let turns = self.hours.iter().map(|hours| Timestamp::from_micros(hours.until));
        self.due = silent.chain(ebbing).chain(turns).filter(later).fold(due, Timestamp::min);
    }

    fn alerts_due_now(&self, plan: &Plan, set: &RuleSet) -> Timestamp {
        if self.n_open == 0 {
            return Timestamp::MAX;
        }
        let pairs = self.episodes.iter().zip(&plan.rules);
        let dues = pairs.filter_map(|(episode, rule)| {
            let (episode, timing) = (episode.as_ref()?, &set.at(*rule).timing);
            let edge = episode.phase.due(timing).map(|edge| edge.at);
            edge.into_iter().chain(rises_at(episode, timing)).min()
        });
        dues.min().unwrap_or(Timestamp::MAX)
    }

    /// Has come as far as `other`.
    pub(crate) fn set_time_of(&mut self, other: &Self) {
        (self.at, self.done, self.now) = (other.at, other.done, other.now);
    }

    /// What is due has changed from outside.
    pub(crate) fn reschedule(&mut self, plan: &Plan, set: &RuleSet) {
        self.is_due_known = false;
        self.schedule(plan, set);
    }

    /// Forgets what belongs to a time that has not come yet: the device's clock was set back.
    pub(crate) fn set_back(&mut self, to: Timestamp, plan: &Plan) {
        let before = to - Duration::from_micros(1);
        (self.at, self.now, self.done) = (before, to, before);
        self.seen.fill(to);
        for (series, (_, span)) in self.windows.iter_mut().zip(&plan.windows) {
            *series = Series::new(span);
        }
        self.hours.fill(NEVER_ASKED);
    }
}

/// A group of which no member says anything has a number that is none.
fn is_known(value: &Value) -> bool {
    !matches!(value, Value::Number(number) if number.is_nan())
}

/// When a firing alert becomes worse if it lasts.
fn rises_at(episode: &Episode, timing: &Timing) -> Option<Timestamp> {
    match episode.phase {
        Phase::Firing => episode.climb.due(timing),
        _ => None,
    }
}

/// A state's plain parts, for the snapshot.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Instants {
    pub(crate) at: i64,
    pub(crate) done: i64,
    pub(crate) now: i64,
    pub(crate) seen: Vec<i64>,
}

impl State {
    pub(crate) fn instants(&self) -> Instants {
        Instants {
            at: self.at.as_micros(),
            done: self.done.as_micros(),
            now: self.now.as_micros(),
            seen: self.seen.iter().map(|at| at.as_micros()).collect(),
        }
    }

    pub(crate) fn set_instants(&mut self, instants: &Instants) {
        self.at = Timestamp::from_micros(instants.at);
        self.done = Timestamp::from_micros(instants.done);
        self.now = Timestamp::from_micros(instants.now);
        for (seen, at) in self.seen.iter_mut().zip(&instants.seen) {
            *seen = Timestamp::from_micros(*at);
        }
    }
}
