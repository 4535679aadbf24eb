//! What the log means, read record by record with nothing but memory: slow, and plainly right.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use bellwire_ingest::log::{Frame, Record};
use bellwire_ingest::policy::TimePolicy;
use bellwire_ingest::ports::Moment;
use bellwire_ingest::skew::SkewEstimator;
use bellwire_model::{
    AuditEntry, DeviceLedger, LogPosition, Presence, PublishRef, QoS, SeqLedger, Timestamp,
    Transition,
};

use crate::payload::{Meaning, Said, Told};
use crate::rules::{RuleState, moment};

/// A reading as the database shows it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) device: String,
    pub(crate) metric: String,
    pub(crate) at: Timestamp,
    pub(crate) value: Said,
}

/// A quarantined payload as the database shows it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Shelved {
    pub(crate) place: (LogPosition, u32),
    pub(crate) device: Option<String>,
    pub(crate) payload: Vec<u8>,
    /// It could be read, but the database does not take it.
    pub(crate) is_poison: bool,
    /// When it was received.
    pub(crate) received_at: Timestamp,
}

/// A device's account.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Account {
    pub(crate) first_seen: Timestamp,
    pub(crate) last_seen: Timestamp,
    pub(crate) ledger: DeviceLedger,
}

/// What the database has when it is at a position.
#[derive(Clone, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) n_rows: usize,
    pub(crate) n_shelved: usize,
    pub(crate) n_unshelved: usize,
    pub(crate) n_transitions: usize,
    pub(crate) n_audit: usize,
    pub(crate) accounts: BTreeMap<String, Account>,
    /// Of each device that came or went: whether it is there.
    pub(crate) online: BTreeMap<String, bool>,
}

/// Why equal bytes would be the same event.
#[derive(Clone, Copy, Debug)]
enum Clue {
    OwnTime,
    Dup,
    None,
}

/// What the rules see of a publish.
#[derive(Debug, Default)]
struct Effect {
    /// Of each instant: the device, and the number of `t` if it has one.
    observed: Vec<(&'static str, Option<f64>)>,
    presence: Option<(&'static str, Presence)>,
}

#[derive(Debug)]
struct Past {
    client: String,
    packet_id: Option<u16>,
    topic: String,
    payload: Vec<u8>,
    received_at: Timestamp,
}

/// A device's counter, by the set of all numbers seen.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    seen: BTreeSet<u64>,
    resets: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) rows: Vec<Row>,
    /// What was judged, whether or not the database takes it.
    pub(super) judged: Vec<Row>,
    pub(crate) shelved: Vec<Shelved>,
    /// Those that left, in order.
    pub(crate) unshelved: Vec<(LogPosition, u32)>,
    /// Of each payload that was replayed: the record, if that was all there was to know.
    pub(super) replayed: HashMap<(LogPosition, u32), LogPosition>,
    /// Where each payload on the shelf was published.
    pub(crate) topics: HashMap<(LogPosition, u32), String>,
    /// The rows that are stored of each payload on the shelf.
    pub(super) stored_of: HashMap<(LogPosition, u32), Vec<Row>>,
    pub(crate) transitions: Vec<Transition>,
    /// What people did.
    pub(crate) audit: Vec<AuditEntry>,
    pub(crate) n_duplicates: u64,
    /// What every payload that was ever sent means.
    pub(crate) meanings: HashMap<(String, Vec<u8>), Meaning>,
    window_publishes_max: usize,
    /// Of every record: where it begins, and what there is before it.
    before: Vec<(LogPosition, Totals)>,
    pub(super) accounts: BTreeMap<String, Account>,
    /// Whether each device is there, and since when.
    pub(crate) presence: BTreeMap<String, (bool, Timestamp)>,
    pub(crate) n_presences: u64,
    /// When each device was first and last heard of.
    pub(crate) seen: BTreeMap<String, (Timestamp, Timestamp)>,
    pub(super) numbers: BTreeMap<String, Numbers>,
    past: Vec<Past>,
    rules: RuleState,
    pub(super) policy: TimePolicy,
    /// Whether the mappings of these histories are in force.
    pub(super) mapped: bool,
    /// How many publishes were understood because of them, and how many were not for want of them.
    pub(crate) n_mapped: [u64; 2],
    /// How many payloads the policy has kept out that the default would have taken, or the other
    /// way.
    pub(crate) n_unlike_default: u64,
    /// Each device's clock, from all its publishes in one go.
    pub(crate) clocks: BTreeMap<String, SkewEstimator>,
}

