//! Numbers of groups of devices, such as all of one site, gathered into buckets of time.

use std::time::Duration;

use bellwire_model::{DeviceId, MetricName};
use hashbrown::HashMap;

use super::buckets::{Series, Span, Sums, bucket};
use super::snapshot::Snapshot;
use super::{Bucket, Queries, TimeRange};
use crate::Error;
use crate::metrics::QueryKind;

const DOING: &str = "gathering groups of devices";

impl Queries {
    /// The numbers of `metric` of each of `groups` of devices, gathered into whole buckets as in
    /// [`Queries::buckets`], in order of time, then of groups; at most `limit`. Each comes with its
    /// group's index in `groups`. A device of several groups counts in the last of them only; one that
    /// has never been stored in none.
    ///
    /// # Errors
    /// [`Error`]; transient ones while the database is away.
    pub async fn buckets_by(
        &self,
        groups: &[Vec<DeviceId>],
        metric: &MetricName,
        range: TimeRange,
        width: Duration,
        limit: usize,
    ) -> Result<Vec<(usize, Bucket)>, Error> {
        self.bounded(QueryKind::Buckets, DOING, async {
            let snapshot = Snapshot::begin(self, DOING, None, Some(metric)).await?;
            let mut sums = Sums::default();
            if !snapshot.is_void() {
                let numbers = numbers(&snapshot, groups).await?;
                let span = Span::whole(range, width, limit);
                sums = self.gather(&snapshot, Series::Groups(&numbers), span).await?;
            }
            snapshot.end().await?;
            let found = sums.0.iter().map(|((at, number), sum)| {
                let group = usize::try_from(*number).unwrap_or_default();
                (group, bucket(*at, metric.clone(), sum))
            });
            Ok(found.take(limit).collect())
        })
        .await
    }
}

/// The numbers of the groups by their devices' ids.
async fn numbers(
    snapshot: &Snapshot,
    groups: &[Vec<DeviceId>],
) -> Result<HashMap<i32, i32>, Error> {
    let mut names = Vec::new();
    let mut by_name = HashMap::new();
    for (number, device) in
        (0..).zip(groups).flat_map(|(n, group)| group.iter().map(move |d| (n, d)))
    {
        names.push(device.as_str());
        by_name.insert(device.as_str(), number);
    }
    let sql = "SELECT id, name FROM bellwire.device WHERE name = ANY($1)";
    let rows = snapshot.query(sql, &[&names]).await?;
    let known =
        rows.iter().filter_map(|row| Some((row.get(0), *by_name.get(row.get::<_, &str>(1))?)));
    Ok(known.collect())
}
