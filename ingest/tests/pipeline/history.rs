//! The history that one seed makes: who publishes what, what breaks, and when.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bellwire_ingest::judge::JudgeConfig;
use bellwire_ingest::keep::KeepConfig;
use bellwire_ingest::log::{Config, Entry, LocalLog, Log, LogReader, Replay};
use bellwire_ingest::mapping::Mappings;
use bellwire_ingest::policy::TimePolicy;
use bellwire_ingest::snapshot::Snapshots;
use bellwire_model::{
    Action, ActionId, AlertDeed, AlertId, AuditDeed, AuditOutcome, ClientId, Clock, Deed, Delivery,
    DeviceId, LogPosition, Presence, PublishBatch, PublishRef, QoS, Receipt,
};
use prometheus::Registry;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::database::{Database, Mood};
use crate::dice::Dice;
use crate::disk::{self, SimDisk};
use crate::life::{AtStart, Life, SimClock, Sizes, open_log, paused_runtime, window};
use crate::model::Model;
use crate::payload::{Counter, MAPPINGS, Message, invent};
use crate::seen::Seen;

const CLIENTS: usize = 3;

/// Whether *judge* goes step by step, or runs freely beside everything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    Steps,
    Free,
}

/// One client: its latest publishes, to repeat, and its packet id.
#[derive(Debug, Default)]
struct Client {
    packet_id: u16,
    sent: VecDeque<(u16, Message)>,
}

pub(crate) struct History {
    dice: Dice,
    pace: Pace,
    sizes: Sizes,
    clock: Arc<SimClock>,
    runtime: Runtime,
    database: Database,
    dir: TempDir,
    clients: [Client; CLIENTS],
    counters: [Counter; 4],
    /// Replays that somebody asks for, some of them later.
    replays: Vec<Replay>,
    /// The model has read everything before it.
    archived: LogPosition,
    seen: Seen,
}

