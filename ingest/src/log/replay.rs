//! A payload from quarantine on its way through the log once more, in memory and as bytes.

use bellwire_model::{DeviceId, LogPosition, PublishRef, QoS, Timestamp};
use serde::{Deserialize, Serialize};

/// A payload from quarantine, to be read again as mappings say now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    /// Up to where the log was in the database when the payload was taken from there.
    pub seen_at: LogPosition,
    /// The record it came in, and which publish of that it is.
    pub place: (LogPosition, u32),
    /// When it was received.
    pub received_at: Timestamp,
    /// In whose account it is, if in any.
    pub device: Option<DeviceId>,
    /// Which of its readings are stored, as hashes; see [`bellwire_model::Quarantined::kept`].
    pub kept: Box<[u64]>,
    /// Where it was published.
    pub topic: Box<str>,
    /// As it came.
    pub payload: Box<[u8]>,
}

impl Replay {
    /// The publish, as far as quarantine knows it.
    #[must_use]
    pub fn publish(&self) -> PublishRef<'_> {
        PublishRef {
            topic: &self.topic,
            payload: &self.payload,
            qos: QoS::AtLeastOnce,
            dup: false,
            retain: false,
            packet_id: 1,
        }
    }
}

/// The body of its record, by postcard. A later version may add to the end.
#[derive(Serialize, Deserialize)]
struct Body<'a> {
    seen_at: u64,
    position: u64,
    ordinal: u32,
    received_at: i64,
    device: Option<&'a str>,
    kept: Vec<u64>,
    topic: &'a str,
    payload: &'a [u8],
}

impl<'a> From<&'a Replay> for Body<'a> {
    fn from(replay: &'a Replay) -> Self {
        Self {
            seen_at: replay.seen_at.0,
            position: replay.place.0.0,
            ordinal: replay.place.1,
            received_at: replay.received_at.as_micros(),
            device: replay.device.as_ref().map(DeviceId::as_str),
            kept: replay.kept.to_vec(),
            topic: &replay.topic,
            payload: &replay.payload,
        }
    }
}

pub(super) fn write(replay: &Replay) -> Vec<u8> {
    postcard::to_stdvec(&Body::from(replay)).expect("numbers and texts have a form in postcard")
}

pub(super) fn read(body: &[u8]) -> Option<Replay> {
    let (body, _later): (Body<'_>, _) = postcard::take_from_bytes(body).ok()?;
    Some(Replay {
        seen_at: LogPosition(body.seen_at),
        place: (LogPosition(body.position), body.ordinal),
        received_at: Timestamp::from_micros(body.received_at),
        device: body.device.map(DeviceId::new).transpose().ok()?,
        kept: body.kept.into(),
        topic: body.topic.into(),
        payload: body.payload.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_and_takes_what_a_later_version_adds() {
        let replay = Replay {
            seen_at: LogPosition(u64::MAX),
            place: (LogPosition(77), 3),
            received_at: Timestamp::from_secs(-1),
            device: Some(DeviceId::new("ü").expect("valid")),
            kept: [1, u64::MAX].into(),
            topic: "plant/ü".into(),
            payload: [0, 255].into(),
        };
        let mut body = write(&replay);
        assert_eq!(read(&body), Some(replay.clone()));
        body.push(1);
        assert_eq!(read(&body), Some(replay));
        for len in 0..body.len() - 1 {
            assert_eq!(read(&body[..len]), None, "{len} bytes");
        }
    }
}
