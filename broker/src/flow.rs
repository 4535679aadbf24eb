//! What a session owes its client and knows of it, pure: messages that wait, messages on their way,
//! and the QoS 2 publishes of the client that it has not released.
//!
//! Each QoS 1 and 2 message has a number in its session, and the packet identifier follows from it:
//! so a message that is sent again after a restart has the identifier that it had before, without
//! that being written anywhere. [MQTT-4.4.0-1]

mod image;
mod letters;

use std::collections::VecDeque;

use bellwire_model::{QoS, Timestamp};

use crate::codec::control::Taken;
use crate::message::Outgoing;

/// Most messages and bytes that wait for one client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FlowLimits {
    /// Messages; QoS 0 may take half.
    pub(crate) messages_max: usize,
    /// Bytes; QoS 0 may take half.
    pub(crate) bytes_max: usize,
}

/// The number of a QoS 1 or 2 message in its session, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Seq(pub(crate) u64);

impl Seq {
    /// The packet identifier: never 0. [MQTT-2.2.1-4], [MQTT-4.3.2-1], [MQTT-4.3.3-1]
    pub(crate) const fn packet_id(self) -> u16 {
        ((self.0 - 1) % 65_535 + 1) as u16
    }
}

/// Whether a message found room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Posted {
    /// It waits for the client.
    Queued,
    /// It found no room.
    Full,
}

/// How far a message on its way is. [MQTT-4.3.2-3], [MQTT-4.3.3-3], [MQTT-4.3.3-5]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Sent; PUBACK or PUBREC is awaited.
    Published(Outgoing),
    /// PUBREC came; PUBCOMP is awaited. PUBLISH is not sent again. [MQTT-4.3.3-6]
    Released(Durability),
}

/// Whether a step would survive a crash. What tells the client of it waits until it would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// It would, or need not.
    Durable,
    /// It is on its way to the log.
    OnItsWay,
}

/// A message on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sent {
    seq: Seq,
    stage: Stage,
    /// The client connected anew and has not been sent it since.
    again: bool,
}

/// What is to be sent next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ready<'a> {
    /// A message; `packet_id` is 0 with QoS 0.
    Publish {
        /// The message.
        outgoing: &'a Outgoing,
        /// Its packet identifier.
        packet_id: u16,
        /// It was sent before, and DUP says so; the first time not. [MQTT-4.3.2-2], [MQTT-4.3.3-2]
        again: bool,
    },
    /// PUBREL for this packet identifier.
    Release(u16),
}

/// What became of what was [`Ready`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handled {
    /// It is sent.
    Sent,
    /// It never will be: too large for the client, or expired.
    Dropped,
    /// Not now.
    Later,
}

/// What a PUBREC of the client says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// It has the message: release it.
    Release(Seq),
    /// It said so before: release it again.
    ReleaseAgain(Seq, Durability),
    /// It refuses the message, which is over.
    Refused(Seq),
    /// We know nothing of it.
    Unknown,
}

/// A QoS 2 publish of the client that it has not released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Unreleased {
    packet_id: u16,
    durability: Durability,
}

/// One session's messages in both directions.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    waiting: VecDeque<(Option<Seq>, Outgoing)>,
    waiting_bytes: usize,
    sent: VecDeque<Sent>,
    /// Numbers given to messages that are not durable yet, and the messages' bytes.
    reserved: Vec<(Seq, usize)>,
    /// How many numbers were given.
    last_seq: u64,
    /// Sorted by packet identifier.
    unreleased: Vec<Unreleased>,
}

impl Flow {
    fn has_room(&self, qos: QoS, bytes: usize, limits: FlowLimits) -> bool {
        let share = if qos == QoS::AtMostOnce { 2 } else { 1 };
        let reserved: usize = self.reserved.iter().map(|&(_, bytes)| bytes).sum();
        self.waiting.len() + self.reserved.len() < limits.messages_max / share
            && self.waiting_bytes + reserved + bytes <= limits.bytes_max / share
    }

