//! Holds what was acknowledged against the database: lost, twice, or as promised.

use std::fmt;
use std::time::Duration;

use bellwire_model::DeviceId;
use futures_util::TryStreamExt as _;
use tokio::time::Instant;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls};

use crate::{AckLog, DeviceAcks, FleetError, RangeSet};

/// How many details a report names; the counts are whole.
const DETAILS_MAX: usize = 100;
/// How long between two looks of [`verify_within`].
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// For our own connection. Readings are not analyzed yet when we come, and the planner's guess that
/// there are none made it loop over two million rows once per device: a minute instead of seconds.
const SETTINGS: &str = "SET enable_nestloop = off; SET enable_mergejoin = off;";

/// Every row whose `n` is one that the device published, by the device's place in the arguments.
///
/// Not counted by the server: `count(DISTINCT …)` sorts all of it, which takes five times as long as
/// sending it here, where a bit per `n` says the same.
const NUMBERS: &str = "
    SELECT want.place, r.value
    FROM unnest($1::text[], $2::float8[], $3::float8[]) WITH ORDINALITY
        AS want (device, first, last, place)
    JOIN readings r
        ON r.device = want.device AND r.metric = 'n' AND r.value BETWEEN want.first AND want.last";

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
    /// 100 of the `n`s of which there are several rows, and how many rows of each.
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
    let published = log.iter().filter(|(_, acks)| acks.published() > 0);
    let mut numbers: Vec<_> = published.map(|(device, acks)| Numbers::new(device, acks)).collect();
    let failed = |source| FleetError::Database { operation: "reading the readings", source };
    fetch(client, &mut numbers, &mut report).await.map_err(failed)?;
    for of_device in &numbers {
        of_device.sum_up(&mut report);
    }
    report.twice_details.sort();
    Ok(report)
}

/// Marks every number that is there.
async fn fetch(
    client: &Client,
    numbers: &mut [Numbers<'_>],
    report: &mut Report,
) -> Result<(), tokio_postgres::Error> {
    client.batch_execute(SETTINGS).await?;
    let devices: Vec<&str> = numbers.iter().map(|numbers| numbers.device.as_str()).collect();
    let firsts: Vec<f64> = numbers.iter().map(|numbers| numbers.acks.first as f64).collect();
    let lasts: Vec<f64> = numbers.iter().map(|numbers| (numbers.acks.next - 1) as f64).collect();
    let arguments: [&(dyn ToSql + Sync); 3] = [&devices, &firsts, &lasts];
    let rows = client.query_raw(NUMBERS, arguments).await?;
    let mut rows = std::pin::pin!(rows);
    while let Some(row) = rows.try_next().await? {
        let place = row.try_get::<_, i64>(0)?.unsigned_abs();
        let value: f64 = row.try_get(1)?;
        if value.fract() != 0.0 {
            report.strange += 1;
            continue;
        }
        let of_device = usize::try_from(place - 1).ok().and_then(|at| numbers.get_mut(at));
        let of_device = of_device.expect("places are those of the arguments");
        of_device.mark(whole(value), report);
    }
    Ok(())
}

/// Which numbers of one device are there.
struct Numbers<'a> {
    device: &'a DeviceId,
    acks: &'a DeviceAcks,
    /// A bit for each number it published.
    there: Vec<u64>,
}

impl<'a> Numbers<'a> {
    fn new(device: &'a DeviceId, acks: &'a DeviceAcks) -> Self {
        let words = acks.published().div_ceil(64);
        let words = usize::try_from(words).expect("what was published fits into memory");
        Self { device, acks, there: vec![0; words] }
    }

    /// Marks `n`, one of those it published, as there.
    fn mark(&mut self, n: u64, report: &mut Report) {
        let at = n - self.acks.first;
        let word = &mut self.there[(at / 64) as usize];
        let bit = 1 << (at % 64);
        if *word & bit == 0 {
            *word |= bit;
            return;
        }
        report.twice += 1;
        let known = report.twice_details.iter_mut().find(|d| d.0 == *self.device && d.1 == n);
        if let Some((_, _, times)) = known {
            *times += 1;
        } else if report.twice_details.len() < DETAILS_MAX {
            report.twice_details.push((self.device.clone(), n, 2));
        }
    }

    fn sum_up(&self, report: &mut Report) {
        let is_there = |n: &u64| {
            let at = n - self.acks.first;
            self.there[(at / 64) as usize] & 1 << (at % 64) != 0
        };
        let mut found = RangeSet::default();
        (self.acks.first..self.acks.next).filter(is_there).for_each(|n| found.insert(n));
        let lost = self.acks.acknowledged.minus(&found);
        report.found += found.count();
        report.unacknowledged_but_found += found.minus(&self.acks.acknowledged).count();
        report.lost += lost.count();
        let room = DETAILS_MAX - report.lost_ranges.len();
        let ranges = lost.ranges().iter().take(room);
        report.lost_ranges.extend(ranges.map(|range| (self.device.clone(), range.0, range.1)));
    }
}

/// An `n` from the database: whole, and small enough to be exact.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is whole and was published"
)]
fn whole(value: f64) -> u64 {
    value as u64
}
