//! Silences and maintenance windows.
//!
//! | route | |
//! |---|---|
//! | `GET silences?state` | those that are not over, and those that ended in the last five days |
//! | `POST silences` | `{"matchers", "reason", "for"` or `"ends_at", "starts_at"?, "schedule"?, "time_zone"?}` |
//! | `GET silences/{id}` | one, with its version as `ETag` |
//! | `PUT silences/{id}` | the same body; `If-Match` says which version was seen |
//! | `DELETE silences/{id}` | ends it now, or before it begins |
//! | `POST silences/preview` | `{"matchers"}`: which open alerts it would mute |
//!
//! With a `schedule`, as a rule's `active`, it mutes at these hours only: a maintenance window that comes
//! back.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use bellwire_model::{
    ActionOutcome, Deed, Matchers, Prior, Silence, SilenceDraft, SilenceId, SilenceOutcome,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::concern::Concern;
use super::{act, end, text, unfit};
use crate::app::App;
use crate::auth::Who;
use crate::auth::within::Within;
use crate::changed::Changed;
use crate::http::{body, if_match};
use crate::params::{Params, invalid};
use crate::ports::{Known, SilenceInfo};
use crate::problem::Problem;
use crate::rfc3339::{self, Rfc3339};
use crate::views::{AlertView, Text};

/// The most alerts that a preview shows.
const PREVIEW_MAX: usize = 1_000;

/// What a silence is to be.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    matchers: String,
    reason: String,
    starts_at: Option<String>,
    ends_at: Option<String>,
    r#for: Option<String>,
    schedule: Option<String>,
    time_zone: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Preview {
    matchers: String,
}

/// How a silence stands.
const STATES: [&str; 4] = ["pending", "active", "waiting", "expired"];

fn state(app: &App, info: &SilenceInfo) -> &'static str {
    let now = app.clock.now();
    match &info.silence {
        silence if silence.is_over(now) => "expired",
        silence if !silence.is_running(now) => "pending",
        _ if info.mutes => "active",
        // Outside of its hours, or begun a moment ago.
        silence if silence.schedule.is_none() => "active",
        _ => "waiting",
    }
}

fn view(app: &App, info: &SilenceInfo) -> impl Serialize {
    #[derive(Serialize)]
    struct View {
        id: Text<SilenceId>,
        version: u32,
        state: &'static str,
        matchers: String,
        starts_at: Rfc3339,
        ends_at: Rfc3339,
        schedule: Option<Arc<str>>,
        time_zone: Option<Arc<str>>,
        author: Arc<str>,
        reason: Arc<str>,
        created_at: Rfc3339,
        updated_at: Rfc3339,
    }
    let silence = &info.silence;
    let (schedule, time_zone) = silence.schedule.clone().unzip();
    View {
        id: Text(silence.id),
        version: silence.version,
        state: state(app, info),
        matchers: silence.matchers.to_string(),
        starts_at: Rfc3339(silence.starts_at),
        ends_at: Rfc3339(silence.ends_at),
        schedule,
        time_zone,
        author: Arc::clone(&silence.author),
        reason: Arc::clone(&silence.reason),
        created_at: Rfc3339(silence.created_at),
        updated_at: Rfc3339(silence.updated_at),
    }
}

fn json_of(app: &App, info: &SilenceInfo) -> Option<Value> {
    serde_json::to_value(view(app, info)).ok()
}

/// What the audit log says of what was replaced: whether it muted is as it was seen.
fn replaced(app: &App, seen: &SilenceInfo, before: Option<Arc<Silence>>) -> Option<Value> {
    json_of(app, &SilenceInfo { silence: before?, mutes: seen.mutes })
}

/// One as an answer, with its version as `ETag`.
fn shown(app: &App, info: &SilenceInfo) -> Response {
    let mut answer = Json(view(app, info)).into_response();
    let tag = HeaderValue::try_from(format!("\"{}\"", info.silence.version));
    if let Ok(tag) = tag {
        answer.headers_mut().insert(header::ETAG, tag);
    }
    answer
}

fn no_such_silence() -> Problem {
    Problem::not_found(
        "silence_not_found",
        "There is no silence with this id, or it ended long ago.",
    )
}

fn find(app: &App, id: &str) -> Result<SilenceInfo, Problem> {
    let id = id.parse().ok().and_then(|id| app.ports.handling.silence(id));
    id.ok_or_else(no_such_silence)
}

