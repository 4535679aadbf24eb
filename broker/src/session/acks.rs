//! The answers we owe a client: they leave in the order of arrival, each when what it promises is
//! durable. [MQTT-4.6.0-2], [MQTT-4.6.0-3], [MQTT-4.6.0-4]

use std::collections::VecDeque;

use bellwire_model::Outcome;

use crate::close::CloseKind;
use crate::codec::Version;
use crate::codec::encode::{self, Ack};

/// Names a group of answers that wait for one receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket(u32);

/// What an answer is. Once PUBACK is due, a PUBLISH with the same identifier is a new one.
/// [MQTT-4.3.2-5]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The acknowledgement of telemetry, which the log may reject.
    Telemetry(Ack),
    /// Another acknowledgement, with its reason code.
    Other(Ack, u8),
    /// The next of the packets that wait.
    Packet,
}

/// When an answer leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// When the receipt of its group is settled.
    ForReceipt,
    /// When those before it have left.
    InTurn,
}

/// When an answer leaves, as it turns out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Now: the caller writes it.
    AtOnce,
    /// Later.
    Queued,
}

/// Answers that leave together.
#[derive(Debug)]
struct Group {
    n_answers: usize,
    bytes: usize,
    /// `None` while its receipt is unsettled.
    outcome: Option<Outcome>,
}

/// The answers owed, in order.
///
/// What one read of the socket brought for the log forms a group that waits for its receipt. Other
/// answers need no receipt but must not overtake: in a group they join it, behind it they form
/// settled ones.
#[derive(Debug, Default)]
pub(crate) struct Owed {
    answers: VecDeque<(u16, Answer)>,
    packets: VecDeque<Vec<u8>>,
    groups: VecDeque<Group>,
    bytes: usize,
    n_pubacks: usize,
    /// The ticket of the first group.
    first: u32,
    /// The last group still takes more.
    open: bool,
}

/// What [`Owed::release`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Released {
    /// Publishes acknowledged with success.
    pub(crate) n_acknowledged: usize,
    /// Publishes whose rejection was told.
    pub(crate) n_rejected: usize,
    /// The packet identifiers of the QoS 2 publishes among them.
    pub(crate) rejected: Vec<u16>,
    /// Why the connection must end, if it must.
    pub(crate) end: Option<CloseKind>,
}

impl Owed {
    /// How many answers are owed.
    pub(crate) fn len(&self) -> usize {
        self.answers.len()
    }

    /// The bytes of the telemetry that waits.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many QoS 1 publishes are not acknowledged.
    pub(crate) fn n_pubacks(&self) -> usize {
        self.n_pubacks
    }

