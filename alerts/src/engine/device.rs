//! One device: its clock, what its readings have come to, and how a late one is put in its place.
//!
//! A reading that comes late, but within the rules' `lateness`, is judged where it belongs: from a
//! state as of an instant before it, all readings since are taken again with it among them. Two
//! such states are kept, one of which is at least the lateness old. What comes out is compared with
//! what was said; the difference is said as [`Correction`]s.

use std::sync::Arc;
use std::time::Duration;

use bellwire_model::{Alert, AlertId, AlertState, Correction, LogPosition, Timestamp, Transition};
use hashbrown::HashMap;

use super::Stats;
use super::clock::DeviceClock;
use super::episode::{Cause, Desk, Ordinals};
use super::plan::Plan;
use super::recent::{Instant, Place, Recent};
use super::state::{Bench, Reading, State, Until};
use crate::lang::duration;
use crate::rules::RuleSet;

/// Stands for the record of a rehearsal: no log comes so far.
const REHEARSAL: LogPosition = LogPosition(u64::MAX);

/// How many instants may be taken again for late readings of one device: so many at once, and so
/// many in each second of ours. So a device that sends late on purpose costs no more than a busy one.
const CREDIT_MAX: i64 = 100_000;
const CREDIT_PER_SECOND: i64 = 20_000;

/// One device for which there are rules.
#[derive(Debug)]
pub(crate) struct Device {
    /// Which of the rule set's plans is for it.
    pub(crate) plan: u32,
    pub(crate) clock: DeviceClock,
    /// When a tick is asked for.
    pub(crate) timer: Option<Timestamp>,
    /// As of now.
    pub(crate) live: State,
    /// As of an instant since which all readings are in `recent`.
    pub(crate) base: State,
    /// As of an instant between the two.
    pub(crate) middle: State,
    pub(crate) recent: Recent,
    /// What was said since `base`, as it stands after all corrections.
    pub(crate) said: Vec<Transition>,
    /// How many of `said` were before `middle`.
    pub(crate) n_before_middle: usize,
    /// How many instants may be taken again now, and since when.
    pub(crate) credit: (i64, Timestamp),
    /// The event time to which ticks have come since the latest reading.
    pub(crate) shown: Timestamp,
}

/// What a group comes to at an instant.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    pub(crate) at: Timestamp,
    pub(crate) readings: Vec<Reading>,
}

/// Where a rehearsal begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    Base,
    Middle,
}

impl Device {
    pub(crate) fn new(plan_id: u32, plan: &Plan, clock: DeviceClock) -> Self {
        let state = State::new(plan);
        Self {
            plan: plan_id,
            clock,
            timer: None,
            live: state.clone(),
            base: state.clone(),
            middle: state,
            recent: Recent::default(),
            said: Vec::new(),
            n_before_middle: 0,
            credit: (CREDIT_MAX, clock.received_at),
            shown: Timestamp::from_micros(i64::MIN),
        }
    }

    /// Lets time pass.
    pub(crate) fn expire(&mut self, until: Until, bench: &mut Bench<'_, '_>) {
        if let Until::Through(end) = until {
            self.shown = self.shown.max(end);
        }
        let n = bench.desk.out.len();
        self.live.expire(until, bench);
        self.said.extend_from_slice(&bench.desk.out[n..]);
    }

    /// Takes an instant that is not before any other, or is late by no more than `lateness`.
    pub(crate) fn take(
        &mut self,
        instant: Instant<'_>,
        lateness: Duration,
        bench: &mut Bench<'_, '_>,
    ) -> Place {
        let n = bench.desk.out.len();
        if lateness.is_zero() {
            self.live.take(instant.at, instant.readings, bench);
            return Place::Last;
        }
        let at = instant.at;
        let is_next = at > self.live.end();
        if is_next && (at.since(self.middle.end()) >= lateness || self.recent.is_full()) {
            self.move_up();
        }
        if instant.readings.is_empty() && self.base.is_met() {
            // Nothing to take, and nothing to take again. Only the first instant of a device says
            // something by itself: since when its metrics are absent.
            if at > self.live.end() {
                self.shown = Timestamp::from_micros(i64::MIN);
                self.expire(Until::Before(at), bench);
            }
            return Place::Last;
        }
        if at <= self.base.end() {
            // Of the very instant at which everything was settled. Event time is there again, whatever
            // ticks have shown since.
            self.shown = Timestamp::from_micros(i64::MIN);
            self.live.take(at, instant.readings, bench);
            self.settle();
            return Place::Last;
        }
        let place = self.recent.add(instant);
        match place {
            Place::Known => {}
            Place::Last if at > self.live.done => {
                // Event time is where this reading is, whatever ticks made of those before.
                self.shown = Timestamp::from_micros(i64::MIN);
                self.live.take(at, instant.readings, bench);
                self.said.extend_from_slice(&bench.desk.out[n..]);
            }
            Place::Last | Place::Inside => self.correct(at, Timestamp::MAX, bench),
        }
        place
    }

