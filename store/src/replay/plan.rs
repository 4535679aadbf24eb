//! Which stretches of time to read one after the other, so that each fits into memory.

use std::collections::VecDeque;
use std::fmt::Write as _;

use bellwire_model::{Names, Reading, Timestamp};
use tokio_postgres::Client;

use super::{DOING, Keys, Wanted};
use crate::Error;
use crate::connect::failed;
use crate::types::{At, unsigned};

/// What is wanted, by the database's ids.
#[derive(Debug)]
pub(super) struct Wants {
    whole: Span,
    /// One device, or all.
    device_id: Option<usize>,
    /// Some metrics, or all.
    metric_ids: Option<Vec<usize>>,
    /// Something that was named is not there.
    is_unknown: bool,
}

/// From an instant on, up to and without another; open where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    from: Option<Timestamp>,
    to: Option<Timestamp>,
}

impl Wants {
    pub(super) fn of(wanted: &Wanted, keys: &Keys, names: &Names) -> Self {
        let device_id = wanted.device.as_ref().map(|device| {
            let key = names.device_key(device.as_str())?;
            Keys::id_of(&keys.devices, key.0)
        });
        let metric_ids = wanted.metrics.as_ref().map(|metrics| {
            let keys_of = metrics.iter().filter_map(|metric| names.metric_key(metric.as_str()));
            keys_of.filter_map(|key| Keys::id_of(&keys.metrics, key.0)).collect::<Vec<_>>()
        });
        Self {
            whole: Span { from: wanted.from, to: wanted.to },
            device_id: device_id.flatten(),
            is_unknown: device_id == Some(None) || metric_ids.as_ref().is_some_and(Vec::is_empty),
            metric_ids,
        }
    }

    /// Whether there can be no reading.
    pub(super) const fn is_void(&self) -> bool {
        self.is_unknown
    }

    /// The COPY that gives the readings of `span`. It takes no parameters, and an expression would be
    /// computed for each row: so the server says first how it writes the bounds.
    pub(super) async fn copy_out(&self, client: &Client, span: Span) -> Result<String, Error> {
        let bounds = [span.from.map(At), span.to.map(At)];
        let sql = "SELECT $1::timestamptz::text, $2::timestamptz::text";
        let row = client.query_one(sql, &[&bounds[0], &bounds[1]]).await.map_err(failed(DOING))?;
        Ok(self.statement(row.get(0), row.get(1)))
    }

    fn statement(&self, from: Option<&str>, to: Option<&str>) -> String {
        let mut sql = "COPY (SELECT at, device_id, metric_id, value, text \
                       FROM bellwire.reading_all WHERE true"
            .to_owned();
        // Writing to a String cannot fail.
        if let Some(from) = from {
            let _ = write!(sql, " AND at >= timestamptz '{from}'");
        }
        if let Some(to) = to {
            let _ = write!(sql, " AND at < timestamptz '{to}'");
        }
        if let Some(id) = self.device_id {
            let _ = write!(sql, " AND device_id = {id}");
        }
        if let Some(ids) = &self.metric_ids {
            let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
            let _ = write!(sql, " AND metric_id IN ({})", ids.join(", "));
        }
        sql + ") TO STDOUT (FORMAT binary)"
    }
}

impl Span {
    /// Two parts of it with about as many of `readings`, which are some of its own, in each; `None`
    /// if all of these are of one instant.
    pub(super) fn halved(self, readings: &[Reading]) -> Option<[Self; 2]> {
        let mut times: Vec<_> = readings.iter().map(|reading| reading.at).collect();
        times.sort_unstable();
        let middle = times[times.len() / 2];
        let first = *times.first()?;
        let cut = if middle > first { middle } else { *times.iter().find(|at| **at > first)? };
        Some([Self { from: self.from, to: Some(cut) }, Self { from: Some(cut), to: self.to }])
    }
}

/// How many numbers each hour has, by time: those that the compactor has carried over.
pub(super) async fn counts(client: &Client, wants: &Wants) -> Result<Vec<(Timestamp, u64)>, Error> {
    let int4 = |id: usize| i32::try_from(id).unwrap_or(i32::MAX);
    // 0 is all devices together.
    let device_id = int4(wants.device_id.unwrap_or(0));
    let metric_ids = wants.metric_ids.as_ref();
    let metric_ids = metric_ids.map(|ids| ids.iter().copied().map(int4).collect::<Vec<_>>());
    let (from, to) = (wants.whole.from.map(At), wants.whole.to.map(At));
    let sql = "SELECT bucket, sum(count)::int8 FROM bellwire.reading_1h \
               WHERE device_id = $1 AND ($2::int4[] IS NULL OR metric_id = ANY($2)) \
                 AND ($3::timestamptz IS NULL OR bucket > $3 - interval '1 hour') \
                 AND ($4::timestamptz IS NULL OR bucket < $4) \
               GROUP BY bucket ORDER BY bucket";
    let rows = client.query(sql, &[&device_id, &metric_ids, &from, &to]).await;
    let rows = rows.map_err(failed(DOING))?;
    Ok(rows.iter().map(|row| (row.get::<_, At>(0).0, unsigned(row.get(1)))).collect())
}

