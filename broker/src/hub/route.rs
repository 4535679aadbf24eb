//! The way of a message: from a publish to those who subscribe, and what stays for those who come.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLockReadGuard, RwLockWriteGuard};

use bellwire_model::{Outcome, QoS, Timestamp};
use hashbrown::HashMap;
use tracing::warn;

use super::Hub;
use crate::codec::control::{Own, RetainFlag, SendRetained};
use crate::message::{Message, Outgoing, Routed};
use crate::ops::{Effects, Op, Target, WireMessage};
use crate::outbox::{Left, Outbox, Replay, Reserved};
use crate::retained::{RetainFull, Retained};
use crate::session::exchange::{SubscribeOptions, TooMany, Unsubscribed};
use crate::share::{Filter, Group, Member};
use crate::subscriptions::{Subscription, Subscriptions};

/// Who subscribes to what.
#[derive(Debug, Default)]
pub(super) struct Topics {
    plain: Subscriptions<Member>,
    shared: Subscriptions<Arc<Group>>,
    groups: HashMap<Arc<str>, (u64, Arc<Group>)>,
}

/// What a message becomes for its subscribers.
struct Posting<'a> {
    hub: &'a Hub,
    message: Arc<Message>,
    targets: Vec<Target>,
    effects: &'a mut Effects,
}

impl Hub {
    fn topics(&self) -> RwLockReadGuard<'_, Topics> {
        self.topics.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn topics_mut(&self) -> RwLockWriteGuard<'_, Topics> {
        self.topics.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn counted(&self, topics: &Topics) {
        let n = topics.plain.len() + topics.shared.len();
        self.n_subscriptions.store(n, Ordering::Relaxed);
        self.metrics.subscriptions.set(i64::try_from(n).unwrap_or(i64::MAX));
    }

    // [MQTT-3.3.2-3], [MQTT-4.5.0-1]; in the order they came, [MQTT-4.6.0-5], [MQTT-4.6.0-6]
    /// Passes a message of session `from` (`None`: of the service itself) to every subscriber of its
    /// topic, once each; gives to how many. For those whose session is kept it is left when `effects`
    /// are durable.
    pub(crate) fn route(
        &self,
        from: Option<u64>,
        routed: &Routed<'_>,
        effects: &mut Effects,
    ) -> usize {
        if self.n_subscriptions() == 0 {
            return 0;
        }
        let topics = self.topics();
        let mut hits: Vec<&Subscription<Member>> = Vec::new();
        topics.plain.matches(routed.topic, &mut |hit| {
            // [MQTT-3.8.3-3] No Local
            if hit.value.options.own == Own::Delivered || Some(hit.id) != from {
                hits.push(hit);
            }
        });
        let mut groups: Vec<Arc<Group>> = Vec::new();
        topics.shared.matches(routed.topic, &mut |hit| groups.push(Arc::clone(&hit.value)));
        if hits.is_empty() && groups.is_empty() {
            return 0;
        }
        let message = Message::new(routed);
        let mut posting = Posting { hub: self, message, targets: Vec::new(), effects };
        hits.sort_by_key(|hit| hit.id);
        let mut n_reached = 0;
        for same in hits.chunk_by(|a, b| a.id == b.id) {
            posting.post_once(routed, same);
            n_reached += 1;
        }
        for group in groups {
            if let Some(member) = group.choose() {
                posting.post_shared(routed, &member, &group);
                n_reached += 1;
            }
        }
        drop(topics);
        posting.note();
        n_reached
    }

    /// Shows every subscription that matches `topic` and is not shared.
    pub(super) fn each_plain(
        &self,
        topic: &str,
        see: &mut dyn FnMut(&Arc<Outbox>, SubscribeOptions),
    ) {
        if self.n_subscriptions() > 0 {
            let topics = self.topics();
            topics.plain.matches(topic, &mut |hit| see(&hit.value.outbox, hit.value.options));
        }
    }

    /// Keeps a message for those who subscribe later.
    ///
    /// # Errors
    /// If there are as many as there may be.
    pub(crate) fn retain(
        &self,
        routed: &Routed<'_>,
        effects: &mut Effects,
    ) -> Result<(), RetainFull> {
        let message = Message::new(routed);
        let retained = Retained { message: Arc::clone(&message), qos: routed.qos };
        let mut messages = self.retained();
        messages.put(retained, self.retain_limits).inspect_err(|_| {
            self.metrics.retained_refused.inc();
        })?;
        let (n_messages, _) = messages.load();
        self.metrics.retained.set(i64::try_from(n_messages).unwrap_or(i64::MAX));
        drop(messages);
        effects.note(&Op::Retain { message: WireMessage::of(&message), qos: routed.qos as u8 });
        Ok(())
    }

