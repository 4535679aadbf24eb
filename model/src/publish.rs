//! What a client publishes, and the answer we owe for it.
//!
//! The publishes that one read of a socket brought travel together: one [`PublishBatch`] in one
//! allocation, one [`Receipt`], one record in the log. The batch is laid out as the log keeps it,
//! so that a publish is copied once between socket and disk (`docs/decisions/0003`).

use std::fmt;

use crate::ClientId;

/// How often a message may arrive: MQTT's quality of service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum QoS {
    /// At most once: not acknowledged.
    AtMostOnce = 0,
    /// At least once: PUBACK.
    AtLeastOnce = 1,
    /// Exactly once: PUBREC, PUBREL, PUBCOMP.
    ExactlyOnce = 2,
}

impl QoS {
    /// From the two bits of the packet; 3 is malformed.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0 => Some(Self::AtMostOnce),
            1 => Some(Self::AtLeastOnce),
            2 => Some(Self::ExactlyOnce),
            _ => None,
        }
    }
}

/// One publish, borrowed from its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishRef<'a> {
    /// Where it was published; a valid topic name without wildcards.
    pub topic: &'a str,
    /// What was published.
    pub payload: &'a [u8],
    /// As the client sent it.
    pub qos: QoS,
    /// The client says this may be a repetition.
    pub dup: bool,
    /// The client asks for it to be retained.
    pub retain: bool,
    /// The client's packet identifier; 0 with QoS 0.
    pub packet_id: u16,
}

/// Publishes of one client in arrival order, in one buffer.
///
/// Each is `flags u8 | packet_id u16 | topic_bytes u16 | payload_bytes u32 | topic | payload`,
/// little endian. `flags`: bit 0 DUP, bits 1–2 QoS, bit 3 RETAIN.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishBatch {
    bytes: Vec<u8>,
    len: usize,
}

const HEADER_BYTES: usize = 9;

impl PublishBatch {
    /// An empty batch that holds `bytes` before it must grow.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), len: 0 }
    }

    /// Adds a publish behind the others.
    ///
    /// # Panics
    /// If the topic is longer than 65,535 bytes or the payload than 4 GiB: MQTT allows neither.
    pub fn push(&mut self, publish: &PublishRef<'_>) {
        let topic_bytes = u16::try_from(publish.topic.len()).expect("MQTT limits topics to u16");
        let payload_bytes = u32::try_from(publish.payload.len()).expect("MQTT limits packets");
        let flags =
            u8::from(publish.dup) | (publish.qos as u8) << 1 | u8::from(publish.retain) << 3;
        self.bytes.reserve(HEADER_BYTES + publish.topic.len() + publish.payload.len());
        self.bytes.push(flags);
        self.bytes.extend_from_slice(&publish.packet_id.to_le_bytes());
        self.bytes.extend_from_slice(&topic_bytes.to_le_bytes());
        self.bytes.extend_from_slice(&payload_bytes.to_le_bytes());
        self.bytes.extend_from_slice(publish.topic.as_bytes());
        self.bytes.extend_from_slice(publish.payload);
        self.len += 1;
    }

    /// How many publishes it holds.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The batch as the log keeps it; [`PublishIter::new`] reads it back.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The publishes in arrival order.
    #[must_use]
    pub fn iter(&self) -> PublishIter<'_> {
        PublishIter::new(&self.bytes)
    }
}

impl<'a> IntoIterator for &'a PublishBatch {
    type Item = Result<PublishRef<'a>, BatchError>;
    type IntoIter = PublishIter<'a>;

    fn into_iter(self) -> PublishIter<'a> {
        self.iter()
    }
}

/// Bytes that are no [`PublishBatch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchError;

impl fmt::Display for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes are no batch of publishes")
    }
}

impl std::error::Error for BatchError {}

/// Reads a batch's publishes one by one; after an error it ends.
#[derive(Clone, Debug)]
pub struct PublishIter<'a> {
    rest: &'a [u8],
}

