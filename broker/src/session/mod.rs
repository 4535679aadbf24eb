//! One client's side of the protocol, without I/O, async or a clock: bytes and instants go in;
//! bytes to send, telemetry for the log and the reason to close come out.

pub(crate) mod acks;
mod aliases;
pub(crate) mod exchange;
mod packets;
mod publishes;
#[cfg(test)]
mod tests;

use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bellwire_model::{ClientId, Outcome, PublishBatch, QoS, Timestamp};

use crate::close::{Close, CloseKind};
use crate::codec::connect::{Connect, Reasons, Refusal, Refused, Will};
use crate::codec::encode::{Ack, SessionPresent};
use crate::codec::{Parsed, Version, encode, frame, packet_type};
use crate::config::Limits;
use crate::flow::{Handled, Ready};
use crate::message::{Outgoing, Wrapping};
use acks::{Owed, Released, Ticket};
use aliases::{InboundAliases, OutboundAliases};
use exchange::Exchange;

/// Bytes that may wait for the socket before we stop reading and taking messages.
const OUT_BYTES_MAX: usize = 64 * 1024;
/// Buffers that have grown beyond this are given back once they are empty.
const KEEP_BYTES_MAX: usize = 4 * 1024;

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing but CONNECT may come.
    AwaitingConnect,
    /// CONNECT came; [`Session::accept`] is awaited.
    Deciding,
    /// The client is connected.
    Connected,
}

/// What [`Session::receive`] came upon that needs its caller.
#[derive(Debug)]
pub(crate) enum Event {
    /// A valid CONNECT: nothing behind it is read before [`Session::accept`].
    Connect(Box<Connect>),
    /// The connection must end.
    Close(Close),
}

/// What one call of [`Session::receive`] brought for the log.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// The telemetry in arrival order; may be none.
    pub(crate) publishes: PublishBatch,
    /// The answers that wait for its receipt; `None` if there are none.
    pub(crate) ticket: Option<Ticket>,
    /// How many of the publishes are QoS 0.
    pub(crate) n_at_most_once: usize,
}

/// What the deadline says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deadline {
    /// Nothing is overdue; ask again at this instant, or never.
    Next(Option<Instant>),
    /// The client is overdue.
    Missed(CloseKind),
}

/// How many publishes came since it was last taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// For the log.
    pub(crate) n_telemetry: u64,
    /// For subscribers only.
    pub(crate) n_other: u64,
    /// Those of the latter whose acknowledgement is already written.
    pub(crate) n_acknowledged: u64,
    /// On topics that the client may not publish to.
    pub(crate) n_refused: u64,
}

/// One client's side of the protocol.
#[derive(Debug)]
pub(crate) struct Session {
    limits: Arc<Limits>,
    phase: Phase,
    version: Version,
    /// When the connection was opened, or the last packet came.
    last_heard: Instant,
    /// One and a half times the keepalive; `None` if there is none.
    silence_max: Option<Duration>,
    session_expiry_s: u32,
    client_packet_bytes_max: usize,
    /// How many QoS 1 and 2 messages the client takes unacknowledged.
    in_flight_max: usize,
    reasons: Reasons,
    will: Option<Will>,
    /// The beginning of a packet whose end has not come yet.
    partial: Vec<u8>,
    out: Vec<u8>,
    /// How much of `out` is sent.
    sent_bytes: usize,
    owed: Owed,
    aliases_in: InboundAliases,
    aliases_out: OutboundAliases,
    batch: PublishBatch,
    batch_at_most_once: usize,
    /// What a new batch reserves: it holds no more than what came in.
    batch_bytes_hint: usize,
    /// The topic of the last publish, checked, and whether it is telemetry: mostly the next is
    /// published there too.
    pub(crate) last_topic: String,
    last_claimed: bool,
    /// As of which version of what is claimed.
    last_version: u64,
    last_allowed: bool,
    tally: Tally,
}

