//! `devices/{id}/readings`: one by one, gathered into buckets of time, as a chart, or as a file;
//! `readings`: all devices' together.

mod export;
mod format;
mod request;
mod rows;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, Uri, Version};
use axum::response::{IntoResponse, Response};
use bellwire_model::{DeviceId, MetricName, Value};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use self::export::Question;
use self::format::Format;
use self::request::{Paging, Request, Wanted};
use self::rows::{Grouped, Row};
use crate::app::App;
use crate::chart::{Chart, Point};
use crate::fill::{Bucket, Fill, Grid, fill};
use crate::http::Named;
use crate::links::paged;
use crate::params::LIMIT_MAX;
use crate::ports::{BucketsQuery, ReadingRow, ReadingsQuery};
use crate::problem::Problem;

/// The most readings that one chart is made from: 200 pages of history.
const CHART_READINGS_MAX: usize = 2_000_000;

/// `GET devices/{id}/readings`: by time, ascending. docs/guides/history.md has the parameters.
pub(crate) async fn readings(
    State(app): State<Arc<App>>,
    Named(device): Named,
    version: Version,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let request = Request::of_device(device.clone(), &uri, &headers, app.clock.now())?;
    app.device(&device)?;
    answer(app, request, version).await
}

/// `GET readings`: of all devices together, in buckets, by time, ascending.
pub(crate) async fn of_all(
    State(app): State<Arc<App>>,
    version: Version,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let request = Request::of_all(&uri, &headers, app.clock.now())?;
    answer(app, request, version).await
}

async fn answer(app: Arc<App>, request: Request, version: Version) -> Result<Response, Problem> {
    match request.wanted.clone() {
        Wanted::Readings(device, Paging::Page { limit, after }) => {
            let query = request.readings(device, limit, after);
            let page = app.history(|it| it.readings(query)).await?;
            Ok(json(&page.rows, page.next.as_deref()))
        }
        Wanted::Buckets(bucket, Paging::Page { limit, after }) => {
            let query = request.buckets(bucket, limit, after);
            let page = app.history(|it| it.buckets(query)).await?;
            let buckets = page.rows.into_iter().map(Bucket::from);
            let next = page.next.as_deref();
            Ok(if request.by.is_some() {
                json(&buckets.map(Grouped).collect::<Vec<_>>(), next)
            } else {
                json(&buckets.collect::<Vec<_>>(), next)
            })
        }
        Wanted::Readings(device, Paging::All { file, limit, after }) => {
            let question = Question::Readings(request.readings(device, LIMIT_MAX, after));
            export::stream(app, question, file, limit, version).await
        }
        Wanted::Buckets(bucket, Paging::All { file, limit, after }) => {
            let question = Question::Buckets(request.buckets(bucket, LIMIT_MAX, after));
            export::stream(app, question, file, limit, version).await
        }
        Wanted::Filled { bucket, how } => {
            let buckets = filled(&app, &request, bucket, how).await?;
            Ok(whole(&buckets, request.device.as_ref(), &request))
        }
        Wanted::Chart { device, metric, n_points, method } => {
            let query = request.readings(device.clone(), LIMIT_MAX, None);
            let points = chart(&app, query, Chart::new(method, n_points)).await?;
            let rows = points.into_iter().map(|point| {
                let (metric, value) = (metric.clone(), Value::Number(point.value));
                ReadingRow { at: point.at, metric, value }
            });
            Ok(whole(&rows.collect::<Vec<_>>(), Some(&device), &request))
        }
    }
}

impl Request {
    fn readings(&self, device: DeviceId, limit: usize, after: Option<String>) -> ReadingsQuery {
        let (metric, from, to) = (self.metric.clone(), self.from, self.to);
        ReadingsQuery { device, metric, from, to, limit, after }
    }

    fn buckets(&self, bucket: Duration, limit: usize, after: Option<String>) -> BucketsQuery {
        let (device, metric, by) = (self.device.clone(), self.metric.clone(), self.by.clone());
        BucketsQuery { device, metric, by, from: self.from, to: self.to, bucket, limit, after }
    }
}

