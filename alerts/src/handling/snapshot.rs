//! The engine's state, and how its alerts are handled, as bytes.
//!
//! A byte that no engine's snapshot begins with, the length of the engine's, the engine's, and postcard. A
//! snapshot of an engine alone, as versions before handling wrote them, is of alerts that nobody has touched.

use std::sync::Arc;

use bellwire_model::{
    Acknowledgement, ActionId, ActionOutcome, Alert, AlertId, AlertOutcome, AlertState, Handling,
    LogPosition, Matchers, Names, Registry, RuleName, Severity, Silence, SilenceId, SilenceOutcome,
    Target, Timestamp,
};
use serde::{Deserialize, Serialize};

use super::done::Past;
use super::held::{Accepted, Held};
use super::silences::schedule_of;
use super::{Handled, Handlings};
use crate::engine::Engine;
use crate::engine::clock::Pace;
use crate::engine::snapshot::SnapshotError;

/// The layout that this version writes and reads; the engine's own numbers are small.
const VERSION: u8 = 0xA1;

type Text = Box<str>;

#[derive(Serialize, Deserialize)]
struct HandlingsState {
    /// How far time has passed.
    at: i64,
    held: Vec<HeldState>,
    silences: Vec<SilenceState>,
    done: Vec<PastState>,
}

#[derive(Serialize, Deserialize)]
struct HeldState {
    alert: AlertStateOf,
    place: (u64, u32),
    worst: u8,
    accepted: Option<(u8, bool)>,
    waits_since: Option<i64>,
    is_historical: bool,
    before: Option<Box<HeldState>>,
    latched_at: (u64, u32),
}

#[derive(Serialize, Deserialize)]
struct AlertStateOf {
    id: u64,
    rule: Text,
    device: Text,
    severity: u8,
    state: u8,
    since: i64,
    fired_at: Option<i64>,
    resolved_at: Option<i64>,
    value: Option<f64>,
    summary: String,
    labels: Vec<(Text, Text)>,
    handling: Option<HandlingState>,
}

#[derive(Serialize, Deserialize)]
struct HandlingState {
    acknowledged: Option<(Text, i64)>,
    assigned_to: Option<Text>,
    snoozed_until: Option<i64>,
    latched: bool,
    silenced_by: Vec<u128>,
    inhibited_by: Option<u64>,
    escalation: u8,
}

#[derive(Serialize, Deserialize)]
struct SilenceState {
    id: u128,
    version: u32,
    matchers: String,
    starts_at: i64,
    ends_at: i64,
    schedule: Option<(Text, Text)>,
    author: Text,
    reason: Text,
    created_at: i64,
    updated_at: i64,
}

#[derive(Serialize, Deserialize)]
struct PastState {
    id: u128,
    request: u64,
    at: i64,
    outcome: OutcomeState,
}

#[derive(Serialize, Deserialize)]
enum OutcomeState {
    Alerts(Vec<(u64, u8)>),
    Silence(u128, SilenceOutcomeState),
    IdReused,
}

#[derive(Serialize, Deserialize)]
enum SilenceOutcomeState {
    Done,
    NotFound,
    Changed(u32),
    Over,
    EndsTooEarly,
    Full,
    BadSchedule,
}

impl Handled {
    /// Appends everything needed to go on from here, rules included, to `out`.
    pub fn snapshot(&self, names: &Names, out: &mut Vec<u8>) {
        out.push(VERSION);
        let at = out.len();
        out.extend_from_slice(&0_u64.to_le_bytes());
        self.engine.snapshot(names, out);
        let n_bytes = (out.len() - at - 8) as u64;
        out[at..at + 8].copy_from_slice(&n_bytes.to_le_bytes());
        let bytes = postcard::to_stdvec(&self.handlings.save());
        out.extend_from_slice(&bytes.expect("a Vec takes everything"));
    }

    /// What [`Handled::snapshot`] saved goes on as it would have. Names that it knows are added to
    /// `names`; `registry` is what it knew of devices. Counts begin anew.
    ///
    /// # Errors
    /// [`SnapshotError`]; `names` may then have grown.
    pub fn restore(
        bytes: &[u8],
        names: &mut Names,
        registry: Registry,
    ) -> Result<Self, SnapshotError> {
        let [VERSION, rest @ ..] = bytes else {
            let engine = Engine::restore_knowing(bytes, names, registry)?;
            let held = engine.active().cloned().map(Held::new).collect();
            return Ok(Self::with(engine, held, Handlings::default()));
        };
        let cut = SnapshotError::Inconsistent("it is cut off");
        let Some((n_bytes, rest)) = rest.split_first_chunk() else { return Err(cut) };
        let n_bytes = usize::try_from(u64::from_le_bytes(*n_bytes)).unwrap_or(usize::MAX);
        let Some((engine, rest)) = rest.split_at_checked(n_bytes) else { return Err(cut) };
        let engine = Engine::restore_knowing(engine, names, registry)?;
        let state: HandlingsState = postcard::from_bytes(rest).map_err(SnapshotError::Damaged)?;
        let mut handlings = Handlings::default();
        let held = handlings
            .load(state)
            .ok_or(SnapshotError::Inconsistent("how alerts are handled is not understood"))?;
        Ok(Self::with(engine, held, handlings))
    }

