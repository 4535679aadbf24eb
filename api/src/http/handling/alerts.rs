//! What operators do with one alert, or with many.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use bellwire_model::{
    Action, ActionOutcome, Alert, AlertDeed, AlertId, AlertOutcome, Cursor, Deed, LogPosition,
    Prior, Silence,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{act, end, text, unfit};
use crate::app::App;
use crate::auth::Who;
use crate::auth::within::Within;
use crate::changed::{Changed, Unchanged};
use crate::http::alerts::{check_within, no_such_alert, parse_id};
use crate::http::body;
use crate::params::{Params, invalid};
use crate::problem::Problem;
use crate::views::AlertView;

/// What a request says, whatever it is about.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Said {
    comment: Option<String>,
    seen: Option<String>,
    #[serde(deserialize_with = "present")]
    to: Option<Option<String>>,
    r#for: Option<String>,
    until: Option<String>,
    alerts: Option<Vec<String>>,
    action: Option<String>,
}

/// `null` is told from nothing.
fn present<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// What can be done; the words are those of `action` and of the routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Ack,
    Unack,
    Assign,
    Comment,
    Snooze,
    Unsnooze,
}

impl What {
    const ALL: [Self; 6] =
        [Self::Ack, Self::Unack, Self::Assign, Self::Comment, Self::Snooze, Self::Unsnooze];

    const fn label(self) -> &'static str {
        match self {
            Self::Ack => "ack",
            Self::Unack => "unack",
            Self::Assign => "assign",
            Self::Comment => "comment",
            Self::Snooze => "snooze",
            Self::Unsnooze => "unsnooze",
        }
    }

    /// As the audit log calls it.
    const fn action(self) -> &'static str {
        match self {
            Self::Ack => "alert.ack",
            Self::Unack => "alert.unack",
            Self::Assign => "alert.assign",
            Self::Comment => "alert.comment",
            Self::Snooze => "alert.snooze",
            Self::Unsnooze => "alert.unsnooze",
        }
    }

    /// The keys that a body may have beside `comment`.
    const fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Ack => &["seen"],
            Self::Assign => &["to"],
            Self::Snooze => &["for", "until"],
            Self::Unack | Self::Comment | Self::Unsnooze => &[],
        }
    }
}

/// One alert, what is to be done with it, and by whom.
type Parts = (State<Arc<App>>, (Who, Within), Path<String>, Uri, HeaderMap);

