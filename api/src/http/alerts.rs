//! `alerts`, and one alert with its transitions.
//!
//! Open alerts come from memory, so they are right to the instant and there without the database;
//! ended ones come from history.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use bellwire_model::{Alert, AlertId, AlertState, RuleName, Target, Transition};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::app::App;
use crate::params::Params;
use crate::ports::{AlertsQuery, Place};
use crate::problem::Problem;
use crate::views::{AlertView, TimesView, TransitionView};

/// `GET alerts?state&device&rule&limit&cursor`. `state` may name several, with commas; without it,
/// all open ones. Latest `since` first; open ones before ended ones.
pub(crate) async fn list(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Problem> {
    let params = Params::read(&uri, &["state", "device", "rule", "limit", "cursor"])?;
    let query = AlertsQuery {
        states: params.parsed("state", &states_known(), states)?.unwrap_or_else(open_states),
        device: params
            .parsed("device", "a device's or a group's name", |text| Target::new(text).ok())?,
        rule: params.parsed("rule", "a rule's name", |text| RuleName::new(text).ok())?,
        limit: params.limit()?,
        after: params.page()?,
    };
    // The next page of open ones begins with `open:`; those of history are its own.
    let from_open = match query.after.as_deref() {
        None => Some(0),
        Some(after) => after.strip_prefix("open:").map(|n| n.parse().unwrap_or(usize::MAX)),
    };
    let Some(n_seen) = from_open else { return ended(&app, query, Vec::new()).await };
    let mut open = open(&app, &query)?;
    open.drain(..n_seen.min(open.len()));
    if open.len() > query.limit {
        open.truncate(query.limit);
        let next = format!("open:{}", n_seen + open.len());
        return Ok(page(open.iter().map(|alert| &**alert), Some(&next)));
    }
    ended(&app, AlertsQuery { after: None, ..query }, open).await
}

/// The open alerts that match, latest first.
fn open(app: &App, query: &AlertsQuery) -> Result<Vec<Arc<Alert>>, Problem> {
    let open = app.hub.open_alerts();
    let mut open =
        open.ok_or_else(|| Problem::later("starting", "The service is still starting.", 1))?;
    open.retain(|alert| {
        query.states.contains(&alert.state)
            && query.device.as_ref().is_none_or(|device| *device == alert.device)
            && query.rule.as_ref().is_none_or(|rule| *rule == alert.rule)
    });
    open.sort_by_key(|alert| (std::cmp::Reverse(alert.since), alert.id));
    Ok(open)
}

/// Adds ended alerts, if they are asked for and there is room.
async fn ended(
    app: &App,
    query: AlertsQuery,
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
    let found = app.history(|history| history.alerts(query)).await?;
    Ok(page(before.chain(&found.rows), found.next.as_deref()))
}

fn page<'a>(alerts: impl Iterator<Item = &'a Alert>, next: Option<&str>) -> Response {
    #[derive(Serialize)]
    struct Alerts<'a> {
        alerts: Vec<AlertView<'a>>,
        next: Option<&'a str>,
    }
    Json(Alerts { alerts: alerts.map(AlertView).collect(), next }).into_response()
}

fn states(text: &str) -> Option<Vec<AlertState>> {
    text.split(',').map(AlertState::from_label).collect()
}

fn states_known() -> String {
    let labels: Vec<_> = AlertState::ALL.iter().map(|state| state.label()).collect();
    format!("one or more of {}, with commas", labels.join(", "))
}

fn open_states() -> Vec<AlertState> {
    AlertState::ALL.iter().copied().filter(|state| !state.is_over()).collect()
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
        .chain(recent.iter().map(|entry| entry.text.to_string()))
        .map(|text| RawValue::from_string(text).expect("frames are JSON"))
        .collect();
    let alert = open.as_deref().or(found.as_ref().map(|found| &found.alert));
    let alert = AlertView(alert.ok_or_else(no_such_alert)?);
    Ok(Json(One { alert, transitions, complete }).into_response())
}

fn parse_id(text: &str) -> Option<AlertId> {
    (text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit()))
        .then(|| text.parse().ok())
        .flatten()
}

fn no_such_alert() -> Problem {
    Problem::not_found("alert_not_found", "There is no alert with this id.")
}

fn kept_json(app: &App, transition: &Transition) -> String {
    let cursor = Place::of(transition).after().cursor(app.hub.log());
    let times = TimesView::kept(transition, None);
    serde_json::to_string(&TransitionView::new(cursor, transition, times))
        .expect("strings and numbers always serialize")
}
