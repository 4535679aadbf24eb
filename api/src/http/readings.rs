//! `devices/{id}/readings`: one by one, or gathered into buckets of time; `readings`: all devices'
//! together.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use bellwire_model::{DeviceId, MetricName, Timestamp};
use serde::Serialize;

use crate::app::App;
use crate::http::Named;
use crate::params::{LIMIT_MAX, Params, duration, invalid};
use crate::ports::{BucketsQuery, ReadingsQuery};
use crate::problem::Problem;
use crate::rfc3339::Rfc3339;
use crate::views::ReadingView;

/// How far back one looks who does not say.
const SPAN_DEFAULT: Duration = Duration::from_secs(24 * 3600);

const KNOWN: [&str; 6] = ["metric", "from", "to", "bucket", "limit", "cursor"];

/// `GET devices/{id}/readings?metric&from&to&bucket&limit&cursor`: by time, ascending.
pub(crate) async fn readings(
    State(app): State<Arc<App>>,
    Named(device): Named,
    uri: Uri,
) -> Result<Response, Problem> {
    let params = Params::read(&uri, &KNOWN)?;
    let metric = params.parsed("metric", "a metric's name", |text| MetricName::new(text).ok())?;
    let span = span(&params, app.clock.now())?;
    let limit = params.limit()?;
    let after = params.page()?;
    let bucket = params.parsed("bucket", "a length of time such as 30s, 1m, 6h, 1d", duration)?;
    app.device(&device)?;
    match bucket {
        None => {
            let (from, to) = span;
            let query = ReadingsQuery { device, metric, from, to, limit, after };
            one_by_one(&app, query).await
        }
        Some(bucket) => {
            let limit = params.text("limit").map_or(LIMIT_MAX, |_| limit);
            let query = buckets_query(Some(device), metric, span, bucket)?;
            gathered(&app, BucketsQuery { limit, after, ..query }).await
        }
    }
}

/// `GET readings?metric&from&to&bucket&limit&cursor`: of all devices together, by time, ascending.
pub(crate) async fn of_all(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Problem> {
    let params = Params::read(&uri, &KNOWN)?;
    let metric = params.parsed("metric", "a metric's name", |text| MetricName::new(text).ok())?;
    let span = span(&params, app.clock.now())?;
    let limit = params.limit()?;
    let after = params.page()?;
    let expected = "a length of time such as 30s, 1m, 6h, 1d";
    let Some(bucket) = params.parsed("bucket", expected, duration)? else {
        return Err(invalid("bucket", expected));
    };
    let limit = params.text("limit").map_or(LIMIT_MAX, |_| limit);
    let query = buckets_query(None, metric, span, bucket)?;
    gathered(&app, BucketsQuery { limit, after, ..query }).await
}

/// From when to when: without `to`, to the end; without `from`, the last day before `to` or now.
fn span(params: &Params, now: Timestamp) -> Result<(Timestamp, Timestamp), Problem> {
    let to = params.time("to")?;
    let from = params.time("from")?.unwrap_or(to.unwrap_or(now) - SPAN_DEFAULT);
    let to = to.unwrap_or(Timestamp::MAX);
    if to < from {
        return Err(invalid("to", "a time after `from`"));
    }
    Ok((from, to))
}

fn buckets_query(
    device: Option<DeviceId>,
    metric: Option<MetricName>,
    (from, to): (Timestamp, Timestamp),
    bucket: Duration,
) -> Result<BucketsQuery, Problem> {
    // An open end is now at the latest, which the database knows better: count known ends only.
    let n_buckets = to.since(from).as_secs() / bucket.as_secs();
    if to != Timestamp::MAX && n_buckets > LIMIT_MAX as u64 {
        let detail = format!("That is {n_buckets} buckets, at most {LIMIT_MAX}: use longer ones.");
        return Err(Problem::bad_request("too_many_buckets", detail));
    }
    Ok(BucketsQuery { device, metric, from, to, bucket, limit: LIMIT_MAX, after: None })
}

async fn one_by_one(app: &App, query: ReadingsQuery) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Readings<'a> {
        readings: Vec<ReadingView<'a>>,
        next: Option<&'a str>,
    }
    let page = app.history(|history| history.readings(query)).await?;
    let readings = page
        .rows
        .iter()
        .map(|it| ReadingView { metric: it.metric.as_str(), at: it.at, value: &it.value })
        .collect();
    Ok(Json(Readings { readings, next: page.next.as_deref() }).into_response())
}

async fn gathered(app: &App, query: BucketsQuery) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Bucket<'a> {
        at: Rfc3339,
        metric: &'a str,
        avg: f64,
        min: f64,
        max: f64,
        count: u64,
        first: f64,
        last: f64,
    }
    #[derive(Serialize)]
    struct Buckets<'a> {
        buckets: Vec<Bucket<'a>>,
        next: Option<&'a str>,
    }
    let page = app.history(|history| history.buckets(query)).await?;
    let buckets = page
        .rows
        .iter()
        .map(|row| Bucket {
            at: Rfc3339(row.at),
            metric: row.metric.as_str(),
            avg: row.avg,
            min: row.min,
            max: row.max,
            count: row.count,
            first: row.first,
            last: row.last,
        })
        .collect();
    Ok(Json(Buckets { buckets, next: page.next.as_deref() }).into_response())
}
