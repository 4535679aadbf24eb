//! How much the shelf of quarantined payloads holds: what is older than it may be, or beyond its size, goes
//! and is counted. Commands that were over long ago go with it, and lines of the audit log.

use crate::connect::{Target, failed};
use crate::{Config, Error, migrate};

const DOING: &str = "clearing quarantine, commands and the audit log";

/// Bytes of a row beside its texts and its payload, with its part of the indexes.
const ROW_BYTES: i64 = 150;

/// How many payloads went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cleared {
    /// Older than `quarantine_days`.
    pub by_age: u64,
    /// The oldest, beyond `quarantine_bytes_max`.
    pub by_size: u64,
}

/// Clears it once. It may run at any time, in any number of processes.
pub(crate) async fn clear(target: &Target, config: &Config) -> Result<Cleared, Error> {
    let link = target.connect("bellwire quarantine").await?;
    migrate::require_current(&link.client).await?;
    let setup = format!("SET statement_timeout = {}", config.compact_timeout_ms);
    link.client.batch_execute(&setup).await.map_err(failed(DOING))?;
    let by_age = link
        .client
        .execute(
            "DELETE FROM bellwire.quarantine \
             WHERE received_at < now() - $1::int4 * interval '1 day'",
            &[&i32::try_from(config.quarantine_days).unwrap_or(i32::MAX)],
        )
        .await
        .map_err(failed(DOING))?;
    let sql = "DELETE FROM bellwire.command WHERE ended_at < now() - $1::int4 * interval '1 day'";
    let days = i32::try_from(config.command_days).unwrap_or(i32::MAX);
    link.client.execute(sql, &[&days]).await.map_err(failed(DOING))?;
    let sql =
        "DELETE FROM bellwire.audit_entry WHERE received_at < now() - $1::int4 * interval '1 day'";
    let days = i32::try_from(config.audit_days).unwrap_or(i32::MAX);
    link.client.execute(sql, &[&days]).await.map_err(failed(DOING))?;
    let bytes_max = i64::try_from(config.quarantine_bytes_max).unwrap_or(i64::MAX);
    // The table's size has what is dead in it too, and costs nothing to ask.
    let by_size = link
        .client
        .execute(
            "DELETE FROM bellwire.quarantine q USING ( \
                 SELECT log_id, position, ordinal, \
                        sum(pg_column_size(payload) + octet_length(topic) + octet_length(detail) + coalesce(octet_length(kept), 0) + $2::int8) \
                            OVER (ORDER BY received_at DESC, log_id, position DESC, ordinal DESC) AS upto \
                 FROM bellwire.quarantine \
                 WHERE pg_total_relation_size('bellwire.quarantine') > $1::int8 \
             ) s \
             WHERE s.upto > $1 AND (q.log_id, q.position, q.ordinal) = (s.log_id, s.position, s.ordinal)",
            &[&bytes_max, &ROW_BYTES],
        )
        .await
        .map_err(failed(DOING))?;
    Ok(Cleared { by_age, by_size })
}
