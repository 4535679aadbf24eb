//! A database in memory, with the transaction that makes everything exactly once. It checks every
//! commit against the model, can be away, or lose the answer to a COMMIT, and refuses some values.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use bellwire_ingest::ledger::StoredLedger;
use bellwire_ingest::log::Replay;
use bellwire_ingest::ports::{BatchSink, Opened, RefusedPublish, SinkError};
use bellwire_model::{
    AuditEntry, DeviceId, KeepBatch, LogId, LogPosition, Names, Reading, RejectReason, SharedNames,
    Transition, Value,
};
use tokio::sync::Notify;

use crate::dice::Dice;
use crate::model::{Account, Model, Row, Shelved};
use crate::payload::Said;

/// What the database does when it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// What it should.
    Fine,
    /// The connection breaks before COMMIT.
    Breaks,
    /// COMMIT is done, and the answer is lost.
    Mute,
}

/// Its tables.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    log: Option<LogId>,
    epoch: u64,
    pub(crate) position: LogPosition,
    pub(crate) ledger_position: LogPosition,
    rows: Vec<Row>,
    shelved: Vec<Shelved>,
    /// Of each of them: which of its readings are stored.
    kept: Vec<Box<[u64]>>,
    unshelved: Vec<(LogPosition, u32)>,
    transitions: Vec<Transition>,
    audit: Vec<AuditEntry>,
    accounts: BTreeMap<String, Account>,
    online: BTreeMap<String, bool>,
    /// The transaction whose answer was lost.
    in_doubt: Option<(LogPosition, LogPosition)>,
    /// Away for as long as it is set.
    pub(crate) away: bool,
    pub(crate) moods: VecDeque<Mood>,
    /// How many more requests it answers; those after wait.
    pub(crate) budget: u64,
    pub(crate) n_commits: u64,
    pub(crate) n_lost_answers: u64,
    /// Publishes that it refused.
    pub(crate) n_refused: u64,
}

/// The database and the model it is checked against; one for a whole history.
#[derive(Clone, Debug)]
pub(crate) struct Database {
    tables: Arc<Mutex<Tables>>,
    pub(crate) model: Arc<Mutex<Model>>,
    changed: Arc<Notify>,
}

impl Database {
    pub(crate) fn new(model: Model) -> Self {
        let model = Arc::new(Mutex::new(model));
        Self { tables: Arc::default(), model, changed: Arc::default() }
    }

    pub(crate) fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().expect("no panic")
    }

    /// Answers `n` more requests.
    pub(crate) fn allow(&self, n: u64) {
        self.tables().budget = n;
        self.changed.notify_one();
    }

    pub(crate) fn sink(&self) -> Sink {
        Sink { database: self.clone(), epoch: None }
    }

    /// Checks that everything up to `end` is there, and no more.
    pub(crate) fn assert_complete(&self, end: LogPosition) {
        let (tables, model) = (self.tables(), self.model.lock().expect("no panic"));
        assert_eq!((tables.position, tables.ledger_position), (end, end), "it has come to the end");
        assert_eq!(tables.rows, model.rows);
        assert_eq!(tables.shelved, model.shelved);
        assert_eq!(tables.unshelved, model.unshelved);
        assert_eq!(tables.transitions, model.transitions);
        assert_eq!(tables.audit, model.audit);
        let expected = model.at(end);
        assert_eq!(tables.accounts, expected.accounts);
        assert_eq!(tables.online, expected.online);
        assert!(tables.accounts.values().all(|account| account.ledger.balances()));
    }
}

