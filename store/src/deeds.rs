//! The audit log's rows, as arrays.

use bellwire_model::{AuditDeed, AuditEntry};
use tokio_postgres::types::ToSql;

use crate::rows::{Parameters, column};
use crate::types::{At, int8, storable};

/// The most rows in one statement: with the longest texts, about 8 MiB.
const ROWS_MAX: usize = (8 << 20) / (2 * AuditDeed::JSON_BYTES_MAX);

pub(crate) const INSERT: &str = "INSERT INTO bellwire.audit_entry \
    (log_id, position, received_at, who, via, address, request, action, target, outcome, status, \
     before, after) \
    SELECT $1::int4, position, received_at, who, via, address, request, action, target, outcome, \
        status, before::json, after::json \
    FROM unnest($2::int8[], $3::timestamptz[], $4::text[], $5::text[], $6::inet[], $7::text[], \
        $8::text[], $9::text[], $10::text[], $11::int4[], $12::text[], $13::text[]) \
        AS deed (position, received_at, who, via, address, request, action, target, outcome, \
            status, before, after) \
    ON CONFLICT DO NOTHING";

/// Parameters of [`INSERT`] for all of `rows`.
pub(crate) fn rows(log_id: i32, rows: &[AuditEntry]) -> Vec<Parameters> {
    let text = |text: &str| storable(text).into_owned();
    let maybe = |text: &Option<Box<str>>| text.as_deref().map(|it| storable(it).into_owned());
    let statement = |part: &[AuditEntry]| {
        vec![
            Box::new(log_id) as Box<dyn ToSql + Sync + Send>,
            column(part, |row| int8(row.position.0)),
            column(part, |row| At(row.received_at)),
            column(part, |row| text(&row.deed.who)),
            column(part, |row| text(&row.deed.via)),
            column(part, |row| row.deed.address),
            column(part, |row| maybe(&row.deed.request)),
            column(part, |row| text(&row.deed.action)),
            column(part, |row| text(&row.deed.target)),
            column(part, |row| row.deed.outcome.label()),
            column(part, |row| i32::from(row.deed.status)),
            column(part, |row| maybe(&row.deed.before)),
            column(part, |row| maybe(&row.deed.after)),
        ]
    };
    rows.chunks(ROWS_MAX).map(statement).collect()
}
