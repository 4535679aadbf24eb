//! Alerts as they stand, and the transitions that led there.

use bellwire_model::alert::Alert;
use bellwire_model::{
    AlertId, AlertState, Correction, Cursor, LogPosition, RuleName, Severity, Target, Timestamp,
    Transition,
};
use tokio_postgres::Row;

use super::{Queries, row_limit, word};
use crate::Error;
use crate::handling::{self, SELECT as HANDLING};
use crate::metrics::QueryKind;
use crate::types::{At, int8, unsigned};

/// Which alerts to give: newest `since` first.
#[derive(Clone, Debug, Default)]
pub struct AlertPage {
    /// Only those in one of these states; empty: in any.
    pub states: Vec<AlertState>,
    /// Only this device's or group's.
    pub device: Option<Target>,
    /// Only this rule's.
    pub rule: Option<RuleName>,
    /// Only those that are handled so.
    pub handled: HandlingFilter,
    /// Only those after the alert with this `since` and id, the last of the page before.
    pub after: Option<(Timestamp, AlertId)>,
    /// The most of them.
    pub limit: usize,
}

/// How alerts are handled; what is `None` does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HandlingFilter {
    /// Whether somebody has acknowledged them.
    pub acknowledged: Option<bool>,
    /// Whether a silence mutes them.
    pub silenced: Option<bool>,
    /// Whether they are over and kept in sight.
    pub latched: Option<bool>,
    /// Who is to see to them.
    pub assigned_to: Option<String>,
}

impl Queries {
    /// Alerts as they stand, newest first.
    ///
    /// # Errors
    /// [`Error`]; transient ones while the database is away.
    pub async fn alerts(&self, page: &AlertPage) -> Result<Vec<Alert>, Error> {
        let states: Vec<&str> = page.states.iter().map(|state| state.label()).collect();
        let rows = self
            .run(
                QueryKind::Alerts,
                "reading alerts",
                &format!("SELECT id, rule, device, severity, state, since, fired_at, resolved_at, value, \
                        summary, {HANDLING} \
                 FROM bellwire.alert \
                 WHERE (cardinality($1::text[]) = 0 OR state = ANY($1)) \
                   AND ($2::text IS NULL OR device = $2) \
                   AND ($3::timestamptz IS NULL OR (since, id) < ($3, $4::text)) \
                   AND ($6::text IS NULL OR rule = $6) \
                   AND ($7::boolean IS NULL OR (acknowledged_by IS NOT NULL) = $7) \
                   AND ($8::boolean IS NULL OR (silenced_by IS NOT NULL) = $8) \
                   AND ($9::boolean IS NULL OR latched = $9) \
                   AND ($10::text IS NULL OR assigned_to = $10) \
                 ORDER BY since DESC, id DESC LIMIT $5"),
                &[
                    &states,
                    &page.device.as_ref().map(Target::as_str),
                    &page.after.map(|(since, _)| At(since)),
                    &page.after.map(|(_, id)| id.to_string()),
                    &row_limit(page.limit),
                    &page.rule.as_ref().map(RuleName::as_str),
                    &page.handled.acknowledged,
                    &page.handled.silenced,
                    &page.handled.latched,
                    &page.handled.assigned_to,
                ],
            )
            .await?;
        rows.iter().map(read_alert).collect()
    }

    /// One alert as it stands.
    ///
    /// # Errors
    /// [`Error`]; transient ones while the database is away.
    pub async fn alert(&self, id: AlertId) -> Result<Option<Alert>, Error> {
        let rows = self
            .run(
                QueryKind::Alerts,
                "reading an alert",
                &format!("SELECT id, rule, device, severity, state, since, fired_at, resolved_at, value, \
                        summary, {HANDLING} \
                 FROM bellwire.alert WHERE id = $1"),
                &[&id.to_string()],
            )
            .await?;
        rows.first().map(read_alert).transpose()
    }