impl History {
    pub(crate) fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let publishes_max = dice.pick(&[20, 100, 10_000]);
        let sizes = sizes(&mut dice, publishes_max);
        Self {
            pace: if seed % 4 == 3 { Pace::Free } else { Pace::Steps },
            dice,
            sizes,
            clock: SimClock::new(1_700_000_000),
            runtime: paused_runtime(),
            database: Database::new(Model::new(publishes_max)),
            dir: disk::temporary_dir(),
            clients: Default::default(),
            counters: Default::default(),
            replays: Vec::new(),
            archived: LogPosition::ZERO,
            seen: Seen::default(),
        }
    }

    /// Lives until the last fault, then once more without any, and checks that nothing is missing.
    pub(crate) fn play(mut self) -> Seen {
        for _ in 0..2 + self.dice.below(4) {
            self.live();
        }
        self.database.tables().moods.clear();
        let life = self.start(AtStart::Found);
        self.stop(life, AtStart::Found);
        self.database.assert_complete(self.archived);
        self.sum_up()
    }

    /// One life: starts, some steps, a crash or a stop.
    fn live(&mut self) {
        let at_start = if self.dice.percent(25) { AtStart::Away } else { AtStart::Found };
        self.seen.n_starts_without_database += u64::from(at_start == AtStart::Away);
        let mut life = self.start(at_start);
        if self.dice.percent(70) {
            let limit = (20 + self.dice.below(60)).to_string();
            self.append(&life, Entry::rules(limit).expect("short"));
        }
        for _ in 0..self.dice.below(60) {
            self.step(&mut life);
        }
        if self.dice.percent(60) {
            self.crash(life);
        } else {
            let away = self.database.tables().away;
            self.stop(life, if away { AtStart::Away } else { AtStart::Found });
        }
    }

    fn start(&mut self, at_start: AtStart) -> Life {
        self.forget_unfit_moods(at_start);
        let (registry, disk) = (Registry::new(), SimDisk::new());
        let dir = self.dir.path().to_owned();
        let clock = Arc::clone(&self.clock);
        let log = open_log(&dir, self.sizes.log.clone(), clock, Arc::clone(&disk), &registry);
        assert!(log.durable().end >= self.archived, "acknowledged means kept");
        if self.dice.percent(10) {
            self.seen.n_skips += 1;
            log.ensure_beyond(LogPosition(log.durable().end.0 + self.dice.below(500)))
                .expect("it does");
        }
        self.assert_recoverable(&log);
        self.archive(&log);
        let log = (log, disk, registry);
        let database = (&self.database, at_start);
        let life = Life::start(&self.runtime, &dir, log, &self.sizes, database, &self.clock);
        if self.pace == Pace::Steps {
            life.rest();
        }
        self.append(&life, Entry::started("simulated"));
        let policy = self.policy();
        self.append(&life, Entry::time_policy(policy));
        self.change_mappings(&life);
        life
    }

    /// Somebody has written other mappings, or the same.
    fn change_mappings(&mut self, life: &Life) {
        let text = self.dice.pick(&[MAPPINGS, ""]);
        self.append(life, Entry::mappings(&Mappings::parse(text).expect("right")));
    }

    /// As the configuration may say at a start.
    fn policy(&mut self) -> TimePolicy {
        let secs = |secs| Duration::from_secs(secs);
        let past_max = self.dice.pick(&[None, None, Some(secs(50_000)), Some(secs(30))]);
        TimePolicy { future_max: secs(self.dice.pick(&[300, 300, 0, 500])), past_max }
    }

    /// Whatever recovery reads is there, whether or not the database is.
    fn assert_recoverable(&self, log: &LocalLog) {
        let dir = self.dir.path().join("snapshots");
        let snapshots = Snapshots::open(&dir, log.id()).expect("it opens");
        for committed in [self.database.tables().ledger_position, snapshots.committed()] {
            let snapshot = snapshots.newest_up_to(committed).expect("readable");
            let needed = snapshot.map_or(LogPosition::ZERO, |snapshot| {
                snapshot.places().position.min(snapshot.places().rebuild_from)
            });
            let floor = log.floor();
            assert!(floor <= needed, "the log begins at {floor}, {committed} needs {needed}");
        }
    }

    fn forget_unfit_moods(&self, at_start: AtStart) {
        if at_start == AtStart::Found {
            self.database.tables().moods.clear();
        }
    }

    fn step(&mut self, life: &mut Life) {
        self.clock.forward(Duration::from_millis(self.dice.below(3_000)));
        match self.dice.below(100) {
            0..46 => self.publish(life),
            46..50 => self.replay(life),
            50 if self.dice.percent(50) => self.act(life),
            50 => self.append(life, Entry::tick()),
            51 if self.dice.percent(50) => self.come_and_go(life),
            51 => self.refuse(life),
            52..54 => {
                let limit = (20 + self.dice.below(60)).to_string();
                self.append(life, Entry::rules(limit).expect("short"));
                self.append(life, Entry::audit(&deed(self.seen.n_stops)));
            }
            54 => self.change_mappings(life),
            55..58 => self.clock.forward(Duration::from_secs(100 + self.dice.below(700))),
            58..61 => {
                let mut tables = self.database.tables();
                tables.away = !tables.away;
            }
            61..66 => {
                let moods: Vec<_> = (0..1 + self.dice.below(3))
                    .map(|_| self.dice.pick(&[Mood::Fine, Mood::Breaks, Mood::Mute, Mood::Mute]))
                    .collect();
                self.database.tables().moods.extend(moods);
            }
            66..84 => self.judge(life),
            _ => self.keep(life),
        }
        if life.gate.take_tick() {
            self.append(life, Entry::tick());
        }
    }

    /// An operator does something with alerts.
    fn act(&mut self, life: &Life) {
        let author = self.dice.pick(&["oven", "freezer", "pump", "mute"]).into();
        let ids = (0..self.dice.below(3)).map(AlertId).collect();
        let what = AlertDeed::Acknowledge;
        let deed = Deed::Alerts { ids, what, seen: None, comment: None };
        let action = Action { id: ActionId(1), request: 0, author, deed };
        self.append(life, Entry::action(&action));
    }

    /// Connections begin and end, also of a device that never says anything.
    fn come_and_go(&mut self, life: &Life) {
        let changes = (0..1 + self.dice.below(3)).map(|_| {
            let name = self.dice.pick(&["oven", "freezer", "pump", "mute"]);
            let device = DeviceId::new(name).expect("valid");
            (device, Presence::from(self.dice.percent(50)))
        });
        let changes: Vec<_> = changes.collect();
        self.append(life, Entry::presence(&changes));
    }

    /// Publishes were refused, some of them in the name of a device that says nothing itself.
    fn refuse(&mut self, life: &Life) {
        let name = self.dice.pick(&["oven", "freezer", "mute"]);
        let count = 1 + self.dice.below(9) as u32;
        self.seen.n_refusals += u64::from(count);
        let device = DeviceId::new(name).expect("valid");
        self.append(life, Entry::refused(&[(device, count)]));
    }

    /// Somebody looks at what is in quarantine, and has some of it read again: at once, later, or
    /// both.
    fn replay(&mut self, life: &Life) {
        let model = self.database.model.lock().expect("no panic");
        let found = self.database.tables().replay(&mut self.dice, &model);
        drop(model);
        self.replays.extend(found);
        if !self.replays.is_empty() && self.dice.percent(80) {
            let index = self.dice.index(self.replays.len());
            let replay = match self.dice.percent(30) {
                true => self.replays[index].clone(),
                false => self.replays.swap_remove(index),
            };
            self.seen.n_replays += 1;
            self.append(life, Entry::replay(&replay));
        }
    }

    fn judge(&mut self, life: &Life) {
        if self.pace == Pace::Steps {
            life.judge_to(life.log.durable().end);
        }
    }

    /// Lets *keep* make some requests, or come to where *judge* is.
    fn keep(&mut self, life: &mut Life) {
        let budget = self.dice.pick(&[1, 2, 3, 10]);
        self.database.allow(budget);
        let database = self.database.clone();
        let judged = match self.pace {
            Pace::Steps => life.judged(),
            Pace::Free => life.log.durable().end,
        };
        life.keep_until(&self.runtime, || {
            let tables = database.tables();
            tables.budget == 0 || tables.position >= judged
        });
    }

    /// A client publishes: something new, or again.
    fn publish(&mut self, life: &Life) {
        let index = self.dice.index(CLIENTS);
        let mut publishes = PublishBatch::default();
        for _ in 0..1 + self.dice.below(4) {
            self.push(index, &mut publishes);
        }
        self.append(life, publishes_entry(index, publishes, life.receipt()));
    }

    fn push(&mut self, index: usize, publishes: &mut PublishBatch) {
        let now_secs = self.clock.now().as_micros() / 1_000_000;
        let again = self.dice.percent(30).then(|| {
            let from = if self.dice.percent(80) { index } else { self.dice.index(CLIENTS) };
            let sent = &self.clients[from].sent;
            (!sent.is_empty()).then(|| sent[self.dice.index(sent.len())].clone())
        });
        let client = &mut self.clients[index];
        let (packet_id, message, dup) = match again.flatten() {
            Some((packet_id, message)) if self.dice.percent(60) => (packet_id, message, true),
            Some((_, message)) => (next_id(&mut client.packet_id), message, self.dice.percent(10)),
            None => {
                let message = invent(&mut self.dice, &mut self.counters, now_secs);
                (next_id(&mut client.packet_id), message, false)
            }
        };
        let qos = if self.dice.percent(90) { QoS::AtLeastOnce } else { QoS::AtMostOnce };
        publishes.push(&PublishRef {
            topic: &message.topic,
            payload: &message.payload,
            qos,
            dup: dup && qos == QoS::AtLeastOnce,
            retain: false,
            packet_id: if qos == QoS::AtLeastOnce { packet_id } else { 0 },
        });
        let key = (message.topic.clone(), message.payload.clone());
        let mut model = self.database.model.lock().expect("no panic");
        model.meanings.insert(key, message.meaning.clone());
        client.sent.push_back((packet_id, message));
        if client.sent.len() > 12 {
            client.sent.pop_front();
        }
    }

    /// Appends a record durably; the model reads it before anyone can remove it.
    fn append(&mut self, life: &Life, entry: Entry) {
        let entry = match entry.kind() {
            bellwire_ingest::log::RecordKind::Publishes => entry,
            _ => entry.with_receipt(life.receipt()),
        };
        life.append(entry);
        self.archive(&life.log);
        if self.pace == Pace::Free {
            life.gate.open_to(self.archived);
        }
    }

    fn archive(&mut self, log: &LocalLog) {
        let end = log.durable().end;
        let mut reader: LogReader = log.reader(self.archived);
        let mut model = self.database.model.lock().expect("no panic");
        while let Some(chunk) = reader.read(end, 1 << 16).expect("readable") {
            chunk.frames().for_each(|frame| model.take(&frame));
        }
        self.archived = end;
    }

    /// Everything is gone but what is on disk; of what was not synced, any part.
    fn crash(&mut self, mut life: Life) {
        self.seen.n_crashes += 1;
        let unfinished = self.pace == Pace::Steps && self.dice.percent(50);
        if unfinished && self.dice.percent(70) {
            self.catch_up(&mut life);
        }
        self.note(&life);
        let durable = life.log.durable().end;
        let torn = self.dice.percent(50);
        life.gate.hold_floor();
        if torn {
            self.seen.n_torn += 1;
            life.disk.stop_syncs();
            let mut publishes = PublishBatch::default();
            (0..1 + self.dice.below(3)).for_each(|_| self.push(0, &mut publishes));
            let entry = publishes_entry(0, publishes, Receipt::new(|_| {}));
            assert!(life.log.try_append(entry).is_ok(), "there is room");
            life.disk.wait_for_sync();
        }
        let copy = disk::copy(&life.dir);
        if unfinished {
            // Its time has come, also where nothing is new but how far the database is.
            self.clock.forward(self.sizes.judge.snapshot_interval);
            life.judge_to(if self.dice.percent(50) { durable } else { life.judged() });
            let left = disk::leave_unfinished(&life.dir, copy.path(), &mut self.dice);
            self.seen.n_unfinished += u64::from(left);
        }
        if torn {
            disk::spoil_tail(&copy.path().join("log"), durable, &mut self.dice);
        }
        life.abandon();
        self.dir = copy;
    }

    /// Lets *keep* write all that is judged, and its ledger.
    fn catch_up(&mut self, life: &mut Life) {
        {
            let mut tables = self.database.tables();
            tables.away = false;
            tables.moods.clear();
        }
        self.database.allow(u64::MAX);
        let (database, judged) = (self.database.clone(), life.judged());
        life.keep_until(&self.runtime, || database.tables().ledger_position >= judged);
        self.database.tables().budget = 0;
    }

    fn stop(&mut self, life: Life, at_end: AtStart) {
        self.seen.n_stops += 1;
        self.note(&life);
        self.database.allow(u64::MAX);
        life.stop(&self.runtime, &self.database, at_end);
        self.database.tables().budget = 0;
    }

    /// Notes what this life has counted.
    fn note(&mut self, life: &Life) {
        let families = life.registry.gather();
        let counted = |name: &str| {
            let family = families.iter().find(|family| family.name() == name);
            let metric = &family.expect("registered").get_metric()[0];
            metric.get_counter().get_value() as u64
        };
        self.seen.n_snapshots += counted("bellwire_snapshots_total");
        self.seen.n_bytes_read_again += counted("bellwire_keep_disk_bytes_total");
        self.seen.n_trimmed_logs += u64::from(life.log.floor() > LogPosition::ZERO);
    }

    fn sum_up(mut self) -> Seen {
        let (tables, model) =
            (self.database.tables(), self.database.model.lock().expect("no panic"));
        self.seen.n_records = model.n_records() as u64;
        self.seen.n_rows = model.rows.len() as u64;
        self.seen.n_duplicates = model.n_duplicates;
        self.seen.n_quarantined = model.shelved.len() as u64;
        self.seen.n_transitions = model.transitions.len() as u64;
        self.seen.n_unlike_default = model.n_unlike_default;
        self.seen.n_presences = model.n_presences;
        [self.seen.n_unmapped, self.seen.n_mapped] = model.n_mapped;
        self.seen.n_replayed = model.unshelved.len() as u64;
        self.seen.n_deeds = model.audit.len() as u64;
        self.seen.n_commits = tables.n_commits;
        self.seen.n_lost_answers = tables.n_lost_answers;
        self.seen.n_refused = tables.n_refused;
        self.seen
    }
}

