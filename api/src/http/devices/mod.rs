//! `devices`, one device, and the accounts of all.

pub(crate) mod change;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use bellwire_model::{DeviceId, DeviceLedger};
use serde::Serialize;

use crate::app::{App, no_such_device};
use crate::auth::within::Within;
use crate::http::Named;
use crate::links::paged;
use crate::params::{Params, invalid};
use crate::ports::{DeviceFilter, DeviceInfo, LabelMap, PortError, SelectionError};
use crate::problem::Problem;
use crate::rfc3339::Rfc3339;

#[derive(Serialize)]
struct Device<'a> {
    device: &'a str,
    first_seen: Option<Rfc3339>,
    last_seen: Option<Rfc3339>,
    online: bool,
    /// Positive: the device is ahead. `null`: its payloads carry no time, or were too few yet.
    clock_skew_ms: Option<i64>,
    /// Since when the clock has been about there: its first publish, or when it was set.
    clock_skew_since: Option<Rfc3339>,
    labels: &'a LabelMap,
    model: Option<&'a str>,
    /// Whether the registry has it.
    registered: bool,
    /// Where one device is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    sources: Option<Sources<'a>>,
}

/// Labels by who says them, in the order in which they count.
#[derive(Serialize)]
struct Sources<'a> {
    registry: &'a LabelMap,
    rules: &'a LabelMap,
    births: &'a LabelMap,
}

impl<'a> Device<'a> {
    fn of(info: &'a DeviceInfo) -> Self {
        Self {
            device: info.device.as_str(),
            first_seen: info.first_seen.map(Rfc3339),
            last_seen: info.last_seen.map(Rfc3339),
            online: info.online,
            clock_skew_ms: info.clock_skew.map(|skew| millis(skew.estimate_micros)),
            clock_skew_since: info.clock_skew.map(|skew| Rfc3339(skew.since)),
            labels: &info.labels,
            model: info.labels.get("model").map(String::as_str),
            registered: info.sources.registry.is_some(),
            sources: None,
        }
    }
}

/// The nearest whole number of milliseconds.
const fn millis(micros: i64) -> i64 {
    micros.saturating_add(500).div_euclid(1_000)
}

/// `GET devices?select&online&prefix&limit&cursor`: by name.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    within: Within,
    uri: Uri,
) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Devices<'a> {
        devices: Vec<Device<'a>>,
        next: Option<&'a str>,
    }
    let params = Params::read(&uri, &["select", "online", "prefix", "limit", "cursor"])?;
    let limit = params.limit()?;
    let after = params.page()?.map(|after| DeviceId::new(&after)).transpose();
    let after = after.map_err(|_| invalid("cursor", "what the list gave as `next`"))?;
    let select = params.text("select");
    let wrong = |error: SelectionError| {
        Problem::bad_request("invalid_selection", format!("`select` is wrong, {error}."))
    };
    // Alone, so that no part of it can be taken for one of the scope.
    select.map(|select| app.ports.registry.chooser(select)).transpose().map_err(wrong)?;
    let filter = DeviceFilter {
        select: within.and(select),
        online: params.parsed("online", "`true` or `false`", |text| text.parse().ok())?,
        prefix: params.text("prefix").map(str::to_owned),
    };
    // One more than asked for tells whether there is a next page.
    let registry = Arc::clone(&app.ports.registry);
    let finding =
        app.tracker.spawn_blocking(move || registry.find(&filter, after.as_ref(), limit + 1));
    let found = finding.await.map_err(|error| PortError::Failed(error.into()))?;
    let found = found.map_err(wrong)?;
    let shown = &found[..found.len().min(limit)];
    let last = shown.last().map(|info| info.device.as_str());
    let devices = shown.iter().map(Device::of).collect();
    let next = last.filter(|_| found.len() > limit);
    Ok(paged(Json(Devices { devices, next }).into_response(), next))
}

/// The answer that shows one device, with the revision of what the registry says as `ETag`.
fn shown(info: &DeviceInfo) -> Response {
    static NONE: LabelMap = LabelMap::new();
    let sources = Sources {
        registry: info.sources.registry.as_ref().unwrap_or(&NONE),
        rules: &info.sources.rules,
        births: &info.sources.births,
    };
    let device = Device { sources: Some(sources), ..Device::of(info) };
    let mut answer = Json(device).into_response();
    let tag = HeaderValue::from_str(&format!("\"{}\"", info.sources.revision));
    answer.headers_mut().insert(header::ETAG, tag.expect("digits in quotes"));
    answer
}

/// `GET devices/{id}`: with its labels by source, and the registry's revision as `ETag`.
pub(crate) async fn one(
    State(app): State<Arc<App>>,
    Named(device): Named,
    uri: Uri,
) -> Result<Response, Problem> {
    Params::read(&uri, &[])?;
    Ok(shown(&app.device(&device)?))
}

/// `GET devices/{id}/audit`: every publish is in exactly one column.
pub(crate) async fn audit(
    State(app): State<Arc<App>>,
    Named(device): Named,
    uri: Uri,
) -> Result<Response, Problem> {
    Params::read(&uri, &[])?;
    let ledger = app.history(|history| history.ledger(device.clone())).await?;
    let ledger = ledger.ok_or_else(|| no_such_device(device.as_str()))?;
    Ok(Json(Audit::of(&device, &ledger)).into_response())
}

/// `GET audit?limit&cursor`: the accounts of all devices, by their names.
pub(crate) async fn audits(
    State(app): State<Arc<App>>,
    within: Within,
    uri: Uri,
) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Audits<'a> {
        audit: Vec<Audit<'a>>,
        next: Option<&'a str>,
    }
    let params = Params::read(&uri, &["limit", "cursor"])?;
    let limit = params.limit()?;
    let after = params.page()?.map(|after| DeviceId::new(&after)).transpose();
    let after = after.map_err(|_| invalid("cursor", "what the list gave as `next`"))?;
    let found = app.history(|history| history.ledgers(after.clone(), limit + 1)).await?;
    let page = &found[..found.len().min(limit)];
    let next = page.last().filter(|_| found.len() > limit).map(|(device, _)| device.as_str());
    let shown = page.iter().filter(|(device, _)| within.has(device));
    let audit = shown.map(|(device, ledger)| Audit::of(device, ledger)).collect();
    Ok(paged(Json(Audits { audit, next }).into_response(), next))
}

#[derive(Serialize)]
struct Audit<'a> {
    device: &'a str,
    received: u64,
    stored: u64,
    duplicate: u64,
    quarantined: u64,
    refused: u64,
    readings: u64,
    seq: Seq<'a>,
}

#[derive(Serialize)]
struct Seq<'a> {
    last: Option<u64>,
    gaps: &'a [(u64, u64)],
    resets: u64,
}

impl<'a> Audit<'a> {
    fn of(device: &'a DeviceId, ledger: &'a DeviceLedger) -> Self {
        Self {
            device: device.as_str(),
            received: ledger.received,
            stored: ledger.stored,
            duplicate: ledger.duplicate,
            quarantined: ledger.quarantined,
            refused: ledger.refused,
            readings: ledger.readings,
            seq: Seq { last: ledger.seq.last, gaps: &ledger.seq.gaps, resets: ledger.seq.resets },
        }
    }
}
