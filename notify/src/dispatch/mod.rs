//! Which messages are due: routes, groups, and what each receiver was told. Without I/O and without a
//! clock.
//!
//! There is no queue of messages. What is kept is how each alert stands and what each receiver was
//! last told of it; a message is the difference, made at the moment at which it is sent. So a receiver
//! that was away for an hour is told how things are, not an hour's worth of how they were, and a
//! message that was lost on the way is simply still due.

mod alerts;
mod backoff;
mod facts;
mod group;
mod image;
mod notice;
mod plan;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bellwire_model::{AlertId, Timestamp};

use alerts::{Entry, Want};
use backoff::Backoff;
pub use facts::{Facts, Labels, Mute, News, Status};
use group::{Group, GroupKey, Member, Told};
pub use image::{Image, ImageError};
pub use notice::{Notice, Said};
pub use plan::{GoesOn, GroupBy, MIRROR_REPEAT, Plan, ReceiverPlan, RoutePlan, Style};

/// The most alerts that are followed at once. One more is not sent, and counted.
pub const ALERTS_MAX: usize = 200_000;
/// The most alerts that are over while one receiver has not been told so. Beyond it the oldest are
/// given up, and counted.
pub const ENDED_MAX: usize = 20_000;
/// How long after a rejection the same is tried again.
pub const REJECTED_PAUSE: Duration = Duration::from_secs(300);
/// After so many rejections in a row, those of a message's alerts that are over are given up.
pub const REJECTIONS_MAX: u32 = 12;
/// The most messages on their way to one receiver.
pub const IN_FLIGHT_MAX: usize = 4;

/// Where a line is: its group, and which of the group's lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LineId {
    group: u64,
    slot: u16,
}

/// Why a message did not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The receiver is away, or has too much to do: later, and not before this time, if it said one.
    Away(Option<Duration>),
    /// It does not want this message.
    Rejected,
}

/// How a receiver stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Messages that could be sent now.
    pub messages: usize,
    /// For how long the oldest of them could have been.
    pub oldest: Duration,
}

/// What was given up, since somebody last asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Alerts that were not taken at all: see [`ALERTS_MAX`].
    pub not_taken: u64,
    /// Ends of alerts that a receiver was not told: see [`ENDED_MAX`], [`REJECTIONS_MAX`].
    pub given_up: u64,
}

/// What concerns one receiver.
#[derive(Clone, Debug, Default)]
struct Receiver {
    /// When each of its lines has something to send.
    due: BTreeSet<(Timestamp, LineId)>,
    /// Alerts that are over and not told so, the longest first.
    ended: BTreeSet<(Timestamp, AlertId, LineId)>,
    backoff: Backoff,
    n_in_flight: usize,
}

/// Routes, groups, and what was told.
#[derive(Clone, Debug)]
pub struct Dispatch {
    plan: Arc<Plan>,
    alerts: BTreeMap<AlertId, Entry>,
    groups: BTreeMap<u64, Group>,
    by_key: HashMap<GroupKey, u64>,
    next_group: u64,
    receivers: Vec<Receiver>,
    losses: Losses,
}

impl Dispatch {
    /// Nobody was told anything yet.
    #[must_use]
    pub fn new(plan: Arc<Plan>) -> Self {
        let receivers = vec![Receiver::default(); plan.receivers.len()];
        Self {
            plan,
            alerts: BTreeMap::new(),
            groups: BTreeMap::new(),
            by_key: HashMap::new(),
            next_group: 0,
            receivers,
            losses: Losses::default(),
        }
    }

    /// What it goes by.
    #[must_use]
    pub const fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// How many alerts are followed.
    #[must_use]
    pub fn n_alerts(&self) -> usize {
        self.alerts.len()
    }

    /// What was given up since this was last asked.
    pub fn take_losses(&mut self) -> Losses {
        std::mem::take(&mut self.losses)
    }

