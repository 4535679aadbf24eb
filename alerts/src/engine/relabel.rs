//! Other labels of devices: which rules are for them now, and which groups they belong to.
//!
//! What becomes of alerts is as with a change of rules (see [`reload`](super::reload)), for these devices
//! alone. Readings from before the change that come after it are too late to be judged.

use std::sync::Arc;

use bellwire_model::{DeviceKey, LogPosition, Names, Profile, Timestamp, Transition};

use super::clock::Pace;
use super::episode::{Cause, Desk, Who};
use super::reload::{Change, What};
use super::{Engine, Slot, presence, set_timer};

impl Engine {
    /// From the record at `position`, received at `received_at`, this is said of these devices; of one
    /// that stands there more than once the last counts. Each alert that goes on otherwise or ends
    /// because of it pushes a transition to `out`. Takes time in proportion to the rules for each
    /// device, and to the groups that it leaves.
    ///
    /// # Panics
    /// If a key is not from `names`.
    pub fn relabel(
        &mut self,
        changes: &[(DeviceKey, Arc<Profile>)],
        (received_at, position): (Timestamp, LogPosition),
        names: &Names,
        out: &mut Vec<Transition>,
    ) {
        self.now = self.now.max(received_at);
        let mut keys: Vec<_> = changes.iter().map(|(key, _)| *key).collect();
        // Keys depend on the history of this process, names do not.
        keys.sort_unstable_by_key(|key| names.device(*key));
        keys.dedup();
        let left: Vec<_> = keys.iter().map(|key| self.homes(names.device(*key))).collect();
        for (key, profile) in changes {
            self.registry.set(names.device(*key), profile);
        }
        let cause = Cause { position, received_at, pace: Pace::Live };
        for key in &keys {
            self.relabel_device(*key, cause, names, out);
        }
        for (key, homes) in keys.into_iter().zip(left) {
            self.leave_groups((key, homes), cause, names, out);
        }
    }

    fn relabel_device(
        &mut self,
        key: DeviceKey,
        cause: Cause,
        names: &Names,
        out: &mut Vec<Transition>,
    ) {
        let Self {
            rules, registry, plans, devices, timers, presences, ordinals, stats, stack, ..
        } = self;
        let id = names.device(key);
        let Some(slot) = devices.get_mut(key.index()) else { return };
        if matches!(slot, Slot::Unseen) {
            return;
        }
        let plan_id = plans.plan_for(id, rules, registry);
        let Slot::Watched(mut old) = std::mem::take(slot) else {
            // Its next reading is its first for these rules.
            if plan_id.is_none() {
                *slot = Slot::Unwatched;
            }
            return;
        };
        if plan_id == Some(old.plan) {
            // What was said named the labels of then.
            old.settle();
            *slot = Slot::Watched(old);
            return;
        }
        if let Some(asked) = old.timer {
            timers.remove(&(asked, key));
        }
        // The inputs are the same.
        let translation: Vec<_> = (0..).map(Some).take(rules.inputs().len()).collect();
        let change = Change {
            old_rules: rules,
            old_plan: plans.at(old.plan),
            translation: &translation,
            who: Who::Device(id),
            at: old.clock.event_time(cause.received_at),
            what: What::Labels,
        };
        let mut desk = Desk { set: rules, registry, cause, ordinals, stats, out };
        *slot = match change.apply(plan_id, *old, plans, stack, &mut desk) {
            None => Slot::Unwatched,
            Some(mut device) => {
                let plan = plans.at(device.plan);
                presence::fill(&mut device.live, presences.slotted(key, plan, rules), change.at);
                device.live.reschedule(plan, rules);
                device.settle();
                set_timer(timers, key, &mut device);
                Slot::Watched(Box::new(device))
            }
        };
    }
}