    /// Whether none is owed.
    pub(crate) fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }

    /// Whether a group is open, which [`Owed::seal`] closes.
    pub(crate) fn is_open(&self) -> bool {
        self.open
    }

    /// Owes an answer for `bytes` of telemetry, unless it may leave at once.
    pub(crate) fn push(&mut self, packet_id: u16, answer: Answer, bytes: usize, wait: Wait) -> Due {
        match wait {
            Wait::InTurn if self.is_empty() => return Due::AtOnce,
            Wait::InTurn => {
                let settled = Some(Outcome::Durable);
                match self.groups.back_mut() {
                    Some(group) if self.open || group.outcome == settled => group.n_answers += 1,
                    _ => self.groups.push_back(Group { n_answers: 1, bytes: 0, outcome: settled }),
                }
            }
            Wait::ForReceipt => {
                if !self.open {
                    self.groups.push_back(Group { n_answers: 0, bytes: 0, outcome: None });
                    self.open = true;
                }
                self.bytes += bytes;
                if let Some(group) = self.groups.back_mut() {
                    group.n_answers += 1;
                    group.bytes += bytes;
                }
            }
        }
        self.n_pubacks += usize::from(answer.is_puback());
        self.answers.push_back((packet_id, answer));
        Due::Queued
    }

    /// Owes a whole packet, which waits for the receipt.
    pub(crate) fn push_packet(&mut self, packet: Vec<u8>) {
        self.push(0, Answer::Packet, 0, Wait::ForReceipt);
        self.packets.push_back(packet);
    }

    /// Whether no whole packet waits.
    pub(crate) fn has_no_packets(&self) -> bool {
        self.packets.is_empty()
    }

    /// Closes the group, if there is one, and names it.
    pub(crate) fn seal(&mut self) -> Option<Ticket> {
        if !self.open {
            return None;
        }
        self.open = false;
        let index = u32::try_from(self.groups.len()).unwrap_or(u32::MAX);
        Some(Ticket(self.first.wrapping_add(index).wrapping_sub(1)))
    }

    /// Notes how the group of `ticket` ended.
    pub(crate) fn settle(&mut self, ticket: Ticket, outcome: Outcome) {
        let index = ticket.0.wrapping_sub(self.first) as usize;
        if let Some(group) = self.groups.get_mut(index) {
            group.outcome = Some(outcome);
        }
    }

    /// Writes every answer that may leave behind what `out` holds.
    pub(crate) fn release(&mut self, version: Version, out: &mut Vec<u8>) -> Released {
        let mut released = Released::default();
        while let Some(outcome) = self.groups.front().and_then(|group| group.outcome) {
            let end = match (outcome, version) {
                (Outcome::Durable, _) | (Outcome::Rejected, Version::V5) => None,
                (Outcome::Rejected, Version::V3) => Some(CloseKind::Rejected),
                (Outcome::Retry, _) => Some(CloseKind::NotStored),
            };
            if end.is_some() {
                released.end = end;
                return released;
            }
            self.release_group(version, outcome, out, &mut released);
        }
        released
    }

    fn release_group(
        &mut self,
        version: Version,
        outcome: Outcome,
        out: &mut Vec<u8>,
        released: &mut Released,
    ) {
        const QUOTA_EXCEEDED: u8 = 0x97;
        let Some(group) = self.groups.pop_front() else { return };
        self.first = self.first.wrapping_add(1);
        self.bytes -= group.bytes;
        out.reserve(4 * group.n_answers);
        for (packet_id, answer) in self.answers.drain(..group.n_answers) {
            self.n_pubacks -= usize::from(answer.is_puback());
            match answer {
                Answer::Telemetry(ack) if outcome == Outcome::Rejected => {
                    encode::ack_with(version, ack, packet_id, QUOTA_EXCEEDED, out);
                    released.n_rejected += 1;
                    if ack == Ack::Pubrec {
                        released.rejected.push(packet_id);
                    }
                }
                Answer::Telemetry(ack) => {
                    encode::ack(ack, packet_id, out);
                    released.n_acknowledged += 1;
                }
                Answer::Other(ack, reason) => {
                    encode::ack_with(version, ack, packet_id, reason, out);
                    released.n_acknowledged += usize::from(is_success(ack, reason));
                }
                Answer::Packet => out.extend(self.packets.pop_front().unwrap_or_default()),
            }
        }
    }
}

/// Whether it acknowledges a publish with success.
pub(crate) fn is_success(ack: Ack, reason: u8) -> bool {
    reason < 0x80 && matches!(ack, Ack::Puback | Ack::Pubrec)
}

