//! A stand-in for the alert rules: thresholds, counts and deadlines, all of them state.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bellwire_ingest::ports::{Moment, Rules};
use bellwire_model::{
    Action, Alert, AlertId, AlertState, Deed, DeviceId, DeviceKey, LogPosition, Names, Observation,
    Presence, Profile, Registry, RuleName, Severity, Silence, Timestamp, Transition,
};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct DeviceState {
    n_observed: u64,
    t: f64,
    hot: bool,
    /// A tick from then on makes it hot.
    due_micros: Option<i64>,
}

/// All of the rules' memory: what they say depends on nothing else.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct RuleState {
    limit: f64,
    version: u64,
    n_started: u64,
    devices: BTreeMap<String, DeviceState>,
}

impl RuleState {
    /// The text is the new limit.
    pub(crate) fn load(&mut self, text: &str, moment: Moment, out: &mut Vec<Transition>) {
        self.limit = text.parse().expect("a number");
        self.version += 1;
        self.each(moment, out, |device, limit| {
            (device.hot && device.t <= limit).then(|| {
                device.hot = false;
                AlertState::Resolved
            })
        });
    }

    pub(crate) const fn started(&mut self) {
        self.n_started += 1;
    }

    pub(crate) fn tick(&mut self, moment: Moment, out: &mut Vec<Transition>) {
        self.each(moment, out, |device, _| {
            let due = device.due_micros.take_if(|due| *due <= moment.received_at.as_micros());
            due.map(|_| {
                device.hot = true;
                AlertState::Firing
            })
        });
    }

    /// Readings of one instant; `t` is the number of that metric, if it is among them.
    pub(crate) fn observe(
        &mut self,
        name: &str,
        t: Option<f64>,
        moment: Moment,
        out: &mut Vec<Transition>,
    ) {
        let limit = self.limit;
        let device = self.devices.entry(name.to_owned()).or_default();
        device.n_observed += 1;
        let mut states = Vec::new();
        if device.n_observed.is_multiple_of(7) {
            states.push(AlertState::NoData);
        }
        if let Some(t) = t {
            device.t = t;
            if (t > limit) != device.hot {
                device.hot = t > limit;
                states.push(if device.hot { AlertState::Firing } else { AlertState::Resolved });
            }
            if (t - limit).abs() < 3.0 {
                let due = moment.received_at + Duration::from_secs(5);
                device.due_micros.get_or_insert(due.as_micros());
            }
        }
        for to in states {
            self.say(name, to, moment, out);
        }
    }

    /// Says something of the device that the author is named after, once for each alert.
    pub(crate) fn act(&self, action: &Action, moment: Moment, out: &mut Vec<Transition>) {
        let Deed::Alerts { ids, .. } = &action.deed else { return };
        if self.devices.contains_key(&*action.author) {
            ids.iter().for_each(|_| self.say(&action.author, AlertState::Error, moment, out));
        }
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        self.devices
            .values()
            .filter_map(|device| device.due_micros)
            .min()
            .map(Timestamp::from_micros)
    }

    /// Asks every device for its next state, and says those that change.
    fn each(
        &mut self,
        moment: Moment,
        out: &mut Vec<Transition>,
        mut next: impl FnMut(&mut DeviceState, f64) -> Option<AlertState>,
    ) {
        let limit = self.limit;
        let changed: Vec<_> = self
            .devices
            .iter_mut()
            .filter_map(|(name, device)| Some((name.clone(), next(device, limit)?)))
            .collect();
        for (name, to) in changed {
            self.say(&name, to, moment, out);
        }
    }

    fn say(&self, name: &str, to: AlertState, moment: Moment, out: &mut Vec<Transition>) {
        let Moment { position, received_at } = moment;
        let earlier = out.iter().rev().take_while(|other| other.position == position).count();
        let ordinal = u32::try_from(earlier).expect("few");
        let rule = RuleName::new("hot").expect("valid");
        let device = DeviceId::new(name).expect("valid");
        let state = &self.devices[name];
        let alert = Alert {
            id: AlertId::of(&rule, &(&device).into(), position, ordinal),
            rule,
            device: device.into(),
            severity: Severity::Warning,
            state: to,
            since: received_at,
            fired_at: None,
            resolved_at: None,
            value: Some(state.t),
            summary: format!("{} of {}, start {}", state.t, self.limit, self.n_started),
            labels: None,
            handling: None,
        };
        let from = AlertState::Inactive;
        let reason = format!("observation {}", state.n_observed).into();
        let rule_version = self.version;
        out.push(Transition {
            position,
            ordinal,
            alert,
            from,
            to,
            at: received_at,
            received_at,
            rule_version,
            reason,
            correction: None,
            historical: false,
            step: None,
        });
    }
}

/// The port over it.
#[derive(Debug)]
pub(crate) struct SimRules {
    pub(crate) state: RuleState,
    /// How many snapshots have been taken.
    pub(crate) n_snapshots: Arc<AtomicU64>,
}

impl Rules for SimRules {
    fn load(&mut self, text: &str, moment: Moment, _: &Names, out: &mut Vec<Transition>) {
        self.state.load(text, moment, out);
    }

    fn started(&mut self, _: Moment) {
        self.state.started();
    }

    fn tick(&mut self, moment: Moment, _: &Names, out: &mut Vec<Transition>) {
        self.state.tick(moment, out);
    }

    fn observe(&mut self, observed: &Observation<'_>, names: &Names, out: &mut Vec<Transition>) {
        let Observation { device, received_at, position, readings, .. } = *observed;
        let is_t = |key| names.metric(key).as_str() == "t";
        let t = readings.iter().find(|reading| is_t(reading.metric));
        let t = t.and_then(|reading| reading.value.number());
        let moment = Moment { position, received_at };
        self.state.observe(names.device(device).as_str(), t, moment, out);
    }

    fn presence(
        &mut self,
        (device, presence): (DeviceKey, Presence),
        moment: Moment,
        names: &Names,
        out: &mut Vec<Transition>,
    ) {
        let t = if presence.is_online() { 0.0 } else { 100.0 };
        self.state.observe(names.device(device).as_str(), Some(t), moment, out);
    }

    fn relabel(
        &mut self,
        _: &[(DeviceKey, Arc<Profile>)],
        _: Moment,
        _: &Names,
        _: &mut Vec<Transition>,
    ) {
    }

    fn act(
        &mut self,
        action: &Action,
        moment: Moment,
        out: &mut Vec<Transition>,
        _silences: &mut Vec<Arc<Silence>>,
    ) {
        self.state.act(action, moment, out);
    }

    fn judged(&self) {}

    fn active(&self) -> Vec<Alert> {
        Vec::new()
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        self.state.next_deadline()
    }

    fn snapshot(&self, _: &Names, out: &mut Vec<u8>) {
        self.n_snapshots.fetch_add(1, Ordering::SeqCst);
        serde_json::to_writer(out, &self.state).expect("a vector takes all");
    }

    fn restore(
        &mut self,
        bytes: &[u8],
        _: &mut Names,
        _: &Registry,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        self.state = serde_json::from_slice(bytes)?;
        Ok(())
    }
}

/// A moment at a place of the log.
pub(crate) const fn moment(position: LogPosition, received_at: Timestamp) -> Moment {
    Moment { position, received_at }
}
