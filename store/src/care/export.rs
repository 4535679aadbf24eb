//! Everything that is stored of one device, as lines of JSON, in one snapshot and with bounded memory.

use std::pin::pin;

use bellwire_model::DeviceId;
use futures_util::TryStreamExt;
use tokio_postgres::Client;
use tokio_postgres::types::ToSql;

use crate::connect::failed;
use crate::{Database, Error, migrate};

const DOING: &str = "exporting a device's data";

/// A time as everywhere in the API.
const TIME: &str = r#"'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'"#;

/// What was exported: how many lines of each kind, in order.
pub type Exported = Vec<(&'static str, u64)>;

impl Database {
    /// Gives `line` all there is of `device`, line by line without line ends: `device`, `account`s,
    /// `reading`s by time, `alert`s, `transition`s, `quarantined` payloads, `command`s; `None` if the device
    /// is not known. All of one instant.
    ///
    /// # Errors
    /// [`Error`], and what `line` gives.
    pub async fn export_device<E: From<Error> + Send>(
        &self,
        device: &DeviceId,
        mut line: impl FnMut(&str) -> Result<(), E> + Send,
    ) -> Result<Option<Exported>, E> {
        let link = self.target().connect("bellwire export").await?;
        let client = &link.client;
        migrate::require_current(client).await?;
        let setup = "SET timezone = 'UTC'; SET jit = off; SET statement_timeout = 0; \
                     BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        client.batch_execute(setup).await.map_err(failed(DOING))?;
        let sql = "SELECT id FROM bellwire.device WHERE name = $1";
        let row = client.query_opt(sql, &[&device.as_str()]).await.map_err(failed(DOING))?;
        let Some(id) = row.map(|row| row.get::<_, i32>(0)) else { return Ok(None) };
        let mut exported = Exported::new();
        for (kind, sql) in parts() {
            let parameter: &(dyn ToSql + Sync) =
                if sql.contains("int4") { &id } else { &device.as_str() };
            exported.push((kind, part(client, &sql, parameter, &mut line).await?));
        }
        client.batch_execute("COMMIT").await.map_err(failed(DOING))?;
        Ok(Some(exported))
    }
}

/// Passes the lines of one query on; says how many.
async fn part<E: From<Error>>(
    client: &Client,
    sql: &str,
    parameter: &(dyn ToSql + Sync),
    line: &mut (impl FnMut(&str) -> Result<(), E> + Send),
) -> Result<u64, E> {
    let rows = client.query_raw(sql, [parameter]).await.map_err(failed(DOING))?;
    let (mut rows, mut n) = (pin!(rows), 0);
    while let Some(row) = rows.try_next().await.map_err(failed(DOING))? {
        line(row.get(0))?;
        n += 1;
    }
    Ok(n)
}

/// Members of an object with times, of columns.
fn times(columns: &[&str]) -> String {
    let pair = |column: &&str| {
        let name = column.rsplit('.').next().unwrap_or(column);
        format!("'{name}', to_char({column}, {TIME})")
    };
    columns.iter().map(pair).collect::<Vec<_>>().join(", ")
}

/// Each kind of line, and the query for it: by the device's id (`int4`), or by its name.
fn parts() -> [(&'static str, String); 7] {
    let device = format!(
        "SELECT json_build_object('type', 'device', 'device', device, {}, 'labels', d.labels, \
                'registered', b.registered, 'born', b.born)::text \
         FROM devices d JOIN bellwire.device b ON b.name = d.device WHERE device = $1",
        times(&["first_seen", "last_seen"])
    );
    let account = format!(
        "SELECT json_build_object('type', 'account', {}, 'received', received, 'stored', stored, \
                'duplicate', duplicate, 'quarantined', quarantined, 'refused', refused, \
                'readings', readings, 'seq_last', seq_last, 'seq_resets', seq_resets)::text \
         FROM bellwire.device_state s WHERE device_id = $1::int4 ORDER BY log_id",
        times(&["s.first_seen", "s.last_seen"])
    );
    let reading = format!(
        "SELECT json_build_object('type', 'reading', {}, 'metric', m.name, 'value', r.value, \
                'text', r.text)::text \
         FROM bellwire.reading_all r JOIN bellwire.metric m ON m.id = r.metric_id \
         WHERE r.device_id = $1::int4 ORDER BY r.at, m.name, r.value, r.text",
        times(&["r.at"])
    );
    let alert = format!(
        "SELECT json_build_object('type', 'alert', 'id', id, 'rule', rule, 'severity', severity, \
                'state', state, {}, 'value', value, 'summary', summary)::text \
         FROM alerts WHERE device = $1 ORDER BY since, id",
        times(&["since", "fired_at", "resolved_at"])
    );
    let transition = format!(
        "SELECT json_build_object('type', 'transition', {}, 'alert', alert_id, 'rule', rule, \
                'from', from_state, 'to', to_state, 'value', value, 'reason', reason, \
                'correction', correction, 'historical', historical)::text \
         FROM bellwire.transition WHERE device = $1 ORDER BY log_id, position, ordinal",
        times(&["at", "received_at"])
    );
    let quarantined = format!(
        "SELECT json_build_object('type', 'quarantined', {}, 'topic', topic, \
                'payload_base64', translate(encode(payload, 'base64'), E'\\n', ''), \
                'reason', reason, 'detail', detail)::text \
         FROM bellwire.quarantine WHERE device = $1 ORDER BY log_id, position, ordinal",
        times(&["received_at"])
    );
    let command = format!(
        "SELECT json_build_object('type', 'command', 'id', id, 'state', state, {}, 'reply', reply, \
                'author', author, 'content_type', content_type, 'sendings', sendings, \
                'payload_base64', translate(encode(payload, 'base64'), E'\\n', ''), \
                'answer_base64', translate(encode(answer, 'base64'), E'\\n', ''))::text \
         FROM bellwire.command WHERE device = $1 ORDER BY created_at, id",
        times(&[
            "created_at",
            "expires_at",
            "sent_at",
            "acknowledged_at",
            "answered_at",
            "ended_at"
        ])
    );
    [
        ("device", device),
        ("account", account),
        ("reading", reading),
        ("alert", alert),
        ("transition", transition),
        ("quarantined", quarantined),
        ("command", command),
    ]
}
