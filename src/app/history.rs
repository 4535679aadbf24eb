//! History, as the API asks for it: from the database, and from the journal what is not there yet.

use std::collections::BTreeMap;
use std::sync::Arc;

use bellwire_api::ports::{
    AlertHistory, AlertsQuery, BucketRow, BucketsQuery, History, Page, Place, PortError,
    PortFuture, QuarantineQuery, ReadingRow, ReadingsQuery,
};
use bellwire_ingest::journal::Journal;
use bellwire_ingest::ledger::{Ledger, SharedLedger};
use bellwire_model::{
    Alert, AlertId, DeviceId, DeviceLedger, LogId, LogPosition, Quarantined, SharedNames,
    SharedRegistry, Transition,
};
use bellwire_store::{
    AlertPage, Bucket, Error, HandlingFilter, QuarantineFilter, QuarantinePlace, QuarantineRow,
    Queries, ReadingPlace, TimeRange,
};

use super::page::{from_time, read, to_time, token};
use super::rules::SharedRules;

/// The most rows of one bucket that a page token may say were given: what a device has metrics for.
const BUCKET_ROWS_MAX: u64 = 100_000;

/// What has been kept.
#[derive(Debug)]
pub struct Kept {
    /// Whose positions these are.
    pub log: LogId,
    /// The database.
    pub queries: Queries,
    /// What it does not have yet.
    pub journal: Arc<Journal>,
    /// The account.
    pub ledger: SharedLedger,
    /// Names of devices.
    pub names: SharedNames,
    /// The rules in force, labels included.
    pub rules: SharedRules,
    /// What else is said of devices.
    pub registry: SharedRegistry,
}

fn port_error(error: Error) -> PortError {
    if error.is_transient() || error.is_unavailable() {
        PortError::DatabaseAway
    } else {
        PortError::Failed(error.into())
    }
}

/// A page of rows, with a token if it is full: there may be more.
fn page<R, T>(
    rows: Vec<R>,
    limit: usize,
    next: impl FnOnce(&[R]) -> Option<String>,
    row: fn(R) -> T,
) -> Page<T> {
    let next = if rows.len() < limit { None } else { next(&rows) };
    Page { rows: rows.into_iter().map(row).collect(), next }
}

/// A page of quarantined payloads, each with its log.
pub(super) async fn quarantine_page(
    queries: &Queries,
    query: QuarantineQuery,
) -> Result<Page<QuarantineRow>, PortError> {
    let before = query.after.as_deref().map(read::<3>).transpose()?;
    let before = before.map(|[received_at, position, ordinal]| QuarantinePlace {
        received_at: to_time(received_at),
        position: LogPosition(position),
        ordinal: u32::try_from(ordinal).unwrap_or(u32::MAX),
    });
    let QuarantineQuery { device, reason, topic, from, to, places, limit, .. } = query;
    let filter = QuarantineFilter { device, reason, topic, from, to, places };
    let rows = queries.quarantine(&filter, before, limit).await.map_err(port_error)?;
    let next = |rows: &[QuarantineRow]| {
        let last = &rows.last()?.quarantined;
        Some(token([from_time(last.received_at), last.position.0, u64::from(last.ordinal)]))
    };
    Ok(page(rows, limit, next, |row| row))
}

fn bucket_row(group: Option<Box<str>>, row: Bucket) -> BucketRow {
    BucketRow {
        at: row.at,
        group,
        metric: row.metric,
        avg: row.avg,
        min: row.min,
        max: row.max,
        count: row.count,
        first: row.first,
        last: row.last,
    }
}

impl Kept {
    async fn readings_page(&self, query: ReadingsQuery) -> Result<Page<ReadingRow>, PortError> {
        let after = query.after.as_deref().map(read::<2>).transpose()?.map(|[at, n]| {
            ReadingPlace { at: to_time(at), n_given: u32::try_from(n).unwrap_or(u32::MAX) }
        });
        let range = TimeRange { from: query.from, to: query.to };
        let (device, metric) = (&query.device, query.metric.as_ref());
        let rows = self.queries.readings(device, metric, range, after, query.limit).await;
        let next = |rows: &[bellwire_store::ReadingRow]| {
            let place = ReadingPlace::after(rows, after)?;
            Some(token([from_time(place.at), u64::from(place.n_given)]))
        };
        Ok(page(rows.map_err(port_error)?, query.limit, next, |row| ReadingRow {
            at: row.at,
            metric: row.metric,
            value: row.value,
        }))
    }

