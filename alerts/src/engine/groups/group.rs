//! One rule on one group of devices: what its members have said, and what that comes to second by
//! second. The numbers it comes to are judged like the readings of a device ([`Device`]).

use std::time::Duration;

use bellwire_model::{DeviceId, MetricName, Presence, Timestamp, Value};

use super::Budget;
use super::samples::{Sample, Samples, second_from, second_of};
use crate::engine::clock::DeviceClock;
use crate::engine::device::{Device, Point};
use crate::engine::episode::GroupName;
use crate::engine::presence::value;
use crate::engine::state::{Bench, Until};
use crate::lang::group::Part;
use crate::lang::program::{Stack, View};
use crate::rules::RuleSet;
use crate::rules::rule;

/// A device that belongs to a group.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: DeviceId,
    /// The earliest instant that it was heard of.
    pub(super) since: Timestamp,
    /// By the number of the metric in the rule.
    pub(super) samples: Box<[Samples]>,
}

/// The devices that have labels in common, as one rule sees them.
#[derive(Debug)]
pub(crate) struct Group {
    /// The place of its rule in the set.
    pub(super) rule: u32,
    pub(super) name: GroupName,
    /// Those that belong to it, and places that were left and wait for another.
    places: Vec<Option<Member>>,
    /// Places of members, by name: sums do not depend on who came first.
    order: Vec<u32>,
    /// What the group's numbers have come to, as if they were the readings of a device.
    pub(super) device: Device,
    /// The first second that was not looked at, or must be again.
    pub(super) due: i64,
}

/// Scratch.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    values: Vec<Option<Value>>,
    seen: Vec<Timestamp>,
    bindings: Vec<u32>,
    /// By part.
    numbers: Vec<Vec<f64>>,
    points: Vec<Point>,
}

/// Whether all is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Done,
    /// There is no budget left in this second.
    Later,
}

impl Group {
    pub(super) fn new(rule: u32, name: GroupName, device: Device) -> Self {
        Self { rule, name, places: Vec::new(), order: Vec::new(), device, due: i64::MAX }
    }

    /// Makes room for a member; gives its place.
    pub(super) fn join(&mut self, name: DeviceId, since: Timestamp, n_inputs: usize) -> u32 {
        let samples = vec![Samples::default(); n_inputs].into();
        self.add(Member { name, since, samples })
    }

    /// The place of a device among the members.
    pub(super) fn find(&self, name: &DeviceId) -> Option<u32> {
        self.rank(name).ok().map(|rank| self.order[rank])
    }

    /// Where a device stands in the order, or would.
    fn rank(&self, name: &DeviceId) -> Result<usize, usize> {
        self.order.binary_search_by(|place| self.member(*place).name.cmp(name))
    }

    fn member(&self, place: u32) -> &Member {
        self.places[place as usize].as_ref().expect("the order has places of members only")
    }

    fn member_mut(&mut self, place: u32) -> &mut Member {
        self.places[place as usize].as_mut().expect("memberships are of members only")
    }

    /// The members, by name.
    pub(super) fn members(&self) -> impl Iterator<Item = &Member> {
        self.order.iter().map(|place| self.member(*place))
    }

    /// Whether nobody belongs to it: then nothing can be said of it.
    pub(super) const fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Lets a member go.
    pub(super) fn leave(&mut self, name: &DeviceId) {
        if let Ok(rank) = self.rank(name) {
            let place = self.order.remove(rank);
            self.places[place as usize] = None;
        }
    }

    /// Adds a member; gives its place.
    pub(super) fn add(&mut self, member: Member) -> u32 {
        let (Ok(rank) | Err(rank)) = self.rank(&member.name);
        // Looked for only where somebody has left.
        let left = match self.places.len() > self.order.len() {
            true => self.places.iter().position(Option::is_none),
            false => None,
        };
        let index = left.unwrap_or(self.places.len());
        // Device keys have 32 bits.
        let place = u32::try_from(index).expect("fewer members than device keys");
        self.order.insert(rank, place);
        match left {
            Some(index) => self.places[index] = Some(member),
            None => self.places.push(Some(member)),
        }
        place
    }

    /// The second up to which nothing changes any more.
    fn settled(&self, now: i64, lateness: Duration) -> i64 {
        let Device { live, base, .. } = &self.device;
        if lateness.is_zero() {
            // Others may say something in this very second.
            return if live.is_met() { second_of(live.end()) - 1 } else { i64::MIN };
        }
        let told = if base.is_met() { second_of(base.end()) } else { i64::MIN };
        told.max(second_of(Timestamp::from_secs(now) - lateness))
    }

    /// Notes that a member was there, or not, before it was heard of.
    pub(super) fn tell(&mut self, member: u32, inputs: &[MetricName], presence: Presence) {
        let member = self.member_mut(member);
        let input = inputs.iter().position(|name| name.as_str() == Presence::METRIC);
        if let Some(input) = input {
            member.samples[input].push(Sample::new(member.since, None, value(presence)));
        }
    }

    /// Notes what a member says: `sample` of the rule's `input`, or only that it is there.
    pub(super) fn hear(
        &mut self,
        member: u32,
        (at, received_at): (Timestamp, Timestamp),
        said: impl Iterator<Item = (usize, Sample)>,
        lateness: Duration,
    ) {
        let now = second_of(self.device.clock.event_time(received_at).max(at.min(received_at)));
        let settled = self.settled(now, lateness);
        let mut due = self.due;
        let member = self.member_mut(member);
        if at < member.since {
            member.since = at;
            due = due.min(second_of(at)).max(settled);
        }
        for (input, sample) in said {
            if let Some(second) = member.samples[input].put(sample, settled, now) {
                due = due.min(second);
            }
        }
        self.due = due;
    }