impl Tables {
    /// One transaction: all of the batch or nothing.
    fn commit(&mut self, batch: &KeepBatch, names: &Names, epoch: u64) -> Result<(), SinkError> {
        assert!(batch.start <= batch.end, "a batch goes forward");
        if self.epoch != epoch {
            return Err(SinkError::Closed("a newer writer lives".into()));
        }
        if self.in_doubt.take() == Some((batch.start, batch.end)) && self.position == batch.end {
            return Ok(());
        }
        assert_eq!(self.position, batch.start, "the batch begins where the database is");
        if batch.readings.iter().any(is_poison) {
            return Err(SinkError::Refused("a reading is 13".into()));
        }
        self.position = batch.end;
        let readings = batch.readings.iter().map(|reading| row(reading, names));
        self.rows.extend(readings);
        self.shelved.extend(batch.quarantined.iter().map(|quarantined| Shelved {
            place: (quarantined.position, quarantined.ordinal),
            device: quarantined.device.as_ref().map(ToString::to_string),
            payload: quarantined.payload.to_vec(),
            is_poison: quarantined.reason == RejectReason::RefusedByDatabase,
            received_at: quarantined.received_at,
        }));
        let kept = batch.quarantined.iter().map(|it| it.kept.clone().expect("it is noted"));
        self.kept.extend(kept);
        for place in &batch.unshelved {
            assert!(self.shelf().any(|(it, _)| it.place == *place), "{place:?} is there");
            self.unshelved.push(*place);
        }
        self.transitions.extend(batch.transitions.iter().cloned());
        self.audit.extend(batch.audit.iter().cloned());
        let online = batch
            .presence
            .iter()
            .map(|(device, presence)| (names.device(*device).to_string(), presence.is_online()));
        self.online.extend(online);
        if let Some(flush) = &batch.ledger {
            self.ledger_position = batch.end;
            for changed in &flush.devices {
                let (first_seen, last_seen) = (changed.first_seen, changed.last_seen);
                let account = Account { first_seen, last_seen, ledger: changed.ledger.clone() };
                self.accounts.insert(names.device(changed.device).to_string(), account);
            }
        }
        self.n_commits += 1;
        Ok(())
    }

    /// What is in quarantine, and which of its readings are stored.
    fn shelf(&self) -> impl Iterator<Item = (&Shelved, &[u64])> {
        let all = self.shelved.iter().zip(self.kept.iter().map(|kept| &**kept));
        all.filter(|(it, _)| !self.unshelved.contains(&it.place))
    }

    /// One of the payloads in quarantine, to be replayed: that which `dice` says.
    pub(crate) fn replay(&self, dice: &mut Dice, model: &Model) -> Option<Replay> {
        let shelf: Vec<_> = self.shelf().collect();
        let (shelved, kept) = *shelf.get(dice.index(shelf.len().max(1)))?;
        let topic = model.topics.get(&shelved.place).expect("it was published").as_str();
        Some(Replay {
            seen_at: self.position,
            place: shelved.place,
            received_at: shelved.received_at,
            device: shelved.device.as_deref().map(|it| DeviceId::new(it).expect("valid")),
            kept: kept.into(),
            topic: topic.into(),
            payload: shelved.payload.clone().into(),
        })
    }

    /// Checks what this batch has brought.
    fn check(&self, batch: &KeepBatch, model: &Model) {
        let (before, after) = (model.at(batch.start), model.at(batch.end));
        let place = format!("at {} after {}", batch.end, batch.start);
        let rows = before.n_rows..after.n_rows;
        assert_eq!(self.rows.get(rows.clone()), model.rows.get(rows), "rows {place}");
        assert_eq!(self.rows.len(), after.n_rows, "rows {place}");
        let shelved = before.n_shelved..after.n_shelved;
        assert_eq!(self.shelved.get(shelved.clone()), model.shelved.get(shelved), "{place}");
        assert_eq!(self.shelved.len(), after.n_shelved, "quarantined {place}");
        let left = before.n_unshelved..after.n_unshelved;
        assert_eq!(self.unshelved.get(left.clone()), model.unshelved.get(left), "{place}");
        assert_eq!(self.unshelved.len(), after.n_unshelved, "replayed {place}");
        let said = before.n_transitions..after.n_transitions;
        assert_eq!(self.transitions.get(said.clone()), model.transitions.get(said), "{place}");
        assert_eq!(self.transitions.len(), after.n_transitions, "transitions {place}");
        let done = before.n_audit..after.n_audit;
        assert_eq!(self.audit.get(done.clone()), model.audit.get(done), "{place}");
        assert_eq!(self.audit.len(), after.n_audit, "the audit log {place}");
        assert_eq!(self.online, after.online, "who is there {place}");
        if batch.ledger.is_some() {
            assert_eq!(self.accounts, after.accounts, "accounts {place}");
        }
    }
}

