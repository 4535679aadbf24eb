//! Sets aside what the database refuses, so that the rest of its batch can be stored.
//!
//! A refused publish goes to quarantine as it came, with the server's words, and none of its
//! readings is stored. The log still says otherwise: whoever counted it again after a crash would
//! find a publish with readings. So the accounts are committed in the same transaction, which
//! moves the place that they are counted from behind it (`docs/decisions/0023`).

use std::time::Duration;

use bellwire_model::{LedgerFlush, Quarantined, RejectReason};
use hashbrown::HashMap;
use tokio::time::Instant;
use tracing::warn;

use crate::decode::Fault;
use crate::group::Fate;
use crate::keep::{KeepError, Load};
use crate::ledger::{Ledger, SharedLedger};
use crate::ports::RefusedPublish;
use crate::reread::Rereader;
use crate::unpack::quarantine;

/// Publishes that a batch must do without, and the accounts that say so.
#[derive(Debug, Default)]
pub(crate) struct Aside {
    n_publishes: u64,
    /// What the database said against the first of them.
    detail: String,
    ledger: Option<Ledger>,
}

impl Aside {
    /// The accounts to go on with once the batch is stored; `None` if nothing was set aside.
    pub(crate) const fn take_ledger(&mut self) -> Option<Ledger> {
        self.ledger.take()
    }

    pub(crate) const fn n_publishes(&self) -> u64 {
        self.n_publishes
    }
}

/// Adds the accounts as of the batch's end to the batch.
pub(crate) fn account(load: &mut Load, ledger: &SharedLedger) {
    // A copy: what the API shows says `stored` only of what is.
    let mut ledger = ledger.with(|ledger| ledger.clone()).unwrap_or_default();
    ledger.enter(load.bookings());
    load.batch.ledger = Some(LedgerFlush { devices: ledger.take_changed() });
    load.aside.ledger = Some(ledger);
}

/// Moves the refused publishes from the readings of `load` to its quarantine. Those that were
/// replayed stay there.
pub(crate) fn set_aside(
    load: &mut Load,
    refused: &[RefusedPublish],
    rereader: &mut Rereader,
) -> Result<(), KeepError> {
    let rows = as_they_came(load, refused, rereader)?;
    let n_left = n_replayed(load, refused.iter().map(|publish| publish.index));
    assert_eq!(rows.len() + n_left, refused.len(), "the log says the same when it is read again");
    for mut row in rows {
        let place = |other: &Quarantined| (other.position, other.ordinal);
        match load.batch.quarantined.iter_mut().find(|other| place(other) == place(&row)) {
            Some(other) => {
                row.detail =
                    format!("{}; also {}: {}", row.detail, other.reason, other.detail).into();
                *other = row;
            }
            None => load.batch.quarantined.push(row),
        }
    }
    load.batch.quarantined.sort_by_key(|row| (row.position, row.ordinal));
    let mut is_refused = vec![false; load.entries.len()];
    refused.iter().for_each(|publish| is_refused[publish.index] = true);
    let mut of_reading = load.entries.iter().zip(&is_refused).flat_map(|(entry, &is_refused)| {
        std::iter::repeat_n(is_refused, entry.n_readings as usize)
    });
    load.batch.readings.retain(|_| !of_reading.next().unwrap_or(false));
    drop(of_reading);
    leave_on_the_shelf(load, &is_refused);
    for publish in refused {
        let entry = &mut load.entries[publish.index];
        entry.n_readings = 0;
        entry.fate = match entry.fate {
            Fate::Replayed | Fate::Left => Fate::Left,
            Fate::Stored | Fate::Duplicate | Fate::Quarantined => Fate::Quarantined,
        };
    }
    if let Some(first) = refused.first().filter(|_| load.aside.n_publishes == 0) {
        load.aside.detail.clone_from(&first.detail);
    }
    load.aside.n_publishes += refused.len() as u64;
    Ok(())
}

/// How many of these entries are of publishes that were in quarantine before.
fn n_replayed(load: &Load, indexes: impl Iterator<Item = usize>) -> usize {
    indexes.filter(|&index| load.entries[index].fate == Fate::Replayed).count()
}

/// Of what leaves quarantine, takes out those that are refused.
fn leave_on_the_shelf(load: &mut Load, is_refused: &[bool]) {
    let replayed = load.entries.iter().zip(is_refused);
    let mut stays = replayed
        .filter(|(entry, _)| entry.fate == Fate::Replayed)
        .map(|(_, &is_refused)| is_refused);
    load.unshelved.retain(|_| !stays.next().unwrap_or(false));
    drop(stays);
    load.batch.unshelved = load.unshelved.iter().map(|it| it.place).collect();
}

/// The refused publishes, from the log, without those that were in quarantine before.
fn as_they_came(
    load: &Load,
    refused: &[RefusedPublish],
    rereader: &mut Rereader,
) -> Result<Vec<Quarantined>, KeepError> {
    let is_new = |index: usize| load.entries[index].fate != Fate::Replayed;
    let wanted = refused.iter().filter(|publish| is_new(publish.index));
    let wanted: HashMap<usize, &str> =
        wanted.map(|publish| (publish.index, publish.detail.as_str())).collect();
    let (mut rows, mut n_entries) = (Vec::new(), 0);
    let names = rereader.names();
    let mut from = load.batch.start;
    while from < load.batch.end {
        let group =
            rereader.read_with(from, load.batch.end, |moment, ordinal, publish, decoded| {
                let Some(device) = decoded.device else { return };
                if let Some(&detail) = wanted.get(&n_entries) {
                    let reason = RejectReason::RefusedByDatabase;
                    let fault = Fault { reason, detail: detail.into() };
                    let device = names.read().device(device).clone();
                    let kept = [].into();
                    rows.push(quarantine(moment, ordinal, publish, (Some(device), kept), fault));
                }
                n_entries += 1;
            })?;
        from = group.end;
    }
    Ok(rows)
}

/// How often it is said that publishes are refused: a device may publish them all the time.
const NOTICE_INTERVAL: Duration = Duration::from_secs(60);

/// Says that publishes were refused, now and then.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    last: Option<Instant>,
    n_unsaid: u64,
}

impl Notices {
    /// These publishes are in quarantine now.
    pub(crate) fn set_aside(&mut self, aside: &Aside) {
        self.n_unsaid += aside.n_publishes;
        if self.last.is_some_and(|last| last.elapsed() < NOTICE_INTERVAL) {
            return;
        }
        self.last = Some(Instant::now());
        let n_publishes = std::mem::take(&mut self.n_unsaid);
        warn!(
            n_publishes,
            detail = aside.detail,
            "The database refused {n_publishes} publishes; they are in quarantine, the rest is \
             stored: {}",
            aside.detail
        );
    }
}
