//! The engine, and how what it says is handled: together they are what *judge* runs.

use std::sync::Arc;

use bellwire_model::{
    Action, Alert, DeviceKey, LogPosition, Names, Observation, Presence, Profile, Silence,
    Timestamp, Transition,
};

use super::{ActionAnswer, Handlings};
use crate::engine::Engine;
use crate::rules::RuleSet;

/// When a record was received, and where it lies.
type Moment = (Timestamp, LogPosition);

/// An engine whose alerts are handled: what it says has labels and handling filled in, and steps behind it.
///
/// Like the engine it is a pure function of its calls, which must come in log order.
#[derive(Debug, Default)]
pub struct Handled {
    pub(super) engine: Engine,
    pub(super) handlings: Handlings,
}

impl Handled {
    /// An engine without rules that has seen nothing, and nobody has done anything.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The engine.
    #[must_use]
    pub const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// How its alerts are handled.
    #[must_use]
    pub const fn handlings(&self) -> &Handlings {
        &self.handlings
    }

    /// See [`Engine::observe`].
    ///
    /// # Panics
    /// If the observation's keys are not from `names`.
    pub fn observe(
        &mut self,
        observation: &Observation<'_>,
        names: &Names,
        out: &mut Vec<Transition>,
    ) {
        let first = out.len();
        self.engine.observe(observation, names, out);
        self.follow((observation.received_at, observation.position), first, out);
    }

    /// Lets the time pass that was received: see [`Engine::tick`].
    pub fn tick(&mut self, moment: Moment, names: &Names, out: &mut Vec<Transition>) {
        let first = out.len();
        self.engine.tick(moment.0, moment.1, names, out);
        self.follow(moment, first, out);
        self.handlings.advance(&mut self.engine.record(moment, out));
    }

    /// See [`Engine::started`].
    pub fn started(&mut self, received_at: Timestamp) {
        self.engine.started(received_at);
    }

    /// See [`Engine::presence`].
    ///
    /// # Panics
    /// If the key is not from `names`.
    pub fn presence(
        &mut self,
        change: (DeviceKey, Presence),
        moment: Moment,
        names: &Names,
        out: &mut Vec<Transition>,
    ) {
        let first = out.len();
        self.engine.presence(change, moment, names, out);
        self.follow(moment, first, out);
    }

    /// Replaces the rules: see [`Engine::set_rules`].
    pub fn set_rules(
        &mut self,
        rules: Arc<RuleSet>,
        moment: Moment,
        names: &Names,
        out: &mut Vec<Transition>,
    ) {
        let first = out.len();
        self.engine.set_rules(rules, moment.0, moment.1, names, out);
        let mut record = self.engine.record(moment, out);
        self.handlings.meet_rules(&record);
        self.handlings.follow(first, &mut record);
        self.handlings.rules_changed(&mut record);
    }

    /// Says something else of devices: see [`Engine::relabel`].
    ///
    /// # Panics
    /// If a key is not from `names`.
    pub fn relabel(
        &mut self,
        changes: &[(DeviceKey, Arc<Profile>)],
        moment: Moment,
        names: &Names,
        out: &mut Vec<Transition>,
    ) {
        let first = out.len();
        self.engine.relabel(changes, moment, names, out);
        let mut record = self.engine.record(moment, out);
        self.handlings.follow(first, &mut record);
        for (key, _) in changes {
            self.handlings.relabelled(&names.device(*key).into(), &mut record);
        }
    }

    /// Does what an operator asks for; silences as they stand after it are added to `silences`.
    pub fn act(
        &mut self,
        action: &Action,
        moment: Moment,
        out: &mut Vec<Transition>,
        silences: &mut Vec<Arc<Silence>>,
    ) -> ActionAnswer {
        self.handlings.act(action, &mut self.engine.record(moment, out), silences)
    }

    /// The alerts that are open: not over, or latched; by id.
    pub fn open(&self) -> impl Iterator<Item = &Alert> {
        self.handlings.open()
    }

    /// The earliest time at which a tick would change something.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.engine.next_deadline().into_iter().chain(self.handlings.next_deadline()).min()
    }

    fn follow(&mut self, moment: Moment, first: usize, out: &mut Vec<Transition>) {
        if out.len() > first {
            self.handlings.follow(first, &mut self.engine.record(moment, out));
        }
    }
}
