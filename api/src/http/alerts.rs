//! `alerts`, and one alert with its transitions.
//!
//! Open alerts come from memory, so they are right to the instant and there without the database;
//! ended ones come from history.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use bellwire_model::{Alert, AlertId, AlertState, Matchers, RuleName, Target, Transition};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::app::App;
use crate::auth::within::Within;
use crate::links::paged;
use crate::params::Params;
use crate::ports::{AlertsQuery, Handled, Place};
use crate::problem::Problem;
use crate::views::{AlertView, TimesView, TransitionView};

/// `GET alerts?state&device&rule&acknowledged&silenced&latched&assigned_to&matchers&limit&cursor`. `state` may
/// name several, with commas; without it, all open ones. Latest `since` first; open ones before ended ones.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    within: Within,
    uri: Uri,
) -> Result<Response, Problem> {
    let (query, matchers) = read(&Params::read(&uri, &KNOWN)?)?;
    // The next page of open ones begins with `open:`; those of history are its own.
    let from_open = match query.after.as_deref() {
        None => Some(0),
        Some(after) => after.strip_prefix("open:").map(|n| n.parse().unwrap_or(usize::MAX)),
    };
    let wanted = (&within, &matchers);
    let Some(n_seen) = from_open else { return ended(&app, query, wanted, Vec::new()).await };
    let mut open = open(&app, &query, &matchers)?;
    open.retain(|alert| within.has_alert(alert));
    open.drain(..n_seen.min(open.len()));
    if open.len() > query.limit {
        open.truncate(query.limit);
        let next = format!("open:{}", n_seen + open.len());
        return Ok(page(open.iter().map(|alert| &**alert), Some(&next)));
    }
    ended(&app, AlertsQuery { after: None, ..query }, wanted, open).await
}

/// The parameters of lists.
const KNOWN: [&str; 10] = [
    "state",
    "device",
    "rule",
    "acknowledged",
    "silenced",
    "latched",
    "assigned_to",
    "matchers",
    "limit",
    "cursor",
];

/// What is asked for.
fn read(params: &Params) -> Result<(AlertsQuery, Matchers), Problem> {
    let flag = |name| {
        params.parsed(name, "`true` or `false`", |text| match text {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        })
    };
    let handled = Handled {
        acknowledged: flag("acknowledged")?,
        silenced: flag("silenced")?,
        latched: flag("latched")?,
        assigned_to: params.text("assigned_to").map(str::to_owned),
    };
    let device =
        params.parsed("device", "a device's or a group's name", |text| Target::new(text).ok())?;
    let query = AlertsQuery {
        states: params.parsed("state", &states_known(), states)?.unwrap_or_default(),
        device,
        rule: params.parsed("rule", "a rule's name", |text| RuleName::new(text).ok())?,
        handled,
        limit: params.limit()?,
        after: params.page()?,
    };
    let matchers =
        Matchers::parse(params.text("matchers").unwrap_or_default()).map_err(|error| {
            Problem::bad_request("invalid_parameter", format!("`matchers` is wrong: {error}."))
        })?;
    Ok((query, matchers))
}

/// The open alerts that match, latest first. Without states: all of them, latched ones too.
fn open(app: &App, query: &AlertsQuery, matchers: &Matchers) -> Result<Vec<Arc<Alert>>, Problem> {
    let open = app.hub.open_alerts();
    let mut open =
        open.ok_or_else(|| Problem::later("starting", "The service is still starting.", 1))?;
    open.retain(|alert| {
        (query.states.is_empty() || query.states.contains(&alert.state))
            && query.handled.is_met_by(alert)
            && matchers.is_match(|name| alert.label(name))
            && query.device.as_ref().is_none_or(|device| *device == alert.device)
            && query.rule.as_ref().is_none_or(|rule| *rule == alert.rule)
    });
    open.sort_by_key(|alert| (std::cmp::Reverse(alert.since), alert.id));
    Ok(open)
}

/// Whether there are these alerts for whoever asks.
///
/// # Errors
/// A problem if there is one not, or it cannot be found out.
pub(crate) async fn check_within(
    app: &App,
    within: &Within,
    ids: &[AlertId],
) -> Result<(), Problem> {
    if within.is_everything() {
        return Ok(());
    }
    for &id in ids {
        let open = app.hub.with_feed(|feed| feed.open_alert(id).map(|it| Arc::clone(&it.alert)));
        let is_there = match open {
            Some(alert) => within.has_alert(&alert),
            None => {
                let kept = app.history(|history| history.alert(id)).await?;
                kept.is_some_and(|it| within.has_alert(&it.alert))
            }
        };
        if !is_there {
            return Err(no_such_alert());
        }
    }
    Ok(())
}

