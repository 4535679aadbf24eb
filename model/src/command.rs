//! Commands: what someone asks a device to do, and how far that is.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::words::words;
use crate::{DeviceId, Timestamp};

/// A command's identity: 128 random bits, 32 digits of hexadecimal as text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId(pub u128);

impl fmt::Display for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CommandId({self})")
    }
}

/// A text that is no command's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoCommandId;

impl fmt::Display for NoCommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a command's id is 32 lower-case digits of hexadecimal")
    }
}

impl std::error::Error for NoCommandId {}

impl FromStr for CommandId {
    type Err = NoCommandId;

    fn from_str(text: &str) -> Result<Self, NoCommandId> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 32 || !text.bytes().all(is_digit) {
            return Err(NoCommandId);
        }
        u128::from_str_radix(text, 16).map(Self).map_err(|_| NoCommandId)
    }
}

words! {
    /// How far a command is.
    CommandState {
        /// It waits until the device can be sent it.
        Queued = "queued",
        /// It was written to a connection of the device.
        Sent = "sent",
        /// The device's PUBACK says that it has it.
        Acknowledged = "acknowledged",
        /// The device has answered.
        Answered = "answered",
        /// Its time ran out before it was delivered, or answered where an answer is expected.
        Expired = "expired",
        /// Whoever asked took it back before it was sent.
        Cancelled = "cancelled",
    }
}

words! {
    /// Whether the device is to answer.
    Reply {
        /// It is: the command is open until it does.
        Expected = "expected",
        /// It is not: the command is done when it is delivered.
        None = "none",
    }
}

/// What a device answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// When it was received.
    pub at: Timestamp,
    /// As it came.
    pub payload: Arc<[u8]>,
}

/// A command as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Which.
    pub id: CommandId,
    /// Who is to do it.
    pub device: DeviceId,
    /// What: as the device gets it.
    pub payload: Arc<[u8]>,
    /// What that is, for MQTT 5.
    pub content_type: Option<Arc<str>>,
    /// Whether the device is to answer.
    pub reply: Reply,
    /// Who asked, as he calls himself.
    pub author: Option<Arc<str>>,
    /// How whoever asked calls the request: the same again is the same command.
    pub key: Option<Arc<str>>,
    /// How far it is.
    pub state: CommandState,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it is not to be delivered, nor awaited, any more.
    pub expires_at: Timestamp,
    /// When it was first sent.
    pub sent_at: Option<Timestamp>,
    /// When the device acknowledged it.
    pub acknowledged_at: Option<Timestamp>,
    /// When nothing more was expected of it; open until then.
    pub ended_at: Option<Timestamp>,
    /// What the device answered; also of one that had ended without.
    pub answer: Option<Answer>,
    /// How often it was sent.
    pub n_sent: u32,
}

impl Command {
    /// The most bytes of a payload: 64 KiB.
    pub const PAYLOAD_BYTES_MAX: usize = 64 << 10;

    /// Whether something more is expected of it.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.ended_at.is_none()
    }

    /// Where devices take commands: `devices/{device}/commands`.
    #[must_use]
    pub fn topic(device: &DeviceId) -> String {
        format!("devices/{device}/commands")
    }

    /// Where the device answers this one: `devices/{device}/commands/{id}/reply`.
    #[must_use]
    pub fn reply_topic(&self) -> String {
        format!("devices/{}/commands/{}/reply", self.device, self.id)
    }

    /// What it takes in memory, about, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let answer = self.answer.as_ref().map_or(0, |answer| answer.payload.len());
        let texts = [&self.content_type, &self.author, &self.key].into_iter().flatten();
        size_of::<Self>() + self.payload.len() + answer + texts.map(|it| it.len()).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_and_nothing_else_is_one() {
        let id = CommandId(0xab << 64);
        assert_eq!(id.to_string().parse(), Ok(id));
        for wrong in ["", "17", "+0000000000000000000000000000001", &"A".repeat(32)] {
            assert_eq!(wrong.parse::<CommandId>(), Err(NoCommandId), "{wrong}");
        }
    }

    #[test]
    fn words_read_back() {
        for state in CommandState::ALL {
            assert_eq!(CommandState::from_label(state.label()), Some(*state));
        }
        assert_eq!(Reply::from_label("none"), Some(Reply::None));
    }
}