    /// Takes what an alert is like now.
    pub fn take(&mut self, news: News, now: Timestamp) {
        let News { facts, mute, acknowledged, escalation, historical } = news;
        let id = facts.id;
        let known = self.alerts.get(&id);
        // Of what was over before anybody heard of it, nobody does; nor of what was long ago.
        if known.is_none() && (historical || facts.status != Status::Firing) {
            return;
        }
        if known.is_none() && self.alerts.len() >= ALERTS_MAX {
            self.losses.not_taken += 1;
            return;
        }
        let ended_before = known.and_then(|entry| entry.ended_at);
        let is_over = facts.status != Status::Firing;
        let ended_at = is_over.then(|| ended_before.unwrap_or(now));
        let groups = known.map(|entry| entry.groups.clone()).unwrap_or_default();
        let facts = Arc::new(facts);
        let entry = Entry { facts, mute, acknowledged, escalation, groups, ended_at };
        self.alerts.insert(id, entry);
        self.enroll(id);
        self.refresh(id, now);
    }

    /// Puts an alert into the groups that its routes say. Those that it was in before it stays in
    /// until whoever was told of it there has been told of its end. What is over comes into no further
    /// group, unless it is in none.
    fn enroll(&mut self, id: AlertId) {
        let Some(entry) = self.alerts.get(&id) else { return };
        let is_over = entry.ended_at.is_some();
        let mut groups = entry.groups.clone();
        let wanted = self.plan.groups_of(&entry.facts.labels, entry.escalation);
        let known = wanted.iter().filter_map(|key| self.by_key.get(key).copied());
        let mut current: BTreeSet<u64> = known.collect();
        if !is_over || current.is_disjoint(&groups) {
            for key in wanted {
                if !self.by_key.contains_key(&key) {
                    current.insert(self.open_group(key));
                }
            }
            groups.extend(&current);
        }
        for number in &groups {
            if let Some(group) = self.groups.get_mut(number) {
                let is_current = current.contains(number);
                group.members.insert(id, Member { is_current });
            }
        }
        if let Some(entry) = self.alerts.get_mut(&id) {
            entry.groups = groups;
        }
    }

    fn open_group(&mut self, key: GroupKey) -> u64 {
        let number = self.next_group;
        self.next_group += 1;
        let group = Group::new(&key, &self.plan);
        self.groups.insert(number, group);
        self.by_key.insert(key, number);
        number
    }

    /// Looks at an alert again in all of its groups: who has to be told of it, and whether it can be
    /// forgotten.
    fn refresh(&mut self, id: AlertId, now: Timestamp) {
        let Some(entry) = self.alerts.get(&id) else { return };
        for number in entry.groups.clone() {
            let n_lines = self.groups.get(&number).map_or(0, |group| group.lines.len());
            for slot in 0..n_lines {
                let slot = u16::try_from(slot).expect("a route has few channels");
                self.refresh_line(LineId { group: number, slot }, id, now);
            }
            self.leave_if_done(number, id);
        }
        let is_done = |entry: &Entry| entry.groups.is_empty() && entry.ended_at.is_some();
        if self.alerts.get(&id).is_some_and(is_done) {
            self.alerts.remove(&id);
        }
    }

    /// Whether one receiver has to be told of an alert, in one group.
    fn refresh_line(&mut self, at: LineId, id: AlertId, now: Timestamp) {
        let (Some(entry), Some(group)) = (self.alerts.get(&id), self.groups.get_mut(&at.group))
        else {
            return;
        };
        let Some(member) = group.members.get(&id) else { return };
        let line = &mut group.lines[usize::from(at.slot)];
        let receiver = line.receiver;
        let ended = &mut self.receivers[receiver].ended;
        if let Some(Some(before)) = line.news.remove(&id) {
            ended.remove(&(before, id, at));
        }
        match entry.want(*member, line.told.get(&id)) {
            Want::Nothing => {}
            Want::Firing => {
                line.news.insert(id, None);
            }
            Want::End => {
                let ended_at = entry.ended_at.unwrap_or(now);
                line.news.insert(id, Some(ended_at));
                ended.insert((ended_at, id, at));
            }
        }
        if line.news.is_empty() {
            line.since = None;
            line.has_more = false;
        } else {
            line.since.get_or_insert(now);
        }
        self.schedule(at);
        self.give_up_oldest(receiver, now);
    }

