//! An engine with names, a log position and a list of what it said.

use std::sync::Arc;

use bellwire_alerts::{Engine, RuleSet};
use bellwire_model::{
    Base, DeviceId, DevicePatch, LogPosition, MetricName, Names, Noted, Observation, Reading,
    Registry, Timestamp, Transition, Value,
};

/// Second 0 of all tests, on the wall clock and on the devices' clocks.
pub(crate) const START: i64 = 1_700_000_000;

/// Second `secs` of a test.
pub(crate) fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(START + secs)
}

/// Parses rules that are right.
pub(crate) fn rules(text: &str) -> Arc<RuleSet> {
    match RuleSet::parse(text) {
        Ok(rules) => Arc::new(rules),
        Err(errors) => panic!("{}", errors[0].render("rules.toml", text)),
    }
}

pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) names: Names,
    pub(crate) position: u64,
    pub(crate) said: Vec<Transition>,
    pub(crate) registry: Registry,
}

impl World {
    pub(crate) fn new(text: &str) -> Self {
        let mut world = Self {
            engine: Engine::new(),
            names: Names::default(),
            position: 0,
            said: Vec::new(),
            registry: Registry::default(),
        };
        world.set_rules(0, text);
        world
    }

    fn next_position(&mut self) -> LogPosition {
        self.position += 100;
        LogPosition(self.position)
    }

    pub(crate) fn set_rules(&mut self, secs: i64, text: &str) {
        let position = self.next_position();
        self.engine.set_rules(rules(text), at(secs), position, &self.names, &mut self.said);
    }

    /// The registry says these labels of a device, and no others.
    pub(crate) fn relabel(&mut self, device: &str, secs: i64, labels: &[(&str, &str)]) {
        let id = DeviceId::new(device).expect("a name");
        let key = self.names.add_device(&id).expect("room");
        let labels = labels.iter().map(|(name, value)| ((*name).into(), Some((*value).into())));
        let patch = DevicePatch::Put(Base::Replaced, labels.collect());
        let position = self.next_position();
        let Noted::Changed(profile) = self.registry.patch(&id, &patch, (position, at(secs))) else {
            return;
        };
        let moment = (at(secs), position);
        self.engine.relabel(&[(key, profile)], moment, &self.names, &mut self.said);
    }

    /// Saves the engine, and goes on with what was saved.
    pub(crate) fn restart(&mut self) {
        let mut bytes = Vec::new();
        self.engine.snapshot(&self.names, &mut bytes);
        let registry = self.registry.clone();
        self.engine = Engine::restore_knowing(&bytes, &mut self.names, registry).expect("saved");
    }

    pub(crate) fn tick(&mut self, secs: i64) {
        let position = self.next_position();
        self.engine.tick(at(secs), position, &self.names, &mut self.said);
    }

    /// A live reading.
    pub(crate) fn read(&mut self, device: &str, secs: i64, values: &[(&str, f64)]) {
        self.receive(device, at(secs), at(secs), &numbers(values));
    }

    /// A reading of `at` that is received at `received_at`, in a record of its own.
    pub(crate) fn receive(
        &mut self,
        device: &str,
        at: Timestamp,
        received_at: Timestamp,
        values: &[(&str, Value)],
    ) {
        self.next_position();
        self.receive_here(device, at, received_at, values);
    }

    /// The same, with the device's counter.
    pub(crate) fn receive_numbered(
        &mut self,
        device: &str,
        at: Timestamp,
        received_at: Timestamp,
        seq: Option<u64>,
        values: &[(&str, Value)],
    ) {
        self.next_position();
        self.observe(device, at, received_at, seq, values);
    }

    /// The same, in the record before.
    pub(crate) fn receive_here(
        &mut self,
        device: &str,
        at: Timestamp,
        received_at: Timestamp,
        values: &[(&str, Value)],
    ) {
        self.observe(device, at, received_at, None, values);
    }

    fn observe(
        &mut self,
        device: &str,
        at: Timestamp,
        received_at: Timestamp,
        seq: Option<u64>,
        values: &[(&str, Value)],
    ) {
        let id = DeviceId::new(device).expect("a device's name");
        let device = self.names.add_device(&id).expect("room for devices");
        let readings: Vec<_> = values
            .iter()
            .map(|(name, value)| {
                let name = MetricName::new(name).expect("a metric's name");
                let metric = self.names.add_metric(&name).expect("room for metrics");
                Reading { device, metric, at, value: value.clone() }
            })
            .collect();
        let observation = Observation {
            device,
            at,
            received_at,
            position: LogPosition(self.position),
            seq,
            readings: &readings,
        };
        self.engine.observe(&observation, &self.names, &mut self.said);
    }

    /// What was said since the last call: `device rule from>to @second`.
    pub(crate) fn take(&mut self) -> Vec<String> {
        self.said.drain(..).map(|transition| line(&transition)).collect()
    }

    /// The reasons of what was said since the last call.
    pub(crate) fn reasons(&mut self) -> Vec<String> {
        self.said.drain(..).map(|transition| transition.reason.into_owned()).collect()
    }

    /// The alerts that are not over: `device rule state`.
    pub(crate) fn open(&self) -> Vec<String> {
        let alerts = self.engine.active();
        alerts.map(|alert| format!("{} {} {}", alert.device, alert.rule, alert.state)).collect()
    }
}

pub(crate) fn numbers<'a>(values: &[(&'a str, f64)]) -> Vec<(&'a str, Value)> {
    values.iter().map(|(name, value)| (*name, Value::Number(*value))).collect()
}

fn line(transition: &Transition) -> String {
    let Transition { alert, from, to, at, correction, .. } = transition;
    let micros = at.as_micros() - START * 1_000_000;
    #[expect(clippy::cast_precision_loss, reason = "tests last for minutes")]
    let secs = micros as f64 / 1e6;
    let correction = correction.map_or(String::new(), |it| format!(" {it}"));
    format!("{} {} {from}>{to} @{secs}{correction}", alert.device, alert.rule)
}
