//! The history behind the API, as a test says; it remembers what it was asked.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use bellwire_api::History;
use bellwire_api::ports::{
    AlertHistory, AlertsQuery, BucketRow, BucketsQuery, Page, Place, PortError, PortFuture,
    QuarantineQuery, ReadingRow, ReadingsQuery,
};
use bellwire_model::{Alert, AlertId, DeviceId, DeviceLedger, Quarantined, Transition};
use tokio::sync::Notify;

/// What has been kept, as the test says; it remembers what it was asked.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub(crate) away: AtomicBool,
    /// Questions wait for `release` while this is set.
    pub(crate) stuck: AtomicBool,
    pub(crate) release: Notify,
    pub(crate) asked: Mutex<Vec<String>>,
    pub(crate) readings: Mutex<Vec<ReadingRow>>,
    pub(crate) buckets: Mutex<Vec<BucketRow>>,
    pub(crate) alerts: Mutex<Vec<Alert>>,
    pub(crate) transitions: Mutex<Vec<Transition>>,
    pub(crate) quarantined: Mutex<Vec<Quarantined>>,
    pub(crate) ledger: Mutex<Option<DeviceLedger>>,
}

impl Kept {
    fn answer<'a, T: Send + 'a>(
        &'a self,
        question: String,
        look: impl FnOnce(&Self) -> T + Send + 'a,
    ) -> PortFuture<'a, T> {
        self.asked.lock().expect("whole").push(question);
        Box::pin(async move {
            if self.stuck.load(Ordering::Relaxed) {
                self.release.notified().await;
            }
            if self.away.load(Ordering::Relaxed) {
                return Err(PortError::DatabaseAway);
            }
            Ok(look(self))
        })
    }

    pub(crate) fn last_question(&self) -> String {
        self.asked.lock().expect("whole").last().cloned().unwrap_or_default()
    }
}

/// A page of `rows`, whose token is the number of rows before it.
fn page<T: Clone>(rows: &[T], after: Option<&str>, limit: usize) -> Page<T> {
    let start = after.map_or(0, |after| after.parse().unwrap_or(usize::MAX)).min(rows.len());
    let end = rows.len().min(start + limit);
    let next = (end < rows.len()).then(|| end.to_string());
    Page { rows: rows[start..end].to_vec(), next }
}

impl History for Kept {
    fn readings(&self, query: ReadingsQuery) -> PortFuture<'_, Page<ReadingRow>> {
        if query.after.as_deref() == Some("nonsense") {
            return Box::pin(async { Err(PortError::BadPage) });
        }
        if query.after.as_deref() == Some("broken") {
            return Box::pin(async { Err(PortError::Failed("a fault of ours".into())) });
        }
        self.answer(format!("{query:?}"), move |kept| {
            page(&kept.readings.lock().expect("whole"), query.after.as_deref(), query.limit)
        })
    }

    fn buckets(&self, query: BucketsQuery) -> PortFuture<'_, Page<BucketRow>> {
        self.answer(format!("{query:?}"), move |kept| {
            page(&kept.buckets.lock().expect("whole"), query.after.as_deref(), query.limit)
        })
    }

    fn alerts(&self, query: AlertsQuery) -> PortFuture<'_, Page<Alert>> {
        self.answer(format!("{query:?}"), move |kept| {
            let alerts = kept.alerts.lock().expect("whole");
            let alerts: Vec<_> = alerts
                .iter()
                .filter(|alert| query.states.contains(&alert.state))
                .cloned()
                .collect();
            page(&alerts, query.after.as_deref(), query.limit)
        })
    }

    fn alert(&self, id: AlertId) -> PortFuture<'_, Option<AlertHistory>> {
        self.answer(format!("{id:?}"), move |kept| {
            let transitions: Vec<_> = {
                let all = kept.transitions.lock().expect("whole");
                all.iter().filter(|it| it.alert.id == id).cloned().collect()
            };
            let alert = transitions.last()?.alert.clone();
            Some(AlertHistory { alert, transitions })
        })
    }

    fn transitions(&self, from: Place, limit: usize) -> PortFuture<'_, Vec<Transition>> {
        self.answer(format!("{from:?}"), move |kept| {
            let all = kept.transitions.lock().expect("whole");
            all.iter().filter(|it| Place::of(it) >= from).take(limit).cloned().collect()
        })
    }

    fn quarantine(&self, query: QuarantineQuery) -> PortFuture<'_, Page<Quarantined>> {
        self.answer(format!("{query:?}"), move |kept| {
            page(&kept.quarantined.lock().expect("whole"), query.after.as_deref(), query.limit)
        })
    }

    fn ledger(&self, device: DeviceId) -> PortFuture<'_, Option<DeviceLedger>> {
        self.answer(format!("{device:?}"), |kept| kept.ledger.lock().expect("whole").clone())
    }

    fn ledgers(
        &self,
        after: Option<DeviceId>,
        limit: usize,
    ) -> PortFuture<'_, Vec<(DeviceId, DeviceLedger)>> {
        self.answer(format!("{after:?} {limit}"), move |kept| {
            let ledger = kept.ledger.lock().expect("whole").clone().unwrap_or_default();
            let names =
                ["oven-1", "oven-2", "oven-3"].map(|name| DeviceId::new(name).expect("valid"));
            let wanted =
                names.into_iter().filter(|name| after.as_ref().is_none_or(|after| name > after));
            wanted.take(limit).map(|name| (name, ledger.clone())).collect()
        })
    }
}