/// The whole, in stretches of about `target` readings that end with an hour, where possible with a
/// day: days are tables of their own.
pub(super) fn spans(wants: &Wants, counts: &[(Timestamp, u64)], target: u64) -> VecDeque<Span> {
    const HOUR_MICROS: i64 = 3_600_000_000;
    const DAY_MICROS: i64 = 24 * HOUR_MICROS;
    let mut spans = VecDeque::new();
    let mut from = wants.whole.from;
    let mut n = 0;
    for (index, (hour, count)) in counts.iter().enumerate() {
        n += count;
        let end = Timestamp::from_micros(hour.as_micros().saturating_add(HOUR_MICROS));
        let next = counts.get(index + 1).map_or(0, |(_, count)| *count);
        let is_day = end.as_micros().rem_euclid(DAY_MICROS) == 0;
        let is_full = n + next > target || (is_day && n > target / 3);
        let is_inside =
            from.is_none_or(|from| end > from) && wants.whole.to.is_none_or(|to| end < to);
        if is_full && is_inside {
            spans.push_back(Span { from, to: Some(end) });
            (from, n) = (Some(end), 0);
        }
    }
    spans.push_back(Span { from, to: wants.whole.to });
    spans
}

#[cfg(test)]
mod tests {
    use bellwire_model::{DeviceKey, MetricKey, Value};

    use super::*;

    fn hour(n: i64) -> Timestamp {
        Timestamp::from_secs(n * 3_600)
    }

    fn wants(from: Option<i64>, to: Option<i64>) -> Wants {
        let whole = Span { from: from.map(hour), to: to.map(hour) };
        Wants { whole, device_id: None, metric_ids: None, is_unknown: false }
    }

    /// `counts` by hour; gives the hours at which it is cut.
    fn check(wants: &Wants, counts: &[(i64, u64)], cuts: &[i64]) {
        let counts: Vec<_> = counts.iter().map(|(at, n)| (hour(*at), *n)).collect();
        let spans = spans(wants, &counts, 100);
        let found: Vec<_> = spans.iter().filter_map(|span| span.to).collect();
        let mut expected: Vec<_> = cuts.iter().copied().map(hour).collect();
        expected.extend(wants.whole.to);
        assert_eq!(found, expected);
        let begins: Vec<_> = spans.iter().skip(1).map(|span| span.from).collect();
        assert_eq!(begins, expected[..cuts.len()].iter().copied().map(Some).collect::<Vec<_>>());
        assert_eq!(spans[0].from, wants.whole.from);
    }

    #[test]
    fn stretches_cover_all_time_whatever_is_counted() {
        check(&wants(None, None), &[], &[]);
        check(&wants(None, None), &[(3, 60), (4, 60), (5, 30)], &[4]);
        check(&wants(Some(3), Some(5)), &[(3, 60), (4, 60)], &[4]);
        check(&wants(None, None), &[(3, 500), (900, 500)], &[4, 901]);
    }

    #[test]
    fn they_end_with_a_day_where_that_is_near() {
        check(&wants(None, None), &[(22, 20), (23, 20), (24, 20), (25, 20)], &[24]);
        check(&wants(None, None), &[(23, 20), (24, 20), (25, 20)], &[]);
    }

    #[test]
    fn a_stretch_is_halved_by_what_it_has() {
        let reading = |secs| Reading {
            device: DeviceKey(0),
            metric: MetricKey(0),
            at: Timestamp::from_secs(secs),
            value: Value::Number(0.0),
        };
        let whole = Span { from: None, to: None };
        let at = |secs: i64| Some(Timestamp::from_secs(secs));
        let halves = |times: &[i64]| {
            let readings: Vec<_> = times.iter().map(|secs| reading(*secs)).collect();
            whole.halved(&readings).map(|[first, second]| {
                assert_eq!((first.from, first.to, second.to), (None, second.from, None));
                second.from
            })
        };
        assert_eq!(halves(&[9, 1, 5]), Some(at(5)));
        assert_eq!(halves(&[1, 1, 1, 2]), Some(at(2)));
        assert_eq!(halves(&[1, 1]), None);
    }

    #[test]
    fn what_is_asked_is_in_the_statement() {
        let some = Wants { device_id: Some(3), metric_ids: Some(vec![1, 2]), ..wants(None, None) };
        let sql = some.statement(Some("1970-01-01 00:00:00+00"), None);
        assert!(
            sql.contains("at >= timestamptz '1970-01-01 00:00:00+00' AND device_id = 3"),
            "{sql}"
        );
        assert!(sql.contains("metric_id IN (1, 2))") && !sql.contains("at <"), "{sql}");
    }
}
