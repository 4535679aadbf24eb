//! What a client wants of readings: the parameters, and which of them go together.

use std::time::Duration;

use axum::http::{HeaderMap, Uri};
use bellwire_model::{DeviceId, MetricName, Timestamp};

use super::format::{File, Format};
use crate::chart::{Method, POINTS_MAX};
use crate::fill::Fill;
use crate::params::{LIMIT_MAX, Params, duration, invalid};
use crate::problem::Problem;

/// How far back one looks who does not say.
const SPAN_DEFAULT: Duration = Duration::from_secs(24 * 3600);

/// Known to one device's readings, and to those of all devices, which know no charts, but groups.
const KNOWN: [&str; 10] =
    ["metric", "from", "to", "bucket", "fill", "format", "limit", "cursor", "points", "method"];
const KNOWN_OF_ALL: [&str; 9] =
    ["metric", "from", "to", "bucket", "fill", "format", "limit", "cursor", "by"];

const BUCKET: &str = "a length of time such as 30s, 1m, 6h, 1d";

/// What a client wants of readings.
#[derive(Debug)]
pub(super) struct Request {
    /// Whose; all devices' together if absent.
    pub(super) device: Option<DeviceId>,
    pub(super) metric: Option<MetricName>,
    /// By which label devices are grouped, if they are.
    pub(super) by: Option<Box<str>>,
    /// From this event time on.
    pub(super) from: Timestamp,
    /// Up to this event time, exclusive.
    pub(super) to: Timestamp,
    pub(super) format: Format,
    pub(super) wanted: Wanted,
}

/// What rows are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// One by one.
    Readings(DeviceId, Paging),
    /// Gathered into buckets of this length; empty ones are left out.
    Buckets(Duration, Paging),
    /// All buckets, the empty ones filled.
    Filled { bucket: Duration, how: Fill },
    /// As many readings as a chart can show.
    Chart { device: DeviceId, metric: MetricName, n_points: usize, method: Method },
}

/// How many rows are wanted, and after which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Paging {
    /// A page of at most `limit`.
    Page { limit: usize, after: Option<String> },
    /// All, or the first `limit` of them, as a file.
    All { file: File, limit: Option<u64>, after: Option<String> },
}

