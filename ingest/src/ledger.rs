//! The account of every device's publishes, as *keep* passes them.
//!
//! It says `stored` only of what is in the database. Its rows go there with the readings, about
//! once a second; `ledger_position` says how far they account, and after a crash the rest is
//! counted again from the log (`docs/decisions/0009`).

use std::sync::{Arc, Mutex, PoisonError};

use bellwire_model::batch::LedgerRow;
use bellwire_model::{DeviceId, DeviceKey, DeviceLedger, SharedNames, Timestamp};

use crate::group::{Bookings, Fate, Heard, When};
use crate::seq;

/// A device's account as the database had it.
#[derive(Clone, Debug)]
pub struct StoredLedger {
    /// Whose.
    pub device: DeviceId,
    /// When its first publish was received.
    pub first_seen: Timestamp,
    /// When its latest publish was received.
    pub last_seen: Timestamp,
    /// Its account.
    pub ledger: DeviceLedger,
}

#[derive(Clone, Debug, Default)]
struct Account {
    seen: Option<(Timestamp, Timestamp)>,
    ledger: DeviceLedger,
    changed: bool,
}

/// All accounts; *keep* writes, the API reads.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    accounts: Vec<Account>,
    changed: Vec<DeviceKey>,
}

impl Account {
    fn see(&mut self, received_at: Timestamp) {
        let (first, last) = self.seen.unwrap_or((received_at, received_at));
        self.seen = Some((first.min(received_at), last.max(received_at)));
    }
}

impl Ledger {
    /// Takes up what the database had.
    pub fn load(&mut self, stored: Vec<StoredLedger>, names: &SharedNames) {
        for row in stored {
            let Some(key) = names.write(|names| names.add_device(&row.device)) else { continue };
            let account = self.account(key);
            account.seen = Some((row.first_seen, row.last_seen));
            account.ledger = row.ledger;
        }
    }

    /// Enters publishes, which of them left quarantine, what was heard of devices in them, and what
    /// was refused.
    pub fn enter(&mut self, bookings: Bookings<'_>) {
        let Bookings { entries, unshelved, heard, refused } = bookings;
        for entry in entries.iter().filter(|entry| entry.fate != Fate::Left) {
            let account = self.touch(entry.device);
            account.see(entry.received_at);
            let ledger = &mut account.ledger;
            ledger.received += 1;
            ledger.readings += u64::from(entry.n_readings);
            match entry.fate {
                Fate::Stored | Fate::Replayed => ledger.stored += 1,
                Fate::Duplicate => ledger.duplicate += 1,
                Fate::Quarantined => ledger.quarantined += 1,
                Fate::Left => {}
            }
        }
        // What leaves quarantine goes over to the account of whom it is of, as it is read now. It may
        // have come in among these.
        for device in unshelved.iter().filter_map(|it| it.device) {
            let ledger = &mut self.touch(device).ledger;
            ledger.received = ledger.received.saturating_sub(1);
            ledger.quarantined = ledger.quarantined.saturating_sub(1);
        }
        for &(device, n, noted_at) in refused {
            let account = self.touch(device);
            // It may be another that publishes in its name: that is no sign that the device is there.
            let (first, last) = account.seen.unwrap_or((noted_at, noted_at));
            account.seen = Some((first.min(noted_at), last));
            account.ledger.received += u64::from(n);
            account.ledger.refused += u64::from(n);
        }
        for &Heard { device, received_at, seq, when } in heard {
            let account = self.touch(device);
            account.see(received_at);
            match (seq, when) {
                (Some(seq), When::Now) => seq::observe(&mut account.ledger.seq, seq),
                (Some(seq), When::Before) => seq::recall(&mut account.ledger.seq, seq),
                (None, _) => {}
            }
        }
    }

    /// The rows that changed since the last call, whole.
    pub fn take_changed(&mut self) -> Vec<LedgerRow> {
        let changed = std::mem::take(&mut self.changed);
        changed
            .into_iter()
            .filter_map(|device| {
                let account = &mut self.accounts[device.index()];
                account.changed = false;
                let (first_seen, last_seen) = account.seen?;
                Some(LedgerRow { device, first_seen, last_seen, ledger: account.ledger.clone() })
            })
            .collect()
    }

    /// One device's account; `None` if nothing of it has been kept.
    #[must_use]
    pub fn device(&self, device: DeviceKey) -> Option<&DeviceLedger> {
        let account = self.accounts.get(device.index())?;
        account.seen.is_some().then_some(&account.ledger)
    }

