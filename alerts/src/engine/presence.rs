//! Whether devices are connected: what rules know as the metric `online`.
//!
//! It is no reading: it has no event time of the device's own, and must not move its clock, or what
//! a device measured before it was connected would be late. It is judged at the event time that the
//! device has come to.

use bellwire_model::{
    DeviceKey, LogPosition, Names, Observation, Presence, Reading, Timestamp, Transition, Value,
};

use super::episode::{Cause, Desk, Who};
use super::plan::Plan;
use super::recent::Instant;
use super::state::{Bench, Reading as Slotted, State};
use super::{Engine, Slot, set_timer};
use crate::rules::RuleSet;

/// What is known of each device, by its key.
#[derive(Debug, Default)]
pub(super) struct Presences {
    all: Vec<Option<Presence>>,
    /// The place of the latest change among all.
    order: u64,
}

impl Presences {
    pub(super) fn get(&self, device: DeviceKey) -> Option<Presence> {
        self.all.get(device.index()).copied().flatten()
    }

    pub(super) fn set(&mut self, device: DeviceKey, presence: Presence) {
        if device.index() >= self.all.len() {
            self.all.resize(device.index() + 1, None);
        }
        self.all[device.index()] = Some(presence);
    }

    /// Where a change of the record at `position` stands among all. Several may be of one instant of the
    /// device, and each takes a byte of the log at least.
    fn next_order(&mut self, position: LogPosition) -> u64 {
        self.order = position.0.max(self.order + 1);
        self.order
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (DeviceKey, Presence)> {
        (0..).zip(&self.all).filter_map(|(key, presence)| Some((DeviceKey(key), (*presence)?)))
    }

    /// As a value of the plan's input for it, if a rule of the plan asks and it is known.
    pub(super) fn slotted(
        &self,
        device: DeviceKey,
        plan: &Plan,
        rules: &RuleSet,
    ) -> Option<Slotted> {
        let slot = plan.slot(rules.input_id(Presence::METRIC)?)?;
        Some((slot, value(self.get(device)?)))
    }
}

pub(super) fn value(presence: Presence) -> Value {
    Value::Number(f64::from(u8::from(presence.is_online())))
}

/// Puts what is known into a state that has not heard of it, without judging.
pub(super) fn fill(state: &mut State, slotted: Option<Slotted>, at: Timestamp) {
    if let Some((slot, value)) = slotted
        && state.values[slot as usize].is_none()
    {
        state.values[slot as usize] = Some(value);
        state.seen[slot as usize] = at;
    }
}

impl Engine {
    /// A device came or went at `received_at`: judges the rules that ask for `online`. Of a device that
    /// has not sent anything yet it is remembered, and judged with its first reading.
    ///
    /// # Panics
    /// If `device` is not from `names`.
    pub fn presence(
        &mut self,
        (device, presence): (DeviceKey, Presence),
        (received_at, position): (Timestamp, LogPosition),
        names: &Names,
        out: &mut Vec<Transition>,
    ) {
        self.now = self.now.max(received_at);
        self.presences.set(device, presence);
        let Some(metric) = names.metric_key(Presence::METRIC) else { return };
        if self.rules.input_id(Presence::METRIC).is_none() {
            return;
        }
        let seq = Some(self.presences.next_order(position));
        self.judge_presence(device, (received_at, position, seq), names, out);
        if self.rules.has_groups() {
            let reading = Reading { device, metric, at: received_at, value: value(presence) };
            let observation = Observation {
                device,
                at: received_at,
                received_at,
                position,
                seq,
                readings: &[reading],
            };
            self.observe_groups(&observation, names, out);
        }
    }

    fn judge_presence(
        &mut self,
        key: DeviceKey,
        (received_at, position, seq): (Timestamp, LogPosition, Option<u64>),
        names: &Names,
        out: &mut Vec<Transition>,
    ) {
        let Self {
            rules,
            plans,
            devices,
            timers,
            registry,
            ordinals,
            stats,
            stack,
            touched,
            presences,
            ..
        } = self;
        let Some(Slot::Watched(device)) = devices.get_mut(key.index()) else { return };
        let plan = plans.at(device.plan);
        let Some(slotted) = presences.slotted(key, plan, rules) else { return };
        let at = device.clock.event_time(received_at);
        let cause = Cause { position, received_at, pace: device.clock.pace };
        let mut desk = Desk { set: rules, registry, cause, ordinals, stats, out };
        let who = Who::Device(names.device(key));
        let mut bench = Bench { plan, who, stack, touched, desk: &mut desk };
        let instant = Instant { at, seq, readings: &[slotted] };
        device.take(instant, rules.lateness(), &mut bench);
        set_timer(timers, key, device);
    }
}
