//! The engine's state as bytes, so that a restart need not read the whole log again.
//!
//! A version byte, then postcard. Names stand as text, since keys mean nothing in another process;
//! the rules stand as their file's text, so that a snapshot cannot meet other rules than its own.

use std::borrow::Cow;
use std::sync::Arc;

use bellwire_model::{
    Alert, AlertId, DeviceId, DeviceKey, LogPosition, Names, Presence, Registry, Severity,
    Timestamp, Value,
};
use serde::{Deserialize, Serialize};

use super::climb::Climb;
use super::clock::{DeviceClock, LateRun, Pace};
use super::device::Device;
use super::episode::{Cause, Desk, Episode, Ordinals, Who};
use super::flap::Flap;
use super::groups::snapshot::GroupsState;
use super::machine::{Holding, Phase};
use super::plan::Plan;
use super::recent::{InstantState, Recent};
use super::series::Series;
use super::state::{Bench, Hours, Instants, State};
use super::{Engine, Slot, set_timer};
use crate::error::RuleError;
use crate::rules::RuleSet;

/// The layout that this version writes and reads. Another layout gets another number.
const VERSION: u8 = 3;

/// Why a snapshot cannot be used. The log can still be read from its beginning.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// It is of another version of Bellwire, or no snapshot.
    #[error("the snapshot of alerts has version {found:?}, expected {VERSION}")]
    Version {
        /// Its first byte.
        found: Option<u8>,
    },
    /// It is damaged.
    #[error("the snapshot of alerts cannot be read")]
    Damaged(#[source] postcard::Error),
    /// Its rules are not valid any more.
    #[error("the rules in the snapshot of alerts are not valid")]
    Rules(#[source] Box<RuleError>),
    /// Parts of it do not fit together.
    #[error("the snapshot of alerts contradicts itself: {0}")]
    Inconsistent(&'static str),
}

#[derive(Serialize, Deserialize)]
struct EngineState<'a> {
    rules: &'a str,
    now: i64,
    ordinals: (u64, u32),
    #[serde(borrow)]
    devices: Vec<DeviceState<'a>>,
    #[serde(borrow)]
    groups: GroupsState<'a>,
    /// Devices that are known to be online, or not.
    presences: Vec<(&'a str, bool)>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct DeviceState<'a> {
    /// Empty for a group.
    device: &'a str,
    watermark: i64,
    received_at: i64,
    live: bool,
    /// Event time, and the microseconds covered.
    late: Option<(i64, u64)>,
    shown: i64,
    credit: (i64, i64),
    timer: Option<i64>,
    middle_at: i64,
    n_before_middle: u64,
    /// The names of the alerts of what was said since, in order.
    said: Vec<u64>,
    recent: Vec<InstantState>,
    /// As of an instant since which all readings are in `recent`.
    #[serde(borrow)]
    base: StateState<'a>,
}

#[derive(Serialize, Deserialize)]
struct StateState<'a> {
    instants: Instants,
    /// In the order of the plan's inputs.
    #[serde(borrow)]
    values: Vec<Option<ValueState<'a>>>,
    /// In the order of the plan's windows.
    windows: Cow<'a, [Series]>,
    #[serde(borrow)]
    episodes: Vec<EpisodeState<'a>>,
    flaps: Vec<Flap>,
    hours: Vec<Hours>,
}

#[derive(Serialize, Deserialize)]
pub(super) enum ValueState<'a> {
    Number(f64),
    Text(&'a str),
}

impl<'a> ValueState<'a> {
    pub(super) fn of(value: &'a Value) -> Self {
        match value {
            Value::Number(number) => Self::Number(*number),
            Value::Text(text) => Self::Text(text),
        }
    }

    pub(super) fn value(self) -> Value {
        match self {
            Self::Number(number) => Value::Number(number),
            Self::Text(text) => Value::Text(text.into()),
        }
    }
}

#[derive(Serialize, Deserialize)]
enum PhaseState {
    Pending { since: i64, held_at: i64, unknown: bool, n: u32 },
    Firing,
    Recovering { cleared_at: i64 },
    NoData,
    Error,
}

#[derive(Serialize, Deserialize)]
struct EpisodeState<'a> {
    /// Its place in the plan.
    position: u32,
    phase: PhaseState,
    climb: Climb,
    id: u64,
    severity: &'a str,
    since: i64,
    fired_at: Option<i64>,
    value: Option<f64>,
    summary: &'a str,
    last_at: i64,
    note: Option<&'a str>,
}

impl Engine {
    /// Appends the engine's state to `out`.
    pub fn snapshot(&self, names: &Names, out: &mut Vec<u8>) {
        let devices = (0..)
            .zip(&self.devices)
            .filter_map(|(key, slot)| match slot {
                Slot::Watched(device) => {
                    Some(save_device(names.device(DeviceKey(key)).as_str(), device))
                }
                _ => None,
            })
            .collect();
        let state = EngineState {
            rules: self.rules.text(),
            now: self.now.as_micros(),
            ordinals: (self.ordinals.position.0, self.ordinals.next),
            devices,
            groups: self.groups.save(&self.rules),
            presences: self
                .presences
                .iter()
                .map(|(key, it)| (names.device(key).as_str(), it.is_online()))
                .collect(),
        };
        out.push(VERSION);
        let bytes = postcard::to_stdvec(&state).expect("a Vec takes everything");
        out.extend_from_slice(&bytes);
    }

    /// The engine that [`Engine::snapshot`] saved, if it knew nothing of devices beside its rules; see
    /// [`Engine::restore_knowing`].
    ///
    /// # Errors
    /// [`SnapshotError`]; `names` may then have grown.
    pub fn restore(bytes: &[u8], names: &mut Names) -> Result<Self, SnapshotError> {
        Self::restore_knowing(bytes, names, Registry::default())
    }

    /// The engine that [`Engine::snapshot`] saved, rules included: it goes on as that one would
    /// have. Devices and metrics it knows are added to `names`; `registry` is what it knew of
    /// devices. Its [`Engine::stats`] count anew.
    ///
    /// # Errors
    /// [`SnapshotError`]; `names` may then have grown.
    pub fn restore_knowing(
        bytes: &[u8],
        names: &mut Names,
        registry: Registry,
    ) -> Result<Self, SnapshotError> {
        let [VERSION, body @ ..] = bytes else {
            return Err(SnapshotError::Version { found: bytes.first().copied() });
        };
        let state: EngineState<'_> = postcard::from_bytes(body).map_err(SnapshotError::Damaged)?;
        let mut engine = Self {
            rules: load_rules(state.rules)?,
            now: Timestamp::from_micros(state.now),
            ordinals: Ordinals { position: LogPosition(state.ordinals.0), next: state.ordinals.1 },
            ..Self::knowing(registry)
        };
        for (metric, _) in engine.rules.inputs() {
            names.add_metric(metric);
        }
        for device in state.devices {
            engine.load_device(device, names)?;
        }
        engine.load_groups(state.groups)?;
        for (device, is_online) in state.presences {
            let id = DeviceId::new(device)
                .map_err(|_| SnapshotError::Inconsistent("a device's name is not valid"))?;
            let key = names
                .add_device(&id)
                .ok_or(SnapshotError::Inconsistent("it has too many devices"))?;
            engine.presences.set(key, Presence::from(is_online));
        }
        Ok(engine)
    }

    fn load_device(
        &mut self,
        state: DeviceState<'_>,
        names: &mut Names,
    ) -> Result<(), SnapshotError> {
        let id = DeviceId::new(state.device)
            .map_err(|_| SnapshotError::Inconsistent("a device's name is not valid"))?;
        let key =
            names.add_device(&id).ok_or(SnapshotError::Inconsistent("it has too many devices"))?;
        let plan_id = self
            .plans
            .plan_for(&id, &self.rules, &self.registry)
            .ok_or(SnapshotError::Inconsistent("no rule is for one of its devices"))?;
        let mut device = self.revive(state, Who::Device(&id), plan_id)?;
        let timers = &mut self.timers;
        timers.extend(device.timer.map(|at| (at, key)));
        set_timer(timers, key, &mut device);
        if key.index() >= self.devices.len() {
            self.devices.resize_with(key.index() + 1, Slot::default);
        }
        self.devices[key.index()] = Slot::Watched(Box::new(device));
        Ok(())
    }
}

impl Engine {
    /// A device or group as it was.
    pub(super) fn revive(
        &mut self,
        state: DeviceState<'_>,
        who: Who<'_>,
        plan_id: u32,
    ) -> Result<Device, SnapshotError> {
        let plan = self.plans.at(plan_id);
        let mut device = Device::new(plan_id, plan, load_clock(&state));
        device.base = load_state(state.base, who, plan, &self.rules)?;
        device.shown = Timestamp::from_micros(state.shown);
        device.middle.at = Timestamp::from_micros(state.middle_at);
        device.recent = Recent::load(state.recent, plan.inputs.len())
            .ok_or(SnapshotError::Inconsistent("a reading does not fit its rules"))?;
        let cause =
            Cause { position: LogPosition(0), received_at: self.now, pace: device.clock.pace };
        let Self { rules, registry, ordinals, stats, stack, touched, .. } = self;
        let mut out = Vec::new();
        let mut desk = Desk { set: rules, registry, cause, ordinals, stats, out: &mut out };
        let mut bench = Bench { plan, who, stack, touched, desk: &mut desk };
        device.replay(&state.said, &mut bench);
        device.credit = (state.credit.0, Timestamp::from_micros(state.credit.1));
        for episode in device.live.episodes.iter().flatten() {
            stats.count_open(episode.alert.state);
        }
        device.timer = state.timer.map(Timestamp::from_micros);
        Ok(device)
    }
}

pub(super) fn save_device<'a>(id: &'a str, device: &'a Device) -> DeviceState<'a> {
    let DeviceClock { watermark, received_at, pace, late } = device.clock;
    DeviceState {
        device: id,
        watermark: watermark.as_micros(),
        received_at: received_at.as_micros(),
        live: pace == Pace::Live,
        late: late.map(|run| {
            // At most twice the lateness.
            let covered = u64::try_from(run.covered.as_micros()).unwrap_or(u64::MAX);
            (run.at.as_micros(), covered)
        }),
        shown: device.shown.as_micros(),
        credit: (device.credit.0, device.credit.1.as_micros()),
        timer: device.timer.map(Timestamp::as_micros),
        middle_at: device.middle.at.as_micros(),
        n_before_middle: device.n_before_middle as u64,
        said: device.said.iter().map(|step| step.alert.id.0).collect(),
        recent: device.recent.save(),
        base: save_state(&device.base),
    }
}

fn save_state(state: &State) -> StateState<'_> {
    let values = state.values.iter().map(|value| value.as_ref().map(ValueState::of));
    let episodes = (0..).zip(&state.episodes).filter_map(|(position, episode)| {
        episode.as_ref().map(|episode| save_episode(position, episode))
    });
    StateState {
        instants: state.instants(),
        values: values.collect(),
        windows: Cow::Borrowed(&state.windows),
        episodes: episodes.collect(),
        flaps: state.flaps.to_vec(),
        hours: state.hours.to_vec(),
    }
}

