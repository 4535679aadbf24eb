//! A client's session as others see it: where messages for it are left, whether it is connected, and
//! what it subscribes to. It outlives the connection if the client asks for that.
//!
//! Queue *outbox*: one per session, `outbox_messages_max` and `outbox_bytes_max`. QoS 0 may take half
//! of each and is dropped and counted beyond. QoS 1 and 2 beyond are dropped and counted where the
//! session outlives its connection, and close the connection where it does not.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bellwire_model::{ClientId, DeviceId, QoS, Timestamp};

use crate::close::CloseKind;
use crate::flow::{Flow, FlowLimits, Handled, Posted as Room, Ready, Seq};
use crate::letters::Posted;
use crate::mailbox::Mailbox;
use crate::message::Outgoing;
use crate::session::exchange::SubscribeOptions;
use crate::share::Filter;

/// How long a session outlives its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lifetime {
    /// Not at all: nothing of it is written down.
    Connection,
    /// This many seconds; `u32::MAX` is for ever.
    Seconds(u32),
}

impl Lifetime {
    /// As MQTT 5 writes it.
    pub(crate) const fn from_expiry(expiry_s: u32) -> Self {
        if expiry_s == 0 { Self::Connection } else { Self::Seconds(expiry_s) }
    }

    /// The session expiry interval.
    pub(crate) const fn expiry_s(self) -> u32 {
        match self {
            Self::Connection => 0,
            Self::Seconds(seconds) => seconds,
        }
    }
}

/// The retained messages of a subscription that are still to be left: a few at a time, as the client
/// reads.
#[derive(Clone, Debug)]
pub(crate) struct Replay {
    /// The subscription.
    pub(crate) filter: Filter,
    /// How it wants its messages.
    pub(crate) options: SubscribeOptions,
    /// Those up to this topic are left.
    pub(crate) after: Option<Box<str>>,
}

/// What is known of a session beside its messages.
#[derive(Debug)]
pub(crate) struct State {
    /// The messages.
    pub(crate) flow: Flow,
    /// What it subscribes to.
    pub(crate) filters: Vec<(Filter, SubscribeOptions)>,
    /// Retained messages that are still to be left, by subscription.
    pub(crate) replays: VecDeque<Replay>,
    /// How long it outlives its connection.
    pub(crate) lifetime: Lifetime,
    /// Since when the client is away.
    pub(crate) left_at: Option<Timestamp>,
    /// The connection it is on.
    attached: Option<Arc<Mailbox>>,
    /// It is over.
    ended: bool,
}

/// A session: it stays while its connection does, and as long after that as it lives. [MQTT-4.1.0-1],
/// [MQTT3-4.1.0-1], [MQTT3-4.1.0-2]
#[derive(Debug)]
pub(crate) struct Outbox {
    /// Which; never used twice, also over restarts.
    pub(crate) number: u64,
    /// Whose.
    pub(crate) client: ClientId,
    limits: FlowLimits,
    state: Mutex<State>,
}

/// What became of a message that was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// It waits for the client.
    Queued,
    /// It found no room and is dropped.
    Dropped,
    /// It found no room; the connection will close.
    Overflowed,
    /// The session is over, or its client is away and the message is of QoS 0.
    NotThere,
}

/// How a QoS 1 or 2 message is to be left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reserved {
    /// At once, by [`Outbox::post`].
    NotNeeded,
    /// When it is durable, under this number.
    Number(Seq),
    /// Not at all: there is no room.
    Full,
}

impl Outbox {
    /// A new session, which is on no connection.
    pub(crate) fn new(
        number: u64,
        client: ClientId,
        limits: FlowLimits,
        lifetime: Lifetime,
        flow: Flow,
    ) -> Self {
        let state = State {
            flow,
            filters: Vec::new(),
            replays: VecDeque::new(),
            lifetime,
            left_at: None,
            attached: None,
            ended: false,
        };
        Self { number, client, limits, state: Mutex::new(state) }
    }