    /// A page goes on within the bucket where the one before ended, behind the rows it gave.
    async fn buckets_page(&self, query: BucketsQuery) -> Result<Page<BucketRow>, PortError> {
        let after = query.after.as_deref().map(read::<2>).transpose()?;
        let (from, n_given) = after.map_or((query.from, 0), |[at, n_given]| {
            (to_time(at), usize::try_from(n_given.min(BUCKET_ROWS_MAX)).unwrap_or_default())
        });
        let range = TimeRange { from: from.max(query.from), to: query.to };
        let limit = n_given.saturating_add(query.limit);
        let rows = self.bucket_rows(&query, range, limit).await?;
        let next = rows.last().filter(|_| rows.len() >= limit).map(|last| {
            let n_of_last = rows.iter().rev().take_while(|row| row.at == last.at).count();
            token([from_time(last.at), n_of_last as u64])
        });
        Ok(Page { rows: rows.into_iter().skip(n_given).collect(), next })
    }

    /// The first `limit` buckets of `range`, of each metric or of each group of devices.
    async fn bucket_rows(
        &self,
        query: &BucketsQuery,
        range: TimeRange,
        limit: usize,
    ) -> Result<Vec<BucketRow>, PortError> {
        let (device, metric) = (query.device.as_ref(), query.metric.as_ref());
        if let (Some(label), Some(metric)) = (&query.by, metric) {
            let (values, groups): (Vec<_>, Vec<_>) = self.groups(label).into_iter().unzip();
            let found = self.queries.buckets_by(&groups, metric, range, query.bucket, limit).await;
            let found = found.map_err(port_error)?.into_iter();
            return Ok(found.map(|(group, row)| bucket_row(values[group].clone(), row)).collect());
        }
        let found = self.queries.buckets(device, metric, range, query.bucket, limit).await;
        Ok(found.map_err(port_error)?.into_iter().map(|row| bucket_row(None, row)).collect())
    }

    /// All devices by their label `label`, those without it first.
    fn groups(&self, label: &str) -> BTreeMap<Option<Box<str>>, Vec<DeviceId>> {
        let rules = self.rules.load();
        // A copy: judge waits for the other.
        let registry = self.registry.read().clone();
        let mut groups: BTreeMap<Option<Box<str>>, Vec<DeviceId>> = BTreeMap::new();
        for device in self.names.read().devices() {
            let labels = rules.labels_of(device, &registry);
            let value =
                labels.iter().find(|(name, _)| *name == label).map(|(_, value)| value.into());
            groups.entry(value).or_default().push(device.clone());
        }
        groups
    }

    async fn alerts_page(&self, query: AlertsQuery) -> Result<Page<Alert>, PortError> {
        let after = query.after.as_deref().map(read::<2>).transpose()?;
        let asked = AlertPage {
            states: query.states,
            device: query.device,
            rule: query.rule,
            handled: HandlingFilter {
                acknowledged: query.handled.acknowledged,
                silenced: query.handled.silenced,
                latched: query.handled.latched,
                assigned_to: query.handled.assigned_to,
            },
            after: after.map(|[since, id]| (to_time(since), AlertId(id))),
            limit: query.limit,
        };
        let rows = self.queries.alerts(&asked).await.map_err(port_error)?;
        let next = |rows: &[Alert]| rows.last().map(|a| token([from_time(a.since), a.id.0]));
        Ok(page(rows, query.limit, next, |alert| alert))
    }

    /// What the database has of an alert, and the journal behind that.
    async fn alert_history(&self, id: AlertId) -> Result<Option<AlertHistory>, PortError> {
        loop {
            let begin = Place { position: self.journal.begin(), ordinal: 0 };
            let mut transitions = self.queries.transitions_of(id).await.map_err(port_error)?;
            let from = transitions.last().map_or(begin, |last| Place::of(last).after().max(begin));
            let Some(newer) = self.journal_from(from, usize::MAX)? else { continue };
            transitions.extend(newer.into_iter().filter(|transition| transition.alert.id == id));
            return Ok(transitions
                .last()
                .map(|last| last.alert.clone())
                .map(|alert| AlertHistory { alert, transitions }));
        }
    }

