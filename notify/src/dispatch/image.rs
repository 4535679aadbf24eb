//! The state as bytes, for the next start; which may have other routes and channels.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use bellwire_model::{AlertId, AlertState, Severity, Timestamp};
use serde::{Deserialize, Serialize};

use super::alerts::Entry;
use super::facts::{Facts, Labels, Mute, Status};
use super::group::{Group, GroupKey, Heard, Line, Member, Told};
use super::plan::Plan;
use super::{Dispatch, LineId};

/// The bytes are not an image.
#[derive(Debug, thiserror::Error)]
#[error("the image is damaged")]
pub struct ImageError(#[source] Option<postcard::Error>);

/// A state as it is written down.
#[derive(Debug, Serialize, Deserialize)]
pub struct Image {
    alerts: Vec<WireAlert>,
    groups: Vec<WireGroup>,
}

#[derive(Debug, Serialize, Deserialize)]
struct WireAlert {
    id: u64,
    status: u8,
    state: String,
    severity: String,
    starts_at: i64,
    ends_at: Option<i64>,
    value: Option<f64>,
    summary: String,
    labels: Labels,
    muted: bool,
    acknowledged: bool,
    escalation: u8,
    ended_at: Option<i64>,
}

#[derive(Debug, Serialize, Deserialize)]
struct WireGroup {
    /// The key of its route; none for a group of a receiver that groups by itself.
    route: Option<String>,
    labels: Labels,
    members: Vec<u64>,
    lines: Vec<WireLine>,
}

#[derive(Debug, Serialize, Deserialize)]
struct WireLine {
    receiver: String,
    told: Vec<WireTold>,
    since: Option<i64>,
    last_sent: Option<i64>,
    repeated: Option<i64>,
    n_sent: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct WireTold {
    alert: u64,
    is_firing: bool,
    severity: String,
    is_sure: bool,
}

const STATUSES: [Status; 3] = [Status::Firing, Status::Resolved, Status::Withdrawn];

impl Image {
    /// How a state is now.
    #[must_use]
    pub fn of(dispatch: &Dispatch) -> Self {
        let plan = &dispatch.plan;
        Self {
            alerts: dispatch.alerts.values().map(WireAlert::of).collect(),
            groups: dispatch.groups.values().map(|group| WireGroup::of(group, plan)).collect(),
        }
    }

    /// The image as bytes.
    ///
    /// # Errors
    /// If it is too large for the memory.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ImageError> {
        postcard::to_stdvec(self).map_err(|error| ImageError(Some(error)))
    }

    /// Reads what [`Image::to_bytes`] gave.
    ///
    /// # Errors
    /// If it did not.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ImageError> {
        postcard::from_bytes(bytes).map_err(|error| ImageError(Some(error)))
    }

    /// Goes on from it by a plan, which may be another. What was told by a route or to a receiver that
    /// is gone is forgotten. Whoever is new is told what fires now.
    ///
    /// # Errors
    /// If it has words that are not ours.
    pub fn restore(self, plan: Arc<Plan>, now: Timestamp) -> Result<Dispatch, ImageError> {
        let mut dispatch = Dispatch::new(plan);
        for alert in self.alerts {
            let entry = alert.entry()?;
            dispatch.alerts.insert(entry.facts.id, entry);
        }
        for group in self.groups {
            group.restore(&mut dispatch, now)?;
        }
        let all: Vec<AlertId> = dispatch.alerts.keys().copied().collect();
        for id in all {
            dispatch.enroll(id);
            dispatch.refresh(id, now);
        }
        let numbers: Vec<u64> = dispatch.groups.keys().copied().collect();
        for number in numbers {
            dispatch.close_if_empty(number);
        }
        Ok(dispatch)
    }
}

fn micros(at: Timestamp) -> i64 {
    at.as_micros()
}

/// A time of before; the clock may have been set back since.
fn past(at: Option<i64>, now: Timestamp) -> Option<Timestamp> {
    at.map(|at| Timestamp::from_micros(at).min(now))
}

impl WireAlert {
    fn of(entry: &Entry) -> Self {
        let facts = &*entry.facts;
        Self {
            id: facts.id.0,
            status: facts.status as u8,
            state: facts.state.label().to_owned(),
            severity: facts.severity.label().to_owned(),
            starts_at: micros(facts.starts_at),
            ends_at: facts.ends_at.map(micros),
            value: facts.value,
            summary: facts.summary.clone(),
            labels: facts.labels.clone(),
            muted: entry.mute == Mute::Muted,
            acknowledged: entry.acknowledged,
            escalation: entry.escalation,
            ended_at: entry.ended_at.map(micros),
        }
    }