impl Session {
    /// A connection opened at `now`.
    pub(crate) fn new(limits: Arc<Limits>, now: Instant) -> Self {
        Self {
            in_flight_max: usize::from(limits.inflight_messages_max),
            aliases_in: InboundAliases::new(limits.topic_aliases_max),
            aliases_out: OutboundAliases::default(),
            reasons: Reasons::Everywhere,
            limits,
            phase: Phase::AwaitingConnect,
            version: Version::V3,
            last_heard: now,
            silence_max: None,
            session_expiry_s: 0,
            client_packet_bytes_max: usize::MAX,
            will: None,
            partial: Vec::new(),
            out: Vec::new(),
            sent_bytes: 0,
            owed: Owed::default(),
            batch: PublishBatch::default(),
            batch_at_most_once: 0,
            batch_bytes_hint: 0,
            last_topic: String::new(),
            last_claimed: false,
            last_version: 0,
            last_allowed: false,
            tally: Tally::default(),
        }
    }

    /// Reads what came from the client at `now`.
    ///
    /// Returns how many bytes were read and, unless that is all, why it stopped. After
    /// [`Event::Connect`] the rest is to be given again once the client is accepted; after
    /// [`Event::Close`] never. Telemetry is to be fetched with [`Session::take_batch`] in any case.
    pub(crate) fn receive(
        &mut self,
        input: &[u8],
        now: Instant,
        exchange: &mut impl Exchange,
    ) -> (usize, Option<Event>) {
        self.batch_bytes_hint = self.partial.len() + input.len();
        let mut rest = input;
        let event = loop {
            if rest.is_empty() || self.phase == Phase::Deciding {
                break None;
            }
            match self.next_packet(&mut rest, now, exchange) {
                Ok(None) => {}
                Ok(event) => break event,
                Err(close) => break Some(Event::Close(close)),
            }
        };
        (input.len() - rest.len(), event)
    }

    /// Reads one packet off the front of `rest`, or keeps its beginning.
    fn next_packet(
        &mut self,
        rest: &mut &[u8],
        now: Instant,
        exchange: &mut impl Exchange,
    ) -> Parsed<Option<Event>> {
        let packet_bytes_max = match self.phase {
            Phase::Connected => self.limits.packet_bytes_max,
            _ => self.check_stranger(rest)?,
        };
        if self.partial.is_empty() {
            let Some((frame, bytes)) = frame::split(rest, packet_bytes_max)? else {
                self.partial.extend_from_slice(rest);
                *rest = &[];
                return Ok(None);
            };
            *rest = &rest[bytes..];
            self.last_heard = now;
            return self.packet(frame, exchange);
        }
        if !frame::complete(&mut self.partial, rest, packet_bytes_max)? {
            return Ok(None);
        }
        let packet = mem::take(&mut self.partial);
        self.last_heard = now;
        let event = match frame::split(&packet, packet_bytes_max)? {
            Some((frame, _)) => self.packet(frame, exchange),
            None => Ok(None),
        };
        self.partial = emptied(packet);
        event
    }

    /// Refuses a stranger by the first byte, before anything is kept; gives the size of CONNECT.
    fn check_stranger(&self, rest: &[u8]) -> Parsed<usize> {
        let first = self.partial.first().or(rest.first());
        if first.is_some_and(|&first| first != packet_type::CONNECT << 4) {
            // [MQTT-3.1.0-1]
            return Err(Close { kind: CloseKind::ConnectRefused, detail: "no CONNECT came first" });
        }
        Ok(self.limits.connect_bytes_max)
    }