    /// One alert's transitions, in order; none if it is not known.
    ///
    /// # Errors
    /// [`Error`]; transient ones while the database is away.
    pub async fn transitions_of(&self, id: AlertId) -> Result<Vec<Transition>, Error> {
        let rows = self
            .run(
                QueryKind::Transitions,
                "reading an alert's transitions",
                &format!("SELECT alert_id, rule, device, severity, to_state, since, fired_at, resolved_at, \
                        value, summary, {HANDLING}, position, ordinal, from_state, at, received_at, \
                        rule_version, reason, correction, historical, step, step_by, step_text \
                 FROM bellwire.transition WHERE alert_id = $1 \
                 ORDER BY position, ordinal LIMIT $2"),
                &[&id.to_string(), &row_limit(super::ROWS_MAX)],
            )
            .await?;
        rows.iter().map(read_transition).collect()
    }

    /// The transitions after `cursor`, in the order of its log, at most `limit`. `None` if the
    /// database does not know the log.
    ///
    /// # Errors
    /// [`Error`]; transient ones while the database is away.
    pub async fn transitions_after(
        &self,
        cursor: Cursor,
        limit: usize,
    ) -> Result<Option<Vec<Transition>>, Error> {
        let rows = self
            .run(
                QueryKind::Transitions,
                "reading transitions",
                &format!(
                    "SELECT t.alert_id, t.rule, t.device, t.severity, t.to_state, t.since, \
                        t.fired_at, t.resolved_at, t.value, t.summary, {HANDLING}, t.position, \
                        t.ordinal, t.from_state, t.at, t.received_at, t.rule_version, t.reason, \
                        t.correction, t.historical, t.step, t.step_by, t.step_text \
                 FROM bellwire.log_position l \
                 LEFT JOIN LATERAL ( \
                     SELECT * FROM bellwire.transition \
                     WHERE log_id = l.id AND (position, ordinal) > ($2, $3) \
                     ORDER BY position, ordinal LIMIT $4) t ON true \
                 WHERE l.log = $1 \
                 ORDER BY t.position, t.ordinal"
                ),
                &[
                    &cursor.log.to_string(),
                    &int8(cursor.position.0),
                    &i32::try_from(cursor.ordinal).unwrap_or(i32::MAX),
                    &row_limit(limit),
                ],
            )
            .await?;
        if rows.is_empty() {
            return Ok(None);
        }
        // A log without transitions is one row of NULLs.
        rows.iter()
            .filter(|row| row.get::<_, Option<i64>>(N_ALERT).is_some())
            .map(read_transition)
            .collect::<Result<_, _>>()
            .map(Some)
    }
}

/// How many columns an alert takes.
const N_ALERT: usize = 10 + handling::N_COLUMNS;

/// The alert in the first columns of `row`.
fn read_alert(row: &Row) -> Result<Alert, Error> {
    let time = |index| row.get::<_, Option<At>>(index).map(|At(at)| at);
    let At(since) = row.get(5);
    let mut alert = Alert {
        id: word("an alert's id", row.get(0), |text| text.parse().ok())?,
        rule: word("a rule's name", row.get(1), |text| RuleName::new(text).ok())?,
        device: word("a device", row.get(2), |text| Target::new(text).ok())?,
        severity: word("a severity", row.get(3), Severity::from_label)?,
        state: word("a state", row.get(4), AlertState::from_label)?,
        since,
        fired_at: time(6),
        resolved_at: time(7),
        value: row.get(8),
        summary: row.get(9),
        labels: None,
        handling: None,
    };
    handling::read(row, 10, &mut alert)?;
    Ok(alert)
}

fn read_transition(row: &Row) -> Result<Transition, Error> {
    const AT: usize = N_ALERT;
    let alert = read_alert(row)?;
    let (At(at), At(received_at)) = (row.get(AT + 3), row.get(AT + 4));
    Ok(Transition {
        position: LogPosition(unsigned(row.get(AT))),
        ordinal: u32::try_from(row.get::<_, i32>(AT + 1)).unwrap_or(0),
        to: alert.state,
        alert,
        from: word("a state", row.get(AT + 2), AlertState::from_label)?,
        at,
        received_at,
        rule_version: row.get::<_, i64>(AT + 5).cast_unsigned(),
        reason: row.get::<_, String>(AT + 6).into(),
        correction: row
            .get::<_, Option<&str>>(AT + 7)
            .map(|text| word("a correction", text, Correction::from_label))
            .transpose()?,
        historical: row.get(AT + 8),
        step: handling::read_step(row, AT + 9)?,
    })
}