/// A value as the model has it.
pub(crate) fn said(value: &Value) -> Said {
    match value {
        Value::Number(number) => Said::Number(*number),
        Value::Text(text) => Said::Text(text.to_string()),
    }
}

fn is_poison(reading: &Reading) -> bool {
    said(&reading.value).is_poison()
}

fn row(reading: &Reading, names: &Names) -> Row {
    Row {
        device: names.device(reading.device).to_string(),
        metric: names.metric(reading.metric).to_string(),
        at: reading.at,
        value: said(&reading.value),
    }
}

/// A connection to it.
#[derive(Debug)]
pub(crate) struct Sink {
    database: Database,
    epoch: Option<u64>,
}

impl Sink {
    /// Waits until a request may be made; says how it goes.
    async fn request(&self) -> Mood {
        loop {
            {
                let mut tables = self.database.tables();
                if tables.budget > 0 {
                    tables.budget -= 1;
                    if tables.away {
                        return Mood::Breaks;
                    }
                    return tables.moods.pop_front().unwrap_or(Mood::Fine);
                }
            }
            self.database.changed.notified().await;
        }
    }
}

fn away() -> SinkError {
    SinkError::Away("it is not there".into())
}

impl BatchSink for Sink {
    async fn open(&mut self, log: LogId) -> Result<Opened, SinkError> {
        if self.request().await == Mood::Breaks {
            return Err(away());
        }
        let mut tables = self.database.tables();
        assert_eq!(*tables.log.get_or_insert(log), log, "it is the same log");
        tables.epoch += 1;
        self.epoch = Some(tables.epoch);
        let ledger = tables.accounts.iter().map(|(device, account)| StoredLedger {
            device: DeviceId::new(device).expect("valid"),
            first_seen: account.first_seen,
            last_seen: account.last_seen,
            ledger: account.ledger.clone(),
        });
        let ledger = ledger.collect();
        let (position, ledger_position) = (tables.position, tables.ledger_position);
        Ok(Opened { position, ledger_position, ledger })
    }

    async fn write(&mut self, batch: &KeepBatch, names: &SharedNames) -> Result<(), SinkError> {
        let epoch = self.epoch.expect("it was opened");
        let mood = self.request().await;
        if mood == Mood::Breaks {
            return Err(away());
        }
        let mut tables = self.database.tables();
        let n_commits = tables.n_commits;
        tables.commit(batch, &names.read(), epoch)?;
        if tables.n_commits > n_commits {
            tables.check(batch, &self.database.model.lock().expect("no panic"));
        }
        if mood == Mood::Mute {
            tables.in_doubt = Some((batch.start, batch.end));
            tables.n_lost_answers += 1;
            return Err(away());
        }
        Ok(())
    }

    async fn find_refused(
        &mut self,
        batch: &KeepBatch,
        n_readings: &[u32],
        _: &SharedNames,
    ) -> Result<Vec<RefusedPublish>, SinkError> {
        if self.request().await != Mood::Fine {
            return Err(away());
        }
        let (mut refused, mut rest) = (Vec::new(), &batch.readings[..]);
        for (index, &n) in n_readings.iter().enumerate() {
            let (mine, others) = rest.split_at(n as usize);
            if mine.iter().any(is_poison) {
                refused.push(RefusedPublish { index, detail: "it is 13".into() });
            }
            rest = others;
        }
        assert!(rest.is_empty(), "every reading has its publish");
        let mut tables = self.database.tables();
        // It may leave some for the next time.
        refused.truncate(2);
        tables.n_refused += refused.len() as u64;
        Ok(refused)
    }
}