/// All buckets of a range, with readings or without.
///
/// # Errors
/// Problem `too_many_buckets` if there are more than one answer has.
async fn filled(
    app: &App,
    request: &Request,
    bucket: Duration,
    how: Fill,
) -> Result<Vec<Bucket>, Problem> {
    let grid = Grid::over(request.from, request.to, bucket);
    let mut metrics: BTreeSet<MetricName> = request.metric.iter().cloned().collect();
    let mut rows = Vec::new();
    let (mut after, mut is_whole) = (None, false);
    loop {
        // What one answer cannot show need not be read to its end.
        let n_buckets = grid.len().saturating_mul(metrics.len().max(1));
        if n_buckets > LIMIT_MAX {
            let detail = format!(
                "That is {n_buckets} buckets or more, with the empty ones; at most {LIMIT_MAX}: \
                 use longer ones, a shorter range, or one `metric`."
            );
            return Err(Problem::bad_request("too_many_buckets", detail));
        }
        if is_whole {
            return Ok(fill(&rows, request.metric.as_ref(), grid, how));
        }
        let query = request.buckets(bucket, LIMIT_MAX, after);
        let page = app.history(|it| it.buckets(query)).await?;
        metrics.extend(page.rows.iter().map(|row| row.metric.clone()));
        rows.extend(page.rows);
        after = page.next;
        is_whole = after.is_none();
    }
}

/// The points of `chart`, past which all readings of `query` go.
///
/// # Errors
/// Problem `too_many_readings` if there are more than [`CHART_READINGS_MAX`], and `history_timeout`
/// if too many charts are being made.
async fn chart(app: &App, query: ReadingsQuery, mut chart: Chart) -> Result<Vec<Point>, Problem> {
    let limit = Duration::from_millis(app.config.history_timeout_ms.get());
    let Ok(place) = tokio::time::timeout(limit, app.charts.acquire()).await else {
        let detail = "Too many charts are being made: try again.";
        return Err(Problem::later("history_timeout", detail, 5));
    };
    let _place = place.expect("the gate is never closed");
    let (mut n_readings, mut after) = (0, None);
    loop {
        let query = ReadingsQuery { after, ..query.clone() };
        let page = app.history(|it| it.readings(query)).await?;
        n_readings += page.rows.len();
        if n_readings > CHART_READINGS_MAX {
            let detail = format!(
                "The range has more than {CHART_READINGS_MAX} readings: use a shorter one, or \
                 `bucket`."
            );
            return Err(Problem::bad_request("too_many_readings", detail));
        }
        for row in &page.rows {
            if let Some(value) = row.value.number().filter(|value| value.is_finite()) {
                chart.push(Point { at: row.at, value });
            }
        }
        after = page.next;
        if after.is_none() {
            return Ok(chart.points());
        }
    }
}

/// An answer that has all rows, in the form that was asked for.
fn whole<R: Row>(rows: &[R], device: Option<&DeviceId>, request: &Request) -> Response {
    match request.format {
        Format::Json => json(rows, None),
        Format::File(file) => {
            let mut body = Vec::new();
            file.begin::<R>(&mut body);
            rows.iter().for_each(|row| file.row(row, &mut body));
            (file.headers(device, request.metric.as_ref()), body).into_response()
        }
    }
}

/// `{"readings": […], "next": …}`, or `buckets`.
fn json<R: Row>(rows: &[R], next: Option<&str>) -> Response {
    struct Body<'a, R>(&'a [R], Option<&'a str>);
    impl<R: Row> Serialize for Body<'_, R> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut map = serializer.serialize_map(Some(2))?;
            let views: Vec<R::View<'_>> = self.0.iter().map(Row::view).collect();
            map.serialize_entry(R::LIST, &views)?;
            map.serialize_entry("next", &self.1)?;
            map.end()
        }
    }
    paged(Json(Body(rows, next)).into_response(), next)
}