/// Somebody did this for the so-manieth time.
fn deed(n: u64) -> AuditDeed {
    AuditDeed {
        who: "anne".into(),
        via: "token".into(),
        address: None,
        request: None,
        action: "rule.update".into(),
        target: n.to_string().into(),
        outcome: AuditOutcome::Done,
        status: 200,
        before: None,
        after: Some("{}".into()),
    }
}

const fn next_id(packet_id: &mut u16) -> u16 {
    // Few of them, so that they are used again.
    *packet_id = *packet_id % 20 + 1;
    *packet_id
}

fn publishes_entry(index: usize, publishes: PublishBatch, receipt: Receipt) -> Entry {
    let client = ClientId::new(&format!("client-{index}")).expect("valid");
    Entry::publishes(Delivery { client, publishes, session: Vec::new(), receipt })
}

fn sizes(dice: &mut Dice, publishes_max: usize) -> Sizes {
    let log = Config {
        segment_bytes: 8192,
        bytes_max: 64 << 20,
        disk_reserve_bytes: 0,
        queue_bytes: 1 << 20,
    };
    let judge = JudgeConfig {
        snapshot_interval: Duration::from_secs(60),
        snapshot_bytes: dice.pick(&[1, 500, 5_000]),
        window: window(publishes_max),
    };
    let keep = KeepConfig {
        flush_interval: Duration::from_millis(dice.below(100)),
        batch_readings: dice.pick(&[1, 5, 1_000]),
        batch_bytes: dice.pick(&[1, 700, 1 << 20]),
        ledger_interval: Duration::from_millis(dice.pick(&[0, 300, 5_000])),
        backoff_max: Duration::from_secs(1),
    };
    let (handoff, journal) = (dice.pick(&[1, 60, 400_000]), dice.pick(&[1, 300, 8 << 20]));
    Sizes { log, handoff, journal, judge, keep }
}
