//! `devices`, one device, and the accounts of all.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use bellwire_model::{DeviceId, DeviceLedger};
use serde::Serialize;

use crate::app::{App, no_such_device};
use crate::http::Named;
use crate::params::{Params, invalid};
use crate::ports::DeviceInfo;
use crate::problem::Problem;
use crate::rfc3339::Rfc3339;

#[derive(Serialize)]
struct Device<'a> {
    device: &'a str,
    first_seen: Rfc3339,
    last_seen: Rfc3339,
    online: bool,
    /// Positive: the device is ahead. `null`: its payloads carry no time, or were too few yet.
    clock_skew_ms: Option<i64>,
    /// Since when the clock has been about there: its first publish, or when it was set.
    clock_skew_since: Option<Rfc3339>,
    labels: &'a BTreeMap<String, String>,
}

impl<'a> Device<'a> {
    fn of(info: &'a DeviceInfo) -> Self {
        Self {
            device: info.device.as_str(),
            first_seen: Rfc3339(info.first_seen),
            last_seen: Rfc3339(info.last_seen),
            online: info.online,
            clock_skew_ms: info.clock_skew.map(|skew| millis(skew.estimate_micros)),
            clock_skew_since: info.clock_skew.map(|skew| Rfc3339(skew.since)),
            labels: &info.labels,
        }
    }
}

/// The nearest whole number of milliseconds.
const fn millis(micros: i64) -> i64 {
    micros.saturating_add(500).div_euclid(1_000)
}

/// `GET devices?limit&cursor`: by name.
pub(crate) async fn list(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Devices<'a> {
        devices: Vec<Device<'a>>,
        next: Option<&'a str>,
    }
    let params = Params::read(&uri, &["limit", "cursor"])?;
    let limit = params.limit()?;
    let after = params.page()?.map(|after| DeviceId::new(&after)).transpose();
    let after = after.map_err(|_| invalid("cursor", "what the list gave as `next`"))?;
    // One more than asked for tells whether there is a next page.
    let found = app.ports.present.devices(after.as_ref(), limit + 1);
    let shown = &found[..found.len().min(limit)];
    let last = shown.last().map(|info| info.device.as_str());
    let devices = shown.iter().map(Device::of).collect();
    let next = last.filter(|_| found.len() > limit);
    Ok(Json(Devices { devices, next }).into_response())
}

/// `GET devices/{id}`.
pub(crate) async fn one(
    State(app): State<Arc<App>>,
    Named(device): Named,
    uri: Uri,
) -> Result<Response, Problem> {
    Params::read(&uri, &[])?;
    Ok(Json(Device::of(&app.device(&device)?)).into_response())
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
pub(crate) async fn audits(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Problem> {
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
    let audit = page.iter().map(|(device, ledger)| Audit::of(device, ledger)).collect();
    Ok(Json(Audits { audit, next }).into_response())
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