/// `GET silences?state`.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    within: Within,
    uri: Uri,
) -> Result<Response, Problem> {
    let params = Params::read(&uri, &["state"])?;
    let known = format!("one or more of {}, with commas", STATES.join(", "));
    let states = params.parsed("state", &known, |text| {
        let find = |word| STATES.into_iter().find(|state| *state == word);
        text.split(',').map(find).collect::<Option<Vec<_>>>()
    })?;
    let all = app.ports.handling.silences();
    let is_meant = |info: &&SilenceInfo| {
        states.as_ref().is_none_or(|states| states.contains(&state(&app, info)))
    };
    let concern = Concern::of(&app, within).await?;
    let is_theirs = |info: &&SilenceInfo| concern.has(&info.silence.matchers);
    let mut found: Vec<&SilenceInfo> = all.iter().filter(is_meant).filter(is_theirs).collect();
    found.sort_by_key(|info| (std::cmp::Reverse(info.silence.ends_at), info.silence.id));
    let views: Vec<_> = found.into_iter().map(|info| view(&app, info)).collect();
    Ok(Json(json!({ "silences": views })).into_response())
}

/// `GET silences/{id}`.
pub(crate) async fn one(
    State(app): State<Arc<App>>,
    within: Within,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    Params::read(&uri, &[])?;
    let info = find(&app, &id)?;
    let concern = Concern::of(&app, within).await?;
    if concern.has(&info.silence.matchers) {
        Ok(shown(&app, &info))
    } else {
        Err(no_such_silence())
    }
}

/// `POST silences`.
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    who: Who,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    Params::read(&uri, &[])?;
    let bytes = body::read_json(&app, &headers, body).await?;
    // The port gives it its id.
    let draft = draft(&app, SilenceId(0), Some(0), body::parse(&bytes)?)?;
    let deed = Deed::Silence(Box::new(draft));
    let (info, _) = done(&app, &who, (&uri, &headers, &bytes), deed).await?;
    let mut answer = shown(&app, &info);
    *answer.status_mut() = StatusCode::CREATED;
    let place = format!("{}/{}", uri.path().trim_end_matches('/'), info.silence.id);
    if let Ok(place) = HeaderValue::from_str(&place) {
        answer.headers_mut().insert(header::LOCATION, place);
    }
    let (target, after) = (info.silence.id.to_string(), json_of(&app, &info));
    let changed = Changed { action: "silence.create", target, before: None, after };
    Ok(changed.noted(answer))
}

/// `PUT silences/{id}`.
pub(crate) async fn put(
    State(app): State<Arc<App>>,
    who: Who,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    Params::read(&uri, &[])?;
    let seen = find(&app, &id)?;
    let version = version(&headers)?;
    let bytes = body::read_json(&app, &headers, body).await?;
    let draft = draft(&app, seen.silence.id, version, body::parse(&bytes)?)?;
    let deed = Deed::Silence(Box::new(draft));
    let (info, before) = done(&app, &who, (&uri, &headers, &bytes), deed).await?;
    let (before, after) = (replaced(&app, &seen, before), json_of(&app, &info));
    let changed = Changed { action: "silence.update", target: id, before, after };
    Ok(changed.noted(shown(&app, &info)))
}

/// `DELETE silences/{id}`.
pub(crate) async fn expire(
    State(app): State<Arc<App>>,
    who: Who,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Params::read(&uri, &[])?;
    let seen = find(&app, &id)?;
    let version = match headers.contains_key(header::IF_MATCH) {
        true => version(&headers)?,
        false => None,
    };
    let deed = Deed::Expire { id: seen.silence.id, version };
    let (info, before) =
        done(&app, &who, (&uri, &headers, &axum::body::Bytes::new()), deed).await?;
    let (before, after) = (replaced(&app, &seen, before), json_of(&app, &info));
    let changed = Changed { action: "silence.expire", target: id, before, after };
    Ok(changed.noted(shown(&app, &info)))
}

/// `POST silences/preview`.
pub(crate) async fn preview(
    State(app): State<Arc<App>>,
    within: Within,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    Params::read(&uri, &[])?;
    let Preview { matchers } = body::read(&app, &headers, body).await?;
    let matchers = parse(&matchers)?;
    let open = app.hub.open_alerts();
    let open =
        open.ok_or_else(|| Problem::later("starting", "The service is still starting.", 1))?;
    let meant = |alert: &&Arc<bellwire_model::Alert>| matchers.is_match(|name| alert.label(name));
    let meant: Vec<_> = open.iter().filter(meant).filter(|it| within.has_alert(it)).collect();
    let views: Vec<_> = meant.iter().take(PREVIEW_MAX).map(|it| AlertView(it)).collect();
    Ok(Json(json!({ "count": meant.len(), "alerts": views })).into_response())
}