impl<'a> PublishIter<'a> {
    /// Reads what [`PublishBatch::as_bytes`] gave.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    fn take(&mut self) -> Option<PublishRef<'a>> {
        let (header, rest) = self.rest.split_first_chunk::<HEADER_BYTES>()?;
        let [flags, p0, p1, t0, t1, l0, l1, l2, l3] = *header;
        let topic_bytes = usize::from(u16::from_le_bytes([t0, t1]));
        let payload_bytes = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).ok()?;
        let (topic, rest) = rest.split_at_checked(topic_bytes)?;
        let (payload, rest) = rest.split_at_checked(payload_bytes)?;
        self.rest = rest;
        Some(PublishRef {
            topic: std::str::from_utf8(topic).ok()?,
            payload,
            qos: QoS::from_bits(flags >> 1 & 3)?,
            dup: flags & 1 != 0,
            retain: flags & 8 != 0,
            packet_id: u16::from_le_bytes([p0, p1]),
        })
    }
}

impl<'a> Iterator for PublishIter<'a> {
    type Item = Result<PublishRef<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let taken = self.take();
        if taken.is_none() {
            self.rest = &[];
        }
        Some(taken.ok_or(BatchError))
    }
}

/// How a delivery ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is on disk: acknowledge it.
    Durable,
    /// It will never be taken: tell the client so.
    Rejected,
    /// It was not taken this time: do not acknowledge, let the client send it again.
    Retry,
}

/// The answer we owe for a delivery; settled once. Dropped unsettled it means [`Outcome::Retry`].
pub struct Receipt(Option<Box<dyn FnOnce(Outcome) + Send>>);

impl Receipt {
    /// A receipt that tells `settle` how the delivery ended. `settle` must not block: the log's
    /// appender calls it between two syncs.
    #[must_use]
    pub fn new(settle: impl FnOnce(Outcome) + Send + 'static) -> Self {
        Self(Some(Box::new(settle)))
    }

    /// Tells how the delivery ended.
    pub fn settle(mut self, outcome: Outcome) {
        if let Some(settle) = self.0.take() {
            settle(outcome);
        }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if let Some(settle) = self.0.take() {
            settle(Outcome::Retry);
        }
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Receipt(owed)" } else { "Receipt(settled)" })
    }
}

/// Publishes we owe an answer for: what the broker hands to the log.
#[derive(Debug)]
pub struct Delivery {
    /// Who published.
    pub client: ClientId,
    /// What was published, in arrival order; may be none.
    pub publishes: PublishBatch,
    /// What changed in sessions with it, as the broker writes it; to others opaque. Empty if nothing
    /// did.
    pub session: Vec<u8>,
    /// Settled when all of it is on disk.
    pub receipt: Receipt,
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn publish(topic: &'static str, packet_id: u16) -> PublishRef<'static> {
        PublishRef {
            topic,
            payload: b"{}",
            qos: QoS::AtLeastOnce,
            dup: true,
            retain: false,
            packet_id,
        }
    }

    #[test]
    fn a_batch_reads_back_what_was_pushed() {
        let mut batch = PublishBatch::default();
        batch.push(&publish("a", 1));
        batch.push(&publish("b/ü", 2));
        let back: Vec<_> = batch.iter().collect();
        assert_eq!(back, [Ok(publish("a", 1)), Ok(publish("b/ü", 2))]);
        assert_eq!(batch.len(), 2);
    }

    #[test]
    fn a_cut_batch_is_an_error_and_then_ends() {
        let mut batch = PublishBatch::default();
        batch.push(&publish("a", 1));
        for cut in 1..batch.as_bytes().len() {
            let back: Vec<_> = PublishIter::new(&batch.as_bytes()[..cut]).collect();
            assert_eq!(back, [Err(BatchError)], "cut at {cut}");
        }
    }

    #[test]
    fn a_dropped_receipt_asks_for_a_retry() {
        let (sender, outcomes) = mpsc::sync_channel(2);
        let other = sender.clone();
        Receipt::new(move |outcome| sender.send(outcome).expect("test listens"))
            .settle(Outcome::Durable);
        drop(Receipt::new(move |outcome| other.send(outcome).expect("test listens")));
        assert_eq!(outcomes.iter().collect::<Vec<_>>(), [Outcome::Durable, Outcome::Retry]);
    }
}
