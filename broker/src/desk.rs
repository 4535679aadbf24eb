//! A connection's place in the broker: what its session may ask for, what of that must be durable,
//! and what must be undone when it ends.

use std::cell::Cell;
use std::mem;
use std::sync::{Arc, Mutex};

use bellwire_model::{ClientId, Clock, DeviceId, Timestamp, TopicFilter};

use tracing::info;

use crate::access::{Gatekeeper, Grant, Principal, Subscribing};
use crate::codec::connect::{Connect, Will};
use crate::codec::control::{SendRetained, Taken};
use crate::codec::encode::SessionPresent;
use crate::config::Limits;
use crate::flow::{Durability, Fresh, Given, Handled, Ready, Received, Seq};
use crate::hub::{Hub, Opening, Parting};
use crate::listener::Inlet;
use crate::mailbox::Mailbox;
use crate::message::Routed;
use crate::metrics::Metrics;
use crate::ops::{Effects, Op};
use crate::outbox::{Lifetime, Outbox};
use crate::refusals::Refusals;
use crate::retained::RetainFull;
use crate::session::exchange::{Exchange, SubscribeOptions, TooMany, Unsubscribed};
use crate::share::Filter;

/// What all connections of a broker share.
#[derive(Debug)]
pub(crate) struct Shared<I> {
    pub(crate) inlet: Arc<I>,
    pub(crate) gatekeeper: Arc<dyn Gatekeeper>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) metrics: Metrics,
    pub(crate) clock: Arc<dyn Clock>,
    /// When the broker started, to tell the names it assigns from those of an earlier start.
    pub(crate) started_at: Timestamp,
    /// How many connections had to be closed lately, and where they came from.
    pub(crate) closings: Mutex<Refusals>,
}

/// Whether a client whose credentials were good may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entered {
    /// It may.
    Welcome,
    /// They are not good any more.
    TakenBack,
}

/// A connection's place in the broker; dropping it gives it up.
#[derive(Debug)]
pub(crate) struct Desk<I> {
    pub(crate) shared: Arc<Shared<I>>,
    pub(crate) mailbox: Arc<Mailbox>,
    /// What the client may do, once it is admitted.
    pub(crate) grant: Option<Grant>,
    /// Its session, once it is admitted.
    outbox: Option<Arc<Outbox>>,
    effects: Effects,
    /// One refused subscription of a connection is logged, not each.
    has_said_denied: Cell<bool>,
    has_left: bool,
    /// The device that is connected here.
    device: Option<DeviceId>,
}

impl<I> Desk<I> {
    /// Takes a place for a new connection.
    pub(crate) fn open(shared: Arc<Shared<I>>) -> Self {
        shared.metrics.connections_opened.inc();
        shared.metrics.connections.inc();
        let mailbox = shared.hub.join();
        let effects = Effects::default();
        Self {
            shared,
            mailbox,
            grant: None,
            outbox: None,
            effects,
            has_said_denied: Cell::new(false),
            has_left: false,
            device: None,
        }
    }

    /// A client identifier for a client that brings none. [MQTT-3.1.3-6], [MQTT-3.1.3-7]
    pub(crate) fn assign(&self) -> ClientId {
        let text = format!("auto-{:x}-{}", self.shared.started_at.as_micros(), self.mailbox.id);
        ClientId::new(&text).expect("letters, digits and hyphens are a valid name")
    }

    /// The client has shown who it is. From now on it can be found by that, and it is looked once more
    /// whether its grant was taken back meanwhile.
    pub(crate) fn enter(&mut self, grant: Grant) -> Entered {
        // A session lets CONNECT through once.
        let _first = self.mailbox.grant.set(grant.clone());
        let entered = if grant.is_taken_back() { Entered::TakenBack } else { Entered::Welcome };
        self.grant = Some(grant);
        entered
    }

    /// Ends what the session was subscribed to and the client may not read any more.
    fn drop_denied(&mut self, outbox: &Outbox) {
        let Some(grant) = &self.grant else { return };
        let filters = outbox.with(|state| {
            let all = state.filters.iter().map(|(filter, _)| filter);
            all.filter(|it| !grant.may_subscribe(it.topics())).cloned().collect::<Vec<_>>()
        });
        for filter in filters {
            self.shared.hub.unsubscribe(outbox, filter.as_str(), &mut self.effects);
        }
    }