impl Answer {
    fn is_puback(self) -> bool {
        matches!(self, Self::Telemetry(Ack::Puback) | Self::Other(Ack::Puback, _))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn telemetry(owed: &mut Owed, packet_id: u16) {
        let answer = Answer::Telemetry(Ack::Puback);
        assert_eq!(owed.push(packet_id, answer, 10, Wait::ForReceipt), Due::Queued);
    }

    fn other(owed: &mut Owed, packet_id: u16) -> Due {
        owed.push(packet_id, Answer::Other(Ack::Puback, 0), 0, Wait::InTurn)
    }

    fn acks(owed: &mut Owed) -> Vec<u8> {
        let mut out = Vec::new();
        owed.release(Version::V5, &mut out);
        out.chunks(4).map(|ack| ack[3]).collect()
    }

    #[test]
    fn acknowledgements_wait_for_the_group_before_them() {
        let mut owed = Owed::default();
        telemetry(&mut owed, 1);
        let first = owed.seal().expect("a group");
        telemetry(&mut owed, 2);
        let second = owed.seal().expect("a group");
        owed.settle(second, Outcome::Durable);
        assert!(acks(&mut owed).is_empty());
        owed.settle(first, Outcome::Durable);
        assert_eq!(acks(&mut owed), [1, 2]);
        assert_eq!((owed.len(), owed.bytes(), owed.n_pubacks()), (0, 0, 0));
    }

    #[test]
    fn other_publishes_keep_their_place_among_telemetry() {
        let mut owed = Owed::default();
        assert_eq!(other(&mut owed, 1), Due::AtOnce);
        telemetry(&mut owed, 2);
        assert_eq!(other(&mut owed, 3), Due::Queued);
        telemetry(&mut owed, 4);
        let ticket = owed.seal().expect("a group");
        assert_eq!(other(&mut owed, 5), Due::Queued);
        assert_eq!(other(&mut owed, 6), Due::Queued);
        assert!(acks(&mut owed).is_empty());
        owed.settle(ticket, Outcome::Durable);
        assert_eq!(acks(&mut owed), [2, 3, 4, 5, 6]);
        assert_eq!(owed.seal(), None);
    }

    #[test]
    fn a_packet_that_waits_keeps_its_place() {
        let mut owed = Owed::default();
        telemetry(&mut owed, 1);
        owed.push_packet(vec![0x90, 3, 0, 2, 0]);
        let ticket = owed.seal().expect("a group");
        owed.settle(ticket, Outcome::Durable);
        let mut out = Vec::new();
        owed.release(Version::V3, &mut out);
        assert_eq!(out, [0x40, 2, 0, 1, 0x90, 3, 0, 2, 0]);
    }

    #[test]
    fn a_rejection_concerns_telemetry_only() {
        let mut owed = Owed::default();
        telemetry(&mut owed, 1);
        assert_eq!(other(&mut owed, 2), Due::Queued);
        owed.push(3, Answer::Telemetry(Ack::Pubrec), 10, Wait::ForReceipt);
        let ticket = owed.seal().expect("a group");
        owed.settle(ticket, Outcome::Rejected);
        let mut out = Vec::new();
        let released = owed.release(Version::V5, &mut out);
        assert_eq!(out, [0x40, 3, 0, 1, 0x97, 0x40, 2, 0, 2, 0x50, 3, 0, 3, 0x97]);
        assert_eq!((released.n_acknowledged, released.n_rejected), (1, 2));
        assert_eq!(released.rejected, [3]);
    }

    #[test]
    fn what_was_not_stored_ends_the_connection_unacknowledged() {
        for (version, outcome, end) in [
            (Version::V5, Outcome::Retry, CloseKind::NotStored),
            (Version::V3, Outcome::Retry, CloseKind::NotStored),
            (Version::V3, Outcome::Rejected, CloseKind::Rejected),
        ] {
            let mut owed = Owed::default();
            telemetry(&mut owed, 1);
            let ticket = owed.seal().expect("a group");
            owed.settle(ticket, outcome);
            let mut out = Vec::new();
            assert_eq!(owed.release(version, &mut out).end, Some(end));
            assert!(out.is_empty());
        }
    }

    #[test]
    fn tickets_outlive_the_wrap_of_their_counter() {
        let mut owed = Owed { first: u32::MAX, ..Owed::default() };
        telemetry(&mut owed, 1);
        let first = owed.seal().expect("a group");
        telemetry(&mut owed, 2);
        let second = owed.seal().expect("a group");
        owed.settle(first, Outcome::Durable);
        assert_eq!(acks(&mut owed), [1]);
        owed.settle(second, Outcome::Durable);
        assert_eq!(acks(&mut owed), [2]);
    }
}
