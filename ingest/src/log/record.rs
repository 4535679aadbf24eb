//! What a record of the log says: publishes, ticks, starts, rules, policies, mappings; in memory and
//! as bytes.

use std::fmt;
use std::sync::Arc;

use bellwire_model::publish::PublishIter;
use bellwire_model::{ClientId, Delivery, DeviceId, DevicePatch, Presence, PublishBatch, Receipt};

use super::body::{
    POLICY_BYTES, read_policy, read_presence, split_session, write_policy, write_presence,
};
use super::devices::{self, DeviceChange};
use crate::mapping::Mappings;
use crate::policy::TimePolicy;

/// The most bytes the body of one record may have: 32 MiB. A delivery beyond it is rejected.
pub const BODY_BYTES_MAX: usize = 32 << 20;

/// What a record is about. The numbers are on disk: they never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RecordKind {
    /// What a client published.
    Publishes = 1,
    /// A second has passed while a deadline is pending.
    Tick = 2,
    /// The service has started.
    Started = 3,
    /// These are the rules and labels from here on.
    Rules = 4,
    /// This says which event times are taken from here on.
    TimePolicy = 5,
    /// What a client published, and what changed in sessions with it.
    Session = 6,
    /// Devices came or went.
    Presence = 7,
    /// These say which other topics are telemetry from here on, and what they mean.
    Mappings = 8,
    /// This is what the registry says of devices from here on.
    Devices = 10,
}

impl RecordKind {
    /// All of them, by number.
    pub const ALL: [Self; 9] = [
        Self::Publishes,
        Self::Tick,
        Self::Started,
        Self::Rules,
        Self::TimePolicy,
        Self::Session,
        Self::Presence,
        Self::Mappings,
        Self::Devices,
    ];

    /// Whether it comes from clients, and waits while the log is full.
    #[must_use]
    pub const fn is_data(self) -> bool {
        matches!(self, Self::Publishes | Self::Session)
    }

    /// The stable, lower-case word for it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Publishes => "publishes",
            Self::Tick => "tick",
            Self::Started => "started",
            Self::Rules => "rules",
            Self::TimePolicy => "time_policy",
            Self::Session => "session",
            Self::Presence => "presence",
            Self::Mappings => "mappings",
            Self::Devices => "devices",
        }
    }

    /// The kind with this number.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Publishes),
            2 => Some(Self::Tick),
            3 => Some(Self::Started),
            4 => Some(Self::Rules),
            5 => Some(Self::TimePolicy),
            6 => Some(Self::Session),
            7 => Some(Self::Presence),
            8 => Some(Self::Mappings),
            10 => Some(Self::Devices),
            _ => None,
        }
    }
}

/// Bytes that passed their checksum and still are no record we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Written by a later version.
    #[error("record kind {0} is unknown to this version")]
    UnknownKind(u8),
    /// The body does not have the kind's layout.
    #[error("body of a `{}` record is malformed", .0.label())]
    Malformed(RecordKind),
    /// Longer than a record may be.
    #[error("record body of {bytes} bytes exceeds the limit of {limit_bytes} bytes")]
    TooLong {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        limit_bytes: usize,
    },
}

