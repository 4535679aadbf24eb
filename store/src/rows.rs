//! The rows of a batch that are not readings, as arrays: one statement takes thousands of them.

use std::sync::Arc;

use bellwire_model::alert::Alert;
use bellwire_model::batch::LedgerRow;
use bellwire_model::{
    AlertId, Command, CommandId, Correction, DeviceKey, LogPosition, MetricKey, Presence,
    Quarantined, Transition,
};
use hashbrown::HashMap;
use tokio_postgres::types::ToSql;

use crate::dictionary::Dictionary;
use crate::handling;
use crate::types::{At, int8, storable};

/// The most rows in one statement.
const ROWS_MAX: usize = 5_000;
/// The most commands in one statement.
const COMMANDS_MAX: usize = PAYLOAD_BYTES_MAX / (2 * Command::PAYLOAD_BYTES_MAX);
/// The most payload bytes in one statement, where more than one payload fills it.
const PAYLOAD_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A statement's parameters, in its order.
pub(crate) type Parameters = Vec<Box<dyn ToSql + Sync + Send>>;

pub(crate) fn column<T, R>(rows: &[R], get: impl FnMut(&R) -> T) -> Box<dyn ToSql + Sync + Send>
where
    T: ToSql + Sync + Send + 'static,
{
    Box::new(rows.iter().map(get).collect::<Vec<T>>())
}

pub(crate) const INSERT_QUARANTINE: &str = "INSERT INTO bellwire.quarantine \
    (log_id, position, ordinal, received_at, device, topic, payload, reason, detail, kept) \
    SELECT $1::int4, * FROM unnest($2::int8[], $3::int4[], $4::timestamptz[], $5::text[], $6::text[], \
        $7::bytea[], $8::text[], $9::text[], $10::bytea[]) \
    ON CONFLICT DO NOTHING";

/// Parameters of [`INSERT_QUARANTINE`] for all of `rows`.
pub(crate) fn quarantine(log_id: i32, rows: &[Quarantined]) -> Vec<Parameters> {
    let mut statements = Vec::new();
    let mut rest = rows;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = |row: &&Quarantined| {
            bytes += row.payload.len();
            bytes <= PAYLOAD_BYTES_MAX
        };
        let n_rows = rest.iter().take(ROWS_MAX).take_while(fits).count().max(1);
        let (part, others) = rest.split_at(n_rows);
        statements.push(vec![
            Box::new(log_id) as Box<dyn ToSql + Sync + Send>,
            column(part, |row| int8(row.position.0)),
            column(part, |row| int4(row.ordinal)),
            column(part, |row| At(row.received_at)),
            column(part, |row| row.device.as_ref().map(ToString::to_string)),
            column(part, |row| storable(&row.topic).into_owned()),
            column(part, |row| row.payload.to_vec()),
            column(part, |row| row.reason.label()),
            column(part, |row| storable(&row.detail).into_owned()),
            column(part, |row| row.kept.as_deref().map(hash_bytes)),
        ]);
        rest = others;
    }
    statements
}

/// Hashes as they lie in `kept`.
fn hash_bytes(hashes: &[u64]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.to_le_bytes()).collect()
}

/// The hashes that lie in `kept`; what is no whole one is left out.
pub(crate) fn hashes(bytes: &[u8]) -> Box<[u64]> {
    bytes.as_chunks().0.iter().map(|chunk| u64::from_le_bytes(*chunk)).collect()
}

pub(crate) const DELETE_QUARANTINE: &str = "DELETE FROM bellwire.quarantine \
    WHERE log_id = $1::int4 AND (position, ordinal) IN \
        (SELECT * FROM unnest($2::int8[], $3::int4[]))";