impl Model {
    pub(crate) fn new(window_publishes_max: usize) -> Self {
        Self { window_publishes_max, ..Self::default() }
    }

    /// What the database must have when it says that it is at `end`.
    pub(crate) fn at(&self, end: LogPosition) -> Totals {
        let index = self.before.partition_point(|(position, _)| *position < end);
        self.before.get(index).map_or_else(|| self.totals(), |(_, totals)| totals.clone())
    }

    pub(crate) fn n_records(&self) -> usize {
        self.before.len()
    }

    fn totals(&self) -> Totals {
        Totals {
            n_rows: self.rows.len(),
            n_shelved: self.shelved.len(),
            n_unshelved: self.unshelved.len(),
            n_transitions: self.transitions.len(),
            n_audit: self.audit.len(),
            accounts: self.accounts.clone(),
            online: self.online(),
        }
    }

    fn online(&self) -> BTreeMap<String, bool> {
        self.presence.iter().map(|(device, (is_there, _))| (device.clone(), *is_there)).collect()
    }

    /// Each device's latest value of each metric, when everything is judged.
    pub(crate) fn latest(&self) -> BTreeMap<(String, String), (Timestamp, Said)> {
        let mut latest = BTreeMap::new();
        for row in &self.judged {
            let key = (row.device.clone(), row.metric.clone());
            let known: &mut (Timestamp, Said) =
                latest.entry(key).or_insert_with(|| (row.at, row.value.clone()));
            if row.at >= known.0 {
                *known = (row.at, row.value.clone());
            }
        }
        latest
    }

    /// Takes the next record of the log.
    pub(crate) fn take(&mut self, frame: &Frame<'_>) {
        self.before.push((frame.position, self.totals()));
        let now = moment(frame.position, frame.received_at);
        match frame.record().expect("a known record") {
            Record::Tick => self.rules.tick(now, &mut self.transitions),
            Record::Started { .. } => self.rules.started(),
            Record::Rules { text } => self.rules.load(text, now, &mut self.transitions),
            Record::TimePolicy(policy) => self.policy = policy,
            Record::Presence(changes) => {
                for (device, presence) in changes {
                    self.come_or_go(device, presence, now);
                }
            }
            Record::Audit(deed) => {
                let (position, received_at) = (frame.position, frame.received_at);
                self.audit.push(AuditEntry { position, received_at, deed: *deed });
            }
            // Nobody gives any here.
            Record::Commands(_) => {}
            Record::Action(action) => self.rules.act(&action, now, &mut self.transitions),
            // What is said of devices changes no rule here.
            Record::Devices(_) => {}
            Record::Mappings { text } => self.mapped = !text.is_empty(),
            Record::Refused(counts) => {
                for (device, n) in counts {
                    let (first_seen, last_seen) = (frame.received_at, frame.received_at);
                    let ledger = DeviceLedger::default();
                    let account = self.accounts.entry(device.into());
                    let account = account.or_insert(Account { first_seen, last_seen, ledger });
                    account.ledger.received += u64::from(n);
                    account.ledger.refused += u64::from(n);
                }
            }
            Record::Replay(replay) => self.replay(&replay, frame.position),
            Record::Publishes { client, publishes, .. } => {
                let (mut observed, mut came_or_went) = (Vec::new(), Vec::new());
                for (ordinal, publish) in (0..).zip(publishes) {
                    let publish = publish.expect("whole");
                    let place = (frame.position, ordinal);
                    let seen = self.publish(client, &publish, place, frame.received_at);
                    observed.extend(seen.observed);
                    came_or_went.extend(seen.presence);
                }
                for (device, t) in observed {
                    self.rules.observe(device, t, now, &mut self.transitions);
                }
                for (device, presence) in came_or_went {
                    self.come_or_go(device, presence, now);
                }
            }
        }
    }

    fn come_or_go(&mut self, device: &str, presence: Presence, now: Moment) {
        self.n_presences += 1;
        let is_there = presence.is_online();
        let t = if is_there { 0.0 } else { 100.0 };
        self.rules.observe(device, Some(t), now, &mut self.transitions);
        let since = now.received_at;
        let known = self.presence.entry(device.into()).or_insert((is_there, since));
        if known.0 != is_there {
            *known = (is_there, since);
        }
        self.seen.entry(device.into()).or_insert((since, since));
    }