    // [MQTT-3.2.0-1], [MQTT-3.2.0-2]: this is the first that is written, and once.
    /// Lets the client in as `client`, whose CONNECT was `connect`; its session, which `present` says
    /// was there before or not, lives `expiry_s` seconds longer than the connection.
    pub(crate) fn accept(
        &mut self,
        connect: Connect,
        client: &ClientId,
        present: SessionPresent,
        expiry_s: u32,
    ) {
        self.phase = Phase::Connected;
        self.version = connect.version;
        let keep_alive_s = self.keep_alive_s(&connect);
        // [MQTT-3.1.2-22] one and a half times; 0 turns it off
        self.silence_max =
            (keep_alive_s != 0).then(|| Duration::from_millis(u64::from(keep_alive_s) * 1500));
        self.session_expiry_s = connect.session_expiry_s;
        self.client_packet_bytes_max = connect.packet_bytes_max;
        self.in_flight_max =
            usize::from(self.limits.inflight_messages_max.min(connect.receive_maximum));
        self.reasons = connect.reasons;
        let aliases = connect.topic_alias_max.min(self.limits.topic_aliases_max);
        self.aliases_out = OutboundAliases::new(aliases);
        self.will = connect.will;
        let terms = encode::Terms {
            session: present,
            assigned: connect.client_id.is_none().then(|| client.as_str()),
            receive_maximum: self.limits.unacknowledged_publishes_max,
            packet_bytes_max: self.limits.packet_bytes_max,
            topic_alias_max: self.limits.topic_aliases_max,
            keep_alive_s: (keep_alive_s != connect.keep_alive_s).then_some(keep_alive_s),
            session_expiry_s: (expiry_s != connect.session_expiry_s).then_some(expiry_s),
        };
        encode::accepted(self.version, terms, &mut self.out);
    }

    /// The keepalive that applies. [MQTT-3.2.2-22]
    fn keep_alive_s(&self, connect: &Connect) -> u16 {
        match (connect.version, self.limits.keep_alive_max_s, connect.keep_alive_s) {
            (Version::V3, ..) | (_, 0, _) => connect.keep_alive_s,
            (_, max, 0) => max,
            (_, max, asked) => asked.min(max),
        }
    }

    /// Tells the client, whose CONNECT was `connect`, why it is not let in.
    pub(crate) fn refuse(&mut self, version: Version, refusal: Refusal) -> Close {
        let refused = Refused { version, refusal };
        encode::refused(refused, self.client_packet_bytes_max, &mut self.out);
        Close { kind: CloseKind::ConnectRefused, detail: refusal.detail() }
    }

    /// What was read for the log since the last call, if anything was.
    pub(crate) fn take_batch(&mut self) -> Option<Batch> {
        if self.batch.is_empty() && !self.owed.is_open() {
            return None;
        }
        Some(Batch {
            publishes: mem::take(&mut self.batch),
            ticket: self.owed.seal(),
            n_at_most_once: mem::take(&mut self.batch_at_most_once),
        })
    }

    /// Notes how the batch of `ticket` ended; [`Session::release`] acts on it.
    pub(crate) fn settle(&mut self, ticket: Ticket, outcome: Outcome) {
        self.owed.settle(ticket, outcome);
    }

    /// Writes to the output every answer whose turn has come.
    pub(crate) fn release(&mut self) -> Released {
        self.owed.release(self.version, &mut self.out)
    }

    /// Whether every SUBACK is written: retained messages come after it.
    pub(crate) fn has_replied(&self) -> bool {
        self.owed.has_no_packets()
    }

    /// How many QoS 1 and 2 messages may be on their way to the client.
    pub(crate) const fn in_flight_max(&self) -> usize {
        self.in_flight_max
    }

    /// Writes what is ready for the client to the output.
    pub(crate) fn deliver(&mut self, ready: Ready<'_>, now: Timestamp) -> Handled {
        if self.phase != Phase::Connected || self.output().len() >= OUT_BYTES_MAX {
            return Handled::Later;
        }
        match ready {
            Ready::Release(packet_id) => {
                encode::ack(Ack::Pubrel, packet_id, &mut self.out);
                Handled::Sent
            }
            Ready::Publish { outgoing, packet_id, again } => {
                let dup = again && outgoing.qos != QoS::AtMostOnce; // [MQTT-3.3.1-1]
                let wrapping = Wrapping { packet_id, dup, ..Wrapping::default() };
                self.deliver_message(outgoing, wrapping, now)
            }
        }
    }