fn load_state(
    saved: StateState<'_>,
    who: Who<'_>,
    plan: &Plan,
    rules: &RuleSet,
) -> Result<State, SnapshotError> {
    let mut state = State::new(plan);
    let fits = saved.values.len() == state.values.len()
        && saved.instants.seen.len() == state.seen.len()
        && saved.windows.len() == state.windows.len()
        && saved.flaps.len() == state.flaps.len()
        && saved.hours.len() == state.hours.len()
        && saved.windows.iter().zip(&plan.windows).all(|(series, (_, span))| series.fits(span));
    if !fits {
        return Err(SnapshotError::Inconsistent("a device's values do not fit its rules"));
    }
    state.set_instants(&saved.instants);
    for (slot, value) in state.values.iter_mut().zip(saved.values) {
        *slot = value.map(ValueState::value);
    }
    state.windows = saved.windows.into_owned().into();
    (state.flaps, state.hours) = (saved.flaps.into(), saved.hours.into());
    for episode in saved.episodes {
        let alert = load_alert(&episode, who, plan, rules)?;
        state.n_open += 1;
        state.episodes[episode.position as usize] = Some(Arc::new(Episode {
            phase: load_phase(&episode.phase),
            climb: episode.climb.sound(),
            alert,
            last_at: Timestamp::from_micros(episode.last_at),
            note: episode.note.map(str::to_owned),
        }));
    }
    state.reschedule(plan, rules);
    Ok(state)
}

