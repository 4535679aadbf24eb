//! The audit log: deeds as bytes of a record, and the last of them in memory, for who asks before the
//! database has them.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bellwire_model::{AuditDeed, AuditEntry, AuditOutcome};
use serde::{Deserialize, Serialize};

/// The most deeds that are remembered.
pub const REMEMBERED_MAX: usize = 1_000;
/// The most bytes of them.
pub const REMEMBERED_BYTES_MAX: usize = 16 << 20;

/// [`AuditDeed`] as bytes.
#[derive(Serialize, Deserialize)]
struct WireDeed<'a> {
    who: Cow<'a, str>,
    via: Cow<'a, str>,
    address: Option<IpAddr>,
    request: Option<Cow<'a, str>>,
    action: Cow<'a, str>,
    target: Cow<'a, str>,
    outcome: u8,
    status: u16,
    before: Option<Cow<'a, str>>,
    after: Option<Cow<'a, str>>,
}

/// The body of a record.
pub(crate) fn write(deed: &AuditDeed) -> Vec<u8> {
    let wire = WireDeed {
        who: (&*deed.who).into(),
        via: (&*deed.via).into(),
        address: deed.address,
        request: deed.request.as_deref().map(Into::into),
        action: (&*deed.action).into(),
        target: (&*deed.target).into(),
        outcome: deed.outcome as u8,
        status: deed.status,
        before: deed.before.as_deref().map(Into::into),
        after: deed.after.as_deref().map(Into::into),
    };
    postcard::to_stdvec(&wire).expect("a buffer in memory takes everything")
}

/// The deed of a record's body; `None` if it is none.
pub(crate) fn read(body: &[u8]) -> Option<AuditDeed> {
    let (wire, rest): (WireDeed<'_>, _) = postcard::take_from_bytes(body).ok()?;
    let owned = |text: Option<Cow<'_, str>>| text.map(|text| text.into_owned().into());
    rest.is_empty().then_some(())?;
    Some(AuditDeed {
        who: wire.who.into(),
        via: wire.via.into(),
        address: wire.address,
        request: owned(wire.request),
        action: wire.action.into(),
        target: wire.target.into(),
        outcome: AuditOutcome::ALL.get(usize::from(wire.outcome)).copied()?,
        status: wire.status,
        before: owned(wire.before),
        after: owned(wire.after),
    })
}

#[derive(Debug, Default)]
struct Remembered {
    entries: VecDeque<Arc<AuditEntry>>,
    bytes: usize,
}

/// The last deeds, as *judge* read them. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct SharedAudit(Arc<Mutex<Remembered>>);

impl SharedAudit {
    fn inner(&self) -> MutexGuard<'_, Remembered> {
        // Nothing in it is left half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds one; the oldest are forgotten.
    pub(crate) fn push(&self, entry: AuditEntry) {
        let mut inner = self.inner();
        inner.bytes += entry.deed.bytes();
        inner.entries.push_back(Arc::new(entry));
        while inner.entries.len() > REMEMBERED_MAX || inner.bytes > REMEMBERED_BYTES_MAX {
            let Some(oldest) = inner.entries.pop_front() else { return };
            inner.bytes -= oldest.deed.bytes();
        }
    }

    /// Those that are remembered, the latest first.
    #[must_use]
    pub fn latest(&self) -> Vec<Arc<AuditEntry>> {
        self.inner().entries.iter().rev().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use bellwire_model::{LogPosition, Timestamp};

    use super::*;

    fn deed(after: &str) -> AuditDeed {
        AuditDeed {
            who: "anne".into(),
            via: "token".into(),
            address: Some("2001:db8::1".parse().expect("an address")),
            request: None,
            action: "rule.update".into(),
            target: "zu warm".into(),
            outcome: AuditOutcome::Done,
            status: 200,
            before: None,
            after: Some(after.into()),
        }
    }

    #[test]
    fn a_deed_reads_back() {
        let mut original = deed(r#"{"limit": 3}"#);
        for outcome in AuditOutcome::ALL {
            original.outcome = *outcome;
            let bytes = write(&original);
            assert_eq!(read(&bytes).as_ref(), Some(&original));
            assert_eq!(read(&bytes[..bytes.len() - 1]), None);
            assert_eq!(read(&[&bytes[..], b"x"].concat()), None);
        }
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let audit = SharedAudit::default();
        let push = |position: u64, after: &str| {
            audit.push(AuditEntry {
                position: LogPosition(position),
                received_at: Timestamp::EPOCH,
                deed: deed(after),
            });
        };
        (0..REMEMBERED_MAX as u64 + 5).for_each(|position| push(position, "{}"));
        let positions: Vec<_> = audit.latest().iter().map(|it| it.position.0).collect();
        assert_eq!(positions.len(), REMEMBERED_MAX);
        assert_eq!((positions[0], positions.last().copied()), (1_004, Some(5)));
        let long = "x".repeat(AuditDeed::JSON_BYTES_MAX);
        (2_000..3_000).for_each(|position| push(position, &long));
        let latest = audit.latest();
        let bytes: usize = latest.iter().map(|it| it.deed.bytes()).sum();
        assert!(bytes <= REMEMBERED_BYTES_MAX && latest.len() > 200, "{bytes}");
    }
}
