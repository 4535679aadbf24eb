//! Which sessions there are: how they begin, go on, and end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bellwire_model::{ClientId, Timestamp};
use hashbrown::HashMap;
use tracing::warn;

use super::Hub;
use crate::codec::connect::{Start, Will};
use crate::codec::encode::SessionPresent;
use crate::flow::Flow;
use crate::mailbox::{Mailbox, Stop};
use crate::metrics::Metrics;
use crate::ops::{Effects, Op};
use crate::outbox::{Detached, Lifetime, Outbox};

/// Connections and sessions.
#[derive(Debug, Default)]
pub(super) struct Registry {
    pub(super) connections: HashMap<u64, Arc<Mailbox>>,
    /// The session of each client.
    pub(super) sessions: HashMap<ClientId, Arc<Outbox>>,
    /// Those that outlive their connections.
    pub(super) kept: HashMap<u64, Arc<Outbox>>,
    /// When sessions whose client is away may end.
    pub(super) expiries: BTreeSet<(Timestamp, u64)>,
    /// Wills that wait, by session.
    wills: HashMap<u64, (Timestamp, Will)>,
    pub(super) stop: Stop,
}

/// How a client wants its session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opening<'a> {
    /// Whose.
    pub(crate) client: &'a ClientId,
    /// Whether it goes on with an earlier one.
    pub(crate) start: Start,
    /// How long it lives.
    pub(crate) lifetime: Lifetime,
}

/// There are as many sessions as there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooManySessions;

/// A session that ends or goes without its client.
#[derive(Debug)]
pub(crate) struct Parting {
    /// Which.
    pub(crate) outbox: Arc<Outbox>,
    /// What is to be published now that its client is lost.
    pub(crate) will: Option<Will>,
}

impl Hub {
    // [MQTT-3.1.2-4], [MQTT-3.1.2-5], [MQTT-3.1.2-6], [MQTT-3.1.3-2], [MQTT-3.1.4-4], [MQTT3-3.1.2-5]
    /// Puts the client's session on the connection of `mailbox`: the one there is, or a new one. What
    /// must be published of the one that ends is in the [`Parting`].
    ///
    /// # Errors
    /// If there are too many.
    pub(crate) fn begin(
        &self,
        mailbox: &Arc<Mailbox>,
        opening: Opening<'_>,
        effects: &mut Effects,
    ) -> Result<(Arc<Outbox>, SessionPresent, Option<Parting>), TooManySessions> {
        let Opening { client, start, lifetime } = opening;
        let mut registry = self.registry();
        let old = registry.sessions.get(client).map(Arc::clone);
        if let Some(outbox) = &old
            && start == Start::Resume
            && outbox.is_kept()
        {
            registry.wills.remove(&outbox.number);
            outbox.with(|state| state.lifetime = lifetime);
            effects.note(&Op::Lifetime { number: outbox.number, expiry_s: lifetime.expiry_s() });
            outbox.attach(mailbox);
            return Ok((Arc::clone(outbox), SessionPresent::Yes, None));
        }
        let is_kept = lifetime != Lifetime::Connection;
        if is_kept && registry.kept.len() >= self.sessions_max {
            return Err(TooManySessions);
        }
        let parting = old.map(|old| registry.end(old, effects));
        let flow = Flow::default();
        let outbox = Outbox::new(self.new_id(), client.clone(), self.flow_limits, lifetime, flow);
        let outbox = Arc::new(outbox);
        outbox.attach(mailbox);
        registry.sessions.insert(client.clone(), Arc::clone(&outbox));
        if is_kept {
            registry.kept.insert(outbox.number, Arc::clone(&outbox));
            let expiry_s = lifetime.expiry_s();
            effects.note(&Op::Begin { number: outbox.number, client: client.as_str(), expiry_s });
        }
        registry.count(&self.metrics);
        drop(registry);
        if let Some(parting) = &parting {
            self.clear(&parting.outbox, effects);
        }
        Ok((outbox, SessionPresent::No, parting))
    }

    /// The client sets another lifetime as it leaves.
    pub(crate) fn set_lifetime(&self, outbox: &Outbox, lifetime: Lifetime, effects: &mut Effects) {
        if outbox.is_kept() {
            outbox.with(|state| state.lifetime = lifetime);
            effects.note(&Op::Lifetime { number: outbox.number, expiry_s: lifetime.expiry_s() });
        }
    }