    /// Looks at all seconds up to `to` that may have changed, if the budget allows.
    pub(super) fn catch_up(
        &mut self,
        to: i64,
        set: &RuleSet,
        budget: &mut Budget,
        scratch: &mut Scratch,
        bench: &mut Bench<'_, '_>,
    ) -> Progress {
        if self.due <= to {
            if budget.left <= 0 {
                return Progress::Later;
            }
            self.look(to, set, budget, scratch, bench);
        }
        // As a rehearsal leaves it.
        self.device.expire(Until::Before(self.device.clock.watermark), bench);
        Progress::Done
    }

    fn look(
        &mut self,
        to: i64,
        set: &RuleSet,
        budget: &mut Budget,
        scratch: &mut Scratch,
        bench: &mut Bench<'_, '_>,
    ) {
        let lateness = set.lateness();
        let Some(rule) = &set.at(self.rule).group else { return };
        let from = self.due.max(self.settled(to, lateness).saturating_add(1));
        let mut points = std::mem::take(&mut scratch.points);
        points.clear();
        let mut next = from;
        while next <= to {
            let second = next;
            let readings = self.evaluate(second, rule, scratch, bench.stack, &mut next);
            points.push(Point { at: Timestamp::from_secs(second), readings });
            budget.left -= i64::try_from(self.order.len()).unwrap_or(i64::MAX).max(1);
        }
        self.due = next;
        if !points.is_empty() {
            self.device.retake(&points, lateness, bench);
        }
        scratch.points = points;
    }

    /// Puts what the group comes to in a second in the place of its readings, without judging.
    pub(super) fn show(
        &mut self,
        second: i64,
        rule: &rule::Group,
        scratch: &mut Scratch,
        stack: &mut Stack,
    ) {
        let readings = self.evaluate(second, rule, scratch, stack, &mut 0);
        let state = &mut self.device.live;
        for (slot, value) in readings {
            if value.number().is_some_and(|number| !number.is_nan()) {
                state.values[slot as usize] = Some(value);
            }
            state.seen[slot as usize] = Timestamp::from_secs(second);
        }
    }

    /// What the group comes to in a second: its parts, and the second in which a member was last heard
    /// that says something, or might have. `next` gets the next second at which that may change.
    fn evaluate(
        &self,
        second: i64,
        rule: &rule::Group,
        scratch: &mut Scratch,
        stack: &mut Stack,
        next: &mut i64,
    ) -> Vec<(u32, Value)> {
        *next = i64::MAX;
        let n_inputs = rule.spec.inputs.len();
        let Scratch { values, seen, bindings, numbers, .. } = scratch;
        bindings.clear();
        // `NODES_MAX` keeps it within 32 bits.
        bindings.extend(0..u32::try_from(n_inputs).unwrap_or(u32::MAX));
        numbers.resize_with(rule.spec.parts.len(), Vec::new);
        numbers.iter_mut().for_each(Vec::clear);
        let mut heard = i64::MIN;
        for member in self.members() {
            if second_of(member.since) > second {
                *next = second_of(member.since).min(*next);
                continue;
            }
            member.look(second, rule, (values, seen), next);
            heard = seen.iter().copied().map(second_of).max().unwrap_or(i64::MIN).max(heard);
            let now = Timestamp::from_secs(second);
            let view = View { values, bindings, seen, windows: &[], window_bindings: &[], now };
            for (Part { program, .. }, numbers) in rule.spec.parts.iter().zip(&mut *numbers) {
                let number = program.number(view, stack);
                numbers.extend((!number.is_nan()).then_some(number));
            }
        }
        let parts = rule.spec.parts.iter().zip(numbers);
        let parts = parts.map(|(part, numbers)| part.aggregate.of(numbers));
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are below 2^53")]
        let heard = heard as f64;
        (0..).zip(parts.chain([heard]).map(Value::Number)).collect()
    }
}

impl Member {
    /// Puts down what it says in a second; brings `next` down to when that may change.
    fn look(
        &self,
        second: i64,
        rule: &rule::Group,
        (values, seen): (&mut Vec<Option<Value>>, &mut Vec<Timestamp>),
        next: &mut i64,
    ) {
        let now = Timestamp::from_secs(second);
        let mut may_change = |at: i64| {
            if at > second {
                *next = at.min(*next);
            }
        };
        values.clear();
        seen.clear();
        for samples in &self.samples {
            samples.next_after(second).into_iter().for_each(&mut may_change);
            let sample = samples.as_of(second);
            let is_fresh = |sample: &&Sample| now.since(sample.at) < rule.fresh;
            let heard = sample.map_or(self.since, |sample| sample.at);
            may_change(second_from(heard + rule.fresh));
            values.push(sample.filter(is_fresh).map(|sample| sample.value.clone()));
            seen.push(heard);
        }
        for (input, silence) in &rule.spec.deadlines {
            may_change(second_from(seen[usize::from(*input)] + *silence));
        }
    }
}

/// The beginning of the second that an instant is in: what is due before it is due.
pub(super) fn second_start(at: Timestamp) -> Timestamp {
    Timestamp::from_secs(second_of(at))
}

/// A clock for a group that has heard something of `at`, but not of the future.
pub(super) fn clock(at: Timestamp, received_at: Timestamp) -> DeviceClock {
    DeviceClock::new(second_start(at.min(received_at)), received_at)
}