impl Request {
    /// Reads the query of `uri`, and `Accept`.
    ///
    /// # Errors
    /// A problem that says which parameter is wrong, missing, or cannot stand beside another.
    pub(super) fn of_device(
        device: DeviceId,
        uri: &Uri,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Result<Self, Problem> {
        Self::read(Some(device), &Params::read(uri, &KNOWN)?, headers, now)
    }

    /// The same, of all devices.
    ///
    /// # Errors
    /// As above; also without `bucket`.
    pub(super) fn of_all(uri: &Uri, headers: &HeaderMap, now: Timestamp) -> Result<Self, Problem> {
        Self::read(None, &Params::read(uri, &KNOWN_OF_ALL)?, headers, now)
    }

    fn read(
        device: Option<DeviceId>,
        params: &Params,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Result<Self, Problem> {
        let metric = params.parsed("metric", "a metric's name", |it| MetricName::new(it).ok())?;
        let format = Format::read(params, headers)?;
        let (from, to) = span(params, now)?;
        let bucket = params.parsed("bucket", BUCKET, duration)?;
        let fill = fill(params)?;
        let by = params.text("by").map(Box::from);
        if by.is_some() && metric.is_none() {
            return Err(missing("by", "metric"));
        }
        let points = points(params)?;
        let (to, wanted) = match (bucket, fill, points) {
            (None, None, None) => {
                let device = device.clone().ok_or_else(|| invalid("bucket", BUCKET))?;
                (to, Wanted::Readings(device, paging(params, format)?))
            }
            (Some(bucket), None, None) => {
                let paging = buckets_paging(params, format, (from, to), bucket)?;
                (to, Wanted::Buckets(bucket, paging))
            }
            (Some(bucket), Some(how), None) => {
                apart(params, "fill", &["limit", "cursor", "by"])?;
                (limited(from, to, now)?, Wanted::Filled { bucket, how })
            }
            (None, Some(_), None) => return Err(missing("fill", "bucket")),
            (_, _, Some((n_points, method))) => {
                apart(params, "points", &["bucket", "fill", "limit", "cursor"])?;
                let metric = metric.clone().ok_or_else(|| missing("points", "metric"))?;
                let device = device.clone().ok_or_else(|| invalid("bucket", BUCKET))?;
                (to, Wanted::Chart { device, metric, n_points, method })
            }
        };
        Ok(Self { device, metric, by, from, to, format, wanted })
    }
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

/// An end for what has to have one: without `to`, now.
fn limited(from: Timestamp, to: Timestamp, now: Timestamp) -> Result<Timestamp, Problem> {
    let to = if to == Timestamp::MAX { now } else { to };
    if to < from {
        return Err(invalid("from", "a time before now where `fill` has no `to`"));
    }
    Ok(to)
}

/// How empty buckets are filled; `None` if they are not.
fn fill(params: &Params) -> Result<Option<Fill>, Problem> {
    let fill = params.parsed("fill", "`none`, `null`, `previous` or `linear`", |it| match it {
        "none" => Some(None),
        "null" => Some(Some(Fill::Null)),
        "previous" => Some(Some(Fill::Previous)),
        "linear" => Some(Some(Fill::Linear)),
        _ => None,
    })?;
    Ok(fill.flatten())
}

/// How many points a chart has, and how they are chosen.
fn points(params: &Params) -> Result<Option<(usize, Method)>, Problem> {
    let n_points = params.parsed("points", "a whole number from 2 to 10000", |text| {
        text.parse().ok().filter(|n| (2..=POINTS_MAX).contains(n))
    })?;
    let method = params.parsed("method", "`lttb` or `minmax`", |text| match text {
        "lttb" => Some(Method::Lttb),
        "minmax" => Some(Method::MinMax),
        _ => None,
    })?;
    if n_points.is_none() && method.is_some() {
        return Err(missing("method", "points"));
    }
    Ok(n_points.map(|n| (n, method.unwrap_or(Method::Lttb))))
}

/// Which rows: a page of JSON, or a whole file.
fn paging(params: &Params, format: Format) -> Result<Paging, Problem> {
    let after = params.page()?;
    Ok(match format {
        Format::Json => Paging::Page { limit: params.limit()?, after },
        Format::File(file) => Paging::All { file, limit: params.limit_of_file()?, after },
    })
}

/// The same of buckets, of which a page has as many as it can if none is said.
fn buckets_paging(
    params: &Params,
    format: Format,
    (from, to): (Timestamp, Timestamp),
    bucket: Duration,
) -> Result<Paging, Problem> {
    let Paging::Page { limit, after } = paging(params, format)? else {
        return paging(params, format);
    };
    // An open end is now at the latest, which the database knows better: count known ends only.
    let n_buckets = to.since(from).as_secs() / bucket.as_secs();
    if to != Timestamp::MAX && n_buckets > LIMIT_MAX as u64 {
        let detail = format!("That is {n_buckets} buckets, at most {LIMIT_MAX}: use longer ones.");
        return Err(Problem::bad_request("too_many_buckets", detail));
    }
    let limit = params.text("limit").map_or(LIMIT_MAX, |_| limit);
    Ok(Paging::Page { limit, after })
}

/// Refuses each of `others` beside `name`.
fn apart(params: &Params, name: &str, others: &[&str]) -> Result<(), Problem> {
    match others.iter().find(|other| params.text(other).is_some()) {
        None => Ok(()),
        Some(other) => {
            let detail = format!("`{name}` and `{other}` cannot stand together.");
            Err(Problem::bad_request("conflicting_parameters", detail))
        }
    }
}

fn missing(name: &str, other: &str) -> Problem {
    Problem::bad_request("missing_parameter", format!("`{name}` needs `{other}`."))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

    fn device() -> DeviceId {
        DeviceId::new("d").expect("valid")
    }

    fn read(query: &str) -> Result<Request, Problem> {
        let uri: Uri = format!("/x?{query}").parse().expect("a valid URI");
        Request::of_device(device(), &uri, &HeaderMap::new(), NOW)
    }

    fn check(query: &str, expected: Wanted) {
        assert_eq!(read(query).expect(query).wanted, expected, "{query}");
    }

    fn refused(query: &str, code: &str) {
        assert_eq!(read(query).expect_err(query).code(), code, "{query}");
    }

    #[test]
    fn parameters_say_what_is_wanted() {
        let minute = Duration::from_secs(60);
        let page = |limit| Paging::Page { limit, after: None };
        check("", Wanted::Readings(device(), page(1_000)));
        check("limit=7&fill=none", Wanted::Readings(device(), page(7)));
        check("bucket=1m", Wanted::Buckets(minute, page(LIMIT_MAX)));
        check("bucket=1m&fill=none&limit=7", Wanted::Buckets(minute, page(7)));
        let all = |file, limit| Paging::All { file, limit, after: None };
        check("format=csv", Wanted::Readings(device(), all(File::Csv, None)));
        let million = all(File::Ndjson, Some(1_000_000));
        check("format=ndjson&bucket=1m&limit=1000000", Wanted::Buckets(minute, million));
        check("bucket=1m&fill=linear", Wanted::Filled { bucket: minute, how: Fill::Linear });
        let metric = MetricName::new("t").expect("valid");
        let (device, method) = (device(), Method::Lttb);
        let chart = Wanted::Chart { device, metric, n_points: 500, method };
        check("metric=t&points=500&format=csv", chart);
    }

    #[test]
    fn parameters_that_do_not_go_together_are_refused() {
        refused("fill=null", "missing_parameter");
        refused("points=5", "missing_parameter");
        refused("metric=t&method=lttb", "missing_parameter");
        refused("metric=t&points=5&bucket=1m", "conflicting_parameters");
        refused("metric=t&points=5&bucket=1m&fill=null", "conflicting_parameters");
        refused("metric=t&points=5&fill=null", "conflicting_parameters");
        refused("metric=t&points=5&limit=5", "conflicting_parameters");
        refused("bucket=1m&fill=null&limit=5", "conflicting_parameters");
        refused("bucket=1m&fill=null&cursor=5", "conflicting_parameters");
        refused("metric=t&metric=u&points=5", "duplicate_parameter");
        for wrong in ["points=1", "points=10001", "method=best", "fill=zero", "format=xml"] {
            refused(&format!("metric=t&{wrong}"), "invalid_parameter");
        }
        refused("format=csv&limit=0", "invalid_parameter");
        refused("bucket=1m&fill=null&from=2099-01-01T00:00:00Z", "invalid_parameter");
    }

    #[test]
    fn of_all_devices_there_are_buckets_only() {
        let read = |query: &str| {
            let uri: Uri = format!("/x?{query}").parse().expect("a valid URI");
            Request::of_all(&uri, &HeaderMap::new(), NOW)
        };
        assert_eq!(read("bucket=1m&fill=null").expect("valid").device, None);
        assert_eq!(read("format=csv").expect_err("no bucket").code(), "invalid_parameter");
        assert_eq!(read("metric=t&points=5").expect_err("no chart").code(), "unknown_parameter");
        assert_eq!(read("metric=t&bucket=1m&by=site").expect("valid").by, Some("site".into()));
        for (query, code) in [
            ("bucket=1m&by=site", "missing_parameter"),
            ("metric=t&bucket=1m&by=site&fill=null", "conflicting_parameters"),
            ("metric=t&by=site", "invalid_parameter"),
        ] {
            assert_eq!(read(query).expect_err(query).code(), code, "{query}");
        }
    }

    #[test]
    fn what_is_filled_ends_now_unless_told() {
        assert_eq!(read("bucket=1m").expect("valid").to, Timestamp::MAX);
        let filled = read("bucket=1m&fill=null").expect("valid");
        assert_eq!((filled.from, filled.to), (NOW - SPAN_DEFAULT, NOW));
        let told = read("bucket=1m&fill=null&to=2099-01-01T00:00:00Z").expect("valid");
        assert!(told.to > NOW);
    }
}