    /// Takes an alert out of a group in which nothing more is to be said of it.
    fn leave_if_done(&mut self, number: u64, id: AlertId) {
        let (Some(entry), Some(group)) = (self.alerts.get_mut(&id), self.groups.get_mut(&number))
        else {
            return;
        };
        let Some(member) = group.members.get(&id) else {
            entry.groups.remove(&number);
            return;
        };
        let stays = match (entry.facts.status, member.is_current) {
            (Status::Firing, true) => true,
            (Status::Firing, false) => group.lines.iter().any(|line| line.has_told_firing(id)),
            (_, _) => group.lines.iter().any(|line| line.news.contains_key(&id)),
        };
        // What is on its way may arrive, and then its end has to be told.
        let stays = stays || group.lines.iter().any(|line| line.on_way.contains(&id));
        if !stays {
            entry.groups.remove(&number);
            group.leave(id);
            self.close_if_empty(number);
        }
    }

    /// Removes a group without members.
    fn close_if_empty(&mut self, number: u64) {
        if self.groups.get(&number).is_none_or(|group| !group.members.is_empty()) {
            return;
        }
        let Some(group) = self.groups.remove(&number) else { return };
        for (slot, line) in group.lines.iter().enumerate() {
            let slot = u16::try_from(slot).expect("a route has few channels");
            let receiver = &mut self.receivers[line.receiver];
            if let Some(due) = line.due {
                receiver.due.remove(&(due, LineId { group: number, slot }));
            }
        }
        self.by_key.remove(&group.key);
    }

    /// Says anew when a line has something to send.
    fn schedule(&mut self, at: LineId) {
        let Some(group) = self.groups.get_mut(&at.group) else { return };
        let timing = group.timing;
        let line = &mut group.lines[usize::from(at.slot)];
        let due = line.next_due(timing);
        if due == line.due {
            return;
        }
        let timers = &mut self.receivers[line.receiver].due;
        if let Some(before) = line.due {
            timers.remove(&(before, at));
        }
        timers.extend(due.map(|due| (due, at)));
        line.due = due;
    }

    /// Gives up what waits longest, if too much does.
    fn give_up_oldest(&mut self, receiver: usize, now: Timestamp) {
        while self.receivers[receiver].ended.len() > ENDED_MAX {
            let Some((_, id, at)) = self.receivers[receiver].ended.pop_first() else { return };
            self.losses.given_up += 1;
            self.give_up(at, id, now);
        }
    }

    /// One receiver will not hear of the end of an alert.
    fn give_up(&mut self, at: LineId, id: AlertId, now: Timestamp) {
        let Some(entry) = self.alerts.get(&id) else { return };
        let told = Told::over(entry);
        if let Some(group) = self.groups.get_mut(&at.group) {
            group.lines[usize::from(at.slot)].note_told(id, told);
        }
        self.refresh(id, now);
    }

    /// When there may be something to send to a receiver; `None` if nothing waits.
    #[must_use]
    pub fn due_at(&self, receiver: usize) -> Option<Timestamp> {
        let receiver = self.receivers.get(receiver)?;
        let (due, _) = receiver.due.first()?;
        receiver.has_room().then(|| (*due).max(receiver.backoff.until))
    }

    /// What waits for a receiver.
    #[must_use]
    pub fn waiting(&self, receiver: usize, now: Timestamp) -> Waiting {
        let Some(receiver) = self.receivers.get(receiver) else { return Waiting::default() };
        let end = (now, LineId { group: u64::MAX, slot: u16::MAX });
        let messages = receiver.due.range(..=end).count();
        let oldest = receiver.due.first().map_or(Duration::ZERO, |(due, _)| now.since(*due));
        Waiting { messages: messages + receiver.n_in_flight, oldest }
    }

