//! Rules about groups of devices.
//!
//! A group is looked at second by second of event time: what a member said last in a second, and
//! since at most `max_gap`, is what it says in that second. So what a group comes to is a function of
//! its members' readings, in whatever order they come; what it comes to is judged like a device's
//! readings, late ones and corrections included.
//!
//! A second is looked at as soon as a reading of it is there, and again for each that follows. That
//! costs a visit of all members; when more than [`VISITS_PER_SECOND`] were made, the group is looked
//! at once a second.

mod group;
mod join;
mod leave;
mod samples;
pub(super) mod snapshot;

use std::collections::BTreeSet;
use std::time::Duration;

use bellwire_model::{DeviceKey, Names, Observation, Target, Timestamp, Transition};
use hashbrown::HashMap;

use super::Engine;
use super::clock::{Arrival, Pace};
use super::episode::{Cause, Desk, Who};
use super::state::{Bench, Until};
use group::{Group, Progress, Scratch, second_start};
use samples::{Sample, second_of};

/// How many members may be visited at once, and so many again in each second.
const VISITS_MAX: i64 = 2_000_000;
const VISITS_PER_SECOND: i64 = 1_000_000;
/// When a group is looked at that had no budget.
const LATER: Duration = Duration::from_secs(1);

/// All groups of all rules.
#[derive(Debug, Default)]
pub(super) struct Groups {
    all: Vec<Group>,
    /// Places in `all` of groups without members.
    vacant: Vec<u32>,
    by_name: HashMap<(u32, Target), u32>,
    /// By device key; `None` until the device is heard of under these rules.
    memberships: Vec<Option<Box<[Membership]>>>,
    /// When ticks are asked for.
    timers: BTreeSet<(Timestamp, u32)>,
    budget: Budget,
    scratch: Scratch,
}

/// One device in one group.
#[derive(Clone, Copy, Debug)]
struct Membership {
    group: u32,
    member: u32,
}

/// How many members may be visited now, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Budget {
    pub(super) left: i64,
    pub(super) since: Timestamp,
}

impl Default for Budget {
    fn default() -> Self {
        Self { left: VISITS_MAX, since: Timestamp::EPOCH }
    }
}

impl Budget {
    fn refill(&mut self, now: Timestamp) {
        let passed = i64::try_from(now.since(self.since).as_micros()).unwrap_or(i64::MAX);
        let earned = passed.saturating_mul(VISITS_PER_SECOND / 1_000_000);
        if earned > 0 {
            *self = Self { left: self.left.saturating_add(earned).min(VISITS_MAX), since: now };
        }
    }
}

impl Groups {
    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        self.timers.first().map(|(at, _)| *at)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Group> {
        self.all.iter().filter(|group| !group.is_empty())
    }

    /// Asks for the tick that a group needs next.
    fn set_timer(&mut self, index: u32, progress: Progress, now: Timestamp) {
        let group = &mut self.all[index as usize];
        let clock = group.device.clock;
        let wanted = match progress {
            Progress::Later => Some(now + LATER),
            Progress::Done => {
                let looks = (group.due < i64::MAX).then(|| Timestamp::from_secs(group.due));
                let due = looks.into_iter().chain([group.device.live.due]).min();
                due.filter(|due| *due < Timestamp::MAX).and_then(|due| clock.tick_for(due))
            }
        };
        let is_asked = match (progress, group.device.timer, wanted) {
            (Progress::Later, Some(asked), Some(wanted)) => asked <= wanted,
            (_, asked, wanted) => asked == wanted,
        };
        if is_asked {
            return;
        }
        if let Some(at) = group.device.timer {
            self.timers.remove(&(at, index));
        }
        self.timers.extend(wanted.map(|at| (at, index)));
        group.device.timer = wanted;
    }
}

impl Group {
    /// The alert of the group that is not over, if there is one.
    pub(super) fn alert(&self) -> Option<&bellwire_model::Alert> {
        self.device.live.episodes.iter().flatten().map(|episode| &episode.alert).next()
    }
}