    /// Takes what a group has come to, in the order of time; what was taken of that time before does
    /// not count any more. All of it is after what is settled.
    pub(crate) fn retake(
        &mut self,
        points: &[Point],
        lateness: Duration,
        bench: &mut Bench<'_, '_>,
    ) {
        let Some(first) = points.first().map(|point| point.at) else { return };
        if lateness.is_zero() || first > self.live.end() {
            for Point { at, readings } in points {
                let at = if lateness.is_zero() { self.live.end().max(*at) } else { *at };
                self.take(Instant { at, seq: None, readings }, lateness, bench);
            }
            return;
        }
        // What comes in the newest second is said in its turn.
        let turn = if first == self.live.at { first } else { Timestamp::MAX };
        self.recent.cut(first);
        for Point { at, readings } in points {
            self.recent.add(Instant { at: *at, seq: None, readings });
        }
        self.correct(first, turn, bench);
    }

    /// Remembers less far back.
    fn move_up(&mut self) {
        self.base.clone_from(&self.middle);
        self.middle.clone_from(&self.live);
        self.said.drain(..self.n_before_middle);
        self.n_before_middle = self.said.len();
        self.recent.drop_through(self.base.at);
    }

    /// Whether a reading of `at` that is received at `now` can still be put in its place.
    pub(crate) fn reaches(&mut self, at: Timestamp, lateness: Duration, now: Timestamp) -> bool {
        let (credit, since) = self.credit;
        let passed = i64::try_from(now.since(since).as_micros()).unwrap_or(i64::MAX);
        let earned = passed.saturating_mul(CREDIT_PER_SECOND) / 1_000_000;
        // Less than one is not lost, but waits.
        if earned > 0 {
            self.credit = (credit.saturating_add(earned).min(CREDIT_MAX), now);
        }
        self.credit.0 > 0 && at > self.base.end() && at > self.clock.watermark - lateness
    }

    /// Takes all readings since before `at` again, and says what comes out otherwise: as corrections
    /// what is before `turn`.
    fn correct(&mut self, at: Timestamp, turn: Timestamp, bench: &mut Bench<'_, '_>) {
        let from = if at > self.middle.end() { From::Middle } else { From::Base };
        let (start, kept) = match from {
            From::Base => (&self.base, 0),
            From::Middle => (&self.middle, self.n_before_middle),
        };
        let open = start.episodes.iter().flatten();
        let mut ids: HashMap<_, _> = open.map(|it| (it.alert.id, it.alert.id)).collect();
        let old = self.said.split_off(kept);
        let mut new = self.rehearse(from, bench);
        speak((&old, &mut new), turn, &mut ids, bench);
        rename(&mut self.live, &ids);
        if from == From::Base {
            rename(&mut self.middle, &ids);
        }
        self.said.append(&mut new);
    }

    /// Brings `live`, and `middle` unless it begins there, to where they would be if readings had
    /// come in order; gives what would have been said. New alerts have names of their own.
    pub(crate) fn rehearse(&mut self, from: From, bench: &mut Bench<'_, '_>) -> Vec<Transition> {
        let (mut out, mut ordinals, mut stats) =
            (Vec::new(), Ordinals::default(), Stats::default());
        let cause = Cause { position: REHEARSAL, ..bench.desk.cause };
        let Desk { set, registry, .. } = *bench.desk;
        let mut desk = Desk {
            set,
            registry,
            cause,
            ordinals: &mut ordinals,
            stats: &mut stats,
            out: &mut out,
        };
        let Bench { plan, who, stack, touched, .. } = bench;
        let mut bench = Bench { plan, who: *who, stack, touched, desk: &mut desk };
        let middle_at = self.middle.at;
        self.live.clone_from(match from {
            From::Base => &self.base,
            From::Middle => &self.middle,
        });
        let mut is_middle_due = from == From::Base;
        for instant in self.recent.after(self.live.at) {
            if is_middle_due && instant.at > middle_at {
                self.middle.clone_from(&self.live);
                self.n_before_middle = bench.desk.out.len();
                is_middle_due = false;
            }
            self.live.take(instant.at, instant.readings, &mut bench);
            self.credit.0 -= 1;
        }
        if is_middle_due {
            self.middle.clone_from(&self.live);
            self.n_before_middle = bench.desk.out.len();
        }
        self.middle.at = middle_at;
        self.live.expire(Until::Before(self.clock.watermark), &mut bench);
        self.live.expire(Until::Through(self.shown), &mut bench);
        out
    }

    /// Brings all to where a snapshot left it: `ids` are the names of the alerts of what was said.
    pub(crate) fn replay(&mut self, ids: &[u64], bench: &mut Bench<'_, '_>) {
        self.said = self.rehearse(From::Base, bench);
        let given: HashMap<_, _> =
            self.said.iter().zip(ids).map(|(step, id)| (step.alert.id, AlertId(*id))).collect();
        for step in &mut self.said {
            if let Some(id) = given.get(&step.alert.id) {
                step.alert.id = *id;
            }
        }
        rename(&mut self.live, &given);
        rename(&mut self.middle, &given);
    }

