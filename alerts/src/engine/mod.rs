//! The engine: readings, ticks and rules in, transitions out.

pub(crate) mod climb;
pub(crate) mod clock;
pub(crate) mod device;
pub(crate) mod episode;
pub(crate) mod flap;
mod groups;
mod judge;
pub(crate) mod machine;
pub(crate) mod plan;
pub(crate) mod presence;
mod recent;
mod relabel;
mod reload;
pub(crate) mod series;
pub mod snapshot;
pub(crate) mod state;
mod stats;
mod summary;
mod touched;

use std::collections::BTreeSet;
use std::sync::Arc;

use bellwire_model::{
    Alert, DeviceKey, LogPosition, Names, Observation, Registry, Timestamp, Transition,
};

use crate::handling::Record;
use crate::lang::program::Stack;
use crate::rules::RuleSet;
use clock::{Arrival, DeviceClock, Pace};
use device::Device;
use episode::{Cause, Desk, Ordinals, Who};
use groups::Groups;
use plan::Plans;
use presence::Presences;
use recent::{Instant, Place};
use state::{Bench, Reading, Until};
pub use stats::Stats;
use touched::Touched;

/// Judges readings by rules: a pure function of its calls, which must come in log order.
///
/// # Time
/// Everything counts in the device's event time. A reading moves its device's event time to the
/// reading's `at`; between readings, and only if the last reading came within 5 minutes of when it
/// was made, a tick moves it on by the time received since, less 1 s for readings under way. A
/// transition's `at` is the instant at which it became true, not the one at which that came to
/// light: an alert fires at `since + for`, whether a reading or a tick shows it. So historical
/// readings give the transitions they would have given live.
///
/// A reading that comes late, by no more than the rules' `lateness`, is judged where it belongs, and
/// what comes out otherwise than was said is said as corrections; later ones change nothing and are
/// counted. A device whose readings stay behind for more than 5 minutes of event time has had its
/// clock set back: the hold times of its alerts begin anew, and their next transitions say so.
///
/// # Order
/// Transitions of one record are numbered in the order in which they are pushed; for one
/// observation first what was due before it, then by the rules' order in the file.
#[derive(Debug, Default)]
pub struct Engine {
    rules: Arc<RuleSet>,
    plans: Plans,
    /// By device key.
    devices: Vec<Slot>,
    /// When ticks are asked for.
    timers: BTreeSet<(Timestamp, DeviceKey)>,
    groups: Groups,
    presences: Presences,
    /// What is said of devices beside the rules.
    registry: Registry,
    /// When the latest record was received.
    now: Timestamp,
    ordinals: Ordinals,
    stats: Stats,
    /// Scratch; nothing in it outlives a call.
    stack: Stack,
    touched: Touched,
    readings: Vec<Reading>,
}

/// What is known of a device.
#[derive(Debug, Default)]
enum Slot {
    /// No reading of it was seen since the rules last changed.
    #[default]
    Unseen,
    /// No rule is for it.
    Unwatched,
    Watched(Box<Device>),
}

impl Engine {
    /// An engine without rules that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An engine without rules that knows what is said of devices, and has seen nothing.
    #[must_use]
    pub fn knowing(registry: Registry) -> Self {
        Self { registry, ..Self::default() }
    }

    /// The rules it runs.
    #[must_use]
    pub const fn rules(&self) -> &Arc<RuleSet> {
        &self.rules
    }

    /// What it has done so far, and what is open. Counts begin at the last start or restore.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Judges the readings of one instant of one device, and pushes what follows to `out`.
    ///
    /// Costs a few table look-ups for a device or metrics that no rule is for. Allocates only for
    /// transitions and for a device's first reading.
    ///
    /// # Panics
    /// If the observation's keys are not from `names`.
    pub fn observe(
        &mut self,
        observation: &Observation<'_>,
        names: &Names,
        out: &mut Vec<Transition>,
    ) {
        self.now = self.now.max(observation.received_at);
        self.stats.observations += 1;
        self.observe_device(observation, names, out);
        if self.rules.has_groups() {
            self.observe_groups(observation, names, out);
        }
    }

    fn observe_device(
        &mut self,
        observation: &Observation<'_>,
        names: &Names,
        out: &mut Vec<Transition>,
    ) {
        let key = observation.device;
        match self.devices.get(key.index()) {
            Some(Slot::Watched(_)) => {}
            Some(Slot::Unwatched) => return,
            Some(Slot::Unseen) | None => self.meet(observation, names),
        }
        let Self {
            rules,
            plans,
            devices,
            timers,
            ordinals,
            stats,
            stack,
            touched,
            readings,
            presences,
            registry,
            ..
        } = self;
        let Slot::Watched(device) = &mut devices[key.index()] else { return };
        let lateness = rules.lateness();
        let at = observation.at;
        let is_late = match device.clock.arrive(at, observation.received_at) {
            Arrival::InOrder => false,
            Arrival::Late if device.reaches(at, lateness, observation.received_at) => true,
            Arrival::Late => {
                stats.late += 1;
                return;
            }
            Arrival::Stepped(back) => {
                stats.clock_steps += 1;
                device.restart(back, plans.at(device.plan), rules);
                false
            }
        };
        readings.clear();
        for reading in observation.readings {
            let Some(input) = plans.input_id(reading.metric, rules, names) else { continue };
            let Some(slot) = plans.at(device.plan).slot(input) else { continue };
            readings.push((slot, reading.value.clone()));
        }
        if !device.live.is_met() {
            // It came before its first reading.
            let early = presences.slotted(key, plans.at(device.plan), rules);
            readings.extend(early.filter(|early| readings.iter().all(|it| it.0 != early.0)));
        }
        if !readings.is_sorted_by_key(|(slot, _)| *slot) {
            readings.sort_unstable_by_key(|(slot, _)| *slot);
        }
        let instant = Instant { at, seq: observation.seq, readings };
        let cause = Cause {
            position: observation.position,
            received_at: observation.received_at,
            pace: device.clock.pace,
        };
        let mut desk = Desk { set: rules, registry, cause, ordinals, stats, out };
        let (plan, who) = (plans.at(device.plan), Who::Device(names.device(key)));
        let mut bench = Bench { plan, who, stack, touched, desk: &mut desk };
        let place = device.take(instant, lateness, &mut bench);
        stats.corrected += u64::from(is_late && place != Place::Known);
        set_timer(timers, key, device);
    }