/// Parameters of [`DELETE_QUARANTINE`] for all of `places`.
pub(crate) fn unshelved(log_id: i32, places: &[(LogPosition, u32)]) -> Vec<Parameters> {
    let statement = |part: &[(LogPosition, u32)]| {
        vec![
            Box::new(log_id) as Box<dyn ToSql + Sync + Send>,
            column(part, |(position, _)| int8(position.0)),
            column(part, |(_, ordinal)| int4(*ordinal)),
        ]
    };
    places.chunks(ROWS_MAX).map(statement).collect()
}

pub(crate) const INSERT_TRANSITION: &str = "INSERT INTO bellwire.transition \
    (log_id, position, ordinal, at, received_at, alert_id, rule, device, severity, from_state, \
     to_state, since, fired_at, resolved_at, value, summary, rule_version, reason, \
     correction, historical, step, step_by, step_text, \
     acknowledged_by, acknowledged_at, assigned_to, snoozed_until, latched, silenced_by, \
     inhibited_by, escalation, labels) \
    SELECT $1::int4, position, ordinal, at, received_at, alert_id, rule, device, severity, from_state, \
        to_state, since, fired_at, resolved_at, value, summary, rule_version, reason, \
        correction, historical, step, step_by, step_text, \
        acknowledged_by, acknowledged_at, assigned_to, snoozed_until, latched, silenced_by, \
        inhibited_by, escalation, labels::jsonb \
    FROM unnest($2::int8[], $3::int4[], $4::timestamptz[], $5::timestamptz[], \
        $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], \
        $12::timestamptz[], $13::timestamptz[], $14::timestamptz[], $15::float8[], $16::text[], \
        $17::int8[], $18::text[], $19::text[], $20::boolean[], $21::text[], $22::text[], \
        $23::text[], $24::text[], $25::text[], $26::timestamptz[], $27::text[], \
        $28::timestamptz[], $29::boolean[], $30::text[], $31::text[], $32::int2[]) \
        AS t (position, ordinal, at, received_at, alert_id, rule, device, severity, from_state, \
              to_state, since, fired_at, resolved_at, value, summary, rule_version, reason, \
              correction, historical, step, step_by, step_text, labels, acknowledged_by, \
              acknowledged_at, assigned_to, snoozed_until, latched, silenced_by, inhibited_by, \
              escalation) \
    ON CONFLICT DO NOTHING";

/// Parameters of [`INSERT_TRANSITION`] for all of `rows`.
pub(crate) fn transitions(log_id: i32, rows: &[Transition]) -> Vec<Parameters> {
    let text = |text: &Arc<str>| storable(text).into_owned();
    let statement = |part: &[Transition]| {
        let mut parameters = vec![
            Box::new(log_id) as Box<dyn ToSql + Sync + Send>,
            column(part, |row| int8(row.position.0)),
            column(part, |row| int4(row.ordinal)),
            column(part, |row| At(row.at)),
            column(part, |row| At(row.received_at)),
            column(part, |row| row.alert.id.to_string()),
            column(part, |row| row.alert.rule.to_string()),
            column(part, |row| row.alert.device.to_string()),
            column(part, |row| row.alert.severity.label()),
            column(part, |row| row.from.label()),
            column(part, |row| row.to.label()),
            column(part, |row| At(row.alert.since)),
            column(part, |row| row.alert.fired_at.map(At)),
            column(part, |row| row.alert.resolved_at.map(At)),
            column(part, |row| row.alert.value),
            column(part, |row| storable(&row.alert.summary).into_owned()),
            column(part, |row| row.rule_version.cast_signed()),
            column(part, |row| storable(&row.reason).into_owned()),
            column(part, |row| row.correction.map(Correction::label)),
            column(part, |row| row.historical),
            column(part, |row| row.step.as_ref().map(|step| step.kind.label())),
            column(part, |row| row.step.as_ref().and_then(|step| step.by.as_ref().map(text))),
            column(part, |row| row.step.as_ref().and_then(|step| step.text.as_ref().map(text))),
        ];
        parameters.extend(handling::columns(part, |row| &row.alert));
        parameters
    };
    rows.chunks(ROWS_MAX).map(statement).collect()
}

