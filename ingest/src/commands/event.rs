//! What happens to commands, as records of the log say it. A device's answer is none of these: it is a
//! publish, and in the log as such.

use std::borrow::Cow;
use std::time::Duration;

use bellwire_model::{CommandId, DeviceId, QoS, Reply};
use serde::{Deserialize, Serialize};

/// What someone asks a device to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Which command that becomes.
    pub id: CommandId,
    /// Who is to do it.
    pub device: DeviceId,
    /// As the device gets it.
    pub payload: Box<[u8]>,
    /// What that is, for MQTT 5.
    pub content_type: Option<Box<str>>,
    /// Whether the device is to answer.
    pub reply: Reply,
    /// Who asks, as he calls himself.
    pub author: Option<Box<str>>,
    /// How he calls the request, and a hash of it: the same again is the same command.
    pub key: Option<(Box<str>, u64)>,
    /// How long it is worth something, from the time of its record on.
    pub lifetime: Duration,
}

/// Something that happens to a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandEvent {
    /// Someone asks for it.
    Asked(Box<Ask>),
    /// It was written to a connection of the device, so often since this was last said.
    Sent {
        /// Which.
        id: CommandId,
        /// How: with [`QoS::AtMostOnce`] that was all.
        qos: QoS,
        /// How often; at least once.
        times: u32,
    },
    /// The device acknowledged it.
    Acknowledged(CommandId),
    /// Whoever asked takes it back, if it was not sent before.
    Cancelled(CommandId),
}

/// The order of the variants is on disk: new ones go to the end.
#[derive(Debug, Serialize, Deserialize)]
enum Wire<'a> {
    #[serde(borrow)]
    Asked(WireAsk<'a>),
    Sent {
        id: u128,
        qos: u8,
        times: u32,
    },
    Acknowledged(u128),
    Cancelled(u128),
}

#[derive(Debug, Serialize, Deserialize)]
struct WireAsk<'a> {
    id: u128,
    device: Cow<'a, str>,
    #[serde(borrow)]
    payload: &'a [u8],
    content_type: Option<Cow<'a, str>>,
    expects_reply: bool,
    author: Option<Cow<'a, str>>,
    key: Option<(Cow<'a, str>, u64)>,
    lifetime_us: u64,
}

impl<'a> From<&'a CommandEvent> for Wire<'a> {
    fn from(event: &'a CommandEvent) -> Self {
        match event {
            CommandEvent::Asked(ask) => Self::Asked(WireAsk {
                id: ask.id.0,
                device: ask.device.as_str().into(),
                payload: &ask.payload,
                content_type: ask.content_type.as_deref().map(Into::into),
                expects_reply: ask.reply == Reply::Expected,
                author: ask.author.as_deref().map(Into::into),
                key: ask.key.as_ref().map(|(key, request)| ((&**key).into(), *request)),
                lifetime_us: u64::try_from(ask.lifetime.as_micros()).unwrap_or(u64::MAX),
            }),
            CommandEvent::Sent { id, qos, times } => {
                Self::Sent { id: id.0, qos: *qos as u8, times: *times }
            }
            CommandEvent::Acknowledged(id) => Self::Acknowledged(id.0),
            CommandEvent::Cancelled(id) => Self::Cancelled(id.0),
        }
    }
}

impl Wire<'_> {
    fn event(self) -> Option<CommandEvent> {
        Some(match self {
            Self::Asked(ask) => CommandEvent::Asked(Box::new(Ask {
                id: CommandId(ask.id),
                device: DeviceId::new(&ask.device).ok()?,
                payload: ask.payload.into(),
                content_type: ask.content_type.map(|it| it.into_owned().into()),
                reply: if ask.expects_reply { Reply::Expected } else { Reply::None },
                author: ask.author.map(|it| it.into_owned().into()),
                key: ask.key.map(|(key, request)| (key.into_owned().into(), request)),
                lifetime: Duration::from_micros(ask.lifetime_us),
            })),
            Self::Sent { id, qos, times } => {
                CommandEvent::Sent { id: CommandId(id), qos: QoS::from_bits(qos)?, times }
            }
            Self::Acknowledged(id) => CommandEvent::Acknowledged(CommandId(id)),
            Self::Cancelled(id) => CommandEvent::Cancelled(CommandId(id)),
        })
    }
}

/// The body of a record, one event after the other.
pub(crate) fn write(events: &[CommandEvent]) -> Vec<u8> {
    events.iter().fold(Vec::new(), |bytes, event| {
        postcard::to_extend(&Wire::from(event), bytes).expect("a buffer in memory takes everything")
    })
}

/// The events of a record's body; `None` if it is none.
pub(crate) fn read(mut body: &[u8]) -> Option<Vec<CommandEvent>> {
    let mut events = Vec::new();
    while !body.is_empty() {
        let (wire, rest): (Wire<'_>, _) = postcard::take_from_bytes(body).ok()?;
        events.push(wire.event()?);
        body = rest;
    }
    Some(events)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_read_back() {
        let id = CommandId(u128::MAX - 7);
        let ask = Ask {
            id,
            device: DeviceId::new("ü").expect("valid"),
            payload: Box::from(&b"\0{}"[..]),
            content_type: Some("application/json".into()),
            reply: Reply::None,
            author: None,
            key: Some(("k".into(), 9)),
            lifetime: Duration::from_secs(60),
        };
        let events = [
            CommandEvent::Asked(Box::new(ask)),
            CommandEvent::Sent { id, qos: QoS::AtLeastOnce, times: 2 },
            CommandEvent::Acknowledged(id),
            CommandEvent::Cancelled(id),
        ];
        let bytes = write(&events);
        assert_eq!(read(&bytes).expect("as written"), events);
        assert_eq!(read(&bytes[..bytes.len() - 1]), None);
    }
}