/// The version that `If-Match` names; `None`: whatever there is.
fn version(headers: &HeaderMap) -> Result<Option<u32>, Problem> {
    Ok(match if_match(headers, "silence")? {
        Known::Any => None,
        // A tag that is none of ours is of no version.
        Known::Revisions(all) => {
            Some(all.first().and_then(|it| u32::try_from(*it).ok()).unwrap_or(u32::MAX))
        }
    })
}

fn parse(matchers: &str) -> Result<Matchers, Problem> {
    let found = Matchers::parse(matchers).map_err(|error| {
        let place = json!([{"column": error.column, "message": error.message}]);
        let detail = format!("The matchers are wrong: {error}.");
        unfit("invalid_matchers", detail).with_errors(place)
    })?;
    if found.is_empty() {
        let detail = "Without a matcher it would mute everything: name a label, as `site=\"x\"`.";
        return Err(unfit("invalid_matchers", detail));
    }
    Ok(found)
}

fn draft(
    app: &App,
    id: SilenceId,
    version: Option<u32>,
    said: Said,
) -> Result<SilenceDraft, Problem> {
    let Said { matchers, reason, starts_at, ends_at, r#for: lasts, schedule, time_zone } = said;
    let starts_at = starts_at
        .map(|text| rfc3339::parse(&text).ok_or_else(|| invalid("starts_at", "an RFC 3339 time")))
        .transpose()?;
    let from = starts_at.unwrap_or_else(|| app.clock.now()).max(app.clock.now());
    let ends_at = end(from, lasts.as_deref(), ("ends_at", ends_at.as_deref()))?;
    let schedule = match (schedule, time_zone) {
        (None, None) => None,
        (None, Some(_)) => {
            return Err(unfit("invalid_schedule", "`time_zone` means nothing without `schedule`."));
        }
        (Some(hours), zone) => {
            Some((hours.into(), zone.unwrap_or_else(|| "UTC".to_owned()).into()))
        }
    };
    Ok(SilenceDraft {
        id,
        version,
        matchers: parse(&matchers)?,
        starts_at,
        ends_at,
        schedule,
        reason: text("reason", reason)?,
    })
}

/// Has it done; gives the silence as it is then, and what it replaced.
async fn done(
    app: &App,
    who: &Who,
    request: (&Uri, &HeaderMap, &axum::body::Bytes),
    deed: Deed,
) -> Result<(SilenceInfo, Option<Arc<Silence>>), Problem> {
    let answer = act(app, who, request, deed).await?;
    let ActionOutcome::Silence(id, outcome) = answer.outcome else {
        return Err(no_such_silence());
    };
    let before = match answer.prior {
        Some(Prior::Silence(before)) => Some(before),
        _ => None,
    };
    match outcome {
        SilenceOutcome::Done => {
            let info = app.ports.handling.silence(id).ok_or_else(no_such_silence)?;
            Ok((info, before))
        }
        SilenceOutcome::NotFound => Err(no_such_silence()),
        SilenceOutcome::Changed(version) => {
            let detail = format!(
                "The silence has been changed meanwhile, it is at version {version}: look at it again."
            );
            Err(Problem::new(StatusCode::PRECONDITION_FAILED, "silence_changed", detail))
        }
        SilenceOutcome::Over => {
            let detail = "The silence is over: make another.";
            Err(Problem::new(StatusCode::CONFLICT, "silence_over", detail))
        }
        SilenceOutcome::EndsTooEarly => {
            Err(unfit("ends_too_early", "It would end before it begins, or is over already."))
        }
        SilenceOutcome::Full => Err(Problem::new(
            StatusCode::INSUFFICIENT_STORAGE,
            "too_many_silences",
            "There are 1,000 silences that are not over: end some.",
        )),
        SilenceOutcome::BadSchedule => Err(unfit(
            "invalid_schedule",
            "`schedule` is written as `mon-fri 22:00-06:00, sat`, `time_zone` as `Europe/Berlin`.",
        )),
    }
}