impl Engine {
    /// Has all groups hear of a device's readings that it is a member of.
    pub(super) fn observe_groups(
        &mut self,
        observation: &Observation<'_>,
        names: &Names,
        out: &mut Vec<Transition>,
    ) {
        let key = observation.device;
        if self.groups.memberships.get(key.index()).is_none_or(Option::is_none) {
            self.join_groups(observation, names);
        }
        let n = self.groups.memberships[key.index()].as_ref().map_or(0, |all| all.len());
        for index in 0..n {
            let Some(all) = &self.groups.memberships[key.index()] else { return };
            let membership = all[index];
            self.hear(membership, observation, names, out);
        }
    }

    fn hear(
        &mut self,
        Membership { group: index, member }: Membership,
        observation: &Observation<'_>,
        names: &Names,
        out: &mut Vec<Transition>,
    ) {
        let Self { rules, plans, groups, registry, ordinals, stats, stack, touched, .. } = self;
        let Groups { all, budget, scratch, .. } = groups;
        let group = &mut all[index as usize];
        let Some(rule) = &rules.at(group.rule).group else { return };
        let (at, received_at) = (observation.at, observation.received_at);
        let said = observation.readings.iter().filter_map(|reading| {
            let id = plans.input_id(reading.metric, rules, names)?;
            let input = rule.input_ids.iter().position(|known| *known == id)?;
            let value = reading.value.clone();
            Some((input, Sample::new(at, observation.seq, value)))
        });
        group.hear(member, (at, received_at), said, rules.lateness());
        // Nothing of a member can be of the group's future, or set its clock back.
        let known = second_start(at.min(received_at));
        if known >= group.device.clock.watermark {
            let arrival = group.device.clock.arrive(known, received_at);
            debug_assert_eq!(arrival, Arrival::InOrder);
        }
        budget.refill(received_at);
        let to = second_of(group.device.clock.watermark);
        let pace = group.device.clock.pace;
        let cause = Cause { position: observation.position, received_at, pace };
        let mut desk = Desk { set: rules, registry, cause, ordinals, stats, out };
        let (plan, name) = (plans.at(group.device.plan), group.name.clone());
        let mut bench = Bench { plan, who: Who::Group(&name), stack, touched, desk: &mut desk };
        let progress = group.catch_up(to, rules, budget, scratch, &mut bench);
        groups.set_timer(index, progress, received_at);
    }

    /// Lets the time pass for groups.
    pub(super) fn tick_groups(&mut self, cause: Cause, out: &mut Vec<Transition>) {
        let now = cause.received_at;
        let Self { rules, plans, groups, registry, ordinals, stats, stack, touched, .. } = self;
        let up_to = (now, u32::MAX);
        let mut due: Vec<u32> = groups.timers.range(..=up_to).map(|(_, index)| *index).collect();
        // Indices depend on the history of this process, names do not.
        let name_of = |index: &u32| {
            let group = &groups.all[*index as usize];
            (group.rule, &group.name.target)
        };
        due.sort_unstable_by(|left, right| name_of(left).cmp(&name_of(right)));
        let mut desk = Desk { set: rules, registry, cause, ordinals, stats, out };
        for index in due {
            let Groups { all, scratch, .. } = &mut *groups;
            let group = &mut all[index as usize];
            let end = group.device.clock.event_time(now);
            let (plan, name) = (plans.at(group.device.plan), group.name.clone());
            let mut bench = Bench { plan, who: Who::Group(&name), stack, touched, desk: &mut desk };
            // Once a second it is looked at in any case.
            let mut enough = Budget { left: i64::MAX, since: now };
            group.catch_up(second_of(end), rules, &mut enough, scratch, &mut bench);
            group.device.expire(Until::Through(end), &mut bench);
            groups.set_timer(index, Progress::Done, now);
        }
    }

    /// Time in which nobody was there does not count.
    pub(super) fn restart_groups(&mut self, down: Duration, now: Timestamp) {
        for index in 0..self.groups.all.len() {
            let clock = &mut self.groups.all[index].device.clock;
            if clock.pace == Pace::Live {
                clock.received_at = clock.received_at + down;
                // Device keys, and so groups, have 32 bits.
                let index = u32::try_from(index).expect("few groups");
                self.groups.set_timer(index, Progress::Done, now);
            }
        }
    }
}

/// The place of a device's memberships.
fn place_of(
    memberships: &mut Vec<Option<Box<[Membership]>>>,
    key: DeviceKey,
) -> &mut Option<Box<[Membership]>> {
    if key.index() >= memberships.len() {
        memberships.resize_with(key.index() + 1, || None);
    }
    &mut memberships[key.index()]
}
