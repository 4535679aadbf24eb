//! What a replay from quarantine means, read with nothing but memory.

use bellwire_ingest::log::Replay;
use bellwire_model::{DeviceLedger, LogPosition, Timestamp};

use crate::model::{Account, Model, Row, is_timely};
use crate::payload::{Meaning, Told};

impl Model {
    /// Takes a payload from quarantine, if all of it can be read now.
    pub(crate) fn replay(&mut self, replay: &Replay, position: LogPosition) {
        let key = (replay.topic.to_string(), replay.payload.to_vec());
        let (device, told) = match self.meanings.get(&key).expect("it was sent").clone() {
            Meaning::Objects(device, told) => (device, told),
            Meaning::Mapped(device, told) if self.mapped => (device, told),
            Meaning::Mapped(..) | Meaning::Rubbish(_) | Meaning::NoDevice => return,
            Meaning::Status(..) => panic!("a status is always understood"),
        };
        let (received_at, policy) = (replay.received_at, self.policy);
        let is_good = |told: &Told| {
            let is_timely = told.ts.is_none_or(|ts| is_timely(ts, received_at, policy));
            is_timely && !told.values.is_empty() && !told.bad_part
        };
        let was_before = self.replayed.get(&replay.place).is_some_and(|at| *at >= replay.seen_at);
        if !told.iter().all(is_good) || was_before {
            return;
        }
        assert!(!self.unshelved.contains(&replay.place), "it was seen on the shelf");
        self.replayed.insert(replay.place, position);
        let stored = self.stored_of.get(&replay.place).cloned().unwrap_or_default();
        let rows = self.new_rows((device, &told), received_at, stored);
        self.judged.extend(rows.iter().cloned());
        self.be_seen(device, received_at);
        if rows.iter().any(|row| row.value.is_poison()) {
            return;
        }
        self.unshelved.push(replay.place);
        self.move_account(replay, device, rows.len() as u64);
        self.rows.extend(rows);
    }

    /// The rows that are not stored yet; their counters are heard.
    fn new_rows(
        &mut self,
        (device, told): (&str, &[Told]),
        received_at: Timestamp,
        mut stored: Vec<Row>,
    ) -> Vec<Row> {
        let mut rows = Vec::new();
        for told in told {
            let at = told.ts.map_or(received_at, Timestamp::from_secs);
            let before = rows.len();
            for (metric, value) in &told.values {
                let is_it = |row: &Row| row.metric == *metric && row.at == at;
                match stored.iter().position(is_it) {
                    Some(index) => drop(stored.remove(index)),
                    None => rows.push(Row {
                        device: device.into(),
                        metric: (*metric).into(),
                        at,
                        value: value.clone(),
                    }),
                }
            }
            if let Some(seq) = told.seq.filter(|_| rows.len() - before == told.values.len()) {
                self.account(device, received_at);
                self.numbers.entry(device.into()).or_default().recall(seq);
                let ledger = self.numbers[device].ledger();
                self.account(device, received_at).seq = ledger;
            }
        }
        rows
    }

    fn move_account(&mut self, replay: &Replay, device: &str, n_readings: u64) {
        if let Some(from) = &replay.device {
            let account = self.accounts.get_mut(from.as_str()).expect("it was quarantined");
            account.ledger.received -= 1;
            account.ledger.quarantined -= 1;
        }
        let ledger = self.account(device, replay.received_at);
        ledger.received += 1;
        ledger.stored += 1;
        ledger.readings += n_readings;
    }

    /// The device's account, which was seen then.
    fn account(&mut self, device: &str, received_at: Timestamp) -> &mut DeviceLedger {
        let account = self.accounts.entry(device.into()).or_insert_with(|| Account {
            first_seen: received_at,
            last_seen: received_at,
            ledger: DeviceLedger::default(),
        });
        account.first_seen = account.first_seen.min(received_at);
        account.last_seen = account.last_seen.max(received_at);
        &mut account.ledger
    }
}