    fn deliver_message(
        &mut self,
        outgoing: &Outgoing,
        wrapping: Wrapping,
        now: Timestamp,
    ) -> Handled {
        let topic = outgoing.message.topic();
        let alias = self.aliases_out.of(topic);
        let wrapping = Wrapping { alias: alias.number, alias_only: alias.is_known, ..wrapping };
        let outbound = outgoing.outbound(wrapping, now);
        // [MQTT-3.1.2-24], [MQTT-3.1.2-25] as if it had been sent
        if outbound.packet_bytes(self.version) > self.client_packet_bytes_max {
            return Handled::Dropped;
        }
        outbound.encode(self.version, &mut self.out);
        self.aliases_out.sent(topic, alias);
        Handled::Sent
    }

    /// What is to be sent.
    pub(crate) fn output(&self) -> &[u8] {
        &self.out[self.sent_bytes..]
    }

    /// Notes that the first `bytes` of the output are sent.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.sent_bytes += bytes;
        if self.sent_bytes >= self.out.len() {
            self.out = emptied(mem::take(&mut self.out));
            self.sent_bytes = 0;
        }
    }

    /// Whether more may be read: neither too much is unacknowledged nor unsent.
    pub(crate) fn may_receive(&self) -> bool {
        !self.is_at_bound() && self.output().len() < OUT_BYTES_MAX
    }

    /// Whether we read nothing because receipts are outstanding: not the client's fault.
    pub(crate) fn is_at_bound(&self) -> bool {
        // Of a client that knows its bound no publish can come; its other packets must be read.
        let publishes_max = usize::from(self.limits.unacknowledged_publishes_max);
        (self.version == Version::V3 && self.owed.len() >= publishes_max)
            || self.owed.bytes() >= self.limits.unacknowledged_bytes_max
    }

    /// Whether no acknowledgement is owed.
    pub(crate) fn owes_nothing(&self) -> bool {
        self.owed.is_empty()
    }

    /// Counts the client as heard at `now`, because until now we did not listen.
    pub(crate) fn forgive(&mut self, now: Instant) {
        self.last_heard = now;
    }

    /// What is due at `now`: the CONNECT, or a sign of life. While we owe an acknowledgement the
    /// client may well wait for it: its silence is ours.
    pub(crate) fn deadline(&mut self, now: Instant) -> Deadline {
        if !self.owes_nothing() {
            self.last_heard = now;
        }
        let (patience, kind) = match self.phase {
            Phase::Connected => (self.silence_max, CloseKind::KeepaliveExpired),
            _ => (Some(self.limits.connect_timeout), CloseKind::ConnectTimeout),
        };
        let due = patience.and_then(|patience| self.last_heard.checked_add(patience));
        match due {
            Some(due) if due <= now => Deadline::Missed(kind),
            due => Deadline::Next(due),
        }
    }

    /// Writes to the output what the client shall hear about its end: only once it is let in,
    /// [MQTT-3.14.0-1].
    pub(crate) fn close(&mut self, close: Close) {
        if self.phase == Phase::Connected
            && self.version == Version::V5
            && let Some(code) = close.kind.reason_code()
        {
            encode::disconnect(code, close.detail, self.client_packet_bytes_max, &mut self.out);
        }
    }

    /// The will, if the client has one; then it has none. [MQTT-3.1.2-7], [MQTT-3.1.2-10]
    pub(crate) fn take_will(&mut self) -> Option<Will> {
        self.will.take()
    }

    /// How many publishes came since the last call.
    pub(crate) fn take_tally(&mut self) -> Tally {
        mem::take(&mut self.tally)
    }
}

/// `buffer` without content, or a new one if it has grown large.
fn emptied(mut buffer: Vec<u8>) -> Vec<u8> {
    if buffer.capacity() > KEEP_BYTES_MAX {
        return Vec::new();
    }
    buffer.clear();
    buffer
}