    /// Looks at or changes it. Nothing else may be locked inside.
    pub(crate) fn with<R>(&self, look: impl FnOnce(&mut State) -> R) -> R {
        look(&mut self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it outlives its connection.
    pub(crate) fn is_kept(&self) -> bool {
        self.lock().lifetime != Lifetime::Connection
    }

    /// Puts it on a connection; the one before, if it is on one, is told that it is taken over.
    /// [MQTT-3.1.4-3]
    pub(crate) fn attach(&self, mailbox: &Arc<Mailbox>) {
        let mut state = self.lock();
        state.left_at = None;
        state.flow.resume();
        let old = state.attached.replace(Arc::clone(mailbox));
        drop(state);
        if let Some(old) = old {
            old.close(CloseKind::TakenOver);
        }
    }

    /// Takes it off a connection, if it is still there; QoS 0 messages go.
    pub(crate) fn detach(&self, mailbox: &Mailbox, now: Timestamp) -> Detached {
        let mut state = self.lock();
        if state.ended || !state.is_on(mailbox) {
            return Detached::NotThere;
        }
        state.attached = None;
        state.left_at = Some(now);
        state.flow.suspend();
        Detached::Away(state.lifetime)
    }

    /// Ends it: gives what it subscribes to, and its messages.
    pub(crate) fn end(&self) -> (Vec<(Filter, SubscribeOptions)>, Flow) {
        let mut state = self.lock();
        state.ended = true;
        let attached = state.attached.take();
        let (filters, flow) = (std::mem::take(&mut state.filters), std::mem::take(&mut state.flow));
        drop(state);
        if let Some(mailbox) = attached {
            mailbox.close(CloseKind::TakenOver);
        }
        (filters, flow)
    }

    /// Whether its client is connected, and how many messages it has: a shared subscription prefers
    /// who can read.
    pub(crate) fn readiness(&self) -> (bool, usize) {
        let state = self.lock();
        (state.attached.is_some(), state.flow.len())
    }

    /// Leaves a message that need not be durable.
    pub(crate) fn post(&self, outgoing: Outgoing) -> Left {
        let qos = outgoing.qos;
        let mut state = self.lock();
        if state.ended || (qos == QoS::AtMostOnce && state.attached.is_none()) {
            return Left::NotThere;
        }
        let posted = state.flow.post(outgoing, self.limits);
        let mailbox = state.attached.clone();
        drop(state);
        let Some(mailbox) = mailbox else {
            return if posted == Room::Queued { Left::Queued } else { Left::Dropped };
        };
        match (posted, qos) {
            (Room::Queued, _) => {
                mailbox.wake();
                Left::Queued
            }
            (Room::Full, QoS::AtMostOnce) => Left::Dropped,
            (Room::Full, _) => {
                mailbox.close(CloseKind::SlowReader);
                Left::Overflowed
            }
        }
    }

    /// Leaves a letter to `device`, if the client is there and speaks for it. One that is on its way
    /// already is not left again.
    pub(crate) fn post_letter(&self, id: u128, device: &DeviceId, outgoing: Outgoing) -> Posted {
        let mut state = self.lock();
        let Some(mailbox) = state.attached.clone().filter(|_| !state.ended) else {
            return Posted::NobodyThere;
        };
        if !mailbox.grant.get().is_some_and(|grant| grant.speaks_for(device)) {
            return Posted::NobodyThere;
        }
        if state.flow.has_letter(id) {
            return Posted::OnItsWay;
        }
        let posted = state.flow.post(outgoing, self.limits);
        drop(state);
        match posted {
            Room::Full => Posted::NoRoom,
            Room::Queued => {
                mailbox.wake();
                Posted::OnItsWay
            }
        }
    }

    /// Keeps room for a QoS 1 or 2 message, if it must be durable before it is sent.
    pub(crate) fn reserve(&self, outgoing: &Outgoing) -> Reserved {
        let mut state = self.lock();
        if state.lifetime == Lifetime::Connection || state.ended {
            return Reserved::NotNeeded;
        }
        state.flow.reserve(outgoing, self.limits).map_or(Reserved::Full, Reserved::Number)
    }

    /// Leaves a message for which room was kept: it is durable.
    pub(crate) fn confirm(&self, seq: Seq, outgoing: Outgoing) {
        let mut state = self.lock();
        state.flow.confirm(seq, outgoing);
        let mailbox = state.attached.clone();
        drop(state);
        if let Some(mailbox) = mailbox {
            mailbox.wake();
        }
    }

    /// A QoS 2 message is to be released: that its client has it is durable.
    pub(crate) fn release(&self, seq: Seq) {
        let mut state = self.lock();
        state.flow.release(seq);
        let mailbox = state.attached.clone();
        drop(state);
        if let Some(mailbox) = mailbox {
            mailbox.wake();
        }
    }

    /// Offers the connection of `mailbox` what is to be sent, as [`Flow::send`]; nothing if the session
    /// is no longer there.
    pub(crate) fn send(
        &self,
        mailbox: &Mailbox,
        in_flight_max: usize,
        now: Timestamp,
        send: &mut impl FnMut(Ready<'_>) -> Handled,
    ) -> Vec<Seq> {
        let mut dropped = Vec::new();
        let mut state = self.lock();
        if state.is_on(mailbox) {
            state.flow.send(in_flight_max, now, &mut dropped, send);
        }
        dropped
    }
}

impl State {
    /// Whether it is on the connection of `mailbox`.
    pub(crate) fn is_on(&self, mailbox: &Mailbox) -> bool {
        self.attached.as_ref().is_some_and(|it| it.id == mailbox.id)
    }

    /// Whether its client has been away for too long at `now`.
    pub(crate) fn has_expired(&self, now: Timestamp) -> bool {
        match (self.left_at, self.lifetime) {
            (None, _) | (_, Lifetime::Seconds(u32::MAX)) => false,
            (Some(left_at), lifetime) => {
                left_at + Duration::from_secs(lifetime.expiry_s().into()) <= now
            }
        }
    }
}

/// What became of a session whose connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detached {
    /// It was elsewhere already, or over.
    NotThere,
    /// Its client is away.
    Away(Lifetime),
}
