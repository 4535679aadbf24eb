//! Holds what was acknowledged against the database: lost, twice, or as promised.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use bellwire_model::DeviceId;
use tokio::time::Instant;
use tokio_postgres::{Client, NoTls};

use crate::{AckLog, DeviceAcks, FleetError, RangeSet};

/// How many details a report names; the counts are whole.
const DETAILS_MAX: usize = 100;
/// How long between two looks of [`verify_within`].
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What each device's numbers look like from far: one row per device asked for. A reading counts
/// if its `n` is one that the device published.
const SUMMARY: &str = "
    SELECT want.device, count(r.value) AS rows, count(DISTINCT r.value) AS distinct_values,
           count(*) FILTER (WHERE r.value <> floor(r.value)) AS fractions
    FROM unnest($1::text[], $2::float8[], $3::float8[]) AS want (device, first, last)
    LEFT JOIN readings r
        ON r.device = want.device AND r.metric = 'n' AND r.value BETWEEN want.first AND want.last
    GROUP BY want.device";

/// Which numbers are there, as ranges: consecutive numbers keep their distance to the row number.
const FOUND: &str = "
    SELECT device, min(value) AS first, max(value) AS last
    FROM (
        SELECT device, value,
               value - row_number() OVER (PARTITION BY device ORDER BY value) AS island
        FROM (
            SELECT DISTINCT r.device, r.value
            FROM unnest($1::text[], $2::float8[], $3::float8[]) AS want (device, first, last)
            JOIN readings r
                ON r.device = want.device AND r.metric = 'n'
                AND r.value BETWEEN want.first AND want.last
            WHERE r.value = floor(r.value)
        ) AS numbers
    ) AS islands
    GROUP BY device, island
    ORDER BY device, first";

/// Which numbers are there more than once.
const TWICE: &str = "
    SELECT r.device, r.value, count(*) AS times
    FROM unnest($1::text[], $2::float8[], $3::float8[]) AS want (device, first, last)
    JOIN readings r
        ON r.device = want.device AND r.metric = 'n' AND r.value BETWEEN want.first AND want.last
    GROUP BY r.device, r.value
    HAVING count(*) > 1
    ORDER BY r.device, r.value
    LIMIT $4";

/// What the database has of what was acknowledged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Devices looked at.
    pub devices: u64,
    /// `n`s acknowledged: each must be there once.
    pub acknowledged: u64,
    /// `n`s published and not acknowledged: each may be there once.
    pub unacknowledged: u64,
    /// Different `n`s that are there.
    pub found: u64,
    /// Those of them that were not acknowledged.
    pub unacknowledged_but_found: u64,
    /// `n`s acknowledged that are not there.
    pub lost: u64,
    /// The first 100 ranges of them.
    pub lost_ranges: Vec<(DeviceId, u64, u64)>,
    /// Rows beyond the first of the same `n`, acknowledged or not.
    pub twice: u64,
    /// The first 100 `n`s of which there are several rows, and how many.
    pub twice_details: Vec<(DeviceId, u64, u64)>,
    /// Rows whose `n` is no whole number: nothing that we published.
    pub strange: u64,
    /// Payloads that nobody can read which were acknowledged: as many publishes must be in
    /// quarantine at least.
    pub bad_acknowledged: u64,
    /// Payloads that nobody can read which were published: no more may be in quarantine.
    pub bad_sent: u64,
    /// Payloads repeated on purpose that were acknowledged: as many publishes must be counted as
    /// duplicates at least.
    pub repeats_acknowledged: u64,
}

impl Report {
    /// Whether the promise was kept: nothing lost, nothing twice, nothing we never sent.
    #[must_use]
    pub const fn is_exact(&self) -> bool {
        self.lost == 0 && self.twice == 0 && self.strange == 0
    }
}

impl fmt::Display for Report {
    /// One line of counts, then a line for each detail.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} devices: {} acknowledged, {} found, {} lost, {} twice, {} strange, \
             {} of {} unacknowledged found, {} of {} bad payloads acknowledged",
            self.devices,
            self.acknowledged,
            self.found,
            self.lost,
            self.twice,
            self.strange,
            self.unacknowledged_but_found,
            self.unacknowledged,
            self.bad_acknowledged,
            self.bad_sent,
        )?;
        for (device, first, last) in &self.lost_ranges {
            write!(f, "\nlost: {device} n {first} to {last}")?;
        }
        for (device, n, times) in &self.twice_details {
            write!(f, "\ntwice: {device} n {n}, {times} times")?;
        }
        Ok(())
    }
}

/// Looks once. Readings may still be on their way from the service's log to the database; see
/// [`verify_within`].
///
/// # Errors
/// [`FleetError::Database`].
pub async fn verify(database_url: &str, log: &AckLog) -> Result<Report, FleetError> {
    let failed = |source| FleetError::Database { operation: "connecting to the database", source };
    let (client, connection) =
        tokio_postgres::connect(database_url, NoTls).await.map_err(failed)?;
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        report = look(&client, log) => report,
        ended = &mut connection => match ended {
            Err(source) => Err(failed(source)),
            // It ends without an error only when the client is gone, which it is not: the query
            // knows why.
            Ok(()) => look(&client, log).await,
        },
    }
}

