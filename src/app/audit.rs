//! The audit log, as the API writes and shows it: into the log; from the database, and from memory what
//! that does not have yet.

use std::sync::Arc;

use bellwire_api::ports::{
    AuditEnded, AuditFuture, AuditLog, AuditPage, AuditQuery, Extent, PortError,
};
use bellwire_ingest::audit::SharedAudit;
use bellwire_ingest::log::{Entry, Log};
use bellwire_model::{AuditDeed, AuditEntry, LogPosition, Timestamp};
use bellwire_store::{AuditFilter, Queries};

use super::durably;
use super::page::{from_time, read, to_time, token};

/// The audit log.
#[derive(Debug)]
pub(super) struct AuditBook {
    pub(super) log: Arc<dyn Log>,
    pub(super) remembered: SharedAudit,
    pub(super) queries: Queries,
}

/// A deed's place in the list, which goes from the latest to the first.
type Place = (Timestamp, LogPosition);

const fn place(entry: &AuditEntry) -> Place {
    (entry.received_at, entry.position)
}

impl AuditBook {
    async fn read_page(&self, query: AuditQuery) -> Result<AuditPage, PortError> {
        let AuditQuery { who, action, target, from, to, limit, after } = query;
        let filter = AuditFilter { who, action, target, from, to };
        let before = after.as_deref().map(read::<2>).transpose()?;
        let before = before.map(|[at, position]| (to_time(at), LogPosition(position)));
        let stored = self.queries.audit_log(&filter, before, limit).await;
        // Looked at behind the database: whatever that does not have yet is here.
        let remembered = self.remembered.latest();
        let (stored, extent) = match stored {
            Ok(stored) => (stored, Extent::Whole),
            Err(error) if error.is_transient() || error.is_unavailable() => {
                (Vec::new(), Extent::InMemory)
            }
            Err(error) => return Err(PortError::Failed(error.into())),
        };
        let is_wanted =
            |it: &AuditEntry| filter.leaves(it) && before.is_none_or(|before| place(it) < before);
        let remembered = remembered.iter().filter(|it| is_wanted(it)).map(|it| (**it).clone());
        let (entries, next) = merge(remembered.collect(), stored, limit);
        let next = next.map(|(at, position)| token([from_time(at), position.0]));
        Ok(AuditPage { entries, next, extent })
    }
}

/// The first `limit` of both, each once; and where the next page begins. `stored` has the first `limit`
/// that are wanted.
fn merge(
    remembered: Vec<AuditEntry>,
    stored: Vec<AuditEntry>,
    limit: usize,
) -> (Vec<AuditEntry>, Option<Place>) {
    // What comes behind the last of a full page the database may have too.
    let end = stored.last().filter(|_| stored.len() >= limit).map(place);
    let fits = |it: &AuditEntry| end.is_none_or(|end| place(it) >= end);
    let mut all: Vec<_> = remembered.into_iter().filter(fits).chain(stored).collect();
    all.sort_by_key(|it| std::cmp::Reverse(place(it)));
    all.dedup_by_key(|it| place(it));
    let is_more = all.len() > limit || end.is_some();
    all.truncate(limit);
    let next = all.last().filter(|_| is_more).map(place);
    (all, next)
}

impl AuditLog for AuditBook {
    fn append(&self, deed: AuditDeed) -> AuditFuture<'_, (), AuditEnded> {
        Box::pin(async move {
            let appended = durably::append(&self.log, Entry::audit(&deed)).await;
            appended.map_err(|_| AuditEnded)
        })
    }

    fn page(&self, query: AuditQuery) -> AuditFuture<'_, AuditPage, PortError> {
        Box::pin(self.read_page(query))
    }
}

#[cfg(test)]
mod tests {
    use bellwire_model::AuditOutcome;

    use super::*;

    fn entry(n: u64) -> AuditEntry {
        let deed = AuditDeed {
            who: "anne".into(),
            via: "token".into(),
            address: None,
            request: None,
            action: "rule.update".into(),
            target: "hot".into(),
            outcome: AuditOutcome::Done,
            status: 200,
            before: None,
            after: None,
        };
        // Two in each microsecond.
        let received_at = Timestamp::from_micros(i64::try_from(n / 2).unwrap());
        AuditEntry { position: LogPosition(n), received_at, deed }
    }

    /// All pages, where memory and database have these.
    fn pages(remembered: &[u64], stored: &[u64], limit: usize) -> Vec<Vec<u64>> {
        let (mut pages, mut before): (_, Option<Place>) = (Vec::new(), None);
        loop {
            let is_behind = |it: &AuditEntry| before.is_none_or(|before| place(it) < before);
            let of =
                |numbers: &[u64]| numbers.iter().map(|n| entry(*n)).filter(is_behind).collect();
            let mut rows: Vec<AuditEntry> = of(stored);
            rows.truncate(limit);
            let (page, next) = merge(of(remembered), rows, limit);
            pages.push(page.iter().map(|it| it.position.0).collect());
            match next {
                Some(next) => before = Some(next),
                None => return pages,
            }
        }
    }

    #[test]
    fn every_deed_is_listed_once() {
        assert_eq!(pages(&[], &[], 2), [Vec::<u64>::new()]);
        assert_eq!(pages(&[9, 8], &[], 3), [vec![9, 8]]);
        assert_eq!(pages(&[9, 8, 7], &[8, 7, 6], 2), [vec![9, 8], vec![7, 6], vec![]]);
        assert_eq!(pages(&[9, 8, 7], &[7, 6, 5, 4], 3), [vec![9, 8, 7], vec![6, 5, 4], vec![]]);
        assert_eq!(pages(&[9], &[5, 4, 3], 2), [vec![9, 5], vec![4, 3], vec![]]);
    }
}