    fn entry(self) -> Result<Entry, ImageError> {
        let unknown = || ImageError(None);
        let facts = Facts {
            id: AlertId(self.id),
            status: *STATUSES.get(usize::from(self.status)).ok_or_else(unknown)?,
            state: AlertState::from_label(&self.state).ok_or_else(unknown)?,
            severity: Severity::from_label(&self.severity).ok_or_else(unknown)?,
            starts_at: Timestamp::from_micros(self.starts_at),
            ends_at: self.ends_at.map(Timestamp::from_micros),
            value: self.value,
            summary: self.summary,
            labels: self.labels,
        };
        Ok(Entry {
            facts: Arc::new(facts),
            mute: if self.muted { Mute::Muted } else { Mute::Loud },
            acknowledged: self.acknowledged,
            escalation: self.escalation,
            groups: BTreeSet::new(),
            ended_at: self.ended_at.map(Timestamp::from_micros),
        })
    }
}

impl WireGroup {
    fn of(group: &Group, plan: &Plan) -> Self {
        let (route, labels) = match &group.key {
            GroupKey::Route { route, labels } => {
                (Some(plan.routes[*route].key.to_string()), labels.clone())
            }
            GroupKey::Mirror { .. } => (None, Labels::new()),
        };
        let line = |line: &Line| WireLine {
            receiver: plan.receivers[line.receiver].key.to_string(),
            told: line
                .told
                .iter()
                .map(|(id, told)| WireTold {
                    alert: id.0,
                    is_firing: told.is_firing,
                    severity: told.severity.label().to_owned(),
                    is_sure: told.heard == Heard::Surely,
                })
                .collect(),
            since: line.since.map(micros),
            last_sent: line.last_sent.map(micros),
            repeated: line.repeated.map(micros),
            n_sent: line.n_sent,
        };
        let members = group.members.keys().map(|id| id.0).collect();
        Self { route, labels, members, lines: group.lines.iter().map(line).collect() }
    }

    /// The group's key by the plan of now.
    fn key(&self, plan: &Plan) -> Option<GroupKey> {
        if let Some(key) = &self.route {
            let route = plan.routes.iter().position(|route| *route.key == **key)?;
            return Some(GroupKey::Route { route, labels: self.labels.clone() });
        }
        let key = &self.lines.first()?.receiver;
        let receiver = plan.receivers.iter().position(|it| *it.key == **key)?;
        Some(GroupKey::Mirror { receiver })
    }

    fn restore(self, dispatch: &mut Dispatch, now: Timestamp) -> Result<(), ImageError> {
        let plan = Arc::clone(&dispatch.plan);
        let Some(key) = self.key(&plan) else { return Ok(()) };
        let number = match dispatch.by_key.get(&key) {
            Some(number) => *number,
            None => dispatch.open_group(key),
        };
        let Some(group) = dispatch.groups.get_mut(&number) else { return Ok(()) };
        let mut lines: HashMap<String, WireLine> =
            self.lines.into_iter().map(|line| (line.receiver.clone(), line)).collect();
        let ids = || self.members.iter().copied().map(AlertId);
        let alerts = &dispatch.alerts;
        let over: Vec<&Entry> =
            ids().filter_map(|id| alerts.get(&id)).filter(|it| it.ended_at.is_some()).collect();
        for line in &mut group.lines {
            match lines.remove(&*plan.receivers[line.receiver].key) {
                Some(wire) => wire.restore(line, now)?,
                // Who is new has nothing to do with what is over.
                None => over.iter().for_each(|it| line.note_told(it.facts.id, Told::over(it))),
            }
        }
        for id in ids() {
            if let Some(entry) = dispatch.alerts.get_mut(&id) {
                entry.groups.insert(number);
                group.members.insert(id, Member { is_current: false });
            }
        }
        for slot in 0..group.lines.len() {
            let slot = u16::try_from(slot).unwrap_or(u16::MAX);
            dispatch.schedule(LineId { group: number, slot });
        }
        Ok(())
    }
}

impl WireLine {
    fn restore(self, line: &mut Line, now: Timestamp) -> Result<(), ImageError> {
        for WireTold { alert, is_firing, severity, is_sure } in self.told {
            let severity = Severity::from_label(&severity).ok_or(ImageError(None))?;
            let heard = if is_sure { Heard::Surely } else { Heard::Perhaps };
            line.note_told(AlertId(alert), Told { is_firing, severity, heard });
        }
        line.since = past(self.since, now);
        line.last_sent = past(self.last_sent, now);
        line.repeated = past(self.repeated, now);
        line.n_sent = self.n_sent;
        Ok(())
    }
}