    fn with(mut engine: Engine, held: Vec<Held>, mut handlings: Handlings) -> Self {
        let (mut out, now) = (Vec::new(), engine.now());
        let record = engine.record((now, LogPosition::ZERO), &mut out);
        for held in held {
            handlings.admit(held, &record);
        }
        Self { engine, handlings }
    }
}

impl Handlings {
    fn save(&self) -> HandlingsState {
        HandlingsState {
            at: self.at.as_micros(),
            held: self.held.values().map(HeldState::of).collect(),
            silences: self.silences.all().map(|(silence, _)| SilenceState::of(silence)).collect(),
            done: self.done.past().map(PastState::of).collect(),
        }
    }

    /// Takes what [`Handlings::save`] gave, but for the alerts, which it returns.
    fn load(&mut self, state: HandlingsState) -> Option<Vec<Held>> {
        self.at = Timestamp::from_micros(state.at);
        for silence in state.silences {
            let silence = silence.silence()?;
            let schedule = schedule_of(silence.schedule.as_ref()).ok()?;
            self.silences.insert(Arc::new(silence), schedule, self.at);
        }
        for past in state.done {
            self.done.note(past.past()?);
        }
        state.held.into_iter().map(HeldState::held).collect()
    }
}

impl HeldState {
    fn of(held: &Held) -> Self {
        Self {
            alert: AlertStateOf::of(&held.alert),
            place: (held.place.0.0, held.place.1),
            worst: held.worst as u8,
            accepted: held.accepted.map(|it| (it.severity as u8, it.is_firing)),
            waits_since: held.waits_since.map(Timestamp::as_micros),
            is_historical: held.pace == Pace::Historical,
            before: held.before.as_deref().map(|before| Box::new(Self::of(before))),
            latched_at: (held.latched_at.0.0, held.latched_at.1),
        }
    }

    fn held(self) -> Option<Held> {
        let accepted = match self.accepted {
            Some((severity, is_firing)) => {
                Some(Accepted { severity: severity_of(severity)?, is_firing })
            }
            None => None,
        };
        let before = match self.before {
            Some(before) => Some(Box::new(before.held()?)),
            None => None,
        };
        let waits_since = self.waits_since.map(Timestamp::from_micros);
        Some(Held {
            place: (LogPosition(self.place.0), self.place.1),
            worst: severity_of(self.worst)?,
            accepted,
            waits_since,
            pace: if self.is_historical { Pace::Historical } else { Pace::Live },
            before,
            latched_at: (LogPosition(self.latched_at.0), self.latched_at.1),
            ..Held::new(self.alert.alert()?)
        })
    }
}

fn severity_of(index: u8) -> Option<Severity> {
    Severity::ALL.get(usize::from(index)).copied()
}

impl AlertStateOf {
    fn of(alert: &Alert) -> Self {
        let labels = alert.labels.iter().flat_map(|labels| labels.iter());
        Self {
            id: alert.id.0,
            rule: alert.rule.as_str().into(),
            device: alert.device.as_str().into(),
            severity: alert.severity as u8,
            state: alert.state as u8,
            since: alert.since.as_micros(),
            fired_at: alert.fired_at.map(Timestamp::as_micros),
            resolved_at: alert.resolved_at.map(Timestamp::as_micros),
            value: alert.value,
            summary: alert.summary.clone(),
            labels: labels.map(|(name, value)| (name.into(), value.into())).collect(),
            handling: alert.handling.as_deref().map(HandlingState::of),
        }
    }

    fn alert(self) -> Option<Alert> {
        let labels = self.labels.into_iter().map(|(name, value)| (name.into(), value.into()));
        Some(Alert {
            id: AlertId(self.id),
            rule: RuleName::new(&self.rule).ok()?,
            device: Target::new(&self.device).ok()?,
            severity: severity_of(self.severity)?,
            state: *AlertState::ALL.get(usize::from(self.state))?,
            since: Timestamp::from_micros(self.since),
            fired_at: self.fired_at.map(Timestamp::from_micros),
            resolved_at: self.resolved_at.map(Timestamp::from_micros),
            value: self.value,
            summary: self.summary,
            labels: Some(Arc::new(labels.collect())),
            handling: self.handling.map(|it| Box::new(it.handling())),
        })
    }
}