/// A record as read from the log.
#[derive(Clone, Debug)]
pub enum Record<'a> {
    /// What a client published.
    Publishes {
        /// Who published: the text of a [`ClientId`].
        client: &'a str,
        /// What, in arrival order; may be none.
        publishes: PublishIter<'a>,
        /// What changed in sessions with it, as the broker writes it; empty if nothing did.
        session: &'a [u8],
    },
    /// A second has passed.
    Tick,
    /// The service has started.
    Started {
        /// Its version, for people.
        version: &'a str,
    },
    /// These are the rules from here on.
    Rules {
        /// Rules and labels, TOML.
        text: &'a str,
    },
    /// This says which event times are taken from here on.
    TimePolicy(TimePolicy),
    /// Devices came or went, in order.
    Presence(Vec<(&'a str, Presence)>),
    /// These are the mappings from here on.
    Mappings {
        /// TOML.
        text: &'a str,
    },
    /// This is what the registry says of devices from here on, in order.
    Devices(Vec<(&'a str, DevicePatch)>),
}

impl<'a> Record<'a> {
    /// Reads a record's body.
    ///
    /// # Errors
    /// [`RecordError`] if the kind is unknown or the body is not laid out as the kind says. The
    /// publishes themselves are checked as they are iterated.
    pub fn decode(kind: u8, body: &'a [u8]) -> Result<Self, RecordError> {
        let kind = RecordKind::from_byte(kind).ok_or(RecordError::UnknownKind(kind))?;
        let malformed = RecordError::Malformed(kind);
        let text = |bytes| std::str::from_utf8(bytes).map_err(|_| malformed);
        Ok(match kind {
            RecordKind::Publishes | RecordKind::Session => {
                let (session, body) = match kind {
                    RecordKind::Session => split_session(body).ok_or(malformed)?,
                    _ => (&[][..], body),
                };
                let (bytes, rest) = body.split_first_chunk().ok_or(malformed)?;
                let client_bytes = usize::from(u16::from_le_bytes(*bytes));
                let (client, batch) = rest.split_at_checked(client_bytes).ok_or(malformed)?;
                let publishes = PublishIter::new(batch);
                Self::Publishes { client: text(client)?, publishes, session }
            }
            RecordKind::Tick if body.is_empty() => Self::Tick,
            RecordKind::Tick => return Err(malformed),
            RecordKind::Started => Self::Started { version: text(body)? },
            RecordKind::Rules => Self::Rules { text: text(body)? },
            RecordKind::TimePolicy => Self::TimePolicy(read_policy(body).ok_or(malformed)?),
            RecordKind::Presence => Self::Presence(read_presence(body).ok_or(malformed)?),
            RecordKind::Mappings => Self::Mappings { text: text(body)? },
            RecordKind::Devices => Self::Devices(devices::read(body).ok_or(malformed)?),
        })
    }
}

/// A record on its way into the log, and the receipt to settle when it is durable.
#[derive(Debug)]
pub struct Entry {
    pub(super) body: EntryBody,
    pub(super) receipt: Option<Receipt>,
}

pub(super) enum EntryBody {
    /// The batch stays as the broker made it until the appender copies it behind its header.
    /// With it goes what changed in sessions.
    Publishes(ClientId, PublishBatch, Vec<u8>),
    Tick,
    Started(Box<str>),
    Rules(Arc<str>),
    TimePolicy(TimePolicy),
    Presence(Box<[(DeviceId, Presence)]>),
    Mappings(Arc<str>),
    Devices(Box<[DeviceChange]>),
}

impl Entry {
    /// The most bytes of rules and labels that fit into a record: 16 MiB.
    pub const RULES_BYTES_MAX: usize = 16 << 20;

    /// The most devices in one record of presence.
    pub const PRESENCES_MAX: usize = 1_000;

    /// The most devices in one record of the registry: with all labels they may have, 11 MiB.
    pub const DEVICES_MAX: usize = 500;

    /// What a client published. It counts as data: it waits while the log is full.
    #[must_use]
    pub fn publishes(delivery: Delivery) -> Self {
        let Delivery { client, publishes, session, receipt } = delivery;
        Self { body: EntryBody::Publishes(client, publishes, session), receipt: Some(receipt) }
    }

    /// A second has passed.
    #[must_use]
    pub const fn tick() -> Self {
        Self { body: EntryBody::Tick, receipt: None }
    }

    /// The service has started, in this version.
    #[must_use]
    pub fn started(version: &str) -> Self {
        Self { body: EntryBody::Started(version.into()), receipt: None }
    }

    /// From here on these are the rules and labels.
    ///
    /// # Errors
    /// [`RecordError::TooLong`] beyond [`Entry::RULES_BYTES_MAX`]: rules are never cut.
    pub fn rules(text: impl Into<Arc<str>>) -> Result<Self, RecordError> {
        let text = text.into();
        if text.len() > Self::RULES_BYTES_MAX {
            let (bytes, limit_bytes) = (text.len(), Self::RULES_BYTES_MAX);
            return Err(RecordError::TooLong { bytes, limit_bytes });
        }
        Ok(Self { body: EntryBody::Rules(text), receipt: None })
    }

    /// From here on this says which event times are taken.
    #[must_use]
    pub const fn time_policy(policy: TimePolicy) -> Self {
        Self { body: EntryBody::TimePolicy(policy), receipt: None }
    }

    /// Devices came or went, in this order; more than [`Entry::PRESENCES_MAX`] are cut.
    #[must_use]
    pub fn presence(changes: &[(DeviceId, Presence)]) -> Self {
        let changes = &changes[..changes.len().min(Self::PRESENCES_MAX)];
        Self { body: EntryBody::Presence(changes.into()), receipt: None }
    }

    /// From here on these say which other topics are telemetry, and what they mean.
    #[must_use]
    pub fn mappings(mappings: &Mappings) -> Self {
        Self { body: EntryBody::Mappings(Arc::clone(mappings.text())), receipt: None }
    }

    /// From here on this is what the registry says of these devices; more than
    /// [`Entry::DEVICES_MAX`] are cut.
    #[must_use]
    pub fn devices(mut changes: Vec<DeviceChange>) -> Self {
        changes.truncate(Self::DEVICES_MAX);
        Self { body: EntryBody::Devices(changes.into()), receipt: None }
    }

    /// The same, with a receipt to settle when it is durable.
    #[must_use]
    pub fn with_receipt(self, receipt: Receipt) -> Self {
        Self { receipt: Some(receipt), ..self }
    }

    /// What it is about.
    #[must_use]
    pub const fn kind(&self) -> RecordKind {
        match &self.body {
            EntryBody::Publishes(_, _, session) if session.is_empty() => RecordKind::Publishes,
            EntryBody::Publishes(..) => RecordKind::Session,
            EntryBody::Tick => RecordKind::Tick,
            EntryBody::Started(_) => RecordKind::Started,
            EntryBody::Rules(_) => RecordKind::Rules,
            EntryBody::TimePolicy(_) => RecordKind::TimePolicy,
            EntryBody::Presence(_) => RecordKind::Presence,
            EntryBody::Mappings(_) => RecordKind::Mappings,
            EntryBody::Devices(_) => RecordKind::Devices,
        }
    }

    /// How many publishes it holds.
    #[must_use]
    pub const fn n_publishes(&self) -> usize {
        match &self.body {
            EntryBody::Publishes(_, publishes, _) => publishes.len(),
            _ => 0,
        }
    }

    /// The delivery it was made of, if it was: for who got it back because the queue was full.
    #[must_use]
    pub fn into_delivery(self) -> Option<Delivery> {
        match (self.body, self.receipt) {
            (EntryBody::Publishes(client, publishes, session), Some(receipt)) => {
                Some(Delivery { client, publishes, session, receipt })
            }
            _ => None,
        }
    }

    /// Bytes of its body in the log.
    #[must_use]
    pub fn body_bytes(&self) -> usize {
        match &self.body {
            EntryBody::Publishes(client, publishes, session) => {
                let session_bytes = if session.is_empty() { 0 } else { 4 + session.len() };
                session_bytes + 2 + client.as_str().len() + publishes.as_bytes().len()
            }
            EntryBody::Tick => 0,
            EntryBody::Started(version) => version.len(),
            EntryBody::Rules(text) | EntryBody::Mappings(text) => text.len(),
            EntryBody::TimePolicy(_) => POLICY_BYTES,
            EntryBody::Presence(changes) => {
                changes.iter().map(|(device, _)| 3 + device.as_str().len()).sum()
            }
            EntryBody::Devices(changes) => devices::bytes(changes),
        }
    }

    /// Appends the body as [`Record::decode`] reads it.
    pub(super) fn encode_body(&self, buffer: &mut Vec<u8>) {
        match &self.body {
            EntryBody::Publishes(client, publishes, session) => {
                if !session.is_empty() {
                    // What is too long for the length is too long for a record, and never gets here.
                    let bytes = u32::try_from(session.len()).unwrap_or(u32::MAX);
                    buffer.extend_from_slice(&bytes.to_le_bytes());
                    buffer.extend_from_slice(session);
                }
                let client = client.as_str().as_bytes();
                let client_bytes = u16::try_from(client.len()).expect("a ClientId fits into u16");
                buffer.extend_from_slice(&client_bytes.to_le_bytes());
                buffer.extend_from_slice(client);
                buffer.extend_from_slice(publishes.as_bytes());
            }
            EntryBody::Tick => {}
            EntryBody::Started(version) => buffer.extend_from_slice(version.as_bytes()),
            EntryBody::Rules(text) | EntryBody::Mappings(text) => {
                buffer.extend_from_slice(text.as_bytes());
            }
            EntryBody::TimePolicy(policy) => write_policy(policy, buffer),
            EntryBody::Presence(changes) => write_presence(changes, buffer),
            EntryBody::Devices(changes) => devices::write(changes, buffer),
        }
    }
}

impl fmt::Debug for EntryBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Publishes(client, publishes, session) => {
                let (n_publishes, session_bytes) = (publishes.len(), session.len());
                write!(f, "Publishes({client:?}, {n_publishes} publishes, {session_bytes} bytes)")
            }
            Self::Tick => f.write_str("Tick"),
            Self::Started(version) => write!(f, "Started({version:?})"),
            Self::Rules(text) => write!(f, "Rules({} bytes)", text.len()),
            Self::TimePolicy(policy) => policy.fmt(f),
            Self::Presence(changes) => write!(f, "Presence({} devices)", changes.len()),
            Self::Mappings(text) => write!(f, "Mappings({} bytes)", text.len()),
            Self::Devices(changes) => write!(f, "Devices({} devices)", changes.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bellwire_model::{Outcome, PublishRef, QoS};

    use super::*;

    fn body(entry: &Entry) -> Vec<u8> {
        let mut bytes = Vec::new();
        entry.encode_body(&mut bytes);
        assert_eq!(bytes.len(), entry.body_bytes());
        bytes
    }

    #[test]
    fn publishes_read_back() {
        let publish = PublishRef {
            topic: "devices/ü/telemetry",
            payload: b"{\"t\":1}",
            qos: QoS::AtLeastOnce,
            dup: false,
            retain: false,
            packet_id: 7,
        };
        let mut publishes = PublishBatch::default();
        publishes.push(&publish);
        for changes in [&b""[..], b"changes"] {
            let client = ClientId::new("gateway-1").expect("valid");
            let receipt = Receipt::new(|outcome| assert_eq!(outcome, Outcome::Retry));
            let (publishes, session) = (publishes.clone(), changes.to_vec());
            let entry = Entry::publishes(Delivery { client, publishes, session, receipt });
            assert!(entry.kind().is_data());
            let bytes = body(&entry);
            match Record::decode(entry.kind() as u8, &bytes).expect("as written") {
                Record::Publishes { client, publishes, session } => {
                    assert_eq!((client, session), ("gateway-1", changes));
                    assert_eq!(publishes.collect::<Vec<_>>(), [Ok(publish)]);
                }
                other => panic!("{other:?}"),
            }
            assert_eq!(entry.into_delivery().expect("a delivery").publishes.len(), 1);
        }
    }

    #[test]
    fn control_records_read_back() {
        let rules = body(&Entry::rules("[[rule]]").expect("short"));
        assert!(matches!(Record::decode(4, &rules), Ok(Record::Rules { text: "[[rule]]" })));
        let started = body(&Entry::started("0.1.0"));
        assert!(matches!(Record::decode(3, &started), Ok(Record::Started { version: "0.1.0" })));
        assert!(matches!(Record::decode(2, &body(&Entry::tick())), Ok(Record::Tick)));
        let text = "[[mapping]]\npreset = 'tasmota'";
        let mappings = body(&Entry::mappings(&Mappings::parse(text).expect("right")));
        let Ok(Record::Mappings { text: back }) = Record::decode(8, &mappings) else {
            panic!("{mappings:?}")
        };
        assert_eq!(back, text);
    }

    #[test]
    fn policies_read_back_to_the_microsecond() {
        for past_max in [None, Some(Duration::ZERO), Some(Duration::from_micros(86_400_000_001))] {
            let policy = TimePolicy { future_max: Duration::from_micros(7), past_max };
            let bytes = body(&Entry::time_policy(policy));
            let Ok(Record::TimePolicy(back)) = Record::decode(5, &bytes) else {
                panic!("{bytes:?}")
            };
            assert_eq!(back, policy);
        }
    }

    #[test]
    fn presence_reads_back() {
        let device = |name: &str| DeviceId::new(name).expect("valid");
        let changes = [(device("ü"), Presence::Online), (device("b"), Presence::Offline)];
        let bytes = body(&Entry::presence(&changes));
        let Ok(Record::Presence(back)) = Record::decode(7, &bytes) else { panic!("{bytes:?}") };
        assert_eq!(back, [("ü", Presence::Online), ("b", Presence::Offline)]);
        let cut = Record::decode(7, &bytes[..bytes.len() - 1]);
        assert!(matches!(cut, Err(RecordError::Malformed(RecordKind::Presence))), "{cut:?}");
    }

    #[test]
    fn what_is_no_record_is_named() {
        let error = |kind, body: &[u8]| Record::decode(kind, body).expect_err("not a record");
        assert_eq!(error(9, b""), RecordError::UnknownKind(9));
        assert_eq!(error(1, &[5, 0, b'a']), RecordError::Malformed(RecordKind::Publishes));
        assert_eq!(error(6, &[9, 0, 0, 0]), RecordError::Malformed(RecordKind::Session));
        assert_eq!(error(2, b"x"), RecordError::Malformed(RecordKind::Tick));
        assert_eq!(error(4, &[0xff]), RecordError::Malformed(RecordKind::Rules));
        assert_eq!(error(5, &[0; 15]), RecordError::Malformed(RecordKind::TimePolicy));
        for kind in RecordKind::ALL {
            assert_eq!(RecordKind::from_byte(kind as u8), Some(kind));
        }
    }

    #[test]
    fn rules_are_never_cut() {
        let long = "x".repeat(Entry::RULES_BYTES_MAX + 1);
        assert!(matches!(Entry::rules(long), Err(RecordError::TooLong { .. })));
    }
}