    /// The connection of `mailbox` is gone. Gives the will if it is to be published now.
    pub(crate) fn part(
        &self,
        mailbox: &Mailbox,
        outbox: &Arc<Outbox>,
        will: Option<Will>,
        now: Timestamp,
        effects: &mut Effects,
    ) -> Option<Will> {
        let mut registry = self.registry();
        match outbox.detach(mailbox, now) {
            Detached::Away(Lifetime::Seconds(seconds)) => {
                effects.note(&Op::Left { number: outbox.number, at: now.as_micros() });
                registry.expire_after(outbox.number, seconds, now);
                match will {
                    Some(will) if will.delay_s > 0 => {
                        let at = now + Duration::from_secs(will.delay_s.min(seconds).into());
                        registry.wills.insert(outbox.number, (at, will));
                        None
                    }
                    will => will,
                }
            }
            Detached::Away(Lifetime::Connection) => {
                let parting = registry.end(Arc::clone(outbox), effects);
                registry.count(&self.metrics);
                drop(registry);
                self.clear(&parting.outbox, effects);
                will
            }
            // [MQTT-3.1.3-9] the session goes on elsewhere: a will that waits is not sent
            Detached::NotThere => {
                let goes_on = registry
                    .sessions
                    .get(&outbox.client)
                    .is_some_and(|session| session.number == outbox.number);
                will.filter(|will| will.delay_s == 0 || !goes_on)
            }
        }
    }

    /// Ends the sessions whose time is over at `now`, and gives what is to be published.
    pub(crate) fn expire(&self, now: Timestamp, effects: &mut Effects) -> Vec<Parting> {
        let mut registry = self.registry();
        let mut partings = registry.expired(now, effects);
        registry.count(&self.metrics);
        drop(registry);
        for parting in &partings {
            self.clear(&parting.outbox, effects);
        }
        partings.extend(self.registry().due_wills(now));
        self.retained().expire(now);
        partings
    }

    /// Takes an ended session's subscriptions away, and gives what it had of shared ones to others.
    fn clear(&self, outbox: &Outbox, effects: &mut Effects) {
        let (filters, flow) = outbox.end();
        for (filter, _) in &filters {
            self.remove(outbox.number, filter);
        }
        for outgoing in flow.into_shared() {
            self.pass_on(outgoing, effects);
        }
    }
}

impl Registry {
    /// Says how many sessions are kept.
    pub(super) fn count(&self, metrics: &Metrics) {
        metrics.sessions.set(i64::try_from(self.kept.len()).unwrap_or(i64::MAX));
    }

    /// Takes a session out.
    fn end(&mut self, outbox: Arc<Outbox>, effects: &mut Effects) -> Parting {
        if self.sessions.get(&outbox.client).is_some_and(|it| it.number == outbox.number) {
            self.sessions.remove(&outbox.client);
        }
        if self.kept.remove(&outbox.number).is_some() {
            effects.note(&Op::End { number: outbox.number });
        }
        let will = self.wills.remove(&outbox.number).map(|(_, will)| will);
        Parting { outbox, will }
    }

    /// Ends a session `seconds` after `now`, unless its client is back by then.
    pub(super) fn expire_after(&mut self, number: u64, seconds: u32, now: Timestamp) {
        if seconds != u32::MAX {
            self.expiries.insert((now + Duration::from_secs(seconds.into()), number));
        }
    }

    fn expired(&mut self, now: Timestamp, effects: &mut Effects) -> Vec<Parting> {
        let mut partings = Vec::new();
        while let Some(&(at, number)) = self.expiries.first()
            && at <= now
        {
            self.expiries.pop_first();
            let Some(outbox) = self.kept.get(&number).map(Arc::clone) else { continue };
            if outbox.with(|state| state.has_expired(now)) {
                partings.push(self.end(outbox, effects));
            }
        }
        partings
    }

    fn due_wills(&mut self, now: Timestamp) -> Vec<Parting> {
        let due: Vec<u64> = self
            .wills
            .iter()
            .filter(|(_, (at, _))| *at <= now)
            .map(|(number, _)| *number)
            .collect();
        let mut partings = Vec::new();
        for number in due {
            let (Some((_, will)), Some(outbox)) =
                (self.wills.remove(&number), self.kept.get(&number))
            else {
                warn!("A will of session {number} had no session any more.");
                continue;
            };
            partings.push(Parting { outbox: Arc::clone(outbox), will: Some(will) });
        }
        partings
    }
}
