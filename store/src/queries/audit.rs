//! The audit log, latest first.

use std::net::IpAddr;

use bellwire_model::{AuditDeed, AuditEntry, AuditOutcome, LogPosition, Timestamp};

use super::{Queries, row_limit, word};
use crate::Error;
use crate::metrics::QueryKind;
use crate::types::{At, int8, unsigned};

/// Which deeds are wanted. What is not said, any has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// By this name.
    pub who: Option<String>,
    /// This action, or, if it ends with `*`, those that begin so.
    pub action: Option<String>,
    /// To this target.
    pub target: Option<String>,
    /// Received then or later.
    pub from: Option<Timestamp>,
    /// Received before.
    pub to: Option<Timestamp>,
}

impl AuditFilter {
    /// Whether it leaves this deed; as the database has it.
    #[must_use]
    pub fn leaves(&self, entry: &AuditEntry) -> bool {
        let Self { who, action, target, from, to } = self;
        let deed = &entry.deed;
        let is =
            |wanted: &Option<String>, text: &str| wanted.as_deref().is_none_or(|it| it == text);
        let is_action = action.as_deref().is_none_or(|wanted| match wanted.strip_suffix('*') {
            Some(start) => deed.action.starts_with(start),
            None => *deed.action == *wanted,
        });
        is(who, &deed.who)
            && is(target, &deed.target)
            && is_action
            && from.is_none_or(|from| entry.received_at >= from)
            && to.is_none_or(|to| entry.received_at < to)
    }
}

impl Queries {
    /// Deeds, latest first, those before the place `before` only: when it was received, and its record.
    ///
    /// # Errors
    /// [`Error`]; transient ones while the database is away.
    pub async fn audit_log(
        &self,
        filter: &AuditFilter,
        before: Option<(Timestamp, LogPosition)>,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, Error> {
        let AuditFilter { who, action, target, from, to } = filter;
        let begin = action.as_deref().and_then(|action| action.strip_suffix('*'));
        let action = action.as_deref().filter(|_| begin.is_none());
        let rows = self
            .run(
                QueryKind::Audit,
                "reading the audit log",
                "SELECT position, received_at, who, via, address, request, action, target, outcome, \
                        status, before::text, after::text \
                 FROM bellwire.audit_entry \
                 WHERE ($1::timestamptz IS NULL OR (received_at, position) < ($1, $2::int8)) \
                   AND ($3::text IS NULL OR who = $3) AND ($4::text IS NULL OR action = $4) \
                   AND ($5::text IS NULL OR starts_with(action, $5)) \
                   AND ($6::text IS NULL OR target = $6) \
                   AND ($7::timestamptz IS NULL OR received_at >= $7) \
                   AND ($8::timestamptz IS NULL OR received_at < $8) \
                 ORDER BY received_at DESC, position DESC LIMIT $9",
                &[
                    &before.map(|(at, _)| At(at)),
                    &before.map(|(_, position)| int8(position.0)),
                    who,
                    &action,
                    &begin,
                    target,
                    &from.map(At),
                    &to.map(At),
                    &row_limit(limit),
                ],
            )
            .await?;
        rows.iter()
            .map(|row| {
                let At(received_at) = row.get(1);
                let text = |index| row.get::<_, Option<&str>>(index).map(Into::into);
                let deed = AuditDeed {
                    who: row.get::<_, &str>(2).into(),
                    via: row.get::<_, &str>(3).into(),
                    address: row.get::<_, Option<IpAddr>>(4),
                    request: text(5),
                    action: row.get::<_, &str>(6).into(),
                    target: row.get::<_, &str>(7).into(),
                    outcome: word("an outcome", row.get(8), AuditOutcome::from_label)?,
                    status: u16::try_from(row.get::<_, i32>(9)).unwrap_or_default(),
                    before: text(10),
                    after: text(11),
                };
                let position = LogPosition(unsigned(row.get(0)));
                Ok(AuditEntry { position, received_at, deed })
            })
            .collect()
    }
}