    fn next_seq(&mut self) -> Seq {
        self.last_seq += 1;
        Seq(self.last_seq)
    }

    /// Keeps room and a number for a QoS 1 or 2 message until it is durable; `None` without room.
    pub(crate) fn reserve(&mut self, outgoing: &Outgoing, limits: FlowLimits) -> Option<Seq> {
        let bytes = outgoing.bytes();
        if !self.has_room(outgoing.qos, bytes, limits) {
            return None;
        }
        let seq = self.next_seq();
        self.reserved.push((seq, bytes));
        Some(seq)
    }

    /// Adds a message that was [`Flow::reserve`]d: it is durable.
    pub(crate) fn confirm(&mut self, seq: Seq, outgoing: Outgoing) {
        if let Some(index) = self.reserved.iter().position(|&(it, _)| it == seq) {
            self.reserved.swap_remove(index);
            self.push(Some(seq), outgoing);
        }
    }

    /// Gives up a message that was [`Flow::reserve`]d.
    pub(crate) fn cancel(&mut self, seq: Seq) {
        self.reserved.retain(|&(it, _)| it != seq);
    }

    /// Adds a message that need not be durable.
    pub(crate) fn post(&mut self, outgoing: Outgoing, limits: FlowLimits) -> Posted {
        if !self.has_room(outgoing.qos, outgoing.bytes(), limits) {
            return Posted::Full;
        }
        let seq = (outgoing.qos != QoS::AtMostOnce).then(|| self.next_seq());
        self.push(seq, outgoing);
        Posted::Queued
    }

    fn push(&mut self, seq: Option<Seq>, outgoing: Outgoing) {
        self.waiting_bytes += outgoing.bytes();
        self.waiting.push_back((seq, outgoing));
    }

    /// The client connected anew: what is on its way is sent again.
    pub(crate) fn resume(&mut self) {
        for sent in &mut self.sent {
            sent.again = true;
        }
    }

    /// Forgets QoS 0 messages: the client is gone. They are sent once or never. [MQTT-4.3.1-1]
    pub(crate) fn suspend(&mut self) {
        self.waiting.retain(|(seq, _)| seq.is_some());
        self.waiting_bytes = self.waiting.iter().map(|(_, outgoing)| outgoing.bytes()).sum();
    }