/// Looks until nothing is missing, or for as long as `patience` lasts; gives the last report.
/// More than once is never mended by waiting, so it ends at once.
///
/// # Errors
/// [`FleetError::Database`] if the last look failed.
pub async fn verify_within(
    database_url: &str,
    log: &AckLog,
    patience: Duration,
) -> Result<Report, FleetError> {
    let give_up_at = Instant::now() + patience;
    loop {
        let report = verify(database_url, log).await;
        let settled = report.as_ref().is_ok_and(|report| report.lost == 0 || report.twice > 0);
        if settled || Instant::now() >= give_up_at {
            return report;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn look(client: &Client, log: &AckLog) -> Result<Report, FleetError> {
    let mut report = Report {
        acknowledged: log.total(|acks| acks.acknowledged.count()),
        unacknowledged: log.total(|acks| acks.unacknowledged().count()),
        bad_acknowledged: log.total(|acks| acks.bad_acknowledged),
        bad_sent: log.total(|acks| acks.bad_sent),
        repeats_acknowledged: log.total(|acks| acks.repeats_acknowledged),
        devices: log.len() as u64,
        ..Report::default()
    };
    let wanted = Wanted::new(log.iter().filter(|(_, acks)| acks.published() > 0));
    let mut unclear = Vec::new();
    let mut several = Vec::new();
    let rows = client
        .query(SUMMARY, &[&wanted.devices, &wanted.firsts, &wanted.lasts])
        .await
        .map_err(|source| FleetError::Database { operation: "counting readings", source })?;
    for row in rows {
        let count = |at: usize| row.get::<_, i64>(at).unsigned_abs();
        let (n_rows, n_distinct, fractions) = (count(1), count(2), count(3));
        report.strange += fractions;
        report.twice += n_rows - n_distinct;
        let Some((device, acks)) = log.entry(row.get(0)) else { continue };
        if n_rows > n_distinct {
            several.push((device, acks));
        }
        // As many different whole numbers as there are in the range: it is all of them.
        if n_distinct == acks.published() && fractions == 0 {
            report.found += n_distinct;
            report.unacknowledged_but_found += acks.unacknowledged().count();
        } else {
            unclear.push((device, acks));
        }
    }
    if !unclear.is_empty() {
        take_in_found(client, &unclear, &mut report).await?;
    }
    if !several.is_empty() {
        report.twice_details = twice(client, &several).await?;
    }
    Ok(report)
}

/// Looks at single numbers, of the devices where the counts do not tell.
async fn take_in_found(
    client: &Client,
    unclear: &[(&DeviceId, &DeviceAcks)],
    report: &mut Report,
) -> Result<(), FleetError> {
    let wanted = Wanted::new(unclear.iter().copied());
    let rows = client
        .query(FOUND, &[&wanted.devices, &wanted.firsts, &wanted.lasts])
        .await
        .map_err(|source| FleetError::Database { operation: "looking for readings", source })?;
    let mut found = BTreeMap::<String, RangeSet>::new();
    for row in rows {
        found.entry(row.get(0)).or_default().insert_range(whole(row.get(1)), whole(row.get(2)));
    }
    for (device, acks) in unclear {
        let found = found.remove(device.as_str()).unwrap_or_default();
        let lost = acks.acknowledged.minus(&found);
        report.found += found.count();
        report.unacknowledged_but_found += found.minus(&acks.acknowledged).count();
        report.lost += lost.count();
        let room = DETAILS_MAX - report.lost_ranges.len();
        let ranges = lost.ranges().iter().take(room);
        report.lost_ranges.extend(ranges.map(|range| ((*device).clone(), range.0, range.1)));
    }
    Ok(())
}

async fn twice(
    client: &Client,
    several: &[(&DeviceId, &DeviceAcks)],
) -> Result<Vec<(DeviceId, u64, u64)>, FleetError> {
    let wanted = Wanted::new(several.iter().copied());
    let limit = i64::try_from(DETAILS_MAX).expect("a small number");
    let rows = client
        .query(TWICE, &[&wanted.devices, &wanted.firsts, &wanted.lasts, &limit])
        .await
        .map_err(|source| FleetError::Database { operation: "looking for repetitions", source })?;
    let details = rows.iter().filter_map(|row| {
        let device = DeviceId::new(row.get(0)).ok()?;
        Some((device, whole(row.get(1)), row.get::<_, i64>(2).unsigned_abs()))
    });
    Ok(details.collect())
}

/// The arguments that all three queries take: device, first and last `n`.
struct Wanted<'a> {
    devices: Vec<&'a str>,
    firsts: Vec<f64>,
    lasts: Vec<f64>,
}

impl<'a> Wanted<'a> {
    fn new(of: impl Iterator<Item = (&'a DeviceId, &'a DeviceAcks)>) -> Self {
        let mut wanted = Self { devices: Vec::new(), firsts: Vec::new(), lasts: Vec::new() };
        for (device, acks) in of {
            wanted.devices.push(device.as_str());
            wanted.firsts.push(acks.first as f64);
            wanted.lasts.push((acks.next - 1) as f64);
        }
        wanted
    }
}

/// An `n` from the database: whole, and small enough to be exact.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the queries give whole numbers that were published"
)]
fn whole(value: f64) -> u64 {
    value as u64
}
