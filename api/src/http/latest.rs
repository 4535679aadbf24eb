//! `latest`: of the whole fleet, and of one device.
//!
//! That of the fleet is megabytes, and screens ask for it again and again: its rows are written by
//! hand, at a third of what serde's maps cost here (0051).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{Uri, header};
use axum::response::{IntoResponse, Response};
use bellwire_model::{DeviceId, MetricName, Value};
use serde::Serialize;

use crate::app::{App, no_such_device};
use crate::auth::within::Within;
use crate::http::Named;
use crate::links::paged;
use crate::params::{LIMIT_MAX, Params, invalid};
use crate::ports::{LatestReading, LatestReadings};
use crate::problem::Problem;
use crate::rfc3339::Rfc3339;
use crate::views::ReadingView;

/// About what a row takes, in bytes.
const ROW_BYTES: usize = 112;

/// `GET devices/{id}/latest`: by metric.
pub(crate) async fn of_one(
    State(app): State<Arc<App>>,
    Named(device): Named,
    uri: Uri,
) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Latest<'a> {
        device: &'a str,
        latest: Vec<ReadingView<'a>>,
    }
    Params::read(&uri, &[])?;
    let found = app.ports.present.latest(&device);
    let mut found = found.ok_or_else(|| no_such_device(device.as_str()))?;
    found.sort_by(|a, b| a.metric.cmp(&b.metric));
    let latest = found.iter().map(Into::into).collect();
    Ok(Json(Latest { device: device.as_str(), latest }).into_response())
}

/// `GET latest?metric&limit&cursor`: of all devices, by device and metric.
pub(crate) async fn of_all(
    State(app): State<Arc<App>>,
    within: Within,
    uri: Uri,
) -> Result<Response, Problem> {
    let params = Params::read(&uri, &["metric", "limit", "cursor"])?;
    let metric = params.parsed("metric", "a metric's name", |text| MetricName::new(text).ok())?;
    let limit = params.text("limit").map_or(Ok(LIMIT_MAX), |_| params.limit())?;
    let after = params.page()?.map(|after| DeviceId::new(&after)).transpose();
    let after = after.map_err(|_| invalid("cursor", "what the list gave as `next`"))?;
    let found = app.ports.present.latest_of_all(metric.as_ref(), after.as_ref(), limit + 1);
    let body = write(&found, limit, &within);
    let answer = ([(header::CONTENT_TYPE, "application/json")], body).into_response();
    Ok(paged(answer, next(&found, limit)))
}

/// The readings of at most `limit` devices, those that there are for whoever asks, and the last device
/// if there are more.
fn write(found: &LatestReadings, limit: usize, within: &Within) -> Vec<u8> {
    let mut body = Vec::with_capacity(ROW_BYTES * (found.readings.len() + 1));
    body.extend_from_slice(b"{\"latest\":[");
    let (mut rest, mut name) = (&found.readings[..], Vec::new());
    for (device, n_readings) in found.devices.iter().take(limit) {
        let (mine, others) = rest.split_at(*n_readings);
        rest = others;
        if !within.has(device) {
            continue;
        }
        name.clear();
        put(&mut name, device.as_str());
        for reading in mine {
            row(&mut body, &name, reading);
        }
    }
    if body.ends_with(b",") {
        body.pop();
    }
    body.extend_from_slice(b"],\"next\":");
    put(&mut body, next(found, limit));
    body.push(b'}');
    body
}

/// The last device that is shown, if there are more.
fn next(found: &LatestReadings, limit: usize) -> Option<&str> {
    let last = limit.checked_sub(1).and_then(|index| found.devices.get(index));
    last.filter(|_| found.devices.len() > limit).map(|(device, _)| device.as_str())
}

/// The fields of [`ReadingView`], after the device, whose name is JSON already; then a comma.
fn row(body: &mut Vec<u8>, device: &[u8], reading: &LatestReading) {
    body.extend_from_slice(b"{\"device\":");
    body.extend_from_slice(device);
    body.extend_from_slice(b",\"at\":\"");
    body.extend_from_slice(&Rfc3339(reading.at).bytes());
    body.extend_from_slice(b"\",\"metric\":");
    put(body, reading.metric.as_str());
    if let Some(unit) = &reading.unit {
        body.extend_from_slice(b",\"unit\":");
        put(body, &**unit);
    }
    match &reading.value {
        Value::Number(number) => {
            body.extend_from_slice(b",\"value\":");
            put(body, number);
        }
        Value::Text(text) => {
            body.extend_from_slice(b",\"text\":");
            put(body, &**text);
        }
    }
    body.extend_from_slice(b"},");
}

fn put(body: &mut Vec<u8>, value: impl Serialize) {
    serde_json::to_writer(body, &value)
        .expect("a vector takes all, and texts and numbers are JSON");
}

#[cfg(test)]
mod tests {
    use bellwire_model::Timestamp;
    use serde_json::{Value as Json, json};

    use super::*;

    fn reading(metric: &str, value: Value, unit: Option<&str>) -> LatestReading {
        let (metric, at) = (MetricName::new(metric).unwrap(), Timestamp::from_secs(1_700_000_000));
        LatestReading { metric, at, value, unit: unit.map(Into::into) }
    }

    #[test]
    fn rows_are_what_serde_would_write() {
        let devices = ["a\"\\\u{1f600}", "b", "c", "d"].map(|it| DeviceId::new(it).unwrap());
        let readings = vec![
            reading("t\"", Value::Number(-0.1), Some("°C\n")),
            reading("state", Value::Text("\u{7f}\"x".into()), None),
            reading("n", Value::Number(1e300), None),
        ];
        let expected = |n: usize| -> Vec<Json> {
            let of = [0, 0, 2];
            readings[..n]
                .iter()
                .zip(of)
                .map(|(reading, of)| {
                    let mut row = serde_json::to_value(ReadingView::from(reading)).unwrap();
                    row["device"] = json!(devices[of].as_str());
                    row
                })
                .collect()
        };
        let all = Within::default();
        let counts = [2, 0, 1, 0];
        let found = LatestReadings {
            devices: devices.iter().cloned().zip(counts).collect(),
            readings: readings.clone(),
        };
        for (limit, n, next) in
            [(4, 3, Json::Null), (3, 3, json!("c")), (1, 2, json!(devices[0].as_str()))]
        {
            let written: Json = serde_json::from_slice(&write(&found, limit, &all)).unwrap();
            assert_eq!(written, json!({"latest": expected(n), "next": next}), "{limit}");
        }
        assert_eq!(write(&LatestReadings::default(), 5, &all), b"{\"latest\":[],\"next\":null}");
    }
}
