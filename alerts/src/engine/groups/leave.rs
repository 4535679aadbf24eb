//! A device whose labels have changed leaves the groups that it belongs to no more.

use bellwire_model::{DeviceId, DeviceKey, Names, Target, Transition};

use super::Progress;
use super::samples::second_of;
use crate::engine::Engine;
use crate::engine::episode::{Cause, Desk, GroupName, Who};
use crate::engine::reload::{Change, What};

/// A group: the place of its rule, and its name.
pub(in crate::engine) type Home = (u32, Target);

impl Engine {
    /// Takes a device out of groups that its labels do not say any more; its next reading joins it to
    /// those that they say now. What a group's members have come to is judged from the next second on;
    /// a group that is empty ends.
    pub(in crate::engine) fn leave_groups(
        &mut self,
        (key, before): (DeviceKey, Vec<Home>),
        cause: Cause,
        names: &Names,
        out: &mut Vec<Transition>,
    ) {
        let id = names.device(key);
        let now = self.homes(id);
        if before == now {
            return;
        }
        if let Some(memberships) = self.groups.memberships.get_mut(key.index()) {
            *memberships = None;
        }
        for home in before.into_iter().filter(|home| !now.contains(home)) {
            let Some(index) = self.groups.by_name.get(&home).copied() else { continue };
            let group = &mut self.groups.all[index as usize];
            if group.find(id).is_some() {
                group.leave(id);
                self.settle_group(index, cause, out);
            }
        }
    }

    /// The groups that a device's labels say.
    pub(in crate::engine) fn homes(&self, id: &DeviceId) -> Vec<Home> {
        let all = self.rules.groups_for(id, &self.registry).into_iter();
        all.map(|(rule, labels)| (rule, GroupName::new(labels).target)).collect()
    }

    fn settle_group(&mut self, index: u32, cause: Cause, out: &mut Vec<Transition>) {
        let Self { rules, registry, plans, groups, ordinals, stats, stack, .. } = self;
        let group = &mut groups.all[index as usize];
        let at = group.device.clock.event_time(cause.received_at);
        let plan = plans.at(group.device.plan);
        let Some(rule) = &rules.at(group.rule).group else { return };
        if !group.is_empty() {
            group.show(second_of(at), rule, &mut groups.scratch, stack);
            group.device.live.reschedule(plan, rules);
            group.device.settle();
            group.due = second_of(at).saturating_add(1);
            groups.set_timer(index, Progress::Done, cause.received_at);
            return;
        }
        let name = group.name.clone();
        let change = Change {
            old_rules: rules,
            old_plan: plan,
            translation: &[],
            who: Who::Group(&name),
            at,
            what: What::Labels,
        };
        let mut desk = Desk { set: rules, registry, cause, ordinals, stats, out };
        let state =
            std::mem::replace(&mut group.device.live, crate::engine::state::State::new(plan));
        change.carry_all(state, None, stack, &mut desk);
        group.device.settle();
        group.due = i64::MAX;
        if let Some(asked) = group.device.timer.take() {
            groups.timers.remove(&(asked, index));
        }
        groups.by_name.remove(&(group.rule, name.target));
        groups.vacant.push(index);
    }
}