    /// Takes one publish; gives what the rules see of it.
    fn publish(
        &mut self,
        client: &str,
        publish: &PublishRef<'_>,
        place: (LogPosition, u32),
        received_at: Timestamp,
    ) -> Effect {
        let key = (publish.topic.to_owned(), publish.payload.to_vec());
        let meaning = self.meanings.get(&key).expect("what was sent has a meaning").clone();
        if matches!(meaning, Meaning::Mapped(..)) {
            self.n_mapped[usize::from(self.mapped)] += 1;
        }
        let (device, told) = match meaning {
            Meaning::Objects(device, told) => (Some(device), told),
            Meaning::Mapped(device, told) if self.mapped => (Some(device), told),
            Meaning::Mapped(..) => (None, Vec::new()),
            Meaning::Rubbish(device) => (Some(device), Vec::new()),
            Meaning::Status(device, is_there) => {
                let presence = is_there.map(|is_there| (device, Presence::from(is_there)));
                return self.status(device, presence, (client, publish), received_at);
            }
            Meaning::NoDevice => (None, Vec::new()),
        };
        let policy = self.policy;
        let timely = |told: &Told| told.ts.is_none_or(|ts| is_timely(ts, received_at, policy));
        let by_default = |told: &Told| {
            told.ts.is_none_or(|ts| is_timely(ts, received_at, TimePolicy::default()))
        };
        let differs = told.iter().any(|told| timely(told) != by_default(told));
        self.n_unlike_default += u64::from(differs);
        let readable = |told: &&Told| timely(told) && !told.values.is_empty();
        let own_time = told.iter().any(|told| told.ts.is_some() && timely(told));
        let bad = told.is_empty() || !told.iter().all(|told| readable(&told) && !told.bad_part);
        let clue = if own_time { Clue::OwnTime } else { clue_without_time(publish) };
        let repeated = self.repeats(client, publish, clue, received_at);
        self.n_duplicates += u64::from(repeated);
        let kept: Vec<_> = told.iter().filter(readable).filter(|_| !repeated).collect();
        let is_poison =
            kept.iter().flat_map(|told| &told.values).any(|(_, value)| value.is_poison());
        let bad = bad || is_poison;
        if bad && !repeated {
            self.shelve(publish, place, (device, is_poison), received_at);
        }
        let Some(device) = device else { return Effect::default() };
        if let Some(newest) = told.iter().filter_map(|told| told.ts).max().filter(|_| !repeated) {
            self.clock(device, Timestamp::from_secs(newest), received_at);
        }
        let mut rows = Vec::new();
        for told in &kept {
            let at = told.ts.map_or(received_at, Timestamp::from_secs);
            rows.extend(told.values.iter().map(|(metric, value)| Row {
                device: device.into(),
                metric: (*metric).into(),
                at,
                value: value.clone(),
            }));
            if let Some(seq) = told.seq {
                self.numbers.entry(device.into()).or_default().take(seq);
            }
        }
        self.judged.extend(rows.iter().cloned());
        if is_poison {
            rows.clear();
        }
        if bad && !repeated {
            self.stored_of.insert(place, rows.clone());
        }
        let n_readings = rows.len() as u64;
        self.rows.extend(rows);
        let fate = if repeated { 1 } else { 2 * usize::from(bad) };
        self.enter(device, fate, n_readings, received_at);
        let observed = kept.iter().map(|told| (device, t_of(told))).collect();
        Effect { observed, presence: None }
    }