fn save_episode(position: u32, episode: &Episode) -> EpisodeState<'_> {
    let phase = match episode.phase {
        Phase::Pending { since, held_at, now, n } => PhaseState::Pending {
            since: since.as_micros(),
            held_at: held_at.as_micros(),
            unknown: now == Holding::Unknown,
            n,
        },
        Phase::Firing => PhaseState::Firing,
        Phase::Recovering { cleared_at } => {
            PhaseState::Recovering { cleared_at: cleared_at.as_micros() }
        }
        Phase::NoData => PhaseState::NoData,
        Phase::Error => PhaseState::Error,
    };
    EpisodeState {
        position,
        phase,
        climb: episode.climb,
        id: episode.alert.id.0,
        severity: episode.alert.severity.label(),
        since: episode.alert.since.as_micros(),
        fired_at: episode.alert.fired_at.map(Timestamp::as_micros),
        value: episode.alert.value,
        summary: &episode.alert.summary,
        last_at: episode.last_at.as_micros(),
        note: episode.note.as_deref(),
    }
}

fn load_rules(text: &str) -> Result<Arc<RuleSet>, SnapshotError> {
    if text.is_empty() {
        return Ok(Arc::default());
    }
    RuleSet::parse(text).map(Arc::new).map_err(|errors| {
        // There is at least one.
        errors
            .into_iter()
            .next()
            .map_or(SnapshotError::Inconsistent("its rules are not valid"), |error| {
                SnapshotError::Rules(Box::new(error))
            })
    })
}