    /// The database's up to where the journal begins, then the journal's.
    async fn transitions_page(
        &self,
        from: Place,
        limit: usize,
    ) -> Result<Vec<Transition>, PortError> {
        loop {
            let mut found = Vec::new();
            let begin = Place { position: self.journal.begin(), ordinal: 0 };
            if from < begin {
                let after = from.cursor(self.log);
                let rows = self.queries.transitions_after(after, limit).await;
                found = rows.map_err(port_error)?.unwrap_or_default();
                found.retain(|transition| Place::of(transition) < begin);
            }
            if found.len() >= limit {
                return Ok(found);
            }
            let newer = self.journal_from(from.max(begin), limit - found.len())?;
            if let Some(newer) = newer {
                found.extend(newer);
                return Ok(found);
            }
        }
    }

    /// The journal's from there on; `None` if it has been trimmed beyond that since its beginning
    /// was asked for: the database has it now.
    fn journal_from(
        &self,
        from: Place,
        limit: usize,
    ) -> Result<Option<Vec<Transition>>, PortError> {
        self.journal
            .transitions_from((from.position, from.ordinal), limit)
            .map_err(|error| PortError::Failed(error.into()))
    }

    async fn quarantine_page(
        &self,
        query: QuarantineQuery,
    ) -> Result<Page<Quarantined>, PortError> {
        let page = quarantine_page(&self.queries, query).await?;
        let rows = page.rows.into_iter().map(|row| row.quarantined).collect();
        Ok(Page { rows, next: page.next })
    }

    fn device_ledger(&self, device: &DeviceId) -> Result<Option<DeviceLedger>, PortError> {
        let key = self.names.read().device_key(device.as_str());
        self.ledger
            .with(|ledger| key.and_then(|key| ledger.device(key).cloned()))
            .ok_or(PortError::DatabaseAway)
    }

    fn ledger_page(
        &self,
        after: Option<&DeviceId>,
        limit: usize,
    ) -> Result<Vec<(DeviceId, DeviceLedger)>, PortError> {
        let names = self.names.read();
        let page = |ledger: &mut Ledger| {
            let all = ledger.devices().map(|(key, account)| (names.device(key), account));
            let mut found: Vec<_> =
                all.filter(|(id, _)| after.is_none_or(|after| *id > after)).collect();
            found.sort_unstable_by_key(|(id, _)| *id);
            let first = found.into_iter().take(limit);
            first.map(|(id, account)| (id.clone(), account.clone())).collect()
        };
        self.ledger.with(page).ok_or(PortError::DatabaseAway)
    }
}

impl History for Kept {
    fn readings(&self, query: ReadingsQuery) -> PortFuture<'_, Page<ReadingRow>> {
        Box::pin(self.readings_page(query))
    }

    fn buckets(&self, query: BucketsQuery) -> PortFuture<'_, Page<BucketRow>> {
        Box::pin(self.buckets_page(query))
    }

    fn alerts(&self, query: AlertsQuery) -> PortFuture<'_, Page<Alert>> {
        Box::pin(self.alerts_page(query))
    }

    fn alert(&self, id: AlertId) -> PortFuture<'_, Option<AlertHistory>> {
        Box::pin(self.alert_history(id))
    }

    fn transitions(&self, from: Place, limit: usize) -> PortFuture<'_, Vec<Transition>> {
        Box::pin(self.transitions_page(from, limit))
    }

    fn quarantine(&self, query: QuarantineQuery) -> PortFuture<'_, Page<Quarantined>> {
        Box::pin(self.quarantine_page(query))
    }

    fn ledger(&self, device: DeviceId) -> PortFuture<'_, Option<DeviceLedger>> {
        Box::pin(std::future::ready(self.device_ledger(&device)))
    }

    fn ledgers(
        &self,
        after: Option<DeviceId>,
        limit: usize,
    ) -> PortFuture<'_, Vec<(DeviceId, DeviceLedger)>> {
        Box::pin(std::future::ready(self.ledger_page(after.as_ref(), limit)))
    }
}
