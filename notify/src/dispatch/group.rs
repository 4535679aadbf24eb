//! A group of alerts that are told together, and for each of its receivers a line: what that was told.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bellwire_model::{AlertId, Severity, Timestamp};

use super::alerts::Entry;
use super::facts::{Labels, Status};
use super::notice::Said;
use super::plan::{Plan, Timing};

/// What makes a group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum GroupKey {
    /// The alerts of a route that have these labels in common.
    Route { route: usize, labels: Labels },
    /// All alerts for a receiver that groups them itself.
    Mirror { receiver: usize },
}

impl GroupKey {
    pub(super) const fn is_mirror(&self) -> bool {
        matches!(self, Self::Mirror { .. })
    }
}

/// An alert's place in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// Whether it belongs there now; else it is only there until its end is told.
    pub(super) is_current: bool,
}

/// Whether a receiver has heard something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// It said so.
    Surely,
    /// A message went out, and nobody knows whether it arrived.
    Perhaps,
}

/// What a receiver was last told of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) is_firing: bool,
    pub(super) severity: Severity,
    pub(super) heard: Heard,
}

impl Told {
    /// It need not be told that an alert is over.
    pub(super) fn over(entry: &Entry) -> Self {
        Self { is_firing: false, severity: entry.facts.severity, heard: Heard::Surely }
    }

    pub(super) fn said(said: &Said) -> Self {
        let is_firing = said.status == Status::Firing;
        Self { is_firing, severity: said.facts.severity, heard: Heard::Surely }
    }
}

/// A group and its lines.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) key: GroupKey,
    pub(super) timing: Timing,
    pub(super) members: BTreeMap<AlertId, Member>,
    pub(super) lines: Vec<Line>,
}

impl Group {
    pub(super) fn new(key: &GroupKey, plan: &Plan) -> Self {
        let (timing, receivers) = plan.of_group(key);
        let lines = receivers.into_iter().map(Line::new).collect();
        Self { key: key.clone(), timing, members: BTreeMap::new(), lines }
    }

    /// An alert is not of this group any more.
    pub(super) fn leave(&mut self, id: AlertId) {
        self.members.remove(&id);
        for line in &mut self.lines {
            line.forget(id);
        }
    }
}

/// What one receiver was told of a group, and has to be.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) receiver: usize,
    pub(super) told: BTreeMap<AlertId, Told>,
    /// How many of those fire, as far as it was told.
    n_told_firing: usize,
    /// What it has to be told; of alerts that are over, since when.
    pub(super) news: BTreeMap<AlertId, Option<Timestamp>>,
    /// What is left of a round in which everything that fires is told again, where the receiver groups
    /// by itself.
    pub(super) again: BTreeSet<AlertId>,
    /// Since when there is news.
    pub(super) since: Option<Timestamp>,
    /// The last message did not hold all the news.
    pub(super) has_more: bool,
    pub(super) last_sent: Option<Timestamp>,
    /// When everything that fires was last told, or there was nothing to repeat.
    pub(super) repeated: Option<Timestamp>,
    pub(super) n_sent: u64,
    pub(super) n_rejected: u32,
    /// Not to be tried before.
    pub(super) not_before: Option<Timestamp>,
    /// The alerts of the message that is on its way.
    pub(super) on_way: BTreeSet<AlertId>,
    /// When it has something to send, as the timers have it.
    pub(super) due: Option<Timestamp>,
}

impl Line {
    pub(super) const fn new(receiver: usize) -> Self {
        Self {
            receiver,
            told: BTreeMap::new(),
            n_told_firing: 0,
            news: BTreeMap::new(),
            again: BTreeSet::new(),
            since: None,
            has_more: false,
            last_sent: None,
            repeated: None,
            n_sent: 0,
            n_rejected: 0,
            not_before: None,
            on_way: BTreeSet::new(),
            due: None,
        }
    }

    pub(super) fn has_told_firing(&self, id: AlertId) -> bool {
        self.told.get(&id).is_some_and(|told| told.is_firing)
    }

    pub(super) fn note_told(&mut self, id: AlertId, told: Told) {
        self.n_told_firing += usize::from(told.is_firing);
        if let Some(before) = self.told.insert(id, told) {
            self.n_told_firing -= usize::from(before.is_firing);
        }
    }

    /// A message goes out. From then on it may have been heard that an alert fires, or that it does not
    /// any more.
    pub(super) fn going_out(&mut self, alerts: &[Said]) {
        for said in alerts {
            let id = said.facts.id;
            let is_firing = said.status == Status::Firing || self.has_told_firing(id);
            if is_firing {
                let severity = said.facts.severity;
                self.note_told(id, Told { is_firing, severity, heard: Heard::Perhaps });
            }
        }
        self.on_way = alerts.iter().map(|said| said.facts.id).collect();
    }

    fn forget(&mut self, id: AlertId) {
        self.again.remove(&id);
        if let Some(before) = self.told.remove(&id) {
            self.n_told_firing -= usize::from(before.is_firing);
        }
    }

    /// A message has arrived.
    pub(super) const fn sent(&mut self, now: Timestamp, key: &GroupKey) {
        self.n_sent += 1;
        self.n_rejected = 0;
        self.not_before = None;
        self.last_sent = Some(now);
        if !key.is_mirror() || self.repeated.is_none() {
            self.repeated = Some(now);
        }
    }

    /// Whether what fires is to be told again.
    pub(super) fn is_repeat_due(&self, timing: Timing, now: Timestamp) -> bool {
        self.again.is_empty() && self.repeat_at(timing).is_some_and(|at| at <= now)
    }

    /// Whether the news is to be told.
    pub(super) fn is_news_due(&self, timing: Timing, now: Timestamp) -> bool {
        !self.news.is_empty() && self.news_at(timing).is_some_and(|at| at <= now)
    }

    fn repeat_at(&self, timing: Timing) -> Option<Timestamp> {
        (self.n_told_firing > 0).then_some(())?;
        let pause = if self.again.is_empty() { timing.repeat } else { Duration::ZERO };
        self.repeated.map(|repeated| repeated + pause)
    }

    fn news_at(&self, timing: Timing) -> Option<Timestamp> {
        let since = self.since?;
        if self.has_more {
            return Some(since);
        }
        let first = since + timing.wait;
        Some(self.last_sent.map_or(first, |last| first.max(last + timing.interval)))
    }

    /// When it has something to send.
    pub(super) fn next_due(&self, timing: Timing) -> Option<Timestamp> {
        if !self.on_way.is_empty() {
            return None;
        }
        let times = [self.news_at(timing), self.repeat_at(timing)];
        let due = times.into_iter().flatten().min()?;
        Some(self.not_before.map_or(due, |not_before| due.max(not_before)))
    }
}