    /// Keeps a value about the service itself, which is never written down, and passes it on.
    pub(crate) fn retain_own(&self, routed: &Routed<'_>) {
        let retained = Retained { message: Message::new(routed), qos: QoS::AtMostOnce };
        // Those few have room beyond the bound.
        let unbounded =
            crate::retained::RetainLimits { messages_max: usize::MAX, bytes_max: usize::MAX };
        let _always = self.retained().put(retained, unbounded);
        let mut effects = Effects::default();
        self.route(None, routed, &mut effects);
        effects.settle(Outcome::Retry);
    }

    /// Adds or replaces a subscription, and leaves the retained messages that it is to get.
    /// [MQTT-3.8.4-3], [MQTT-3.8.4-4], [MQTT3-3.8.4-3], [MQTT3-3.3.1-6]
    ///
    /// # Errors
    /// If the client has as many as it may, or does not read what it has.
    pub(crate) fn subscribe(
        &self,
        outbox: &Arc<Outbox>,
        filter: Filter,
        options: SubscribeOptions,
        retained: SendRetained,
        effects: &mut Effects,
    ) -> Result<(), TooMany> {
        let is_new = outbox.with(|state| {
            if state.flow.load().0 >= self.flow_limits.messages_max {
                return Err(TooMany);
            }
            if let Some(known) = state.filters.iter_mut().find(|(it, _)| *it == filter) {
                known.1 = options;
                return Ok(false);
            }
            if state.filters.len() >= self.subscriptions_max {
                return Err(TooMany);
            }
            state.filters.reserve_exact(1); // Most clients have one.
            state.filters.push((filter.clone(), options));
            Ok(true)
        })?;
        self.insert(outbox, &filter, options);
        if outbox.is_kept() {
            let number = outbox.number;
            effects.note(&Op::Subscribe {
                number,
                filter: filter.as_str(),
                options: options.into(),
            });
        }
        let wanted = match retained {
            SendRetained::Always => true,
            SendRetained::IfNew => is_new,
            SendRetained::Never => false,
        };
        // Retained messages are not for those who share. (4.8.2)
        if wanted && filter.share().is_none() {
            let replay = Replay { filter, options, after: None };
            outbox.with(|state| {
                state.replays.retain(|it| it.filter != replay.filter);
                state.replays.push_back(replay);
            });
        }
        Ok(())
    }

    /// Leaves some more of the retained messages that a session is to get, if it has read the others.
    pub(crate) fn refill(&self, outbox: &Arc<Outbox>, now: Timestamp, effects: &mut Effects) {
        // QoS 0 may take half of the room: a quarter is there for these.
        let n_max = (self.flow_limits.messages_max / 4).clamp(1, 256);
        let next = outbox.with(|state| {
            let has_room = state.flow.len() < n_max;
            let next = has_room.then(|| state.replays.pop_front()).flatten();
            if state.replays.is_empty() {
                state.replays = VecDeque::new(); // An idle client holds no room for it.
            }
            next
        });
        let Some(Replay { filter, options, after }) = next else { return };
        let found = self.retained().matching(filter.topics(), after.as_deref(), n_max, now);
        if found.len() == n_max {
            let after = found.last().map(|it| it.message.topic().into());
            let replay = Replay { filter, options, after };
            outbox.with(|state| state.replays.push_front(replay));
        }
        for retained in found {
            let outgoing = Outgoing {
                message: Arc::clone(&retained.message),
                qos: options.qos.min(retained.qos),
                retain: true, // [MQTT3-3.3.1-8]
                subscription_ids: options.id.into_iter().collect(),
                share: None,
            };
            let message = retained.message;
            let mut posting = Posting { hub: self, message, targets: Vec::new(), effects };
            posting.post(outbox, outgoing);
            posting.note();
        }
    }

    /// Ends a subscription; what was left for it before stays. [MQTT-3.10.4-2], [MQTT-3.10.4-3]
    pub(crate) fn unsubscribe(
        &self,
        outbox: &Outbox,
        filter: &str,
        effects: &mut Effects,
    ) -> Unsubscribed {
        let removed = outbox.with(|state| {
            let index = state.filters.iter().position(|(it, _)| it.as_str() == filter)?;
            state.replays.retain(|it| it.filter.as_str() != filter);
            Some(state.filters.swap_remove(index).0)
        });
        let Some(filter) = removed else { return Unsubscribed::Absent };
        self.remove(outbox.number, &filter);
        if outbox.is_kept() {
            effects.note(&Op::Unsubscribe { number: outbox.number, filter: filter.as_str() });
        }
        Unsubscribed::Removed
    }