    /// The next message for a receiver, if one is due: it counts as being on its way until
    /// [`Dispatch::told`] or [`Dispatch::failed`] says what came of it. Write the state down before
    /// sending it: a receiver that may have heard of an alert will be told of its end, whatever happens.
    pub fn next(&mut self, receiver: usize, now: Timestamp) -> Option<Notice> {
        loop {
            let state = self.receivers.get(receiver)?;
            if !state.has_room() || state.backoff.until > now {
                return None;
            }
            let (due, at) = *state.due.first()?;
            if due > now {
                return None;
            }
            let notice = self.notice(at, now);
            if let Some(notice) = &notice {
                let group = self.groups.get_mut(&at.group)?;
                group.lines[usize::from(at.slot)].going_out(&notice.alerts);
                self.receivers[receiver].n_in_flight += 1;
            }
            self.schedule(at);
            if notice.is_some() {
                return notice;
            }
        }
    }

    /// A message has arrived.
    pub fn told(&mut self, notice: &Notice, now: Timestamp) {
        self.receivers[notice.receiver].backoff = Backoff::default();
        let at = notice.line;
        if let Some(group) = self.groups.get_mut(&at.group) {
            let line = &mut group.lines[usize::from(at.slot)];
            line.sent(now, &group.key);
            for said in &notice.alerts {
                line.note_told(said.facts.id, Told::said(said));
                line.again.remove(&said.facts.id);
            }
        }
        self.landed(notice, now);
        if let Some(group) = self.groups.get_mut(&at.group) {
            let line = &mut group.lines[usize::from(at.slot)];
            // What did not fit goes at once.
            line.has_more = notice.n_news_left > 0 && !line.news.is_empty();
            line.since = (!line.news.is_empty()).then_some(now);
        }
        self.schedule(at);
    }

    /// A message has not arrived. `dice` is any number, for the length of the pause.
    pub fn failed(&mut self, notice: &Notice, failure: Failure, now: Timestamp, dice: u64) {
        self.landed(notice, now);
        let backoff = &mut self.receivers[notice.receiver].backoff;
        match failure {
            Failure::Away(retry_after) => backoff.failed(now, retry_after, dice),
            Failure::Rejected => {
                // It answers, so it is there.
                *backoff = Backoff::default();
                self.rejected(notice.line, now);
            }
        }
        self.schedule(notice.line);
    }

    fn rejected(&mut self, at: LineId, now: Timestamp) {
        let Some(group) = self.groups.get_mut(&at.group) else { return };
        let line = &mut group.lines[usize::from(at.slot)];
        line.n_rejected = line.n_rejected.saturating_add(1);
        line.not_before = Some(now + REJECTED_PAUSE);
        let is_enough = line.n_rejected >= REJECTIONS_MAX;
        let waiting: Vec<AlertId> = line.news.keys().copied().collect();
        self.schedule(at);
        if !is_enough {
            return;
        }
        for id in waiting {
            if self.alerts.get(&id).is_some_and(|entry| entry.ended_at.is_some()) {
                self.losses.given_up += 1;
                self.give_up(at, id, now);
            }
        }
    }

    /// It is not on its way any more.
    fn landed(&mut self, notice: &Notice, now: Timestamp) {
        let receiver = &mut self.receivers[notice.receiver];
        receiver.n_in_flight = receiver.n_in_flight.saturating_sub(1);
        let at = notice.line;
        if let Some(group) = self.groups.get_mut(&at.group) {
            group.lines[usize::from(at.slot)].on_way.clear();
        }
        for said in &notice.alerts {
            self.refresh(said.facts.id, now);
        }
    }
}

impl Receiver {
    /// Whether another message may be on its way: while it fails, one is enough to see whether it is
    /// back.
    fn has_room(&self) -> bool {
        let most = if self.backoff.is_failing() { 1 } else { IN_FLIGHT_MAX };
        self.n_in_flight < most
    }
}
