//! A message: how a group stands, for one receiver.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use bellwire_model::{AlertId, Timestamp};
use sha2::{Digest, Sha256};

use super::facts::{Facts, Labels, Status};
use super::group::{Group, GroupKey, Line, Member};
use super::{Dispatch, LineId};

/// What a message says of an alert.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// What there is to be told of it.
    pub facts: Arc<Facts>,
    /// Whether it says that the alert fires.
    pub status: Status,
}

/// A message for one receiver.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// What it is known by: the same as long as it says the same. 32 hexadecimal digits.
    pub id: String,
    /// For whom: an index of the plan's receivers.
    pub receiver: usize,
    pub(super) line: LineId,
    /// The group, in Alertmanager's way: `{}/{site="berlin"}:{rule="hot"}`. It stays the same for the
    /// next messages of the group.
    pub group_key: String,
    /// What the group's alerts have in common, as its route asks.
    pub group_labels: Labels,
    /// Whether any alert of the group fires.
    pub status: Status,
    /// What it says; never empty.
    pub alerts: Vec<Said>,
    /// How many of the group's alerts it says nothing of.
    pub n_left_out: usize,
    /// How many of these there is news of, which the next message brings.
    pub(super) n_news_left: usize,
}

impl Notice {
    /// A message of no group: a test. Nothing is to be told the dispatcher of it.
    #[must_use]
    pub fn test(id: String, alerts: Vec<Said>) -> Self {
        let site = alerts.first().and_then(|said| said.facts.labels.get_key_value("site"));
        let fires = alerts.iter().any(|said| said.status == Status::Firing);
        Self {
            id,
            receiver: usize::MAX,
            line: LineId { group: u64::MAX, slot: 0 },
            group_key: "{}/{}:{rule=\"BellwireTest\"}".to_owned(),
            group_labels: site
                .map(|(name, value)| (name.clone(), value.clone()))
                .into_iter()
                .collect(),
            status: if fires { Status::Firing } else { Status::Resolved },
            alerts,
            n_left_out: 0,
            n_news_left: 0,
        }
    }

    /// How many of its alerts fire.
    #[must_use]
    pub fn n_firing(&self) -> usize {
        self.alerts.iter().filter(|said| said.status == Status::Firing).count()
    }
}

impl Dispatch {
    /// What a line has to say now; `None` if there is nothing. Then it is asked again when the next
    /// repetition would be due.
    pub(super) fn notice(&mut self, at: LineId, now: Timestamp) -> Option<Notice> {
        let group = self.groups.get(&at.group)?;
        let is_mirror = group.key.is_mirror();
        let slot = usize::from(at.slot);
        let timing = group.timing;
        let line = &group.lines[slot];
        let is_repeat = line.is_repeat_due(timing, now);
        let is_asked = is_repeat || !line.again.is_empty();
        let repeated = if is_asked { self.repeated(at) } else { BTreeSet::new() };
        let line = &mut self.groups.get_mut(&at.group)?.lines[slot];
        if is_mirror && is_repeat {
            line.again.clone_from(&repeated);
        } else {
            line.again.retain(|id| repeated.contains(id));
        }
        if is_repeat && (is_mirror || repeated.is_empty()) {
            line.repeated = Some(now);
        }
        let has_repeated = if is_mirror { !line.again.is_empty() } else { !repeated.is_empty() };
        if !has_repeated && !line.is_news_due(timing, now) {
            return None;
        }
        let group = self.groups.get(&at.group)?;
        let receiver = &self.plan.receivers[group.lines[slot].receiver];
        let (alerts, n_all) = self.chosen(group, &group.lines[slot], receiver.alerts_max);
        if alerts.is_empty() {
            return None;
        }
        let line = &group.lines[slot];
        let n_news = alerts.iter().filter(|said| line.news.contains_key(&said.facts.id)).count();
        Some(Notice {
            id: id_of(&receiver.key, &group.key, line.n_sent, &alerts),
            receiver: line.receiver,
            line: at,
            group_key: self.key_text(&group.key),
            group_labels: labels_of(&group.key),
            status: self.status_of(group),
            n_left_out: n_all - alerts.len(),
            n_news_left: line.news.len() - n_news,
            alerts,
        })
    }