    /// Offers what is to be sent, oldest first, until `send` says [`Handled::Later`], with at most
    /// `in_flight_max` messages on their way. What is dropped of QoS 1 and 2 goes into `dropped`.
    pub(crate) fn send(
        &mut self,
        in_flight_max: usize,
        now: Timestamp,
        dropped: &mut Vec<Seq>,
        send: &mut impl FnMut(Ready<'_>) -> Handled,
    ) {
        if self.send_again(now, dropped, send) == Handled::Later {
            return;
        }
        while let Some((seq, outgoing)) = self.waiting.front() {
            let seq = *seq;
            if seq.is_some_and(|seq| !self.may_send(seq, in_flight_max)) {
                return;
            }
            let packet_id = seq.map_or(0, Seq::packet_id);
            let handled = if outgoing.message.has_expired(now) {
                Handled::Dropped
            } else {
                send(Ready::Publish { outgoing, packet_id, again: false })
            };
            if handled == Handled::Later {
                return;
            }
            let Some((_, outgoing)) = self.waiting.pop_front() else { return };
            self.waiting_bytes -= outgoing.bytes();
            match (seq, handled) {
                (Some(seq), Handled::Sent) => {
                    let stage = Stage::Published(outgoing);
                    self.sent.push_back(Sent { seq, stage, again: false });
                }
                (Some(seq), _) => dropped.push(seq),
                (None, _) => {}
            }
        }
        if self.waiting.capacity() > 64 {
            self.waiting = VecDeque::new();
        }
    }

    fn may_send(&self, seq: Seq, in_flight_max: usize) -> bool {
        // [MQTT-4.9.0-1], [MQTT-4.9.0-2], [MQTT-3.3.4-9] the client's receive maximum, which holds up
        // nothing but PUBLISH: [MQTT-3.3.4-10], [MQTT-4.9.0-3]; and no identifier twice at a time
        self.sent.len() < in_flight_max
            && !self.sent.iter().any(|it| it.seq.packet_id() == seq.packet_id())
    }

    /// Sends again what was on its way when the client connected anew, in the first order, expired or
    /// not; but for letters: whoever posted one that has expired has given it up. [MQTT-4.4.0-1], [MQTT-4.6.0-1], [MQTT-4.3.3-7], [MQTT-4.3.3-13]
    fn send_again(
        &mut self,
        now: Timestamp,
        dropped: &mut Vec<Seq>,
        send: &mut impl FnMut(Ready<'_>) -> Handled,
    ) -> Handled {
        let mut index = 0;
        while let Some(sent) = self.sent.get_mut(index) {
            if sent.again {
                let packet_id = sent.seq.packet_id();
                let handled = match &sent.stage {
                    Stage::Published(outgoing)
                        if outgoing.message.letter().is_some()
                            && outgoing.message.has_expired(now) =>
                    {
                        Handled::Dropped
                    }
                    Stage::Published(outgoing) => {
                        send(Ready::Publish { outgoing, packet_id, again: true })
                    }
                    Stage::Released(Durability::Durable) => send(Ready::Release(packet_id)),
                    // Released again when it would survive a crash.
                    Stage::Released(Durability::OnItsWay) => {
                        index += 1;
                        continue;
                    }
                };
                match handled {
                    Handled::Later => return Handled::Later,
                    Handled::Sent => sent.again = false,
                    Handled::Dropped => {
                        dropped.push(sent.seq);
                        self.sent.remove(index);
                        continue;
                    }
                }
            }
            index += 1;
        }
        Handled::Sent
    }

    fn find(&self, packet_id: u16) -> Option<usize> {
        self.sent.iter().position(|sent| sent.seq.packet_id() == packet_id)
    }

    /// PUBACK came: gives the number of the message that is over, if there was one.
    pub(crate) fn acknowledged(&mut self, packet_id: u16) -> Option<Seq> {
        let index = self.find(packet_id)?;
        match &self.sent[index].stage {
            Stage::Published(outgoing) if outgoing.qos == QoS::AtLeastOnce => {
                self.sent.remove(index).map(|sent| sent.seq)
            }
            _ => None,
        }
    }

    /// PUBREC came, and the client took the message or not.
    pub(crate) fn received(&mut self, packet_id: u16, taken: Taken) -> Received {
        let Some(index) = self.find(packet_id) else { return Received::Unknown };
        let sent = &mut self.sent[index];
        match (&sent.stage, taken) {
            (Stage::Published(outgoing), _) if outgoing.qos != QoS::ExactlyOnce => {
                Received::Unknown
            }
            (Stage::Published(_), Taken::Yes) => {
                sent.stage = Stage::Released(Durability::OnItsWay);
                Received::Release(sent.seq)
            }
            (Stage::Released(durability), Taken::Yes) => {
                Received::ReleaseAgain(sent.seq, *durability)
            }
            (_, Taken::No) => {
                let seq = sent.seq;
                self.sent.remove(index);
                Received::Refused(seq)
            }
        }
    }

    /// PUBCOMP came: gives the number of the message that is over, if there was one.
    pub(crate) fn completed(&mut self, packet_id: u16) -> Option<Seq> {
        let index = self.find(packet_id)?;
        if !matches!(self.sent[index].stage, Stage::Released(_)) {
            return None;
        }
        self.sent.remove(index).map(|sent| sent.seq)
    }

    /// A message is over, however it ended.
    pub(crate) fn forget(&mut self, seq: Seq) {
        self.sent.retain(|sent| sent.seq != seq);
        self.waiting.retain(|(it, _)| *it != Some(seq));
        self.waiting_bytes = self.waiting.iter().map(|(_, outgoing)| outgoing.bytes()).sum();
        self.cancel(seq);
    }

    /// That the client has a message is durable, or need not be: it is to be released.
    pub(crate) fn release(&mut self, seq: Seq) {
        let stage = Stage::Released(Durability::Durable);
        if let Some(sent) = self.sent.iter_mut().find(|sent| sent.seq == seq) {
            sent.stage = stage;
        } else if let Some(index) = self.waiting.iter().position(|(it, _)| *it == Some(seq)) {
            // Read from the log, which does not have that a message was sent.
            if let Some((_, outgoing)) = self.waiting.remove(index) {
                self.waiting_bytes -= outgoing.bytes();
            }
            self.sent.push_back(Sent { seq, stage, again: true });
        }
    }

    /// Puts back, as read from the log, what may not be there yet.
    pub(crate) fn replay(&mut self, seq: Seq, outgoing: Outgoing) {
        // Messages become durable in another order than they get their numbers.
        while self.last_seq < seq.0 {
            let seq = self.next_seq();
            self.reserved.push((seq, 0));
        }
        self.confirm(seq, outgoing);
    }

    /// Nothing that was reserved can be confirmed any more; and all that was on its way, as far as it
    /// is known, was or was not sent: it is sent again.
    pub(crate) fn recovered(&mut self) {
        self.reserved.clear();
        self.resume();
    }

    /// Takes the client's QoS 2 publish; whether it is new. [MQTT-4.3.3-10]
    pub(crate) fn take(&mut self, packet_id: u16) -> Fresh {
        match self.unreleased.binary_search_by_key(&packet_id, |it| it.packet_id) {
            Ok(index) => Fresh::Repeated(self.unreleased[index].durability),
            Err(index) => {
                let durability = Durability::OnItsWay;
                self.unreleased.insert(index, Unreleased { packet_id, durability });
                Fresh::New
            }
        }
    }

    /// The client's QoS 2 publish is durable, or need not be.
    pub(crate) fn taken_durably(&mut self, packet_id: u16) {
        if let Ok(index) = self.unreleased.binary_search_by_key(&packet_id, |it| it.packet_id) {
            self.unreleased[index].durability = Durability::Durable;
        }
    }

    /// The client released its QoS 2 publish, or it was refused; whether there was one. Its identifier
    /// is a new one then. [MQTT-4.3.3-12]
    pub(crate) fn give(&mut self, packet_id: u16) -> Given {
        match self.unreleased.binary_search_by_key(&packet_id, |it| it.packet_id) {
            Ok(index) => {
                self.unreleased.remove(index);
                Given::Known
            }
            Err(_) => Given::Unknown,
        }
    }

    /// How many QoS 2 publishes the client has not released.
    pub(crate) fn n_unreleased(&self) -> usize {
        self.unreleased.len()
    }

    /// How many messages wait or are on their way.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len() + self.sent.len()
    }

    /// What waits, as messages and bytes.
    pub(crate) fn load(&self) -> (usize, usize) {
        (self.waiting.len(), self.waiting_bytes)
    }

    /// What the client of a shared subscription has not acknowledged and another may have: QoS 1, and
    /// QoS 2 that was never sent. What it refused is not among them. [MQTT-4.8.2-4], [MQTT-4.8.2-5],
    /// [MQTT-4.8.2-6]
    pub(crate) fn into_shared(self) -> Vec<Outgoing> {
        let sent = self.sent.into_iter().filter_map(|sent| match sent.stage {
            Stage::Published(outgoing) if outgoing.qos == QoS::AtLeastOnce => Some(outgoing),
            _ => None,
        });
        let waiting = self.waiting.into_iter().map(|(_, outgoing)| outgoing);
        sent.chain(waiting).filter(|outgoing| outgoing.share.is_some()).collect()
    }
}

/// Whether a QoS 2 publish is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fresh {
    /// It is.
    New,
    /// It came before and was not released.
    Repeated(Durability),
}

/// Whether a packet identifier was known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Given {
    /// It was.
    Known,
    /// It was not.
    Unknown,
}