macro_rules! handlers {
    ($($(#[$doc:meta])* $name:ident = $what:expr;)*) => {
        $($(#[$doc])*
        pub(crate) async fn $name(
            app: State<Arc<App>>,
            who: Who,
            within: Within,
            id: Path<String>,
            uri: Uri,
            headers: HeaderMap,
            body: Body,
        ) -> Result<Response, Problem> {
            one((app, (who, within), id, uri, headers), body, $what).await
        })*
    };
}

handlers! {
    /// `POST alerts/{id}/ack`.
    ack = What::Ack;
    /// `POST alerts/{id}/unack`.
    unack = What::Unack;
    /// `POST alerts/{id}/assign`.
    assign = What::Assign;
    /// `POST alerts/{id}/comment`.
    comment = What::Comment;
    /// `POST alerts/{id}/snooze`.
    snooze = What::Snooze;
    /// `POST alerts/{id}/unsnooze`.
    unsnooze = What::Unsnooze;
}

async fn one(
    (State(app), (who, within), Path(id), uri, headers): Parts,
    body: Body,
    what: What,
) -> Result<Response, Problem> {
    Params::read(&uri, &[])?;
    let id = parse_id(&id).ok_or_else(no_such_alert)?;
    check_within(&app, &within, &[id]).await?;
    let bytes = body::read_json(&app, &headers, body).await?;
    let said = body::parse(if bytes.is_empty() { b"{}" } else { &bytes })?;
    let deed = deed(&app, vec![id], what, said)?;
    let answer = act(&app, &who, (&uri, &headers, &bytes), deed).await?;
    let ActionOutcome::Alerts(outcomes) = &answer.outcome else { return Err(no_such_alert()) };
    let outcome = outcomes.first().map_or(AlertOutcome::NotOpen, |(_, outcome)| *outcome);
    let now = answer.alerts.into_iter().next();
    if outcome != AlertOutcome::Done {
        return Err(refused(&app, id, outcome, now.as_ref()).await);
    }
    let now = match now {
        Some(alert) => alert,
        // It was done before, and is over since.
        None => {
            let found = app.history(|history| history.alert(id)).await?;
            found.ok_or_else(no_such_alert)?.alert
        }
    };
    let shown = |alert: &Alert| serde_json::to_value(AlertView(alert)).ok();
    let before = match &answer.prior {
        Some(Prior::Alert(before)) => shown(before),
        _ => None,
    };
    let changed =
        Changed { action: what.action(), target: id.to_string(), before, after: shown(&now) };
    Ok(changed.noted(Json(AlertView(&now)).into_response()))
}

/// `POST alerts/actions`: the same with many alerts. It is done with all with which it can be; the answer
/// tells of each.
pub(crate) async fn many(
    State(app): State<Arc<App>>,
    (who, within): (Who, Within),
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    Params::read(&uri, &[])?;
    let bytes = body::read_json(&app, &headers, body).await?;
    let mut said: Said = body::parse(&bytes)?;
    let words = || What::ALL.map(What::label).join(", ");
    let what =
        said.action.take().and_then(|word| What::ALL.into_iter().find(|what| what.label() == word));
    let what = what.ok_or_else(|| body::invalid(format!("`action` is one of {}.", words())))?;
    let named = said.alerts.take().unwrap_or_default();
    let most = Action::ALERTS_MAX;
    if !(1..=most).contains(&named.len()) {
        let detail = format!("`alerts` names 1 to {most} alerts, not {}.", named.len());
        return Err(unfit("too_many_alerts", detail));
    }
    let mut ids: Vec<AlertId> = Vec::with_capacity(named.len());
    for name in &named {
        let id =
            parse_id(name).ok_or_else(|| body::invalid(format!("{name:?} is no alert's id.")))?;
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    check_within(&app, &within, &ids).await?;
    let deed = deed(&app, ids, what, said)?;
    let answer = act(&app, &who, (&uri, &headers, &bytes), deed).await?;
    let ActionOutcome::Alerts(outcomes) = answer.outcome else { return Err(no_such_alert()) };
    let lines: Vec<Value> = outcomes
        .iter()
        .map(|(id, outcome)| {
            let alert = answer.alerts.iter().find(|alert| alert.id == *id);
            json!({"id": id.to_string(), "outcome": outcome.label(), "alert": alert.map(AlertView)})
        })
        .collect();
    let n_done = outcomes.iter().filter(|(_, it)| *it == AlertOutcome::Done).count();
    let shown = json!({"done": n_done, "outcomes": lines});
    let answer = Json(&shown).into_response();
    if n_done == 0 {
        return Ok(Unchanged.noted(answer));
    }
    let after = Some(json!({"action": what.label(), "outcomes": shown["outcomes"]}));
    let target = ids_text(&outcomes);
    Ok(Changed { action: "alert.act", target, before: None, after }.noted(answer))
}

/// The alerts with which something was done.
fn ids_text(outcomes: &[(AlertId, AlertOutcome)]) -> String {
    let done = outcomes.iter().filter(|(_, outcome)| *outcome == AlertOutcome::Done);
    done.map(|(id, _)| id.to_string()).collect::<Vec<_>>().join(",")
}

/// What a request asks for.
fn deed(app: &App, ids: Vec<AlertId>, what: What, said: Said) -> Result<Deed, Problem> {
    let Said { comment, seen, to, r#for: lasts, until, alerts, action } = said;
    let keys = [
        ("seen", seen.is_some()),
        ("to", to.is_some()),
        ("for", lasts.is_some()),
        ("until", until.is_some()),
        ("alerts", alerts.is_some()),
        ("action", action.is_some()),
    ];
    if let Some((key, _)) = keys.iter().find(|(key, is)| *is && !what.keys().contains(key)) {
        return Err(body::invalid(format!("`{key}` means nothing to `{}`.", what.label())));
    }
    let comment = comment.map(|comment| text("comment", comment)).transpose()?;
    let what = match what {
        What::Ack => AlertDeed::Acknowledge,
        What::Unack => AlertDeed::Unacknowledge,
        What::Comment if comment.is_none() => {
            return Err(body::invalid("`comment` is missing.".to_owned()));
        }
        What::Comment => AlertDeed::Comment,
        What::Unsnooze => AlertDeed::Unsnooze,
        What::Snooze => {
            let now = app.clock.now();
            AlertDeed::Snooze(end(now, lasts.as_deref(), ("until", until.as_deref()))?)
        }
        What::Assign => match to {
            None => return Err(body::invalid("`to` is missing: a name, or `null`.".to_owned())),
            Some(to) => AlertDeed::Assign(to.map(name).transpose()?),
        },
    };
    let seen = seen.map(|seen| seen_place(app, &seen)).transpose()?;
    Ok(Deed::Alerts { ids, what, seen, comment })
}

/// To whom something is assigned.
fn name(to: String) -> Result<Arc<str>, Problem> {
    let most = Silence::AUTHOR_BYTES_MAX;
    let is_fine = (1..=most).contains(&to.len()) && !to.chars().any(char::is_control);
    let detail = format!("`to` has 1 to {most} bytes, without control characters.");
    if is_fine { Ok(to.into()) } else { Err(unfit("invalid_text", detail)) }
}

/// The place up to which a client has seen everything.
fn seen_place(app: &App, seen: &str) -> Result<(LogPosition, u32), Problem> {
    let cursor: Cursor =
        seen.parse().map_err(|_| invalid("seen", "a cursor, as the live feed gives it"))?;
    // Of another log nothing is known.
    let is_ours = cursor.log == app.hub.log();
    Ok(if is_ours { (cursor.position, cursor.ordinal) } else { (LogPosition::ZERO, 0) })
}

/// Why nothing was done, with the alert as it stands.
async fn refused(app: &App, id: AlertId, outcome: AlertOutcome, alert: Option<&Alert>) -> Problem {
    let conflict = |code, detail: String| {
        let problem = Problem::new(StatusCode::CONFLICT, code, detail);
        match alert {
            Some(alert) => problem.with_alert(AlertView(alert)),
            None => problem,
        }
    };
    let ack = alert.and_then(|it| it.handling.as_ref()?.acknowledged.as_ref());
    match outcome {
        AlertOutcome::NotOpen => match app.history(|history| history.alert(id)).await {
            Ok(Some(_)) => conflict("alert_over", format!("{id} is over.")),
            Ok(None) | Err(_) => no_such_alert(),
        },
        AlertOutcome::Over => {
            let detail = "It is over: all that is left is to acknowledge it.".to_owned();
            conflict("alert_over", detail)
        }
        AlertOutcome::Pending => conflict("alert_pending", "It has not fired.".to_owned()),
        AlertOutcome::Acknowledged => {
            let by = ack.map_or("somebody", |ack| &ack.by);
            conflict("already_acknowledged", format!("{by} has acknowledged it already."))
        }
        AlertOutcome::NotAcknowledged => {
            conflict("not_acknowledged", "Nobody has acknowledged it.".to_owned())
        }
        AlertOutcome::Changed => {
            let detail = "Its rule has said something since `seen`: look at it again.".to_owned();
            conflict("alert_changed", detail)
        }
        AlertOutcome::NotSnoozed => conflict("not_snoozed", "It is not snoozed.".to_owned()),
        AlertOutcome::TooLate | AlertOutcome::Done => {
            unfit("ends_too_early", "That time is over already.")
        }
    }
}
