//! Payloads that could not be read, newest first.

use bellwire_model::{DeviceId, LogId, LogPosition, Quarantined, RejectReason, Timestamp};

use super::{Queries, row_limit, word};
use crate::metrics::QueryKind;
use crate::types::{At, int8, unsigned};
use crate::{Error, rows};

/// A quarantined payload and the log it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuarantineRow {
    /// The log.
    pub log: LogId,
    /// Up to where that log was in the database when the payload was read from there.
    pub seen_at: LogPosition,
    /// The payload.
    pub quarantined: Quarantined,
}

/// Which quarantined payloads are wanted. What is not said, any has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuarantineFilter {
    /// Of this device.
    pub device: Option<DeviceId>,
    /// For this reason.
    pub reason: Option<RejectReason>,
    /// On this topic, or, if it ends with `/#`, on this and those below.
    pub topic: Option<String>,
    /// Received then or later.
    pub from: Option<Timestamp>,
    /// Received before.
    pub to: Option<Timestamp>,
    /// One of these: record and ordinal.
    pub places: Option<Vec<(LogPosition, u32)>>,
}

/// Where a page ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuarantinePlace {
    /// When the last payload given was received.
    pub received_at: Timestamp,
    /// Its place in the log.
    pub position: LogPosition,
    /// Which publish of that record.
    pub ordinal: u32,
}

impl From<&Quarantined> for QuarantinePlace {
    fn from(row: &Quarantined) -> Self {
        Self { received_at: row.received_at, position: row.position, ordinal: row.ordinal }
    }
}

impl Queries {
    /// Quarantined payloads, newest first, those before `before`, at most `limit`.
    ///
    /// # Errors
    /// [`Error`]; transient ones while the database is away.
    pub async fn quarantine(
        &self,
        filter: &QuarantineFilter,
        before: Option<QuarantinePlace>,
        limit: usize,
    ) -> Result<Vec<QuarantineRow>, Error> {
        let QuarantineFilter { device, reason, topic, from, to, places } = filter;
        let topics = topic.as_deref().map(|topic| topic.strip_suffix("/#").unwrap_or(topic));
        let is_open = topic.as_deref().is_some_and(|topic| topic.ends_with("/#"));
        let number = |ordinal: u32| i32::try_from(ordinal).unwrap_or(i32::MAX);
        let place = |&(position, ordinal): &(LogPosition, u32)| (int8(position.0), number(ordinal));
        let (positions, ordinals): (Option<Vec<i64>>, Option<Vec<i32>>) =
            places.as_ref().map(|places| places.iter().map(place).unzip()).unzip();
        let rows = self
            .run(
                QueryKind::Quarantine,
                "reading quarantined payloads",
                "SELECT l.log, q.position, q.ordinal, q.received_at, q.device, q.topic, \
                        q.payload, q.reason, q.detail, l.position, q.kept \
                 FROM bellwire.quarantine q JOIN bellwire.log_position l ON l.id = q.log_id \
                 WHERE ($1::text IS NULL OR q.device = $1) \
                   AND ($2::timestamptz IS NULL \
                        OR (q.received_at, q.position, q.ordinal) < ($2, $3::int8, $4::int4)) \
                   AND ($6::text IS NULL OR q.reason = $6) \
                   AND ($7::text IS NULL OR q.topic = $7 \
                        OR ($8::boolean AND starts_with(q.topic, $7 || '/'))) \
                   AND ($9::timestamptz IS NULL OR q.received_at >= $9) \
                   AND ($10::timestamptz IS NULL OR q.received_at < $10) \
                   AND ($11::int8[] IS NULL \
                        OR (q.position, q.ordinal) IN (SELECT * FROM unnest($11, $12::int4[]))) \
                 ORDER BY q.received_at DESC, q.position DESC, q.ordinal DESC LIMIT $5",
                &[
                    &device.as_ref().map(DeviceId::as_str),
                    &before.map(|place| At(place.received_at)),
                    &before.map(|place| int8(place.position.0)),
                    &before.map(|place| i32::try_from(place.ordinal).unwrap_or(i32::MAX)),
                    &row_limit(limit),
                    &reason.map(RejectReason::label),
                    &topics,
                    &is_open,
                    &from.map(At),
                    &to.map(At),
                    &positions,
                    &ordinals,
                ],
            )
            .await?;
        rows.iter()
            .map(|row| {
                let At(received_at) = row.get(3);
                let device: Option<&str> = row.get(4);
                let quarantined = Quarantined {
                    position: LogPosition(unsigned(row.get(1))),
                    ordinal: u32::try_from(row.get::<_, i32>(2)).unwrap_or(0),
                    received_at,
                    device: device
                        .map(|text| word("a device", text, |text| DeviceId::new(text).ok()))
                        .transpose()?,
                    topic: row.get::<_, &str>(5).into(),
                    payload: row.get::<_, &[u8]>(6).into(),
                    reason: word("a reason", row.get(7), RejectReason::from_label)?,
                    detail: row.get::<_, &str>(8).into(),
                    kept: row.get::<_, Option<&[u8]>>(10).map(rows::hashes),
                };
                let log = word("a log's id", row.get(0), |text| text.parse().ok())?;
                let seen_at = LogPosition(unsigned(row.get(9)));
                Ok(QuarantineRow { log, seen_at, quarantined })
            })
            .collect()
    }
}
