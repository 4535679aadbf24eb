//! A record on its way into the log.

use std::fmt;
use std::sync::Arc;

use bellwire_model::{
    Action, AuditDeed, ClientId, Delivery, DeviceId, Presence, PublishBatch, Receipt,
};

use super::body::{POLICY_BYTES, write_policy, write_presence, write_refused};
use super::devices::{self, DeviceChange};
use super::record::{RecordError, RecordKind};
use super::replay::{self, Replay};
use crate::audit;
use crate::commands::{self, CommandEvent};
use crate::handling;
use crate::mapping::Mappings;
use crate::policy::TimePolicy;

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
    /// As it stands in the log.
    Replay(Vec<u8>),
    Refused(Box<[(DeviceId, u32)]>),
    Commands(Box<[u8]>),
    Devices(Box<[DeviceChange]>),
    Action(Box<[u8]>),
    Audit(Box<[u8]>),
}

impl Entry {
    /// The most bytes of rules and labels that fit into a record: 16 MiB.
    pub const RULES_BYTES_MAX: usize = 16 << 20;

    /// The most devices in one record of presence, or of what was refused.
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

    /// So many publishes on these devices' topics were refused, each of them before it was a record;
    /// more than [`Entry::PRESENCES_MAX`] devices are cut.
    #[must_use]
    pub fn refused(counts: &[(DeviceId, u32)]) -> Self {
        let counts = &counts[..counts.len().min(Self::PRESENCES_MAX)];
        Self { body: EntryBody::Refused(counts.into()), receipt: None }
    }

    /// From here on this is what the registry says of these devices; more than
    /// [`Entry::DEVICES_MAX`] are cut.
    #[must_use]
    pub fn devices(mut changes: Vec<DeviceChange>) -> Self {
        changes.truncate(Self::DEVICES_MAX);
        Self { body: EntryBody::Devices(changes.into()), receipt: None }
    }

    /// Something happened to commands, in this order.
    #[must_use]
    pub fn commands(events: &[CommandEvent]) -> Self {
        Self { body: EntryBody::Commands(commands::write(events).into()), receipt: None }
    }

    /// An operator does something with alerts or silences.
    #[must_use]
    pub fn action(action: &Action) -> Self {
        Self { body: EntryBody::Action(handling::write(action).into()), receipt: None }
    }

    /// Somebody did this, or tried to.
    #[must_use]
    pub fn audit(deed: &AuditDeed) -> Self {
        Self { body: EntryBody::Audit(audit::write(deed).into()), receipt: None }
    }

    /// A payload from quarantine is to be read again. It counts as data: it waits while the log is
    /// full.
    #[must_use]
    pub fn replay(replay: &Replay) -> Self {
        Self { body: EntryBody::Replay(replay::write(replay)), receipt: None }
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
            EntryBody::Replay(_) => RecordKind::Replay,
            EntryBody::Refused(_) => RecordKind::Refused,
            EntryBody::Commands(_) => RecordKind::Commands,
            EntryBody::Devices(_) => RecordKind::Devices,
            EntryBody::Action(_) => RecordKind::Action,
            EntryBody::Audit(_) => RecordKind::Audit,
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
            EntryBody::Replay(body) => body.len(),
            EntryBody::Commands(body) | EntryBody::Audit(body) | EntryBody::Action(body) => {
                body.len()
            }
            EntryBody::Devices(changes) => devices::bytes(changes),
            EntryBody::Refused(counts) => {
                counts.iter().map(|(device, _)| 6 + device.as_str().len()).sum()
            }
            EntryBody::Presence(changes) => {
                changes.iter().map(|(device, _)| 3 + device.as_str().len()).sum()
            }
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
            EntryBody::Replay(body) => buffer.extend_from_slice(body),
            EntryBody::Commands(body) | EntryBody::Audit(body) | EntryBody::Action(body) => {
                buffer.extend_from_slice(body);
            }
            EntryBody::Devices(changes) => devices::write(changes, buffer),
            EntryBody::Refused(counts) => write_refused(counts, buffer),
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
            Self::Replay(body) => write!(f, "Replay({} bytes)", body.len()),
            Self::Devices(changes) => write!(f, "Devices({} devices)", changes.len()),
            Self::Commands(body) => write!(f, "Commands({} bytes)", body.len()),
            Self::Action(body) => write!(f, "Action({} bytes)", body.len()),
            Self::Audit(body) => write!(f, "Audit({} bytes)", body.len()),
            Self::Refused(counts) => write!(f, "Refused({} devices)", counts.len()),
        }
    }
}