pub(crate) const UPSERT_ALERT: &str = "INSERT INTO bellwire.alert \
    (id, rule, device, severity, state, since, fired_at, resolved_at, value, summary, \
     acknowledged_by, acknowledged_at, assigned_to, snoozed_until, latched, silenced_by, \
     inhibited_by, escalation, labels) \
    SELECT id, rule, device, severity, state, since, fired_at, resolved_at, value, summary, \
        acknowledged_by, acknowledged_at, assigned_to, snoozed_until, latched, silenced_by, \
        inhibited_by, escalation, labels::jsonb \
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], \
        $6::timestamptz[], $7::timestamptz[], $8::timestamptz[], $9::float8[], $10::text[], \
        $11::text[], $12::text[], $13::timestamptz[], $14::text[], $15::timestamptz[], \
        $16::boolean[], $17::text[], $18::text[], $19::int2[]) \
        AS t (id, rule, device, severity, state, since, fired_at, resolved_at, value, summary, \
              labels, acknowledged_by, acknowledged_at, assigned_to, snoozed_until, latched, \
              silenced_by, inhibited_by, escalation) \
    ON CONFLICT (id) DO UPDATE SET \
        severity = excluded.severity, state = excluded.state, since = excluded.since, \
        fired_at = excluded.fired_at, resolved_at = excluded.resolved_at, \
        value = excluded.value, summary = excluded.summary, \
        labels = excluded.labels, acknowledged_by = excluded.acknowledged_by, \
        acknowledged_at = excluded.acknowledged_at, assigned_to = excluded.assigned_to, \
        snoozed_until = excluded.snoozed_until, latched = excluded.latched, \
        silenced_by = excluded.silenced_by, inhibited_by = excluded.inhibited_by, \
        escalation = excluded.escalation";

/// Parameters of [`UPSERT_ALERT`] for the alerts as they stand after `rows`.
pub(crate) fn alerts(rows: &[Transition]) -> Vec<Parameters> {
    let mut last: HashMap<AlertId, &Alert> = HashMap::new();
    for row in rows {
        last.insert(row.alert.id, &row.alert);
    }
    let mut last: Vec<&Alert> = last.into_values().collect();
    last.sort_unstable_by_key(|alert| alert.id);
    let statement = |part: &[&Alert]| {
        let mut parameters = vec![
            column(part, |alert| alert.id.to_string()),
            column(part, |alert| alert.rule.to_string()),
            column(part, |alert| alert.device.to_string()),
            column(part, |alert| alert.severity.label()),
            column(part, |alert| alert.state.label()),
            column(part, |alert| At(alert.since)),
            column(part, |alert| alert.fired_at.map(At)),
            column(part, |alert| alert.resolved_at.map(At)),
            column(part, |alert| alert.value),
            column(part, |alert| storable(&alert.summary).into_owned()),
        ];
        parameters.extend(handling::columns(part, |alert| alert));
        parameters
    };
    last.chunks(ROWS_MAX).map(statement).collect()
}

pub(crate) const UPSERT_LEDGER: &str = "INSERT INTO bellwire.device_state \
    (log_id, device_id, first_seen, last_seen, received, stored, duplicate, quarantined, refused, \
     readings, seq_last, seq_gaps, seq_resets) \
    SELECT $1::int4, id, first, last, received, stored, duplicate, quarantined, refused, readings, \
        seq_last, gaps::int8[], resets \
    FROM unnest($2::int4[], $3::timestamptz[], $4::timestamptz[], $5::int8[], $6::int8[], \
        $7::int8[], $8::int8[], $9::int8[], $10::int8[], $11::int8[], $12::text[], $13::int8[]) \
        AS t (id, first, last, received, stored, duplicate, quarantined, refused, readings, \
              seq_last, gaps, resets) \
    ON CONFLICT (device_id, log_id) DO UPDATE SET \
        first_seen = excluded.first_seen, last_seen = excluded.last_seen, \
        received = excluded.received, stored = excluded.stored, \
        duplicate = excluded.duplicate, quarantined = excluded.quarantined, \
        refused = excluded.refused, readings = excluded.readings, \
        seq_last = excluded.seq_last, seq_gaps = excluded.seq_gaps, \
        seq_resets = excluded.seq_resets";