    /// Takes the client's session, which lives `expiry_s` seconds longer than the connection; says
    /// whether it was there before, and what is to be published of the one that it takes the place of.
    pub(crate) fn begin(
        &mut self,
        connect: &Connect,
        client: &ClientId,
        expiry_s: u32,
    ) -> Option<(SessionPresent, Option<Parting>)> {
        // A session lets CONNECT through once.
        let _first = self.mailbox.client.set(client.clone());
        let lifetime = Lifetime::from_expiry(expiry_s);
        // Each principal has sessions of its own: nobody takes over another's.
        let name = self.grant.as_ref()?.principal().session_of(client)?;
        let opening = Opening { client: &name, start: connect.start, lifetime };
        let (outbox, present, parting) =
            self.shared.hub.begin(&self.mailbox, opening, &mut self.effects).ok()?;
        if present == SessionPresent::Yes {
            self.drop_denied(&outbox);
            self.came();
        }
        self.outbox = Some(outbox);
        Some((present, parting))
    }

    /// Letters for whom the client speaks may be posted now.
    fn came(&self) {
        if let Some(grant) = &self.grant {
            self.shared.hub.letters.came(grant);
        }
    }

    /// The client is a device: from now on that is online.
    pub(crate) fn announce(&mut self) {
        if let Some(Principal::Device(device)) = self.grant.as_ref().map(Grant::principal) {
            self.shared.hub.presences.enter(device);
            self.device = Some(device.clone());
        }
    }

    /// Tells that the device is gone, if there was one and this was the last connection of it.
    pub(crate) fn renounce(&mut self) {
        if let Some(device) = self.device.take() {
            self.shared.hub.presences.leave(&device);
        }
    }

    /// Leaves some more retained messages for the client, if it is to get any.
    pub(crate) fn refill(&mut self) {
        if let Some(outbox) = &self.outbox {
            self.shared.hub.refill(outbox, self.shared.clock.now(), &mut self.effects);
        }
    }

    /// Offers what is to be sent to the client.
    pub(crate) fn send(
        &mut self,
        in_flight_max: usize,
        send: &mut impl FnMut(Ready<'_>, Timestamp) -> Handled,
    ) {
        let Some(outbox) = &self.outbox else { return };
        let now = self.shared.clock.now();
        let (grant, letters) = (self.grant.as_ref(), &self.shared.hub.letters);
        let mut n_denied = 0;
        let dropped = outbox.send(&self.mailbox, in_flight_max, now, &mut |ready| {
            if let Ready::Publish { outgoing, .. } = ready
                && !grant.is_some_and(|grant| grant.may_receive(outgoing.message.topic()))
            {
                n_denied += 1;
                return Handled::Dropped;
            }
            let handled = send(ready, now);
            if let (Ready::Publish { outgoing, .. }, Handled::Sent) = (ready, handled)
                && let Some(id) = outgoing.message.letter()
            {
                letters.sent(id, outgoing.qos);
            }
            handled
        });
        self.shared.metrics.dropped_not_allowed.inc_by(n_denied);
        let outbox = Arc::clone(outbox);
        for seq in dropped {
            self.over(&outbox, Some(seq));
        }
    }

    /// What was noted since the last call.
    pub(crate) fn take_effects(&mut self) -> Option<Effects> {
        if self.effects.is_empty() { None } else { Some(mem::take(&mut self.effects)) }
    }

    /// Gives its session up. The will comes back if it is to be published now.
    pub(crate) fn leave(&mut self, will: Option<Will>) -> Option<Will> {
        if self.has_left {
            return None;
        }
        self.has_left = true;
        let hub = &self.shared.hub;
        hub.leave(&self.mailbox);
        let outbox = self.outbox.as_ref()?;
        hub.part(&self.mailbox, outbox, will, self.shared.clock.now(), &mut self.effects)
    }

    /// The number of the client's session.
    pub(crate) fn session(&self) -> Option<u64> {
        self.outbox.as_ref().map(|outbox| outbox.number)
    }

    /// A message to the client is over.
    fn over(&mut self, outbox: &Outbox, seq: Option<Seq>) {
        if let Some(seq) = seq
            && outbox.is_kept()
        {
            self.effects.note(&Op::Over { number: outbox.number, seq: seq.0 });
        }
    }

    /// The session; only a client that is connected gets here.
    fn outbox(&self) -> Arc<Outbox> {
        Arc::clone(self.outbox.as_ref().expect("the session began with CONNECT"))
    }
}

impl<I> Drop for Desk<I> {
    fn drop(&mut self) {
        self.leave(None);
        self.renounce();
        self.shared.metrics.connections.dec();
    }
}

impl<I: Inlet> Desk<I> {
    /// The client has published telemetry on `topic`: without credentials, that is how it is known to
    /// be a device.
    pub(crate) fn announce_by(&mut self, topic: &str) {
        let is_anyone = || matches!(self.mailbox.principal(), Some(Principal::Anyone));
        if self.device.is_some() || !is_anyone() {
            return;
        }
        let client = self.mailbox.client.get().map(ClientId::as_str);
        let named = self.shared.inlet.device_of(topic).filter(|named| Some(*named) == client);
        if let Some(device) = named.and_then(|named| DeviceId::new(named).ok()) {
            self.shared.hub.presences.enter(&device);
            self.device = Some(device);
        }
    }
}

impl<I: Inlet> Exchange for Desk<I> {
    fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    fn has_changes(&self) -> bool {
        !self.effects.is_empty()
    }

