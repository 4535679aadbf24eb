//! Which groups a device is a member of, and what becomes of groups under other rules.

use bellwire_model::{DeviceId, Names, Observation, Target, Timestamp};
use hashbrown::HashMap;

use super::group::{Group, Member, clock};
use super::samples::second_of;
use super::{Groups, Membership, Progress, place_of};
use crate::engine::Engine;
use crate::engine::device::Device;
use crate::engine::episode::{Desk, GroupName, Who};
use crate::engine::plan::Plans;
use crate::engine::reload::{Before, Change, What};
use crate::lang::program::Stack;
use crate::rules::RuleSet;
use crate::rules::rule;

impl Engine {
    /// Makes a device a member of the groups that its labels say, which may be new.
    #[cold]
    pub(super) fn join_groups(&mut self, observation: &Observation<'_>, names: &Names) {
        let id = names.device(observation.device);
        let Self { rules, plans, groups, presences, registry, .. } = self;
        let presence = presences.get(observation.device);
        let joined = rules.groups_for(id, registry).into_iter().map(|(rule, labels)| {
            let name = GroupName::new(labels);
            let heard = (observation.at, observation.received_at);
            let index = groups.find_or_make((rule, name), heard, plans, rules);
            let group = &mut groups.all[index as usize];
            let member = match group.find(id) {
                Some(member) => member,
                None => {
                    let n_inputs = rules.at(rule).metrics().len();
                    group.due = group.due.min(second_of(observation.at));
                    let member = group.join(id.clone(), observation.at, n_inputs);
                    if let Some(presence) = presence {
                        group.tell(member, rules.at(rule).metrics(), presence);
                    }
                    member
                }
            };
            Membership { group: index, member }
        });
        let joined = joined.collect();
        *place_of(&mut groups.memberships, observation.device) = Some(joined);
    }
}

impl Groups {
    fn find_or_make(
        &mut self,
        (rule, name): (u32, GroupName),
        (at, received_at): (Timestamp, Timestamp),
        plans: &mut Plans,
        rules: &RuleSet,
    ) -> u32 {
        if let Some(index) = self.by_name.get(&(rule, name.target.clone())) {
            return *index;
        }
        let plan = plans.plan_for_group(rule, rules);
        let device = Device::new(plan, plans.at(plan), clock(at, received_at));
        self.put(Group::new(rule, name, device))
    }

    pub(super) fn put(&mut self, group: Group) -> u32 {
        let place = self.vacant.pop();
        let index = place.unwrap_or_else(|| u32::try_from(self.all.len()).expect("few groups"));
        self.by_name.insert((group.rule, group.name.target.clone()), index);
        match place {
            Some(place) => self.all[place as usize] = group,
            None => self.all.push(group),
        }
        index
    }

    /// Carries groups over to the rules in `desk`: members stay where their labels say so, with what
    /// they said of metrics that the rule still uses.
    pub(in crate::engine) fn change(
        &mut self,
        before: &Before<'_>,
        received_at: Timestamp,
        plans: &mut Plans,
        stack: &mut Stack,
        desk: &mut Desk<'_>,
    ) {
        let old = std::mem::take(self);
        self.budget = old.budget;
        let mut all = old.all;
        all.sort_by(|left, right| {
            (left.rule, &left.name.target).cmp(&(right.rule, &right.name.target))
        });
        let mut homes = Homes::default();
        for group in all {
            let change = Change {
                old_rules: before.rules,
                old_plan: before.plans.at(group.device.plan),
                translation: &[],
                who: Who::Group(&group.name),
                at: group.device.clock.event_time(received_at),
                what: What::Rules,
            };
            let name = &before.rules.at(group.rule).name;
            let rule = desk.set.index_of(name.as_str()).filter(|index| {
                let rule = &desk.set.at(*index).group;
                rule.is_some() && group.members().any(|it| homes.has(it, *index, &group, desk))
            });
            let old_inputs = before.rules.at(group.rule).metrics();
            let (old_state, clock) = (group.device.live.clone(), group.device.clock);
            let Some((rule, new_rule)) =
                rule.and_then(|it| Some((it, desk.set.at(it).group.as_ref()?)))
            else {
                change.carry_all(old_state, None, stack, desk);
                continue;
            };
            let plan_id = plans.plan_for_group(rule, desk.set);
            let plan = plans.at(plan_id);
            let mut new = Group::new(rule, group.name.clone(), Device::new(plan_id, plan, clock));
            new.device.live.set_time_of(&old_state);
            for member in group.members() {
                if homes.has(member, rule, &group, desk) {
                    new.add(translate(member, old_inputs, new_rule));
                }
            }
            let second = second_of(change.at);
            new.show(second, new_rule, &mut self.scratch, stack);
            change.carry_all(old_state, Some((&mut new.device, plan)), stack, desk);
            new.device.live.reschedule(plan, desk.set);
            new.device.settle();
            // The next second decides.
            new.due = second.saturating_add(1);
            let index = self.put(new);
            self.set_timer(index, Progress::Done, received_at);
        }
    }
}

/// The groups that devices belong to under the new rules, as far as they were asked for.
#[derive(Default)]
struct Homes(HashMap<DeviceId, Vec<(u32, Target)>>);

impl Homes {
    /// Whether a member belongs to the group of the same name under the rule at place `rule`.
    fn has(&mut self, member: &Member, rule: u32, group: &Group, desk: &Desk<'_>) -> bool {
        let homes = self.0.entry_ref(&member.name).or_insert_with(|| {
            let homes = desk.set.groups_for(&member.name, desk.registry).into_iter();
            homes.map(|(rule, labels)| (rule, GroupName::new(labels).target)).collect()
        });
        homes.iter().any(|(index, target)| *index == rule && *target == group.name.target)
    }
}

/// A member with what it said of the metrics that the new rule asks for.
fn translate(
    member: &Member,
    old_inputs: &[bellwire_model::MetricName],
    rule: &rule::Group,
) -> Member {
    let samples = rule.spec.inputs.iter().map(|name| {
        let old = old_inputs.iter().position(|old| old == name);
        old.map(|old| member.samples[old].clone()).unwrap_or_default()
    });
    Member { name: member.name.clone(), since: member.since, samples: samples.collect() }
}