/// Parameters of [`UPSERT_LEDGER`] for all of `rows`.
pub(crate) fn ledger(log_id: i32, dictionary: &Dictionary, rows: &[LedgerRow]) -> Vec<Parameters> {
    let statement = |part: &[LedgerRow]| {
        vec![
            Box::new(log_id) as Box<dyn ToSql + Sync + Send>,
            column(part, |row| dictionary.device(row.device)),
            column(part, |row| At(row.first_seen)),
            column(part, |row| At(row.last_seen)),
            column(part, |row| int8(row.ledger.received)),
            column(part, |row| int8(row.ledger.stored)),
            column(part, |row| int8(row.ledger.duplicate)),
            column(part, |row| int8(row.ledger.quarantined)),
            column(part, |row| int8(row.ledger.refused)),
            column(part, |row| int8(row.ledger.readings)),
            column(part, |row| row.ledger.seq.last.map(int8)),
            column(part, |row| gaps_literal(&row.ledger.seq.gaps)),
            column(part, |row| int8(row.ledger.seq.resets)),
        ]
    };
    rows.chunks(ROWS_MAX).map(statement).collect()
}

pub(crate) const UPSERT_UNIT: &str = "INSERT INTO bellwire.unit (device_id, metric_id, unit) \
    SELECT * FROM unnest($1::int4[], $2::int4[], $3::text[]) \
    ON CONFLICT (device_id, metric_id) DO UPDATE SET unit = excluded.unit";

/// Parameters of [`UPSERT_UNIT`] for what is so after `rows`.
pub(crate) fn units(
    dictionary: &Dictionary,
    rows: &[(DeviceKey, MetricKey, Arc<str>)],
) -> Vec<Parameters> {
    let last: HashMap<_, _> =
        rows.iter().map(|(device, metric, unit)| ((*device, *metric), unit)).collect();
    let last: Vec<_> = last.into_iter().collect();
    let statement = |part: &[((DeviceKey, MetricKey), &Arc<str>)]| {
        vec![
            column(part, |((device, _), _)| dictionary.device(*device)),
            column(part, |((_, metric), _)| dictionary.metric(*metric)),
            column(part, |(_, unit)| storable(unit).into_owned()),
        ]
    };
    last.chunks(ROWS_MAX).map(statement).collect()
}

pub(crate) const UPDATE_PRESENCE: &str = "UPDATE bellwire.device d SET online = p.online \
    FROM unnest($1::int4[], $2::boolean[]) AS p (id, online) \
    WHERE d.id = p.id AND d.online IS DISTINCT FROM p.online";

/// Parameters of [`UPDATE_PRESENCE`] for what is so after `rows`.
pub(crate) fn presence(dictionary: &Dictionary, rows: &[(DeviceKey, Presence)]) -> Vec<Parameters> {
    let last: HashMap<DeviceKey, Presence> = rows.iter().copied().collect();
    let last: Vec<_> = last.into_iter().collect();
    let statement = |part: &[(DeviceKey, Presence)]| {
        vec![
            column(part, |(device, _)| dictionary.device(*device)),
            column(part, |(_, presence)| presence.is_online()),
        ]
    };
    last.chunks(ROWS_MAX).map(statement).collect()
}