/// Adds ended alerts, if they are asked for and there is room.
async fn ended(
    app: &App,
    query: AlertsQuery,
    (within, matchers): (&Within, &Matchers),
    before: Vec<Arc<Alert>>,
) -> Result<Response, Problem> {
    let mut states = query.states;
    states.retain(|state| state.is_over());
    let limit = query.limit.saturating_sub(before.len());
    let before = before.iter().map(|alert| &**alert);
    if states.is_empty() {
        return Ok(page(before, None));
    }
    if limit == 0 {
        // Exactly full: history begins on the next page, which has no open ones left to show.
        let next = format!("open:{}", usize::MAX);
        return Ok(page(before, Some(&next)));
    }
    let query = AlertsQuery { states, limit, ..query };
    let mut found = app.history(|history| history.alerts(query)).await?;
    // Latched ones are among the open ones. Labels are not asked of history: a page may have fewer rows.
    app.hub.with_feed(|feed| found.rows.retain(|alert| feed.open_alert(alert.id).is_none()));
    found.rows.retain(|alert| within.has_alert(alert));
    found.rows.retain(|alert| matchers.is_match(|name| alert.label(name)));
    Ok(page(before.chain(&found.rows), found.next.as_deref()))
}

fn page<'a>(alerts: impl Iterator<Item = &'a Alert>, next: Option<&str>) -> Response {
    #[derive(Serialize)]
    struct Alerts<'a> {
        alerts: Vec<AlertView<'a>>,
        next: Option<&'a str>,
    }
    paged(Json(Alerts { alerts: alerts.map(AlertView).collect(), next }).into_response(), next)
}

fn states(text: &str) -> Option<Vec<AlertState>> {
    text.split(',').map(AlertState::from_label).collect()
}

fn states_known() -> String {
    let labels: Vec<_> = AlertState::ALL.iter().map(|state| state.label()).collect();
    format!("one or more of {}, with commas", labels.join(", "))
}

#[derive(Serialize)]
struct One<'a> {
    #[serde(flatten)]
    alert: AlertView<'a>,
    /// In order.
    transitions: Vec<Box<RawValue>>,
    /// Whether these are all: not, if the database is away and some are only there.
    complete: bool,
}

/// `GET alerts/{id}`: the alert, and how it came to stand there.
pub(crate) async fn one(
    State(app): State<Arc<App>>,
    within: Within,
    id: Result<Path<String>, axum::extract::rejection::PathRejection>,
    uri: Uri,
) -> Result<Response, Problem> {
    Params::read(&uri, &[])?;
    let id = id.ok().and_then(|Path(id)| parse_id(&id)).ok_or_else(no_such_alert)?;
    let (open, recent) = app.hub.with_feed(|feed| {
        (feed.open_alert(id).map(|open| Arc::clone(&open.alert)), feed.of_alert(id))
    });
    let found = match (app.history(|history| history.alert(id)).await, &open) {
        (Ok(found), _) => found,
        (Err(_), Some(_)) => None,
        (Err(problem), None) => return Err(problem),
    };
    let complete = found.is_some();
    // Memory knows the latest, history the earliest: each transition once.
    let newer = recent.first().map(|entry| entry.place);
    let kept = found.iter().flat_map(|found| &found.transitions);
    let kept = kept.filter(|it| newer.is_none_or(|newer| Place::of(it) < newer));
    let transitions = kept
        .map(|transition| kept_json(&app, transition))
        .chain(recent.iter().map(|entry| entry.frame.text().to_owned()))
        .map(|text| RawValue::from_string(text).expect("frames are JSON"))
        .collect();
    let alert = open.as_deref().or(found.as_ref().map(|found| &found.alert));
    let alert = alert.filter(|alert| within.has_alert(alert));
    let alert = AlertView(alert.ok_or_else(no_such_alert)?);
    Ok(Json(One { alert, transitions, complete }).into_response())
}

pub(crate) fn parse_id(text: &str) -> Option<AlertId> {
    (text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit()))
        .then(|| text.parse().ok())
        .flatten()
}

pub(crate) fn no_such_alert() -> Problem {
    Problem::not_found("alert_not_found", "There is no alert with this id.")
}

fn kept_json(app: &App, transition: &Transition) -> String {
    let cursor = Place::of(transition).after().cursor(app.hub.log());
    let times = TimesView::kept(transition, None);
    serde_json::to_string(&TransitionView::new(cursor, transition, times))
        .expect("strings and numbers always serialize")
}
