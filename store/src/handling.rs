//! How alerts are handled, as columns: the same in an alert's row and in a transition's; and silences.

use std::sync::Arc;

use bellwire_model::alert::Alert;
use bellwire_model::{Acknowledgement, AlertId, Handling, Silence, SilenceId, Step, StepKind};
use hashbrown::HashMap;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::Error;
use crate::profiles;
use crate::queries::word;
use crate::rows::{Parameters, column};
use crate::types::{At, storable};

/// The most silences in one statement.
const SILENCES_MAX: usize = 500;

/// The columns as a query gives them.
pub(crate) const SELECT: &str = "labels::text, acknowledged_by, acknowledged_at, assigned_to, snoozed_until, \
     latched, silenced_by, inhibited_by, escalation";

/// How many they are.
pub(crate) const N_COLUMNS: usize = 9;

fn stored(text: &Arc<str>) -> String {
    storable(text).into_owned()
}

/// The columns of these rows, of each of which `of` gives the alert.
pub(crate) fn columns<R>(
    rows: &[R],
    of: impl Fn(&R) -> &Alert,
) -> [Box<dyn ToSql + Sync + Send>; N_COLUMNS] {
    fn handling(alert: &Alert) -> Option<&Handling> {
        alert.handling.as_deref()
    }
    fn ack(alert: &Alert) -> Option<&Acknowledgement> {
        handling(alert).and_then(|it| it.acknowledged.as_ref())
    }
    [
        column(rows, |row| of(row).labels.as_deref().map(profiles::text)),
        column(rows, |row| ack(of(row)).map(|ack| stored(&ack.by))),
        column(rows, |row| ack(of(row)).map(|ack| At(ack.at))),
        column(rows, |row| handling(of(row)).and_then(|it| it.assigned_to.as_ref().map(stored))),
        column(rows, |row| handling(of(row)).and_then(|it| it.snoozed_until).map(At)),
        column(rows, |row| handling(of(row)).is_some_and(|it| it.latched)),
        column(rows, |row| handling(of(row)).and_then(|it| ids_text(&it.silenced_by))),
        column(rows, |row| {
            handling(of(row)).and_then(|it| it.inhibited_by).map(|id| id.to_string())
        }),
        column(rows, |row| handling(of(row)).map_or(0, |it| i16::from(it.escalation))),
    ]
}

fn ids_text(ids: &[SilenceId]) -> Option<String> {
    let texts: Vec<_> = ids.iter().map(ToString::to_string).collect();
    (!texts.is_empty()).then(|| texts.join(","))
}

/// Puts what the columns of `row` from `first` on say into `alert`.
///
/// # Errors
/// [`Error`] if something in them is not understood.
pub(crate) fn read(row: &Row, first: usize, alert: &mut Alert) -> Result<(), Error> {
    let text = |index| row.get::<_, Option<String>>(first + index).map(Arc::<str>::from);
    let time = |index| row.get::<_, Option<At>>(first + index).map(|At(at)| at);
    let labels: Option<&str> = row.get(first);
    let labels = labels.map(|text| word("labels", text, profiles::labels)).transpose()?;
    alert.labels = labels.map(Arc::new);
    let silenced_by: Option<&str> = row.get(first + 6);
    let id = |text: &str| word("a silence's id", text, |text| text.parse().ok());
    let inhibited_by: Option<&str> = row.get(first + 7);
    let inhibitor = |text| word("an alert's id", text, |text| text.parse::<AlertId>().ok());
    let handling = Handling {
        acknowledged: text(1).zip(time(2)).map(|(by, at)| Acknowledgement { by, at }),
        assigned_to: text(3),
        snoozed_until: time(4),
        latched: row.get(first + 5),
        silenced_by: silenced_by
            .into_iter()
            .flat_map(|ids| ids.split(','))
            .map(id)
            .collect::<Result<_, _>>()?,
        inhibited_by: inhibited_by.map(inhibitor).transpose()?,
        escalation: u8::try_from(row.get::<_, i16>(first + 8)).unwrap_or(u8::MAX),
    };
    alert.handling = (!handling.is_empty()).then(|| Box::new(handling));
    Ok(())
}

/// The step in three columns of `row` from `first` on, if it is one.
///
/// # Errors
/// [`Error`] if its kind is not known.
pub(crate) fn read_step(row: &Row, first: usize) -> Result<Option<Box<Step>>, Error> {
    let Some(kind) = row.get::<_, Option<&str>>(first) else { return Ok(None) };
    let text = |index| row.get::<_, Option<String>>(first + index).map(Arc::<str>::from);
    let kind = word("a step", kind, StepKind::from_label)?;
    Ok(Some(Box::new(Step { kind, by: text(1), text: text(2) })))
}

pub(crate) const UPSERT_SILENCE: &str = "INSERT INTO bellwire.silence \
    (id, version, matchers, starts_at, ends_at, schedule, time_zone, author, reason, created_at, \
     updated_at) \
    SELECT * FROM unnest($1::text[], $2::int4[], $3::text[], $4::timestamptz[], $5::timestamptz[], \
        $6::text[], $7::text[], $8::text[], $9::text[], $10::timestamptz[], $11::timestamptz[]) \
    ON CONFLICT (id) DO UPDATE SET \
        version = excluded.version, matchers = excluded.matchers, starts_at = excluded.starts_at, \
        ends_at = excluded.ends_at, schedule = excluded.schedule, \
        time_zone = excluded.time_zone, author = excluded.author, reason = excluded.reason, \
        updated_at = excluded.updated_at";

/// Parameters of [`UPSERT_SILENCE`] for the silences as they stand after `rows`.
pub(crate) fn silences(rows: &[Arc<Silence>]) -> Vec<Parameters> {
    let mut last: HashMap<SilenceId, &Silence> = HashMap::new();
    for row in rows {
        last.insert(row.id, row);
    }
    let mut last: Vec<&Silence> = last.into_values().collect();
    last.sort_unstable_by_key(|silence| silence.id);
    let statement = |part: &[&Silence]| {
        vec![
            column(part, |it| it.id.to_string()),
            column(part, |it| i32::try_from(it.version).unwrap_or(i32::MAX)),
            column(part, |it| storable(&it.matchers.to_string()).into_owned()),
            column(part, |it| At(it.starts_at)),
            column(part, |it| At(it.ends_at)),
            column(part, |it| it.schedule.as_ref().map(|(hours, _)| stored(hours))),
            column(part, |it| it.schedule.as_ref().map(|(_, zone)| stored(zone))),
            column(part, |it| stored(&it.author)),
            column(part, |it| stored(&it.reason)),
            column(part, |it| At(it.created_at)),
            column(part, |it| At(it.updated_at)),
        ]
    };
    last.chunks(SILENCES_MAX).map(statement).collect()
}