pub(crate) const UPSERT_COMMAND: &str = "INSERT INTO bellwire.command \
    (id, device, state, payload, content_type, reply, author, key, created_at, expires_at, \
     sent_at, acknowledged_at, ended_at, answered_at, answer, sendings) \
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::text[], $6::text[], \
        $7::text[], $8::text[], $9::timestamptz[], $10::timestamptz[], $11::timestamptz[], \
        $12::timestamptz[], $13::timestamptz[], $14::timestamptz[], $15::bytea[], $16::int8[]) \
    ON CONFLICT (id) DO UPDATE SET \
        state = excluded.state, sent_at = excluded.sent_at, \
        acknowledged_at = excluded.acknowledged_at, ended_at = excluded.ended_at, \
        answered_at = excluded.answered_at, answer = excluded.answer, \
        sendings = excluded.sendings";

/// Parameters of [`UPSERT_COMMAND`] for the commands as they stand after `rows`.
pub(crate) fn commands(rows: &[Command]) -> Vec<Parameters> {
    let mut last: HashMap<CommandId, &Command> = HashMap::new();
    for row in rows {
        last.insert(row.id, row);
    }
    let mut last: Vec<&Command> = last.into_values().collect();
    last.sort_unstable_by_key(|command| command.id);
    let text = |text: &Option<Arc<str>>| text.as_deref().map(|it| storable(it).into_owned());
    let statement = |part: &[&Command]| {
        vec![
            column(part, |it| it.id.to_string()),
            column(part, |it| it.device.to_string()),
            column(part, |it| it.state.label()),
            column(part, |it| it.payload.to_vec()),
            column(part, |it| text(&it.content_type)),
            column(part, |it| it.reply.label()),
            column(part, |it| text(&it.author)),
            column(part, |it| text(&it.key)),
            column(part, |it| At(it.created_at)),
            column(part, |it| At(it.expires_at)),
            column(part, |it| it.sent_at.map(At)),
            column(part, |it| it.acknowledged_at.map(At)),
            column(part, |it| it.ended_at.map(At)),
            column(part, |it| it.answer.as_ref().map(|answer| At(answer.at))),
            column(part, |it| it.answer.as_ref().map(|answer| answer.payload.to_vec())),
            column(part, |it| i64::from(it.n_sent)),
        ]
    };
    // Payload and answer of so many take no more than of quarantined payloads.
    last.chunks(COMMANDS_MAX).map(statement).collect()
}

fn int4(ordinal: u32) -> i32 {
    i32::try_from(ordinal).unwrap_or(i32::MAX)
}

/// `{1,3,7,7}`: an array of arrays of different lengths cannot be a parameter, a text can.
fn gaps_literal(gaps: &[(u64, u64)]) -> String {
    let mut literal = String::from("{");
    for (index, &(from, to)) in gaps.iter().enumerate() {
        if index > 0 {
            literal.push(',');
        }
        literal.push_str(&format!("{},{}", int8(from), int8(to)));
    }
    literal.push('}');
    literal
}

#[cfg(test)]
mod tests {
    use bellwire_model::{RejectReason, Timestamp};

    use super::*;

    #[test]
    fn gaps_become_an_array_literal() {
        assert_eq!(gaps_literal(&[]), "{}");
        assert_eq!(gaps_literal(&[(1, 3), (7, 7)]), "{1,3,7,7}");
    }

    #[test]
    fn hashes_read_back() {
        let all = [1, u64::MAX, 0x0102_0304_0506_0708];
        assert_eq!(*hashes(&hash_bytes(&all)), all);
        assert_eq!(hashes(&[1, 2, 3]).len(), 0);
    }

    #[test]
    fn big_payloads_are_spread_over_statements() {
        let row = |bytes: usize| Quarantined {
            position: LogPosition(0),
            ordinal: 0,
            received_at: Timestamp::EPOCH,
            device: None,
            topic: "t".into(),
            payload: vec![0; bytes].into(),
            reason: RejectReason::BadJson,
            detail: "".into(),
            kept: None,
        };
        assert_eq!(quarantine(1, &[]).len(), 0);
        assert_eq!(quarantine(1, &vec![row(10); ROWS_MAX + 1]).len(), 2);
        assert_eq!(quarantine(1, &[row(1), row(PAYLOAD_BYTES_MAX + 1), row(1)]).len(), 3);
    }
}
