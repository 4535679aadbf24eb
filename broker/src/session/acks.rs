//! The acknowledgements we owe a client: they leave in the order of arrival, each when its
//! delivery is settled. [MQTT-4.6.0-2]

use std::collections::VecDeque;

use bellwire_model::Outcome;

use crate::close::CloseKind;
use crate::codec::{Version, encode};

/// Names a group of acknowledgements that wait for one receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket(u32);

/// What a publish was, to know how a rejection concerns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Telemetry,
    Other,
}

/// When the acknowledgement of a publish that needs no receipt leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Now: the caller writes it.
    AtOnce,
    /// When those before it have left.
    InTurn,
}

/// Acknowledgements that leave together.
#[derive(Debug)]
struct Group {
    n_publishes: usize,
    bytes: usize,
    /// `None` while its receipt is unsettled.
    outcome: Option<Outcome>,
}

/// The acknowledgements owed, in order.
///
/// Telemetry of one read forms a group that waits for its receipt. Other publishes need no receipt
/// but must not overtake: between telemetry they join its group, behind it they form settled ones.
#[derive(Debug, Default)]
pub(crate) struct Owed {
    publishes: VecDeque<(u16, Kind)>,
    groups: VecDeque<Group>,
    bytes: usize,
    /// The ticket of the first group.
    first: u32,
    /// The last group still takes telemetry.
    open: bool,
}

/// What [`Owed::release`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Released {
    /// Publishes acknowledged with success.
    pub(crate) n_acknowledged: usize,
    /// Publishes whose rejection was told.
    pub(crate) n_rejected: usize,
    /// Why the connection must end, if it must.
    pub(crate) end: Option<CloseKind>,
}

impl Owed {
    /// How many acknowledgements are owed.
    pub(crate) fn len(&self) -> usize {
        self.publishes.len()
    }

    /// The bytes of the telemetry that waits.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether none is owed.
    pub(crate) fn is_empty(&self) -> bool {
        self.publishes.is_empty()
    }

    /// Owes an acknowledgement for telemetry of `bytes`, in the group that [`Owed::seal`] closes.
    pub(crate) fn push_telemetry(&mut self, packet_id: u16, bytes: usize) {
        if !self.open {
            self.groups.push_back(Group { n_publishes: 0, bytes: 0, outcome: None });
            self.open = true;
        }
        self.bytes += bytes;
        if let Some(group) = self.groups.back_mut() {
            group.n_publishes += 1;
            group.bytes += bytes;
        }
        self.publishes.push_back((packet_id, Kind::Telemetry));
    }

    /// Owes an acknowledgement for a publish that needs no receipt, unless it may leave at once.
    pub(crate) fn push_other(&mut self, packet_id: u16) -> Due {
        if self.is_empty() {
            return Due::AtOnce;
        }
        let settled = Some(Outcome::Durable);
        match self.groups.back_mut() {
            Some(group) if self.open || group.outcome == settled => group.n_publishes += 1,
            _ => self.groups.push_back(Group { n_publishes: 1, bytes: 0, outcome: settled }),
        }
        self.publishes.push_back((packet_id, Kind::Other));
        Due::InTurn
    }

    /// Closes the group of telemetry, if there is one, and names it.
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

    /// Writes every acknowledgement that may leave behind what `out` holds.
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
            self.release_group(outcome, out, &mut released);
        }
        released
    }

    fn release_group(&mut self, outcome: Outcome, out: &mut Vec<u8>, released: &mut Released) {
        let Some(group) = self.groups.pop_front() else { return };
        self.first = self.first.wrapping_add(1);
        self.bytes -= group.bytes;
        out.reserve(4 * group.n_publishes);
        for (packet_id, kind) in self.publishes.drain(..group.n_publishes) {
            if outcome == Outcome::Rejected && kind == Kind::Telemetry {
                encode::puback_rejected(packet_id, out);
                released.n_rejected += 1;
            } else {
                encode::puback(packet_id, out);
                released.n_acknowledged += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acks(owed: &mut Owed) -> Vec<u8> {
        let mut out = Vec::new();
        owed.release(Version::V5, &mut out);
        out.chunks(4).map(|ack| ack[3]).collect()
    }

    #[test]
    fn acknowledgements_wait_for_the_group_before_them() {
        let mut owed = Owed::default();
        owed.push_telemetry(1, 10);
        let first = owed.seal().expect("a group");
        owed.push_telemetry(2, 10);
        let second = owed.seal().expect("a group");
        owed.settle(second, Outcome::Durable);
        assert!(acks(&mut owed).is_empty());
        owed.settle(first, Outcome::Durable);
        assert_eq!(acks(&mut owed), [1, 2]);
        assert_eq!((owed.len(), owed.bytes()), (0, 0));
    }

    #[test]
    fn other_publishes_keep_their_place_among_telemetry() {
        let mut owed = Owed::default();
        assert_eq!(owed.push_other(1), Due::AtOnce);
        owed.push_telemetry(2, 10);
        assert_eq!(owed.push_other(3), Due::InTurn);
        owed.push_telemetry(4, 10);
        let ticket = owed.seal().expect("a group");
        assert_eq!(owed.push_other(5), Due::InTurn);
        assert_eq!(owed.push_other(6), Due::InTurn);
        assert!(acks(&mut owed).is_empty());
        owed.settle(ticket, Outcome::Durable);
        assert_eq!(acks(&mut owed), [2, 3, 4, 5, 6]);
        assert_eq!(owed.seal(), None);
    }

    #[test]
    fn a_rejection_concerns_telemetry_only() {
        let mut owed = Owed::default();
        owed.push_telemetry(1, 10);
        assert_eq!(owed.push_other(2), Due::InTurn);
        let ticket = owed.seal().expect("a group");
        owed.settle(ticket, Outcome::Rejected);
        let mut out = Vec::new();
        let released = owed.release(Version::V5, &mut out);
        assert_eq!(out, [0x40, 3, 0, 1, 0x97, 0x40, 2, 0, 2]);
        assert_eq!((released.n_acknowledged, released.n_rejected), (1, 1));
    }

    #[test]
    fn what_was_not_stored_ends_the_connection_unacknowledged() {
        for (version, outcome, end) in [
            (Version::V5, Outcome::Retry, CloseKind::NotStored),
            (Version::V3, Outcome::Retry, CloseKind::NotStored),
            (Version::V3, Outcome::Rejected, CloseKind::Rejected),
        ] {
            let mut owed = Owed::default();
            owed.push_telemetry(1, 10);
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
        owed.push_telemetry(1, 1);
        let first = owed.seal().expect("a group");
        owed.push_telemetry(2, 1);
        let second = owed.seal().expect("a group");
        owed.settle(first, Outcome::Durable);
        assert_eq!(acks(&mut owed), [1]);
        owed.settle(second, Outcome::Durable);
        assert_eq!(acks(&mut owed), [2]);
    }
}