    /// What is told again: what fires and nobody has acknowledged. Who groups by himself, hears of all
    /// that fires.
    fn repeated(&self, at: LineId) -> BTreeSet<AlertId> {
        let Some(group) = self.groups.get(&at.group) else { return BTreeSet::new() };
        let line = &group.lines[usize::from(at.slot)];
        let is_mirror = group.key.is_mirror();
        let is_repeated = |id: &AlertId| {
            let (Some(entry), Some(member)) = (self.alerts.get(id), group.members.get(id)) else {
                return false;
            };
            entry.is_repeated(*member) && (is_mirror || !entry.acknowledged)
        };
        let told = line.told.iter().filter(|(_, told)| told.is_firing).map(|(id, _)| *id);
        told.filter(is_repeated).collect()
    }

    /// The news, then what else fires, as many as fit; and how many there are in all.
    fn chosen(&self, group: &Group, line: &Line, alerts_max: usize) -> (Vec<Said>, usize) {
        let said = |id: &AlertId| {
            let entry = self.alerts.get(id)?;
            let facts = Arc::clone(&entry.facts);
            Some(Said { status: facts.status, facts })
        };
        let mut alerts: Vec<Said> = line.news.keys().take(alerts_max).filter_map(said).collect();
        let mut n_all = line.news.len();
        let others: Box<dyn Iterator<Item = &AlertId>> = if group.key.is_mirror() {
            Box::new(line.again.iter())
        } else {
            Box::new(self.firing(group))
        };
        for id in others.filter(|id| !line.news.contains_key(id)) {
            n_all += 1;
            if alerts.len() < alerts_max {
                alerts.extend(said(id));
            }
        }
        // What fires first, then by time.
        alerts.sort_by_key(|said| {
            (said.status != Status::Firing, said.facts.starts_at, said.facts.id)
        });
        (alerts, n_all)
    }

    /// Those that fire and are told.
    fn firing<'a>(&'a self, group: &'a Group) -> impl Iterator<Item = &'a AlertId> {
        let fires = |(id, member): &(&AlertId, &Member)| {
            self.alerts.get(id).is_some_and(|entry| entry.is_repeated(**member))
        };
        group.members.iter().filter(fires).map(|(id, _)| id)
    }

    fn status_of(&self, group: &Group) -> Status {
        let fires = self.firing(group).next().is_some();
        if fires { Status::Firing } else { Status::Resolved }
    }

    fn key_text(&self, key: &GroupKey) -> String {
        let GroupKey::Route { route, labels } = key else { return "{}:{}".to_owned() };
        let mut text = format!("{{}}/{{{}}}:{{", self.plan.routes[*route].matchers);
        for (index, (name, value)) in labels.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(text, "{comma}{name}={value:?}").expect("a text takes everything");
        }
        text.push('}');
        text
    }
}

fn labels_of(key: &GroupKey) -> Labels {
    match key {
        GroupKey::Route { labels, .. } => labels.clone(),
        GroupKey::Mirror { .. } => Labels::new(),
    }
}

/// The first 32 digits of a hash of what is said, to whom, after how many other messages.
fn id_of(receiver: &str, key: &GroupKey, n_sent: u64, alerts: &[Said]) -> String {
    let mut hash = Sha256::new();
    let mut add = |part: &[u8]| {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    };
    add(receiver.as_bytes());
    for (name, value) in &labels_of(key) {
        add(name.as_bytes());
        add(value.as_bytes());
    }
    add(&n_sent.to_le_bytes());
    for said in alerts {
        add(&said.facts.id.0.to_le_bytes());
        add(said.facts.state.label().as_bytes());
        add(said.facts.severity.label().as_bytes());
    }
    hash.finalize().iter().take(16).fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a text takes everything");
        text
    })
}