    fn claims_version(&self) -> u64 {
        self.shared.inlet.claims_version()
    }

    fn refused(&self, topic: &str) {
        self.shared.inlet.refused(topic);
    }

    fn claims(&self, topic: &str) -> bool {
        self.shared.inlet.claims(topic)
    }

    fn may_publish(&self, topic: &str) -> bool {
        self.grant.as_ref().is_some_and(|grant| grant.may_publish(topic))
    }

    fn subscribing(&self, filter: &TopicFilter) -> Subscribing {
        let grant = self.grant.as_ref();
        let said = grant.map_or(Subscribing::NotAuthorized, |grant| grant.subscribing(filter));
        if said != Subscribing::Allowed && !self.has_said_denied.replace(true) {
            let id = self.mailbox.client.get().map_or("", ClientId::as_str);
            info!(client.id = id, %filter, "`{id}` may not subscribe to `{filter}`.");
        }
        said
    }

    fn has_subscribers(&self) -> bool {
        self.shared.hub.n_subscriptions() > 0
    }

    fn route(&mut self, message: &Routed<'_>) {
        self.shared.hub.route(self.session(), message, &mut self.effects);
    }

    fn retain(&mut self, message: &Routed<'_>) -> Result<(), RetainFull> {
        self.shared.hub.retain(message, &mut self.effects)
    }

    fn subscribe(
        &mut self,
        filter: Filter,
        options: SubscribeOptions,
        retained: SendRetained,
    ) -> Result<(), TooMany> {
        let outbox = self.outbox();
        let hub = Arc::clone(&self.shared.hub);
        hub.subscribe(&outbox, filter, options, retained, &mut self.effects)?;
        self.came();
        Ok(())
    }

    fn unsubscribe(&mut self, filter: &str) -> Unsubscribed {
        let outbox = self.outbox();
        self.shared.hub.unsubscribe(&outbox, filter, &mut self.effects)
    }

    fn take(&mut self, packet_id: u16) -> Fresh {
        let outbox = self.outbox();
        let fresh = outbox.with(|state| state.flow.take(packet_id));
        match fresh {
            Fresh::Repeated(Durability::Durable) => {}
            // Also again: the answer then waits until the first time is durable.
            Fresh::New | Fresh::Repeated(Durability::OnItsWay) if outbox.is_kept() => {
                self.effects.note(&Op::Take { number: outbox.number, packet_id });
                self.effects.take(outbox, packet_id);
            }
            Fresh::New | Fresh::Repeated(_) => {
                outbox.with(|state| state.flow.taken_durably(packet_id));
            }
        }
        fresh
    }

    fn give(&mut self, packet_id: u16) -> Given {
        let outbox = self.outbox();
        let given = outbox.with(|state| state.flow.give(packet_id));
        if given == Given::Known && outbox.is_kept() {
            self.effects.note(&Op::Give { number: outbox.number, packet_id });
        }
        given
    }

    fn n_unreleased(&self) -> usize {
        self.outbox.as_ref().map_or(0, |outbox| outbox.with(|state| state.flow.n_unreleased()))
    }

    fn acknowledged(&mut self, packet_id: u16) {
        let outbox = self.outbox();
        let (letter, seq) =
            outbox.with(|state| (state.flow.letter(packet_id), state.flow.acknowledged(packet_id)));
        if let (Some(id), Some(_)) = (letter, seq) {
            self.shared.hub.letters.signed(id);
        }
        self.over(&outbox, seq);
    }

    fn received(&mut self, packet_id: u16, taken: Taken) -> Received {
        let outbox = self.outbox();
        let received = outbox.with(|state| state.flow.received(packet_id, taken));
        match received {
            Received::Release(seq) | Received::ReleaseAgain(seq, Durability::OnItsWay) => {
                if outbox.is_kept() {
                    self.effects.note(&Op::Released { number: outbox.number, seq: seq.0 });
                    self.effects.release(outbox, seq);
                } else {
                    outbox.with(|state| state.flow.release(seq));
                }
            }
            Received::Refused(seq) => self.over(&outbox, Some(seq)),
            _ => {}
        }
        received
    }

    fn completed(&mut self, packet_id: u16) {
        let outbox = self.outbox();
        let seq = outbox.with(|state| state.flow.completed(packet_id));
        self.over(&outbox, seq);
    }

    fn set_expiry(&mut self, expiry_s: u32) {
        let lifetime = Lifetime::from_expiry(expiry_s.min(self.shared.limits.session_expiry_max_s));
        let outbox = self.outbox();
        self.shared.hub.set_lifetime(&outbox, lifetime, &mut self.effects);
    }
}