impl HandlingState {
    fn of(handling: &Handling) -> Self {
        let ack = handling.acknowledged.as_ref();
        Self {
            acknowledged: ack.map(|ack| ((&*ack.by).into(), ack.at.as_micros())),
            assigned_to: handling.assigned_to.as_deref().map(Into::into),
            snoozed_until: handling.snoozed_until.map(Timestamp::as_micros),
            latched: handling.latched,
            silenced_by: handling.silenced_by.iter().map(|id| id.0).collect(),
            inhibited_by: handling.inhibited_by.map(|id| id.0),
            escalation: handling.escalation,
        }
    }

    fn handling(self) -> Handling {
        Handling {
            acknowledged: self
                .acknowledged
                .map(|(by, at)| Acknowledgement { by: by.into(), at: Timestamp::from_micros(at) }),
            assigned_to: self.assigned_to.map(Into::into),
            snoozed_until: self.snoozed_until.map(Timestamp::from_micros),
            latched: self.latched,
            silenced_by: self.silenced_by.into_iter().map(SilenceId).collect(),
            inhibited_by: self.inhibited_by.map(AlertId),
            escalation: self.escalation,
        }
    }
}

impl SilenceState {
    fn of(silence: &Silence) -> Self {
        let schedule = silence.schedule.as_ref();
        Self {
            id: silence.id.0,
            version: silence.version,
            matchers: silence.matchers.to_string(),
            starts_at: silence.starts_at.as_micros(),
            ends_at: silence.ends_at.as_micros(),
            schedule: schedule.map(|(hours, zone)| ((&**hours).into(), (&**zone).into())),
            author: (&*silence.author).into(),
            reason: (&*silence.reason).into(),
            created_at: silence.created_at.as_micros(),
            updated_at: silence.updated_at.as_micros(),
        }
    }

    fn silence(self) -> Option<Silence> {
        Some(Silence {
            id: SilenceId(self.id),
            version: self.version,
            matchers: Matchers::parse(&self.matchers).ok()?,
            starts_at: Timestamp::from_micros(self.starts_at),
            ends_at: Timestamp::from_micros(self.ends_at),
            schedule: self.schedule.map(|(hours, zone)| (hours.into(), zone.into())),
            author: self.author.into(),
            reason: self.reason.into(),
            created_at: Timestamp::from_micros(self.created_at),
            updated_at: Timestamp::from_micros(self.updated_at),
        })
    }
}

impl PastState {
    fn of(past: &Past) -> Self {
        let outcome = match &past.outcome {
            ActionOutcome::Alerts(all) => {
                OutcomeState::Alerts(all.iter().map(|(id, it)| (id.0, *it as u8)).collect())
            }
            ActionOutcome::Silence(id, outcome) => {
                OutcomeState::Silence(id.0, SilenceOutcomeState::of(*outcome))
            }
            ActionOutcome::IdReused => OutcomeState::IdReused,
        };
        Self { id: past.id.0, request: past.request, at: past.at.as_micros(), outcome }
    }

    fn past(self) -> Option<Past> {
        let outcome = match self.outcome {
            OutcomeState::Alerts(all) => {
                let line = |(id, index): (u64, u8)| {
                    Some((AlertId(id), *AlertOutcome::ALL.get(usize::from(index))?))
                };
                ActionOutcome::Alerts(all.into_iter().map(line).collect::<Option<_>>()?)
            }
            OutcomeState::Silence(id, outcome) => {
                ActionOutcome::Silence(SilenceId(id), outcome.outcome())
            }
            OutcomeState::IdReused => ActionOutcome::IdReused,
        };
        let at = Timestamp::from_micros(self.at);
        Some(Past { id: ActionId(self.id), request: self.request, at, outcome })
    }
}

impl SilenceOutcomeState {
    const fn of(outcome: SilenceOutcome) -> Self {
        match outcome {
            SilenceOutcome::Done => Self::Done,
            SilenceOutcome::NotFound => Self::NotFound,
            SilenceOutcome::Changed(version) => Self::Changed(version),
            SilenceOutcome::Over => Self::Over,
            SilenceOutcome::EndsTooEarly => Self::EndsTooEarly,
            SilenceOutcome::Full => Self::Full,
            SilenceOutcome::BadSchedule => Self::BadSchedule,
        }
    }

    const fn outcome(self) -> SilenceOutcome {
        match self {
            Self::Done => SilenceOutcome::Done,
            Self::NotFound => SilenceOutcome::NotFound,
            Self::Changed(version) => SilenceOutcome::Changed(version),
            Self::Over => SilenceOutcome::Over,
            Self::EndsTooEarly => SilenceOutcome::EndsTooEarly,
            Self::Full => SilenceOutcome::Full,
            Self::BadSchedule => SilenceOutcome::BadSchedule,
        }
    }
}