    /// Lets `live` stand for all that was: nothing before it can be corrected any more.
    pub(crate) fn settle(&mut self) {
        self.base.clone_from(&self.live);
        self.middle.clone_from(&self.live);
        self.recent.clear();
        self.said.clear();
        self.n_before_middle = 0;
    }

    /// The device's clock was set back to the watermark: begins all runs anew.
    pub(crate) fn restart(&mut self, back: Duration, plan: &Plan, set: &RuleSet) {
        let at = self.clock.watermark;
        self.live.set_back(at, plan);
        for episode in self.live.episodes.iter_mut().flatten() {
            let episode = Arc::make_mut(episode);
            episode.phase.restart(at);
            episode.climb.restart(at);
            if episode.alert.fired_at.is_none() {
                episode.alert.since = at;
            }
            episode.last_at = at;
            episode.note =
                Some(format!("the device's clock stepped back by {}", duration::format(back)));
        }
        self.live.reschedule(plan, set);
        self.shown = Timestamp::from_micros(i64::MIN);
        self.settle();
    }
}

/// Says the difference between what was said and what should have been, rule by rule: takes back
/// what is not so, the latest first, and says what is so. Alerts in `new` get their names: that of
/// an alert of the same rule that overlaps, if one was said, else one of their own. `ids` has the
/// names that stay, and gets those that are given, by those they had. What is not before `turn` is
/// no correction.
fn speak(
    (old, new): (&[Transition], &mut [Transition]),
    turn: Timestamp,
    ids: &mut HashMap<AlertId, AlertId>,
    bench: &mut Bench<'_, '_>,
) {
    let mut rules: Vec<_> =
        old.iter().chain(new.iter()).map(|step| step.alert.rule.clone()).collect();
    rules.sort_unstable();
    rules.dedup();
    for rule in rules {
        let old: Vec<&Transition> = old.iter().filter(|step| step.alert.rule == rule).collect();
        let new: Vec<&mut Transition> =
            new.iter_mut().filter(|step| step.alert.rule == rule).collect();
        let n_same = old.iter().zip(&new).take_while(|(old, new)| is_same_step(old, new)).count();
        for (old, new) in old.iter().zip(&new).take(n_same) {
            ids.insert(new.alert.id, old.alert.id);
        }
        let mut taken: Vec<AlertId> = Vec::new();
        for index in (n_same..old.len()).rev() {
            bench.desk.withdraw(old[index]);
        }
        for (index, step) in new.into_iter().enumerate() {
            let known = ids.get(&step.alert.id).copied();
            let id = known.or_else(|| {
                let ends = old.iter().skip(n_same).filter(|old| {
                    let is_before = old.to.is_over() && old.at < step.alert.since;
                    !taken.contains(&old.alert.id) && !is_before
                });
                let mut overlapping = ends.filter(|old| old.alert.since <= step.at);
                overlapping.next_back().map(|old| old.alert.id)
            });
            let id = id.unwrap_or_else(|| bench.desk.next_id(&step.alert));
            ids.insert(step.alert.id, id);
            taken.push(id);
            step.alert.id = id;
            if index >= n_same {
                bench.desk.add(step, turn);
            }
        }
    }
}

fn is_same_step(old: &Transition, new: &Transition) -> bool {
    let parts = |step: &Transition| (step.from, step.to, step.at, step.alert.severity);
    parts(old) == parts(new)
}

fn rename(state: &mut State, ids: &HashMap<AlertId, AlertId>) {
    for episode in state.episodes.iter_mut().flatten() {
        if let Some(id) = ids.get(&episode.alert.id).filter(|id| **id != episode.alert.id) {
            Arc::make_mut(episode).alert.id = *id;
        }
    }
}

impl Desk<'_> {
    /// Takes back `step`.
    fn withdraw(&mut self, step: &Transition) {
        let mut alert = Alert { state: step.from, resolved_at: None, ..step.alert.clone() };
        if matches!(step.from, AlertState::Inactive | AlertState::Pending) {
            alert.fired_at = None;
        }
        self.stats.count(step.to, step.from);
        self.push(Transition {
            alert,
            from: step.to,
            to: step.from,
            correction: Some(Correction::Withdrawn),
            reason: "taken back: a late reading shows that it was not so".into(),
            ..step.clone()
        });
    }

    /// Says a step that came to light by a late reading.
    fn add(&mut self, step: &mut Transition, turn: Timestamp) {
        self.stats.count(step.from, step.to);
        if step.at < turn {
            step.correction = Some(Correction::Retroactive);
            step.reason = format!("{}, as a late reading shows", step.reason).into();
        }
        self.push(step.clone());
    }
}
