//! A handled engine, and a list of what it said.

use std::sync::Arc;
use std::time::Duration;

use bellwire_alerts::{ActionAnswer, Handled};
use bellwire_model::{
    Action, ActionId, ActionOutcome, Alert, AlertDeed, AlertId, AlertOutcome, Base, Deed, DeviceId,
    DevicePatch, LogPosition, Matchers, MetricName, Names, Noted, Observation, Reading, Registry,
    Silence, SilenceDraft, SilenceId, SilenceOutcome, Timestamp, Transition, Value,
};

use crate::world::{at, rules};

pub(super) struct Desk {
    pub(super) it: Handled,
    pub(super) names: Names,
    pub(super) registry: Registry,
    pub(super) said: Vec<Transition>,
    pub(super) silences: Vec<Arc<Silence>>,
    pub(super) position: u64,
    n_actions: u128,
}

impl Desk {
    pub(super) fn new(text: &str) -> Self {
        let mut desk = Self {
            it: Handled::new(),
            names: Names::default(),
            registry: Registry::default(),
            said: Vec::new(),
            silences: Vec::new(),
            position: 0,
            n_actions: 0,
        };
        desk.set_rules(0, text);
        desk
    }

    fn next(&mut self) -> LogPosition {
        self.position += 100;
        LogPosition(self.position)
    }

    pub(super) fn set_rules(&mut self, secs: i64, text: &str) {
        let moment = (at(secs), self.next());
        self.it.set_rules(rules(text), moment, &self.names, &mut self.said);
    }

    pub(super) fn relabel(&mut self, device: &str, secs: i64, labels: &[(&str, &str)]) {
        let id = DeviceId::new(device).expect("a name");
        let key = self.names.add_device(&id).expect("room");
        let labels = labels.iter().map(|(name, value)| ((*name).into(), Some((*value).into())));
        let patch = DevicePatch::Put(Base::Replaced, labels.collect());
        let position = self.next();
        let Noted::Changed(profile) = self.registry.patch(&id, &patch, (position, at(secs))) else {
            return;
        };
        self.it.relabel(&[(key, profile)], (at(secs), position), &self.names, &mut self.said);
    }

    /// A reading of second `of`, received at second `secs`.
    pub(super) fn late(&mut self, device: &str, (of, secs): (i64, i64), value: f64) {
        let position = self.next();
        let id = DeviceId::new(device).expect("a name");
        let device = self.names.add_device(&id).expect("room");
        let metric = MetricName::new("t").expect("a name");
        let metric = self.names.add_metric(&metric).expect("room");
        let readings = [Reading { device, metric, at: at(of), value: Value::Number(value) }];
        let observation = Observation {
            device,
            at: at(of),
            received_at: at(secs),
            position,
            seq: None,
            readings: &readings,
        };
        self.it.observe(&observation, &self.names, &mut self.said);
    }

    pub(super) fn read(&mut self, device: &str, secs: i64, value: f64) {
        self.late(device, (secs, secs), value);
    }

    pub(super) fn tick(&mut self, secs: i64) {
        let moment = (at(secs), self.next());
        self.it.tick(moment, &self.names, &mut self.said);
    }

    /// Saves everything, and goes on with what was saved.
    pub(super) fn restart(&mut self) {
        let mut bytes = Vec::new();
        self.it.snapshot(&self.names, &mut bytes);
        let registry = self.registry.clone();
        let mut names = Names::default();
        let again = Handled::restore(&bytes, &mut names, registry).expect("just written");
        assert_eq!(again.next_deadline(), self.it.next_deadline());
        let open = |it: &Handled| it.open().cloned().collect::<Vec<_>>();
        assert_eq!(open(&again), open(&self.it));
        (self.it, self.names) = (again, names);
    }

    pub(super) fn action(&mut self, author: &str, deed: Deed) -> Action {
        self.n_actions += 1;
        let id = ActionId(self.n_actions);
        Action { id, request: 7, author: author.into(), deed }
    }

    pub(super) fn act(&mut self, action: &Action, secs: i64) -> ActionAnswer {
        let moment = (at(secs), self.next());
        self.it.act(action, moment, &mut self.said, &mut self.silences)
    }

    /// Does something with one alert.
    pub(super) fn handle(
        &mut self,
        author: &str,
        id: AlertId,
        what: AlertDeed,
        secs: i64,
    ) -> AlertOutcome {
        let deed = Deed::Alerts { ids: vec![id], what, seen: None, comment: None };
        let action = self.action(author, deed);
        match self.act(&action, secs).outcome {
            ActionOutcome::Alerts(all) => all[0].1,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn silence(&mut self, draft: SilenceDraft, secs: i64) -> SilenceOutcome {
        let action = self.action("sil", Deed::Silence(Box::new(draft)));
        self.silence_by(&action, secs)
    }

    pub(super) fn silence_by(&mut self, action: &Action, secs: i64) -> SilenceOutcome {
        match self.act(action, secs).outcome {
            ActionOutcome::Silence(_, outcome) => outcome,
            other => panic!("{other:?}"),
        }
    }

    /// The open alert on a device.
    pub(super) fn alert(&self, device: &str) -> &Alert {
        let found = self.it.open().find(|it| it.device.as_str() == device);
        found.unwrap_or_else(|| panic!("no alert on {device}"))
    }

    pub(super) fn id(&self, device: &str) -> AlertId {
        self.alert(device).id
    }

    /// What was said since the last call: `device from>to`, or of a step `device kind by: text`.
    pub(super) fn take(&mut self) -> Vec<String> {
        self.said.drain(..).map(|transition| line(&transition)).collect()
    }
}

fn line(transition: &Transition) -> String {
    let Transition { alert, from, to, correction, step, .. } = transition;
    let Some(step) = step else {
        let correction = correction.map_or(String::new(), |it| format!(" {it}"));
        return format!("{} {from}>{to}{correction}", alert.device);
    };
    let by = step.by.as_ref().map_or(String::new(), |by| format!(" by {by}"));
    let text = step.text.as_ref().map_or(String::new(), |text| format!(": {text}"));
    format!("{} {}{by}{text}", alert.device, step.kind)
}

/// A silence from `start` to `end`, in seconds.
pub(super) fn draft(id: u128, matchers: &str, (start, end): (i64, i64)) -> SilenceDraft {
    SilenceDraft {
        id: SilenceId(id),
        version: None,
        matchers: Matchers::parse(matchers).expect("right"),
        starts_at: Some(at(start)),
        ends_at: at(end),
        schedule: None,
        reason: "works".into(),
    }
}

pub(super) fn after(secs: u64) -> Timestamp {
    at(0) + Duration::from_secs(secs)
}