    /// Makes room for a device and asks which rules are for it.
    #[cold]
    fn meet(&mut self, observation: &Observation<'_>, names: &Names) {
        let key = observation.device;
        if key.index() >= self.devices.len() {
            self.devices.resize_with(names.devices().len(), Slot::default);
        }
        let plan = self.plans.plan_for(names.device(key), &self.rules, &self.registry);
        self.devices[key.index()] = match plan {
            None => Slot::Unwatched,
            Some(id) => {
                let clock = DeviceClock::new(observation.at, observation.received_at);
                Slot::Watched(Box::new(Device::new(id, self.plans.at(id), clock)))
            }
        };
    }

    /// Lets the time pass that was received at `received_at`: what is due without a reading
    /// happens. Call it for each tick record; there should be one a second while
    /// [`Engine::next_deadline`] is `Some`, so that [`Engine::started`] can tell how long nobody
    /// was there.
    pub fn tick(
        &mut self,
        received_at: Timestamp,
        position: LogPosition,
        names: &Names,
        out: &mut Vec<Transition>,
    ) {
        self.now = self.now.max(received_at);
        let Self {
            rules, plans, devices, timers, registry, ordinals, stats, stack, touched, ..
        } = self;
        let up_to = (received_at, DeviceKey(u32::MAX));
        let mut keys: Vec<_> = timers.range(..=up_to).map(|(_, key)| *key).collect();
        // Keys depend on the history of this process, names do not.
        keys.sort_unstable_by_key(|key| names.device(*key));
        // Only devices that send what they measure now have timers.
        let cause = Cause { position, received_at, pace: Pace::Live };
        let mut desk = Desk { set: rules, registry, cause, ordinals, stats, out };
        for key in keys {
            let Slot::Watched(device) = &mut devices[key.index()] else { continue };
            let until = Until::Through(device.clock.event_time(received_at));
            let (plan, who) = (plans.at(device.plan), Who::Device(names.device(key)));
            device.expire(until, &mut Bench { plan, who, stack, touched, desk: &mut desk });
            set_timer(timers, key, device);
        }
        self.tick_groups(cause, out);
    }

    /// The service began again at `received_at`: the time since the record before does not count,
    /// because readings of it are still to come.
    pub fn started(&mut self, received_at: Timestamp) {
        let down = received_at.since(self.now);
        self.now = self.now.max(received_at);
        for (key, slot) in (0..).zip(&mut self.devices) {
            let Slot::Watched(device) = slot else { continue };
            if device.clock.pace == Pace::Live {
                device.clock.received_at = device.clock.received_at + down;
                if let Some(asked) = device.timer.take() {
                    self.timers.remove(&(asked, DeviceKey(key)));
                }
                set_timer(&mut self.timers, DeviceKey(key), device);
            }
        }
        self.restart_groups(down, received_at);
    }

    /// When the latest record was received.
    pub(crate) const fn now(&self) -> Timestamp {
        self.now
    }

    /// The record at `position`, for those who write behind what the engine says of it.
    pub(crate) fn record<'a>(
        &'a mut self,
        (received_at, position): (Timestamp, LogPosition),
        out: &'a mut Vec<Transition>,
    ) -> Record<'a> {
        let Self { rules, registry, ordinals, .. } = self;
        Record { rules, registry, position, received_at, ordinals, out }
    }

    /// The earliest time at which a tick would change something, if readings do not come first.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let devices = self.timers.first().map(|(at, _)| *at);
        devices.into_iter().chain(self.groups.next_deadline()).min()
    }

    /// The alerts that are not over: of devices by key and rule order, then of groups.
    pub fn active(&self) -> impl Iterator<Item = &Alert> {
        self.devices
            .iter()
            .filter_map(|slot| match slot {
                Slot::Watched(device) if device.live.n_open > 0 => Some(device),
                _ => None,
            })
            .flat_map(|device| device.live.episodes.iter().flatten())
            .map(|episode| &episode.alert)
            .chain(self.groups.iter().filter_map(|group| group.alert()))
    }
}

/// Asks for the tick that the device needs next; one that was asked for earlier will do.
fn set_timer(timers: &mut BTreeSet<(Timestamp, DeviceKey)>, key: DeviceKey, device: &mut Device) {
    let wanted = match device.live.due {
        Timestamp::MAX => None,
        due => device.clock.tick_for(due),
    };
    let is_asked = match (wanted, device.timer) {
        (Some(wanted), Some(asked)) => asked <= wanted,
        (wanted, asked) => wanted == asked,
    };
    if is_asked {
        return;
    }
    if let Some(at) = device.timer {
        timers.remove(&(at, key));
    }
    if let Some(at) = wanted {
        timers.insert((at, key));
    }
    device.timer = wanted;
}
