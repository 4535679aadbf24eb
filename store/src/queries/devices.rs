//! Devices, and the ledgers that were stored of them.

use bellwire_model::{DeviceId, DeviceLedger, LogId, SeqLedger, Timestamp};
use tokio_postgres::Row;

use super::{Queries, word};
use crate::Error;
use crate::metrics::QueryKind;
use crate::types::{At, unsigned};

/// A device that has published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceRow {
    /// Which.
    pub device: DeviceId,
    /// When its first publish was received, as far as the stored ledger goes.
    pub first_seen: Option<Timestamp>,
    /// When its latest publish was received, as far as the stored ledger goes.
    pub last_seen: Option<Timestamp>,
}

/// One device's stored account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredLedger {
    /// Whose.
    pub device: DeviceId,
    /// When its first publish was received.
    pub first_seen: Timestamp,
    /// When its latest publish was received.
    pub last_seen: Timestamp,
    /// Its account.
    pub ledger: DeviceLedger,
}

impl Queries {
    /// Devices after `after` in the order of their names' bytes, at most `limit`.
    ///
    /// # Errors
    /// [`Error`]; transient ones while the database is away.
    pub async fn devices(
        &self,
        after: Option<&DeviceId>,
        limit: usize,
    ) -> Result<Vec<DeviceRow>, Error> {
        let rows = self
            .run(
                QueryKind::Devices,
                "reading devices",
                "SELECT device, first_seen, last_seen FROM public.devices \
                 WHERE $1::text IS NULL OR device > $1 ORDER BY device LIMIT $2",
                &[&after.map(DeviceId::as_str), &super::row_limit(limit)],
            )
            .await?;
        rows.iter()
            .map(|row| {
                Ok(DeviceRow {
                    device: device_id(row.get(0))?,
                    first_seen: row.get::<_, Option<At>>(1).map(|At(at)| at),
                    last_seen: row.get::<_, Option<At>>(2).map(|At(at)| at),
                })
            })
            .collect()
    }

    /// All ledgers of `log`, as of the stored ledger position. Read in pages of
    /// [`super::ROWS_MAX`]; a million devices take about 300 MB.
    ///
    /// # Errors
    /// [`Error`]; transient ones while the database is away.
    pub async fn load_ledger(&self, log: LogId) -> Result<Vec<StoredLedger>, Error> {
        let mut all = Vec::new();
        let mut after: i32 = 0;
        loop {
            let rows = self
                .run(
                    QueryKind::Ledger,
                    "reading ledgers",
                    "SELECT d.name, s.first_seen, s.last_seen, s.received, s.stored, \
                            s.duplicate, s.quarantined, s.refused, s.readings, s.seq_last, \
                            s.seq_gaps, s.seq_resets, s.device_id \
                     FROM bellwire.device_state s JOIN bellwire.device d ON d.id = s.device_id \
                     WHERE s.log_id = (SELECT id FROM bellwire.log_position WHERE log = $1) \
                       AND s.device_id > $2 \
                     ORDER BY s.device_id LIMIT $3",
                    &[&log.to_string(), &after, &super::row_limit(super::ROWS_MAX)],
                )
                .await?;
            let Some(last) = rows.last() else { return Ok(all) };
            after = last.get(12);
            for row in &rows {
                all.push(read_ledger(row)?);
            }
        }
    }

    /// One device's account in `log`, as of the stored ledger position.
    ///
    /// # Errors
    /// [`Error`]; transient ones while the database is away.
    pub async fn ledger(
        &self,
        log: LogId,
        device: &DeviceId,
    ) -> Result<Option<StoredLedger>, Error> {
        let rows = self
            .run(
                QueryKind::Ledger,
                "reading a ledger",
                "SELECT d.name, s.first_seen, s.last_seen, s.received, s.stored, \
                        s.duplicate, s.quarantined, s.refused, s.readings, s.seq_last, \
                        s.seq_gaps, s.seq_resets \
                 FROM bellwire.device d JOIN bellwire.device_state s ON s.device_id = d.id \
                 WHERE d.name = $2 \
                   AND s.log_id = (SELECT id FROM bellwire.log_position WHERE log = $1)",
                &[&log.to_string(), &device.as_str()],
            )
            .await?;
        rows.first().map(read_ledger).transpose()
    }
}

fn device_id(text: &str) -> Result<DeviceId, Error> {
    word("a device", text, |text| DeviceId::new(text).ok())
}

fn read_ledger(row: &Row) -> Result<StoredLedger, Error> {
    let count = |index: usize| unsigned(row.get(index));
    let (At(first_seen), At(last_seen)) = (row.get(1), row.get(2));
    let gaps: Vec<i64> = row.get(10);
    Ok(StoredLedger {
        device: device_id(row.get(0))?,
        first_seen,
        last_seen,
        ledger: DeviceLedger {
            received: count(3),
            stored: count(4),
            duplicate: count(5),
            quarantined: count(6),
            refused: count(7),
            readings: count(8),
            seq: SeqLedger {
                last: row.get::<_, Option<i64>>(9).map(unsigned),
                gaps: gaps
                    .chunks_exact(2)
                    .map(|pair| (unsigned(pair[0]), unsigned(pair[1])))
                    .collect(),
                resets: count(11),
            },
        },
    })
}