    fn shelve(
        &mut self,
        publish: &PublishRef<'_>,
        place: (LogPosition, u32),
        (device, is_poison): (Option<&'static str>, bool),
        received_at: Timestamp,
    ) {
        let payload = publish.payload.to_vec();
        self.topics.insert(place, publish.topic.to_owned());
        let device = device.map(Into::into);
        self.shelved.push(Shelved { place, device, payload, is_poison, received_at });
    }

    /// Takes a publish by which a device says whether it is there.
    fn status(
        &mut self,
        device: &'static str,
        presence: Option<(&'static str, Presence)>,
        (client, publish): (&str, &PublishRef<'_>),
        received_at: Timestamp,
    ) -> Effect {
        let repeated = self.repeats(client, publish, clue_without_time(publish), received_at);
        self.n_duplicates += u64::from(repeated);
        self.enter(device, usize::from(repeated), 0, received_at);
        Effect { observed: Vec::new(), presence: presence.filter(|_| !repeated) }
    }

    fn clock(&mut self, device: &str, newest: Timestamp, received_at: Timestamp) {
        match self.clocks.get_mut(device) {
            Some(clock) => {
                clock.observe(newest, received_at);
            }
            None => {
                self.clocks.insert(device.into(), SkewEstimator::new(newest, received_at));
            }
        }
    }

    fn enter(&mut self, device: &str, fate: usize, n_readings: u64, received_at: Timestamp) {
        let account = self.accounts.entry(device.into()).or_insert_with(|| Account {
            first_seen: received_at,
            last_seen: received_at,
            ledger: DeviceLedger::default(),
        });
        account.last_seen = received_at;
        let ledger = &mut account.ledger;
        ledger.received += 1;
        ledger.readings += n_readings;
        *[&mut ledger.stored, &mut ledger.duplicate, &mut ledger.quarantined][fate] += 1;
        if let Some(numbers) = self.numbers.get(device) {
            ledger.seq = numbers.ledger();
        }
        self.be_seen(device, received_at);
    }

    pub(super) fn be_seen(&mut self, device: &str, received_at: Timestamp) {
        let seen = self.seen.entry(device.into()).or_insert((received_at, received_at));
        *seen = (seen.0.min(received_at), seen.1.max(received_at));
    }

    /// Looks through all that came in the last ten minutes, and remembers this one.
    fn repeats(
        &mut self,
        client: &str,
        publish: &PublishRef<'_>,
        clue: Clue,
        received_at: Timestamp,
    ) -> bool {
        let packet_id = (publish.qos != QoS::AtMostOnce).then_some(publish.packet_id);
        let same = |past: &Past| past.topic == publish.topic && past.payload == publish.payload;
        let window = self.past.iter().rev().take(self.window_publishes_max - 1);
        let mut window = window
            .take_while(|past| received_at.since(past.received_at) <= Duration::from_secs(600));
        let repeated = match clue {
            Clue::OwnTime => window.any(same),
            Clue::Dup => window
                .find(|past| past.client == client && past.packet_id == packet_id)
                .is_some_and(same),
            Clue::None => false,
        };
        self.past.push(Past {
            client: client.into(),
            packet_id,
            topic: publish.topic.into(),
            payload: publish.payload.into(),
            received_at,
        });
        repeated
    }
}

fn clue_without_time(publish: &PublishRef<'_>) -> Clue {
    if publish.dup && publish.qos != QoS::AtMostOnce { Clue::Dup } else { Clue::None }
}

pub(super) fn is_timely(ts: i64, received_at: Timestamp, policy: TimePolicy) -> bool {
    let at = Timestamp::from_secs(ts);
    at.since(received_at) <= policy.future_max
        && policy.past_max.is_none_or(|past_max| received_at.since(at) <= past_max)
}

fn t_of(told: &Told) -> Option<f64> {
    told.values.iter().find_map(|(metric, value)| match value {
        Said::Number(number) if *metric == "t" => Some(*number),
        _ => None,
    })
}

impl Numbers {
    fn take(&mut self, seq: u64) {
        let (first, last) = (self.seen.first().copied(), self.seen.last().copied());
        let missing = first.is_some_and(|first| first < seq) && !self.seen.contains(&seq);
        match last {
            Some(last) if seq <= last && !missing => {
                if seq <= 1 && last > 1 {
                    self.seen = BTreeSet::from([seq]);
                    self.resets += 1;
                }
            }
            _ => {
                self.seen.insert(seq);
            }
        }
    }

    /// Takes one that was published before.
    pub(super) fn recall(&mut self, seq: u64) {
        let (first, last) = (self.seen.first().copied(), self.seen.last().copied());
        let is_new = last.is_none_or(|last| seq > last);
        if is_new || first.is_some_and(|first| first < seq) {
            self.seen.insert(seq);
        }
    }

    pub(super) fn ledger(&self) -> SeqLedger {
        let numbers: Vec<_> = self.seen.iter().copied().collect();
        let gaps = numbers.windows(2).filter(|pair| pair[1] - pair[0] > 1);
        SeqLedger {
            last: self.seen.last().copied(),
            gaps: gaps.map(|pair| (pair[0] + 1, pair[1] - 1)).collect(),
            resets: self.resets,
        }
    }
}
