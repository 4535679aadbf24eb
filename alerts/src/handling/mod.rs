//! Handling: what operators do with alerts, and what mutes, escalates and latches them; pure like the engine.
//!
//! What the engine says of a record comes in, and so do actions and time; steps in the handling of alerts come
//! out, behind the engine's transitions and numbered like them. The engine knows nothing of it.
//!
//! # When an acknowledgement is dropped
//! An alert that becomes worse than what was acknowledged is nobody's: its severity rises, or it fires where
//! `no_data` or `error` was acknowledged. What a record says is taken as a whole: a correction that takes a
//! firing back and says it again for another instant, or falls and rises, drops nothing. One that takes it
//! back for good drops what was done about it; but where the same rule says it again as another alert, which
//! began earlier, that one is handled as the first was.
//!
//! # What is muted
//! Only alerts that have fired (or are `no_data` or `error`) and are not over: silences, inhibition and a
//! snooze change what they say of themselves, never whether they are shown.

mod act;
mod done;
mod handled;
mod held;
mod inhibit;
mod settle;
mod silences;
mod snapshot;
mod time;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bellwire_model::{
    Alert, AlertId, Handling, Labels, LogPosition, Matchers, Registry, Silence, Step, StepKind,
    Target, Timestamp, Transition,
};
use hashbrown::HashMap;

use crate::engine::episode::Ordinals;
use crate::rules::RuleSet;
use done::Done;
use held::Held;
use inhibit::Inhibition;
use silences::Silences;

pub use act::ActionAnswer;
pub use handled::Handled;

/// The most alerts that are over and wait for somebody to acknowledge them; the oldest go.
pub const LATCHED_MAX: usize = 100_000;
/// The most silences that are not over.
pub const SILENCES_MAX: usize = silences::OPEN_MAX;

/// A record of the log, and where what follows from it is written.
#[derive(Debug)]
pub(crate) struct Record<'a> {
    pub(crate) rules: &'a RuleSet,
    pub(crate) registry: &'a Registry,
    pub(crate) position: LogPosition,
    pub(crate) received_at: Timestamp,
    pub(crate) ordinals: &'a mut Ordinals,
    pub(crate) out: &'a mut Vec<Transition>,
}

impl Record<'_> {
    /// Writes a step of `alert`, which stands as it is after it.
    fn write(&mut self, alert: &Alert, step: Step) {
        self.out.push(Transition {
            position: self.position,
            ordinal: self.ordinals.take(self.position),
            alert: alert.clone(),
            from: alert.state,
            to: alert.state,
            at: self.received_at,
            received_at: self.received_at,
            rule_version: self.rules.version(),
            reason: words_of(&step).into(),
            correction: None,
            historical: false,
            step: Some(Box::new(step)),
        });
    }

    /// The labels of a device or group.
    fn labels_of(&self, target: &Target) -> Labels {
        if target.is_group() {
            // A group's name is written like matchers.
            let read = Matchers::parse(target.as_str()).unwrap_or_default();
            let labels = read.as_slice().iter().map(|it| (it.label().into(), it.value().into()));
            return labels.collect();
        }
        let device = bellwire_model::DeviceId::new(target.as_str());
        device.map(|device| self.rules.labels_of(&device, self.registry)).unwrap_or_default()
    }
}

/// A step as a sentence.
fn words_of(step: &Step) -> String {
    let what = step.kind.label().replace('_', " ");
    let by = step.by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
    let text = step.text.as_ref().map(|text| format!(": {text}")).unwrap_or_default();
    format!("{what}{by}{text}")
}

fn step(kind: StepKind) -> Step {
    Step { kind, by: None, text: None }
}

fn said(kind: StepKind, text: impl Into<Arc<str>>) -> Step {
    Step { text: Some(text.into()), ..step(kind) }
}

/// What has been done so far. Counts begin at the last start or restore.
#[derive(Clone, Debug, Default)]
pub struct HandlingStats {
    /// By the order of [`StepKind::ALL`].
    steps: [u64; StepKind::ALL.len()],
    /// Latched alerts that went because there were too many.
    pub(crate) latched_dropped: u64,
}

impl HandlingStats {
    /// How many steps of a kind there were.
    #[must_use]
    pub const fn steps(&self, kind: StepKind) -> u64 {
        self.steps[kind as usize]
    }
}

/// How all alerts that are open are handled.
#[derive(Debug, Default)]
pub struct Handlings {
    /// Every alert that is open, as it stands.
    held: BTreeMap<AlertId, Held>,
    by_target: HashMap<Target, BTreeSet<AlertId>>,
    /// Those that are over and latched, the longest first.
    latched: BTreeMap<(LogPosition, u32), AlertId>,
    /// When time will do something to them.
    due: BTreeSet<(Timestamp, AlertId)>,
    silences: Silences,
    inhibition: Inhibition,
    done: Done,
    /// How far time has passed.
    at: Timestamp,
    stats: HandlingStats,
}

impl Handlings {
    /// The alerts that are open, by id.
    pub fn open(&self) -> impl Iterator<Item = &Alert> {
        self.held.values().map(|held| &held.alert)
    }

    /// All silences that are remembered, by id; and of each, whether it mutes at present.
    pub fn silences(&self) -> impl Iterator<Item = (&Arc<Silence>, bool)> {
        self.silences.all()
    }

    /// A number that is another whenever [`Handlings::silences`] has changed.
    #[must_use]
    pub const fn n_silence_changes(&self) -> u64 {
        self.silences.n_changes()
    }

    /// How many alerts are over and wait for somebody.
    #[must_use]
    pub fn n_latched(&self) -> usize {
        self.latched.len()
    }

    /// How many silences mute at present.
    #[must_use]
    pub fn n_active_silences(&self) -> usize {
        self.silences.n_active()
    }

    /// What has been done so far.
    #[must_use]
    pub const fn stats(&self) -> &HandlingStats {
        &self.stats
    }

    /// The earliest time at which a tick would change something.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let due = self.due.first().map(|(at, _)| *at);
        due.into_iter().chain(self.silences.next_change()).min()
    }

    /// Puts an alert into all places but those of inhibition.
    fn insert(&mut self, held: Held) {
        let id = held.alert.id;
        self.by_target.entry_ref(&held.alert.device).or_default().insert(id);
        if held.is_latched() {
            self.latched.insert(held.latched_at, id);
        }
        self.due.extend(held.due.map(|at| (at, id)));
        self.held.insert(id, held);
    }

    /// Takes an alert from all places but those of inhibition.
    fn remove(&mut self, id: AlertId) -> Option<Held> {
        let held = self.held.remove(&id)?;
        if let Some(ids) = self.by_target.get_mut(&held.alert.device) {
            ids.remove(&id);
            if ids.is_empty() {
                self.by_target.remove(&held.alert.device);
            }
        }
        if held.is_latched() {
            self.latched.remove(&held.latched_at);
        }
        if let Some(at) = held.due {
            self.due.remove(&(at, id));
        }
        Some(held)
    }

    /// Changes how an alert is handled, and writes down the step.
    fn touch(
        &mut self,
        id: AlertId,
        step: Step,
        record: &mut Record<'_>,
        change: impl FnOnce(&mut Handling),
    ) {
        let Some(mut held) = self.remove(id) else { return };
        held.change(change);
        held.reconsider(record.rules, record.received_at);
        self.count(&step);
        record.write(&held.alert, step);
        self.insert(held);
    }

    const fn count(&mut self, step: &Step) {
        self.stats.steps[step.kind as usize] += 1;
    }
}
