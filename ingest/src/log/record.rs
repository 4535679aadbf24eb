//! What a record of the log says: publishes, ticks, starts, rules, policies, mappings, replays; in
//! memory and as bytes.

use bellwire_model::publish::PublishIter;
use bellwire_model::{Action, AuditDeed, DevicePatch, Presence};

use super::body::{read_policy, read_presence, read_refused, split_session};
use super::devices;
use super::replay::{self, Replay};
use crate::audit;
use crate::commands::{self, CommandEvent};
use crate::handling;
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
    /// A payload from quarantine is to be read again.
    Replay = 9,
    /// Publishes were refused before they were records.
    Refused = 10,
    /// Something happened to commands.
    Commands = 11,
    /// This is what the registry says of devices from here on.
    Devices = 12,
    /// An operator does something with alerts or silences.
    Action = 13,
    /// Somebody did something, or tried to.
    Audit = 14,
}

impl RecordKind {
    /// All of them, by number.
    pub const ALL: [Self; 14] = [
        Self::Publishes,
        Self::Tick,
        Self::Started,
        Self::Rules,
        Self::TimePolicy,
        Self::Session,
        Self::Presence,
        Self::Mappings,
        Self::Replay,
        Self::Refused,
        Self::Commands,
        Self::Devices,
        Self::Action,
        Self::Audit,
    ];

    /// Its place among [`RecordKind::ALL`].
    pub(super) fn index(self) -> usize {
        Self::ALL.iter().position(|kind| *kind == self).unwrap_or_default()
    }

    /// Whether it comes from clients or people in any number, and waits while the log is full.
    #[must_use]
    pub const fn is_data(self) -> bool {
        matches!(self, Self::Publishes | Self::Session | Self::Replay)
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
            Self::Replay => "replay",
            Self::Refused => "refused",
            Self::Commands => "commands",
            Self::Devices => "devices",
            Self::Action => "action",
            Self::Audit => "audit",
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
            9 => Some(Self::Replay),
            10 => Some(Self::Refused),
            11 => Some(Self::Commands),
            12 => Some(Self::Devices),
            13 => Some(Self::Action),
            14 => Some(Self::Audit),
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
        /// Who published: the text of a [`ClientId`](bellwire_model::ClientId).
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
    /// A payload from quarantine is to be read again.
    Replay(Box<Replay>),
    /// So many publishes on each of these devices' topics were refused.
    Refused(Vec<(&'a str, u32)>),
    /// Something happened to commands, in order.
    Commands(Vec<CommandEvent>),
    /// This is what the registry says of devices from here on, in order.
    Devices(Vec<(&'a str, DevicePatch)>),
    /// An operator does something with alerts or silences.
    Action(Box<Action>),
    /// Somebody did something, or tried to.
    Audit(Box<AuditDeed>),
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
            RecordKind::Refused => Self::Refused(read_refused(body).ok_or(malformed)?),
            RecordKind::Replay => Self::Replay(replay::read(body).ok_or(malformed)?.into()),
            RecordKind::Commands => Self::Commands(commands::read(body).ok_or(malformed)?),
            RecordKind::Devices => Self::Devices(devices::read(body).ok_or(malformed)?),
            RecordKind::Action => Self::Action(handling::read(body).ok_or(malformed)?.into()),
            RecordKind::Audit => Self::Audit(audit::read(body).ok_or(malformed)?.into()),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bellwire_model::{
        ClientId, Delivery, DeviceId, Outcome, PublishBatch, PublishRef, QoS, Receipt,
    };

    use super::*;
    use crate::log::Entry;
    use crate::mapping::Mappings;

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
    fn refusals_read_back() {
        let device = |name: &str| DeviceId::new(name).expect("valid");
        let bytes = body(&Entry::refused(&[(device("ü"), 1), (device("b"), u32::MAX)]));
        let Ok(Record::Refused(back)) = Record::decode(10, &bytes) else { panic!("{bytes:?}") };
        assert_eq!(back, [("ü", 1), ("b", u32::MAX)]);
        let cut = Record::decode(10, &bytes[..bytes.len() - 1]);
        assert!(matches!(cut, Err(RecordError::Malformed(RecordKind::Refused))), "{cut:?}");
    }

    #[test]
    fn what_is_no_record_is_named() {
        let error = |kind, body: &[u8]| Record::decode(kind, body).expect_err("not a record");
        assert_eq!(error(250, b""), RecordError::UnknownKind(250));
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