    /// Every device's account.
    pub fn devices(&self) -> impl Iterator<Item = (DeviceKey, &DeviceLedger)> {
        self.accounts.iter().enumerate().filter_map(|(index, account)| {
            account.seen?;
            Some((DeviceKey(u32::try_from(index).ok()?), &account.ledger))
        })
    }

    /// The sum over all devices, without counters.
    #[must_use]
    pub fn total(&self) -> DeviceLedger {
        let mut total = DeviceLedger::default();
        for DeviceLedger { received, stored, duplicate, quarantined, refused, readings, .. } in
            self.accounts.iter().map(|account| &account.ledger)
        {
            total.received += received;
            total.stored += stored;
            total.duplicate += duplicate;
            total.quarantined += quarantined;
            total.refused += refused;
            total.readings += readings;
        }
        total
    }

    fn account(&mut self, device: DeviceKey) -> &mut Account {
        if self.accounts.len() <= device.index() {
            self.accounts.resize_with(device.index() + 1, Account::default);
        }
        &mut self.accounts[device.index()]
    }

    fn touch(&mut self, device: DeviceKey) -> &mut Account {
        let account = self.account(device);
        if !std::mem::replace(&mut account.changed, true) {
            self.changed.push(device);
        }
        &mut self.accounts[device.index()]
    }
}

/// The ledger, shared between *keep* and those who ask. Hold it briefly.
#[derive(Clone, Debug, Default)]
pub struct SharedLedger(Arc<Mutex<Option<Ledger>>>);

impl SharedLedger {
    /// Reads or changes it; `None` before the database has given what it had.
    pub fn with<T>(&self, act: impl FnOnce(&mut Ledger) -> T) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut().map(act)
    }

    /// Puts the ledger in place once it is loaded.
    pub fn set(&self, ledger: Ledger) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(ledger);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::{Entry, Unshelved};

    #[test]
    fn every_publish_is_in_one_column() {
        let mut ledger = Ledger::default();
        let device = DeviceKey(3);
        let entry = |fate, n_readings| Entry {
            device,
            received_at: Timestamp::from_secs(9),
            newest: None,
            fate,
            n_readings,
        };
        let received_at = Timestamp::from_secs(9);
        let heard = |device, seq| Heard { device, received_at, seq, when: When::Now };
        ledger.enter(Bookings {
            entries: &[
                entry(Fate::Stored, 3),
                entry(Fate::Duplicate, 0),
                entry(Fate::Quarantined, 1),
            ],
            heard: &[heard(device, Some(1)), heard(device, Some(4)), heard(DeviceKey(1), None)],
            refused: &[(device, 7, Timestamp::from_secs(99))],
            ..Bookings::default()
        });
        let account = ledger.device(device).expect("it has published").clone();
        assert!(account.balances());
        assert_eq!((account.received, account.refused, account.readings), (10, 7, 4));
        assert_eq!(account.seq.gaps, [(2, 3)]);
        let behind = ledger.device(DeviceKey(1)).expect("a gateway spoke of it");
        assert_eq!(*behind, DeviceLedger::default());
        assert_eq!(ledger.take_changed().len(), 2);
        assert_eq!(ledger.take_changed().len(), 0);
        assert_eq!(ledger.device(DeviceKey(0)), None);
    }

    #[test]
    fn what_leaves_quarantine_is_accounted_to_whom_it_is_of() {
        let mut ledger = Ledger::default();
        let entry = |device, fate| Entry {
            device: DeviceKey(device),
            received_at: Timestamp::from_secs(9),
            newest: None,
            fate,
            n_readings: 2,
        };
        let place = (bellwire_model::LogPosition(1), 0);
        let of = |device| Unshelved { place, device };
        // What is read again after a crash has all of it in one.
        let quarantined = [1, 1].map(|device| entry(device, Fate::Quarantined));
        let all = [&quarantined[..], &[1, 2, 3].map(|device| entry(device, Fate::Replayed))];
        let unshelved = &[of(Some(DeviceKey(1))), of(Some(DeviceKey(1))), of(None)];
        ledger.enter(Bookings { entries: &all.concat(), unshelved, ..Bookings::default() });
        let left = &[entry(3, Fate::Left)];
        ledger.enter(Bookings { entries: left, ..Bookings::default() });
        let expected = [(1, (1, 1, 0, 6)), (2, (1, 1, 0, 2)), (3, (1, 1, 0, 2))];
        for (device, (received, stored, quarantined, readings)) in expected {
            let it = ledger.device(DeviceKey(device)).expect("it has an account");
            let found = (it.received, it.stored, it.quarantined, it.readings);
            assert_eq!(found, (received, stored, quarantined, readings), "{device}");
            assert!(it.balances());
        }
    }
}