fn load_clock(state: &DeviceState<'_>) -> DeviceClock {
    DeviceClock {
        watermark: Timestamp::from_micros(state.watermark),
        received_at: Timestamp::from_micros(state.received_at),
        pace: if state.live { Pace::Live } else { Pace::Historical },
        late: state.late.map(|(at, covered)| LateRun {
            at: Timestamp::from_micros(at),
            covered: std::time::Duration::from_micros(covered),
        }),
    }
}

fn load_phase(state: &PhaseState) -> Phase {
    match *state {
        PhaseState::Pending { since, held_at, unknown, n } => Phase::Pending {
            since: Timestamp::from_micros(since),
            held_at: Timestamp::from_micros(held_at),
            now: if unknown { Holding::Unknown } else { Holding::Yes },
            n,
        },
        PhaseState::Firing => Phase::Firing,
        PhaseState::Recovering { cleared_at } => {
            Phase::Recovering { cleared_at: Timestamp::from_micros(cleared_at) }
        }
        PhaseState::NoData => Phase::NoData,
        PhaseState::Error => Phase::Error,
    }
}

fn load_alert(
    state: &EpisodeState<'_>,
    who: Who<'_>,
    plan: &Plan,
    rules: &RuleSet,
) -> Result<Alert, SnapshotError> {
    let rule = plan
        .rules
        .get(state.position as usize)
        .ok_or(SnapshotError::Inconsistent("an alert's rule is not for its device"))?;
    let severity = Severity::from_label(state.severity)
        .ok_or(SnapshotError::Inconsistent("a severity is unknown"))?;
    Ok(Alert {
        id: AlertId(state.id),
        rule: rules.at(*rule).name.clone(),
        device: who.target(),
        severity,
        state: load_phase(&state.phase).state(),
        since: Timestamp::from_micros(state.since),
        fired_at: state.fired_at.map(Timestamp::from_micros),
        resolved_at: None,
        value: state.value,
        summary: state.summary.to_owned(),
        labels: None,
        handling: None,
    })
}