    /// Puts a subscription into the tree.
    pub(super) fn insert(&self, outbox: &Arc<Outbox>, filter: &Filter, options: SubscribeOptions) {
        let member = Member { outbox: Arc::clone(outbox), options };
        let mut topics = self.topics_mut();
        match filter.share() {
            None => {
                topics.plain.insert(outbox.number, filter.topics(), member);
            }
            Some(text) => {
                let Topics { shared, groups, .. } = &mut *topics;
                let (_, group) = groups.entry(Arc::clone(&text)).or_insert_with(|| {
                    let (id, group) = (self.new_id(), Arc::new(Group::new(text)));
                    shared.insert(id, filter.topics(), Arc::clone(&group));
                    (id, group)
                });
                group.join(member);
            }
        }
        self.counted(&topics);
    }

    /// Takes a subscription out of the tree.
    pub(super) fn remove(&self, number: u64, filter: &Filter) {
        let mut topics = self.topics_mut();
        match filter.share() {
            None => {
                topics.plain.remove(number, filter.topics().as_str());
            }
            Some(text) => {
                let Topics { shared, groups, .. } = &mut *topics;
                if let Some((id, group)) = groups.get(&text)
                    && group.leave(number) == 0
                {
                    shared.remove(*id, filter.topics().as_str());
                    groups.remove(&text);
                }
            }
        }
        self.counted(&topics);
    }

    /// Gives what a session that ended had not acknowledged to another of the same group.
    pub(super) fn pass_on(&self, outgoing: Outgoing, effects: &mut Effects) {
        let Some(share) = &outgoing.share else { return };
        let member = self.topics().groups.get(share).and_then(|(_, group)| group.choose());
        let Some(member) = member else { return };
        let message = Arc::clone(&outgoing.message);
        let mut posting = Posting { hub: self, message, targets: Vec::new(), effects };
        posting.post(&member.outbox, Outgoing { retain: false, ..outgoing });
        posting.note();
    }
}

impl Posting<'_> {
    /// Leaves the message with one subscriber, whose matching subscriptions are `same`: once, at
    /// their highest quality of service. [MQTT-3.3.4-2], [MQTT-3.3.4-4], [MQTT-3.8.4-8]
    fn post_once(&mut self, routed: &Routed<'_>, same: &[&Subscription<Member>]) {
        let options = || same.iter().map(|hit| &hit.value.options);
        let qos = options().map(|it| it.qos).max().unwrap_or(QoS::AtMostOnce).min(routed.qos);
        let outgoing = Outgoing {
            message: Arc::clone(&self.message),
            qos,
            // [MQTT-3.3.1-12], [MQTT-3.3.1-13]
            retain: routed.retain && options().any(|it| it.retain == RetainFlag::Kept),
            subscription_ids: options().filter_map(|it| it.id).collect(), // [MQTT-3.3.4-3]
            share: None,
        };
        let Some(hit) = same.first() else { return };
        self.post(&hit.value.outbox, outgoing);
    }

    /// Leaves it with one member of a group, as that one wants it. [MQTT-4.8.2-3]
    fn post_shared(&mut self, routed: &Routed<'_>, member: &Member, group: &Group) {
        let outgoing = Outgoing {
            message: Arc::clone(&self.message),
            qos: member.options.qos.min(routed.qos),
            retain: routed.retain && member.options.retain == RetainFlag::Kept,
            subscription_ids: member.options.id.into_iter().collect(),
            share: Some(Arc::clone(&group.text)),
        };
        self.post(&member.outbox, outgoing);
    }

    fn post(&mut self, outbox: &Arc<Outbox>, outgoing: Outgoing) {
        let reserved = match outgoing.qos {
            QoS::AtMostOnce => Reserved::NotNeeded,
            _ => outbox.reserve(&outgoing),
        };
        match reserved {
            Reserved::Number(seq) => {
                self.targets.push(Target::new(outbox.number, seq, &outgoing));
                self.effects.deliver(Arc::clone(outbox), seq, outgoing);
            }
            Reserved::Full => self.hub.metrics.dropped_outbox_full.inc(),
            Reserved::NotNeeded => match outbox.post(outgoing) {
                Left::Queued | Left::NotThere => {}
                Left::Dropped => self.hub.metrics.dropped_outbox_full.inc(),
                Left::Overflowed => {
                    let id = outbox.client.as_str();
                    warn!(client.id = id, "Closing `{id}`: it does not read its messages.");
                }
            },
        }
    }

    /// Notes who is to get it once it is durable.
    fn note(self) {
        if !self.targets.is_empty() {
            let message = WireMessage::of(&self.message);
            self.effects.note(&Op::Message { message, targets: self.targets });
        }
    }
}
